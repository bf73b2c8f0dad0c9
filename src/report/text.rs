//! The diff as people read it: the face of tagwall. Fits 80 columns, says the same without colour.

mod lines;

use std::fmt::{self, Write as _};

use anstyle::{AnsiColor, Style};
use tagwall_provider::{Admits, Family, Limit, Refusal};

use super::number::{addresses, counted, thousands};
use super::{Failure, Fallback, Outcome, Published, Report, TargetReport, agreement};
use crate::config::Policy;
use crate::exit::ExitStatus;
use crate::plan::{Plan, Side};
use crate::reconcile::Purpose;
use crate::source::Freshness;

use lines::wrapped;
pub use lines::{ago, plain};

const ADDED: Style = AnsiColor::Green.on_default();
const REMOVED: Style = AnsiColor::Red.on_default();
const CHANGED: Style = AnsiColor::Yellow.on_default();
const FAINT: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

/// How many entries of one kind are shown before the rest is folded.
const SHOWN: usize = 8;

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Refusals, failures and the last line.
    Quiet,
    /// Long lists folded.
    #[default]
    Folded,
    /// Everything.
    Full,
}

/// Renders a report with colours; who prints it strips them where they are not wanted.
pub fn render(report: &Report, detail: Detail) -> String {
    let mut text = Text { out: String::new(), detail };
    // Writing to a string does not fail.
    let _ = text.report(report);
    wrapped(&text.out)
}

/// Renders one target without colours, its lines unbroken and its first not apart from the rest.
pub fn of_target(report: &Report, target: &TargetReport, detail: Detail) -> String {
    let mut text = Text { out: String::new(), detail };
    let _ = text.target(report, target);
    anstream::adapter::strip_str(text.out.trim_start()).to_string()
}

/// What is wrong, without colours.
pub fn trouble(outcome: &Outcome) -> String {
    let mut text = Text { out: String::new(), detail: Detail::Folded };
    let _ = text.trouble(outcome);
    anstream::adapter::strip_str(text.out.trim()).to_string()
}

/// How many targets came out how, in words.
pub fn counted_outcomes(report: &Report) -> String {
    let said = |name: &str, word: &str| match report.count(name) {
        0 => None,
        count => Some(format!("{count} {word}")),
    };
    let planned = if report.purpose == Purpose::Enforce { "left as they are" } else { "to change" };
    let words = [
        ("in-sync", "in sync"),
        ("planned", planned),
        ("applied", "changed"),
        ("refused", "refused"),
        ("failed", "failed"),
    ];
    let parts: Vec<String> = words.into_iter().filter_map(|(name, word)| said(name, word)).collect();
    if parts.is_empty() { "no targets".to_owned() } else { parts.join(", ") }
}

struct Text {
    out: String,
    detail: Detail,
}

impl Text {
    fn report(&mut self, report: &Report) -> fmt::Result {
        if self.detail != Detail::Quiet {
            if let Some(published) = &report.publication {
                self.published(published)?;
            }
            self.agreement(report)?;
            let shown = self.shown(report.overridden.len());
            for refusal in &report.overridden[..shown] {
                writeln!(self.out, "{CHANGED}overridden{CHANGED:#} {refusal}")?;
            }
            self.folded("", report.overridden.len() - shown)?;
        }
        for target in &report.targets {
            self.target(report, target)?;
        }
        if let Some(outcome) = &report.outcome_without_targets {
            self.trouble(outcome)?;
        }
        if self.detail != Detail::Quiet {
            self.orphans(report)?;
        }
        self.summary(report)
    }

    fn published(&mut self, published: &Published) -> fmt::Result {
        let date = published.date.map(|date| format!(" of {date}")).unwrap_or_default();
        let age = counted(usize::try_from(published.age_days).unwrap_or_default(), "day", "days");
        writeln!(
            self.out,
            "{BOLD}Publication{BOLD:#} {}, change number {}{date}, {age} old",
            published.cloud.document_name(),
            published.change_number
        )?;
        let note = match &published.freshness {
            Freshness::Fresh => "",
            Freshness::NotModified => " (not modified since it was fetched)",
            Freshness::LastGood { .. } => " (the last good one, from disk)",
        };
        writeln!(self.out, "{FAINT}  {}{note}{FAINT:#}", published.origin)
    }

