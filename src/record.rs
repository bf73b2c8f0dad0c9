//! What a pass leaves behind in the state directory, after everything is enforced that will be.

use std::collections::BTreeMap;
use std::sync::Arc;

use tagwall_provider::{Limit, PrefixSet};

use crate::config::{Config, Policy, Target};
use crate::enforce::{JudgedList, JudgedLists};
use crate::generation::{Enforced, EnforcedList, Generation, Named};
use crate::report::{Failure, Outcome, Report, TargetReport};
use crate::source::{Fetched, Freshness};
use crate::state::{Accepted, ListRecord, State, StateDir, StateError, Unconfirmed};
use crate::{accept, audit};

/// A pass that changed, or could have changed, something.
#[derive(Debug)]
pub struct Record<'a> {
    /// The configuration that it went by.
    pub config: &'a Config,
    /// Where it is written.
    pub dir: &'a StateDir,
    /// The state that it began with.
    pub state: &'a State,
    /// What became of it.
    pub report: &'a Report,
    /// The publication, unless it was refused as a whole or none was had.
    pub fetched: Option<&'a Fetched>,
    /// The lists that were accepted with it.
    pub accepted: &'a [String],
    /// Every list as it was judged.
    pub lists: &'a JudgedLists,
    /// What made the pass.
    pub cause: &'a str,
    /// Why the operator let refusals through.
    pub reason: Option<&'a str>,
}

/// What is remembered after a pass.
#[derive(Debug)]
pub struct Remembered {
    /// What could not be written, in words: the firewalls are as the report says, whatever the disk does.
    pub warnings: Vec<String>,
    /// What each target was last enforced with, and in which generation.
    pub enforced: BTreeMap<String, (u64, Enforced)>,
}

