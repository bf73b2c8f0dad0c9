//! The suite that every provider runs.

use tagwall_fake_arm::Behaviour;
use tagwall_provider::testing::conformance;

use super::rig::{NsgRig, Variant};

async fn check(variant: Variant, behaviour: Behaviour) {
    let report = conformance::run(&mut NsgRig::new(variant, behaviour)).await;
    println!("{report}");
    report.assert_conforms(&[]);
}

#[tokio::test]
async fn one_rule_to_a_family() {
    check(Variant::default(), Behaviour::default()).await;
}

/// Where Azure honours the version of a single rule, which nobody has recorded.
#[tokio::test]
async fn versions_of_rules_are_honoured() {
    check(Variant::default(), Behaviour { if_match_on_rules: true, ..Behaviour::default() }).await;
}

#[tokio::test]
async fn closed_to_everybody_else() {
    check(Variant { deny: true, ..Variant::default() }, Behaviour::default()).await;
}

#[tokio::test]
async fn several_rules_to_a_family() {
    check(Variant { deny: true, largest_rule: Some(2) }, Behaviour { if_match_on_rules: true, ..Behaviour::default() })
        .await;
}
