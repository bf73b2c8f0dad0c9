//! Long-running operations.

use serde_json::json;
use tagwall_fake_arm::{Behaviour, Edit, Fault, FaultKind};

use crate::support::{GROUP, Rig, body, foreign, hub, rule_path};

fn slow(polls: u32) -> Rig {
    Rig::with(Behaviour { polls, ..Behaviour::default() })
}

#[test]
fn an_operation_is_polled_until_it_ends() {
    for polls in [0, 1, 3] {
        let rig = slow(polls);
        let reply = rig.put_rule("ours", body(200)).expect(201);
        assert_eq!(reply.body["properties"]["provisioningState"], json!("Updating"));
        let (in_progress, last) = rig.poll(&reply.operation());
        assert_eq!((in_progress, last.body), (polls as usize, json!({"status": "Succeeded"})));
        let shown = rig.get(&rule_path("ours")).expect(200).body;
        assert_eq!(shown["properties"]["provisioningState"], json!("Succeeded"));
        // It stays ended.
        assert_eq!(rig.poll(&reply.operation()).0, 0);
    }
}

#[test]
fn reading_shows_what_is_under_way() {
    let rig = slow(1);
    rig.put_rule("ours", body(200)).expect(201);
    let during = rig.get(GROUP).expect(200).body;
    assert_eq!(during["properties"]["provisioningState"], json!("Updating"));
    assert_eq!(during["properties"]["securityRules"].as_array().unwrap().len(), 1);
    let after = rig.get(GROUP).expect(200).body;
    assert_eq!(after["properties"]["provisioningState"], json!("Succeeded"));
}

#[test]
fn another_write_meanwhile_is_refused() {
    let rig = slow(2);
    let reply = rig.put_rule("ours", body(200)).expect(201);
    let refused = rig.put_rule("two", body(201));
    refused.expect_error(409, "AnotherOperationInProgress");
    assert!(refused.body["error"]["message"].as_str().unwrap().contains(&reply.operation()));
    rig.call("DELETE", GROUP, None).expect_error(409, "AnotherOperationInProgress");
    // Who comes back finds it ended, also without polling.
    rig.put_rule("two", body(201)).expect(201);
}

#[test]
fn another_group_is_not_in_the_way() {
    let rig = slow(9);
    rig.arm.put_nsg("sub", "net", "other", Vec::new());
    rig.put_rule("ours", body(200)).expect(201);
    let path = rule_path("ours").replace("/hub/", "/other/");
    rig.call("PUT", &path, Some(body(200))).expect(201);
}

#[test]
fn the_address_is_signed_and_used_as_it_is() {
    let rig = Rig::new();
    let address = rig.put_rule("ours", body(200)).expect(201).operation();
    assert!(
        address.starts_with(&format!(
            "{}/subscriptions/sub/providers/Microsoft.Network/locations/westeurope/operations/",
            rig.arm.url()
        )),
        "{address}"
    );
    let (bare, _) = address.split_once("&t=").unwrap();
    rig.get(bare).expect_error(400, "InvalidOperationAddress");
    rig.get(&address.replace("&h=", "&h=x")).expect_error(400, "InvalidOperationAddress");
    rig.get(&address).expect(200);
    let (path, query) = address.split_once('?').unwrap();
    rig.get(&format!("{path}0?{query}")).expect_error(404, "OperationNotFound");
}

#[test]
fn older_versions_do_not_sign() {
    let rig = Rig::new();
    let path = format!("{}?api-version=2019-11-01", rule_path("ours"));
    let address = rig.call("PUT", &path, Some(body(200))).expect(201).operation();
    assert!(address.ends_with("?api-version=2019-11-01"), "{address}");
    rig.get(&address).expect(200);
}

#[test]
fn answers_say_when_to_come_back_if_told() {
    let rig = Rig::new();
    let reply = rig.put_rule("ours", body(200)).expect(201);
    assert_eq!(reply.header("retry-after"), None);
    assert_eq!(rig.get(&reply.operation()).header("retry-after"), None);
    rig.arm.set(Behaviour { retry_after: Some(10), poll_retry_after: Some(3), ..Behaviour::default() });
    rig.get(GROUP);
    let reply = rig.put_rule("ours", body(201)).expect(200);
    assert_eq!(reply.header("retry-after"), Some("10"));
    assert_eq!(rig.get(&reply.operation()).header("retry-after"), Some("3"));
    assert_eq!(rig.get(&reply.operation()).header("retry-after"), None);
}

