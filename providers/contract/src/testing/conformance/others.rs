//! Other people, neighbours and what is left behind: what is not this target's stays, what is goes.

use super::bench::{Bench, Verdict, ensure, failed, observe, set, stop};
use super::changes::{prefix, start};
use crate::testing::rig::{Act, Target};
use crate::{Applied, Operation, Orphan, Skeleton};

pub(super) async fn foreign_entry_first(bench: &mut Bench<'_>) -> Verdict {
    for text in ["192.0.2.0/25", "2001:db8::/48"] {
        bench.third_party(Act::AddForeign(prefix(text))).await?;
    }
    bench.pass(Target::First, &start()).await?;
    bench.pass(Target::First, &set(&["203.0.113.0/24"])).await?;
    bench.pass(Target::First, &start()).await?;
    withdraw(bench, Target::First).await
}

pub(super) async fn foreign_entry_equal_to_ours(bench: &mut Bench<'_>) -> Verdict {
    bench.pass(Target::First, &start()).await?;
    for text in ["192.0.2.0/25", "2001:db8::/48"] {
        bench.third_party(Act::AddForeign(prefix(text))).await?;
    }
    let pass = bench.pass(Target::First, &start()).await?;
    ensure!(pass.steps.of(Operation::Remove).count() == 0, "removes for somebody else's sake: {:?}", pass.steps);
    bench.pass(Target::First, &start().difference(&set(&["192.0.2.0/25", "2001:db8::/48"]))).await?;
    bench.pass(Target::First, &start()).await?;
    withdraw(bench, Target::First).await
}

pub(super) async fn foreign_entry_leaves(bench: &mut Bench<'_>) -> Verdict {
    let theirs = prefix("192.0.2.0/25");
    bench.third_party(Act::AddForeign(theirs)).await?;
    bench.pass(Target::First, &start()).await?;
    bench.third_party(Act::RemoveForeign(theirs)).await?;
    // Nobody else admits it now, so the next pass has to, whatever it relied on before.
    bench.pass(Target::First, &start()).await?;
    let admitted = bench.admitted(Target::First).await;
    ensure!(admitted == start(), "{} is admitted by nobody", start().difference(&admitted));
    Ok(())
}

pub(super) async fn foreign_entry_inside_ours(bench: &mut Bench<'_>) -> Verdict {
    bench.third_party(Act::AddForeign(prefix("192.0.2.16/28"))).await?;
    bench.pass(Target::First, &start()).await?;
    bench.pass(Target::First, &start().difference(&set(&["192.0.2.0/26"]))).await?;
    withdraw(bench, Target::First).await
}

pub(super) async fn another_owners_entry(bench: &mut Bench<'_>) -> Verdict {
    bench.third_party(Act::AddOtherOwners(prefix("203.0.113.0/24"))).await?;
    bench.pass(Target::First, &start()).await?;
    let alone = bench.provider_alone().await;
    let seen = observe(&*alone).await?;
    ensure!(seen.orphans.is_empty(), "another owner's objects are no orphans of ours: {:?}", seen.orphans);
    bench.pass(Target::First, &set(&["203.0.113.0/24"])).await?;
    withdraw(bench, Target::First).await
}

/// Ours put in by hand, or left by a pass that died: it is drift, and goes.
pub(super) async fn added_to_ours(bench: &mut Bench<'_>) -> Verdict {
    bench.pass(Target::First, &start()).await?;
    for text in ["203.0.113.0/24", "2001:db8:8::/48"] {
        bench.third_party(Act::AddOurs(prefix(text))).await?;
    }
    let pass = bench.pass(Target::First, &start()).await?;
    let (added, removed) = (pass.steps.of(Operation::Add).count(), pass.steps.of(Operation::Remove).count());
    ensure!((added, removed) == (0, 2), "two entries too many: {:?}", pass.steps);
    Ok(())
}

pub(super) async fn removed_from_ours(bench: &mut Bench<'_>) -> Verdict {
    bench.pass(Target::First, &start()).await?;
    for text in ["192.0.2.0/25", "2001:db8::/48"] {
        bench.third_party(Act::RemoveOurs(prefix(text))).await?;
    }
    let pass = bench.pass(Target::First, &start()).await?;
    let (added, removed) = (pass.steps.of(Operation::Add).count(), pass.steps.of(Operation::Remove).count());
    ensure!((added, removed) == (2, 0), "two entries too few: {:?}", pass.steps);
    Ok(())
}

pub(super) async fn skeleton_drift(bench: &mut Bench<'_>) -> Verdict {
    bench.pass(Target::First, &start()).await?;
    bench.third_party(Act::BreakSkeleton).await?;
    let provider = bench.provider(Target::First).await;
    match observe(&*provider).await?.skeleton {
        Skeleton::Drifted(lines) => ensure!(!lines.is_empty(), "the skeleton drifted, and nothing says how"),
        Skeleton::Absent => {}
        Skeleton::Intact => return Err(stop("a broken skeleton passes for an intact one")),
    }
    let pass = bench.pass(Target::First, &start()).await?;
    ensure!(!pass.steps.skeleton.is_empty(), "mended what the plan does not show");
    ensure!(pass.steps.entries.is_empty() || pass.before.entries.is_empty(), "moved entries: {:?}", pass.steps.entries);
    Ok(())
}

