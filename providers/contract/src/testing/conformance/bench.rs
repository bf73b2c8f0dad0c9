//! One rig under test: every look at it also looks at what must not have moved.

use super::pass::{Pass, PassError, pass};
use crate::testing::rig::{Act, Fault, NotApplicable, Rig, Target};
use crate::{Desired, Foreign, Observed, PrefixSet, Provider, ProviderError, Skeleton, Steps};

/// Why a case stops before its end.
#[derive(Debug)]
pub(super) enum Stop {
    NotApplicable(String),
    Failed(String),
}

/// How a case ends.
pub(super) type Verdict = Result<(), Stop>;

impl From<NotApplicable> for Stop {
    fn from(why: NotApplicable) -> Self {
        Self::NotApplicable(why.to_string())
    }
}

/// Ends a case as failed unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::testing::conformance::bench::Stop::Failed(format!($($message)+)));
        }
    };
}
pub(super) use ensure;

/// The addresses of prefixes written as texts.
pub(super) fn set(prefixes: &[&str]) -> PrefixSet {
    let parse = |text: &&str| text.parse::<crate::IpNet>().unwrap_or_else(|error| panic!("{text}: {error}"));
    prefixes.iter().map(parse).collect()
}

/// A set of addresses in few words.
fn few(set: &PrefixSet) -> String {
    const SHOWN: usize = 4;
    let mut shown: Vec<String> = set.prefixes().take(SHOWN).map(|prefix| prefix.to_string()).collect();
    let left = set.prefixes().count().saturating_sub(SHOWN);
    if left > 0 {
        shown.push(format!("and {left} more"));
    }
    shown.join(", ")
}

pub(super) struct Bench<'a> {
    rig: &'a mut dyn Rig,
    /// All that is not ours, as it has to stay.
    foreign: String,
    /// What the first target looked like before anything was done.
    pub(super) fresh: Observed,
}

impl<'a> Bench<'a> {
    pub(super) async fn new(rig: &'a mut dyn Rig) -> Result<Self, Stop> {
        rig.reset().await;
        let foreign = rig.foreign().await;
        let fresh = observe(&*rig.provider(Target::First, &Target::ALL).await).await?;
        ensure!(fresh.entries.is_empty(), "a fresh firewall shows entries: {:?}", fresh.entries);
        ensure!(fresh.orphans.is_empty(), "a fresh firewall shows orphans: {:?}", fresh.orphans);
        let mut bench = Self { rig, foreign, fresh };
        for target in Target::ALL {
            let admitted = bench.rig.admitted(target).await;
            ensure!(admitted.is_empty(), "the fresh target {target:?} admits {admitted}");
        }
        bench.check_foreign("observing").await?;
        Ok(bench)
    }

    /// Starts over within a case.
    pub(super) async fn restart(&mut self) -> Verdict {
        let foreign = { Bench::new(&mut *self.rig).await?.foreign };
        self.foreign = foreign;
        Ok(())
    }

    /// A new provider of the target, as after a restart, with both targets configured.
    pub(super) async fn provider(&mut self, target: Target) -> Box<dyn Provider> {
        self.rig.provider(target, &Target::ALL).await
    }

    /// The provider of the first target where the second is not configured any more.
    pub(super) async fn provider_alone(&mut self) -> Box<dyn Provider> {
        self.rig.provider(Target::First, &[Target::First]).await
    }

    pub(super) async fn admitted(&mut self, target: Target) -> PrefixSet {
        self.rig.admitted(target).await
    }

    pub(super) fn grows_with_entries(&self) -> bool {
        self.rig.grows_with_entries()
    }

    pub(super) fn leaves_orphans(&self) -> Verdict {
        Ok(self.rig.leaves_orphans()?)
    }

    pub(super) fn takes_service_tags(&self) -> bool {
        self.rig.takes_service_tags()
    }