#[test]
fn an_operation_may_go_unnamed() {
    let rig = Rig::with(Behaviour { operation_headers: false, ..Behaviour::default() });
    let reply = rig.put_rule("ours", body(200)).expect(201);
    assert_eq!((reply.header("azure-asyncoperation"), reply.header("retry-after")), (None, None));
    assert_eq!(reply.body["properties"]["provisioningState"], json!("Updating"));
    let rig = Rig::new();
    rig.arm.fault(Fault::new("PUT", "securityRules", FaultKind::NoOperationHeaders));
    let reply = rig.put_rule("ours", body(200)).expect(201);
    assert_eq!(reply.header("azure-asyncoperation"), None);
    rig.get(GROUP);
    rig.get(GROUP);
    assert!(rig.put_rule("ours", body(201)).expect(200).header("azure-asyncoperation").is_some());
}

#[test]
fn an_operation_may_be_named_on_another_host() {
    let rig = Rig::new();
    let elsewhere = "https://arm.example.org".to_owned();
    rig.arm.fault(Fault::new("PUT", "", FaultKind::OperationHost(elsewhere)));
    assert!(rig.put_rule("ours", body(200)).operation().starts_with("https://arm.example.org/subscriptions/"));
}

#[test]
fn an_operation_may_fail() {
    for applied in [false, true] {
        let rig = Rig::new();
        rig.put_rule_whole("ours", body(200));
        let kind =
            FaultKind::FailOperation { code: "NetcfgInternalError".to_owned(), message: "no".to_owned(), applied };
        rig.arm.fault(Fault::new("PUT", "securityRules", kind));
        let reply = rig.put_rule("ours", body(300)).expect(200);
        let (_, last) = rig.poll(&reply.operation());
        let error = json!({"code": "NetcfgInternalError", "message": "no", "details": []});
        assert_eq!(last.body, json!({"status": "Failed", "error": error}));
        let shown = rig.get(&rule_path("ours")).expect(200).body;
        assert_eq!(shown["properties"]["provisioningState"], json!("Failed"));
        assert_eq!(shown["properties"]["priority"], json!(if applied { 300 } else { 200 }));
        assert_eq!(rig.arm.faults_left(), 0);
        // The next one heals it.
        rig.put_rule_whole("ours", body(301));
        assert_eq!(rig.get(GROUP).body["properties"]["provisioningState"], json!("Succeeded"));
    }
}

#[test]
fn a_removal_may_fail() {
    let rig = Rig::new();
    rig.put_rule_whole("ours", body(200));
    let kind = FaultKind::FailOperation { code: "InUse".to_owned(), message: "no".to_owned(), applied: false };
    rig.arm.fault(Fault::new("DELETE", "", kind.clone()).times(2));
    let reply = rig.call("DELETE", &rule_path("ours"), None).expect(202);
    rig.poll(&reply.operation());
    rig.get(&rule_path("ours")).expect(200);
    rig.get(reply.header("location").unwrap()).expect_error(400, "InUse");
    let reply = rig.call("DELETE", GROUP, None).expect(202);
    rig.poll(&reply.operation());
    rig.get(GROUP).expect(200);
}

#[test]
fn a_third_party_may_be_busy() {
    let rig = Rig::new();
    rig.arm.fault(Fault::new("PUT", "securityRules", FaultKind::Before(Edit::Busy { nsg: hub(), polls: 2 })));
    rig.put_rule("ours", body(200)).expect_error(409, "AnotherOperationInProgress");
    rig.put_rule("ours", body(200)).expect_error(409, "AnotherOperationInProgress");
    rig.put_rule("ours", body(200)).expect(201);
}

#[test]
fn every_state_is_kept() {
    let rig = Rig::new();
    rig.arm.put_nsg("sub", "net", "hub", foreign(1));
    rig.put_rule_whole("ours", body(200));
    let reply = rig.call("DELETE", GROUP, None);
    rig.poll(&reply.operation());
    let states = rig.arm.states("SUB", "net", "hub");
    let brief: Vec<(&str, usize, usize)> =
        states.iter().map(|state| (state.provisioning_state.as_str(), state.rules.len(), state.exchange)).collect();
    assert_eq!(
        brief,
        [
            ("Succeeded", 0, 0),
            ("Succeeded", 1, 0),
            ("Updating", 2, 0),
            ("Succeeded", 2, 2),
            ("Deleting", 2, 3),
            ("Deleted", 0, 5),
        ]
    );
}
