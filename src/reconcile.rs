//! One pass: from a publication to what each firewall enforces.
//!
//! A pass takes no input but the configuration. A timer, a signal and the command line all run this same function,
//! so there is one path to trust, and whatever woke it cannot make it do less than everything.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures_util::future::join_all;
use jiff::Timestamp;
use tagwall_provider::{Desired, Limit, Observed, PrefixSet, Provider, ProviderError, Refusal, Skeleton};

use crate::accept::{Baselines, judge_publication};
use crate::config::{Config, Policy, Target};
use crate::desired::{self, Resolved};
use crate::plan::{Plan, plan};
use crate::report::{Failure, Outcome, Published, Report, TargetReport};
use crate::source::{Fetched, LastGood, Source};
use crate::state::State;

/// How often a target that moves between reading and writing is read again before the pass gives it up.
const CONFLICT_ATTEMPTS: u32 = 5;

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
    Pass { report, fetched: None, accepted: Vec::new() }
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
    let publication = &fetched.publication;
    let mut report = Report::new(options, Some(Published::of(&fetched, state, options.now)));
    report.warnings.extend(fetched.warnings.iter().cloned());
    report.warnings.extend(report.staleness(config.stale));
    match judge_publication(publication, config, state) {
        Ok(warning) => report.warnings.extend(warning),
        Err(refusal) if options.overrides.contains(&refusal.limit) => report.overridden.push(refusal),
        Err(refusal) => {
            report.conclude_all(targets, &Outcome::Refused { refusals: vec![refusal], plan: None });
            return Pass { report, fetched: None, accepted: Vec::new() };
        }
    }

    let baselines = Baselines::load(config, publication, last_good, state, &mut report.warnings);
    let mut lists: BTreeMap<&str, Resolved> = BTreeMap::new();
    let mut refused: BTreeMap<&str, Vec<Refusal>> = BTreeMap::new();
    for (name, list) in &config.lists {
        let (resolved, mut refusals) = desired::resolve(list, publication);
        refusals.extend(baselines.judge(list, publication));
        let (overridden, standing) =
            refusals.into_iter().partition(|refusal| options.overrides.contains(&refusal.limit));
        report.overridden.extend::<Vec<_>>(overridden);
        refused.insert(name, standing);
        lists.insert(name, resolved);
    }

    let passes = targets.iter().map(|kept| async {
        let provider = match &kept.provider {
            Ok(provider) => provider.as_ref(),
            Err(failure) => return (TargetReport::new(kept.target, Outcome::Failed(failure.clone())), Vec::new()),
        };
        let mut work = Work {
            target: kept.target,
            desired: &desired::desired(kept.target, &lists),
            standing: kept.target.lists.iter().flat_map(|list| refused[list.as_str()].clone()).collect(),
            unjudged: kept.target.lists.iter().any(|list| !baselines.has(list) && !is_new(list, kept.target, state)),
            overridden: Vec::new(),
            config,
            options,
        };
        let outcome = work.run(provider).await;
        (TargetReport::new(kept.target, outcome), work.overridden)
    });
    for (target, overridden) in join_all(passes).await {
        report.targets.push(target);
        report.overridden.extend(overridden);
    }
    let accepted = refused.into_iter().filter(|(_, refusals)| refusals.is_empty()).map(|(list, _)| list);
    let accepted = accepted.filter(|list| baselines.has(list) || judged_by_targets(list, config, &report));
    Pass { accepted: accepted.map(str::to_owned).collect(), report, fetched: Some(fetched) }
}

/// Whether a list came to a target that has been enforced before: the operator's own edit, which trips no limit.
/// A target that is not known to have been enforced may have lost its state.
fn is_new(list: &str, target: &Target, state: &State) -> bool {
    let enforced = state.targets.get(&target.name).is_some_and(|record| record.last_verified.is_some());
    enforced && !state.lists.contains_key(list)
}

/// Whether every target of a list was judged, and let the publication through.
///
/// A list with nothing to be measured against is measured by what its targets admit. It is not accepted before all
/// of them have been: or the next pass would take for agreed what this one refused, or never got to see.
fn judged_by_targets(list: &str, config: &Config, report: &Report) -> bool {
    let let_through = |target: &Target| {
        let told = report.targets.iter().find(|told| told.target.name == target.name);
        told.is_some_and(|told| !matches!(told.outcome, Outcome::Refused { .. } | Outcome::Failed(_)))
    };
    config.targets.iter().filter(|target| target.lists.iter().any(|name| name == list)).all(let_through)
}

/// What one target is to be brought to, and under which judgements.
struct Work<'a> {
    target: &'a Target,
    desired: &'a Desired,
    /// Refusals of its lists that no override lets through.
    standing: Vec<Refusal>,
    /// Whether one of its lists should have an accepted publication to be measured against, and has none.
    unjudged: bool,
    /// Refusals that an override let through.
    overridden: Vec<Refusal>,
    config: &'a Config,
    options: &'a Options,
}

