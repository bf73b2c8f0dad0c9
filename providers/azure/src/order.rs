//! In which order rules are written, so that every state in between is as good as the first and the last.
//!
//! One write makes, changes or deletes one rule, and takes effect as a whole. An order is looked for step by step: of
//! the writes that are left, the first after which nobody is missing who was admitted and is to stay, nobody gets in who
//! did not and is not to, and the group holds no more than it can. What adds comes before what only takes away. Where a
//! rule cannot change at once, it takes in the new first and lets go of the old later; one whose priority another of ours
//! still has waits at a free one; and one that is to go may stand in for its successor.

use std::collections::BTreeSet;

use tagwall_provider::{Admits, Family, PrefixSet};

use crate::effect::{Effect, Standing, State, but_for_ends, closed, prefixes, prefixes_of, takes_effect};
use crate::foreign::Overlap;
use crate::layout::Part;
use crate::settings::Settings;

/// One write: what a rule is to be, or nothing where it goes.
pub(crate) type Write = (Part, Option<Standing>);

/// What the group holds besides our rules, and what it can hold of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    /// Source addresses and prefixes of ours, all rules together.
    pub(crate) prefixes: usize,
    /// Rules of ours.
    pub(crate) rules: usize,
    /// Priorities that somebody else's rule has.
    pub(crate) taken: BTreeSet<u16>,
}

/// No write that is left can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stuck;

/// All writes from one state to another, in order.
///
/// # Errors
/// [`Stuck`] where the group has too little room for what comes beside what goes, or two rules of ours hold each
/// other's priority.
pub(crate) fn writes(settings: &Settings, from: &State, to: &State, limits: &Limits) -> Result<Vec<Write>, Stuck> {
    let (mut state, mut writes) = (from.clone(), Vec::new());
    let paths = Guard::ALL.map(|guard| Path::new(settings, from, to, limits, guard));
    while let Some(write) = first_of(paths.iter().map(|path| path.next(&state)))? {
        apply(&mut state, &write);
        writes.push(write);
        if writes.len() > most_writes(from, to) {
            return Err(Stuck);
        }
    }
    Ok(writes)
}

/// More than any order takes: each rule may wait elsewhere, take in, and come to be as it shall.
pub(crate) fn most_writes(from: &State, to: &State) -> usize {
    4 * (from.len() + to.len())
}

/// The first write of all. Where rules that are not as they should be leave no way on which all that they may do is
/// guarded, less is: they have to be mended all the same.
pub(crate) fn next(settings: &Settings, from: &State, to: &State, limits: &Limits) -> Result<Option<Write>, Stuck> {
    first_of(Guard::ALL.iter().map(|guard| Path::new(settings, from, to, limits, *guard).next(from)))
}

/// The first way that there is.
fn first_of(ways: impl IntoIterator<Item = Result<Option<Write>, Stuck>>) -> Result<Option<Write>, Stuck> {
    ways.into_iter().find(Result::is_ok).unwrap_or(Err(Stuck))
}

/// What is guarded on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Guard {
    /// Who may be let in stays, and what may close does.
    Possible,
    /// Who surely is, and what surely does: of a rule that is not as it should be nobody knows.
    Sure,
    /// Who surely is. Of two ends that each close what the other should, one has to go first.
    Admitted,
}

impl Guard {
    const ALL: [Self; 3] = [Self::Possible, Self::Sure, Self::Admitted];
}

/// Makes a write.
pub(crate) fn apply(state: &mut State, (part, standing): &Write) {
    match standing {
        Some(standing) => drop(state.insert(*part, standing.clone())),
        None => drop(state.remove(part)),
    }
}

struct Path<'a> {
    settings: &'a Settings,
    from: &'a State,
    to: &'a State,
    limits: &'a Limits,
    /// Who may have been admitted at first and surely is at last.
    kept: Effect,
    /// Whether a service tag comes or goes. Nobody here knows whom it admits, so nothing goes before all has come.
    switches: bool,
    /// Whether a service tag is what all shall come to.
    to_tag: bool,
    guard: Guard,
}

