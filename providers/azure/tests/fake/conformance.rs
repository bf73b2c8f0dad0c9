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

/// Operations that are not named: the rule says how it stands.
#[tokio::test]
async fn closed_to_everybody_else_and_operations_without_a_name() {
    let behaviour = Behaviour { operation_headers: false, ..Behaviour::default() };
    check(Variant { deny: true, ..Variant::default() }, behaviour).await;
}

#[tokio::test]
async fn several_rules_to_a_family() {
    check(Variant { deny: true, largest_rule: Some(2) }, Behaviour { if_match_on_rules: true, ..Behaviour::default() }).await;
}
