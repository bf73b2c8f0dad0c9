//! The shape of the code: who may know of whom, and where `unsafe` may stand.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The crates of the workspace, each with those of them that it depends on outside its tests.
fn crates() -> Vec<(String, BTreeSet<String>)> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let dependencies = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap().iter();
        let ours = all.filter(|dependency| !dependency["path"].is_null() && dependency["kind"].is_null());
        ours.map(|dependency| text(&dependency["name"])).collect()
    };
    packages.iter().map(|package| (text(&package["name"]), dependencies(package))).collect()
}

/// A Rust file, or every one below a folder, with its text.
fn sources(place: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(place)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    assert!(!found.is_empty(), "{place} has no files");
    found
}

/// The paths of every `use`, groups taken apart.
fn imports(text: &str) -> Vec<String> {
    let uses = text.split_inclusive(';').filter_map(|part| {
        let at = part.rfind("use ").filter(|at| part[..*at].ends_with(char::is_whitespace) || *at == 0)?;
        part[at..].strip_prefix("use ")?.strip_suffix(';')
    });
    uses.flat_map(apart).collect()
}

/// One path for each leaf of a tree of imports.
fn apart(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((lead, group)) = tree.split_once('{') else { return vec![tree.to_owned()] };
    let group = group.trim_end().strip_suffix('}').unwrap_or(group);
    let (mut leaves, mut depth, mut begin) = (Vec::new(), 0, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                leaves.push(&group[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    leaves.push(&group[begin..]);
    let leaves = leaves.into_iter().filter(|leaf| !leaf.trim().is_empty());
    leaves.flat_map(apart).map(|leaf| format!("{lead}{leaf}")).collect()
}

#[test]
fn grouped_imports_are_taken_apart() {
    let check = |text: &str, expect: &[&str]| assert_eq!(imports(text), expect, "{text}");
    check("use crate::config;", &["crate::config"]);
    check(
        "//! x\nuse crate::{a, config::{B, c::D},\n  e};\nfn f() {}",
        &["crate::a", "crate::config::B", "crate::config::c::D", "crate::e"],
    );
    check("let used = because;", &[]);
}

#[test]
fn a_provider_knows_the_contract_and_nothing_else_of_ours() {
    let crates = crates();
    let names: Vec<&str> = crates.iter().map(|(name, _)| name.as_str()).collect();
    for expected in ["tagwall", "tagwall-provider", "tagwall-nftables"] {
        assert!(names.contains(&expected), "{names:?}");
    }
    for (name, dependencies) in &crates {
        let may: &[&str] = match name.as_str() {
            "tagwall" => continue,
            "tagwall-provider" | "tagwall-arm" | "tagwall-fake-arm" => &[],
            // Which the source of Microsoft's own API goes through as well.
            "tagwall-azure" => &["tagwall-provider", "tagwall-arm"],
            _ => &["tagwall-provider"],
        };
        let beyond: Vec<&String> = dependencies.iter().filter(|name| !may.contains(&name.as_str())).collect();
        assert!(beyond.is_empty(), "{name} depends on {beyond:?}");
    }
}

#[test]
fn a_source_knows_no_provider_and_a_plan_no_source() {
    let check = |folder: &str, forbidden: &[&str]| {
        for (path, text) in sources(folder) {
            let named = text.clone() + &imports(&text).join("\n");
            for word in forbidden {
                assert!(!named.contains(word), "{} names {word}", path.display());
            }
        }
    };
    let beyond = ["config", "targets", "reconcile", "enforce", "plan", "report", "state", "cli"];
    let beyond: Vec<String> = beyond.iter().map(|module| format!("crate::{module}")).collect();
    let mut of_source: Vec<&str> = beyond.iter().map(String::as_str).collect();
    of_source.extend(["tagwall_nftables", "tagwall_aws", "tagwall_azure", "Provider", "Observed", "Steps"]);
    check("src/source", &of_source);
    check("src/plan.rs", &["crate::source", "tagwall_nftables"]);
    check("providers/contract/src", &["std::fs", "std::net::Tcp", "serde", "SystemTime"]);
}

#[test]
fn unsafe_stands_in_one_module() {
    let word = ["un", "safe"].concat();
    let code = |text: &str| {
        text.lines().any(|line| {
            let line = line.split("//").next().unwrap_or_default();
            line.contains(&format!("{word} ")) || line.contains(&format!("{word}_code"))
        })
    };
    let with: Vec<String> = ["src", "providers/contract/src", "providers/nftables/src"]
        .into_iter()
        .flat_map(sources)
        .filter(|(_, text)| code(text))
        .map(|(path, _)| path.strip_prefix(root()).unwrap().display().to_string())
        .collect();
    assert_eq!(with, ["providers/nftables/src/ffi.rs"]);
}
