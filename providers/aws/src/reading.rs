//! What stands in the groups, sorted by whose it is and what it is worth.

use std::collections::{BTreeMap, BTreeSet};

use tagwall_provider::{
    Admits, Entry, Foreign, ForeignEffect, IpNet, Observed, Orphan, OwnerMark, PerFamily, PrefixSet, Room, Skeleton,
    Slot, StoredId,
};

use crate::mend::drifted;
use crate::rule::{Group, Rule, Source, Target};

/// The inbound rules of one group, as one target sees them.
#[derive(Debug, Default)]
pub(crate) struct Sorted<'a> {
    /// Ours, with a rule for each run of ports that the target opens.
    pub(crate) whole: BTreeMap<IpNet, Vec<&'a Rule>>,
    /// Ours, and no part of a whole entry: of other ports, or of a prefix that lacks some.
    pub(crate) left: Vec<&'a Rule>,
    /// Ours by description alone.
    pub(crate) untagged: Vec<&'a Rule>,
    /// Everybody else's, our neighbours' among them.
    pub(crate) others: Vec<&'a Rule>,
    /// Of these what a target that is gone left, with a rule for each run of ports that this target opens.
    pub(crate) left_behind: BTreeMap<IpNet, Vec<&'a Rule>>,
}

impl<'a> Sorted<'a> {
    pub(crate) fn of(target: &Target, group: &'a Group) -> Self {
        let mut sorted = Self::default();
        let mut by_prefix: BTreeMap<IpNet, Vec<&Rule>> = BTreeMap::new();
        for rule in &group.rules {
            if rule.mark().as_ref() != Some(&target.mark) {
                sorted.others.push(rule);
                if let (Source::Prefix(prefix), Some(mark)) = (&rule.source, rule.mark())
                    && is_gone(target, &mark)
                    && target.ports.contains(&rule.ports)
                {
                    sorted.left_behind.entry(*prefix).or_default().push(rule);
                }
                continue;
            }
            if rule.tag.is_none() {
                sorted.untagged.push(rule);
            }
            match rule.source {
                Source::Prefix(prefix) if target.ports.contains(&rule.ports) => {
                    by_prefix.entry(prefix).or_default().push(rule);
                }
                _ => sorted.left.push(rule),
            }
        }
        let is_whole = |rules: &[&Rule]| target.ports.iter().all(|ports| rules.iter().any(|rule| rule.ports == *ports));
        sorted.left_behind.retain(|_, rules| is_whole(rules));
        for (prefix, rules) in by_prefix {
            if is_whole(&rules) {
                sorted.whole.insert(prefix, rules);
            } else {
                sorted.left.extend(rules);
            }
        }
        sorted
    }
}

/// What the groups admit now. `groups` are the target's, in the configuration's order: the place of a group is its
/// [`Slot`]. `elsewhere` are rules with our owner's mark in groups that are not the target's.
pub fn observe(target: &Target, groups: &[Group], elsewhere: &[Group]) -> Observed {
    let (mut entries, mut rooms, mut foreign, mut drift) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut orphans, mut adoptable, each) = (BTreeMap::new(), Vec::new(), target.rules_of_a_prefix());
    for (number, group) in (0..).zip(groups) {
        let (slot, sorted) = (Slot(number), Sorted::of(target, group));
        let entry = |prefix: IpNet, id: StoredId| Entry { admits: Admits::Range(prefix.into()), slot, id: Some(id) };
        entries.extend(sorted.whole.iter().map(|(prefix, rules)| entry(*prefix, joined(rules))));
        let left = |(prefix, rules): (&IpNet, &Vec<&Rule>)| entry(*prefix, left_by(rules));
        adoptable.extend(sorted.left_behind.iter().map(left));
        let weight = group.weight();
        let free = PerFamily::from_fn(|family| Some(target.quota.saturating_sub(*weight.get(family)) / each));
        rooms.push(Room { slot, name: group.id.clone(), free, taken: taken(target, &sorted) });
        for rule in &sorted.others {
            // A neighbour's rule or an orphan lets people in as any other does.
            foreign.extend(admitted_by(target, group, rule));
            if let Some(mark) = rule.mark().filter(|mark| is_gone(target, mark)) {
                *orphans.entry((mark, group.id.clone())).or_default() += 1;
            }
        }
        drift.extend(drifted(target, &group.id, &sorted));
    }
    for group in elsewhere {
        // Of ours too: the target had this group once.
        let left = |mark: &OwnerMark| *mark == target.mark || is_gone(target, mark);
        for mark in group.rules.iter().filter_map(Rule::mark).filter(left) {
            *orphans.entry((mark, group.id.clone())).or_default() += 1;
        }
    }
    let skeleton = if drift.is_empty() { Skeleton::Intact } else { Skeleton::Drifted(drift) };
    let mut observed = Observed::new(entries, skeleton, "");
    (observed.rooms, observed.foreign, observed.adoptable) = (rooms, foreign, adoptable);
    let orphan = |((mark, group), count): ((OwnerMark, String), u64)| Orphan {
        mark,
        object: format!("{count} rules of {group}"),
        id: StoredId(group.into()),
    };
    observed.orphans = orphans.into_iter().map(orphan).collect();
    observed
}

