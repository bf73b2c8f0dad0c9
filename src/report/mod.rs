//! What a pass found and did: one value, rendered many ways.

mod agreement;
pub mod json;
pub mod markdown;
pub mod number;
pub mod text;

use std::error::Error;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use tagwall_provider::{Applied, Orphan, ProviderError, Refusal};

use crate::accept;
use crate::agreement::Agreement;
use crate::chain::chain;
use crate::config::Target;
use crate::exit::ExitStatus;
use crate::limits::Measure;
use crate::plan::Plan;
use crate::reconcile::{Options, Purpose};
use crate::source::{Cloud, Digest, Fetched, Freshness, SourceError};
use crate::state::State;

/// What a pass found and did.
#[derive(Clone, Debug)]
pub struct Report {
    /// When it began.
    pub started: Timestamp,
    /// What the pass was run for.
    pub purpose: Purpose,
    /// The command that does what a dry run shows.
    pub verb: &'static str,
    /// The publication it went by, if one was had.
    pub publication: Option<Published>,
    /// What came of holding its source against another, where that was to be done.
    pub agreement: Option<Agreement>,
    /// What an operator should know and need not act on at once.
    pub warnings: Vec<String>,
    /// Refusals that an override let through.
    pub overridden: Vec<Refusal>,
    /// What the limits of lists were judged by.
    pub measures: Vec<Measure>,
    /// The hash of what is planned, where it is asked for, or of the saved plan that was applied.
    pub plan: Option<String>,
    /// Every target, in the order of the configuration.
    pub targets: Vec<TargetReport>,
    /// How the pass ended where there is no target to say it of.
    pub outcome_without_targets: Option<Outcome>,
    /// What makes the exit status another than 0, besides errors.
    pub fail_on: FailOn,
}

/// The publication that a pass went by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The cloud it describes.
    pub cloud: Cloud,
    /// Microsoft's number for it.
    pub change_number: u64,
    /// The date in its file name.
    pub date: Option<Date>,
    /// That date, or when a pass first saw these bytes: what its age is counted from.
    pub since: Timestamp,
    /// Days since then.
    pub age_days: i64,
    /// The hash of its bytes.
    pub sha256: Digest,
    /// Where it came from.
    pub origin: String,
    /// Whether it was fetched now, and why not.
    pub freshness: Freshness,
    /// Fields of the document that tagwall does not know.
    pub unknown_fields: u64,
}

/// What makes the exit status of a pass another than 0, besides errors, which always do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailOn {
    /// A refusal: 3.
    pub refused: bool,
    /// Changes that are pending after a dry run: 2.
    pub pending: bool,
    /// A target that was found otherwise than it was last enforced: 2.
    pub drift: bool,
}

impl Default for FailOn {
    fn default() -> Self {
        Self { refused: true, pending: true, drift: false }
    }
}

/// What became of one target.
#[derive(Clone, Debug)]
pub struct TargetReport {
    /// The target.
    pub target: Target,
    /// What became of it.
    pub outcome: Outcome,
    /// How often it was read and planned again because it moved meanwhile.
    pub conflicts: u32,
    /// Where the outcome is that nothing new was enforced: what came of keeping it as it was.
    pub fallback: Option<Fallback>,
    /// The generation that it was brought to, where that was the aim.
    pub generation: Option<u64>,
    /// Whether the operator pinned it to that.
    pub pinned: bool,
    /// Whether it was found otherwise than it was last enforced. Looked at where that is asked for.
    pub drifted: bool,
}

/// What came of keeping a target at what it was last enforced with.
#[derive(Clone, Debug)]
pub struct Fallback {
    /// The generation.
    pub generation: u64,
    /// How that came out.
    pub outcome: Box<Outcome>,
}

/// How a target came out of a pass.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It admits what it should.
    InSync(Box<Plan>),
    /// This would be done, or is left undone by the policy `observe`.
    Planned(Box<Plan>),
    /// This was done, and a later read showed it.
    Applied(Box<Plan>, Applied),
    /// Nothing was changed, for these reasons.
    Refused {
        /// Why.
        refusals: Vec<Refusal>,
        /// What would have been done.
        plan: Option<Box<Plan>>,
    },
    /// It could not be read or changed.
    Failed(Failure),
}

