//! Plans that are saved, reviewed and applied.
#![expect(clippy::too_many_lines, reason = "snapshots are long")]

mod formats;
mod inputs;
mod moved;
mod observed;

use std::fs;

use serde_json::Value;
use tagwall::saved::plan::PlanContent;

use crate::support::World;

/// Saves a plan, and answers its hash.
fn planned(world: &World, status: i32, arguments: &str) -> String {
    let run = world.expect(status, &format!("plan -o plan.json --format json {arguments}"));
    let hash = run.json()["plan"].as_str().unwrap().to_owned();
    assert_eq!(read(world)["hash"], hash.as_str());
    hash
}

fn read(world: &World) -> Value {
    serde_json::from_slice(&fs::read(world.path("plan.json")).unwrap()).unwrap()
}

/// Changes the saved plan, and its own hash with it where it is to be forged.
fn alter(world: &World, forge: bool, change: impl FnOnce(&mut Value)) {
    let mut plan = read(world);
    change(&mut plan["content"]);
    if forge {
        let content: PlanContent = serde_json::from_value(plan["content"].clone()).unwrap();
        plan["hash"] = content.hash().into();
    }
    world.write("plan.json", &plan.to_string());
}

/// The last line of the audit file.
fn audited(world: &World) -> Value {
    let lines = fs::read_to_string(world.path("state/audit.jsonl")).unwrap();
    serde_json::from_str(lines.lines().last().unwrap()).unwrap()
}

/// What a run said, as one line.
fn said(world: &World, status: i32, arguments: &str) -> String {
    let run = world.expect(status, arguments);
    format!("{} {}", run.stdout, run.stderr).split_whitespace().collect::<Vec<_>>().join(" ")
}
