//! Changes that nobody disturbs: what a pass reaches, and with how few steps.

use super::bench::{Bench, Stop, Verdict, ensure, failed, observe, place, set};
use super::pass::pass;
use crate::testing::rig::{Act, Target};
use crate::{Admits, Applied, Desired, Family, IpNet, Limit, Operation, PrefixSet, Step, Steps};

/// Where most cases start: both families, nothing that merges.
pub(super) fn start() -> PrefixSet {
    set(&["192.0.2.0/25", "192.0.2.192/26", "198.51.100.7/32", "2001:db8::/48", "2001:db8:2::/48", "2001:db8:4::1/128"])
}

pub(super) async fn from_absent(bench: &mut Bench<'_>) -> Verdict {
    let pass = bench.pass(Target::First, &start()).await?;
    ensure!(pass.steps.of(Operation::Remove).count() == 0, "removes from nothing: {:?}", pass.steps);
    ensure!(pass.steps.of(Operation::Add).count() == 6, "six prefixes need six adds: {:?}", pass.steps);
    Ok(())
}

pub(super) async fn second_pass_does_nothing(bench: &mut Bench<'_>) -> Verdict {
    let first = bench.pass(Target::First, &start()).await?;
    let second = bench.pass(Target::First, &start()).await?;
    ensure!(second.steps.is_empty(), "a second pass has steps: {:?}", second.steps);
    let contents = (first.after.revision.content, second.after.revision.content);
    ensure!(contents.0 == contents.1, "two providers read one state as two revisions");
    let provider = bench.provider(Target::First).await;
    let seen = observe(&*provider).await?;
    let applied = provider.apply(&seen.revision, &Steps::default()).await;
    let nothing = applied.as_ref().is_ok_and(|applied| *applied == Applied::default());
    ensure!(nothing, "applying no steps answered {applied:?}");
    ensure!(observe(&*provider).await?.revision == seen.revision, "applying no steps changed the revision");
    bench.check_foreign("applying no steps").await
}

/// A change from the start by exactly these steps.
async fn steps_are(bench: &mut Bench<'_>, wanted: &PrefixSet, add: &[&str], remove: &[&str]) -> Verdict {
    bench.pass(Target::First, &start()).await?;
    let pass = bench.pass(Target::First, wanted).await?;
    for (operation, expected) in [(Operation::Add, add), (Operation::Remove, remove)] {
        let mut steps: Vec<String> = pass.steps.of(operation).map(|step| step.admits.to_string()).collect();
        steps.sort_unstable();
        ensure!(steps == expected, "{operation:?}: expected {expected:?}, placed {steps:?}");
    }
    let grows = bench.grows_with_entries() && !add.is_empty();
    ensure!(grows || pass.steps.skeleton.is_empty(), "edits an intact skeleton: {:?}", pass.steps.skeleton);
    Ok(())
}

pub(super) async fn added(bench: &mut Bench<'_>) -> Verdict {
    let wanted = start().union(&set(&["203.0.113.0/24", "2001:db8:6::/48"]));
    steps_are(bench, &wanted, &["2001:db8:6::/48", "203.0.113.0/24"], &[]).await
}

pub(super) async fn removed(bench: &mut Bench<'_>) -> Verdict {
    let wanted = start().difference(&set(&["192.0.2.0/25", "2001:db8:4::1/128"]));
    steps_are(bench, &wanted, &[], &["192.0.2.0/25", "2001:db8:4::1/128"]).await
}

pub(super) async fn widened(bench: &mut Bench<'_>) -> Verdict {
    let wanted = start().union(&set(&["192.0.2.0/24", "2001:db8::/47"]));
    let gone = ["192.0.2.0/25", "192.0.2.192/26", "2001:db8::/48"];
    steps_are(bench, &wanted, &["192.0.2.0/24", "2001:db8::/47"], &gone).await
}