    pub(super) async fn limit_capacity(&mut self, entries: u64) -> Result<(), Stop> {
        Ok(self.rig.limit_capacity(entries).await?)
    }

    pub(super) async fn fail_at(&mut self, call: usize, after: bool) -> Result<(), Stop> {
        Ok(self.rig.fail_at(Fault { call, after }).await?)
    }

    /// Somebody else acts on the first target; what is foreign afterwards is what has to stay.
    pub(super) async fn third_party(&mut self, act: Act) -> Verdict {
        self.check_foreign("what came before the third party").await?;
        self.rig.third_party(Target::First, act).await?;
        let foreign = self.rig.foreign().await;
        let of_ours = matches!(act, Act::AddOurs(_) | Act::RemoveOurs(_) | Act::BreakSkeleton);
        ensure!(
            (foreign == self.foreign) == of_ours,
            "the rig's own {act:?} does not show as it should among what is foreign:\n{foreign}"
        );
        self.foreign = foreign;
        // What the third party did is no state of ours.
        self.rig.states(Target::First).await;
        Ok(())
    }

    pub(super) async fn check_foreign(&mut self, after: &str) -> Verdict {
        let now = self.rig.foreign().await;
        ensure!(
            now == self.foreign,
            "{after} changed what is not ours\n--- before\n{}\n--- after\n{now}",
            self.foreign
        );
        Ok(())
    }

    /// Nothing that was admitted before and is wanted was ever missing, and nothing came that nobody wants.
    pub(super) async fn check_between(&mut self, target: Target, before: &PrefixSet, wanted: &PrefixSet) -> Verdict {
        self.check_within(target, &before.intersection(wanted), &before.union(wanted)).await
    }

    /// At least and at most this was admitted since the states were last asked for, and nothing foreign moved.
    pub(super) async fn check_within(&mut self, target: Target, least: &PrefixSet, most: &PrefixSet) -> Verdict {
        let now = self.rig.admitted(target).await;
        for admitted in self.rig.states(target).await.unwrap_or_default().into_iter().chain([now]) {
            let (missing, surplus) = (least.difference(&admitted), admitted.difference(most));
            ensure!(
                missing.is_empty(),
                "a gap: {} was not admitted, though before and after the change",
                few(&missing)
            );
            ensure!(surplus.is_empty(), "{} was admitted, though neither before nor desired", few(&surplus));
        }
        self.check_foreign("the change").await
    }

    /// A whole pass of a new provider, checked in every way that does not depend on the case.
    pub(super) async fn pass(&mut self, target: Target, wanted: &PrefixSet) -> Result<Pass, Stop> {
        self.rig.states(target).await;
        let before = self.rig.admitted(target).await;
        let provider = self.provider(target).await;
        let desired = Desired::listed(wanted.clone());
        let pass = pass(&*provider, &desired).await.map_err(|error| failed("the pass", &error))?;
        self.check_between(target, &before, wanted).await?;
        self.check_reached(target, wanted, &pass.after).await?;
        if pass.conflicts == 0 {
            let counted = |operation| pass.steps.of(operation).count() as u64;
            let (added, removed) = (counted(crate::Operation::Add), counted(crate::Operation::Remove));
            let applied = pass.applied;
            ensure!(
                (applied.added, applied.removed) == (added, removed),
                "made {added} adds and {removed} removes, counted {applied:?}"
            );
            ensure!((applied.calls == 0) == pass.steps.is_empty(), "steps {:?}, yet {applied:?}", pass.steps);
        }
        let again =
            provider.place(&pass.after, &desired).map_err(|refusal| stop(&format!("placing again: {refusal}")))?;
        ensure!(again.is_empty(), "the target is as desired, and yet there are steps: {again:?}");
        Ok(pass)
    }

