//! `--format github`: annotations on stdout, and the Markdown where GitHub Actions shows a step's summary.
//!
//! GitHub takes any line that begins with `::` for a command of the job's: what is not tagwall's own words stands
//! escaped in annotations, or in the summary, which is no log.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use super::output::Output;
use crate::config::Config;
use crate::report::json::Error;
use crate::report::{Outcome, Report, TargetReport, markdown};

/// Tells a report.
pub(super) fn write(report: &Report, config: &Config, output: Output) -> io::Result<()> {
    let warnings = report.warnings.iter().map(|warning| annotation("warning", "tagwall", warning));
    let without_targets = report.outcome_without_targets.iter().flat_map(|outcome| troubles(outcome, report, ""));
    let of_targets = report.targets.iter().flat_map(|target| of_target(target, report));
    output.result(&warnings.chain(without_targets).chain(of_targets).collect::<String>())?;
    to_summary(&markdown::render(report, config), output)
}

/// Tells an error in place of a report.
pub(super) fn no_report(error: &Error, output: Output) -> io::Result<()> {
    let hint = error.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    output.result(&annotation("error", "tagwall", &format!("{}{hint}", error.message)))?;
    to_summary(&markdown::no_report(error), output)
}

fn of_target(told: &TargetReport, report: &Report) -> Vec<String> {
    let name = &told.target.name;
    let drifted = told.drifted.then(|| {
        annotation("warning", &format!("tagwall: {name} drifted"), "it was found otherwise than it was last enforced")
    });
    let kept = told.fallback.as_ref().map(|fallback| troubles(&fallback.outcome, report, name)).unwrap_or_default();
    drifted.into_iter().chain(troubles(&told.outcome, report, name)).chain(kept).collect()
}

fn troubles(outcome: &Outcome, report: &Report, name: &str) -> Vec<String> {
    let hinted = |message: String, hint: Option<&String>| match hint {
        Some(hint) => format!("{message}\nhint: {hint}"),
        None => message,
    };
    match outcome {
        Outcome::Refused { refusals, .. } => {
            let level = if report.fail_on.refused { "error" } else { "warning" };
            let told = refusals.iter().map(|refusal| {
                let text = hinted(refusal.finding.clone(), refusal.choices.first());
                annotation(level, &format!("tagwall: {name} refused, {}", refusal.limit), &text)
            });
            told.collect()
        }
        Outcome::Failed(failure) => {
            let text = hinted(failure.message.clone(), failure.hint.as_ref());
            vec![annotation("error", &format!("tagwall: {name} failed"), &text)]
        }
        _ => Vec::new(),
    }
}

/// A line that GitHub takes for an annotation, whatever is in it.
fn annotation(level: &str, title: &str, text: &str) -> String {
    let escaped = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let title = escaped(title).replace(':', "%3A").replace(',', "%2C");
    format!("::{level} title={title}::{}\n", escaped(text))
}

/// Adds to the step's summary; without one it is the rest of the result.
fn to_summary(text: &str, output: Output) -> io::Result<()> {
    match std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) {
        Some(path) => OpenOptions::new().append(true).create(true).open(Path::new(&path))?.write_all(text.as_bytes()),
        None => output.result(text),
    }
}