impl Record<'_> {
    /// Writes it all, each file whole. What cannot be written is a warning.
    pub fn write(&self) -> Remembered {
        let mut warnings = Vec::new();
        let generations = self.dir.generations();
        let (enforced, new) = self.enforced(&mut warnings);
        warnings.retain(|warning| !self.report.warnings.contains(warning));
        let mut told = |result: Result<(), StateError>| {
            if let Err(error) = result {
                warnings.push(Failure::of(&error, None).message);
            }
        };
        let failed = |action| move |source| StateError::Io { action, path: self.dir.path().to_owned(), source };
        // First what the state refers to, then the state.
        let kept = new.as_ref().map(|generation| generations.write(generation).map(|()| generation.number));
        let number = kept.as_ref().and_then(|kept| kept.as_ref().ok().copied());
        let last_good = self.dir.last_good();
        let is_news = |fetched: &&Fetched| matches!(fetched.freshness, Freshness::Fresh | Freshness::NotModified);
        // What every list refused is not what to fall back to.
        let stored = match self.fetched.filter(is_news).filter(|_| !self.accepted.is_empty()) {
            Some(fetched) => last_good.store(fetched).map_err(failed("store the publication in")),
            None => Ok(()),
        };
        // The state names nothing that is not there: no generation, and no accepted publication.
        let accepted = if stored.is_ok() { self.accepted } else { &[] };
        told(stored);
        let state = match kept {
            Some(Err(error)) => {
                told(Err(failed("keep the generation in")(error)));
                self.next_state(accepted, &BTreeMap::new(), None)
            }
            _ => self.next_state(accepted, &enforced, number),
        };
        if let Some(line) = audit::Pass::of(self.report, self.config, self.cause, self.reason, number) {
            told(self.dir.audit(&line));
        }
        let saved = self.dir.save(&state);
        // Only once the old state is gone does nothing refer to the old files. What stays costs only space.
        if saved.is_ok() {
            let lists: Vec<_> = state.lists.values().map(|list| list.sha256).collect();
            let _ = last_good.retain(&lists);
            let used: Vec<u64> = state.targets.values().filter_map(|record| record.generation).collect();
            let _ = generations.retain(self.config.generations, &used);
        }
        told(saved);
        Remembered { warnings, enforced }
    }

    /// What each target of the configuration is now known to have been enforced with, and the generation that has to
    /// be made of it: one is made where that is not what is on disk.
    fn enforced(&self, warnings: &mut Vec<String>) -> (BTreeMap<String, (u64, Enforced)>, Option<Generation>) {
        let generations = self.dir.generations();
        let mut known = BTreeMap::new();
        let mut changed = Vec::new();
        for target in &self.config.targets {
            let recorded = self.state.targets.get(&target.name).and_then(|record| record.generation);
            // What cannot be read is said, and written anew now.
            let before = generations.enforced(&self.config.owner, &target.name, recorded, warnings);
            let now = self.report.targets.iter().find_map(|told| self.enforced_now(told, target));
            match (before, now) {
                (Some((number, before)), Some(now)) if before.is_same(&now) => {
                    known.insert(target.name.clone(), (number, before));
                }
                (_, Some(now)) => {
                    known.insert(target.name.clone(), (0, now));
                    changed.push(target.name.clone());
                }
                (Some(before), None) => {
                    known.insert(target.name.clone(), before);
                }
                (None, None) => {}
            }
        }
        if changed.is_empty() {
            return (known, None);
        }
        let newest = generations.numbers().ok().and_then(|numbers| numbers.last().copied()).unwrap_or_default();
        let number = newest.max(self.state.generation) + 1;
        for (of, _) in known.values_mut() {
            *of = number;
        }
        let targets = known.iter().map(|(name, (_, enforced))| (name.clone(), enforced.clone())).collect();
        let generation = Generation {
            number,
            owner: self.config.owner.clone(),
            time: self.report.started,
            cause: self.cause.to_owned(),
            targets,
        };
        (known, Some(generation))
    }

    /// What this pass enforced of a target, where it enforced the lists of a publication.
    fn enforced_now(&self, told: &TargetReport, target: &Target) -> Option<Enforced> {
        let (Outcome::InSync(plan) | Outcome::Applied(plan, _)) = &told.outcome else { return None };
        // Who only looks enforces nothing, and what was brought back is in a generation already.
        if told.target.name != target.name || target.policy == Policy::Observe || told.generation.is_some() {
            return None;
        }
        // A refused list may need no step, and was not agreed to for that.
        if target.lists.iter().any(|name| self.lists.get(name).is_none_or(|list| !list.standing.is_empty())) {
            return None;
        }
        let list = |name: &String| {
            let JudgedList { resolved, dropped, .. } = self.lists.get(name)?.as_ref();
            let (listed, extra, dropped) = (resolved.listed.clone(), resolved.extra.clone(), dropped.clone());
            Some((name.clone(), Arc::new(EnforcedList { listed, dropped, extra })))
        };
        Some(Enforced {
            lists: target.lists.iter().filter_map(list).collect(),
            left: if target.policy == Policy::AddOnly { plan.left.clone() } else { PrefixSet::new() },
            publication: self.report.publication.as_ref().map(Named::from),
        })
    }

    fn next_state(
        &self,
        accepted: &[String],
        enforced: &BTreeMap<String, (u64, Enforced)>,
        generation: Option<u64>,
    ) -> State {
        let (now, mut state) = (self.report.started, noted(self.state, self.report));
        state.owner = Some(self.config.owner.clone());
        state.generation = generation.unwrap_or(state.generation);
        if let Some(fetched) = self.fetched {
            let publication = &fetched.publication;
            let sha256 = publication.sha256;
            let known = state.accepted.values().find(|accepted| accepted.sha256 == sha256);
            let first_seen = known.map_or(now, |accepted| accepted.first_seen);
            // One that every list refused was not gone by: that Microsoft takes it back is no step back.
            if !accepted.is_empty() {
                let accepted = Accepted { change_number: publication.change_number, sha256, first_seen };
                state.accepted.insert(accept::numbering(&self.config.source), accepted);
            }
            for name in accepted {
                let dropped = self.lists.get(name).map(|list| list.dropped.clone()).unwrap_or_default();
                let tags = self.config.lists.get(name).map(|list| list.tags.clone()).unwrap_or_default();
                state.lists.insert(name.clone(), ListRecord { sha256, tags, dropped });
            }
        }
        state.lists.retain(|name, _| self.config.lists.contains_key(name));
        let mut abandoned = Vec::new();
        for target in &self.report.targets {
            let record = state.targets.entry(target.target.name.clone()).or_default();
            record.last_attempt = Some(now);
            record.trouble = match &target.outcome {
                Outcome::Refused { refusals, .. } => refusals.first().map(|refusal| format!("refused {refusal}")),
                Outcome::Failed(failure) => Some(failure.message.clone()),
                _ => None,
            };
            if matches!(target.outcome, Outcome::InSync(_) | Outcome::Applied(..)) {
                record.last_verified = Some(now);
                record.lists.clone_from(&target.target.lists);
            }
            // What was kept as it was is enforced, too. Who only looks claims nothing.
            let outcomes = [Some(&target.outcome), target.fallback.as_ref().map(|fallback| fallback.outcome.as_ref())];
            let is_right = |outcome: &Outcome| matches!(outcome, Outcome::InSync(_) | Outcome::Applied(..));
            if target.target.policy != Policy::Observe && outcomes.into_iter().flatten().any(is_right) {
                record.withdrawn = None;
                let object = target.target.backend.unmarked_object();
                let before = std::mem::replace(&mut record.unmarked, object);
                if let Some(before) = before.filter(|before| record.claimed && record.unmarked.as_ref() != Some(before))
                {
                    abandoned.push((target.target.name.clone(), before));
                }
                record.claimed = true;
            }
        }
        for (name, (number, _)) in enforced {
            state.targets.entry(name.clone()).or_default().generation = Some(*number);
        }
        state.abandoned.extend(abandoned);
        state
    }
}

/// The state with what was not confirmed noted: it is not tried again until somebody says so.
pub fn noted(state: &State, report: &Report) -> State {
    let mut state = state.clone();
    for target in &report.targets {
        if let Outcome::Refused { refusals, .. } = &target.outcome
            && let Some(refusal) = refusals.iter().find(|refusal| refusal.limit == Limit::Unconfirmed)
        {
            let record = state.targets.entry(target.target.name.clone()).or_default();
            let unconfirmed = || Unconfirmed { since: report.started, why: refusal.finding.clone() };
            record.unconfirmed.get_or_insert_with(unconfirmed);
        }
    }
    state
}
