//! Where each prefix goes: what is there stays in its rule, what replaces it goes into the same rule, and what is new
//! goes where something is written anyway.

use std::collections::{BTreeMap, BTreeSet};

use tagwall_provider::{
    Admits, Desired, Entry, Family, ForeignEffect, IpNet, Limit, Observed, Operation, OwnerMark, PrefixSet, Refusal,
    Skeleton, SkeletonEdit, Slot, Step, Steps, cover_change,
};

use crate::effect::{self, Standing, State};
use crate::foreign::NAME_TAKEN;
use crate::layout::{Part, name};
use crate::observe::{DESTINATIONS, MORE_RULES, WHOLE_GROUP, joined};
use crate::order::{self, Limits};
use crate::settings::{Settings, check_tag};

/// Whom each of our rules admits, or shall.
pub(crate) type Contents = BTreeMap<Part, BTreeSet<Admits>>;

/// Decides what goes into which rule.
///
/// # Errors
/// [`Limit::Unsupported`] where the settings or the tag make no target, [`Limit::NotOurs`] where somebody else's rule
/// has a name or a priority that is needed or would be shut out, [`Limit::Capacity`] where a rule or the group is full.
pub fn place(settings: &Settings, observed: &Observed, desired: &Desired) -> Result<Steps, Refusal> {
    settings.check().map_err(|error| unsupported(error.to_string()))?;
    let before = contents(&observed.entries);
    let tag = match desired {
        Desired::ServiceTag(tag) => Some(tag),
        Desired::Prefixes { .. } => settings.service_tag.as_ref(),
    };
    let after = match tag {
        Some(tag) => tagged(settings, observed, &before, tag)?,
        None => prefixes(settings, observed, &before, &desired.prefixes())?,
    };
    let wanted: Vec<Part> = settings.parts().filter(|part| settings.wants(*part)).collect();
    if let Some(part) = wanted.iter().find(|part| !is_available(observed, **part)) {
        return Err(occupied(settings, observed, *part));
    }
    if let Some(refusal) = too_many_destinations(settings, observed, &before, &after, &wanted) {
        return Err(refusal);
    }
    let entries = in_order(settings, observed, &before, &after)
        .map_err(|order::Stuck| full(settings, observed, &before, &desired.prefixes()))?;
    Ok(Steps { skeleton: edits(settings, observed, &before, &after, &wanted), entries })
}

/// The entries of each rule.
pub(crate) fn contents(entries: &[Entry]) -> Contents {
    let mut contents = Contents::new();
    for entry in entries {
        if let Some(part) = Part::of_slot(entry.slot) {
            contents.entry(part).or_default().insert(entry.admits.clone());
        }
    }
    contents
}

fn is_available(observed: &Observed, part: Part) -> bool {
    observed.rooms.iter().any(|room| room.slot == part.slot())
}

fn tagged(settings: &Settings, observed: &Observed, before: &Contents, tag: &str) -> Result<Contents, Refusal> {
    check_tag(tag).map_err(|error| unsupported(error.to_string()))?;
    // The tag may come with the desire alone, and then nothing has been checked for it.
    Settings { service_tag: Some(tag.to_owned()), ..settings.clone() }
        .check()
        .map_err(|error| unsupported(error.to_string()))?;
    let mut after = Contents::new();
    for part in settings.scopes().iter().map(|scope| Part::Tag(*scope)) {
        if !is_available(observed, part) {
            return Err(occupied(settings, observed, part));
        }
        let is_it = |admits: &&Admits| matches!(admits, Admits::ServiceTag(stored) if stored.eq_ignore_ascii_case(tag));
        let stored = before.get(&part).and_then(|admits| admits.iter().find(is_it)).cloned();
        after.insert(part, [stored.unwrap_or_else(|| Admits::ServiceTag(tag.into()))].into());
    }
    Ok(after)
}