    /// A pass of the first target that has to be refused, with nothing changed.
    pub(super) async fn refused(&mut self, desired: &Desired) -> Result<crate::Refusal, Stop> {
        let provider = self.provider(Target::First).await;
        let before = (observe(&*provider).await?, self.admitted(Target::First).await);
        let refusal = match pass(&*provider, desired).await {
            Err(PassError::Refused(refusal)) => refusal,
            Err(error) => return Err(failed("what should have been refused", &error)),
            Ok(pass) => return Err(stop(&format!("not refused: {:?}", pass.steps))),
        };
        let after = (observe(&*provider).await?, self.admitted(Target::First).await);
        ensure!(
            before.0.revision.content == after.0.revision.content && before.1 == after.1,
            "a refusal changed something"
        );
        self.check_foreign("a refusal").await?;
        ensure!(!refusal.finding.is_empty() && !refusal.choices.is_empty(), "a refusal that helps nobody: {refusal:?}");
        Ok(refusal)
    }

    /// The target admits what is wanted, but for what somebody else's entries admit already.
    pub(super) async fn check_reached(&mut self, target: Target, wanted: &PrefixSet, seen: &Observed) -> Verdict {
        let admitted = self.rig.admitted(target).await;
        let by_others = Foreign::admitted(&seen.foreign);
        let (missing, surplus) = (wanted.difference(&admitted).difference(&by_others), admitted.difference(wanted));
        ensure!(missing.is_empty(), "{} should be admitted and is not", few(&missing));
        ensure!(surplus.is_empty(), "{} is admitted and should not be", few(&surplus));
        ensure!(
            seen.admitted() == admitted,
            "the provider reads {}, the independent reader {admitted}",
            seen.admitted()
        );
        ensure!(seen.entries.is_sorted(), "the entries of an observation are not sorted");
        ensure!(
            wanted.is_empty() || seen.skeleton == Skeleton::Intact,
            "the skeleton is {:?} after a pass",
            seen.skeleton
        );
        Ok(())
    }

    /// Whether nothing of the target is there: nobody is admitted, and what stands around is as it was when fresh.
    pub(super) async fn is_gone(&mut self, target: Target) -> Result<bool, Stop> {
        let skeleton = observe(&*self.provider(target).await).await?.skeleton;
        Ok(self.admitted(target).await.is_empty() && skeleton == self.fresh.skeleton)
    }

    /// Nothing of the target is there, as before it was first applied.
    pub(super) async fn check_gone(&mut self, target: Target) -> Verdict {
        let admitted = self.rig.admitted(target).await;
        ensure!(admitted.is_empty(), "{admitted} is still admitted");
        let seen = observe(&*self.provider(target).await).await?;
        ensure!(seen.entries.is_empty(), "entries are left: {:?}", seen.entries);
        ensure!(
            seen.skeleton == self.fresh.skeleton,
            "the skeleton was {:?}, and is {:?}",
            self.fresh.skeleton,
            seen.skeleton
        );
        self.check_foreign("the removal").await
    }
}

pub(super) async fn observe(provider: &dyn Provider) -> Result<Observed, Stop> {
    provider.observe().await.map_err(|error| failed("observing", &error))
}

/// The steps of one case's change, which the provider must not refuse.
pub(super) fn place(provider: &dyn Provider, observed: &Observed, wanted: &PrefixSet) -> Result<Steps, Stop> {
    let placed = provider.place(observed, &Desired::listed(wanted.clone()));
    placed.map_err(|refusal| stop(&format!("refused: {refusal}")))
}

pub(super) fn stop(message: &str) -> Stop {
    Stop::Failed(message.to_owned())
}

pub(super) fn failed(what: &str, error: &dyn std::error::Error) -> Stop {
    let mut message = format!("{what} failed: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        message = format!("{message}: {error}");
        source = error.source();
    }
    Stop::Failed(message)
}

/// What an error has to be where nobody broke the firewall and nobody asked for a failure.
pub(super) fn only_conflict(error: &ProviderError) -> Verdict {
    if matches!(error, ProviderError::Conflict(_)) { Ok(()) } else { Err(failed("the change", error)) }
}
