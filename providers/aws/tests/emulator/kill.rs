//! Passes that are killed, and passes side by side.

use std::time::Duration;

use serde_json::json;
use tagwall_provider::testing::conformance::pass;
use tagwall_provider::{Desired, PrefixSet};

use crate::faults::{goal, standing};
use crate::hand::set;
use crate::rig::child;
use crate::world::World;

/// The groups of a pass in a process that is to be killed.
const GROUPS: &str = "TAGWALL_TEST_GROUPS";

on_a_rig! {
    /// Between any two calls: the n-th call is answered never, whether or not it was made, and then the pass is killed.
    async fn killed_between_any_two_calls(rig) {
        if let Ok(groups) = std::env::var(GROUPS) {
            let world = World::of(&rig, groups.split(',').map(str::to_owned).collect());
            pass(&world.provider(), &Desired::listed(goal())).await.unwrap();
            return;
        }
        let mut killed = 0;
        for made in [false, true] {
            for nth in 1.. {
                let world = standing(&rig).await;
                let watch = world.watch(&goal());
                rig.faults(&json!({ "kind": "timeout", "nth": nth, "after": made, "seconds": 600 }));
                let mut pass = child(&rig, "kill::killed_between_any_two_calls")
                    .env(GROUPS, world.groups.join(","))
                    .spawn()
                    .unwrap();
                let done = loop {
                    if rig.faults_left() == 0 {
                        break None;
                    }
                    if let Some(status) = pass.try_wait().unwrap() {
                        break Some(status);
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                };
                let _ = pass.kill();
                let _ = pass.wait();
                watch.check(&world);
                if let Some(status) = done {
                    assert!(status.success() && nth > 8, "the pass ended by itself after {nth} calls: {status}");
                    break;
                }
                world.reach(&goal()).await;
                killed += 1;
            }
        }
        println!("killed {killed} passes, at each call once before and once after it was made");
    }

    /// Two daemons of one configuration that learn of each publication at once.
    async fn two_daemons_at_once(rig) {
        let world = standing(&rig).await;
        let twin = World::of(&rig, world.groups.clone());
        let mut conflicts = 0;
        for round in 0..20_u8 {
            let wanted: PrefixSet = goal()
                .union(&set(&[&format!("198.51.100.{}/28", 16 * (round % 8)), &format!("2001:db8:{round}:8000::/50")]))
                .difference(&set(&[&format!("192.0.2.{}/28", 16 * (round % 16))]));
            let watch = world.watch(&wanted);
            let desired = Desired::listed(wanted.clone());
            let (one, two) = (world.provider(), twin.provider());
            let (one, two) = tokio::join!(pass(&one, &desired), pass(&two, &desired));
            watch.check(&world);
            conflicts += [one, two].into_iter().map(|passed| passed.map_or(1, |passed| passed.conflicts)).sum::<usize>();
            world.reach(&wanted).await;
        }
        // In step, each finds the other's calls made: that is a refusal which turns out to be none.
        let refused = rig.log().iter().filter(|call| call["code"].is_string()).count();
        println!("20 rounds side by side, {conflicts} conflicts, {refused} calls that came second");
        assert!(conflicts + refused > 0, "they never met");
    }
}
