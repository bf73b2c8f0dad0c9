//! What other people's rules mean for a target: what they admit to its ports, what they keep from it, where they stand
//! in its place. Default rules (from priority 65000) are nobody's and everywhere: they are not told.

use tagwall_provider::{AddressRange, Family, Foreign, ForeignEffect, PerFamily, PrefixSet};

use crate::layout::{Part, named};
use crate::rule::{Address, Group, Protocols, Rule, address, everybody};
use crate::settings::{Ports, Settings, destination};

/// How much of what a target opens a rule speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Overlap {
    /// Nothing.
    None,
    /// Some, or it is not known.
    Part,
    /// All.
    Whole,
}

/// Everything of that kind in a group, in the order in which the group judges.
pub(crate) fn of(settings: &Settings, group: &Group, admitted: &PrefixSet) -> Vec<Foreign> {
    let mut others: Vec<&Rule> = others(settings, group).filter(|rule| rule.is_inbound()).collect();
    others.sort_by_key(|rule| rule.priority());
    let mut foreign = Vec::new();
    for rule in others {
        let effects = effects(settings, rule, admitted).into_iter();
        foreign.extend(effects.map(|(effect, what)| Foreign { description: told(rule, &what), effect }));
    }
    // A name is taken by a rule of the other direction as well.
    let outbound = self::others(settings, group).filter(|rule| !rule.is_inbound());
    foreign.extend(outbound.filter_map(|rule| {
        let description = told(rule, &name_taken(settings, rule)?);
        Some(Foreign { description, effect: ForeignEffect::Occupies })
    }));
    foreign
}

pub(crate) fn others<'a>(settings: &'a Settings, group: &'a Group) -> impl Iterator<Item = &'a Rule> {
    group.rules.iter().filter(|rule| crate::layout::owned(&settings.mark, rule).is_none())
}

fn told(rule: &Rule, what: &str) -> String {
    let whose = rule.mark().map(|mark| format!(" of {mark}")).unwrap_or_default();
    format!("rule `{}`{whose} (priority {}) {what}", rule.name, rule.priority())
}

fn effects(settings: &Settings, rule: &Rule, admitted: &PrefixSet) -> Vec<(ForeignEffect, String)> {
    let mut effects = Vec::new();
    if let Some(what) = name_taken(settings, rule) {
        effects.push((ForeignEffect::Occupies, what));
    }
    if settings.block().contains(&rule.priority()) {
        let (first, last) = (settings.block().start().to_owned(), settings.block().end().to_owned());
        effects.push((ForeignEffect::Occupies, format!("stands among the target's priorities {first} to {last}")));
    }
    let overlap = overlap(settings, rule);
    if !rule.allows() {
        effects.extend(keeps_out(settings, rule, overlap, admitted));
    } else if let Some(deny) = is_shadowed(settings, rule) {
        effects.push((
            ForeignEffect::Occupies,
            format!(
                "opens the same ports, but comes behind the target's rule that closes them (priority {deny}): it admits nobody"
            ),
        ));
    } else {
        effects.extend(admits(rule, overlap));
    }
    effects
}

/// What is told of a rule that has one of our names.
pub(crate) const NAME_TAKEN: &str = "has the name of one of the target's";

fn name_taken(settings: &Settings, rule: &Rule) -> Option<String> {
    named(&settings.mark, &rule.name).and_then(|part| settings.priority_of(part))?;
    Some(format!("{NAME_TAKEN}, and its description is not `{}`", settings.mark))
}

/// The priority of the rule of ours that this one, which opens some of the same ports, comes behind.
pub(crate) fn is_shadowed(settings: &Settings, rule: &Rule) -> Option<u16> {
    let touched = overlap(settings, rule);
    let behind = |family: Family| {
        let scope = settings.scope(Part::Chunk(family, 0));
        let deny = settings.priority_of(Part::Deny(scope)).filter(|deny| *deny < rule.priority())?;
        (*touched.get(family) > Overlap::None).then_some(deny)
    };
    let only_probes =
        rule.sources().iter().all(|source| source.eq_ignore_ascii_case(crate::PROBES)) && !rule.has_groups("source");
    if !settings.deny || !rule.is_inbound() || !rule.allows() || settings.admit_probes && only_probes {
        return None;
    }
    Family::ALL.into_iter().find_map(behind)
}

