//! What a pass leaves behind in the state directory, after everything is enforced that will be.

use serde::Serialize;

use crate::accept;
use crate::config::Config;
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
        if let Some(fetched) = self.fetched {
            if matches!(fetched.freshness, Freshness::Fresh | Freshness::NotModified) {
                told(self.last_good.store(fetched).map_err(|source| StateError::Io {
                    action: "store the publication in",
                    path: dir.path().to_owned(),
                    source,
                }));
            }
            let keep: Vec<_> =
                state.lists.values().map(|list| list.sha256).chain([fetched.publication.sha256]).collect();
            // Documents that nothing refers to cost only space: next time will do.
            let _ = self.last_good.retain(&keep);
        }
        told(dir.save(&state));
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
        for target in &self.report.targets {
            let record = state.targets.entry(target.target.name.clone()).or_default();
            record.last_attempt = Some(now);
            if matches!(target.outcome, Outcome::InSync(_) | Outcome::Applied(..)) {
                record.last_verified = Some(now);
                record.withdrawn = None;
                record.claimed = true;
                record.unmarked = target.target.backend.unmarked_object();
            }
        }
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
