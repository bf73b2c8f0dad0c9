//! What passes have shown so far: totals, and how each target was last seen. Pure.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::Serialize;
use tagwall_provider::{AddressCount, Counters as Traffic, Family, Limit, PerFamily, PrefixSet, Refusal, Skeleton};

use crate::exit::ExitStatus;
use crate::plan::Plan;
use crate::report::{Class, Failure, Outcome, Published, Report, TargetReport};
use crate::source::Freshness;

/// How many changes are remembered, so that whoever looks now and then misses none.
const CHANGES: usize = 32;

/// A pass that is over, as it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// Its number in this process.
    pub iteration: u64,
    /// Why it was made.
    pub reason: &'static str,
    /// Whether it went by a publication, not by what is remembered.
    pub whole: bool,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What it found and did.
    pub report: &'a Report,
}

/// What passes have shown so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Passes by reason and by the worst outcome of a target.
    pub passes: BTreeMap<(&'static str, &'static str), u64>,
    /// How long they took together, in seconds.
    pub pass_seconds: f64,
    /// The last whole pass.
    pub last: Option<LastPass>,
    /// Fetches of the publication by how they came out.
    pub fetches: BTreeMap<&'static str, u64>,
    /// The publication that was last gone by.
    pub publication: Option<Published>,
    /// When the source last said that this is its newest.
    pub confirmed: Option<Timestamp>,
    /// Every target that was looked at.
    pub targets: BTreeMap<String, Seen>,
    /// The last changes, oldest first.
    pub changes: VecDeque<Change>,
    /// How many there were.
    pub change_count: u64,
}

/// The last whole pass.
#[derive(Clone, Debug)]
pub struct LastPass {
    /// Its number in this process.
    pub iteration: u64,
    /// Why it was made.
    pub reason: &'static str,
    /// When it began.
    pub started: Timestamp,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Its worst outcome.
    pub outcome: &'static str,
    /// What it warned of.
    pub warnings: Vec<String>,
    /// Why it had no newer publication, where the last good one stood in or none was had.
    pub source_failure: Option<String>,
}

/// How a target was last seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// How it came out of the last whole pass.
    pub whole: Option<Verdict>,
    /// How it came out of the last look at drift since.
    pub mend: Option<Verdict>,
    /// When a pass last left it as it should be, in this process.
    pub right_at: Option<Timestamp>,
    /// What the last read showed.
    pub read: Option<Reading>,
    /// What was counted.
    pub counts: Counts,
}

/// How a target came out of a pass.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The name of the outcome.
    pub outcome: &'static str,
    /// When that pass began.
    pub at: Timestamp,
    /// Whether it is as it should be.
    pub right: bool,
    /// Whether, where it is not, at least what it was last enforced with still is.
    pub keeps: bool,
    /// Why nothing was changed.
    pub refusals: Vec<Refusal>,
    /// Why it could not be read or changed.
    pub failure: Option<Failure>,
}

/// What a read of a target showed.
#[derive(Clone, Debug)]
pub struct Reading {
    /// When the pass began that read it.
    pub at: Timestamp,
    /// What it should admit.
    pub desired: PerFamily<Size>,
    /// What of that is on no list, and comes in only to save prefixes.
    pub widened: PerFamily<AddressCount>,
    /// What it admits.
    pub enforced: PerFamily<Size>,
    /// Whether the rules around the entries are as they should be.
    pub in_place: bool,
    /// Entries and rules that would have to change.
    pub drift: u64,
    /// Prefixes that are admitted and no longer desired.
    pub pending_removals: u64,
    /// What its rules have counted, where the firewall counts.
    pub counters: Option<Traffic>,
}

/// How much is admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// In prefixes, as few as will do.
    pub prefixes: usize,
    /// In addresses.
    pub addresses: AddressCount,
}

/// What was counted of a target.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Passes that changed it.
    pub changes: u64,
    /// Those of them that undid what somebody else did.
    pub heals: u64,
    /// Passes that failed, by class.
    pub failures: BTreeMap<&'static str, u64>,
    /// Passes that were refused, by limit.
    pub refusals: BTreeMap<Limit, u64>,
    /// Reads that were made again because it moved meanwhile.
    pub conflicts: u64,
}