pub(super) async fn narrowed(bench: &mut Bench<'_>) -> Verdict {
    let wanted = start().difference(&set(&["192.0.2.64/26", "2001:db8:0:8000::/49"]));
    let gone = ["192.0.2.0/25", "2001:db8::/48"];
    steps_are(bench, &wanted, &["192.0.2.0/26", "2001:db8::/49"], &gone).await
}

pub(super) async fn split_around_a_hole(bench: &mut Bench<'_>) -> Verdict {
    let wanted = start().difference(&set(&["192.0.2.32/27", "2001:db8:2:4000::/50"]));
    let parts = ["192.0.2.0/27", "192.0.2.64/26", "2001:db8:2:8000::/49", "2001:db8:2::/50"];
    steps_are(bench, &wanted, &parts, &["192.0.2.0/25", "2001:db8:2::/48"]).await
}

pub(super) async fn replaced(bench: &mut Bench<'_>) -> Verdict {
    bench.pass(Target::First, &start()).await?;
    bench.pass(Target::First, &set(&["203.0.113.0/25", "203.0.113.192/27", "2001:db8:f0::/44"])).await?;
    bench.pass(Target::First, &start()).await.map(drop)
}

pub(super) async fn re_expressed(bench: &mut Bench<'_>) -> Verdict {
    let (lower, upper) = (set(&["192.0.2.0/25"]), prefix("192.0.2.128/25"));
    bench.pass(Target::First, &lower).await?;
    bench.third_party(Act::AddOurs(upper)).await?;
    let pass = bench.pass(Target::First, &set(&["192.0.2.0/24"])).await?;
    ensure!(pass.steps.is_empty(), "two halves admit the whole already, and yet: {:?}", pass.steps);
    let pass = bench.pass(Target::First, &lower).await?;
    let steps = &pass.steps.entries;
    let only = matches!(&steps[..], [Step { operation: Operation::Remove, admits: Admits::Range(range), .. }] if *range == upper.into());
    ensure!(only, "one stored half had to go by its stored name: {steps:?}");
    Ok(())
}

pub(super) async fn one_family_only(bench: &mut Bench<'_>) -> Verdict {
    for family in Family::ALL {
        bench.restart().await?;
        bench.pass(Target::First, &start().only(family)).await?;
    }
    Ok(())
}

pub(super) async fn a_family_goes_and_comes(bench: &mut Bench<'_>) -> Verdict {
    for family in Family::ALL {
        bench.pass(Target::First, &start()).await?;
        bench.pass(Target::First, &start().only(family)).await?;
    }
    bench.pass(Target::First, &start()).await.map(drop)
}

pub(super) async fn nobody(bench: &mut Bench<'_>) -> Verdict {
    bench.pass(Target::First, &start()).await?;
    bench.pass(Target::First, &PrefixSet::new()).await?;
    bench.pass(Target::First, &start()).await?;
    bench.restart().await?;
    bench.pass(Target::First, &PrefixSet::new()).await.map(drop)
}

pub(super) async fn first_and_last_addresses(bench: &mut Bench<'_>) -> Verdict {
    let last = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128";
    let edges = set(&["0.0.0.0/32", "255.255.255.255/32", "::/128", last]);
    bench.pass(Target::First, &edges).await?;
    bench.pass(Target::First, &start()).await?;
    bench.pass(Target::First, &edges.union(&start())).await?;
    // What has no neighbour on one side grows towards the other.
    bench.pass(Target::First, &set(&["0.0.0.0/24", "255.255.255.0/24", "::/64", "ffff::/16"])).await.map(drop)
}

