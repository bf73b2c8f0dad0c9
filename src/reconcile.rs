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
use tagwall_provider::{Limit, Provider, Refusal, Skeleton};

use crate::accept::{Baselines, judge_publication};
use crate::agreement::Agreement;
use crate::config::{Config, List, Policy, Target};
use crate::desired;
use crate::enforce::{Aim, JudgedList, JudgedLists, Work};
use crate::generation::Enforced;
use crate::grace;
use crate::plan::Plan;
use crate::report::{Class, Failure, Fallback, Outcome, Published, Report, TargetReport};
use crate::source::{Fetched, Publication, Source};
use crate::state::{State, StateDir};

/// How many targets are worked on at a time: a slow one keeps its place and delays no other.
const SIDE_BY_SIDE: usize = 16;
/// How long one target may take. A provider may be dropped halfway: what it did until then is safe to plan again from.
const PATIENCE: Duration = Duration::from_mins(5);

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
    /// The command that does what a dry run shows.
    pub verb: &'static str,
    /// The time of the pass.
    pub now: Timestamp,
    /// What alone may be done to each target, where that was agreed to before; any other change is refused.
    pub agreed: Option<Arc<Agreed>>,
}

/// The plans that were agreed to, by target.
pub type Agreed = BTreeMap<String, Plan>;

