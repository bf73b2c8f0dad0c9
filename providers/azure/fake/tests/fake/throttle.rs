//! 429 of the subscription's buckets.

use std::time::Duration;

use tagwall_fake_arm::{Behaviour, Bucket, Buckets};

use crate::support::{GROUP, Rig, body};

fn throttled() -> Behaviour {
    let bucket = |size, per_second| Bucket { size, per_second };
    let buckets = Buckets { reads: bucket(3, 1), writes: bucket(1, 1), deletes: bucket(1, 1) };
    Behaviour { buckets: Some(buckets), frozen_clock: true, ..Behaviour::default() }
}

const READS: &str = "x-ms-ratelimit-remaining-subscription-global-reads";
const WRITES: &str = "x-ms-ratelimit-remaining-subscription-global-writes";

#[test]
fn reads_run_out_and_come_back() {
    let rig = Rig::with(throttled());
    let left: Vec<Option<String>> =
        (0..3).map(|_| rig.get(GROUP).expect(200).header(READS).map(str::to_owned)).collect();
    assert_eq!(left, ["2", "1", "0"].map(|left| Some(left.to_owned())));
    let refused = rig.get(GROUP);
    refused.expect_error(429, "SubscriptionRequestsThrottled");
    assert_eq!((refused.header("retry-after"), refused.header(READS)), (Some("1"), Some("0")));
    // Writes have a bucket of their own.
    assert_eq!(rig.put_rule("ours", body(200)).expect(201).header(WRITES), Some("0"));
    rig.arm.advance(Duration::from_secs(1));
    rig.get(GROUP).expect(200);
    rig.get(GROUP).expect(429);
}

#[test]
fn a_refused_write_changes_nothing() {
    let rig = Rig::with(throttled());
    rig.put_rule("ours", body(200)).expect(201);
    let refused = rig.put_rule("two", body(201));
    refused.expect_error(429, "SubscriptionRequestsThrottled");
    assert_eq!(rig.arm.edit(|network| network.rules(&crate::support::hub()).len()), 1);
}

#[test]
fn an_answer_may_not_say_when() {
    let rig = Rig::with(Behaviour { throttle_retry_after: false, ..throttled() });
    rig.put_rule("ours", body(200)).expect(201);
    let refused = rig.put_rule("two", body(201)).expect(429);
    assert_eq!(refused.header("retry-after"), None);
}

#[test]
fn without_buckets_nothing_runs_out() {
    let rig = Rig::new();
    for _ in 0..300 {
        assert_eq!(rig.get(GROUP).expect(200).header(READS), Some("16499"));
    }
}