fn prefixes(
    settings: &Settings,
    observed: &Observed,
    before: &Contents,
    wanted: &PrefixSet,
) -> Result<Contents, Refusal> {
    // What stands in no rule that can stay does not count as stored: all that is desired of it comes elsewhere.
    let stays = |entry: &&Entry| {
        let of = Part::of_slot(entry.slot).filter(|part| is_available(observed, *part));
        matches!((of, entry.range()), (Some(Part::Chunk(family, _)), Some(range)) if range.family() == family)
    };
    let stored: Vec<Entry> = observed.entries.iter().filter(stays).cloned().collect();
    let change = cover_change(&stored, wanted);
    let mut after = Contents::new();
    let mut written: BTreeSet<Part> = BTreeSet::new();
    for entry in &change.keep {
        let Some(part) = Part::of_slot(entry.slot) else { continue };
        after.entry(part).or_default().insert(entry.admits.clone());
    }
    written.extend(change.remove.iter().filter_map(|entry| Part::of_slot(entry.slot)));
    let chunks: Vec<Part> = settings.parts().filter(|part| matches!(part, Part::Chunk(..))).collect();
    let mut fresh = Vec::new();
    for prefix in change.add {
        let replaced = change.remove.iter().filter(|entry| entry.range().is_some_and(|range| meets(range, prefix)));
        let home = replaced.filter_map(|entry| Part::of_slot(entry.slot)).min();
        match home.filter(|part| has_room(settings, &after, *part)) {
            Some(part) => drop(after.entry(part).or_default().insert(Admits::Range(prefix.into()))),
            None => fresh.push(prefix),
        }
    }
    for prefix in fresh {
        let family = Family::of(prefix.addr());
        let of_family: Vec<Part> =
            chunks.iter().copied().filter(|part| matches!(part, Part::Chunk(own, _) if *own == family)).collect();
        let open = |part: &&Part| is_available(observed, **part) && has_room(settings, &after, **part);
        let part = of_family.iter().filter(open).min_by_key(|part| (!written.contains(part), **part)).copied();
        let Some(part) = part else {
            let occupant = of_family.iter().find(|part| !is_available(observed, **part));
            return Err(match occupant {
                Some(part) => occupied(settings, observed, *part),
                None => full(settings, observed, before, wanted),
            });
        };
        written.insert(part);
        after.entry(part).or_default().insert(Admits::Range(prefix.into()));
    }
    Ok(after)
}

fn meets(range: tagwall_provider::AddressRange, prefix: IpNet) -> bool {
    let other = tagwall_provider::AddressRange::from(prefix);
    range.family() == other.family() && range.first() <= other.last() && other.first() <= range.last()
}

fn has_room(settings: &Settings, contents: &Contents, part: Part) -> bool {
    contents.get(&part).map_or(0, BTreeSet::len) < settings.largest_rule
}

/// The steps in the order in which the rules are written: what a rule takes in, then what it lets go.
fn in_order(
    settings: &Settings,
    observed: &Observed,
    before: &Contents,
    after: &Contents,
) -> Result<Vec<Step>, order::Stuck> {
    let state = |contents: &Contents| -> State {
        let priority = |part: Part| settings.priority_of(part).unwrap_or(0);
        let standing = |(part, admits): (&Part, &BTreeSet<Admits>)| {
            (*part, Standing::good(settings, *part, priority(*part), admits.clone()))
        };
        contents.iter().filter(|(_, admits)| !admits.is_empty()).map(standing).collect()
    };
    let (from, to) = (state(before), state(after));
    let none = || order::Stuck;
    let free = |slot| {
        let room = observed.rooms.iter().find(|room| room.slot == slot);
        room.and_then(|room| room.free.v4).and_then(|free| usize::try_from(free).ok()).unwrap_or(usize::MAX)
    };
    let around = settings.parts().filter(|part| settings.wants(*part)).count();
    let limits = Limits {
        prefixes: free(WHOLE_GROUP).saturating_add(effect::prefixes(&from)),
        rules: free(MORE_RULES).checked_sub(around).filter(|rules| *rules >= to.len()).ok_or_else(none)?,
        taken: BTreeSet::new(),
    };
    // Rules that have no place have no priority to hold either: each counts as standing outside the block.
    let from_apart: State = from
        .iter()
        .zip(1..)
        .map(|((part, rule), apart)| {
            let priority = settings.priority_of(*part).unwrap_or(apart);
            (*part, Standing { priority, ..rule.clone() })
        })
        .collect();
    let writes = order::writes(settings, &from_apart, &to, &limits)?;
    let mut steps = Vec::new();
    let mut now = from_apart;
    for write in writes {
        let none = BTreeSet::new();
        let (old, new) =
            (now.get(&write.0).map_or(&none, |rule| &rule.admits), write.1.as_ref().map_or(&none, |rule| &rule.admits));
        let step =
            |operation, slot: Slot| move |admits: &Admits| Step { operation, admits: admits.clone(), slot, id: None };
        steps.extend(new.difference(old).map(step(Operation::Add, write.0.slot())));
        steps.extend(old.difference(new).map(step(Operation::Remove, write.0.slot())));
        order::apply(&mut now, &write);
    }
    Ok(steps)
}

