//! Whose a token is, as far as it says: nobody here checks its signature, Resource Manager does.

use azure_core::base64;
use serde_json::Value;

/// Says whose it is, without any of it.
pub(crate) fn who(token: &str, credential: &str) -> String {
    let claims = token.split('.').nth(1).and_then(|part| base64::decode_url_safe(part.trim_end_matches('=')).ok());
    let claims: Value = claims.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let claim = |name: &str| claims[name].as_str();
    let mut words = Vec::new();
    if let Some(person) = claim("upn").or_else(|| claim("unique_name")) {
        words.push(person.to_owned());
    } else if let Some(application) = claim("appid").or_else(|| claim("azp")) {
        words.push(format!("application {application}"));
    }
    words.extend(claim("oid").map(|object| format!("object {object}")));
    words.extend(claim("tid").map(|tenant| format!("tenant {tenant}")));
    if words.is_empty() {
        words.push("somebody whom the token does not name".to_owned());
    }
    format!("{}, by {credential}", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(claims: &str, expected: &str) {
        let token = format!("e30.{}.c2ln", base64::encode_url_safe(claims));
        assert_eq!(who(&token, "managed identity"), format!("{expected}, by managed identity"));
    }

    #[test]
    fn a_token_says_whose_it_is() {
        check(r#"{"appid":"a","oid":"o","tid":"t"}"#, "application a, object o, tenant t");
        check(r#"{"upn":"ops@example.org","appid":"cli","tid":"t"}"#, "ops@example.org, tenant t");
        check("{}", "somebody whom the token does not name");
        assert_eq!(who("opaque", "x"), "somebody whom the token does not name, by x");
    }
}