impl<'a> Path<'a> {
    fn new(settings: &'a Settings, from: &'a State, to: &'a State, limits: &'a Limits, guard: Guard) -> Self {
        let tags = |effect: Effect| -> BTreeSet<(Box<str>, Family)> {
            effect.tags.into_iter().filter(|(tag, _)| **tag != *crate::PROBES).collect()
        };
        let was = |of: fn(Part) -> bool| {
            if guard > Guard::Possible {
                Effect::sure_of(from, |part, _| of(part))
            } else {
                Effect::possible(from, |part, _| of(part))
            }
        };
        let may = tags(was(Part::holds_entries));
        let (does, shall) = (tags(Effect::sure(from)), tags(Effect::sure(to)));
        let kept = was(|_| true).and(&Effect::sure(to));
        Self {
            settings,
            from,
            to,
            limits,
            kept,
            switches: may != shall || does != shall,
            to_tag: !shall.is_empty(),
            guard,
        }
    }

    fn next(&self, state: &State) -> Result<Option<Write>, Stuck> {
        let mut left: Vec<Write> = self.to.iter().map(|(part, rule)| (*part, Some(rule.clone()))).collect();
        left.retain(|(part, rule)| state.get(part) != rule.as_ref());
        left.extend(state.keys().filter(|part| !self.to.contains_key(part)).map(|part| (*part, None)));
        if left.is_empty() {
            return Ok(None);
        }
        left.sort_by_key(|write| (self.class(state, write), write.0));
        let at_once = |write: &&Write| self.allows(state, write) && takes_effect(state, write.0, write.1.as_ref());
        let found = left.iter().find(at_once).cloned();
        let found = found.or_else(|| self.by_halves(state, &left));
        let brings = |write: &Write| self.brings(state, write);
        let found = found.or_else(|| {
            self.by_parking(state, &left, |write, _| brings(write) && takes_effect(state, write.0, write.1.as_ref()))
        });
        let found = found.or_else(|| left.iter().find(|write| self.allows(state, write)).cloned());
        let frees =
            |write: &Write, after: &State| left.iter().any(|other| other.0 != write.0 && self.allows(after, other));
        let found = found.or_else(|| self.by_parking(state, &left, frees));
        found.or_else(|| self.by_parking(state, &left, |write, _| brings(write))).map(Some).ok_or(Stuck)
    }

    /// A rule at another priority for the time being, where one of ours has its own: after a change of the
    /// configuration, or where somebody moved rules about. Only where it helps: brings what is not there, or lets
    /// another write go ahead. One that is to go may stand in for the one that replaces it, as that will be.
    fn by_parking(&self, state: &State, left: &[Write], helps: impl Fn(&Write, &State) -> bool) -> Option<Write> {
        let parked = |(part, rule): &Write| {
            let nominal = rule.as_ref().map(|rule| rule.priority);
            let rule = rule.clone().or_else(|| self.stand_in(state, *part))?;
            let own = state.get(part).map(|now| now.priority);
            own.into_iter().chain(self.settings.block()).find_map(|priority| {
                let write = (*part, Some(Standing { priority, ..rule.clone() }));
                let mut after = state.clone();
                apply(&mut after, &write);
                let (low, high) = (priority.min(rule.priority), priority.max(rule.priority));
                let passes = low < high && self.limits.taken.range(low..=high).next().is_some();
                let is_step = after != *state && nominal != Some(priority) && !passes;
                (is_step && self.allows(state, &write) && helps(&write, &after)).then_some(write)
            })
        };
        left.iter().find_map(parked)
    }

    /// Whether a rule that is to be names whom it did not, or did not for sure.
    fn brings(&self, state: &State, (part, rule): &Write) -> bool {
        let is_new = |rule: &Standing| state.get(part).is_none_or(|now| !now.works || now.admits != rule.admits);
        self.to.contains_key(part) && rule.as_ref().is_some_and(is_new)
    }

    /// What a rule of the last configuration can be until its successor has come.
    fn stand_in(&self, state: &State, part: Part) -> Option<Standing> {
        let kind = |part: Part| match part {
            Part::Chunk(..) => 0,
            Part::Tag(_) => 1,
            Part::Probes(_) => 2,
            Part::Deny(_) => 3,
        };
        let now = state.get(&part)?;
        let next = self.to.iter().find(|(next, _)| kind(part) > 0 && kind(**next) == kind(part))?.1;
        Some(Standing::good(self.settings, part, now.priority, next.admits.clone()))
    }