/// Destinations are counted as sources are, and apart: each rule of ours that names one holds one of them.
fn too_many_destinations(
    settings: &Settings,
    observed: &Observed,
    before: &Contents,
    after: &Contents,
    wanted: &[Part],
) -> Option<Refusal> {
    // What comes may stand beside what goes for a while.
    let parts: BTreeSet<Part> = before.keys().chain(after.keys()).chain(wanted).copied().collect();
    let needed = parts.into_iter().filter(|part| settings.destination_of(*part) != "*").count() as u64;
    let room = observed.rooms.iter().find(|room| room.slot == DESTINATIONS);
    let left = room.and_then(|room| room.free.v4).filter(|left| *left < needed)?;
    Some(Refusal {
        limit: Limit::Capacity,
        finding: format!(
            "the target's rules name {needed} destinations, and beside others' rules the network security group takes \
             {left} more, of {}",
            settings.most_prefixes
        ),
        choices: vec![
            "leave out `destination`: the rules then lead to all behind the group".to_owned(),
            "let other rules of the group go, or give the target a group of its own".to_owned(),
        ],
    })
}

/// What is made, mended and deleted around the entries, and what the rules cost.
fn edits(
    settings: &Settings,
    observed: &Observed,
    before: &Contents,
    after: &Contents,
    wanted: &[Part],
) -> Vec<SkeletonEdit> {
    let opens = format!("{} {}", settings.protocol.name().to_uppercase(), joined(&settings.ports));
    let made = |part: Part, what: &str| {
        let (name, to) = (name(&settings.mark, part), settings.destination_of(part));
        let priority = settings.priority_of(part).unwrap_or(0);
        let cost = match (part, after.get(&part)) {
            (Part::Chunk(..), Some(admits)) => {
                format!(", {} of the group's {} prefixes", admits.len(), settings.most_prefixes)
            }
            (Part::Tag(_), _) => ", no prefixes".to_owned(),
            _ => String::new(),
        };
        format!("make rule `{name}`, priority {priority}: {what} {opens} to {to}{cost}")
    };
    let is_there = |contents: &Contents, part: &Part| contents.get(part).is_some_and(|admits| !admits.is_empty());
    let come = after.keys().filter(|part| is_there(after, part) && !is_there(before, part));
    let mut lines: Vec<String> = come.map(|part| made(*part, "allows")).collect();
    match &observed.skeleton {
        Skeleton::Drifted(drift) => lines.extend(drift.iter().map(|line| format!("mend: {line}"))),
        Skeleton::Absent => lines.extend(wanted.iter().map(|part| match part {
            Part::Deny(_) => made(*part, "denies everybody else"),
            _ => made(*part, "allows load balancers' probes"),
        })),
        Skeleton::Intact => {}
    }
    // A rule that goes with its last prefix is seen by that.
    let switches = |part: &Part| matches!(part, Part::Tag(_)) || after.keys().any(|part| matches!(part, Part::Tag(_)));
    let go = before.keys().filter(|part| is_there(before, part) && !is_there(after, part) && switches(part));
    lines.extend(go.map(|part| format!("delete rule `{}`", name(&settings.mark, *part))));
    lines.into_iter().map(|description| SkeletonEdit { description }).collect()
}

