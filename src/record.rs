//! What a pass leaves behind in the state directory, after everything is enforced that will be.

use serde::Serialize;

use crate::accept;
use crate::config::{Config, Policy};
use crate::report::{Failure, Outcome, Report};
use crate::source::{Fetched, Freshness, LastGood};
use crate::state::{Accepted, ListRecord, State, StateDir, StateError};

/// A pass that changed, or could have changed, something.
#[derive(Debug)]
pub struct Record<'a> {
    /// The configuration that it went by.
    pub config: &'a Config,
    /// Where it is written.
    pub state_dir: &'a StateDir,
    /// Where publications are kept.
    pub last_good: &'a LastGood,
    /// The state that it began with.
    pub state: &'a State,
    /// What became of it.
    pub report: &'a Report,
    /// The publication, unless it was refused as a whole or none was had.
    pub fetched: Option<&'a Fetched>,
    /// The lists that were accepted with it.
    pub accepted: &'a [String],
    /// Why the operator let refusals through.
    pub reason: Option<&'a str>,
}

/// A line of the audit file about a pass in which a refusal was let through.
#[derive(Serialize)]
struct Overridden<'a> {
    time: String,
    event: &'static str,
    reason: &'a str,
    limits: Vec<String>,
    publication: Option<String>,
    user: Option<String>,
}

impl Record<'_> {
    /// Writes it all. What cannot be written is a warning: the firewalls are as the report says, whatever the disk does.
    pub fn write(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut told = |result: Result<(), StateError>| {
            if let Err(error) = result {
                warnings.push(Failure::of(&error, None).message);
            }
        };
        let dir = self.state_dir;
        if !self.report.overridden.is_empty() {
            told(dir.audit(&self.overridden()));
        }
        let state = self.next_state();
        let is_news = |fetched: &&Fetched| matches!(fetched.freshness, Freshness::Fresh | Freshness::NotModified);
        if let Some(fetched) = self.fetched.filter(is_news) {
            told(self.last_good.store(fetched).map_err(|source| StateError::Io {
                action: "store the publication in",
                path: dir.path().to_owned(),
                source,
            }));
        }
        let saved = dir.save(&state);
        // Only once the old state is gone does nothing refer to the old documents.
        if let (Ok(()), Some(fetched)) = (&saved, self.fetched) {
            let lists = state.lists.values().map(|list| list.sha256);
            let keep: Vec<_> = lists.chain([fetched.publication.sha256]).collect();
            // What stays costs only space: next time will do.
            let _ = self.last_good.retain(&keep);
        }
        told(saved);
        warnings
    }

    fn next_state(&self) -> State {
        let (now, mut state) = (self.report.started, self.state.clone());
        if let Some(fetched) = self.fetched {
            let publication = &fetched.publication;
            let sha256 = publication.sha256;
            let known = state.accepted.values().find(|accepted| accepted.sha256 == sha256);
            let first_seen = known.map_or(now, |accepted| accepted.first_seen);
            // One that every list refused was not gone by: that Microsoft takes it back is no step back.
            if !self.accepted.is_empty() {
                let accepted = Accepted { change_number: publication.change_number, sha256, first_seen };
                state.accepted.insert(accept::numbering(&self.config.source), accepted);
            }
            for list in self.accepted {
                state.lists.insert(list.clone(), ListRecord { sha256 });
            }
        }
        state.lists.retain(|name, _| self.config.lists.contains_key(name));
        let mut abandoned = Vec::new();
        for target in &self.report.targets {
            let record = state.targets.entry(target.target.name.clone()).or_default();
            record.last_attempt = Some(now);
            if matches!(target.outcome, Outcome::InSync(_) | Outcome::Applied(..)) {
                record.last_verified = Some(now);
                record.withdrawn = None;
                record.lists.clone_from(&target.target.lists);
            }
            // Who only looks claims nothing.
            let claims = target.target.policy != Policy::Observe;
            if claims && matches!(target.outcome, Outcome::InSync(_) | Outcome::Applied(..)) {
                let object = target.target.backend.unmarked_object();
                let before = std::mem::replace(&mut record.unmarked, object);
                if let Some(before) = before.filter(|before| record.claimed && record.unmarked.as_ref() != Some(before))
                {
                    abandoned.push((target.target.name.clone(), before));
                }
                record.claimed = true;
            }
        }
        state.abandoned.extend(abandoned);
        state
    }

    fn overridden(&self) -> Overridden<'_> {
        Overridden {
            time: self.report.started.to_string(),
            event: "override",
            reason: self.reason.unwrap_or_default(),
            limits: self.report.overridden.iter().map(ToString::to_string).collect(),
            publication: self.report.publication.as_ref().map(|published| published.sha256.to_string()),
            user: std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).ok(),
        }
    }
}
