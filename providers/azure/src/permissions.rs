//! What an identity may do with a group, as `Microsoft.Authorization/permissions` lists it: what can be known of a change
//! without making it. Locks and policies are no part of it.

use serde_json::Value;

/// The version of the API of permissions.
pub(crate) const API_VERSION: &str = "2022-04-01";

/// Those of the actions that no role of the list holds. Nothing where the answer is no list.
pub(crate) fn missing<'a>(answer: &Value, actions: impl IntoIterator<Item = &'a str>) -> Option<Vec<&'a str>> {
    let roles = answer["value"].as_array()?;
    let any = |role: &Value, key: &str, action: &str| {
        let patterns = role[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        patterns.into_iter().any(|pattern| covers(pattern, action))
    };
    let held = |action: &str| roles.iter().any(|role| any(role, "actions", action) && !any(role, "notActions", action));
    Some(actions.into_iter().filter(|action| !held(action)).collect())
}

/// Whether a pattern, in which `*` stands for any text, has this action. Case is of no meaning.
fn covers(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == action };
    let Some(mut left) = action.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match left.find(piece) {
            Some(at) => left = &left[at + piece.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns_cover_actions() {
        let check = |pattern: &str, action: &str, expected: bool| {
            assert_eq!(covers(pattern, action), expected, "{pattern} {action}");
        };
        check("*", "a/b/read", true);
        check("*/read", "a/b/read", true);
        check("*/read", "a/b/write", false);
        check("A/*", "a/b/write", true);
        check("a/*/write", "a/b/c/write", true);
        check("a/*/read", "a/b/write", false);
        check("a/b/read", "a/b/read", true);
        check("a/b/rea", "a/b/read", false);
        check("a/*b*/read", "a/bb/read", true);
        check("a/*x*/read", "a/bb/read", false);
    }

    #[test]
    fn what_a_role_takes_away_another_may_give() {
        let check = |roles: Value, expected: Option<&[&str]>| {
            let found = missing(&json!({ "value": roles }), ["n/read", "n/write"]);
            assert_eq!(found.as_deref(), expected, "{roles}");
        };
        check(json!([]), Some(&["n/read", "n/write"]));
        check(json!([{"actions": ["*"], "notActions": []}]), Some(&[]));
        check(json!([{"actions": ["*"], "notActions": ["n/write"]}]), Some(&["n/write"]));
        check(json!([{"actions": ["*/read"]}, {"actions": ["n/*"], "notActions": ["*/delete"]}]), Some(&[]));
        check(json!([{"actions": ["n/read"]}, {"notActions": ["n/read"]}]), Some(&["n/write"]));
        check(json!({"error": {}}), None);
    }
}
