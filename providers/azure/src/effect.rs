//! What rules of ours come to: whom they let in, what they close, what they cost the group.

use std::collections::{BTreeMap, BTreeSet};

use tagwall_provider::{Admits, Family, PerFamily, PrefixSet};

use crate::foreign::{Overlap, overlap_of};
use crate::layout::Part;
use crate::rule::everybody;
use crate::settings::Settings;

/// One of our rules, as far as the order of writes depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Whom its source names.
    pub(crate) admits: BTreeSet<Admits>,
    pub(crate) priority: u16,
    /// Whether everything else about it is as it should be.
    pub(crate) works: bool,
    /// Whether it lets in whom it names, rather than keeping them out.
    pub(crate) opens: bool,
    /// How much of what the target opens it speaks of: all, so that what it says is sure; some, or nobody knows; nothing.
    pub(crate) reach: PerFamily<Overlap>,
}

impl Standing {
    /// A rule as it should be.
    pub(crate) fn good(settings: &Settings, part: Part, priority: u16, admits: BTreeSet<Admits>) -> Self {
        let to = settings.destination_of(part);
        let reach = PerFamily::from_fn(|family| overlap_of(settings, family, to));
        Self { admits, priority, works: true, opens: !matches!(part, Part::Deny(_)), reach }
    }

    pub(crate) fn opens_to(&self, family: Family) -> Overlap {
        if self.opens { *self.reach.get(family) } else { Overlap::None }
    }

    /// Whether it may keep somebody out: what closes, or what was turned against those whom it is for.
    pub(crate) fn may_close(&self, family: Family) -> bool {
        !self.opens && *self.reach.get(family) > Overlap::None
    }

    /// Whether it keeps everybody out who comes as far.
    pub(crate) fn closes(&self, family: Family) -> bool {
        let all = everybody().map(Admits::Range);
        !self.opens && *self.reach.get(family) == Overlap::Whole && all.iter().all(|one| self.admits.contains(one))
    }
}

/// Our rules.
pub(crate) type State = BTreeMap<Part, Standing>;

/// A state without the ends that stood before as they do: whom those shut out were out, and no other end shuts them out.
pub(crate) fn but_for_ends(state: &State, before: &State) -> State {
    let stood = |part: &Part, rule: &Standing| matches!(part, Part::Deny(_)) && before.get(part) == Some(rule);
    state.iter().filter(|(part, rule)| !stood(part, rule)).map(|(part, rule)| (*part, rule.clone())).collect()
}

/// Whether a rule that lets in will: not behind one of ours that may close before.
pub(crate) fn takes_effect(state: &State, part: Part, rule: Option<&Standing>) -> bool {
    let Some(rule) = rule else { return true };
    let before = |(other, end): (&Part, &Standing), family| {
        *other != part && end.may_close(family) && end.priority < rule.priority
    };
    let is_behind =
        |family: Family| rule.opens_to(family) > Overlap::None && state.iter().any(|end| before(end, family));
    !Family::ALL.into_iter().any(is_behind)
}

/// Whether something of ours closes the ports for sure.
pub(crate) fn closed(state: &State, family: Family) -> bool {
    state.values().any(|end| end.closes(family))
}

/// How many prefixes they hold, as the group counts them: a tag is none.
pub(crate) fn prefixes(state: &State) -> usize {
    state.keys().map(|part| prefixes_of(state, *part)).sum()
}

pub(crate) fn prefixes_of(state: &State, part: Part) -> usize {
    let ranges = |rule: &Standing| rule.admits.iter().filter(|admits| matches!(admits, Admits::Range(_))).count();
    // What closes names `*`, which is no prefix.
    state.get(&part).filter(|_| part.holds_entries()).map_or(0, ranges)
}

/// Whom a state lets in: not what its rules say, but what comes of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) addresses: PrefixSet,
    pub(crate) tags: BTreeSet<(Box<str>, Family)>,
}

impl Effect {
    /// Who is admitted for sure.
    pub(crate) fn sure(state: &State) -> Self {
        Self::sure_of(state, |_, _| true)
    }

    /// Who is, by these rules.
    pub(crate) fn sure_of(state: &State, of: impl Fn(Part, Family) -> bool) -> Self {
        let gets_past = |rule: &Standing, family: Family| {
            state.values().all(|end| !end.may_close(family) || rule.priority < end.priority)
        };
        let surely =
            |rule: &Standing, family: Family| rule.opens_to(family) == Overlap::Whole && gets_past(rule, family);
        Self::collect(state, |part, rule, family| of(part, family) && surely(rule, family))
    }

    /// Who may be admitted, by these rules.
    pub(crate) fn possible(state: &State, of: impl Fn(Part, Family) -> bool) -> Self {
        let is_shut = |rule: &Standing, family: Family| {
            state.values().any(|end| end.closes(family) && end.priority < rule.priority)
        };
        let possibly = |part: Part, rule: &Standing, family: Family| {
            rule.opens_to(family) > Overlap::None && of(part, family) && !is_shut(rule, family)
        };
        Self::collect(state, possibly)
    }

    /// Whom rules let in that are picked.
    fn collect(state: &State, picks: impl Fn(Part, &Standing, Family) -> bool) -> Self {
        let (mut ranges, mut tags, [everybody, _]) = (Vec::new(), BTreeSet::new(), everybody());
        for (part, rule) in state {
            for family in Family::ALL.into_iter().filter(|family| picks(*part, rule, *family)) {
                for admits in &rule.admits {
                    match admits {
                        Admits::Range(range) if range.family() == family => ranges.push(*range),
                        Admits::Range(_) => {}
                        Admits::ServiceTag(tag) => drop(tags.insert((tag.clone(), family))),
                    }
                }
                // Load balancers are among everybody.
                if rule.admits.contains(&Admits::Range(everybody)) {
                    tags.insert((crate::PROBES.into(), family));
                }
            }
        }
        Self { addresses: ranges.into_iter().collect(), tags }
    }

    pub(crate) fn and(&self, other: &Self) -> Self {
        Self {
            addresses: self.addresses.intersection(&other.addresses),
            tags: self.tags.intersection(&other.tags).cloned().collect(),
        }
    }

    pub(crate) fn without(&self, other: &Self) -> Self {
        Self {
            addresses: self.addresses.difference(&other.addresses),
            tags: self.tags.difference(&other.tags).cloned().collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.tags.is_empty()
    }
}