impl Work<'_> {
    async fn run(&mut self, provider: &dyn Provider) -> Outcome {
        let mut last = None;
        for _ in 0..CONFLICT_ATTEMPTS {
            match self.attempt(provider, last.is_some()).await {
                Ok(outcome) => return outcome,
                Err(error @ ProviderError::Conflict(_)) => last = Some(error),
                Err(error) => return Outcome::Failed(Failure::of(&error, error.hint())),
            }
        }
        let hint = "something else keeps changing this firewall at the same time";
        last.map_or(Outcome::Refused { refusals: Vec::new(), plan: None }, |error| {
            Outcome::Failed(Failure::of(&error, error.hint().or(Some(hint))))
        })
    }

    /// Observes, plans and applies once. `moved` says that an earlier attempt met a conflict.
    async fn attempt(&mut self, provider: &dyn Provider, moved: bool) -> Result<Outcome, ProviderError> {
        let observed = provider.observe().await?;
        let plan = match plan(provider, &observed, self.desired, self.target.policy) {
            Ok(plan) => plan,
            Err(refusal) => {
                let refusals = self.standing.iter().cloned().chain([refusal]).collect();
                return Ok(Outcome::Refused { refusals, plan: None });
            }
        };
        let mut refusals = self.standing.clone();
        refusals.extend(self.judge(&observed, &plan));
        if !refusals.is_empty() {
            return Ok(Outcome::Refused { refusals, plan: Some(Box::new(plan)) });
        }
        if plan.steps.is_empty() {
            return Ok(Outcome::InSync(Box::new(plan)));
        }
        if self.options.purpose != Purpose::Enforce || self.target.policy == Policy::Observe {
            return Ok(Outcome::Planned(Box::new(plan)));
        }
        tracing::debug!(target_name = %self.target.name, steps = plan.steps.entries.len(), moved, "applying");
        let applied = provider.apply(&observed.revision, &plan.steps).await?;
        verify(provider, &plan).await?;
        Ok(Outcome::Applied(Box::new(plan), applied))
    }

    /// Judgements that need to know what the target admits now.
    fn judge(&mut self, observed: &Observed, plan: &Plan) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        if self.unjudged && !plan.before.is_empty() {
            let limits =
                self.target.lists.iter().filter_map(|list| self.config.lists.get(list)).map(|list| &list.limits);
            // Without an accepted publication nothing tells the lists apart: the strictest of their limits judges.
            let strictest = limits.min_by(|a, b| a.loss.0.total_cmp(&b.loss.0));
            let what = format!("target `{}`", self.target.name);
            let found = strictest.map(|limits| limits.judge_step(&what, &plan.before, &plan.after)).unwrap_or_default();
            let overrides = &self.options.overrides;
            (self.overridden, refusals) = found.into_iter().partition(|refusal| overrides.contains(&refusal.limit));
        }
        refusals.extend(self.would_cut(observed, plan));
        refusals
    }

    /// Refuses to cut the connection that the operator works over.
    fn would_cut(&self, observed: &Observed, plan: &Plan) -> Option<Refusal> {
        let session = self.options.own_session?;
        let open_now = observed.skeleton == Skeleton::Absent || plan.before.contains(session.client);
        let cut = self.target.backend.is_local()
            && self.target.ports.contains(&session.port)
            && !session.client.is_loopback()
            && open_now
            && !plan.after.contains(session.client);
        cut.then(|| Refusal {
            limit: Limit::OwnSession,
            finding: format!(
                "you are connected from {} to port {}, which this would close to you",
                session.client, session.port
            ),
            choices: vec![
                format!("add {} to `extra` of one of its lists", session.client),
                "`--yes` goes on all the same".to_owned(),
            ],
        })
    }
}

/// Success is what a later read shows.
async fn verify(provider: &dyn Provider, plan: &Plan) -> Result<(), ProviderError> {
    let observed = provider.observe().await?;
    let admitted = observed.admitted();
    let as_text = |set: &PrefixSet| {
        let shown: Vec<String> = set.prefixes().take(3).map(|prefix| prefix.to_string()).collect();
        let rest = set.prefixes().count() - shown.len();
        if rest == 0 { shown.join(", ") } else { format!("{} and {rest} more", shown.join(", ")) }
    };
    let missing = plan.after.difference(&admitted);
    let strange = admitted.difference(&plan.after);
    let finding = if !missing.is_empty() {
        format!("after the change the firewall does not admit {}", as_text(&missing))
    } else if !strange.is_empty() {
        format!("after the change the firewall still admits {}", as_text(&strange))
    } else if let Skeleton::Drifted(lines) = &observed.skeleton {
        format!("after the change the rules are not as they should be: {}", lines.join("; "))
    } else if observed.skeleton == Skeleton::Absent && !plan.after.is_empty() {
        "after the change the rules are gone".to_owned()
    } else {
        return Ok(());
    };
    // Somebody else may have written in between: the next attempt reads again and tells the one from the other.
    Err(ProviderError::Conflict(tagwall_provider::Cause::new(finding)))
}

#[cfg(test)]
mod tests;
