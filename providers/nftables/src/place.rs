//! Decides what changes.

use tagwall_provider::{
    AddressRange, Admits, Desired, Entry, Family, ForeignEffect, Limit, Observed, Operation, PrefixSet, Refusal,
    Skeleton as Around, SkeletonEdit, Step, Steps, cover_change,
};

use crate::layout::Layout;
use crate::observe::{is_rebuilt, slot};
use crate::settings::TABLE;

/// Decides what changes.
pub(crate) fn place(layout: &Layout, observed: &Observed, desired: &Desired) -> Result<Steps, Refusal> {
    if let Desired::ServiceTag(name) = desired {
        return Err(Refusal {
            limit: Limit::Unsupported,
            finding: format!("nftables knows no service tags by name, and the target wants `{name}`"),
            choices: vec!["list the tag's prefixes: leave out `native`".to_owned()],
        });
    }
    let desired = desired.prefixes();
    refuse_occupied(layout, observed)?;
    refuse_missing_set(layout, &desired)?;
    refuse_unclaimed(layout, observed, &desired)?;

    let mut steps = Steps { skeleton: skeleton_edits(layout, observed), entries: Vec::new() };
    // Nearly always there is nothing to take out, and nothing to copy.
    let (going, staying): (Vec<Entry>, Vec<Entry>);
    let stored = if observed.entries.iter().any(|entry| is_rebuilt(entry.slot)) {
        (going, staying) = observed.entries.iter().cloned().partition(|entry| is_rebuilt(entry.slot));
        steps.entries.extend(going.iter().map(removal));
        &staying
    } else {
        &observed.entries
    };
    let change = cover_change(stored, &desired);
    steps.entries.extend(change.remove.into_iter().map(removal));
    steps.entries.extend(change.add.into_iter().map(|prefix| {
        let range = AddressRange::from(prefix);
        let slot = slot(range.family(), false);
        Step { operation: Operation::Add, admits: Admits::Range(range), slot, id: None }
    }));
    Ok(steps)
}

fn removal(entry: &Entry) -> Step {
    Step { operation: Operation::Remove, admits: entry.admits.clone(), slot: entry.slot, id: None }
}

fn skeleton_edits(layout: &Layout, observed: &Observed) -> Vec<SkeletonEdit> {
    match (&observed.skeleton, layout) {
        (Around::Drifted(lines), _) => {
            lines.iter().map(|line| SkeletonEdit { description: format!("mend: {line}") }).collect()
        }
        (Around::Absent, Layout::Enforce(skeleton)) => {
            vec![SkeletonEdit { description: skeleton.summary() }]
        }
        (Around::Absent, Layout::Set(_)) | (Around::Intact, _) => Vec::new(),
    }
}

fn refuse_occupied(layout: &Layout, observed: &Observed) -> Result<(), Refusal> {
    let occupied = |foreign: &&tagwall_provider::Foreign| foreign.effect == ForeignEffect::Occupies;
    let found: Vec<&str> =
        observed.foreign.iter().filter(occupied).map(|foreign| foreign.description.as_str()).collect();
    if found.is_empty() {
        return Ok(());
    }
    let mut choices = vec![
        "give the target another name, so that its chains and sets are called something else".to_owned(),
        format!("look at it with `nft list table inet {TABLE}` and delete or rename it"),
    ];
    if let Layout::Enforce(skeleton) = layout {
        choices.push(format!("if it is what tagwall made, put the comment `{}` back", skeleton.mark));
    }
    Err(Refusal { limit: Limit::NotOurs, finding: found.join("; "), choices })
}

/// Addresses of a family that no set is named for would be admitted nowhere.
fn refuse_missing_set(layout: &Layout, desired: &PrefixSet) -> Result<(), Refusal> {
    let missing = |family: &Family| layout.set(*family).is_none() && desired.prefix_count(*family) > 0;
    let Some(family) = Family::ALL.into_iter().find(missing) else { return Ok(()) };
    let key = if family == Family::V4 { "v4" } else { "v6" };
    Err(Refusal {
        limit: Limit::Capacity,
        finding: format!(
            "{} {family} prefixes are desired, and no set is named for them",
            desired.prefix_count(family)
        ),
        choices: vec![
            format!("name a set for them: `{key} = \"…\"`"),
            "leave the family out of the target's lists: `families = [..]`".to_owned(),
        ],
    })
}

/// What stands in a set that tagwall never filled is somebody's.
fn refuse_unclaimed(layout: &Layout, observed: &Observed, desired: &PrefixSet) -> Result<(), Refusal> {
    let Layout::Set(sets) = layout else { return Ok(()) };
    let unexpected = |entry: &&Entry| !entry.range().is_some_and(|range| desired.covers(range));
    if sets.claimed || !observed.entries.iter().any(|entry| unexpected(&entry)) {
        return Ok(());
    }
    let found: Vec<&Entry> = observed.entries.iter().filter(unexpected).collect();
    let first: Vec<String> = found.iter().take(3).map(|entry| entry.admits.to_string()).collect();
    let more = if found.len() > first.len() { ", …" } else { "" };
    Err(Refusal {
        limit: Limit::NotOurs,
        finding: format!(
            "table {} {} holds {} elements that are not desired, and tagwall has not filled its sets before: {}{more}",
            sets.family,
            sets.table,
            found.len(),
            first.join(", "),
        ),
        choices: vec![
            "declare the sets wholly tagwall's: `adopt = true`; these elements go then".to_owned(),
            "name sets of tagwall's own, and let your rules look in both".to_owned(),
        ],
    })
}
