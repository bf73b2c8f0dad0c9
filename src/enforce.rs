//! One target of a pass: observed, planned, judged, applied and read back.

use std::collections::BTreeMap;
use std::sync::Arc;

use tagwall_provider::{
    Applied, Cause, Desired, Foreign, Limit, PrefixSet, Provider, ProviderError, Refusal, Skeleton,
};

use crate::config::{Config, Percent, Policy, Protocol, Target};
use crate::desired::{self, Resolved};
use crate::grace::Dropped;
use crate::limits::Limits;
use crate::plan::{Plan, plan};
use crate::reconcile::{Agreed, Options, Purpose};
use crate::report::{Class, Failure, Outcome};
use crate::state::State;
use crate::widening::widened;

/// How often a target that moves between reading and writing is read again before the pass gives it up.
const CONFLICT_ATTEMPTS: u32 = 5;

/// Lists by name, as a pass judged them. Shared, so that a daemon can keep what it enforced of them.
pub type JudgedLists = BTreeMap<String, Arc<JudgedList>>;

/// A list as a publication makes it, and what was found wrong with that.
#[derive(Clone, Debug)]
pub struct JudgedList {
    /// What it admits.
    pub resolved: Resolved,
    /// Refusals that no override lets through.
    pub standing: Vec<Refusal>,
    /// Whether its change was measured from an accepted publication.
    pub measured: bool,
    /// What a grace period holds of it.
    pub dropped: Vec<Dropped>,
}

/// What a target is to be brought to.
#[derive(Clone, Debug, Default)]
pub struct Aim {
    /// The lists to admit.
    pub lists: JudgedLists,
    /// What it admitted beyond them, for the policy that removes nothing.
    pub left: PrefixSet,
    /// What is admitted besides, whatever the policy.
    pub besides: PrefixSet,
    /// Whether it is to admit just that, also where the policy removes nothing: what was added is taken back.
    pub exact: bool,
    /// Why nothing may be changed, whatever the lists say.
    pub brakes: Vec<Refusal>,
    /// What alone may be done, where that was agreed to before.
    pub agreed: Option<Arc<Agreed>>,
}

impl Aim {
    /// These lists of a target, and nothing else.
    pub(crate) fn at(lists: &JudgedLists, target: &Target) -> Self {
        let own = lists.iter().filter(|(name, _)| target.lists.contains(name));
        Self { lists: own.map(|(name, list)| (name.clone(), Arc::clone(list))).collect(), ..Self::default() }
    }

    pub(crate) fn braked(mut self, brake: Option<Refusal>) -> Self {
        self.brakes.extend(brake);
        self
    }

    /// What it comes to under a policy.
    pub(crate) fn desired(&self, policy: Policy) -> Desired {
        let lists: Vec<&Resolved> = self.lists.values().map(|list| &list.resolved).collect();
        let mut desired = desired::desired(&lists);
        if let Desired::Prefixes { extra, .. } = &mut desired {
            *extra = extra.union(&self.besides);
            if policy == Policy::AddOnly {
                *extra = extra.union(&self.left);
            }
        }
        desired
    }
}

/// Whether a list came to a target that was enforced without it before: the operator's own edit, which trips no limit.
/// A target that is not known to have been enforced may have lost its state.
fn is_new(list: &str, target: &Target, state: &State) -> bool {
    let record = state.targets.get(&target.name).filter(|record| !record.lists.is_empty());
    record.is_some_and(|record| !record.lists.iter().any(|known| known == list)) && !state.lists.contains_key(list)
}

/// What one target is to be brought to, and under which judgements.
pub(crate) struct Work<'a> {
    target: &'a Target,
    policy: Policy,
    desired: Desired,
    /// Refusals of its lists.
    standing: Vec<Refusal>,
    /// What alone may be done, where that was agreed to before.
    agreed: Option<Arc<Agreed>>,
    /// Whether the change of each of its lists was measured from an accepted publication, or needs no measuring.
    measured: bool,
    /// Refusals that an override let through.
    pub(crate) overridden: Vec<Refusal>,
    /// How often it moved between reading and writing.
    pub(crate) conflicts: u32,
    /// What an attempt has done that could not be verified at once.
    done: Option<Box<Plan>>,
    /// What all attempts have done together, those among them that were overtaken halfway.
    applied: Applied,
    config: &'a Config,
    options: &'a Options,
}