/// What a rule that allows lets in to all of the target's ports.
fn admits(rule: &Rule, overlap: PerFamily<Overlap>) -> Option<(ForeignEffect, String)> {
    let whole = |family: Family| *overlap.get(family) == Overlap::Whole;
    if !Family::ALL.into_iter().any(whole) {
        return None;
    }
    let (mut ranges, mut unknown) = (Vec::new(), Vec::new());
    for source in rule.sources() {
        match address(source) {
            Address::Everybody => ranges.extend(everybody()),
            Address::Range(range) => ranges.push(range),
            Address::Tag(tag) if tag.eq_ignore_ascii_case("Internet") => ranges.extend(everybody()),
            Address::Tag(tag) => unknown.push(tag),
        }
    }
    if rule.has_groups("source") {
        unknown.push("application security groups".to_owned());
    }
    let set: PrefixSet = ranges.into_iter().filter(|range| whole(range.family())).collect();
    let mut whom: Vec<String> = few(&set);
    whom.extend(unknown);
    (!whom.is_empty()).then(|| {
        let what = format!("admits {} to the target's ports", whom.join(", "));
        (ForeignEffect::Admits(set), what)
    })
}

/// What a rule that denies keeps from the target: only one that is judged before the target's last rule can.
fn keeps_out(
    settings: &Settings,
    rule: &Rule,
    overlap: PerFamily<Overlap>,
    admitted: &PrefixSet,
) -> Option<(ForeignEffect, String)> {
    if overlap.v4.max(overlap.v6) == Overlap::None || rule.priority() > *settings.block().end() {
        return None;
    }
    let (mut everybody, mut some) = (false, rule.has_groups("source"));
    for source in rule.sources() {
        match address(source) {
            Address::Everybody => everybody = true,
            Address::Range(range) => some |= admitted.meets(range),
            Address::Tag(tag) if tag.eq_ignore_ascii_case("Internet") => everybody = true,
            // The network behind the group, and its load balancers, are nobody that a list names.
            Address::Tag(tag) if ["VirtualNetwork", crate::PROBES].iter().any(|own| tag.eq_ignore_ascii_case(own)) => {}
            Address::Tag(_) => some = true,
        }
    }
    let surely = everybody && overlap.v4 == Overlap::Whole && overlap.v6 == Overlap::Whole;
    let before = rule.priority() < settings.priority;
    let what = "keeps from the target's ports whom the target admits".to_owned();
    match rule.mark() {
        _ if !(everybody || some) => None,
        Some(mark) if surely && before => Some((ForeignEffect::Judges(mark), what)),
        None if surely && before => Some((ForeignEffect::Blocks, what)),
        _ => Some((ForeignEffect::MayBlock, "may keep from the target's ports whom the target admits".to_owned())),
    }
}

/// How much of what the target opens in each family the rule speaks of, whomever it names.
pub(crate) fn overlap(settings: &Settings, rule: &Rule) -> PerFamily<Overlap> {
    let protocol = match rule.protocols() {
        Protocols::All => true,
        Protocols::Only(protocol) => protocol == settings.protocol,
        Protocols::Other => false,
    };
    let theirs = rule.ports();
    let covered = |ours: &Ports| theirs.iter().any(|ports| ports.first <= ours.first && ours.last <= ports.last);
    let met = |ours: &Ports| theirs.iter().any(|ports| ports.first <= ours.last && ours.first <= ports.last);
    let ports = match () {
        () if !protocol || !settings.ports.iter().any(met) => Overlap::None,
        () if settings.ports.iter().all(covered) && !rule.has_source_ports() => Overlap::Whole,
        () => Overlap::Part,
    };
    PerFamily::from_fn(|family| ports.min(of_destination(settings, rule, family)))
}

fn of_destination(settings: &Settings, rule: &Rule, family: Family) -> Overlap {
    let groups = if rule.has_groups("destination") { Overlap::Part } else { Overlap::None };
    rule.destinations().into_iter().map(|text| overlap_of(settings, family, text)).fold(groups, Overlap::max)
}

/// How much of where the target is, in a family, a destination names.
pub(crate) fn overlap_of(settings: &Settings, family: Family, text: &str) -> Overlap {
    let all = everybody().into_iter().find(|range| range.family() == family);
    let ours = settings.destination.get(family).as_deref().and_then(destination).map(AddressRange::from).or(all);
    let Some(ours) = ours else { return Overlap::Part };
    match address(text) {
        Address::Everybody => Overlap::Whole,
        Address::Range(theirs)
            if theirs.family() != family || theirs.first() > ours.last() || ours.first() > theirs.last() =>
        {
            Overlap::None
        }
        Address::Range(theirs) if theirs.first() <= ours.first() && ours.last() <= theirs.last() => Overlap::Whole,
        Address::Range(_) | Address::Tag(_) => Overlap::Part,
    }
}

/// A set in few words.
fn few(set: &PrefixSet) -> Vec<String> {
    const SHOWN: usize = 3;
    let mut shown: Vec<String> = set.prefixes().take(SHOWN).map(|prefix| prefix.to_string()).collect();
    let left = set.prefixes().count().saturating_sub(SHOWN);
    if left > 0 {
        shown.push(format!("{left} more"));
    }
    shown
}