pub(super) async fn the_whole_space(bench: &mut Bench<'_>) -> Verdict {
    let everybody = set(&["0.0.0.0/0", "::/0"]);
    bench.pass(Target::First, &set(&["128.0.0.0/1", "::/1"])).await?;
    bench.pass(Target::First, &everybody).await?;
    // All but the last address of each family: 32 and 128 prefixes.
    let last = set(&["255.255.255.255/32", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"]);
    bench.pass(Target::First, &everybody.difference(&last)).await?;
    bench.pass(Target::First, &everybody).await?;
    bench.pass(Target::First, &start()).await.map(drop)
}

/// Forty changes between sets drawn from a few addresses, so that every kind of overlap comes up.
pub(super) async fn many_changes(bench: &mut Bench<'_>) -> Verdict {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut wanted = PrefixSet::new();
    for _ in 0..40 {
        let drawn: PrefixSet = (0..4).map(|_| draw(&mut random)).collect();
        wanted = if next(&mut random).is_multiple_of(2) { wanted.union(&drawn) } else { wanted.difference(&drawn) };
        bench.pass(Target::First, &wanted).await?;
    }
    Ok(())
}

fn draw(random: &mut u64) -> IpNet {
    let (host, length) = (next(random) % 256, next(random) % 9);
    let prefix = if next(random).is_multiple_of(2) {
        prefix(&format!("192.0.2.{host}/{}", 24 + length))
    } else {
        prefix(&format!("2001:db8::{host:x}/{}", 120 + length))
    };
    prefix.trunc()
}

/// A step of xorshift64, its better half: the same walk on every run.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state >> 32
}

pub(super) fn prefix(text: &str) -> IpNet {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub(super) async fn over_capacity(bench: &mut Bench<'_>) -> Verdict {
    const MOST: usize = 12;
    let hosts = |from: usize, count: usize| -> PrefixSet {
        let pair = |host| [prefix(&format!("192.0.2.{host}/32")), prefix(&format!("2001:db8::{host:x}/128"))];
        (from..from + 2 * count).step_by(2).flat_map(pair).collect()
    };
    bench.limit_capacity(MOST as u64).await?;
    let (full, more) = (hosts(0, MOST), hosts(0, MOST + 1));
    // One family alone is enough, from nothing and from full.
    for family in Family::ALL {
        refuse(bench, &full.union(&more.only(family))).await?;
    }
    bench.pass(Target::First, &full).await?;
    refuse(bench, &more).await?;
    let replacement = hosts(100, MOST);
    let provider = bench.provider(Target::First).await;
    let seen = observe(&*provider).await?;
    // A full firewall may take a replacement in place; one that would have to cut first refuses.
    if place(&*provider, &seen, &replacement).is_ok() {
        bench.pass(Target::First, &replacement).await?;
    } else {
        refuse(bench, &replacement).await?;
    }
    bench.pass(Target::First, &hosts(0, 2)).await.map(drop)
}

async fn refuse(bench: &mut Bench<'_>, wanted: &PrefixSet) -> Result<(), Stop> {
    let refusal = bench.refused(&Desired::listed(wanted.clone())).await?;
    ensure!(refusal.limit == Limit::Capacity, "refused for another reason: {refusal}");
    Ok(())
}

pub(super) async fn service_tag(bench: &mut Bench<'_>) -> Verdict {
    bench.pass(Target::First, &start()).await?;
    let desired = Desired::ServiceTag("ExampleService".to_owned());
    if bench.takes_service_tags() {
        return native_tag(bench, &desired).await;
    }
    let refusal = bench.refused(&desired).await?;
    ensure!(refusal.limit == Limit::Unsupported, "refused for another reason: {refusal}");
    Ok(())
}

async fn native_tag(bench: &mut Bench<'_>, desired: &Desired) -> Verdict {
    let provider = bench.provider(Target::First).await;
    for has_steps in [true, false] {
        let pass = pass(&*provider, desired).await.map_err(|error| failed("the pass", &error))?;
        ensure!(pass.steps.is_empty() != has_steps, "steps to a service tag: {:?}", pass.steps);
        let tags: Vec<&Admits> = pass.after.entries.iter().map(|entry| &entry.admits).collect();
        let only_tags = tags.iter().all(|admits| matches!(admits, Admits::ServiceTag(_))) && !tags.is_empty();
        ensure!(only_tags, "the service tag and nothing else was to be admitted: {tags:?}");
        bench.check_foreign("a service tag").await?;
    }
    bench.pass(Target::First, &start()).await.map(drop)
}