/// An error as it is told: its whole chain in words, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The chain of errors, outermost first, joined by `: `.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// What kind of failure it is.
    pub class: Class,
}

/// What kind of failure something is: the provider contract's classes, for every error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It may work when tried again soon.
    Transient,
    /// Somebody has to grant something first.
    Denied,
    /// Something else kept changing the target.
    Conflict,
    /// It will not work as it is, however often it is tried.
    Rejected,
}

impl Class {
    /// Whether it is worth trying again before the next tick.
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::Transient | Self::Conflict)
    }
}

impl Failure {
    /// The telling of a provider's error, with its own hint or else this one.
    pub fn of_provider(error: &ProviderError, hint: Option<&str>) -> Self {
        let class = match error {
            ProviderError::Transient(_) => Class::Transient,
            ProviderError::Denied(_) => Class::Denied,
            ProviderError::Conflict(_) => Class::Conflict,
            ProviderError::Rejected { .. } => Class::Rejected,
        };
        Self { class, ..Self::of(error, error.hint().or(hint)) }
    }

    /// The telling of an error that trying again does not mend.
    pub fn of(error: &(dyn Error + 'static), hint: Option<&str>) -> Self {
        let message = chain(error);
        Self { message, hint: hint.map(str::to_owned), class: Class::Rejected }
    }
}

impl Published {
    /// What is told of a fetched publication.
    pub fn of(fetched: &Fetched, state: &State, now: Timestamp) -> Self {
        let publication = &fetched.publication;
        let first_seen = || {
            let known = state.accepted.values().find(|accepted| accepted.sha256 == publication.sha256);
            known.map_or(now, |accepted| accepted.first_seen)
        };
        // The date is Microsoft's, in whatever zone: a day more or less means nothing beside three weeks.
        let dated = publication.date.and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok());
        let since = dated.map_or_else(first_seen, |zoned| zoned.timestamp());
        Self {
            cloud: publication.cloud,
            change_number: publication.change_number,
            date: publication.date,
            since,
            age_days: now.duration_since(since).as_hours().max(0) / 24,
            sha256: publication.sha256,
            origin: publication.origin.clone(),
            freshness: fetched.freshness.clone(),
            unknown_fields: publication.unknown_fields,
        }
    }
}

impl TargetReport {
    /// The report of one target.
    pub fn new(target: &Target, outcome: Outcome) -> Self {
        Self {
            target: target.clone(),
            outcome,
            fallback: None,
            generation: None,
            pinned: false,
            drifted: false,
            conflicts: 0,
        }
    }

    /// Its plan, where there is one.
    pub fn plan(&self) -> Option<&Plan> {
        self.outcome.plan()
    }

    /// What the firewall was last seen to be like: by its plan, or that of keeping it as it was.
    pub fn seen(&self) -> Option<&Plan> {
        let fallback = self.fallback.as_ref().and_then(|fallback| fallback.outcome.plan());
        self.plan().or(fallback)
    }

    /// Warns of what others do to the target's ports: no rule of tagwall's opens what another closes.
    pub fn closed_by_others(&self) -> Vec<String> {
        let foreign = self.seen().map(|plan| plan.observed.foreign.as_slice()).unwrap_or_default();
        let closing = foreign.iter().filter(|foreign| foreign.effect.closes());
        closing.map(|foreign| format!("target `{}`: {}", self.target.name, foreign.description)).collect()
    }
}

impl Outcome {
    /// Its plan, where there is one.
    pub fn plan(&self) -> Option<&Plan> {
        match self {
            Self::InSync(plan) | Self::Planned(plan) | Self::Applied(plan, _) => Some(plan),
            Self::Refused { plan, .. } => plan.as_deref(),
            Self::Failed(_) => None,
        }
    }