/// The rules of an entry by name: one, or more where the target opens several runs of ports.
fn joined(rules: &[&Rule]) -> StoredId {
    let mut names: Vec<&str> = rules.iter().map(|rule| &*rule.id.0).collect();
    names.sort_unstable();
    StoredId(names.join(",").into())
}

/// The rules of an entry by name, and whose they were.
fn left_by(rules: &[&Rule]) -> StoredId {
    let marks: BTreeSet<String> = rules.iter().filter_map(|rule| Some(rule.mark()?.to_string())).collect();
    let marks: Vec<String> = marks.into_iter().collect();
    StoredId(format!("{}{LEFT_BY}{}", joined(rules).0, marks.join(" and ")).into())
}

/// Between the names of rules that a target which is gone left, and its mark.
const LEFT_BY: &str = " of ";

/// The names that [`joined`] put together.
pub(crate) fn names(StoredId(id): &StoredId) -> impl Iterator<Item = StoredId> {
    let names = id.split_once(LEFT_BY).map_or(&**id, |(names, _)| names);
    names.split(',').map(|name| StoredId(name.into()))
}

/// EC2 holds equal content once, whoever wrote it. What can be taken over is in nobody's way.
fn taken(target: &Target, sorted: &Sorted<'_>) -> Vec<IpNet> {
    let equal = sorted.others.iter().filter(|rule| target.ports.contains(&rule.ports));
    let mut taken: Vec<IpNet> = equal
        .filter_map(|rule| match rule.source {
            Source::Prefix(prefix) => Some(prefix),
            _ => None,
        })
        .filter(|prefix| !sorted.left_behind.contains_key(prefix))
        .collect();
    taken.sort_unstable();
    taken.dedup();
    taken
}

fn admitted_by(target: &Target, group: &Group, rule: &Rule) -> Option<Foreign> {
    let all = target.ports.iter().all(|ports| rule.ports.covers(*ports));
    let (whom, admits) = match &rule.source {
        Source::Prefix(prefix) => (prefix.to_string(), [*prefix].into_iter().collect()),
        Source::PrefixList { id, admits: Some(admits), .. } => {
            (format!("the {} prefixes of prefix list {id}", admits.prefixes().count()), admits.clone())
        }
        // Whom they let in is not known: it counts for nobody.
        Source::PrefixList { id, .. } => (format!("prefix list {id}, whose entries were not read"), PrefixSet::new()),
        Source::Group { id } => (format!("the members of {id}, which were not looked at"), PrefixSet::new()),
    };
    let whose = rule.mark().map(|mark| format!(" ({mark})")).unwrap_or_default();
    let description = format!("rule {} of {} admits {whom}{whose}", rule.id.0, group.id);
    all.then_some(Foreign { description, effect: ForeignEffect::Admits(admits) })
}

/// Whether a mark is of a target of our owner that is not configured any more.
fn is_gone(target: &Target, mark: &OwnerMark) -> bool {
    mark.owner() == target.mark.owner() && *mark != target.mark && !target.configured.contains(mark)
}
