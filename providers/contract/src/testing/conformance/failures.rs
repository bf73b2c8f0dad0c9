//! Calls that fail, passes that die and people who are faster: never a gap, never a surplus, and the next pass converges.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use super::bench::{Bench, Stop, Verdict, ensure, failed, observe, only_conflict, place, set, stop};
use super::changes::{prefix, start};
use super::others::remove_orphans;
use super::pass::{PassError, pass};
use crate::testing::rig::{Act, Target};
use crate::{Desired, PrefixSet, ProviderError};

/// A change with every kind of step in it: added, removed, widened, narrowed, kept.
fn goal() -> PrefixSet {
    set(&["192.0.2.0/24", "203.0.113.0/28", "2001:db8::/49", "2001:db8:2::/48", "2001:db8:6::/47"])
}

/// More calls than any provider makes for the small changes here: where a count comes this far, no fault is ever hit.
const MOST_CALLS: usize = 100;

/// Fails the call number `call` of a change, looks, and converges with a new provider. Says whether the change failed.
async fn interrupted(
    bench: &mut Bench<'_>,
    from: &PrefixSet,
    to: &PrefixSet,
    call: usize,
    after: bool,
) -> Result<bool, Stop> {
    bench.restart().await?;
    if !from.is_empty() {
        bench.pass(Target::First, from).await?;
    }
    let provider = bench.provider(Target::First).await;
    let seen = observe(&*provider).await?;
    let steps = place(&*provider, &seen, to)?;
    bench.fail_at(call, after).await?;
    let applied = provider.apply(&seen.revision, &steps).await;
    bench.check_between(Target::First, from, to).await?;
    match &applied {
        Ok(applied) => {
            let seen = observe(&*provider).await?;
            bench.check_reached(Target::First, to, &seen).await?;
            ensure!(after || applied.calls == call as u64, "{call} calls were counted here, {applied:?} there");
        }
        Err(ProviderError::Rejected { applied, .. }) if !after => {
            ensure!(applied.calls == call as u64, "call {call} was rejected, after {applied:?}");
        }
        Err(_) => {}
    }
    let pass = bench.pass(Target::First, to).await?;
    ensure!(applied.is_err() || pass.steps.is_empty(), "the change succeeded, and yet: {:?}", pass.steps);
    Ok(applied.is_err())
}

/// Fails before each call in turn until there is no such call; the number of calls.
async fn before_each_call(bench: &mut Bench<'_>, from: &PrefixSet, to: &PrefixSet) -> Result<usize, Stop> {
    for call in 0..MOST_CALLS {
        if !interrupted(bench, from, to, call, false).await? {
            ensure!(call > 0, "the fault was never noticed");
            return Ok(call);
        }
    }
    Err(stop("the change never succeeds"))
}

pub(super) async fn failure_before_each_call(bench: &mut Bench<'_>) -> Verdict {
    for (from, to) in [(PrefixSet::new(), start()), (start(), goal()), (goal(), start()), (start(), PrefixSet::new())] {
        before_each_call(bench, &from, &to).await?;
    }
    Ok(())
}

pub(super) async fn failure_after_each_call(bench: &mut Bench<'_>) -> Verdict {
    for (from, to) in [(PrefixSet::new(), start()), (start(), goal()), (goal(), start()), (start(), PrefixSet::new())] {
        for call in 0..before_each_call(bench, &from, &to).await? {
            interrupted(bench, &from, &to, call, true).await?;
        }
    }
    Ok(())
}

pub(super) async fn failure_in_withdraw(bench: &mut Bench<'_>) -> Verdict {
    for after in [false, true] {
        for call in 0.. {
            ensure!(call < MOST_CALLS, "the withdrawal never succeeds");
            bench.restart().await?;
            bench.pass(Target::First, &start()).await?;
            let provider = bench.provider(Target::First).await;
            bench.fail_at(call, after).await?;
            let withdrawn = provider.withdraw().await;
            bench.check_between(Target::First, &PrefixSet::new(), &start()).await?;
            if withdrawn.as_ref().is_ok_and(|applied| applied.calls <= call as u64) {
                ensure!(call > 0, "the fault was never noticed");
                bench.check_gone(Target::First).await?;
                break;
            }
            ensure!(withdrawn.is_err() || after, "the call failed, and the withdrawal did not");
            let provider = bench.provider(Target::First).await;
            provider.withdraw().await.map_err(|error| failed("withdrawing after a failure", &error))?;
            bench.check_gone(Target::First).await?;
        }
    }
    Ok(())
}

pub(super) async fn failure_in_removing_orphans(bench: &mut Bench<'_>) -> Verdict {
    bench.leaves_orphans()?;
    for call in 0..MOST_CALLS {
        bench.restart().await?;
        bench.pass(Target::Second, &start()).await?;
        let alone = bench.provider_alone().await;
        let orphans = observe(&*alone).await?.orphans;
        bench.fail_at(call, false).await?;
        if alone.remove_orphans(&orphans).await.is_ok() {
            ensure!(call > 0, "the fault was never noticed");
            return bench.check_gone(Target::Second).await;
        }
        // What is left is still an orphan: it can be found and removed.
        let left = observe(&*alone).await?.orphans;
        ensure!(!left.is_empty(), "half of an orphan is left, and not listed");
        remove_orphans(bench, &left).await?;
    }
    Err(stop("the removal never succeeds"))
}

