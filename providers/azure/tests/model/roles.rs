//! The roles that are shipped allow what is used, and no more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tagwall_azure::{CHECKING, READING, WRITING};

/// What the source of Microsoft's own API takes, which is no provider of this crate.
const OF_SOURCE: &[&str] = &["Microsoft.Network/locations/serviceTags/read"];
const FILES: [&str; 3] = ["tagwall", "tagwall-read-only", "tagwall-source"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/azure")
}

fn role(file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder().join(format!("{file}.json"))).unwrap()).unwrap()
}

fn check(file: &str, expect: &[&[&str]]) {
    let role = role(file);
    let allowed: BTreeSet<&str> =
        role["Actions"].as_array().unwrap().iter().map(|action| action.as_str().unwrap()).collect();
    assert_eq!(allowed, expect.iter().copied().flatten().copied().collect(), "{file}");
    for none in ["NotActions", "DataActions", "NotDataActions"] {
        assert_eq!(role[none], json!([]), "{file}");
    }
    assert_eq!(role["AssignableScopes"], json!(["/subscriptions/SUBSCRIPTION"]), "{file}");
}

#[test]
fn roles_allow_exactly_what_is_used() {
    check("tagwall", &[READING, WRITING, CHECKING]);
    check("tagwall-read-only", &[READING, CHECKING]);
    check("tagwall-source", &[OF_SOURCE]);
}

/// No right to a group as a whole, none to join one to anything, and none by a pattern.
#[test]
fn no_role_reaches_further() {
    let actions = FILES.into_iter().flat_map(|file| role(file)["Actions"].as_array().unwrap().clone());
    for action in actions {
        let action = action.as_str().unwrap();
        assert!(!action.contains('*'), "{action}");
        let changes = !action.ends_with("/read");
        assert!(!changes || action.starts_with("Microsoft.Network/networkSecurityGroups/securityRules/"), "{action}");
    }
}

/// Bicep and Terraform take the actions from the same files, each of them.
#[test]
fn resources_are_made_of_the_same_files() {
    for resources in ["main.bicep", "main.tf"] {
        let text = std::fs::read_to_string(folder().join(resources)).unwrap();
        for file in FILES {
            assert!(
                text.contains(&format!("'{file}.json'")) || text.contains(&format!("\"{file}\"")),
                "{resources} {file}"
            );
        }
        assert!(!text.contains("Microsoft.Network"), "{resources} names an action of its own");
    }
}
