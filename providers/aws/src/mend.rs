//! What is wrong with rules of ours, a line for each, and what a plan does about it.
//!
//! An observation and a plan speak of the same rules in the same words: the plan puts a verb before them. What becomes
//! of a rule that is one of several is known only to the plan, by what it adds.

use std::collections::BTreeSet;

use tagwall_provider::{IpNet, Observed, Operation, Skeleton, SkeletonEdit, Steps, StoredId};

use crate::batches::prefix_of;
use crate::reading::{Sorted, names};
use crate::rule::{Rule, Source, Target};

const UNTAGGED: &str = "the owner mark stands in its description alone";
const PARTIAL: &str = "not all of the target's ports have one";
const STRANGE: &str = "ours, and for what the target does not open";

/// A group needs nothing around its entries. What can be wrong is rules of ours that are no entries, and such as lost
/// their tag.
pub(crate) fn drifted(target: &Target, group: &str, sorted: &Sorted<'_>) -> Vec<String> {
    let line = |rule: &Rule, what: &str| format!("rule {} of {group}, {rule}: {what}", rule.id.0);
    let is_part = |rule: &Rule| matches!(rule.source, Source::Prefix(_)) && target.ports.contains(&rule.ports);
    let left = sorted.left.iter().map(|rule| line(rule, if is_part(rule) { PARTIAL } else { STRANGE }));
    // What is to go anyway needs no tag.
    let untagged = sorted.untagged.iter().filter(|rule| is_part(rule)).map(|rule| line(rule, UNTAGGED));
    untagged.chain(left).collect()
}

/// What a plan with these entries does about each line.
pub(crate) fn edits(observed: &Observed, steps: &Steps) -> Vec<SkeletonEdit> {
    let Skeleton::Drifted(lines) = &observed.skeleton else { return Vec::new() };
    let comes: Vec<(&str, IpNet)> = steps
        .of(Operation::Add)
        .filter_map(|step| {
            let room = observed.rooms.iter().find(|room| room.slot == step.slot)?;
            Some((room.name.as_str(), prefix_of(step)?))
        })
        .collect();
    let is_completed = |line: &str| {
        comes.iter().any(|(group, prefix)| {
            line.contains(&format!(" of {group}, ")) && line.contains(&format!(" from {prefix}: "))
        })
    };
    let revoked = |line: &str| line.ends_with(STRANGE) || line.ends_with(PARTIAL) && !is_completed(line);
    let mut goes: BTreeSet<StoredId> =
        steps.of(Operation::Remove).filter_map(|step| step.id.as_ref()).flat_map(names).collect();
    goes.extend(lines.iter().filter(|line| revoked(line)).filter_map(|line| id_of(line)));
    let edit = |line: &String| {
        let verb = match line {
            line if revoked(line) => "revokes",
            line if line.ends_with(PARTIAL) => "completes",
            line if id_of(line).is_some_and(|id| goes.contains(&id)) => return None,
            _ => "tags",
        };
        Some(SkeletonEdit { description: format!("{verb} {line}") })
    };
    lines.iter().filter_map(edit).collect()
}

fn id_of(line: &str) -> Option<StoredId> {
    let (id, _) = line.strip_prefix("rule ")?.split_once(' ')?;
    Some(StoredId(id.into()))
}
