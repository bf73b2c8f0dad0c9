//! In which order rules are written, so that every state in between is as good as the first and the last.
//!
//! One write makes, changes or deletes one rule, and takes effect as a whole. An order is looked for step by step: of
//! the writes that are left, the first after which nobody is missing who was admitted and is to stay, and after which the
//! group holds no more than it can. What adds comes before what only takes away; where a rule cannot change at once,
//! it takes in the new first and lets go of the old later, and one whose priority another of ours still has waits at a free one.

use std::collections::{BTreeMap, BTreeSet};

use tagwall_provider::{Admits, PrefixSet};

use crate::layout::{Part, Scope};
use crate::rule::everybody;
use crate::settings::Settings;

/// One of our rules, as far as the order of writes depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Whom its source names.
    pub(crate) admits: BTreeSet<Admits>,
    pub(crate) priority: u16,
    /// Whether everything else about it is as it should be. A rule of which that is not so admits nobody for sure.
    pub(crate) works: bool,
    /// Whether it may admit somebody: not where it denies, or is for outbound connections.
    pub(crate) opens: bool,
}

impl Standing {
    /// A rule as it should be.
    pub(crate) fn good(part: Part, priority: u16, admits: BTreeSet<Admits>) -> Self {
        Self { admits, priority, works: true, opens: !matches!(part, Part::Deny(_)) }
    }
}

/// Our rules.
pub(crate) type State = BTreeMap<Part, Standing>;

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
    let path = Path::new(settings, from, to, limits);
    while let Some(write) = path.next(&state)? {
        apply(&mut state, &write);
        writes.push(write);
    }
    Ok(writes)
}

/// The first write of all.
pub(crate) fn next(settings: &Settings, from: &State, to: &State, limits: &Limits) -> Result<Option<Write>, Stuck> {
    Path::new(settings, from, to, limits).next(from)
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
}

impl<'a> Path<'a> {
    fn new(settings: &'a Settings, from: &'a State, to: &'a State, limits: &'a Limits) -> Self {
        let tags = |effect: Effect| -> BTreeSet<(Box<str>, Scope)> {
            effect.tags.into_iter().filter(|(tag, _)| **tag != *crate::PROBES).collect()
        };
        let may = tags(Effect::possible(settings, from, Part::holds_entries));
        let (does, shall) = (tags(Effect::sure(settings, from)), tags(Effect::sure(settings, to)));
        let kept = Effect::possible(settings, from, |_| true).and(&Effect::sure(settings, to));
        Self { settings, from, to, limits, kept, switches: may != shall || does != shall, to_tag: !shall.is_empty() }
    }

    fn next(&self, state: &State) -> Result<Option<Write>, Stuck> {
        let mut left: Vec<Write> = self.to.iter().map(|(part, rule)| (*part, Some(rule.clone()))).collect();
        left.retain(|(part, rule)| state.get(part) != rule.as_ref());
        left.extend(state.keys().filter(|part| !self.to.contains_key(part)).map(|part| (*part, None)));
        if left.is_empty() {
            return Ok(None);
        }
        left.sort_by_key(|write| (class(state, write), write.0));
        let at_once = left.iter().find(|write| self.allows(state, write)).cloned();
        let other = || self.by_halves(state, &left).or_else(|| self.by_parking(state, &left));
        at_once.or_else(other).map(Some).ok_or(Stuck)
    }

    /// A rule at another priority for the time being, where one of ours has its own: after a change of the
    /// configuration, or where somebody moved rules about. Only where it brings what is not there, or lets
    /// another write go ahead.
    fn by_parking(&self, state: &State, left: &[Write]) -> Option<Write> {
        let parked = |(part, rule): &Write| {
            let rule = rule.as_ref()?;
            let is_new = state.get(part).is_none_or(|now| !now.works || now.admits != rule.admits);
            self.settings.block().find_map(|priority| {
                let write = (*part, Some(Standing { priority, ..rule.clone() }));
                let mut after = state.clone();
                apply(&mut after, &write);
                let frees = || left.iter().any(|other| other.0 != *part && self.allows(&after, other));
                (priority != rule.priority && self.allows(state, &write) && (is_new || frees())).then_some(write)
            })
        };
        left.iter().find_map(parked)
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
        fits && free && !self.lets_go_early(state, &after, write) && !self.opens_gap(&after)
    }

    /// Whether somebody is missing who is to stay. Nobody is who is surely admitted, or whose rules are all as they were:
    /// what a rule did that is not as it should be, it does until it is written.
    fn opens_gap(&self, after: &State) -> bool {
        let missing = self.kept.without(&Effect::sure(self.settings, after));
        let changed = |part: &Part| after.get(part) != self.from.get(part);
        let closed = |end: &Part| match (self.from.get(end), after.get(end)) {
            (Some(before), Some(now)) => now != before && (now.priority < before.priority || !before.works),
            (before, now) => before.is_none() && now.is_some(),
        };
        let ends = |part: Part| after.keys().filter(move |end| self.settings.closes(**end, part));
        let touched = |part: Part| changed(&part) || ends(part).any(closed);
        let lost = Effect::possible(self.settings, self.from, touched);
        !missing.and(&lost).is_empty()
    }

