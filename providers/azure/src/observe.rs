//! What stands in a group, sorted by whose it is and what it is worth.

use std::collections::{BTreeMap, BTreeSet};

use tagwall_provider::{Entry, Family, Observed, Orphan, OwnerMark, PerFamily, Room, Skeleton, Slot, StoredId};

use crate::effect::{Standing, State};
use crate::foreign::{self, Overlap};
use crate::layout::{Part, name, named, owned};
use crate::order::Limits;
use crate::rule::{Group, Protocols, Rule};
use crate::settings::{Settings, destination};

/// Stands for the whole group among the rooms: how many prefixes it takes besides, whatever rules they are in.
pub(crate) const WHOLE_GROUP: Slot = Slot(u32::MAX);
/// Stands for the destinations in the group: how many are left for our rules, those that they have among them.
pub(crate) const DESTINATIONS: Slot = Slot(u32::MAX - 2);
/// Stands for the rules of the group: how many are left for those that the target is to have, those that it has among
/// them.
pub(crate) const MORE_RULES: Slot = Slot(u32::MAX - 1);

/// What a group admits to a target now.
pub fn observe(settings: &Settings, group: &Group) -> Observed {
    let ours = ours(settings, group);
    let mut entries = Vec::new();
    for (part, rule) in ours.iter().filter(|(part, _)| part.holds_entries()) {
        entries.extend(rule.admits().into_iter().map(|admits| Entry { admits, slot: part.slot(), id: None }));
    }
    let lines = drift(settings, &ours);
    let skeleton = match (ours.is_empty(), lines.is_empty()) {
        (true, _) => Skeleton::Absent,
        (false, true) => Skeleton::Intact,
        (false, false) => Skeleton::Drifted(lines),
    };
    let mut observed = Observed::new(entries, skeleton, group.etag.clone());
    observed.rooms = rooms(settings, group, &ours);
    observed.foreign = foreign::of(settings, group, &observed.admitted());
    observed.orphans = orphans(settings, group);
    observed
}

/// Our rules.
pub(crate) fn ours<'a>(settings: &Settings, group: &'a Group) -> BTreeMap<Part, &'a Rule> {
    group.rules.iter().filter_map(|rule| Some((owned(&settings.mark, rule)?, rule))).collect()
}

/// Our rules, as far as the order of writes depends on them.
pub(crate) fn state(settings: &Settings, group: &Group) -> State {
    let standing = |(part, rule): (Part, &Rule)| {
        let works = differences(settings, part, rule).is_empty() && !rule.has_failed();
        let reach = match () {
            () if rule.has_failed() => PerFamily::from_fn(|_| Overlap::Part),
            () if !rule.is_inbound() => PerFamily::from_fn(|_| Overlap::None),
            () => foreign::overlap(settings, rule),
        };
        (part, Standing { admits: rule.admits(), priority: rule.priority(), works, opens: rule.allows(), reach })
    };
    ours(settings, group).into_iter().map(standing).collect()
}

/// What is left of a group's limits for our rules.
pub(crate) fn limits(settings: &Settings, group: &Group) -> Limits {
    let ours = ours(settings, group);
    let others = used_by_others(group, &ours).0;
    let inbound = foreign::others(settings, group).filter(|rule| rule.is_inbound());
    Limits {
        prefixes: settings.most_prefixes.saturating_sub(others),
        rules: settings.most_rules.saturating_sub(group.rules.len() - ours.len()),
        taken: inbound.map(Rule::priority).collect(),
    }
}

/// How many source prefixes and how many destinations other people's rules hold.
fn used_by_others(group: &Group, ours: &BTreeMap<Part, &Rule>) -> (usize, usize) {
    let of_ours = Group { rules: ours.values().map(|rule| (*rule).clone()).collect(), ..group.clone() };
    let (all, own) = (group.used(), of_ours.used());
    (all.0 - own.0, all.1 - own.1)
}

/// A line for each thing around the entries that is not as it should be.
fn drift(settings: &Settings, ours: &BTreeMap<Part, &Rule>) -> Vec<String> {
    let mut lines = Vec::new();
    for (part, rule) in ours {
        let name = &rule.name;
        let Some(priority) = settings.priority_of(*part) else {
            lines.push(format!("rule `{name}` has no place in this configuration"));
            continue;
        };
        if !part.holds_entries() && !settings.wants(*part) {
            lines.push(format!("rule `{name}` is not wanted any more"));
            continue;
        }
        let mut what = differences(settings, *part, rule);
        if rule.priority() != priority {
            what.push(format!("its priority is {} and should be {priority}", rule.priority()));
        }
        if rule.has_failed() {
            what.push("its last change failed, and what it shows may not be what it does".to_owned());
        }
        if part.holds_entries() && rule.admits().is_empty() {
            what.push("it names nobody".to_owned());
        }
        lines.extend(what.into_iter().map(|what| format!("rule `{name}`: {what}")));
    }
    let missing = settings.parts().filter(|part| settings.wants(*part) && !ours.contains_key(part));
    lines.extend(missing.map(|part| format!("rule `{}` is missing", name(&settings.mark, part))));
    lines
}

