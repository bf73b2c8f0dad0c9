//! What the daemon is doing and what came of the last passes: one value, published on a `watch` channel.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Reason;
use crate::report::{Failure, Report};
use crate::status::tally::{Ended, Tally};

/// What the daemon is doing, and what came of the last passes.
#[derive(Clone, Debug)]
pub struct Status {
    /// How many passes were begun, the current one among them.
    pub iteration: u64,
    /// What is being done.
    pub phase: Phase,
    /// The last whole pass.
    pub last: Option<Finished>,
    /// The last pass that drift gave cause for.
    pub last_drift: Option<Finished>,
    /// When the schedule asks for the next pass.
    pub next: Option<Timestamp>,
    /// Why the configuration on disk is not the one in use, after a reload that failed.
    pub reload_failure: Option<Failure>,
    /// When the daemon came up.
    pub started: Timestamp,
    /// What all passes so far have shown.
    pub tally: Tally,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing.
    Idle,
    /// A publication is fetched.
    Fetching {
        /// For which pass.
        reason: Reason,
        /// Since when.
        since: Timestamp,
    },
    /// Another process is in the middle of a pass.
    Waiting {
        /// Since when.
        since: Timestamp,
    },
    /// Firewalls are read and changed.
    Enforcing {
        /// In which pass.
        reason: Reason,
        /// Since when.
        since: Timestamp,
    },
    /// The running pass is the last one.
    Stopping,
}

/// A pass that is over.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its number.
    pub iteration: u64,
    /// Why it was made.
    pub reason: Reason,
    /// When it began.
    pub started: Timestamp,
    /// How long it took, fetching and waiting included.
    pub elapsed: Duration,
    /// What it found and did.
    pub report: Arc<Report>,
}

impl Finished {
    /// As it is counted.
    pub(super) fn ended(&self, whole: bool) -> Ended<'_> {
        Ended {
            iteration: self.iteration,
            reason: self.reason.name(),
            whole,
            seconds: self.elapsed.as_secs_f64(),
            report: &self.report,
        }
    }
}