fn unsupported(finding: String) -> Refusal {
    let choices = vec!["change the target's settings".to_owned()];
    Refusal { limit: Limit::Unsupported, finding, choices }
}

fn occupied(settings: &Settings, observed: &Observed, part: Part) -> Refusal {
    let found: Vec<&str> = observed
        .foreign
        .iter()
        .filter(|foreign| foreign.effect == ForeignEffect::Occupies)
        .map(|foreign| foreign.description.as_str())
        .collect();
    let (first, last) = settings.block().into_inner();
    let restore = format!("if the rule is what tagwall made, put the description `{}` back", settings.mark);
    let renamed = observed.orphans.iter().map(|orphan| {
        format!("the rules of {} are of a target that is configured no more: give it its name back, or `withdraw --orphans` takes them away, and shuts out whom they admit until the next `sync`", orphan.mark)
    });
    let mut choices: Vec<String> = renamed.collect();
    choices.extend(if matches!(part, Part::Deny(_)) {
        vec![
            format!("let the rule be judged first: a priority below {first} for it, or one behind it for the target"),
            "leave the ports open to the group's other rules: `deny = false`".to_owned(),
            restore,
        ]
    } else {
        let keeps = last - first + 1;
        let by_name = found.iter().all(|what| what.contains(NAME_TAKEN));
        let elsewhere =
            || format!("give the target another `priority`: it keeps {keeps} from there on, now {first} to {last}");
        let is_sibling = |mark: &&OwnerMark| {
            **mark != settings.mark && found.iter().any(|what| what.contains(&format!(" of {mark} ")))
        };
        let sibling = settings.configured.iter().find(is_sibling);
        let exchange = sibling.map(|mark| {
            format!("where the target changes places with {mark}, move one of them to free priorities first")
        });
        let mut choices: Vec<String> = exchange.into_iter().chain((!by_name).then(elsewhere)).collect();
        choices.push("give that rule another name or priority, before or behind the target's".to_owned());
        if by_name {
            choices.push("give the target another name".to_owned());
        }
        choices.push(restore);
        choices
    });
    Refusal {
        limit: Limit::NotOurs,
        finding: format!("rule `{}` cannot stand at its place: {}", name(&settings.mark, part), found.join("; ")),
        choices,
    }
}

fn full(settings: &Settings, observed: &Observed, before: &Contents, wanted: &PrefixSet) -> Refusal {
    let free = |slot| observed.rooms.iter().find(|room| room.slot == slot).and_then(|room| room.free.v4).unwrap_or(0);
    let ours: usize = before.values().map(BTreeSet::len).sum();
    let needed = Family::ALL.map(|family| format!("{} {family}", wanted.prefix_count(family))).join(" and ");
    let others = (settings.most_prefixes as u64).saturating_sub(free(WHOLE_GROUP)).saturating_sub(ours as u64);
    let mut choices = vec!["let other rules of the group go, or give the target a group of its own".to_owned()];
    if !wanted.is_empty() {
        let tag = "let Azure resolve the tag: `mode = \"service-tag\"` takes one rule and no prefixes";
        choices.splice(0..0, [tag.to_owned(), "name narrower or regional tags".to_owned()]);
    }
    let needs = if wanted.is_empty() { String::new() } else { format!("{needed} prefixes are needed, and ") };
    Refusal {
        limit: Limit::Capacity,
        finding: format!(
            "{needs}the network security group takes {} prefixes and {} rules: {ours} prefixes are ours, {others} others', {} more fit; {} rules are left for the target",
            settings.most_prefixes,
            settings.most_rules,
            free(WHOLE_GROUP),
            free(MORE_RULES)
        ),
        choices,
    }
}