impl<'a> Work<'a> {
    pub(crate) fn new(target: &'a Target, aim: &Aim, state: &State, config: &'a Config, options: &'a Options) -> Self {
        let policy = match target.policy {
            Policy::AddOnly if aim.exact => Policy::Sync,
            policy => policy,
        };
        let mut desired = match &target.service_tag {
            Some(tag) => Desired::ServiceTag(tag.clone()),
            None => aim.desired(policy),
        };
        let mut cannot = None;
        if let Some(by) = &target.widen {
            let lists: Vec<_> = target.lists.iter().filter_map(|list| config.lists.get(list)).collect();
            match widened(desired.clone(), by, &lists) {
                Ok(wider) => desired = wider,
                Err(refusal) => cannot = Some(refusal),
            }
        }
        let measured = aim.lists.iter().all(|(name, list)| list.measured || is_new(name, target, state));
        let of_lists = aim.lists.values().flat_map(|list| list.standing.clone());
        let standing = aim.brakes.iter().cloned().chain(of_lists).chain(cannot).collect();
        let (overridden, conflicts, done, applied) = Default::default();
        let agreed = aim.agreed.clone();
        Self {
            target,
            policy,
            desired,
            standing,
            agreed,
            measured,
            overridden,
            conflicts,
            done,
            applied,
            config,
            options,
        }
    }

    /// Brings the target to what it should admit, or says why not. Reads and plans again where it moved meanwhile.
    pub(crate) async fn run(&mut self, provider: &dyn Provider) -> Outcome {
        let mut attempt = 1;
        loop {
            match self.attempt(provider).await {
                Ok(outcome) => return outcome,
                Err(ProviderError::Conflict(cause)) if attempt < CONFLICT_ATTEMPTS => {
                    tracing::debug!(target_name = %self.target.name, attempt, %cause, "the target moved");
                    (attempt, self.conflicts) = (attempt + 1, self.conflicts + 1);
                }
                Err(error @ ProviderError::Conflict(_)) => {
                    self.conflicts += 1;
                    let hint = "something else keeps changing this firewall at the same time";
                    return Outcome::Failed(Failure::of_provider(&error, Some(hint)));
                }
                Err(error) => return Outcome::Failed(Failure::of_provider(&error, None)),
            }
        }
    }

    /// Observes, plans and applies once.
    async fn attempt(&mut self, provider: &dyn Provider) -> Result<Outcome, ProviderError> {
        let observed = provider.observe().await?;
        let plan = match plan(provider, observed, &self.desired, self.policy) {
            Ok(plan) => plan,
            Err(refusal) => return Ok(self.refused(self.standing.iter().cloned().chain([refusal]).collect(), None)),
        };
        let mut refusals = self.standing.clone();
        refusals.extend(self.judge(&plan));
        refusals.extend(self.not_agreed(&plan));
        // A step that has been made already needs no leave.
        let about_the_step = |refusal: &Refusal| {
            use Limit::{Canary, Growth, Loss, Paused, Unconfirmed};
            matches!(refusal.limit, Loss | Growth | Paused | Unconfirmed | Canary)
        };
        if plan.steps.is_empty() && refusals.iter().all(about_the_step) {
            return Ok(match self.done.take() {
                Some(plan) => Outcome::Applied(plan, self.applied),
                None if self.applied != Applied::default() => Outcome::Applied(Box::new(plan), self.applied),
                None => Outcome::InSync(Box::new(plan)),
            });
        }
        if !refusals.is_empty() {
            return Ok(self.refused(refusals, Some(plan)));
        }
        if self.options.purpose != Purpose::Enforce || self.target.policy == Policy::Observe {
            return Ok(Outcome::Planned(Box::new(plan)));
        }
        tracing::debug!(target_name = %self.target.name, steps = plan.steps.entries.len(), "applying");
        let applied = provider.apply(&plan.observed.revision, &plan.steps).await;
        self.applied += applied.as_ref().copied().unwrap_or_else(ProviderError::applied);
        applied?;
        let verified = verify(provider, &plan).await;
        let plan = self.done.insert(Box::new(plan)).clone();
        verified.map(|()| Outcome::Applied(plan, self.applied))
    }

    /// A refusal, which means that nothing was changed: where an earlier attempt did something it is a failure.
    fn refused(&self, refusals: Vec<Refusal>, plan: Option<Plan>) -> Outcome {
        let changed = match &self.done {
            Some(_) => "it was changed, moved before that could be read back,",
            None if self.applied != Applied::default() => "it was changed in part, moved meanwhile,",
            None => return Outcome::Refused { refusals, plan: plan.map(Box::new) },
        };
        let why: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        let hint = refusals.iter().find_map(|refusal| refusal.choices.first()).cloned();
        let message = format!("{changed} and is now refused: {}", why.join("; "));
        Outcome::Failed(Failure { message, hint, class: Class::Conflict })
    }

