//! What apply has in mind, and the next request on the way there.

use std::collections::BTreeSet;

use serde_json::Value;
use tagwall_provider::{Cause, Operation, OwnerMark, ProviderError, Steps};

use crate::effect::{Standing, State};
use crate::foreign;
use crate::layout::{Part, name, named, owned};
use crate::observe::{limits, ours, state};
use crate::order;
use crate::place::Contents;
use crate::rule::{Group, Rule};
use crate::settings::Settings;

/// What our rules shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal(State);

/// One request: a rule is put or deleted as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The rule's name.
    pub name: String,
    /// What it shall be; nothing where it goes.
    pub body: Option<Value>,
    /// Whether no such rule was there.
    pub is_new: bool,
    /// Its version that the request builds on; empty where there is none.
    pub etag: String,
    /// How many entries come with it.
    pub added: u64,
    /// How many go with it.
    pub removed: u64,
    /// Whether it does something besides.
    pub skeleton: bool,
    step: order::Write,
}

impl Goal {
    /// Where the steps lead from here.
    ///
    /// # Errors
    /// [`ProviderError::Rejected`] where a step is none of [`crate::place`]'s.
    pub fn new(settings: &Settings, group: &Group, steps: &Steps) -> Result<Self, ProviderError> {
        let unknown = || ProviderError::rejected(Cause::new("the step is none of this target's"));
        let entries = state(settings, group).into_iter().filter(|(part, _)| part.holds_entries());
        let mut contents: Contents = entries.map(|(part, rule)| (part, rule.admits)).collect();
        for step in &steps.entries {
            let part = Part::of_slot(step.slot).filter(|part| part.holds_entries()).ok_or_else(unknown)?;
            let admits = contents.entry(part).or_default();
            match step.operation {
                Operation::Add => admits.insert(step.admits.clone()),
                Operation::Remove => admits.remove(&step.admits),
            };
        }
        let skeleton = settings.parts().filter(|part| settings.wants(*part));
        contents.extend(skeleton.map(|part| (part, source(part))));
        let mut goal = State::new();
        for (part, admits) in contents {
            if admits.is_empty() && part.holds_entries() {
                continue;
            }
            let priority = settings.priority_of(part).ok_or_else(unknown)?;
            goal.insert(part, Standing::good(settings, part, priority, admits));
        }
        Ok(Self(goal))
    }

    /// The next request on the way, or nothing where the goal is reached.
    ///
    /// # Errors
    /// [`ProviderError::Conflict`] where somebody else's rule has come to stand where one of ours is to;
    /// [`ProviderError::Rejected`] where no request leaves everybody admitted and the group within its limits.
    pub fn next(&self, settings: &Settings, group: &Group) -> Result<Option<Write>, ProviderError> {
        let (state, limits) = (state(settings, group), limits(settings, group));
        if let Some(rule) = self.occupant(settings, group, &state) {
            let what = format!("rule `{}` came into the place of one of the target's since it was planned", rule.name);
            return Err(ProviderError::Conflict(Cause::new(what)));
        }
        let next = order::next(settings, &state, &self.0, &limits).map_err(|order::Stuck| {
            let parts: BTreeSet<Part> = self.0.keys().chain(state.keys()).copied().collect();
            let differs = |part: &&Part| self.0.get(part) != state.get(part);
            let names: Vec<String> = parts.iter().filter(differs).map(|part| name(&settings.mark, *part)).collect();
            let what = format!("the rules {} cannot be brought in order one by one", names.join(", "));
            ProviderError::rejected(Cause::new(what).hint(
                "something came into the group since it was planned: plan again. Otherwise put one of them where it belongs by hand, or take them all away with `withdraw`, which leaves the ports to others' rules until the next `sync`",
            ))
        })?;
        Ok(next.map(|write| Write::new(settings, group, &state, write)))
    }

    /// Somebody else's rule that has the name or the priority of one that is to be: a plan is refused because of such a
    /// rule, so this one is newer than the plan, and a PUT would write over it.
    fn occupant<'a>(&self, settings: &'a Settings, group: &'a Group, state: &State) -> Option<&'a Rule> {
        let is_there = |part: &Part, rule: &Rule| {
            state.get(part).is_none_or(|ours| ours.priority != rule.priority()) && rule.is_inbound()
        };
        let occupies = |rule: &&Rule| {
            let has_name = named(&settings.mark, &rule.name).is_some_and(|part| self.0.contains_key(&part));
            let takes = |(part, ours): (&Part, &Standing)| ours.priority == rule.priority() && is_there(part, rule);
            has_name || self.0.iter().any(takes)
        };
        foreign::others(settings, group).find(occupies)
    }

    /// More requests than any way takes.
    pub(crate) fn most_writes(&self, settings: &Settings, group: &Group) -> usize {
        order::most_writes(&state(settings, group), &self.0)
    }

    /// Whether the rule is as a request was to make it, whatever else happened.
    pub(crate) fn has_landed(settings: &Settings, write: &Write, after: &Group) -> bool {
        state(settings, after).get(&write.step.0) == write.step.1.as_ref()
    }

    /// Whether the group is as it was to be after a request.
    pub fn holds(settings: &Settings, before: &Group, write: &Write, after: &Group) -> bool {
        let mut expected = state(settings, before);
        order::apply(&mut expected, &write.step);
        let mut now = state(settings, after);
        for (part, rule) in &mut now {
            // A change that comes to an end ends the failure of another's as well: ARM tells both of the whole group.
            if let Some(expected) = expected.get(part).filter(|_| *part != write.step.0 && rule.works) {
                rule.works = expected.works;
            }
        }
        expected == now
    }
}

/// Whom a rule of the skeleton names.
fn source(part: Part) -> BTreeSet<tagwall_provider::Admits> {
    use tagwall_provider::Admits;
    match part {
        Part::Probes(_) => [Admits::ServiceTag(crate::PROBES.into())].into(),
        _ => crate::rule::everybody().map(Admits::Range).into(),
    }
}

impl Write {
    fn new(settings: &Settings, group: &Group, state: &State, write: order::Write) -> Self {
        let (part, after) = (write.0, write.1.as_ref());
        let rules = ours(settings, group);
        let rule = rules.get(&part).copied();
        let none = BTreeSet::new();
        let old = state.get(&part).map_or(&none, |rule| &rule.admits);
        let new = after.map_or(&none, |rule| &rule.admits);
        let counted = |count: usize| if part.holds_entries() { count as u64 } else { 0 };
        let around = |before: &Standing| {
            after.is_none_or(|after| (before.priority, before.works) != (after.priority, after.works))
        };
        Self {
            name: rule.map_or_else(|| name(&settings.mark, part), |rule| rule.name.clone()),
            body: after.map(|after| Rule::body(settings, part, after, rule)),
            is_new: rule.is_none(),
            etag: rule.map(|rule| rule.etag.clone()).unwrap_or_default(),
            added: counted(new.difference(old).count()),
            removed: counted(old.difference(new).count()),
            skeleton: state.get(&part).is_none_or(around),
            step: write,
        }
    }
}

/// The rules of a mark, by name as well, in the order in which they go: what closes goes first, since others' rules,
/// those of another target among them, may let in whom these did.
pub(crate) fn all_of<'a>(mark: &OwnerMark, group: &'a Group) -> Vec<&'a Rule> {
    let mut rules: Vec<(Part, &Rule)> =
        group.rules.iter().filter_map(|rule| Some((owned(mark, rule)?, rule))).collect();
    rules.sort_by_key(|(part, _)| std::cmp::Reverse(*part));
    rules.into_iter().map(|(_, rule)| rule).collect()
}
