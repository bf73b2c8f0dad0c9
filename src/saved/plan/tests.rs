use tagwall_provider::testing::memory::{MemoryFirewall, MemoryProvider};
use tagwall_provider::{Desired, Held, OwnerMark, Provider as _};

use super::*;
use crate::config::Policy;
use crate::fixture::{config, set};
use crate::plan::plan;
use crate::reconcile::{Options, Purpose};

const CONFIG: &str = "[lists.a]\ntags = [\"A\"]\n[targets.edge]\nlists = [\"a\"]\nnftables = {}";

/// A report of one target that holds these prefixes and is to admit those.
async fn report(purpose: Purpose, stored: &[&str], desired: &Desired) -> Report {
    let firewall = MemoryFirewall::new();
    let provider = MemoryProvider::new(&firewall, OwnerMark::new("test", "edge").unwrap(), &["one"]);
    let observed = provider.observe().await.unwrap();
    let steps = provider.place(&observed, &Desired::listed(set(stored))).unwrap();
    provider.apply(&observed.revision, &steps).await.unwrap();
    let observed = provider.observe().await.unwrap();
    let plan = Box::new(plan(&provider, observed, desired, Policy::Sync).unwrap());
    let outcome = match purpose {
        Purpose::Enforce => Outcome::Applied(plan, tagwall_provider::Applied::default()),
        _ => Outcome::Planned(plan),
    };
    let mut report = Report::new(&Options::new(purpose, Timestamp::UNIX_EPOCH), None);
    report.targets = vec![TargetReport::new(&config(CONFIG).targets[0], outcome)];
    report
}

async fn content(stored: &[&str], desired: &[&str]) -> PlanContent {
    PlanContent::of(&report(Purpose::DryRun, stored, &Desired::listed(set(desired))).await, &config(CONFIG))
}

#[tokio::test]
async fn the_hash_is_of_what_is_done_and_of_nothing_that_comes_and_goes() {
    let base = content(&["192.0.2.0/25"], &["192.0.2.0/24"]).await;
    let differs = |other: &PlanContent| assert_ne!(other.hash(), base.hash());
    assert_eq!(base.hash(), content(&["192.0.2.0/25"], &["192.0.2.0/25", "192.0.2.128/25"]).await.hash());
    differs(&content(&["192.0.2.0/25"], &["192.0.2.0/23"]).await);
    differs(&content(&["192.0.2.0/26"], &["192.0.2.0/24"]).await);
    differs(&PlanContent { owner: "other".to_owned(), ..base.clone() });
    differs(&PlanContent { configuration: None, ..base.clone() });

    let held = |until: &str| Held { prefixes: set(&["203.0.113.0/24"]), until: until.to_owned() };
    let desired = |until| Desired::Prefixes {
        listed: set(&["192.0.2.0/24"]),
        held: vec![held(until)],
        extra: set(&[]),
        widened: set(&[]),
    };
    let [now, later] = ["2026-01-01", "2026-01-02"].map(desired);
    let of = async |purpose, desired: &Desired| PlanContent::of(&report(purpose, &[], desired).await, &config(CONFIG));
    let planned = of(Purpose::DryRun, &now).await;
    // When it goes may be counted from the time of the pass; and that it was done is no other plan.
    assert_eq!(planned.hash(), of(Purpose::Enforce, &later).await.hash());
    differs(&planned);
}

/// The hash of a plan on another build and machine: it must not change by itself.
#[tokio::test]
async fn the_hash_is_the_same_everywhere() {
    let mut content = content(&["192.0.2.0/25", "2001:db8::/48"], &["192.0.2.0/24"]).await;
    content.configuration = None;
    assert_eq!(content.hash(), "61d8b4391ce838272151a4865a938d419fc6c473e1a9910162a1e2573b8a7baf");
}

#[tokio::test]
async fn a_plan_is_read_as_it_was_written_and_an_altered_one_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plan.json");
    let content = content(&["192.0.2.0/25", "203.0.113.7/32"], &["192.0.2.0/24", "2001:db8::/48"]).await;
    let saved = SavedPlan::new(content, Timestamp::UNIX_EPOCH, Some(Timestamp::MAX));
    saved.write(&path).unwrap();
    assert_eq!(SavedPlan::read(&path).unwrap(), saved);
    assert!(!saved.is_altered());
    let text = std::fs::read_to_string(&path).unwrap();
    // Every value of the content is under the hash, but when something held goes.
    let hashed = text.find("\"content\"").unwrap();
    let mut altered = 0;
    for (at, digit) in text.match_indices(|letter: char| letter.is_ascii_digit()).filter(|(at, _)| *at > hashed) {
        let other = if digit == "1" { "2" } else { "1" };
        std::fs::write(&path, format!("{}{other}{}", &text[..at], &text[at + 1..])).unwrap();
        match SavedPlan::read(&path) {
            Ok(read) => assert!(read.is_altered() || read == saved, "not noticed: {other} at {at} of {text}"),
            Err(SavedError::Form { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        altered += 1;
    }
    assert!(altered > 50, "{altered}");
}

#[tokio::test]
async fn what_moved_is_named_and_long_lists_are_cut() {
    let check = async |stored: &[&str], desired: &[&str], expect: &[&str]| {
        let before = content(&["192.0.2.0/25"], &["192.0.2.0/24"]).await;
        let now = content(stored, desired).await;
        assert_eq!(before.moved_targets(&now), expect);
    };
    check(&["192.0.2.0/25"], &["192.0.2.0/24"], &[]).await;
    check(
        &["192.0.2.0/26"],
        &["192.0.2.0/24"],
        &["target `edge`: 192.0.2.0/26 came since", "target `edge`: 192.0.2.0/25 went since"],
    )
    .await;
    check(&["192.0.2.0/25"], &["192.0.2.0/23"], &["target `edge`: what it should admit is another by now"]).await;
    let many: Vec<String> = (0..9).map(|number| format!("198.51.100.{}/32", number * 2)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).chain(["192.0.2.0/25"]).collect();
    check(
        &many,
        &["192.0.2.0/24"],
        &["target `edge`: 198.51.100.0/32, 198.51.100.2/32, 198.51.100.4/32, 198.51.100.6/32, 198.51.100.8/32 and 4 more came since"],
    )
    .await;
    let mut odd = content(&["192.0.2.0/25"], &["192.0.2.0/24"]).await;
    odd.targets[0].observed.as_mut().unwrap().skeleton = SkeletonForm::Drifted(vec!["chain x is gone".to_owned()]);
    let base = content(&["192.0.2.0/25"], &["192.0.2.0/24"]).await;
    assert_eq!(base.moved_targets(&odd), ["target `edge`: its rules were changed: chain x is gone"]);
    odd.targets.clear();
    assert_eq!(base.moved_targets(&odd), ["target `edge`: it is no target any more"]);
}