/// One change of one target.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// Its number since the process started.
    pub number: u64,
    /// When its pass began.
    pub at: Timestamp,
    /// The target.
    pub target: String,
    /// Whether it undid what somebody else did.
    pub heal: bool,
    /// Entries stored.
    pub added: u64,
    /// Entries removed.
    pub removed: u64,
    /// Rules made or mended.
    pub rules: u64,
    /// By which publication.
    pub change_number: Option<u64>,
}

impl Tally {
    /// Counts a pass.
    pub fn take(&mut self, ended: &Ended<'_>) {
        let report = ended.report;
        *self.passes.entry((ended.reason, outcome(report))).or_default() += 1;
        self.pass_seconds += ended.seconds;
        if ended.whole {
            self.take_source(report);
            self.last = Some(LastPass {
                iteration: ended.iteration,
                reason: ended.reason,
                started: report.started,
                seconds: ended.seconds,
                outcome: outcome(report),
                warnings: report.warnings.clone(),
                source_failure: source_failure(report),
            });
        }
        for target in &report.targets {
            self.take_target(ended, target);
        }
    }

    fn take_source(&mut self, report: &Report) {
        let result = match report.publication.as_ref().map(|published| &published.freshness) {
            Some(Freshness::Fresh) => "fresh",
            Some(Freshness::NotModified) => "not-modified",
            Some(Freshness::LastGood { .. }) => "last-good",
            None => "none",
        };
        *self.fetches.entry(result).or_default() += 1;
        if let Some(published) = &report.publication {
            let confirmed = match published.freshness {
                Freshness::LastGood { fetched_at, .. } => fetched_at,
                Freshness::Fresh | Freshness::NotModified => report.started,
            };
            self.confirmed = self.confirmed.max(Some(confirmed));
            self.publication = Some(published.clone());
        }
    }

    fn take_target(&mut self, ended: &Ended<'_>, told: &TargetReport) {
        let at = ended.report.started;
        let mut seen = self.targets.remove(&told.target.name).unwrap_or_default();
        seen.counts.take(told);
        // Where nothing new is enforced, what was enforced before may have had to be put back.
        let fallback = told.fallback.as_ref().map(|fallback| fallback.outcome.as_ref());
        for (outcome, heal) in [(Some(&told.outcome), !ended.whole), (fallback, true)] {
            if let Some(Outcome::Applied(plan, applied)) = outcome {
                seen.counts.changes += 1;
                seen.counts.heals += u64::from(heal);
                self.change_count += 1;
                if self.changes.len() == CHANGES {
                    self.changes.pop_front();
                }
                self.changes.push_back(Change {
                    number: self.change_count,
                    at,
                    target: told.target.name.clone(),
                    heal,
                    added: applied.added,
                    removed: applied.removed,
                    rules: plan.steps.skeleton.len() as u64,
                    change_number: ended.report.publication.as_ref().map(|published| published.change_number),
                });
            }
        }
        let verdict = Verdict::of(told, fallback, at);
        if ended.whole {
            (seen.whole, seen.mend) = (Some(verdict), None);
        } else {
            seen.mend = Some(verdict);
        }
        if seen.is_right() {
            seen.right_at = Some(at);
        }
        let new = Reading::of(&told.outcome, at);
        let kept = fallback.and_then(|outcome| Reading::of(outcome, at));
        let read = match (new, kept) {
            (Some(new), Some(kept)) => Some(Reading { desired: new.desired, drift: new.drift, ..kept }),
            (new, kept) => new.or(kept),
        };
        seen.read = match (read, seen.read.take()) {
            // A look at drift knows what was enforced, not what is refused.
            (Some(read), Some(before)) if !ended.whole && !seen.is_right() => {
                Some(Reading { desired: before.desired, drift: before.drift, ..read })
            }
            // What cannot be read stays as it was last seen, with its time.
            (read, before) => read.or(before),
        };
        self.targets.insert(told.target.name.clone(), seen);
    }
}

impl Seen {
    /// How it stands: that a look at drift found nothing ends no refusal.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.mend.as_ref().filter(|mend| !mend.right).or(self.whole.as_ref()).or(self.mend.as_ref())
    }

    /// When it was last looked at.
    pub fn looked_at(&self) -> Option<Timestamp> {
        [&self.mend, &self.whole].into_iter().flatten().map(|verdict| verdict.at).max()
    }

    /// Whether it is as it should be.
    pub fn is_right(&self) -> bool {
        self.verdict().is_some_and(|verdict| verdict.right)
    }
}