    /// A rule that takes in the new and keeps the old.
    fn by_halves(&self, state: &State, left: &[Write]) -> Option<Write> {
        let widened = left.iter().filter_map(|(part, rule)| {
            let (before, after) = (state.get(part)?, rule.as_ref()?);
            // What a broken rule names may have been let in nowhere: mended, it would be. So it keeps who stays anyway.
            let stays = |admits: &&Admits| match admits {
                Admits::Range(range) => before.works || self.kept.addresses.covers(*range),
                Admits::ServiceTag(_) => before.works,
            };
            let admits = both(&before.admits.iter().filter(stays).cloned().collect(), &after.admits);
            let is_step = admits != after.admits && (admits != before.admits || !before.works);
            (part.holds_entries() && is_step).then(|| (*part, Some(Standing { admits, ..after.clone() })))
        });
        widened.into_iter().find(|write| self.allows(state, write))
    }

    fn allows(&self, state: &State, write: &Write) -> bool {
        let mut after = state.clone();
        apply(&mut after, write);
        let (before_count, after_count) = (prefixes(state), prefixes(&after));
        let fits = after_count <= self.limits.prefixes.max(before_count)
            && after.len() <= self.limits.rules.max(state.len())
            && prefixes_of(&after, write.0) <= self.settings.largest_rule.max(prefixes_of(state, write.0));
        let free = write.1.as_ref().is_none_or(|rule| {
            let ours = state.iter().any(|(part, other)| *part != write.0 && other.priority == rule.priority);
            let stays = state.get(&write.0).is_some_and(|before| before.priority == rule.priority);
            stays || !ours && !self.limits.taken.contains(&rule.priority)
        });
        fits && free
            && !self.opens_door(state, &after, write)
            && !self.closes_early(state, &after, write)
            && !self.lets_go_early(state, &after, write)
            && !self.opens_gap(&after)
    }

    /// Whom rules let in, as far as those are guarded.
    fn guarded(&self, state: &State, of: impl Fn(Part, Family) -> bool) -> Effect {
        if self.guard > Guard::Possible { Effect::sure_of(state, of) } else { Effect::possible(state, of) }
    }

    /// Whether somebody is missing who is to stay. Nobody is who is surely admitted, or whose rules are all as they were:
    /// what a rule did that is not as it should be, it does until it is written.
    fn opens_gap(&self, after: &State) -> bool {
        let missing = self.kept.without(&Effect::sure(after));
        let gone = |part: Part, family: Family| {
            let (before, now) = (&self.from[&part], after.get(&part));
            // Whoever came as far as the rule that was there comes to the one that is, and is let in.
            let stands_in = now.is_some_and(|now| {
                let of = |state| self.guarded(state, |other, of| other == part && of == family);
                now.opens_to(family) == Overlap::Whole
                    && now.priority <= before.priority
                    && of(self.from).without(&of(after)).and(&missing).is_empty()
            });
            now != Some(before) && !stands_in
        };
        let anew = |(part, end): (&Part, &Standing), family| {
            let stood = |before: &Standing| before == end || before.closes(family) && before.priority <= end.priority;
            end.may_close(family) && !self.from.get(part).is_some_and(stood)
        };
        let shut = |part: Part, family: Family| {
            after.iter().any(|end| anew(end, family) && end.1.priority < self.from[&part].priority)
        };
        let others = |family: &Family| {
            self.guard == Guard::Possible
                && after.iter().any(|end| anew(end, *family) && self.comes_before_others(self.from, end.1, *family))
        };
        let probes = |effect: &Effect, family: Family| effect.tags.contains(&(crate::PROBES.into(), family));
        let (last, now) = (Effect::sure(self.to), Effect::sure(&but_for_ends(after, self.from)));
        let asks = |family| probes(&last, family) && !probes(&now, family);
        if Family::ALL.into_iter().filter(others).any(asks) {
            return true;
        }
        let missing_behind = self.kept.without(&now);
        !missing.and(&self.guarded(self.from, gone)).is_empty()
            || !missing_behind.and(&self.guarded(self.from, shut)).is_empty()
    }