pub(super) async fn neighbours(bench: &mut Bench<'_>) -> Verdict {
    let theirs = set(&["192.0.2.0/24", "2001:db8:4::/48"]);
    bench.pass(Target::Second, &theirs).await?;
    for wanted in [start(), set(&["203.0.113.0/24"]), theirs.clone()] {
        bench.pass(Target::First, &wanted).await?;
        let admitted = bench.admitted(Target::Second).await;
        ensure!(admitted == theirs, "the other target admits {admitted} instead of {theirs}");
    }
    withdraw(bench, Target::First).await?;
    let second = bench.pass(Target::Second, &theirs).await?;
    ensure!(second.steps.is_empty(), "the other target has to be mended: {:?}", second.steps);
    Ok(())
}

pub(super) async fn withdrawn(bench: &mut Bench<'_>) -> Verdict {
    let nothing = bench.provider(Target::First).await.withdraw().await;
    let nothing = nothing.map_err(|error| failed("withdrawing what is not there", &error))?;
    ensure!(nothing == Applied::default(), "withdrew from nothing: {nothing:?}");
    bench.pass(Target::First, &start()).await?;
    withdraw(bench, Target::First).await?;
    // Not a one-way street.
    bench.pass(Target::First, &start()).await?;
    bench.pass(Target::First, &crate::PrefixSet::new()).await?;
    withdraw(bench, Target::First).await
}

pub(super) async fn withdrawn_while_broken(bench: &mut Bench<'_>) -> Verdict {
    bench.pass(Target::First, &start()).await?;
    bench.third_party(Act::BreakSkeleton).await?;
    withdraw(bench, Target::First).await
}

/// Withdraws twice: the second time there is nothing to do.
///
/// The first time there may be nothing either: in a set of the operator's own, which admits nobody, nothing is ours.
pub(super) async fn withdraw(bench: &mut Bench<'_>, target: Target) -> Verdict {
    let provider = bench.provider(target).await;
    let something = !bench.is_gone(target).await?;
    let applied = provider.withdraw().await.map_err(|error| failed("withdrawing", &error))?;
    ensure!(
        (applied.calls > 0) == something,
        "withdrew {}: {applied:?}",
        if something { "without a call" } else { "from nothing" }
    );
    bench.check_gone(target).await?;
    let again = provider.withdraw().await.map_err(|error| failed("withdrawing again", &error))?;
    ensure!(again == Applied::default(), "withdrew again: {again:?}");
    bench.check_gone(target).await
}

pub(super) async fn orphans(bench: &mut Bench<'_>) -> Verdict {
    bench.leaves_orphans()?;
    bench.pass(Target::First, &start()).await?;
    bench.pass(Target::Second, &set(&["192.0.2.0/24", "2001:db8:4::/48"])).await?;
    let both = observe(&*bench.provider(Target::First).await).await?;
    ensure!(both.orphans.is_empty(), "a configured target is no orphan: {:?}", both.orphans);
    let alone = bench.provider_alone().await;
    let orphans = observe(&*alone).await?.orphans;
    ensure!(!orphans.is_empty(), "what a target without configuration left is not listed");
    let all_second = orphans.iter().all(|orphan| orphan.mark.target() == Target::Second.name());
    ensure!(all_second, "not only the other target's: {orphans:?}");
    // A pass of another target lists orphans and leaves them.
    let wanted = start().union(&set(&["203.0.113.0/24"]));
    bench.pass(Target::First, &wanted).await?;
    ensure!(!bench.admitted(Target::Second).await.is_empty(), "a pass removed an orphan");
    remove_orphans(bench, &orphans).await?;
    let admitted = bench.admitted(Target::First).await;
    ensure!(admitted == wanted, "removing orphans left {admitted} instead of {wanted}");
    let first = bench.pass(Target::First, &wanted).await?;
    ensure!(first.steps.is_empty(), "removing orphans touched a configured target: {:?}", first.steps);
    Ok(())
}

pub(super) async fn remove_orphans(bench: &mut Bench<'_>, orphans: &[Orphan]) -> Verdict {
    let alone = bench.provider_alone().await;
    let applied = alone.remove_orphans(orphans).await.map_err(|error| failed("removing orphans", &error))?;
    ensure!(applied.calls > 0, "removed orphans without a call: {applied:?}");
    bench.check_gone(Target::Second).await?;
    let left = observe(&*alone).await?.orphans;
    ensure!(left.is_empty(), "orphans are left: {left:?}");
    let again = alone.remove_orphans(orphans).await.map_err(|error| failed("removing them again", &error))?;
    ensure!(again == Applied::default(), "removed them again: {again:?}");
    bench.check_foreign("removing orphans").await
}
