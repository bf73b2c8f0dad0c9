use tagwall_provider::testing::memory::{MemoryFirewall, MemoryProvider};
use tagwall_provider::{Family, OwnerMark};

use super::*;
use crate::fixture::set;

async fn planned(stored: &[&str], desired: &[&str], policy: Policy) -> Plan {
    let firewall = MemoryFirewall::new();
    let mark = OwnerMark::new("test", "t").unwrap();
    let provider = MemoryProvider::new(&firewall, mark.clone(), &["one"]);
    let desired_now = Desired::listed(set(stored));
    let observed = provider.observe().await.unwrap();
    let steps = provider.place(&observed, &desired_now).unwrap();
    provider.apply(&observed.revision, &steps).await.unwrap();
    let observed = provider.observe().await.unwrap();
    plan(&provider, observed, &Desired::listed(set(desired)), policy).unwrap()
}

fn texts(side: &[Admits]) -> Vec<String> {
    side.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_wider_prefix_in_place_of_its_half_is_growth_and_no_loss() {
    let plan = planned(&["192.0.2.0/25", "198.51.100.0/24"], &["192.0.2.0/24", "198.51.100.0/24"], Policy::Sync).await;
    assert_eq!(texts(&plan.added().changing), ["192.0.2.0/24"]);
    assert_eq!(texts(&plan.removed().changing), [""; 0]);
    assert_eq!(texts(&plan.removed().reexpressed), ["192.0.2.0/25"]);
    assert_eq!(plan.gained().get(Family::V4).to_string(), "128");
    assert!(plan.lost().get(Family::V4).is_zero());
}

#[tokio::test]
async fn a_narrower_prefix_loses_what_it_loses() {
    let plan = planned(&["192.0.2.0/24"], &["192.0.2.0/25"], Policy::Sync).await;
    assert_eq!(texts(&plan.added().reexpressed), ["192.0.2.0/25"]);
    assert_eq!(texts(&plan.removed().changing), ["192.0.2.0/24"]);
    assert_eq!(plan.lost().get(Family::V4).to_string(), "128");
    assert!(plan.gained().get(Family::V4).is_zero());
}

/// What stands there under another mark is nobody's gain.
#[tokio::test]
async fn what_is_taken_over_is_not_gained() {
    let mut plan =
        planned(&["192.0.2.0/24"], &["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"], Policy::Sync).await;
    assert_eq!(plan.gained().get(Family::V4).to_string(), "512");
    let step = plan.steps.entries.iter_mut().find(|step| step.admits.to_string() == "203.0.113.0/24").unwrap();
    step.id = Some(tagwall_provider::StoredId("sgr-1".into()));
    assert_eq!(plan.gained().get(Family::V4).to_string(), "256");
    assert_eq!(texts(&plan.added().changing), ["198.51.100.0/24"]);
    assert_eq!(texts(&plan.added().reexpressed), ["203.0.113.0/24"]);
}

#[tokio::test]
async fn equal_addresses_need_no_steps() {
    let plan = planned(&["192.0.2.0/25", "192.0.2.128/25"], &["192.0.2.0/24"], Policy::Sync).await;
    assert!(plan.steps.is_empty(), "{:?}", plan.steps);
}

#[tokio::test]
async fn who_may_only_add_removes_nothing_and_says_what_is_left() {
    let plan =
        planned(&["192.0.2.0/24", "203.0.113.0/24"], &["198.51.100.0/24", "192.0.2.0/25"], Policy::AddOnly).await;
    assert_eq!(plan.steps.of(Operation::Remove).count(), 0, "{:?}", plan.steps);
    assert_eq!(texts(&plan.added().changing), ["198.51.100.0/24"]);
    assert_eq!(plan.left, set(&["192.0.2.128/25", "203.0.113.0/24"]));
    assert_eq!(plan.after, set(&["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"]));
    // The same with the right to remove.
    let plan = planned(&["192.0.2.0/24", "203.0.113.0/24"], &["198.51.100.0/24", "192.0.2.0/25"], Policy::Sync).await;
    assert_eq!(plan.after, set(&["192.0.2.0/25", "198.51.100.0/24"]));
    assert!(plan.left.is_empty());
}
