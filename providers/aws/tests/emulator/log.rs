//! What must never happen, whatever a test is about, held against the rig's log.

use std::collections::BTreeMap;

use serde_json::Value;
use tagwall_provider::PrefixSet;

use crate::hand::{HAND, admitted, prefix_of, text};

pub(crate) fn is_of_hand(entry: &Value) -> bool {
    !entry["parameters"][HAND].is_null()
}

fn changed<'a>(entry: &'a Value, key: &str) -> &'a [Value] {
    entry[key].as_array().map_or(&[], Vec::as_slice)
}

/// What each call of tagwall's does is bounded by what anybody can see in the log:
/// it removes only what carries a mark, and in one run of writing calls lets nobody in whom it had let go before.
///
/// # Panics
/// With the call, where it is otherwise.
pub(crate) fn check(log: &[Value]) {
    if let Err(what) = judge(log) {
        panic!("{what}");
    }
}

fn judge(log: &[Value]) -> Result<(), String> {
    // What each run of writing calls has let go: by account, region, and whose it was.
    let mut gone: BTreeMap<[&str; 3], PrefixSet> = BTreeMap::new();
    for entry in log {
        let place = ["account", "region"].map(|key| entry[key].as_str().unwrap_or_default());
        if entry["writes"] != true || entry["service"] != "ec2" || is_of_hand(entry) {
            // Whoever reads plans anew, and whoever else writes is another run.
            gone.retain(|[account, region, _], _| [*account, *region] != place);
            continue;
        }
        let mut by_whom: BTreeMap<&str, [PrefixSet; 2]> = BTreeMap::new();
        for (way, key) in ["added", "removed"].into_iter().enumerate() {
            for item in changed(entry, key) {
                let mark = item["description"].as_str().filter(|text| text.starts_with("tagwall:"));
                let Some(mark) = mark else {
                    return Err(format!("somebody else's rule {key}: {item} by {entry}"));
                };
                let sets = by_whom.entry(mark).or_default();
                sets[way] = sets[way].union(&prefix_of(item).into_iter().collect());
            }
        }
        for (whose, [comes, goes]) in by_whom {
            let gone = gone.entry([place[0], place[1], whose]).or_default();
            let back = gone.intersection(&comes);
            if !back.is_empty() {
                return Err(format!("a gap: {back} went before it came again, by {entry}"));
            }
            *gone = gone.union(&goes.difference(&comes));
        }
    }
    Ok(())
}

/// What rules with a mark let in, or entries of lists, call by call, from the log alone.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    seen: usize,
    rules: BTreeMap<String, Value>,
}

impl Replay {
    /// What they let in after each writing call since this was last asked.
    pub(crate) fn states(&mut self, log: &[Value], mark: &str, port: u16) -> Vec<PrefixSet> {
        let mut states = Vec::new();
        for entry in &log[self.seen..] {
            for rule in changed(entry, "added") {
                self.rules.insert(name(rule), rule.clone());
            }
            for rule in changed(entry, "removed") {
                self.rules.remove(&name(rule));
            }
            if entry["writes"] == true {
                states.push(admitted(self.rules.values(), mark, port));
            }
        }
        self.seen = log.len();
        states
    }
}

/// What a rule is known by, or an entry of a list.
fn name(item: &Value) -> String {
    let rule = item["securityGroupRuleId"].as_str().map(str::to_owned);
    rule.unwrap_or_else(|| format!("{} {}", text(item, "prefixListId"), text(item, "cidr")))
}

/// How many writing calls tagwall made, whether or not they worked.
pub(crate) fn writes(log: &[Value]) -> usize {
    log.iter().filter(|entry| entry["writes"] == true && !is_of_hand(entry)).count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(action: &str, added: &[&str], removed: &[&str], description: &str) -> Value {
        let rules = |prefixes: &[&str]| -> Vec<Value> {
            prefixes.iter().map(|prefix| json!({ "cidrIpv4": prefix, "description": description })).collect()
        };
        json!({
            "service": "ec2", "action": action, "writes": !action.starts_with("Describe"), "parameters": {},
            "added": rules(added), "removed": rules(removed),
        })
    }

    fn check(log: &[Value], expect: Option<&str>) {
        let judged = judge(log);
        match expect {
            None => assert_eq!(judged, Ok(())),
            Some(piece) => assert!(judged.as_ref().is_err_and(|what| what.contains(piece)), "{judged:?}"),
        }
    }

    /// The negative control of every other test here.
    #[test]
    fn what_must_never_happen_is_noticed() {
        let ours = "tagwall:edge/web";
        let add = |prefix| entry("AuthorizeSecurityGroupIngress", &[prefix], &[], ours);
        let remove = |prefix, whose| entry("RevokeSecurityGroupIngress", &[], &[prefix], whose);
        let look = entry("DescribeSecurityGroupRules", &[], &[], ours);
        check(&[add("192.0.2.0/24"), remove("192.0.2.0/25", ours)], None);
        check(&[remove("192.0.2.0/25", ours), add("192.0.2.0/24")], Some("a gap: 192.0.2.0/25"));
        check(&[remove("192.0.2.0/25", ours), look, add("192.0.2.0/24")], None);
        check(&[remove("192.0.2.0/25", "tagwall:edge/other"), add("192.0.2.0/24")], None);
        check(&[remove("192.0.2.0/25", "office")], Some("somebody else's rule removed"));
        let mut by_hand = remove("192.0.2.0/25", "office");
        by_hand["parameters"][HAND] = true.into();
        check(&[by_hand], None);
    }
}
