//! The real publications, in the order of their dates, through the program into a live kernel.
//!
//! After each, the kernel admits exactly what the document lists, worked out from its JSON alone and read with
//! `nft -j`. What is held must stand in the table of its cloud, with its figure; then it goes on by override, as an
//! operator would. `data/` has every second publication of the public cloud and every sixth of the others, so the
//! steps are larger than those that a running tagwall meets.

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use self::table::{CHINA, Held, PUBLIC, US_GOVERNMENT};
use crate::support::{Addresses, Run, World, assert_same, data, is_first_user_namespace, skip, with_namespaces};

/// Limits that no override lets through: the target stays as it is until the publication is better.
const FINAL: [&str; 2] = ["missing-tag", "empty-tag"];

/// Replays a cloud with a list and a target for each of these tags.
fn replay(folder: &str, cloud: &str, count: usize, tags: &[&str], table: &[Held]) {
    with_namespaces(|| {
        if !is_first_user_namespace() {
            return skip("sets of thousands need the send buffer of the first user namespace");
        }
        let Some(publications) = data::of_cloud(folder) else { return };
        assert_eq!(publications.len(), count, "{folder}");
        let world = World::empty();
        world.write("tagwall.toml", &configuration(cloud, tags));

        let mut expected: BTreeMap<String, Addresses> = BTreeMap::new();
        let mut held = BTreeSet::new();
        for file in &publications {
            let (_, name) = file.file_stem().unwrap().to_str().unwrap().rsplit_once(&format!("{folder}_")).unwrap();
            let document: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
            let passes = pass_by_pass(&world, file, &mut |run| {
                let report = run.json();
                for target in report["targets"].as_array().unwrap() {
                    let list = target["name"].as_str().unwrap();
                    for refusal in refusals(target) {
                        let limit = refusal["limit"].as_str().unwrap().to_owned();
                        let finding = refusal["finding"].as_str().unwrap().to_owned();
                        let list = if limit == "older-publication" { "*" } else { list };
                        held.insert((name.to_owned(), list.to_owned(), limit, finding));
                    }
                    if target["outcome"] != "refused" {
                        expected.insert(list.to_owned(), Addresses::listed(&document, &[&tag(list, tags)]));
                    }
                    // What was refused is as it was.
                    let what = format!("{name} {list}");
                    assert_same(&world.admitted(list), expected.get(list).unwrap_or(&Addresses::default()), &what);
                }
            });
            assert!(passes <= 3, "{name} took {passes} passes");
            let left = held.iter().filter(|(held, _, limit, _)| held == name && FINAL.contains(&limit.as_str()));
            let left: Vec<&String> = left.map(|(_, list, ..)| list).collect();
            for tag in tags.iter().filter(|tag| !left.contains(&&target(tag))) {
                assert_eq!(expected[&target(tag)], Addresses::listed(&document, &[tag]), "{name} was not gone by");
            }
        }
        compare(&held, table);
    });
}

/// Passes until nothing is held that can be overridden, each one told; answers how many.
fn pass_by_pass(world: &World, file: &Path, told: &mut dyn FnMut(&Run)) -> usize {
    let mut overrides: Vec<String> = Vec::new();
    for pass in 1.. {
        let mut command = world.command("sync --format json --feed");
        command.arg(file);
        if !overrides.is_empty() {
            command.args(overrides.iter().flat_map(|limit| ["--override", limit])).args(["--reason", "replay"]);
        }
        let run = world.finish(&mut command);
        assert!([0, 3].contains(&run.status), "{}", world.telling(&run));
        told(&run);
        let before = overrides.len();
        for target in run.json()["targets"].as_array().unwrap() {
            for refusal in refusals(target).iter().filter(|refusal| refusal["can_be_overridden"] == true) {
                let limit = refusal["limit"].as_str().unwrap();
                if !overrides.iter().any(|known| known == limit) {
                    overrides.push(limit.to_owned());
                }
            }
        }
        if overrides.len() == before {
            return pass;
        }
    }
    unreachable!("each round adds a limit, of which there are few")
}

fn refusals(target: &Value) -> Vec<Value> {
    let further = target.get("further_refusals").and_then(Value::as_array).cloned().unwrap_or_default();
    Some(target["refusal"].clone()).filter(|refusal| !refusal.is_null()).into_iter().chain(further).collect()
}

/// A tag as the name of a list and target: in small letters, without the point.
fn target(tag: &str) -> String {
    tag.to_ascii_lowercase().replace('.', "-")
}

fn tag(name: &str, tags: &[&str]) -> String {
    tags.iter().find(|tag| target(tag) == name).unwrap().to_string()
}

fn configuration(cloud: &str, tags: &[&str]) -> String {
    let mut text = format!("owner = \"test\"\n[source]\ncloud = \"{cloud}\"\n");
    for (port, tag) in (1000..).zip(tags) {
        let name = target(tag);
        let _ = write!(
            text,
            "[lists.{name}]\ntags = [\"{tag}\"]\n[targets.{name}]\nlists = [\"{name}\"]\nports = [{port}]\nnftables = {{}}\n"
        );
    }
    text
}

/// Compares what was held with the table, and shows what is missing from it as rows to be judged.
fn compare(held: &BTreeSet<(String, String, String, String)>, table: &[Held]) {
    let row = |held: &(String, String, String, String)| {
        format!("(\"{}\", \"{}\", \"{}\", \"{}\", \"\"),", held.0, held.1, held.2, held.3)
    };
    let found: Vec<String> = held.iter().map(row).collect();
    let expected: Vec<String> =
        table.iter().map(|(a, b, c, d, _)| row(&((*a).into(), (*b).into(), (*c).into(), (*d).into()))).collect();
    let only = |here: &[String], there: &[String]| {
        here.iter().filter(|row| !there.contains(row)).map(String::as_str).collect::<Vec<_>>().join("\n")
    };
    let (unexpected, missing) = (only(&found, &expected), only(&expected, &found));
    assert!(
        unexpected.is_empty() && missing.is_empty(),
        "held and not in the table:\n{unexpected}\nin the table and not held:\n{missing}"
    );
    assert!(table.iter().all(|(.., why)| !why.is_empty()), "a row lacks its reason");
}

#[test]
fn the_public_cloud() {
    let tags =
        ["AzureActiveDirectory", "AzureCloud", "ActionGroup", "AzureFrontDoor.Backend", "AzureMonitor", "Storage"];
    replay("Public", "public", 131, &tags, PUBLIC);
}

#[test]
fn the_us_government_cloud() {
    let tags =
        ["AzureActiveDirectory", "AzureCloud", "ActionGroup", "AzureFrontDoor.Backend", "AzureMonitor", "Storage"];
    replay("AzureGovernment", "us-government", 42, &tags, US_GOVERNMENT);
}

#[test]
fn the_china_cloud() {
    let tags = ["AzureActiveDirectory", "AzureCloud", "ActionGroup", "AzureMonitor", "Storage", "Sql"];
    replay("China", "china", 37, &tags, CHINA);
}