    /// What comes of a source that yields no publication.
    pub fn of_source_error(error: &SourceError) -> Self {
        if let SourceError::WrongCloud { wanted, found, .. } = error {
            let refusal = accept::wrong_cloud(wanted.document_name(), found);
            return Self::Refused { refusals: vec![refusal], plan: None };
        }
        // A clock that is set late and a captive portal both pass, though not within a fetch.
        let may_pass = error.is_transient() || matches!(error, SourceError::Tls { .. });
        let class = if may_pass { Class::Transient } else { Class::Rejected };
        Self::Failed(Failure { class, ..Failure::of(error, error.hint()) })
    }

    /// Its name in reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::InSync(_) => "in-sync",
            Self::Planned(_) => "planned",
            Self::Applied(..) => "applied",
            Self::Refused { .. } => "refused",
            Self::Failed(_) => "failed",
        }
    }

    /// What it means to a script. A plan is pending only where one was asked for: what the policy `observe`
    /// leaves undone in a real pass is as it should be.
    const fn exit_status(&self, purpose: Purpose, fail_on: FailOn) -> ExitStatus {
        match self {
            Self::Planned(_) if fail_on.pending && !matches!(purpose, Purpose::Enforce) => ExitStatus::Pending,
            Self::Refused { .. } if fail_on.refused => ExitStatus::Refused,
            Self::Failed(_) => ExitStatus::Failed,
            _ => ExitStatus::Done,
        }
    }
}

impl Report {
    /// A report in which no target has been looked at yet.
    pub fn new(options: &Options, publication: Option<Published>) -> Self {
        Self {
            started: options.now,
            purpose: options.purpose,
            verb: options.verb,
            publication,
            agreement: None,
            warnings: Vec::new(),
            overridden: Vec::new(),
            measures: Vec::new(),
            plan: None,
            fail_on: FailOn::default(),
            targets: Vec::new(),
            outcome_without_targets: None,
        }
    }

    /// A warning where the publication is old.
    pub fn staleness(&self, limit: Duration) -> Option<String> {
        let published = self.publication.as_ref()?;
        let days = i64::try_from(limit.as_secs() / (24 * 60 * 60)).unwrap_or(i64::MAX);
        (published.age_days >= days).then(|| {
            format!(
                "the publication is {} days old; Microsoft publishes weekly, so this looks like a source that is stuck",
                published.age_days
            )
        })
    }

    /// Objects of ours that no target wants, each once however many targets saw it.
    pub fn orphans(&self) -> Vec<&Orphan> {
        let mut orphans: Vec<&Orphan> =
            self.targets.iter().filter_map(TargetReport::seen).flat_map(|plan| &plan.observed.orphans).collect();
        orphans.sort_unstable();
        orphans.dedup();
        orphans
    }

    /// The exit status of the pass: the worst of all targets.
    pub fn exit_status(&self) -> ExitStatus {
        let drift = self.targets.iter().any(|target| target.drifted).then_some(ExitStatus::Pending);
        let drift = drift.filter(|_| self.fail_on.drift);
        let statuses = self.outcomes().map(|outcome| outcome.exit_status(self.purpose, self.fail_on));
        statuses.chain(drift).max().unwrap_or(ExitStatus::Done)
    }

    /// Whether the same may come out better when tried again before the next tick: something failed that may pass,
    /// or the source had nothing and the last good publication stood in.
    pub fn may_improve(&self) -> bool {
        let stood_in = |published: &Published| matches!(published.freshness, Freshness::LastGood { .. });
        self.publication.as_ref().is_some_and(stood_in)
            || self.outcomes().any(|outcome| matches!(outcome, Outcome::Failed(failure) if failure.class.may_pass()))
    }

    /// Every outcome, those of keeping targets as they were among them.
    pub fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        let fallbacks = self.targets.iter().filter_map(|target| Some(target.fallback.as_ref()?.outcome.as_ref()));
        self.targets.iter().map(|target| &target.outcome).chain(fallbacks).chain(&self.outcome_without_targets)
    }

    /// The outcomes of one kind.
    pub fn count(&self, name: &str) -> usize {
        self.targets.iter().filter(|target| target.outcome.name() == name).count()
    }
}
