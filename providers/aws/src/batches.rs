//! Steps as calls of the sizes that EC2 takes.

use std::collections::{BTreeMap, BTreeSet};

use tagwall_provider::{Admits, Cause, IpNet, Operation, ProviderError, Slot, Step, Steps, StoredId};

use crate::reading::{Sorted, names};
use crate::rule::{Group, Ports, Source, Target};

/// How many rules one call adds or removes at most. Users report 1000 for AuthorizeSecurityGroupIngress; AWS documents
/// no figure.
pub const MOST_RULES_A_CALL: usize = 1000;

/// One rule to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission {
    /// To what.
    pub ports: Ports,
    /// Whom it lets in.
    pub prefix: IpNet,
}

/// One writing call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// CreateTags on rules that are ours by description alone, or that a target which is gone left to us.
    Tag {
        /// `sgr-…`, of one group.
        rules: Vec<StoredId>,
    },
    /// AuthorizeSecurityGroupIngress: EC2 adds all of them or none.
    Authorise {
        /// `sg-…`.
        group: String,
        /// The rules.
        rules: Vec<Permission>,
    },
    /// RevokeSecurityGroupIngress by rule id, never by content: what is not there is then an error and no guess.
    Revoke {
        /// `sg-…`.
        group: String,
        /// `sgr-…`.
        rules: Vec<StoredId>,
    },
}

/// The calls that make the steps, in order: tags that are missing, then the steps as they stand (what they let go
/// first, what they add, what goes then), each kind group by group, and last the rules of ours that are no entries.
///
/// `groups` is what was read for the observation that the steps were placed on. All rules of a prefix stand in one
/// call, so that a prefix is never open on one port and not on another.
///
/// # Errors
/// [`ProviderError::Rejected`] where a step is none of [`crate::place`]'s.
pub fn calls(target: &Target, groups: &[Group], steps: &Steps) -> Result<Vec<Call>, ProviderError> {
    let sorted: Vec<Sorted<'_>> = groups.iter().map(|group| Sorted::of(target, group)).collect();
    let mut calls = Vec::new();
    if !steps.skeleton.is_empty() {
        // What goes in the same pass needs no tag.
        let mut goes: BTreeSet<StoredId> =
            steps.of(Operation::Remove).filter_map(|step| step.id.as_ref()).flat_map(names).collect();
        let completed = prefixes_added(steps);
        for ((slot, _), sorted) in (0..).map(Slot).zip(groups).zip(&sorted) {
            goes.extend(unwanted(target, slot, sorted, &completed));
        }
        let untagged = sorted.iter().flat_map(|sorted| {
            let stays = sorted.untagged.iter().map(|rule| rule.id.clone()).filter(|id| !goes.contains(id));
            chunks(stays.collect()).collect::<Vec<_>>()
        });
        calls.extend(untagged.map(|rules| Call::Tag { rules }));
    }
    for phase in steps.entries.chunk_by(|one, next| one.operation == next.operation) {
        let mut by_group: BTreeMap<Slot, Vec<&Step>> = BTreeMap::new();
        for step in phase {
            by_group.entry(step.slot).or_default().push(step);
        }
        for (slot, steps) in by_group {
            let index = slot.0 as usize;
            let (group, sorted) = groups.get(index).zip(sorted.get(index)).ok_or_else(none_of_ours)?;
            if steps.iter().all(|step| step.operation == Operation::Add) {
                let (stands, comes): (Vec<&Step>, Vec<&Step>) = steps.iter().partition(|step| step.id.is_some());
                let stands = stands.iter().filter_map(|step| step.id.as_ref()).flat_map(names).collect();
                calls.extend(chunks(stands).map(|rules| Call::Tag { rules }));
                calls.extend(authorise(target, group, sorted, &comes)?);
            } else {
                calls.extend(revoke(group, &steps)?);
            }
        }
    }
    if !steps.skeleton.is_empty() {
        let completed = prefixes_added(steps);
        for ((slot, group), sorted) in (0..).map(Slot).zip(groups).zip(&sorted) {
            let goes = unwanted(target, slot, sorted, &completed);
            calls.extend(chunks(goes).map(|rules| Call::Revoke { group: group.id.clone(), rules }));
        }
    }
    Ok(calls)
}

/// Rules of ours in a group that are no entries, but for those that an add completes.
fn unwanted(target: &Target, slot: Slot, sorted: &Sorted<'_>, completed: &BTreeSet<(Slot, IpNet)>) -> Vec<StoredId> {
    let stays = |rule: &crate::Rule| match rule.source {
        Source::Prefix(prefix) => target.ports.contains(&rule.ports) && completed.contains(&(slot, prefix)),
        _ => false,
    };
    sorted.left.iter().filter(|rule| !stays(rule)).map(|rule| rule.id.clone()).collect()
}

fn authorise(target: &Target, group: &Group, sorted: &Sorted<'_>, steps: &[&Step]) -> Result<Vec<Call>, ProviderError> {
    // Where some rules of a prefix are left, the others complete it: adding all of them would be refused as duplicates.
    let there: BTreeSet<(Ports, IpNet)> = sorted
        .left
        .iter()
        .filter_map(|rule| match rule.source {
            Source::Prefix(prefix) => Some((rule.ports, prefix)),
            _ => None,
        })
        .collect();
    let mut batches: Vec<Vec<Permission>> = Vec::new();
    for step in steps {
        let prefix = prefix_of(step).ok_or_else(none_of_ours)?;
        let missing = target.ports.iter().filter(|ports| !there.contains(&(**ports, prefix)));
        let rules: Vec<Permission> = missing.map(|&ports| Permission { ports, prefix }).collect();
        match batches.last_mut() {
            Some(batch) if batch.len() + rules.len() <= MOST_RULES_A_CALL => batch.extend(rules),
            _ => batches.push(rules),
        }
    }
    Ok(batches.into_iter().map(|rules| Call::Authorise { group: group.id.clone(), rules }).collect())
}

fn revoke(group: &Group, steps: &[&Step]) -> Result<Vec<Call>, ProviderError> {
    let mut rules = Vec::new();
    for step in steps {
        rules.extend(names(step.id.as_ref().ok_or_else(none_of_ours)?));
    }
    Ok(chunks(rules).map(|rules| Call::Revoke { group: group.id.clone(), rules }).collect())
}

fn prefixes_added(steps: &Steps) -> BTreeSet<(Slot, IpNet)> {
    steps.of(Operation::Add).filter_map(|step| Some((step.slot, prefix_of(step)?))).collect()
}

/// The prefix of a step; nothing where it is a service tag or a range that is no prefix.
pub(crate) fn prefix_of(step: &Step) -> Option<IpNet> {
    match step.admits {
        Admits::Range(range) => range.prefix(),
        Admits::ServiceTag(_) => None,
    }
}

fn chunks(rules: Vec<StoredId>) -> impl Iterator<Item = Vec<StoredId>> {
    let mut rules = rules.into_iter().peekable();
    std::iter::from_fn(move || {
        rules.peek()?;
        Some(rules.by_ref().take(MOST_RULES_A_CALL).collect())
    })
}

pub(crate) fn none_of_ours() -> ProviderError {
    ProviderError::rejected(Cause::new("the step is none of this firewall's"))
}
