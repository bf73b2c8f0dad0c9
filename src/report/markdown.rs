//! The report as a comment on a pull request.
//!
//! What is not tagwall's own words (names of other people's chains and rules, answers of servers) stands in code alone,
//! where it can neither be a link, an image or a mention, nor end the block it stands in.

use std::fmt::{self, Write as _};

use tagwall_provider::{Admits, Family};

use super::json::Error;
use super::number::{addresses, counted, thousands};
use super::text::{self, Detail, plain};
use super::{Outcome, Report, TargetReport, agreement};
use crate::config::Config;
use crate::plan::{Plan, Side};
use crate::reconcile::Purpose;

/// How long a comment may be, in bytes: GitHub takes 65,536 characters, and others add a little of their own.
const LONGEST: usize = 60_000;

/// Renders a report.
///
/// It begins with a mark that stays the same from one comment to the next, `<!-- tagwall:plan:OWNER -->`, by which a
/// job finds the one that it is to edit. Where the owner is the host's name, which is another for every job, the mark
/// does without.
pub fn render(report: &Report, config: &Config) -> String {
    let owner = if config.owner_is_host { String::new() } else { format!(":{}", config.owner) };
    let mark = format!("<!-- tagwall:{}{owner} -->\n", verb(report));
    let whole = |detail| {
        let mut out = mark.clone();
        // Writing to a string does not fail.
        let _ = written(&mut out, report, detail);
        out
    };
    let fits = |text: &String| text.len() <= LONGEST;
    let texts = [Detail::Full, Detail::Folded, Detail::Quiet].into_iter().map(|detail| whole(Some(detail)));
    let text = texts.chain(std::iter::once_with(|| whole(None))).find(fits);
    // Hundreds of targets: as many rows as fit.
    text.unwrap_or_else(|| cut(&whole(None)))
}

/// What there is in place of a report where there was no pass.
pub fn no_report(error: &Error) -> String {
    let hint = error.hint.as_ref().map(|hint| format!("\nhint: {}", plain(hint))).unwrap_or_default();
    let message = plain(&error.message) + &hint;
    format!("<!-- tagwall:error -->\n### tagwall: no pass\n\n{}", fenced("text", &message))
}

const fn verb(report: &Report) -> &'static str {
    match report.purpose {
        Purpose::DryRun => "plan",
        Purpose::Enforce => "pass",
        Purpose::Status => "status",
    }
}

fn written(out: &mut String, report: &Report, detail: Option<Detail>) -> fmt::Result {
    writeln!(out, "### tagwall {}: {}\n", verb(report), text::counted_outcomes(report))?;
    if let Some(published) = &report.publication {
        let date = published.date.map(|date| format!(" of {date}")).unwrap_or_default();
        let age = counted(usize::try_from(published.age_days).unwrap_or_default(), "day", "days");
        writeln!(
            out,
            "Publication {}, change number {}{date}, {age} old, from {}\n",
            published.cloud.document_name(),
            published.change_number,
            code(&published.origin)
        )?;
    }
    table(out, report)?;
    if let Some(outcome) = &report.outcome_without_targets {
        out.push_str(&fenced("text", &plain(&text::trouble(outcome))));
    }
    let Some(detail) = detail else { return Ok(()) };
    for target in &report.targets {
        self::target(out, report, target, detail)?;
    }
    limits(out, report)?;
    let compared = report.agreement.as_ref().map(agreement::lines).into_iter().flat_map(|(head, differences)| {
        let differences = differences.into_iter().map(|line| format!("  {}", plain(&line)));
        std::iter::once(format!("compared {}", plain(&head))).chain(differences)
    });
    let warnings = report.warnings.iter().map(|warning| format!("warning: {}", plain(warning)));
    let overridden = report.overridden.iter().map(|refusal| format!("overridden {}", plain(&refusal.to_string())));
    let orphans = report.orphans();
    let orphans = orphans.iter().map(|orphan| format!("orphan: {} {}", plain(&orphan.object), orphan.mark));
    let lines: Vec<String> = compared.chain(overridden).chain(warnings).chain(orphans).collect();
    if !lines.is_empty() {
        out.push_str(&fenced("text", &lines.join("\n")));
    }
    report.plan.as_ref().map_or(Ok(()), |hash| writeln!(out, "Plan `{hash}`"))
}