/// How a rule differs from what it should be, its priority and whom it admits apart.
fn differences(settings: &Settings, part: Part, rule: &Rule) -> Vec<String> {
    let mut lines = Vec::new();
    if !rule.is_inbound() {
        lines.push("it is for outbound connections".to_owned());
    }
    if rule.allows() == matches!(part, Part::Deny(_)) {
        lines.push(if rule.allows() { "it allows" } else { "it denies" }.to_owned());
    }
    if rule.protocols() != Protocols::Only(settings.protocol) {
        lines.push(format!("its protocol is not {}", settings.protocol.name()));
    }
    let sorted = |ports: &[crate::Ports]| ports.iter().copied().collect::<BTreeSet<_>>();
    if sorted(&rule.ports()) != sorted(&settings.ports) {
        lines.push(format!("its ports are not {}", joined(&settings.ports)));
    }
    if rule.has_source_ports() {
        lines.push("it asks for certain source ports".to_owned());
    }
    let wanted = settings.destination_of(part);
    let same = match &rule.destinations()[..] {
        [one] => *one == wanted || destination(one).is_some_and(|one| Some(one) == destination(wanted)),
        _ => false,
    };
    if !same || rule.has_groups("destination") {
        lines.push(format!("its destination is not `{wanted}`"));
    }
    if rule.has_groups("source") {
        lines.push("it admits application security groups".to_owned());
    }
    let source = match part {
        Part::Probes(_) => crate::PROBES,
        Part::Deny(_) => "*",
        Part::Chunk(..) | Part::Tag(_) => return lines,
    };
    if !matches!(&rule.sources()[..], [one] if one.eq_ignore_ascii_case(source)) {
        lines.push(format!("its source is not `{source}`"));
    }
    lines
}

pub(crate) fn joined<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The rules that the target can have, and how many prefixes each still takes. One that is not listed is somebody
/// else's by name or priority, or would shut somebody else out.
fn rooms(settings: &Settings, group: &Group, ours: &BTreeMap<Part, &Rule>) -> Vec<Room> {
    let (used, limits) = (group.used().0, limits(settings, group));
    let whole = settings.most_prefixes.saturating_sub(used);
    // Whom the end shuts out already, it may go on shutting out: the rule came later.
    let shadows = |part: Part| {
        let end = ours.get(&part).filter(|end| differences(settings, part, end).is_empty());
        let fresh = |rule: &Rule| end.is_none_or(|end| rule.priority() < end.priority());
        foreign::others(settings, group).any(|rule| foreign::is_shadowed(settings, rule).is_some() && fresh(rule))
    };
    let names: BTreeSet<Part> =
        foreign::others(settings, group).filter_map(|rule| named(&settings.mark, &rule.name)).collect();
    let available = |part: &Part| {
        let holds_it = |rule: &&Rule| rule.is_inbound() && Some(rule.priority()) == settings.priority_of(*part);
        let free = settings.priority_of(*part).is_some_and(|priority| !limits.taken.contains(&priority));
        let there = ours.get(part);
        !names.contains(part)
            && (free || there.is_some_and(holds_it))
            && !(matches!(part, Part::Deny(_)) && shadows(*part))
    };
    let count = |free: usize| Some(free as u64);
    let room = |part: Part| {
        let stored = ours.get(&part).map_or(0, |rule| rule.sources().len());
        let free = settings.largest_rule.saturating_sub(stored).min(whole);
        let of = |family| if matches!(part, Part::Chunk(own, _) if own == family) { count(free) } else { Some(0) };
        Room { slot: part.slot(), name: name(&settings.mark, part), free: PerFamily::from_fn(of), taken: Vec::new() }
    };
    let both = |slot, name, free| {
        let free = PerFamily::from_fn(|_: Family| count(free));
        Room { slot, name, free, taken: Vec::new() }
    };
    let mut rooms: Vec<Room> = settings.parts().filter(available).map(room).collect();
    let stays = |part: &&Part| part.holds_entries() || settings.wants(**part);
    let beside = group.rules.len() - ours.keys().filter(stays).count();
    let rules = settings.most_rules.saturating_sub(beside);
    rooms.push(both(MORE_RULES, format!("the {} rules of {}", settings.most_rules, group.name), rules));
    let destinations = settings.most_prefixes.saturating_sub(used_by_others(group, ours).1);
    rooms.push(both(
        DESTINATIONS,
        format!("the {} destinations of {}", settings.most_prefixes, group.name),
        destinations,
    ));
    rooms.push(both(WHOLE_GROUP, format!("the {} prefixes of {}", settings.most_prefixes, group.name), whole));
    rooms
}

/// What carries the mark of a target of our owner that nobody configures any more, by name as well.
fn orphans(settings: &Settings, group: &Group) -> Vec<Orphan> {
    let mut names: BTreeMap<OwnerMark, Vec<&str>> = BTreeMap::new();
    for rule in &group.rules {
        let Some(mark) = rule.mark().filter(|mark| is_orphan(settings, mark)) else { continue };
        if owned(&mark, rule).is_some() {
            names.entry(mark).or_default().push(&rule.name);
        }
    }
    let orphan = |(mark, names): (OwnerMark, Vec<&str>)| {
        let id = StoredId(mark.to_string().into());
        Orphan { object: format!("{} of network security group {}", names.join(", "), group.name), mark, id }
    };
    names.into_iter().map(orphan).collect()
}

pub(crate) fn is_orphan(settings: &Settings, mark: &OwnerMark) -> bool {
    mark.owner() == settings.mark.owner() && *mark != settings.mark && !settings.configured.contains(mark)
}