    fn agreement(&mut self, report: &Report) -> fmt::Result {
        let Some(agreement) = &report.agreement else { return Ok(()) };
        let (head, differences) = agreement::lines(agreement);
        writeln!(self.out, "{BOLD}Compared{BOLD:#} {}", plain(&head))?;
        let shown = self.shown(differences.len());
        for difference in &differences[..shown] {
            writeln!(self.out, "  {CHANGED}!{CHANGED:#} {}", plain(difference))?;
        }
        self.folded("  ", differences.len() - shown)
    }

    fn target(&mut self, report: &Report, target: &TargetReport) -> fmt::Result {
        if self.detail == Detail::Quiet {
            return match &target.outcome {
                Outcome::Refused { .. } | Outcome::Failed(_) => {
                    writeln!(self.out, "{BOLD}{}{BOLD:#}", target.target.name)?;
                    self.trouble(&target.outcome)?;
                    self.kept(report, target)
                }
                _ => Ok(()),
            };
        }
        let what = &target.target;
        let ports: Vec<String> = what.ports.iter().map(u16::to_string).collect();
        writeln!(
            self.out,
            "\n{BOLD}{}{BOLD:#}  {}, {} {}, {}",
            what.name,
            what.backend.object(),
            what.protocol.name(),
            ports.join(" "),
            what.lists.join(" + ")
        )?;
        if let Some(plan) = target.plan() {
            if matches!(target.outcome, Outcome::Refused { .. }) {
                writeln!(self.out, "  held back:")?;
            }
            self.plan(plan)?;
        }
        self.outcome(report, &target.outcome)?;
        if let (Some(generation), true) = (target.generation, target.pinned) {
            // A dry run of `rollback` shows a pin that is not there yet.
            let to_be = report.purpose == Purpose::DryRun && report.verb == "rollback";
            let would_be = if to_be { "would be " } else { "" };
            writeln!(
                self.out,
                "  {CHANGED}!{CHANGED:#} {would_be}pinned to generation {generation}: `tagwall resume` goes on"
            )?;
        }
        self.kept(report, target)
    }

    /// What stands where nothing new was enforced.
    fn kept(&mut self, report: &Report, target: &TargetReport) -> fmt::Result {
        match (&target.fallback, &target.outcome) {
            (Some(fallback), outcome) => self.fallback(report, fallback, is_unconfirmed(outcome)),
            // What was made and not confirmed was changed, and says so itself.
            (None, outcome @ Outcome::Refused { .. }) if !is_unconfirmed(outcome) => {
                writeln!(self.out, "  nothing was changed")
            }
            _ => Ok(()),
        }
    }

    /// What became of keeping a target as it was.
    fn fallback(&mut self, report: &Report, fallback: &Fallback, taken_back: bool) -> fmt::Result {
        let Fallback { generation, outcome } = fallback;
        if let Outcome::InSync(plan) = outcome.as_ref() {
            return writeln!(self.out, "  {ADDED}kept{ADDED:#} at generation {generation}: {}", totals(plan));
        }
        let said = match outcome.as_ref() {
            Outcome::Refused { .. } => format!("not kept at generation {generation}, it has drifted"),
            Outcome::Failed(_) => format!("not seen to be at generation {generation}"),
            Outcome::Planned(_) => format!("has drifted from generation {generation}"),
            _ if taken_back => format!("taken back to generation {generation}"),
            _ => format!("kept at generation {generation}, from which it had drifted"),
        };
        writeln!(self.out, "  {CHANGED}{said}{CHANGED:#}:")?;
        if let Some(plan) = outcome.plan() {
            self.plan(plan)?;
        }
        self.outcome(report, outcome)
    }

    fn outcome(&mut self, report: &Report, outcome: &Outcome) -> fmt::Result {
        match outcome {
            Outcome::InSync(plan) => {
                writeln!(self.out, "  {ADDED}in sync{ADDED:#}: {}", totals(plan))
            }
            Outcome::Planned(_) if report.purpose == Purpose::Enforce => {
                writeln!(self.out, "  {CHANGED}left as it is{CHANGED:#}: the policy is `{}`", Policy::Observe.name())
            }
            Outcome::Planned(plan) => writeln!(self.out, "  {CHANGED}planned{CHANGED:#}: {}", totals(plan)),
            Outcome::Applied(plan, _) => {
                writeln!(self.out, "  {ADDED}applied and read back{ADDED:#}: {}", totals(plan))
            }
            outcome => self.trouble(outcome),
        }
    }