    /// Judgements that need to know what the target admits now.
    fn judge(&mut self, plan: &Plan) -> Vec<Refusal> {
        let mut found = Vec::new();
        // Whom a service tag admits only its vendor knows: nothing can be said of what is lost for it.
        let measurable = !matches!(plan.desired, Desired::ServiceTag(_));
        if !self.measured && measurable && !plan.before.is_empty() {
            let what = format!("target `{}`", self.target.name);
            found.extend(self.strictest().judge_step(&what, &plan.before, &plan.after));
        }
        found.extend(self.judge_left(plan));
        let overrides = &self.options.overrides;
        let (overridden, mut standing): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|refusal| overrides.contains(&refusal.limit));
        for refusal in overridden {
            // Another attempt finds the same again.
            if !self.overridden.contains(&refusal) {
                self.overridden.push(refusal);
            }
        }
        standing.extend(self.would_cut(plan));
        standing
    }

    /// Refuses what is not what was agreed to. What an attempt of this pass has done already was.
    fn not_agreed(&self, plan: &Plan) -> Option<Refusal> {
        let made = self.done.is_some() && plan.steps.is_empty();
        let agreed = self.agreed.as_ref().filter(|_| !made)?.get(&self.target.name);
        let same = |agreed: &Plan| {
            let rules = |plan: &Plan| plan.observed.skeleton.clone();
            agreed.before == plan.before && agreed.steps == plan.steps && rules(agreed) == rules(plan)
        };
        (!agreed.is_some_and(same)).then(|| Refusal {
            limit: Limit::StalePlan,
            finding: format!("target `{}` moved while the plan was being applied", self.target.name),
            choices: vec!["`tagwall plan` shows what is to be done now".to_owned()],
        })
    }

    /// The strictest of its lists' limits: without an accepted publication nothing tells the lists apart.
    fn strictest(&self) -> Limits {
        let limits = self.target.lists.iter().filter_map(|list| self.config.lists.get(list)).map(|list| &list.limits);
        let least = |a: Percent, b: Percent| if b.0 < a.0 { b } else { a };
        let both = |one: Limits, other: &Limits| Limits {
            loss: one.loss.strictest(other.loss),
            growth: least(one.growth, other.growth),
            ..one
        };
        let mut limits = limits;
        let first = limits.next().cloned().unwrap_or_default();
        limits.fold(first, both)
    }

    /// Judges what stays admitted only because nothing may be removed: no list of ours ever had what is too broad or
    /// special, so somebody else put it there.
    fn judge_left(&self, plan: &Plan) -> Vec<Refusal> {
        let limits = self.target.lists.iter().filter_map(|list| self.config.lists.get(list)).map(|list| &list.limits);
        let limits: Vec<_> = limits.collect();
        let stored = plan.before.prefixes().filter(|prefix| plan.left.meets(*prefix));
        let judged = stored.filter_map(|prefix| {
            let origin = format!("target `{}`, beyond its lists,", self.target.name);
            let mut found: Vec<Refusal> =
                limits.iter().map(|limits| limits.judge_prefix(&origin, prefix)).collect::<Option<_>>()?;
            found.pop()
        });
        judged
            .take(1)
            .map(|mut refusal| {
                refusal.choices =
                    vec!["the policy `add-only` removes nothing: remove it by hand, or let one pass `sync`".to_owned()];
                refusal
            })
            .collect()
    }

    /// Refuses to cut the connection that the operator works over.
    fn would_cut(&self, plan: &Plan) -> Option<Refusal> {
        let session = self.options.own_session?;
        // Rules that are not as they should be may let anybody in, or the session would not stand.
        let open_now = plan.observed.skeleton != Skeleton::Intact || plan.before.contains(session.client);
        let cut = self.target.backend.is_local()
            && self.target.protocol == Protocol::Tcp
            && self.target.policy != Policy::Observe
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
    // What somebody else's rule admits may have no room for ours beside it, and needs none while that rule stands.
    let missing = plan.after.difference(&admitted).difference(&Foreign::admitted(&observed.foreign));
    let strange = admitted.difference(&plan.after);
    let finding = if !missing.is_empty() {
        format!("after the change the firewall does not admit {}", as_text(&missing))
    } else if !strange.is_empty() {
        format!("after the change the firewall still admits {}", as_text(&strange))
    } else if let Skeleton::Drifted(lines) = &observed.skeleton {
        format!("after the change the rules are not as they should be: {}", lines.join("; "))
    } else if observed.skeleton == Skeleton::Absent && !plan.after.is_empty() {
        "after the change the rules are gone".to_owned()
    } else if let Desired::ServiceTag(tag) = &plan.desired
        // Whom a tag admits only its vendor knows: that nothing is left to do is all that can be seen.
        && provider.place(&observed, &plan.desired).is_ok_and(|steps| !steps.is_empty())
    {
        format!("after the change the firewall does not name the service tag {tag}")
    } else {
        return Ok(());
    };
    // Somebody else may have written in between: the next attempt reads again and tells the one from the other.
    Err(ProviderError::Conflict(Cause::new(finding)))
}

#[cfg(test)]
mod tests;
