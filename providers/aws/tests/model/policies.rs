//! The policies that are shipped allow what is used, and no more.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tagwall_aws::actions::{READING, WRITING};

fn statements(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/aws").join(file);
    let policy: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    policy["Statement"].as_array().unwrap().clone()
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().map(|item| item.as_str().unwrap()).collect(),
        one => vec![one.as_str().unwrap()],
    }
}

fn check(file: &str, expect: &BTreeSet<&str>) {
    let statements = statements(file);
    assert!(statements.iter().all(|statement| statement["Effect"] == "Allow"));
    let allowed: BTreeSet<&str> = statements.iter().flat_map(|statement| texts(&statement["Action"])).collect();
    assert_eq!(allowed, *expect, "{file}");
}

#[test]
fn policies_allow_exactly_what_is_used() {
    check("tagwall-read-only.json", &READING.iter().copied().collect());
    check("tagwall.json", &READING.iter().chain(WRITING).copied().collect());
}

/// Whatever changes something is bound to a tag, or to rules, which are reached through their group alone.
#[test]
fn writing_is_bound() {
    for statement in statements("tagwall.json") {
        let writes = texts(&statement["Action"]).iter().any(|action| WRITING.contains(action));
        let resources = texts(&statement["Resource"]);
        let of_rules = resources.iter().all(|resource| resource.ends_with(":security-group-rule/*"));
        if writes {
            assert!(resources.iter().all(|resource| resource.starts_with("arn:aws:ec2:*:ACCOUNT:")), "{statement}");
            assert!(of_rules || statement.get("Condition").is_some(), "{statement}");
        }
    }
}
