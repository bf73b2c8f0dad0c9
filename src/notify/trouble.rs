//! What is wrong, by a status. Pure.

use std::time::Duration;

use tagwall_provider::Limit;

use crate::config::telling::raw::Subject;
use crate::status::{Status, TargetStatus};

/// How long a failure that may pass has to stand before it is told: most are over when the pass is made again.
const PATIENCE: Duration = Duration::from_mins(5);

/// Something that is wrong and stays so until it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// What it is called from one look to the next.
    pub(super) key: String,
    pub(super) subject: Subject,
    pub(super) about: String,
    /// Where this changes it is another trouble: without figures that change of themselves.
    pub(super) fingerprint: String,
    pub(super) title: String,
    pub(super) text: Vec<String>,
    /// How long it has to stand before it is told.
    pub(super) patience: Duration,
}

/// All that is wrong.
pub(super) fn troubles(status: &Status) -> Vec<Trouble> {
    let mut found = Vec::new();
    found.extend(configuration(status));
    found.extend(source(status));
    found.extend(staleness(status));
    for target in status.targets.iter().filter(|target| target.standing.withdrawn.is_none()) {
        found.extend(refusal(target));
        found.extend(failure(target, status));
    }
    found
}

/// Whether the end of a trouble would show: what no pass has looked at is not over.
pub(super) fn is_known(key: &str, status: &Status) -> bool {
    let of_target = key.strip_prefix("refusal/target/").or_else(|| key.strip_prefix("failure/target/"));
    match of_target.map(|name| status.targets.iter().find(|target| target.name == name)) {
        // A target that is not configured any more has no trouble.
        Some(None) => true,
        Some(Some(target)) => target.outcome.is_some() || target.standing.withdrawn.is_some(),
        None => key == "failure/configuration" || status.last_pass.is_some(),
    }
}

fn configuration(status: &Status) -> Option<Trouble> {
    let why = status.daemon.as_ref()?.reload_failure.as_ref()?;
    Some(Trouble {
        key: "failure/configuration".to_owned(),
        subject: Subject::Failure,
        about: "configuration".to_owned(),
        fingerprint: why.clone(),
        title: "the configuration on disk cannot be used, an older one is".to_owned(),
        text: vec![why.clone()],
        patience: Duration::ZERO,
    })
}

fn source(status: &Status) -> Option<Trouble> {
    let why = status.last_pass.as_ref()?.source_failure.as_ref()?;
    let stands_in = match &status.publication {
        Some(publication) => format!("what was known of change number {} stays enforced", publication.change_number),
        None => "nothing is known that could be enforced".to_owned(),
    };
    Some(Trouble {
        key: "failure/source".to_owned(),
        subject: Subject::Failure,
        about: "source".to_owned(),
        fingerprint: "source".to_owned(),
        title: "no new publication was had".to_owned(),
        text: vec![why.clone(), stands_in],
        patience: PATIENCE,
    })
}

fn staleness(status: &Status) -> Option<Trouble> {
    let publication = status.publication.as_ref().filter(|publication| publication.stale)?;
    Some(Trouble {
        key: "staleness/publication".to_owned(),
        subject: Subject::Staleness,
        about: "publication".to_owned(),
        fingerprint: publication.change_number.to_string(),
        title: format!("the publication is {} days old", publication.age_seconds / (24 * 60 * 60)),
        text: vec!["Microsoft publishes weekly: this looks like a source that is stuck".to_owned()],
        patience: Duration::ZERO,
    })
}

fn refusal(target: &TargetStatus) -> Option<Trouble> {
    // That it is paused is the operator's own word.
    let refusals: Vec<_> = target.refusals.iter().filter(|refusal| refusal.limit != Limit::Paused.name()).collect();
    let limits: Vec<&str> = refusals.iter().map(|refusal| refusal.limit.as_str()).collect();
    let findings: Vec<String> =
        refusals.iter().map(|refusal| format!("{}: {}", refusal.limit, refusal.finding)).collect();
    if refusals.is_empty() {
        return None;
    }
    let mut text = findings.clone();
    text.extend(refusals.iter().filter_map(|refusal| refusal.choices.first().cloned()));
    if target.keeps {
        text.push("what it was last enforced with stays enforced".to_owned());
    }
    Some(Trouble {
        key: format!("refusal/target/{}", target.name),
        subject: Subject::Refusal,
        about: target.name.clone(),
        fingerprint: findings.join("\n"),
        title: format!("`{}` is refused: {}", target.name, limits.join(", ")),
        text,
        patience: Duration::ZERO,
    })
}

fn failure(target: &TargetStatus, status: &Status) -> Option<Trouble> {
    let error = target.error.as_ref()?;
    // What the source failed of is told once, not for each target.
    let of_source = status.last_pass.as_ref().and_then(|last| last.source_failure.as_ref());
    if of_source == Some(&error.message) {
        return None;
    }
    let passes = matches!(error.class, "transient" | "conflict");
    Some(Trouble {
        key: format!("failure/target/{}", target.name),
        subject: Subject::Failure,
        about: target.name.clone(),
        fingerprint: error.class.to_owned(),
        title: format!("`{}` cannot be read or changed", target.name),
        text: [Some(error.message.clone()), error.hint.clone()].into_iter().flatten().collect(),
        patience: if passes { PATIENCE } else { Duration::ZERO },
    })
}