    /// Whether it takes away what closes the ports, where they are to be closed at last, before something else does.
    fn opens_door(&self, state: &State, after: &State, (part, _): &Write) -> bool {
        let closes = |before: &Standing, family| {
            if self.guard > Guard::Possible { before.closes(family) } else { before.may_close(family) }
        };
        let goes = |family: Family| state.get(part).is_some_and(|before| closes(before, family));
        let opens = |family: Family| goes(family) && closed(self.to, family) && !closed(after, family);
        self.guard < Guard::Admitted && matches!(part, Part::Deny(_)) && Family::ALL.into_iter().any(opens)
    }

    /// Whether it closes the ports that were open before everybody has come who is to stay: until then others' rules may
    /// let them in, the group's default rule for the virtual network above all.
    fn closes_early(&self, state: &State, after: &State, (part, rule): &Write) -> bool {
        let Some(rule) = rule.as_ref().filter(|_| matches!(part, Part::Deny(_))) else { return false };
        // A tag that comes or goes: nobody here knows who depends on what.
        let closes =
            |family: Family| rule.may_close(family) && (self.switches || self.comes_before_others(state, rule, family));
        Family::ALL.into_iter().any(closes) && !self.all_have_come(&but_for_ends(after, state))
    }

    /// Whether an end stands before rules of others, the default rules among them, that no end of ours stood before.
    fn comes_before_others(&self, state: &State, end: &Standing, family: Family) -> bool {
        let ends = state.values().filter(|other| other.closes(family)).map(|other| other.priority);
        ends.min()
            .is_none_or(|first| end.priority < first && self.limits.taken.range(end.priority..first).next().is_some())
    }

    /// Whether it takes somebody away while another rule has yet to take somebody in, and it cannot be known who is who.
    fn lets_go_early(&self, state: &State, after: &State, (part, _): &Write) -> bool {
        if !self.switches || matches!(part, Part::Probes(_)) {
            return false;
        }
        let mut goes = self.guarded(state, |other, _| other == *part).without(&Effect::sure(after));
        if !self.to_tag {
            // Prefixes that nobody desires are nobody's who stays: only of a tag that goes it is not known who they are.
            goes.addresses = PrefixSet::new();
        }
        !goes.is_empty() && !self.all_have_come(after)
    }

    /// Whether everybody is let in for sure who is to be at last, probes apart.
    fn all_have_come(&self, after: &State) -> bool {
        let entries = Effect::possible(self.to, |part, _| part.holds_entries());
        entries.without(&Effect::sure(after)).is_empty()
    }

    /// What comes first: what lets go of nobody who gets in, what opens the ports to others' rules for good, who adds,
    /// what opens to probes, what closes, who only takes away, what goes.
    fn class(&self, state: &State, (part, rule): &Write) -> u8 {
        let is_shut = || Effect::possible(state, |other, _| other == *part).is_empty();
        let only_less = |rule: &Standing| {
            state.get(part).is_some_and(|before| {
                before.priority == rule.priority && before.works && rule.admits.is_subset(&before.admits)
            })
        };
        match (part, rule) {
            (Part::Deny(_), None) if !self.to.keys().any(|end| matches!(end, Part::Deny(_))) => 1,
            (Part::Chunk(..) | Part::Tag(_), None) if is_shut() => 0,
            (Part::Chunk(..) | Part::Tag(_), Some(rule)) if only_less(rule) => {
                if is_shut() {
                    0
                } else {
                    5
                }
            }
            (_, None) => 6,
            (Part::Chunk(..) | Part::Tag(_), Some(_)) => 2,
            (Part::Probes(_), Some(_)) => 3,
            (Part::Deny(_), Some(_)) => 4,
        }
    }
}

/// All of both, and nothing that lies within another: Azure takes no overlapping prefixes in a rule.
fn both(old: &BTreeSet<Admits>, new: &BTreeSet<Admits>) -> BTreeSet<Admits> {
    let within = |inner: &Admits, outer: &Admits| match (inner, outer) {
        (Admits::Range(inner), Admits::Range(outer)) => {
            inner != outer
                && inner.family() == outer.family()
                && outer.first() <= inner.first()
                && inner.last() <= outer.last()
        }
        _ => false,
    };
    let all: BTreeSet<&Admits> = old.union(new).collect();
    all.iter().filter(|one| !all.iter().any(|other| within(one, other))).map(|one| (*one).clone()).collect()
}
