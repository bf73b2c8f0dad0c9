//! Calls that fail, one after another: never a gap, and the next pass converges.

use std::time::{Duration, Instant};

use serde_json::json;
use tagwall_aws::Clients;
use tagwall_provider::testing::conformance::PassError;
use tagwall_provider::{Desired, PrefixSet, Provider as _, ProviderError};

use crate::hand::{prefix, set};
use crate::log::writes;
use crate::rig::Rig;
use crate::world::{PORT, World};

pub(crate) fn start() -> PrefixSet {
    set(&["192.0.2.0/25", "192.0.2.192/26", "198.51.100.7/32", "2001:db8::/48", "2001:db8:2::/48"])
}

/// Added, removed, widened, narrowed and kept from the start.
pub(crate) fn goal() -> PrefixSet {
    set(&["192.0.2.0/24", "203.0.113.0/28", "2001:db8::/49", "2001:db8:2::/48"])
}

/// A target over two groups with other people's rules, as it stands before the change.
pub(crate) async fn standing(rig: &Rig) -> World {
    rig.reset();
    let world = World::new(rig, 2);
    for group in &world.groups {
        world.hand.add_rule(group, prefix("203.0.113.128/25"), PORT, "office", None);
        world.hand.add_rule(group, prefix("192.0.2.0/25"), 22, "ssh", None);
    }
    world.reach(&start()).await;
    world
}

/// Fails every call of a pass in turn, of any kind or writing ones alone. What has to come of each: nothing, for what is
/// tried again or read again, or an error of a class.
async fn fail_each_call(rig: &Rig, kind: &str, calls: &str, after: bool, expect: Option<&str>) {
    let (mut failed, mut passed) = (0, 0);
    for nth in 1.. {
        let mut world = standing(rig).await;
        // What a refusal claims is not there, and is not waited for.
        world.clients = Clients::default().with_patience(Duration::from_millis(500));
        rig.fault(kind, calls, nth, after);
        match world.pass(&goal()).await {
            Ok(_) => passed += 1,
            Err(PassError::Provider(error)) => {
                assert_eq!(Some(error.class()), expect, "{kind} at call {nth}: {error:?}");
                failed += 1;
            }
            Err(error) => panic!("{kind} at call {nth}: {error:?}"),
        }
        if rig.faults_left() > 0 {
            assert!(nth > if calls == "*" { 8 } else { 2 }, "a pass takes more than {nth} calls");
            println!("{kind} at {calls}, after: {after}: of {} passes {failed} failed", failed + passed - 1);
            assert!(expect.is_none() || failed > 0, "{kind} was never noticed");
            return;
        }
        world.reach(&goal()).await;
    }
}

on_a_rig! {
    async fn what_passes_by_is_tried_again(rig) {
        for kind in ["throttle", "internal", "cut"] {
            fail_each_call(&rig, kind, "*", false, None).await;
        }
    }

    async fn lost_answers_are_found_out(rig) {
        for kind in ["internal", "cut"] {
            fail_each_call(&rig, kind, "*", true, None).await;
        }
    }

    async fn silence_is_tried_again(rig) {
        for after in [false, true] {
            fail_each_call(&rig, "timeout", "*", after, None).await;
        }
    }

    async fn refusals_end_a_pass_and_leave_what_was(rig) {
        fail_each_call(&rig, "denied", "*", false, Some("denied")).await;
        fail_each_call(&rig, "expired", "*", false, Some("denied")).await;
        fail_each_call(&rig, "quota", "*", false, Some("rejected")).await;
    }

    async fn duplicates_and_what_is_not_found_are_read_again(rig) {
        for kind in ["duplicate", "not-found", "state"] {
            fail_each_call(&rig, kind, "writing", false, None).await;
        }
    }

    /// EC2 takes no answer for longer than a try lasts.
    async fn a_try_has_an_end(rig) {
        let world = standing(&rig).await;
        rig.faults(&json!({ "kind": "timeout", "action": "AuthorizeSecurityGroupIngress", "seconds": 600 }));
        let began = Instant::now();
        world.reach(&goal()).await;
        println!("a silent call was given up and tried again: {:.1} s in all", began.elapsed().as_secs_f64());
    }

    async fn sustained_throttling_gives_up_cleanly(rig) {
        let world = standing(&rig).await;
        rig.faults(&json!({ "kind": "throttle", "action": "AuthorizeSecurityGroupIngress", "times": 8 }));
        let began = Instant::now();
        let before = writes(&rig.log());
        let error = world.pass(&goal()).await.unwrap_err();
        assert!(matches!(error, PassError::Provider(ProviderError::Transient(_))), "{error:?}");
        println!("throttled for good, it gave up after {:.1} s", began.elapsed().as_secs_f64());
        assert_eq!((writes(&rig.log()) - before, rig.faults_left(), world.admitted()), (8, 0, start()));
        world.reach(&goal()).await;
    }

    /// Reads that show the past: what is written is not seen for two minutes.
    async fn reads_that_lag_two_minutes(rig) {
        let world = standing(&rig).await;
        rig.advance(300);
        rig.set("lag", 120);
        let ticking = {
            let rig = rig.clone();
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    rig.advance(10);
                }
            })
        };
        let passed = world.reach(&goal()).await;
        assert_eq!(passed.conflicts, 0, "it did not wait for what it had written");
        // A pass that was killed before it saw what it wrote, and one that cannot see it yet.
        let provider = world.provider();
        let observed = provider.observe().await.unwrap();
        let steps = provider.place(&observed, &Desired::listed(start())).unwrap();
        let before = writes(&rig.log());
        {
            let mut applying = std::pin::pin!(provider.apply(&observed.revision, &steps));
            while writes(&rig.log()) < before + 2 {
                let _ = tokio::time::timeout(Duration::from_millis(1), applying.as_mut()).await;
            }
        }
        let passed = world.reach(&start()).await;
        println!("after a kill under a lag it converged with {} conflicts", passed.conflicts);
        ticking.abort();
    }

    async fn rules_that_lost_their_tags_get_them(rig) {
        let world = standing(&rig).await;
        rig.set("untagged", true);
        let passed = world.pass(&goal()).await.unwrap();
        assert_eq!(world.admitted(), goal());
        assert!(passed.after.skeleton != tagwall_provider::Skeleton::Intact, "nobody saw that tags are missing");
        let mended = world.reach(&goal()).await;
        assert_eq!((mended.steps.entries.len(), mended.applied.calls), (0, 1), "{:?}", mended.steps);
        let untagged = rig.rules().into_iter().filter(|rule| rule["tags"].as_object().unwrap().is_empty());
        assert_eq!(untagged.count(), world.foreign().len());
    }
}