    /// Whether it takes somebody away while another rule has yet to take somebody in, and it cannot be known who is who.
    fn lets_go_early(&self, state: &State, after: &State, (part, rule): &Write) -> bool {
        let closes = matches!(part, Part::Deny(_)) && rule.is_some();
        if !self.switches || matches!(part, Part::Probes(_)) {
            return false;
        }
        // An end that was turned into its opposite lets in whom it names.
        let entries = |state: &State| Effect::possible(self.settings, state, |part| !matches!(part, Part::Probes(_)));
        let mut goes = entries(state).without(&entries(after));
        if !self.to_tag {
            // Prefixes that nobody desires are nobody's who stays: only of a tag that goes it is not known who they are.
            goes.addresses = PrefixSet::new();
        }
        (closes || !goes.is_empty()) && !entries(self.to).without(&Effect::sure(self.settings, after)).is_empty()
    }
}

/// What comes first: who adds, what opens to probes, what closes, who only takes away, what goes.
fn class(state: &State, (part, rule): &Write) -> u8 {
    let Some(rule) = rule else { return 4 };
    match part {
        Part::Probes(_) => 1,
        Part::Deny(_) => 2,
        Part::Chunk(..) | Part::Tag(_) => {
            let only_less = state.get(part).is_some_and(|before| {
                before.priority == rule.priority && before.works && rule.admits.is_subset(&before.admits)
            });
            if only_less { 3 } else { 0 }
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

/// How many prefixes they hold, as the group counts them: a tag is none.
pub(crate) fn prefixes(state: &State) -> usize {
    state.keys().map(|part| prefixes_of(state, *part)).sum()
}

fn prefixes_of(state: &State, part: Part) -> usize {
    let ranges = |rule: &Standing| rule.admits.iter().filter(|admits| matches!(admits, Admits::Range(_))).count();
    // What closes names `*`, which is no prefix.
    state.get(&part).filter(|_| part.holds_entries()).map_or(0, ranges)
}

/// Whom a state lets in: not what its rules say, but what comes of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Effect {
    addresses: PrefixSet,
    tags: BTreeSet<(Box<str>, Scope)>,
}

impl Effect {
    /// Who is admitted for sure.
    fn sure(settings: &Settings, state: &State) -> Self {
        // One that is not as it should be may close anything: an end, or what was turned into one.
        let closes = |end: Part, rule: &Standing, part| settings.closes(end, part) || !rule.works && !rule.opens;
        let ends = |part: Part| state.iter().filter(move |(end, rule)| closes(**end, rule, part));
        let gets_past = |part: Part, rule: &Standing| ends(part).all(|(_, end)| rule.priority < end.priority);
        let surely = |part: Part, rule: &Standing| rule.works && gets_past(part, rule);
        let opens = |part: Part| !matches!(part, Part::Deny(_));
        Self::collect(settings, state, |part, rule| opens(part) && rule.is_some_and(|rule| surely(part, rule)))
    }

    /// Who may be admitted, by these rules.
    fn possible(settings: &Settings, state: &State, of: impl Fn(Part) -> bool) -> Self {
        Self::collect(settings, state, |part, _| of(part))
    }

    /// Whom rules let in that are picked. Probes may be let in by rules that are not ours, the group's default rule
    /// above all, until something of ours closes before those.
    fn collect(settings: &Settings, state: &State, picks: impl Fn(Part, Option<&Standing>) -> bool) -> Self {
        let mut effect = Self::default();
        for probes in settings.scopes().iter().map(|scope| Part::Probes(*scope)).filter(|probes| picks(*probes, None)) {
            effect.tags.extend(settings.reaches(probes).map(|scope| (crate::PROBES.into(), scope)));
        }
        let (mut ranges, [everybody, _]) = (Vec::new(), everybody());
        for (part, rule) in state.iter().filter(|(_, rule)| rule.opens).filter(|(part, rule)| picks(**part, Some(rule)))
        {
            for admits in &rule.admits {
                let tag: Box<str> = match admits {
                    // Load balancers are among everybody.
                    Admits::Range(range) if *range == everybody => crate::PROBES.into(),
                    Admits::ServiceTag(tag) => tag.clone(),
                    Admits::Range(_) => continue,
                };
                // And one may open anything.
                let reaches = |scope: &&Scope| !rule.works || settings.reaches(*part).any(|reached| reached == **scope);
                let scopes = settings.scopes().iter().filter(reaches);
                effect.tags.extend(scopes.map(|scope| (Box::clone(&tag), *scope)));
            }
            ranges.extend(rule.admits.iter().filter_map(|admits| match admits {
                Admits::Range(range) => Some(*range),
                Admits::ServiceTag(_) => None,
            }));
        }
        effect.addresses = ranges.into_iter().collect();
        effect
    }

    fn and(&self, other: &Self) -> Self {
        Self {
            addresses: self.addresses.intersection(&other.addresses),
            tags: self.tags.intersection(&other.tags).cloned().collect(),
        }
    }

    fn without(&self, other: &Self) -> Self {
        Self {
            addresses: self.addresses.difference(&other.addresses),
            tags: self.tags.difference(&other.tags).cloned().collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.tags.is_empty()
    }
}