    fn plan(&mut self, plan: &Plan) -> fmt::Result {
        for edit in &plan.steps.skeleton {
            writeln!(self.out, "  {CHANGED}*{CHANGED:#} {}", edit.description)?;
        }
        let (added, removed) = (plan.added(), plan.removed());
        self.entries('+', ADDED, &added.changing)?;
        self.entries('-', REMOVED, &removed.changing)?;
        self.reexpressed(&added, &removed)?;
        self.balance(plan, &added, &removed)?;
        if !plan.left.is_empty() {
            let stored: Vec<String> = plan
                .before
                .prefixes()
                .filter(|prefix| plan.left.meets(*prefix))
                .map(|prefix| prefix.to_string())
                .collect();
            let first = stored.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
            writeln!(
                self.out,
                "  {CHANGED}!{CHANGED:#} admits {} beyond its lists ({first}{}) and keeps them: the policy is `{}`",
                counted(stored.len(), "prefix", "prefixes"),
                if stored.len() > 3 { ", …" } else { "" },
                Policy::AddOnly.name()
            )?;
        }
        for held in plan.held() {
            let stored: Vec<String> = held.prefixes.prefixes().map(|prefix| prefix.to_string()).collect();
            let first = stored.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
            writeln!(
                self.out,
                "  {CHANGED}!{CHANGED:#} held until {}: {} that Microsoft dropped ({first}{})",
                held.until,
                counted(stored.len(), "prefix", "prefixes"),
                if stored.len() > 3 { ", …" } else { "" }
            )?;
        }
        let widened = plan.widened_addresses();
        for family in Family::ALL.into_iter().filter(|family| !widened.get(*family).is_zero()) {
            let (beside, all) = (*widened.get(family), plan.after.addresses(family));
            writeln!(
                self.out,
                "  {CHANGED}!{CHANGED:#} widened: {} of its {} {family} addresses are on no list, which saves prefixes",
                addresses(beside),
                addresses(all)
            )?;
        }
        for foreign in &plan.observed.foreign {
            writeln!(self.out, "  {CHANGED}!{CHANGED:#} not ours: {}", plain(&foreign.description))?;
        }
        let theirs = plan.admitted_by_others();
        if !theirs.is_empty() {
            let count = counted(theirs.prefixes().count(), "prefix", "prefixes");
            writeln!(self.out, "  {CHANGED}!{CHANGED:#} {count} admitted by somebody else's rule already")?;
        }
        Ok(())
    }

    fn entries(&mut self, sign: char, style: Style, entries: &[Admits]) -> fmt::Result {
        let shown = self.shown(entries.len());
        for entry in &entries[..shown] {
            writeln!(self.out, "  {style}{sign} {entry}{style:#}")?;
        }
        self.folded(&format!("  {style}{sign}{style:#} "), entries.len() - shown)
    }

    /// How many of so many lines of one kind are shown.
    fn shown(&self, count: usize) -> usize {
        match self.detail {
            Detail::Full => count,
            // To fold one line into one line would save nothing.
            _ if count <= SHOWN + 1 => count,
            _ => SHOWN,
        }
    }

    fn folded(&mut self, lead: &str, rest: usize) -> fmt::Result {
        match rest {
            0 => Ok(()),
            rest => writeln!(self.out, "{lead}{FAINT}… {} more, -v shows all{FAINT:#}", thousands(rest)),
        }
    }

    fn reexpressed(&mut self, added: &Side, removed: &Side) -> fmt::Result {
        let (new, old) = (added.reexpressed.len(), removed.reexpressed.len());
        if old > 0 {
            let old = counted(old, "prefix", "prefixes");
            writeln!(self.out, "  {CHANGED}~{CHANGED:#} re-expressed: {old}, 0 addresses lost")?;
        }
        if new > 0 {
            let new = counted(new, "prefix", "prefixes");
            writeln!(self.out, "  {CHANGED}~{CHANGED:#} written anew: {new}, 0 addresses gained")?;
        }
        Ok(())
    }

    fn balance(&mut self, plan: &Plan, added: &Side, removed: &Side) -> fmt::Result {
        let (gained, lost) = (plan.gained(), plan.lost());
        for family in Family::ALL {
            let of = |side: &Side| side.changing.iter().filter(|admits| is_of(admits, family)).count();
            if of(added) + of(removed) > 0 {
                writeln!(
                    self.out,
                    "  {family}: +{} -{} prefixes, {} addresses gained, {} lost",
                    thousands(of(added)),
                    thousands(of(removed)),
                    addresses(*gained.get(family)),
                    addresses(*lost.get(family))
                )?;
            }
        }
        Ok(())
    }