/// Drops an apply after each number of polls: a pass that is killed or cancelled.
pub(super) async fn dropped_halfway(bench: &mut Bench<'_>) -> Verdict {
    let mut polls = 1;
    loop {
        bench.restart().await?;
        bench.pass(Target::First, &start()).await?;
        let provider = bench.provider(Target::First).await;
        let seen = observe(&*provider).await?;
        let steps = place(&*provider, &seen, &goal())?;
        let done = poll_at_most(provider.apply(&seen.revision, &steps), polls).await;
        drop(provider);
        bench.check_between(Target::First, &start(), &goal()).await?;
        bench.pass(Target::First, &goal()).await?;
        if let Some(applied) = done {
            return applied.map(drop).map_err(|error| failed("the change", &error));
        }
        // Every small number, and soon the many of a provider that talks over a network.
        polls += 1 + polls / 8;
    }
}

/// The future's output, if it comes within so many polls.
async fn poll_at_most<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Somebody acts between the observation and the change that builds on it. Either the change notices, and what it
/// did until then is safe; or it succeeds, and then the target is as desired.
async fn conflict(bench: &mut Bench<'_>, act: Act) -> Verdict {
    bench.pass(Target::First, &start()).await?;
    let provider = bench.provider(Target::First).await;
    let seen = observe(&*provider).await?;
    let steps = place(&*provider, &seen, &goal())?;
    bench.third_party(act).await?;
    let before = bench.admitted(Target::First).await;
    let applied = provider.apply(&seen.revision, &steps).await;
    bench.check_between(Target::First, &before, &goal()).await?;
    match applied {
        Ok(_) => {
            let now = observe(&*provider).await?;
            bench.check_reached(Target::First, &goal(), &now).await?;
        }
        Err(error) => only_conflict(&error)?,
    }
    bench.pass(Target::First, &goal()).await.map(drop)
}

pub(super) async fn conflict_kept_entry_removed(bench: &mut Bench<'_>) -> Verdict {
    conflict(bench, Act::RemoveOurs(prefix("2001:db8:2::/48"))).await
}

pub(super) async fn conflict_doomed_entry_removed(bench: &mut Bench<'_>) -> Verdict {
    conflict(bench, Act::RemoveOurs(prefix("198.51.100.7/32"))).await
}

pub(super) async fn conflict_entry_added(bench: &mut Bench<'_>) -> Verdict {
    conflict(bench, Act::AddOurs(prefix("198.51.100.64/26"))).await
}

pub(super) async fn conflict_same_entry_added(bench: &mut Bench<'_>) -> Verdict {
    conflict(bench, Act::AddOurs(prefix("203.0.113.0/28"))).await
}

pub(super) async fn conflict_overlapping_entry_added(bench: &mut Bench<'_>) -> Verdict {
    conflict(bench, Act::AddOurs(prefix("203.0.113.0/26"))).await
}

pub(super) async fn conflict_foreign_entry_added(bench: &mut Bench<'_>) -> Verdict {
    conflict(bench, Act::AddForeign(prefix("203.0.113.0/28"))).await
}

pub(super) async fn conflict_skeleton_broken(bench: &mut Bench<'_>) -> Verdict {
    conflict(bench, Act::BreakSkeleton).await
}

/// Two passes of one target side by side, as of a daemon and a hand-started one, that want different things.
pub(super) async fn two_passes_at_once(bench: &mut Bench<'_>) -> Verdict {
    let other = start().union(&set(&["203.0.113.64/26", "2001:db8:a::/48"])).difference(&set(&["192.0.2.192/26"]));
    bench.pass(Target::First, &start()).await?;
    let (one, two) = (bench.provider(Target::First).await, bench.provider(Target::First).await);
    let (wanted, wanted_too) = (Desired::listed(goal()), Desired::listed(other.clone()));
    let (passed, passed_too) = tokio::join!(pass(&*one, &wanted), pass(&*two, &wanted_too));
    for passed in [passed, passed_too] {
        match passed {
            // Outrun so often that it gave up: the next pass is the one that counts.
            Ok(_) | Err(PassError::Provider(ProviderError::Conflict(_))) => {}
            Err(error) => return Err(failed("a pass beside another", &error)),
        }
    }
    let (least, most) = (goal().intersection(&other), goal().union(&other).union(&start()));
    bench.check_within(Target::First, &least.intersection(&start()), &most).await?;
    bench.pass(Target::First, &goal()).await.map(drop)
}

/// The same change twice, on the base of the first: harmless.
pub(super) async fn applied_twice(bench: &mut Bench<'_>) -> Verdict {
    bench.pass(Target::First, &start()).await?;
    let provider = bench.provider(Target::First).await;
    let seen = observe(&*provider).await?;
    let steps = place(&*provider, &seen, &goal())?;
    provider.apply(&seen.revision, &steps).await.map_err(|error| failed("the change", &error))?;
    if let Err(error) = provider.apply(&seen.revision, &steps).await {
        only_conflict(&error)?;
    }
    let now = observe(&*provider).await?;
    bench.check_reached(Target::First, &goal(), &now).await?;
    bench.pass(Target::First, &goal()).await.map(drop)
}
