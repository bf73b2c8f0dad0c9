//! One pass: from a publication to what each firewall enforces.
//!
//! A pass takes no input but the configuration. A timer, a signal and the command line all run this same function,
//! so there is one path to trust, and whatever woke it cannot make it do less than everything.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use jiff::Timestamp;
use tagwall_provider::{Limit, Provider, Refusal};

use crate::accept::{Baselines, judge_publication};
use crate::config::{Config, List, Target};
use crate::desired;
use crate::enforce::{Aim, JudgedList, JudgedLists, Work};
use crate::generation::Enforced;
use crate::grace;
use crate::report::{Class, Failure, Fallback, Outcome, Published, Report, TargetReport};
use crate::source::{Fetched, Publication, Source};
use crate::state::{State, StateDir};

/// How many targets are worked on at a time: a slow one keeps its place and delays no other.
const SIDE_BY_SIDE: usize = 16;
/// How long one target may take. A provider may be dropped halfway: what it did until then is safe to plan again from.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// What a pass may do, and for whom.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it is run for.
    pub purpose: Purpose,
    /// Refusals that the operator lets through.
    pub overrides: Vec<Limit>,
    /// The connection that the operator works over, not to be cut unasked.
    pub own_session: Option<OwnSession>,
    /// Whether it restores what was before a boot: what a pause left in place is to be there again.
    pub restores: bool,
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

/// What earlier passes left to go by.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'a> {
    /// Where it is.
    pub dir: &'a StateDir,
    /// What is remembered of lists and targets.
    pub state: &'a State,
    /// What is fresher than the generations on disk: a disk that is full stops no healing.
    pub recent: &'a BTreeMap<String, (u64, Enforced)>,
}

impl Memory<'_> {
    /// What a target was last enforced with, and in which generation.
    pub fn enforced(&self, config: &Config, target: &str, warnings: &mut Vec<String>) -> Option<(u64, Enforced)> {
        self.recent.get(target).cloned().or_else(|| {
            let recorded = self.state.targets.get(target).and_then(|record| record.generation);
            self.dir.generations().enforced(&config.owner, target, recorded, warnings)
        })
    }
}

