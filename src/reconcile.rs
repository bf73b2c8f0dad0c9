//! One pass: from a publication to what each firewall enforces.
//!
//! A pass takes no input but the configuration. A timer, a signal and the command line all run this same function,
//! so there is one path to trust, and whatever woke it cannot make it do less than everything.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::Timestamp;
use tagwall_provider::{Limit, Provider, Refusal};

use crate::accept::{Baselines, judge_publication};
use crate::config::{Config, List, Target};
use crate::desired;
use crate::enforce::{JudgedList, JudgedLists, Work};
use crate::report::{Failure, Outcome, Published, Report, TargetReport};
use crate::source::{Fetched, LastGood, Publication, Source};
use crate::state::State;

/// What a pass may do, and for whom.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it is run for.
    pub purpose: Purpose,
    /// Refusals that the operator lets through.
    pub overrides: Vec<Limit>,
    /// The connection that the operator works over, not to be cut unasked.
    pub own_session: Option<OwnSession>,
    /// The time of the pass.
    pub now: Timestamp,
}

/// What a pass is run for. Only one of them changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To bring every target to what it should admit.
    Enforce,
    /// To show what that would do.
    DryRun,
    /// To tell what is enforced now.
    Status,
}

/// The connection that the operator works over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnSession {
    /// Where the operator is.
    pub client: IpAddr,
    /// The port of this host that the connection came in on.
    pub port: u16,
}

/// A target with the provider that keeps it.
#[derive(Debug)]
pub struct Kept<'a> {
    /// The target.
    pub target: &'a Target,
    /// Its provider, or why there is none.
    pub provider: Result<Box<dyn Provider>, Failure>,
}

/// What a pass found out, and the publication it went by, to be remembered.
#[derive(Debug)]
pub struct Pass {
    /// What is told.
    pub report: Report,
    /// The publication, unless it was refused as a whole or none was had.
    pub fetched: Option<Fetched>,
    /// The lists that were accepted with it.
    pub accepted: Vec<String>,
    /// Every list as it was judged; none where there was no publication to go by.
    pub lists: JudgedLists,
}