fn table(out: &mut String, report: &Report) -> fmt::Result {
    if report.targets.is_empty() {
        return Ok(());
    }
    writeln!(out, "| target | firewall | outcome | IPv4 | IPv6 |\n|---|---|---|---|---|")?;
    for told in &report.targets {
        let target = &told.target;
        let ports: Vec<String> = target.ports.iter().map(u16::to_string).collect();
        let object = format!("{}, {} {}", target.backend.object(), target.protocol.name(), ports.join(" "));
        let [v4, v6] = Family::ALL.map(|family| told.plan().map(|plan| change(plan, family)).unwrap_or_default());
        let outcome = outcome(report, told);
        writeln!(out, "| {} | {} | {outcome} | {v4} | {v6} |", code(&target.name), code(&object))?;
    }
    out.push('\n');
    Ok(())
}

fn outcome(report: &Report, told: &TargetReport) -> String {
    let word = match &told.outcome {
        Outcome::InSync(_) => "in sync",
        Outcome::Planned(_) if report.purpose == Purpose::Enforce => "left as it is",
        Outcome::Planned(_) => "**to change**",
        Outcome::Applied(..) => "changed",
        Outcome::Refused { refusals, .. } => {
            let limit = refusals.first().map(|refusal| format!(" ({})", refusal.limit)).unwrap_or_default();
            return format!("**refused**{limit}");
        }
        Outcome::Failed(_) => "**failed**",
    };
    if told.drifted { format!("{word}, **drifted**") } else { word.to_owned() }
}

/// What changes in one family: `+2 -1 prefixes, 24 addresses gained, 8 lost`.
fn change(plan: &Plan, family: Family) -> String {
    let is_of = |admits: &&Admits| matches!(admits, Admits::Range(range) if range.family() == family);
    let of = |side: Side| side.changing.iter().filter(is_of).count();
    let (added, removed) = (of(plan.added()), of(plan.removed()));
    if added + removed == 0 {
        return format!("{} prefixes", thousands(plan.after.prefix_count(family)));
    }
    let (gained, lost) = (addresses(*plan.gained().get(family)), addresses(*plan.lost().get(family)));
    format!("+{} -{} prefixes, {gained} addresses gained, {lost} lost", thousands(added), thousands(removed))
}

/// All that is told of one target: what is wrong with it, and folded the rest.
fn target(out: &mut String, report: &Report, told: &TargetReport, detail: Detail) -> fmt::Result {
    let name = &told.target.name;
    let trouble = text::trouble(&told.outcome);
    if !trouble.is_empty() {
        // The blocks of many targets are told apart by their first line.
        out.push_str(&fenced("text", &format!("{name}\n{trouble}")));
    }
    let lines = text::of_target(report, told, detail);
    let is_still = |plan: &Plan| plan.observed.foreign.is_empty() && plan.held().is_empty() && plan.left.is_empty();
    let nothing = matches!(&told.outcome, Outcome::InSync(plan) if is_still(plan)) && !told.pinned;
    if detail == Detail::Quiet || nothing || told.seen().is_none() {
        return Ok(());
    }
    // What is added and removed is coloured where the sign is the first on its line.
    let dedented: Vec<&str> = lines.lines().skip(1).map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
    writeln!(out, "<details><summary><code>{name}</code>: {}</summary>\n", told.outcome.name())?;
    out.push_str(&fenced("diff", &dedented.join("\n")));
    writeln!(out, "</details>\n")
}

/// What the limits were judged by.
fn limits(out: &mut String, report: &Report) -> fmt::Result {
    if report.measures.is_empty() {
        return Ok(());
    }
    writeln!(out, "| list | family | lost | allowed | gained | allowed |\n|---|---|---|---|---|---|")?;
    for measure in &report.measures {
        let (list, family, loss, growth) = (code(&measure.list), measure.family, measure.loss(), measure.growth());
        let (loss_limit, growth_limit) = (&measure.loss_limit, &measure.growth_limit);
        writeln!(out, "| {list} | {family} | {loss} | {loss_limit} | {growth} | {growth_limit} |")?;
    }
    out.push('\n');
    Ok(())
}

/// A block of code that nothing in it can end.
fn fenced(language: &str, text: &str) -> String {
    format!("```{language}\n{}\n```\n\n", text.replace("```", "'''"))
}

/// A piece of code in a line, or in a cell of a table.
fn code(text: &str) -> String {
    format!("`{}`", plain(text).replace('`', "'").replace('|', "\\|"))
}

/// As many lines as fit, and that there are more.
fn cut(text: &str) -> String {
    let mut kept = String::new();
    for line in text.lines().take_while(|line| line.len() < LONGEST) {
        if kept.len() + line.len() > LONGEST {
            break;
        }
        kept.push_str(line);
        kept.push('\n');
    }
    kept + "\nand more than a comment can hold: `--format json` has all of it\n"
}

#[cfg(test)]
mod tests;
