//! What a pass leaves behind in the state directory, after everything is enforced that will be.

use serde::Serialize;

use super::context::Context;
use crate::accept;
use crate::config::Policy;
use crate::report::{Failure, Outcome, Report};
use crate::source::{Fetched, Freshness};
use crate::state::{Accepted, ListRecord, State, StateError};

/// A pass that changed, or could have changed, something.
pub(super) struct Record<'a> {
    pub(super) context: &'a Context,
    pub(super) report: &'a Report,
    pub(super) fetched: Option<&'a Fetched>,
    pub(super) accepted: &'a [String],
    /// Why the operator let refusals through.
    pub(super) reason: Option<&'a str>,
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
    pub(super) fn write(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut told = |result: Result<(), StateError>| {
            if let Err(error) = result {
                warnings.push(Failure::of(&error, None).message);
            }
        };
        let dir = &self.context.state_dir;
        if !self.report.overridden.is_empty() {
            told(dir.audit(&self.overridden()));
        }
        let state = self.next_state();
        if let Some(fetched) = self.fetched
            && matches!(fetched.freshness, Freshness::Fresh | Freshness::NotModified)
        {
            told(self.context.last_good.store(fetched).map_err(|source| StateError::Io {
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
            let _ = self.context.last_good.retain(&keep);
        }
        told(saved);
        warnings
    }

    fn next_state(&self) -> State {
        let (now, mut state) = (self.context.now, self.context.state.clone());
        if let Some(fetched) = self.fetched {
            let publication = &fetched.publication;
            let sha256 = publication.sha256;
            let known = state.accepted.values().find(|accepted| accepted.sha256 == sha256);
            let first_seen = known.map_or(now, |accepted| accepted.first_seen);
            // One that every list refused was not gone by: that Microsoft takes it back is no step back.
            if !self.accepted.is_empty() {
                let accepted = Accepted { change_number: publication.change_number, sha256, first_seen };
                state.accepted.insert(accept::numbering(&self.context.config.source), accepted);
            }
            for list in self.accepted {
                state.lists.insert(list.clone(), ListRecord { sha256 });
            }
        }
        state.lists.retain(|name, _| self.context.config.lists.contains_key(name));
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
            time: self.context.now.to_string(),
            event: "override",
            reason: self.reason.unwrap_or_default(),
            limits: self.report.overridden.iter().map(ToString::to_string).collect(),
            publication: self.report.publication.as_ref().map(|published| published.sha256.to_string()),
            user: std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).ok(),
        }
    }
}