/// Fetches, resolves, judges, plans and, unless it is a dry run, applies and verifies every target.
///
/// It always yields a whole report: a target that fails stops no other. Nothing is written but to firewalls.
pub async fn pass(
    config: &Config,
    source: &Source,
    memory: Memory<'_>,
    targets: &[Kept<'_>],
    options: &Options,
) -> Pass {
    match source.fetch(Some(&memory.dir.last_good())).await {
        Ok(fetched) => against(fetched, config, memory, targets, options).await,
        Err(error) => {
            let outcome = Outcome::of_source_error(&error);
            without_publication(Report::new(options, None), &outcome, config, memory, targets, options).await
        }
    }
}

/// The pass where no publication can be gone by: this comes of every target, and each is kept at what it was last
/// enforced with.
pub async fn without_publication(
    mut report: Report,
    outcome: &Outcome,
    config: &Config,
    memory: Memory<'_>,
    targets: &[Kept<'_>],
    options: &Options,
) -> Pass {
    if targets.is_empty() {
        report.outcome_without_targets = Some(outcome.clone());
    }
    enforce_all(Ground::Nothing(outcome), config, memory, targets, options, &mut report).await;
    Pass { report, fetched: None, accepted: Vec::new(), lists: JudgedLists::new() }
}

/// The pass from a publication on.
pub async fn against(
    fetched: Fetched,
    config: &Config,
    memory: Memory<'_>,
    targets: &[Kept<'_>],
    options: &Options,
) -> Pass {
    let state = memory.state;
    let mut report = Report::new(options, Some(Published::of(&fetched, state, options.now)));
    report.warnings.extend(fetched.warnings.iter().cloned());
    report.warnings.extend(report.staleness(config.stale));
    report.warnings.extend(leftovers(config, state));
    match judge_publication(&fetched.publication, config, state) {
        Ok(warning) => report.warnings.extend(warning),
        Err(refusal) if options.overrides.contains(&refusal.limit) => report.overridden.push(refusal),
        Err(refusal) => {
            let outcome = Outcome::Refused { refusals: vec![refusal], plan: None };
            return without_publication(report, &outcome, config, memory, targets, options).await;
        }
    }
    let last_good = memory.dir.last_good();
    let baselines = Baselines::load(config, &fetched.publication, &last_good, state, &mut report.warnings);
    let lists = judge_lists(config, &fetched.publication, &baselines, state, targets, options, &mut report);
    enforce_all(Ground::Lists(&lists), config, memory, targets, options, &mut report).await;
    Pass { accepted: accepted(config, &lists, state, &report), report, fetched: Some(fetched), lists }
}

/// The pass of targets to what they were last enforced with. No publication is needed, so this is how drift is mended
/// without the network, and how a boot restores what was. A target that nothing is known of is closed.
pub async fn again(
    published: Option<Published>,
    config: &Config,
    memory: Memory<'_>,
    targets: &[Kept<'_>],
    options: &Options,
) -> Report {
    let mut report = Report::new(options, published);
    enforce_all(Ground::Remembered, config, memory, targets, options, &mut report).await;
    report
}

/// Resolves every list and judges what it would become.
fn judge_lists(
    config: &Config,
    publication: &Publication,
    baselines: &Baselines,
    state: &State,
    targets: &[Kept<'_>],
    options: &Options,
    report: &mut Report,
) -> JudgedLists {
    let judge = |(name, list): (&String, &List)| {
        let (mut resolved, mut refusals) = desired::resolve(list, publication);
        refusals.extend(baselines.judge(list, publication));
        // An override speaks of what this pass is to enforce, not of every list of the file.
        let is_used = targets.iter().any(|kept| kept.target.lists.contains(name));
        let overridden = |refusal: &Refusal| is_used && options.overrides.contains(&refusal.limit);
        let (overridden, standing): (Vec<_>, Vec<_>) = refusals.into_iter().partition(overridden);
        report.overridden.extend(overridden);
        let known = state.lists.get(name).map(|record| record.dropped.as_slice()).unwrap_or_default();
        let before = baselines.listed_before(list, publication);
        let dropped = grace::advance(list.grace, known, before.as_ref(), &resolved.listed, options.now);
        resolved.held = dropped.iter().map(|dropped| list.holds(dropped)).collect();
        (name.clone(), Arc::new(JudgedList { resolved, standing, measured: baselines.has(name), dropped }))
    };
    config.lists.iter().map(judge).collect()
}

/// What targets that are not pinned are brought to.
#[derive(Clone, Copy)]
enum Ground<'a> {
    /// These lists.
    Lists(&'a JudgedLists),
    /// Nothing new, and this comes of it.
    Nothing(&'a Outcome),
    /// What each was last enforced with.
    Remembered,
}

/// Brings every target to what it should admit, side by side, canaries first.
async fn enforce_all(
    ground: Ground<'_>,
    config: &Config,
    memory: Memory<'_>,
    targets: &[Kept<'_>],
    options: &Options,
    report: &mut Report,
) {
    let mut told = Vec::with_capacity(targets.len());
    let mut stopped = None;
    for canaries in [true, false] {
        let wave = targets.iter().enumerate().filter(|(_, kept)| kept.target.canary == canaries);
        let bring = |(place, kept)| {
            let (overridden, warnings, conflicts) = Default::default();
            let mut one = One { kept, ground, config, memory, options, overridden, warnings, conflicts };
            let stopped = stopped.clone();
            async move {
                let told = one.bring(stopped).await;
                (place, TargetReport { conflicts: one.conflicts, ..told }, one.overridden, one.warnings)
            }
        };
        let done: Vec<_> = stream::iter(wave).map(bring).buffer_unordered(SIDE_BY_SIDE).collect().await;
        if options.purpose == Purpose::Enforce && !matches!(ground, Ground::Remembered) {
            stopped = done.iter().find_map(|(_, told, ..)| stops_the_rest(told));
        }
        told.extend(done);
    }
    told.sort_unstable_by_key(|(place, ..)| *place);
    for (_, target, overridden, warnings) in told {
        report.warnings.extend(target.closed_by_others());
        report.targets.push(target);
        report.overridden.extend(overridden);
        report.warnings.extend(warnings);
    }
}

/// Why targets that come after a canary are left as they are.
fn stops_the_rest(canary: &TargetReport) -> Option<Refusal> {
    let verb = match &canary.outcome {
        Outcome::Refused { .. } => "was refused",
        Outcome::Failed(_) => "failed",
        _ => return None,
    };
    Some(Refusal {
        limit: Limit::Canary,
        finding: format!("`{}` goes ahead, and it {verb}", canary.target.name),
        choices: vec![format!("see what is wrong with `{}`, or take `canary` out of it", canary.target.name)],
    })
}

/// One target of a pass.
struct One<'a> {
    kept: &'a Kept<'a>,
    ground: Ground<'a>,
    config: &'a Config,
    memory: Memory<'a>,
    options: &'a Options,
    overridden: Vec<Refusal>,
    warnings: Vec<String>,
    conflicts: u32,
}

impl One<'_> {
    async fn bring(&mut self, stopped: Option<Refusal>) -> TargetReport {
        let target = self.kept.target;
        let provider = match &self.kept.provider {
            Ok(provider) => provider.as_ref(),
            Err(failure) => return TargetReport::new(target, Outcome::Failed(failure.clone())),
        };
        let record = self.memory.state.targets.get(&target.name);
        let pinned = record.is_some_and(|record| record.pinned.is_some());
        let paused = self.memory.state.paused(&target.name).map(brakes::paused);
        if pinned || matches!(self.ground, Ground::Remembered) {
            let Some((generation, aim)) = self.remembered() else {
                let outcome = if pinned { brakes::pin_lost(target) } else { self.run(provider, Aim::default()).await };
                return TargetReport { pinned, ..TargetReport::new(target, outcome) };
            };
            // What was paused was enforced: to restore it after a boot is to keep the pause.
            let brake = paused.filter(|_| !self.options.restores);
            let outcome = self.run(provider, aim.braked(brake)).await;
            return TargetReport { pinned, generation: Some(generation), ..TargetReport::new(target, outcome) };
        }
        let lists = match self.ground {
            Ground::Lists(lists) => lists,
            Ground::Nothing(outcome) => {
                let fallback = self.fall_back(provider, paused).await;
                return TargetReport { fallback, ..TargetReport::new(target, outcome.clone()) };
            }
            Ground::Remembered => unreachable!("dealt with above"),
        };
        let unconfirmed = record.and_then(|record| record.unconfirmed.as_ref()).map(brakes::unconfirmed);
        let brakes = [paused.clone(), unconfirmed, stopped];
        let aim = brakes.into_iter().fold(Aim::at(lists), Aim::braked);
        let outcome = self.run(provider, aim).await;
        let outcome = self.confirm(outcome).await;
        let fallback = match outcome {
            Outcome::Refused { .. } => self.fall_back(provider, paused).await,
            _ => None,
        };
        TargetReport { fallback, ..TargetReport::new(target, outcome) }
    }

    async fn run(&mut self, provider: &dyn Provider, aim: Aim) -> Outcome {
        let mut work = Work::new(self.kept.target, aim, self.memory.state, self.config, self.options);
        let outcome = tokio::time::timeout(PATIENCE, work.run(provider)).await;
        self.overridden.append(&mut work.overridden);
        self.conflicts += work.conflicts;
        outcome.unwrap_or_else(|_| {
            Outcome::Failed(Failure {
                message: format!("the firewall was not done within {} minutes", PATIENCE.as_secs() / 60),
                hint: Some("what was changed until then is read again by the next pass".to_owned()),
                class: Class::Transient,
            })
        })
    }

    /// What the target was last enforced with.
    fn remembered(&mut self) -> Option<(u64, Aim)> {
        let target = self.kept.target;
        let (number, enforced) = self.memory.enforced(self.config, &target.name, &mut self.warnings)?;
        let lists = enforced.lists_today(target, self.config)?;
        Some((number, Aim { lists, left: enforced.left, brakes: Vec::new() }))
    }

    /// Keeps the target at what it was last enforced with, where that is known: what is refused is the change, not the
    /// firewall that stands.
    async fn fall_back(&mut self, provider: &dyn Provider, paused: Option<Refusal>) -> Option<Fallback> {
        let (generation, aim) = self.remembered()?;
        let outcome = Box::new(self.run(provider, aim.braked(paused)).await);
        Some(Fallback { generation, outcome })
    }

    /// Asks for confirmation of a change that was made. What is not confirmed is refused after all.
    async fn confirm(&mut self, outcome: Outcome) -> Outcome {
        let Outcome::Applied(plan, applied) = outcome else { return outcome };
        let Some(confirm) = &self.kept.target.confirm else { return Outcome::Applied(plan, applied) };
        let before = self.remembered().map(|(_, aim)| aim.desired().prefixes());
        // What was there before and came back was confirmed then.
        if before.as_ref() == Some(&plan.after) {
            return Outcome::Applied(plan, applied);
        }
        match confirm.ask(self.kept.target, &plan).await {
            Ok(()) => Outcome::Applied(plan, applied),
            Err(why) => {
                let refusal = brakes::not_confirmed(&why, before.is_some());
                Outcome::Refused { refusals: vec![refusal], plan: Some(plan) }
            }
        }
    }
}

/// Refusals that stand whatever is published, and what they are told by.
mod brakes {
    use tagwall_provider::{Limit, Refusal};

    use crate::config::Target;
    use crate::report::{Class, Failure, Outcome};
    use crate::state::{Decision, Unconfirmed};

    pub(super) fn paused(decision: &Decision) -> Refusal {
        Refusal {
            limit: Limit::Paused,
            finding: decision.to_string(),
            choices: vec!["`tagwall resume` ends the pause".to_owned()],
        }
    }

    pub(super) fn unconfirmed(unconfirmed: &Unconfirmed) -> Refusal {
        Refusal {
            limit: Limit::Unconfirmed,
            finding: format!("a change was taken back at {:.0}: {}", unconfirmed.since, unconfirmed.why),
            choices: vec!["`tagwall resume` tries again, once the reason is gone".to_owned()],
        }
    }

    pub(super) fn not_confirmed(why: &str, before: bool) -> Refusal {
        let then = if before { "" } else { "; nothing was enforced before it, so the new rules stay" };
        Refusal {
            limit: Limit::Unconfirmed,
            finding: format!("the change was made and not confirmed: {why}{then}"),
            choices: vec!["`tagwall resume` tries again, once the reason is gone".to_owned()],
        }
    }

    pub(super) fn pin_lost(target: &Target) -> Outcome {
        Outcome::Failed(Failure {
            message: format!("`{}` is pinned to a generation that cannot be read, and is left as it is", target.name),
            hint: Some("`tagwall history` lists those that can; `tagwall resume` ends the pin".to_owned()),
            class: Class::Rejected,
        })
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