/// Fetches, resolves, judges, plans and, unless it is a dry run, applies and verifies every target.
///
/// It always yields a whole report: a target that fails stops no other. Nothing is written but to firewalls.
pub async fn pass(
    config: &Config,
    source: &Source,
    last_good: &LastGood,
    state: &State,
    targets: &[Kept<'_>],
    options: &Options,
) -> Pass {
    match source.fetch(Some(last_good)).await {
        Ok(fetched) => against(fetched, config, last_good, state, targets, options).await,
        Err(error) => without_publication(targets, options, &Outcome::of_source_error(&error)),
    }
}

/// A pass with no publication: every target comes out alike, untouched.
pub fn without_publication(targets: &[Kept<'_>], options: &Options, outcome: &Outcome) -> Pass {
    let mut report = Report::new(options, None);
    report.conclude_all(targets, outcome);
    Pass { report, fetched: None, accepted: Vec::new(), lists: JudgedLists::new() }
}

/// The pass from a publication on.
pub async fn against(
    fetched: Fetched,
    config: &Config,
    last_good: &LastGood,
    state: &State,
    targets: &[Kept<'_>],
    options: &Options,
) -> Pass {
    let mut report = Report::new(options, Some(Published::of(&fetched, state, options.now)));
    report.warnings.extend(fetched.warnings.iter().cloned());
    report.warnings.extend(report.staleness(config.stale));
    report.warnings.extend(leftovers(config, state));
    match judge_publication(&fetched.publication, config, state) {
        Ok(warning) => report.warnings.extend(warning),
        Err(refusal) if options.overrides.contains(&refusal.limit) => report.overridden.push(refusal),
        Err(refusal) => {
            report.conclude_all(targets, &Outcome::Refused { refusals: vec![refusal], plan: None });
            return Pass { report, fetched: None, accepted: Vec::new(), lists: JudgedLists::new() };
        }
    }
    let baselines = Baselines::load(config, &fetched.publication, last_good, state, &mut report.warnings);
    let lists = judge_lists(config, &fetched.publication, &baselines, options, &mut report);
    enforce_all(config, |_| &lists, state, targets, options, &mut report).await;
    Pass { accepted: accepted(config, &lists, state, &report), report, fetched: Some(fetched), lists }
}

/// The pass of targets that were enforced before, to what was enforced: each has lists of its own, from the pass that
/// last saw it right. No publication is needed, so this is how drift is mended without the network.
///
/// # Panics
/// Where a target has no lists, or lacks one of them.
pub async fn again(
    published: Option<Published>,
    enforced: &BTreeMap<String, JudgedLists>,
    config: &Config,
    state: &State,
    targets: &[Kept<'_>],
    options: &Options,
) -> Report {
    let mut report = Report::new(options, published);
    enforce_all(config, |target| &enforced[&target.name], state, targets, options, &mut report).await;
    report
}

/// Resolves every list and judges what it would become.
fn judge_lists(
    config: &Config,
    publication: &Publication,
    baselines: &Baselines,
    options: &Options,
    report: &mut Report,
) -> JudgedLists {
    let judge = |(name, list): (&String, &List)| {
        let (resolved, mut refusals) = desired::resolve(list, publication);
        refusals.extend(baselines.judge(list, publication));
        let overridden = |refusal: &Refusal| options.overrides.contains(&refusal.limit);
        let (overridden, standing): (Vec<_>, Vec<_>) = refusals.into_iter().partition(overridden);
        report.overridden.extend(overridden);
        (name.clone(), Arc::new(JudgedList { resolved, standing, measured: baselines.has(name) }))
    };
    config.lists.iter().map(judge).collect()
}

/// Brings every target to what its lists say, side by side.
async fn enforce_all<'a>(
    config: &Config,
    lists: impl Fn(&Target) -> &'a JudgedLists,
    state: &State,
    targets: &[Kept<'_>],
    options: &Options,
    report: &mut Report,
) {
    let each = targets.iter().map(|kept| async {
        let mut work = Work::new(kept.target, lists(kept.target), state, config, options);
        let outcome = match &kept.provider {
            Ok(provider) => work.run(provider.as_ref()).await,
            Err(failure) => Outcome::Failed(failure.clone()),
        };
        let conflicts = work.conflicts;
        (TargetReport { conflicts, ..TargetReport::new(kept.target, outcome) }, work.overridden)
    });
    for (target, overridden) in join_all(each).await {
        report.targets.push(target);
        report.overridden.extend(overridden);
    }
}

/// The lists that may be measured from this publication from now on.
///
/// Every target of such a list was in the pass: what one target alone was brought to by an override must not pass for
/// every other. A list with nothing to be measured by is measured by what its targets admit, so all of them must have
/// let it through: or the next pass would take for agreed what this one refused, or never got to see. A target that is
/// withdrawn has no say: it admits nothing of ours.
fn accepted(config: &Config, lists: &JudgedLists, state: &State, report: &Report) -> Vec<String> {
    let outcome = |target: &Target| report.targets.iter().find(|told| told.target.name == target.name);
    let let_through = |list: &JudgedList, told: &TargetReport| {
        list.measured || !matches!(told.outcome, Outcome::Refused { .. } | Outcome::Failed(_))
    };
    let is_accepted = |name: &str, list: &JudgedList| {
        let mut targets = config.targets.iter().filter(|target| target.lists.iter().any(|of| of == name));
        let agrees =
            |target: &Target| outcome(target).map_or(state.is_withdrawn(&target.name), |told| let_through(list, told));
        list.standing.is_empty() && targets.all(agrees)
    };
    lists.iter().filter(|(name, list)| is_accepted(name, list)).map(|(name, _)| name.clone()).collect()
}

/// Says what nothing else remembers.
fn leftovers(config: &Config, state: &State) -> Vec<String> {
    let told = |(target, object): (String, String)| {
        format!(
            "target `{target}` once filled {object}, which the configuration does not name any more and which cannot \
             carry a mark: empty it yourself if nobody needs it; `tagwall withdraw --orphans` forgets it"
        )
    };
    state.unmarked_leftovers(config).into_iter().map(told).collect()
}

#[cfg(test)]
mod tests;