impl Options {
    /// A pass over everything, with nothing out of the ordinary.
    pub fn new(purpose: Purpose, now: Timestamp) -> Self {
        let (overrides, own_session, restores, agreed) = Default::default();
        Self { purpose, overrides, own_session, restores, verb: "sync", now, agreed }
    }
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

impl<'a> Memory<'a> {
    /// What is on disk, with nothing fresher beside it.
    pub fn on_disk(dir: &'a StateDir, state: &'a State) -> Self {
        static NOTHING: BTreeMap<String, (u64, Enforced)> = BTreeMap::new();
        Self { dir, state, recent: &NOTHING }
    }

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
    // On the heap: it is large, and gone before the rest begins.
    match Box::pin(source.fetch_and_compare(Some(&memory.dir.last_good()))).await {
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
    if let Some(compared) = &fetched.compared {
        report.agreement = Agreement::of(&fetched, compared, config);
        report.warnings.extend(compared.trouble());
    }
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
        let (measures, judged) = baselines.judge(list, publication);
        refusals.extend(judged);
        // An override speaks of what this pass is to enforce, not of every list of the file.
        let is_used = targets.iter().any(|kept| kept.target.lists.contains(name));
        report.measures.extend(measures.into_iter().filter(|_| is_used));
        let overridden = |refusal: &Refusal| is_used && options.overrides.contains(&refusal.limit);
        let (overridden, standing): (Vec<_>, Vec<_>) = refusals.into_iter().partition(overridden);
        report.overridden.extend(overridden);
        // What belonged to tags that the operator has since taken out is not held.
        let record = state.lists.get(name).filter(|record| record.tags == list.tags);
        let known = record.map(|record| record.dropped.as_slice()).unwrap_or_default();
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
    let mut stopped = canaries_at_rest(config, memory.state, targets);
    for canaries in [true, false] {
        let wave = targets.iter().enumerate().filter(|(_, kept)| kept.target.canary == canaries);
        let bring = |(place, kept)| {
            let (taken_back, overridden, warnings, conflicts) = Default::default();
            let mut one = One { kept, ground, config, memory, options, taken_back, overridden, warnings, conflicts };
            // Whoever goes ahead waits for nobody.
            let stopped = stopped.clone().filter(|_| !canaries);
            async move {
                let told = one.bring(stopped).await;
                (place, TargetReport { conflicts: one.conflicts, ..told }, one.overridden, one.warnings)
            }
        };
        let done: Vec<_> = stream::iter(wave).map(bring).buffer_unordered(SIDE_BY_SIDE).collect().await;
        if options.purpose == Purpose::Enforce && !matches!(ground, Ground::Remembered) {
            stopped = stopped.or_else(|| done.iter().find_map(|(_, told, ..)| stops_the_rest(told)));
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

/// Why targets are left as they are whose canary does not go ahead: by itself it proves nothing.
fn canaries_at_rest(config: &Config, state: &State, targets: &[Kept<'_>]) -> Option<Refusal> {
    let in_pass = |target: &Target| targets.iter().any(|kept| kept.target.name == target.name);
    let at_rest = |target: &&Target| {
        state.pinned(&target.name).is_some() || (state.is_withdrawn(&target.name) && !in_pass(target))
    };
    let canary = config.targets.iter().filter(|target| target.canary).find(at_rest)?;
    let why = if state.pinned(&canary.name).is_some() { "is pinned" } else { "is withdrawn" };
    Some(brakes::canary(canary, why, &format!("`tagwall resume --target {}`", canary.name)))
}

/// Why targets that come after a canary are left as they are.
fn stops_the_rest(canary: &TargetReport) -> Option<Refusal> {
    let verb = match &canary.outcome {
        Outcome::Refused { .. } => "was refused",
        Outcome::Failed(_) => "failed",
        _ => return None,
    };
    let target = &canary.target;
    Some(brakes::canary(target, verb, &format!("see what is wrong with `{}`", target.name)))
}

/// One target of a pass.
struct One<'a> {
    kept: &'a Kept<'a>,
    ground: Ground<'a>,
    config: &'a Config,
    memory: Memory<'a>,
    options: &'a Options,
    /// Whether a change was not confirmed just now.
    taken_back: bool,
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
        let paused = self.memory.state.paused(&target.name).map(brakes::paused);
        // What was paused was enforced: to restore it after a boot is to keep the pause.
        let paused = paused.filter(|_| !self.options.restores);
        if let Some(number) = self.memory.state.pinned(&target.name) {
            return self.pinned(provider, number, paused).await;
        }
        let lists = match self.ground {
            Ground::Lists(lists) => lists,
            Ground::Nothing(outcome) => {
                let fallback = self.fall_back(provider, paused).await;
                return TargetReport { fallback, ..TargetReport::new(target, outcome.clone()) };
            }
            Ground::Remembered => return self.remembered(provider, paused).await,
        };
        let unconfirmed = self.unconfirmed();
        let brakes = [paused.clone(), unconfirmed.clone(), stopped];
        let aim = brakes.into_iter().fold(Aim::at(lists, target), Aim::braked);
        let outcome = self.run(provider, self.agreed(aim)).await;
        let outcome = match unconfirmed {
            Some(refusal) => self.still_unconfirmed(outcome, refusal),
            None => self.confirm(outcome).await,
        };
        let fallback = match outcome {
            // Nobody agreed to have drift mended, but to take a change back is part of making it.
            Outcome::Refused { .. } if self.options.agreed.is_some() && !self.taken_back => None,
            Outcome::Refused { .. } => self.fall_back(provider, paused).await,
            _ => None,
        };
        TargetReport { fallback, ..TargetReport::new(target, outcome) }
    }

    /// Keeps a target where the operator pinned it, or leaves it as it is.
    async fn pinned(&mut self, provider: &dyn Provider, number: u64, paused: Option<Refusal>) -> TargetReport {
        let (target, config) = (self.kept.target, self.config);
        let known = self.memory.recent.get(&target.name).filter(|(known, _)| *known == number);
        let enforced = match known {
            Some((_, enforced)) => Ok(Some(enforced.clone())),
            None => self.memory.dir.generations().of_target(&config.owner, &target.name, number),
        };
        let outcome = match enforced {
            Ok(Some(_)) if target.service_tag.is_some() => {
                brakes::pin_lost(target, "Azure keeps the tag by itself, and no generation of it can be had")
            }
            Ok(Some(enforced)) => {
                let mut aim = Aim { exact: true, ..enforced.today(target, config, self.options.now) };
                if target.policy == Policy::AddOnly {
                    aim.besides = aim.besides.union(&aim.left);
                }
                self.run(provider, self.agreed(aim.braked(paused))).await
            }
            Ok(None) => brakes::pin_lost(target, &format!("generation {number} is gone")),
            Err(error) => brakes::pin_lost(target, &Failure::of(&error, None).message),
        };
        TargetReport { pinned: true, generation: Some(number), ..TargetReport::new(target, outcome) }
    }

    /// Brings a target to what it was last enforced with. One that nothing is known of is closed, but never emptied.
    async fn remembered(&mut self, provider: &dyn Provider, paused: Option<Refusal>) -> TargetReport {
        let target = self.kept.target;
        if let Some((generation, enforced)) = self.enforced() {
            let aim = self.aim_of(&enforced).braked(paused);
            let outcome = self.run(provider, aim).await;
            return TargetReport { generation: Some(generation), ..TargetReport::new(target, outcome) };
        }
        let outcome = match provider.observe().await {
            Ok(observed) if observed.skeleton == Skeleton::Absent => {
                self.run(provider, Aim::default().braked(paused)).await
            }
            Ok(_) => brakes::nothing_known(target),
            Err(error) => Outcome::Failed(Failure::of_provider(&error, None)),
        };
        TargetReport::new(target, outcome)
    }

    /// The aim, bound to what was agreed to of this target.
    fn agreed(&self, aim: Aim) -> Aim {
        Aim { agreed: self.options.agreed.clone(), ..aim }
    }

    async fn run(&mut self, provider: &dyn Provider, aim: Aim) -> Outcome {
        let mut work = Work::new(self.kept.target, &aim, self.memory.state, self.config, self.options);
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
    fn enforced(&mut self) -> Option<(u64, Enforced)> {
        self.memory.enforced(self.config, &self.kept.target.name, &mut self.warnings)
    }

    /// What to bring the target back to. Where a change was not confirmed, that is what stood before it, whatever has
    /// been edited since.
    fn aim_of(&self, enforced: &Enforced) -> Aim {
        if self.taken_back || self.unconfirmed().is_some() {
            return enforced.exactly();
        }
        enforced.today(self.kept.target, self.config, self.options.now)
    }

    fn unconfirmed(&self) -> Option<Refusal> {
        let record = self.memory.state.targets.get(&self.kept.target.name)?;
        record.unconfirmed.as_ref().map(brakes::unconfirmed)
    }

    /// Keeps the target at what it was last enforced with, where that is known: what is refused is the change, not the
    /// firewall that stands.
    async fn fall_back(&mut self, provider: &dyn Provider, paused: Option<Refusal>) -> Option<Fallback> {
        let (generation, enforced) = self.enforced()?;
        let aim = self.aim_of(&enforced).braked(paused);
        let outcome = Box::new(self.run(provider, aim).await);
        Some(Fallback { generation, outcome })
    }

    /// Asks for confirmation of what was changed, also by a pass that was killed before it could ask. What is not
    /// confirmed is refused after all.
    async fn confirm(&mut self, outcome: Outcome) -> Outcome {
        let (Outcome::Applied(plan, _) | Outcome::InSync(plan)) = &outcome else { return outcome };
        let target = self.kept.target;
        let asks = self.options.purpose == Purpose::Enforce && target.policy != Policy::Observe;
        let Some(confirm) = target.confirm.as_ref().filter(|_| asks) else { return outcome };
        let before = self.enforced().map(|(_, enforced)| enforced.all());
        // What was there before and came back was confirmed then.
        if before.as_ref() == Some(&plan.after) {
            return outcome;
        }
        match confirm.ask(target, plan).await {
            Ok(()) => outcome,
            Err(why) => {
                self.taken_back = true;
                let refusal = brakes::not_confirmed(&why, before.is_some());
                Outcome::Refused { refusals: vec![refusal], plan: Some(plan.clone()) }
            }
        }
    }

    /// A change that was not confirmed and stands all the same, since it could not be taken back, is not agreed to.
    fn still_unconfirmed(&mut self, outcome: Outcome, refusal: Refusal) -> Outcome {
        match outcome {
            Outcome::InSync(plan) if self.enforced().is_some_and(|(_, enforced)| enforced.all() != plan.after) => {
                Outcome::Refused { refusals: vec![refusal], plan: Some(plan) }
            }
            outcome => outcome,
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

    pub(super) fn canary(canary: &Target, why: &str, choice: &str) -> Refusal {
        Refusal {
            limit: Limit::Canary,
            finding: format!("`{}` goes ahead, and it {why}", canary.name),
            choices: vec![format!("{choice}, or take `canary` out of it")],
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

    pub(super) fn nothing_known(target: &Target) -> Outcome {
        Outcome::Failed(Failure {
            message: format!(
                "nothing is known that `{}` was enforced with, and rules of it stand: they are left as they are",
                target.name
            ),
            hint: Some("`tagwall sync` enforces the newest publication; is it the right state directory?".to_owned()),
            class: Class::Rejected,
        })
    }

    pub(super) fn pin_lost(target: &Target, why: &str) -> Outcome {
        Outcome::Failed(Failure {
            message: format!("`{}` is pinned, and is left as it is: {why}", target.name),
            hint: Some("`tagwall history` lists what can be gone back to; `tagwall resume` ends the pin".to_owned()),
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
        // What a pin kept as it was says nothing of the publication.
        let refused = matches!(told.outcome, Outcome::Refused { .. } | Outcome::Failed(_));
        list.measured || !(refused || told.pinned)
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