    fn trouble(&mut self, outcome: &Outcome) -> fmt::Result {
        match outcome {
            Outcome::Refused { refusals, .. } => self.refusals(refusals),
            Outcome::Failed(Failure { message, hint, .. }) => {
                writeln!(self.out, "  {REMOVED}failed{REMOVED:#}: {}", plain(message))?;
                match hint {
                    Some(hint) => writeln!(self.out, "  hint: {}", plain(hint)),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Findings with the same remedies share them: a bad publication may have a thousand bad prefixes.
    fn refusals(&mut self, refusals: &[Refusal]) -> fmt::Result {
        let alike = |a: &Refusal, b: &Refusal| a.limit == b.limit && a.choices == b.choices;
        refusals.chunk_by(alike).try_for_each(|refusals| self.findings(refusals))
    }

    fn findings(&mut self, refusals: &[Refusal]) -> fmt::Result {
        let shown = self.shown(refusals.len());
        for refusal in &refusals[..shown] {
            let (limit, finding) = (refusal.limit, plain(&refusal.finding));
            writeln!(self.out, "  {REMOVED}refused{REMOVED:#} {BOLD}{limit}{BOLD:#}: {finding}")?;
        }
        self.folded("  ", refusals.len() - shown)?;
        let Some(refusal) = refusals.first() else { return Ok(()) };
        for choice in &refusal.choices {
            writeln!(self.out, "  hint: {}", plain(choice))?;
        }
        if refusal.limit.can_be_overridden() {
            writeln!(self.out, "  hint: to let this one through: --override {} --reason TEXT", refusal.limit)?;
        }
        Ok(())
    }

    fn orphans(&mut self, report: &Report) -> fmt::Result {
        let orphans = report.orphans();
        if orphans.is_empty() {
            return Ok(());
        }
        writeln!(
            self.out,
            "\n{BOLD}Orphans{BOLD:#}  our mark, no target of this configuration; they still judge ports\n  `tagwall withdraw --orphans` removes them: not if another file wants them"
        )?;
        for orphan in orphans {
            writeln!(self.out, "  {CHANGED}?{CHANGED:#} {} {FAINT}{}{FAINT:#}", orphan.object, orphan.mark)?;
        }
        Ok(())
    }

    fn summary(&mut self, report: &Report) -> fmt::Result {
        let parts = counted_outcomes(report);
        let planned = report.targets.iter().filter(|target| matches!(target.outcome, Outcome::Planned(_)));
        let applicable = planned.filter(|target| target.target.policy != Policy::Observe).count();
        let verb = report.verb;
        let (lead, tail) = match (report.purpose, applicable) {
            (Purpose::DryRun, 0) => ("Dry run: ", String::new()),
            (Purpose::DryRun, _) => ("Dry run: ", format!("; nothing was changed, `tagwall {verb}` applies it")),
            (Purpose::Status, 1..) => ("", format!("; `tagwall {verb}` applies it")),
            _ => ("", String::new()),
        };
        if self.detail == Detail::Quiet && report.exit_status() == ExitStatus::Done {
            return Ok(());
        }
        let gap = if self.detail == Detail::Quiet { "" } else { "\n" };
        writeln!(self.out, "{gap}{lead}{parts}{tail}")?;
        report.plan.as_ref().map_or(Ok(()), |hash| writeln!(self.out, "{FAINT}Plan {hash}{FAINT:#}"))
    }
}

/// Whether it was done, and nobody confirmed that it was well done.
fn is_unconfirmed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { refusals, .. } if refusals.iter().any(|refusal| refusal.limit == Limit::Unconfirmed))
}

/// What a target admits after the pass.
fn totals(plan: &Plan) -> String {
    let of = |family| format!("{} {family}", thousands(plan.after.prefix_count(family)));
    format!("{} and {} prefixes", of(Family::V4), of(Family::V6))
}

/// Refusals of what has no report.
pub fn refusals(refusals: &[Refusal], detail: Detail) -> String {
    let mut text = Text { out: String::new(), detail };
    let _ = text.refusals(refusals);
    wrapped(&text.out)
}

fn is_of(admits: &Admits, family: Family) -> bool {
    matches!(admits, Admits::Range(range) if range.family() == family)
}

#[cfg(test)]
mod tests;
