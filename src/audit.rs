//! The audit file: what was done to firewalls, by whom and why, a JSON object a line, only ever appended to.
//!
//! A pass that finds everything as it was writes nothing here: the file tells of changes, refusals, failures and
//! decisions, and grows with them alone.

use jiff::Timestamp;
use serde::Serialize;
use tagwall_provider::{Limit, Refusal};

use crate::config::Config;
use crate::generation::Named;
use crate::report::{Outcome, Report, TargetReport};
use crate::saved::plan::PlanContent;

/// A pass in which something happened.
#[derive(Serialize)]
pub struct Pass<'a> {
    time: String,
    event: &'static str,
    /// What made the pass: `sync`, `tick`, `drift` …
    cause: &'a str,
    user: Option<String>,
    tagwall: &'static str,
    publication: Option<Named>,
    /// The hash of the configuration file; null of the defaults.
    configuration: Option<String>,
    /// The hash of what was planned, as `plan` tells it; of an applied plan, its hash.
    plan: String,
    /// The generation that came of it, where it is a new one.
    generation: Option<u64>,
    targets: Vec<Target>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    limits: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    exit_status: u8,
}

#[derive(Serialize)]
struct Target {
    name: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    added: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    removed: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rules: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refusals: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The generation that it was brought to, or kept at.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<Box<Target>>,
}

impl<'a> Pass<'a> {
    /// The line about a pass, or `None` where everything was as it should be.
    pub fn of(
        report: &Report,
        config: &Config,
        cause: &'a str,
        reason: Option<&'a str>,
        generation: Option<u64>,
    ) -> Option<Self> {
        let nothing = |outcome: &Outcome| match outcome {
            Outcome::InSync(_) | Outcome::Planned(_) => true,
            // A firewall that somebody works on while all writing is stopped says so without end.
            Outcome::Refused { refusals, .. } if cause == "drift" => {
                refusals.iter().all(|refusal| refusal.limit == Limit::Paused)
            }
            _ => false,
        };
        if report.overridden.is_empty() && generation.is_none() && report.outcomes().all(nothing) {
            return None;
        }
        Some(Self {
            time: report.started.to_string(),
            event: "pass",
            cause,
            user: user(),
            tagwall: env!("CARGO_PKG_VERSION"),
            publication: report.publication.as_ref().map(Named::from),
            configuration: config.sha256.map(|sha256| sha256.to_string()),
            plan: report.plan.clone().unwrap_or_else(|| PlanContent::of(report, config).hash()),
            generation,
            targets: report.targets.iter().map(told).collect(),
            limits: report.overridden.iter().map(ToString::to_string).collect(),
            reason,
            exit_status: report.exit_status().code(),
        })
    }
}

/// An operator's decision about targets: withdrawn, paused, pinned, resumed.
#[derive(Serialize)]
pub struct Decided<'a> {
    /// When (RFC 3339).
    pub time: String,
    /// What: `withdraw`, `pause` …
    pub event: &'static str,
    /// Which targets; all of them where none is named.
    pub targets: Vec<&'a str>,
    /// Who, where it is known.
    pub user: Option<String>,
    /// Why, in their words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// Which generation, of a rollback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

/// A saved plan that was not applied.
#[derive(Serialize)]
pub struct NotApplied<'a> {
    time: String,
    event: &'static str,
    user: Option<String>,
    /// The hash that the file carries.
    plan: &'a str,
    refusals: Vec<String>,
}

impl<'a> NotApplied<'a> {
    /// Of the plan with this hash, for these reasons.
    pub fn new(now: Timestamp, plan: &'a str, refusals: &[Refusal]) -> Self {
        let refusals = refusals.iter().map(ToString::to_string).collect();
        Self { time: now.to_string(), event: "not-applied", user: user(), plan, refusals }
    }
}

/// Who runs this process, by what the environment says: a convenience for readers, no proof.
pub fn user() -> Option<String> {
    std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).ok()
}

fn told(report: &TargetReport) -> Target {
    let kept = report.fallback.as_ref().map(|fallback| of_outcome(&report.target.name, &fallback.outcome));
    let kept_at = report.generation.or(report.fallback.as_ref().map(|fallback| fallback.generation));
    Target { kept_at, kept: kept.map(Box::new), ..of_outcome(&report.target.name, &report.outcome) }
}

fn of_outcome(name: &str, outcome: &Outcome) -> Target {
    use tagwall_provider::Operation;
    let plan = outcome.plan();
    let entries = |operation| {
        let steps = plan.into_iter().flat_map(|plan| plan.steps.of(operation));
        steps.map(|step| step.admits.to_string()).collect()
    };
    let (refusals, error) = match outcome {
        Outcome::Refused { refusals, .. } => (refusals.iter().map(ToString::to_string).collect(), None),
        Outcome::Failed(failure) => (Vec::new(), Some(failure.message.clone())),
        _ => (Vec::new(), None),
    };
    let edits = plan.into_iter().flat_map(|plan| &plan.steps.skeleton);
    Target {
        name: name.to_owned(),
        outcome: outcome.name(),
        added: entries(Operation::Add),
        removed: entries(Operation::Remove),
        rules: edits.map(|edit| edit.description.clone()).collect(),
        refusals,
        error,
        kept_at: None,
        kept: None,
    }
}