impl Verdict {
    fn of(told: &TargetReport, fallback: Option<&Outcome>, at: Timestamp) -> Self {
        let is_right = |outcome: &Outcome| matches!(outcome, Outcome::InSync(_) | Outcome::Applied(..));
        let (refusals, failure) = match &told.outcome {
            Outcome::Refused { refusals, .. } => (refusals.clone(), None),
            Outcome::Failed(failure) => (Vec::new(), Some(failure.clone())),
            Outcome::InSync(_) | Outcome::Applied(..) | Outcome::Planned(_) => (Vec::new(), None),
        };
        let (outcome, right) = (told.outcome.name(), is_right(&told.outcome));
        Self { outcome, at, right, keeps: fallback.is_some_and(is_right), refusals, failure }
    }
}

impl Counts {
    fn take(&mut self, told: &TargetReport) {
        self.conflicts += u64::from(told.conflicts);
        match &told.outcome {
            Outcome::Refused { refusals, .. } => {
                for refusal in refusals {
                    *self.refusals.entry(refusal.limit).or_default() += 1;
                }
            }
            Outcome::Failed(failure) => *self.failures.entry(class_name(failure.class)).or_default() += 1,
            Outcome::InSync(_) | Outcome::Applied(..) | Outcome::Planned(_) => {}
        }
    }
}

impl Reading {
    fn of(outcome: &Outcome, at: Timestamp) -> Option<Self> {
        let (plan, applied) = match outcome {
            Outcome::Applied(plan, _) => (plan, true),
            Outcome::InSync(plan) | Outcome::Planned(plan) => (plan, false),
            Outcome::Refused { plan, .. } => (plan.as_ref()?, false),
            Outcome::Failed(_) => return None,
        };
        Some(Self::of_plan(plan, applied, at))
    }

    fn of_plan(plan: &Plan, applied: bool, at: Timestamp) -> Self {
        let size = |set: &PrefixSet| {
            PerFamily::from_fn(|family| Size { prefixes: set.prefix_count(family), addresses: set.addresses(family) })
        };
        // What a grace period holds is desired for as long as it does.
        let wanted = plan.after.difference(&plan.left);
        let held = plan.held().iter().fold(PrefixSet::new(), |sum, held| sum.union(&held.prefixes));
        let mut gone = plan.left.union(&held);
        if !applied {
            gone = gone.union(&plan.before.difference(&plan.after));
        }
        let steps = plan.steps.entries.len() + plan.steps.skeleton.len();
        Self {
            at,
            desired: size(&wanted),
            widened: plan.widened_addresses(),
            enforced: size(if applied { &plan.after } else { &plan.before }),
            in_place: applied || plan.observed.skeleton == Skeleton::Intact,
            drift: if applied { 0 } else { steps as u64 },
            pending_removals: Family::ALL.into_iter().map(|family| gone.prefix_count(family) as u64).sum(),
            counters: plan.observed.counters,
        }
    }
}

impl Change {
    /// Whether other addresses are admitted than before, not only rules or how they are written.
    pub const fn is_of_entries(&self) -> bool {
        self.added + self.removed > 0
    }
}

/// The worst outcome of a pass.
fn outcome(report: &Report) -> &'static str {
    match report.exit_status() {
        ExitStatus::Done | ExitStatus::Pending => "ok",
        ExitStatus::Refused => "refused",
        ExitStatus::Failed | ExitStatus::Usage => "failed",
    }
}

/// Why a pass had no newer publication.
fn source_failure(report: &Report) -> Option<String> {
    if let Some(published) = &report.publication {
        return match &published.freshness {
            Freshness::LastGood { because, .. } => Some(because.clone()),
            Freshness::Fresh | Freshness::NotModified => None,
        };
    }
    let outcomes = report.targets.iter().map(|target| &target.outcome).chain(&report.outcome_without_targets);
    outcomes.into_iter().find_map(|outcome| match outcome {
        Outcome::Failed(failure) => Some(failure.message.clone()),
        _ => None,
    })
}

/// The name of a class of failures, as in the provider contract.
pub(crate) const fn class_name(class: Class) -> &'static str {
    match class {
        Class::Transient => "transient",
        Class::Denied => "denied",
        Class::Conflict => "conflict",
        Class::Rejected => "rejected",
    }
}
