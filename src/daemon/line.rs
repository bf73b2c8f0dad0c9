//! Passes and the daemon's state in one line each, for the log and for `systemctl status`.

use super::{Finished, Phase, Status};
use crate::report::{Outcome, Report};
use crate::source::Freshness;
use tagwall_provider::Operation;

/// What came of a pass.
pub(super) fn pass(finished: &Finished) -> String {
    let Finished { iteration, reason, elapsed, report, .. } = finished;
    format!("pass {iteration} ({reason}, {:.1} s): {}", elapsed.as_secs_f32(), outcome(report))
}

/// What the daemon is doing and how things stand.
pub(super) fn status(status: &Status) -> String {
    let mut parts = Vec::new();
    match status.phase {
        Phase::Idle => {}
        Phase::Fetching { .. } => parts.push("fetching the publication".to_owned()),
        Phase::Waiting { .. } => parts.push("waiting for another process to end its pass".to_owned()),
        Phase::Enforcing { .. } => parts.push("enforcing".to_owned()),
        Phase::Stopping => parts.push("stopping".to_owned()),
    }
    if status.reload_failure.is_some() {
        parts.push("the configuration on disk cannot be used, an older one is".to_owned());
    }
    parts.extend(status.last.as_ref().map(|finished| outcome(&finished.report)));
    parts.extend(status.next.map(|next| format!("next pass at {next:.0}")));
    parts.join("; ")
}

/// How every target stands, and by which publication.
fn outcome(report: &Report) -> String {
    let mut parts = Vec::new();
    match report.count("in-sync") {
        0 => {}
        1 if report.targets.len() == 1 => parts.push(format!("{} in sync", report.targets[0].target.name)),
        count => parts.push(format!("{count} in sync")),
    }
    let told = report.targets.iter().map(|target| (target.target.name.as_str(), &target.outcome));
    let kept =
        report.targets.iter().filter_map(|target| Some((target.target.name.as_str(), target.fallback.as_ref()?)));
    for (name, outcome) in told.chain(report.outcome_without_targets.iter().map(|outcome| ("no target", outcome))) {
        parts.extend(match outcome {
            Outcome::InSync(_) => None,
            Outcome::Planned(_) => Some(format!("{name} left as it is")),
            Outcome::Applied(plan, _) => {
                let (added, removed) = (plan.steps.of(Operation::Add), plan.steps.of(Operation::Remove));
                let skeleton = if plan.steps.skeleton.is_empty() { "" } else { ", rules made anew" };
                Some(format!("{name} changed: +{} -{}{skeleton}", added.count(), removed.count()))
            }
            Outcome::Refused { refusals, .. } => {
                let refusals: Vec<String> = refusals.iter().map(ToString::to_string).collect();
                Some(format!("{name} refused: {}", refusals.join(", ")))
            }
            Outcome::Failed(failure) => Some(format!("{name} failed: {}", failure.message)),
        });
    }
    parts.extend(kept.filter_map(|(name, fallback)| {
        let number = fallback.generation;
        match fallback.outcome.as_ref() {
            Outcome::Applied(..) => Some(format!("{name} brought back to generation {number}")),
            Outcome::Failed(_) => Some(format!("{name} could not be brought back to generation {number}")),
            _ => None,
        }
    }));
    if parts.is_empty() {
        parts.push("no targets".to_owned());
    }
    parts.extend(report.publication.as_ref().map(|published| {
        let date = published.date.map(|date| format!(" of {date}")).unwrap_or_default();
        let stored = if matches!(published.freshness, Freshness::LastGood { .. }) { ", from disk" } else { "" };
        let days = published.age_days;
        let age = if days == 1 { "1 day".to_owned() } else { format!("{days} days") };
        format!("change number {}{date}, {age} old{stored}", published.change_number)
    }));
    // A line is a line, whatever an error has to say.
    parts.join("; ").replace('\n', " ")
}
