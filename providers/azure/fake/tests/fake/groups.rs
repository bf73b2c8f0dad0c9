//! Whole NSGs: making, reading, replacing, removing.

use serde_json::{Value, json};

use crate::support::{GROUP, Rig, body, foreign, hub, rule_path};

#[test]
fn a_group_shows_its_default_rules() {
    let rig = Rig::new();
    let shown = rig.get(GROUP).expect(200);
    let defaults = shown.body["properties"]["defaultSecurityRules"].as_array().unwrap();
    let brief: Vec<(&str, i64)> = defaults
        .iter()
        .map(|rule| (rule["name"].as_str().unwrap(), rule["properties"]["priority"].as_i64().unwrap()))
        .collect();
    assert_eq!(
        brief,
        [
            ("AllowVnetInBound", 65000),
            ("AllowAzureLoadBalancerInBound", 65001),
            ("DenyAllInBound", 65500),
            ("AllowVnetOutBound", 65000),
            ("AllowInternetOutBound", 65001),
            ("DenyAllOutBound", 65500),
        ]
    );
    assert_eq!(shown.header("etag"), Some(shown.etag()));
    assert!(defaults.iter().all(|rule| rule["etag"] == shown.body["etag"]));
    let one = rig.get(&format!("{GROUP}/defaultSecurityRules/DenyAllInBound")).expect(200);
    assert_eq!(&one.body, &defaults[2]);
    rig.get(&format!("{GROUP}/defaultSecurityRules/none")).expect_error(404, "NotFound");
}

#[test]
fn a_put_replaces_all_rules() {
    let rig = Rig::new();
    rig.arm.put_nsg("sub", "net", "hub", foreign(2));
    let mut ours = body(200);
    ours["name"] = json!("ours");
    let wanted = json!({"location": "westeurope", "properties": {"securityRules": [ours], "flushConnection": true}});
    let reply = rig.call("PUT", GROUP, Some(wanted)).expect(200);
    rig.poll(&reply.operation());
    let shown = rig.get(GROUP).expect(200).body;
    let names: Vec<&str> = shown["properties"]["securityRules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["ours"]);
    assert_eq!(shown["properties"]["flushConnection"], json!(true));
}

#[test]
fn what_is_read_can_be_put_again() {
    let rig = Rig::new();
    rig.arm.put_nsg("sub", "net", "hub", foreign(3));
    let read = rig.get(GROUP).expect(200).body;
    let reply = rig.call("PUT", GROUP, Some(read.clone())).expect(200);
    // Nothing changed: it has ended already.
    assert_eq!(reply.body, read);
    assert_eq!(rig.poll(&reply.operation()).0, 0);
}

#[test]
fn a_new_group_needs_a_place() {
    let rig = Rig::new();
    let elsewhere = GROUP.replace("/net/", "/none/");
    let place = json!({"location": "westeurope"});
    rig.call("PUT", &elsewhere, Some(place.clone())).expect_error(404, "ResourceGroupNotFound");
    rig.get(&elsewhere).expect_error(404, "ResourceGroupNotFound");
    let other = GROUP.replace("/hub", "/other");
    rig.get(&other).expect_error(404, "ResourceNotFound");
    assert_eq!(rig.get(&other).header("x-ms-failure-cause"), Some("gateway"));
    rig.call("PUT", &other, Some(json!({}))).expect_error(400, "LocationRequired");
    rig.call("PUT", &other, Some(place)).expect(201);
    rig.get(&other).expect(200);
    rig.call("PUT", &other, Some(json!({"location": "northeurope"}))).expect_error(409, "InvalidResourceLocation");
}

#[test]
fn a_group_with_bad_rules_is_not_made() {
    let rig = Rig::new();
    let (mut one, mut two) = (body(200), body(201));
    one["name"] = json!("one");
    two["name"] = json!("ONE");
    let put = |rules: &[&Value]| {
        let wanted = json!({"location": "westeurope", "properties": {"securityRules": rules}});
        rig.call("PUT", GROUP, Some(wanted))
    };
    put(&[&one, &two]).expect_error(400, "DuplicateResourceName");
    two["name"] = json!("two");
    two["properties"]["priority"] = json!(200);
    put(&[&one, &two]).expect_error(400, "SecurityRuleConflict");
    put(&[&json!({"properties": {}})]).expect_error(400, "InvalidRequestContent");
    put(&[&json!({"name": "empty"})]).expect_error(400, "InvalidRequestContent");
    assert_eq!(rig.arm.nsg("sub", "net", "hub")["properties"]["securityRules"], json!([]));
}

#[test]
fn tags_are_patched() {
    let rig = Rig::new();
    let before = rig.get(GROUP).expect(200);
    let reply = rig.call("PATCH", GROUP, Some(json!({"tags": {"a": "b"}}))).expect(200);
    assert_eq!(reply.body["tags"], json!({"a": "b"}));
    assert_ne!(reply.etag(), before.etag());
    assert_eq!(reply.header("azure-asyncoperation"), None);
}

#[test]
fn a_removed_group_is_gone_at_the_end() {
    let rig = Rig::new();
    let reply = rig.call("DELETE", GROUP, None).expect(202);
    assert_eq!(reply.body, Value::Null);
    let result = reply.header("location").unwrap().to_owned();
    assert!(result.contains("/operationResults/"), "{result}");
    rig.get(&result).expect(202);
    assert_eq!(rig.get(&result).expect(204).header("location"), Some(result.as_str()));
    rig.get(GROUP).expect_error(404, "ResourceNotFound");
    rig.call("DELETE", GROUP, None).expect(204);
    rig.put_rule("ours", body(200)).expect_error(404, "ParentResourceNotFound");
}

#[test]
fn names_are_the_same_in_any_case_and_shown_as_first_written() {
    let rig = Rig::new();
    rig.put_rule_whole("Ours", body(200));
    let other = GROUP.to_uppercase().replace("SUB/", "sub/");
    let shown = rig.get(&other).expect(200).body;
    assert_eq!(shown["name"], json!("hub"));
    let mut wider = body(200);
    wider["properties"]["priority"] = json!(300);
    let reply = rig.put_rule("OURS", wider).expect(200);
    assert_eq!(reply.body["name"], json!("Ours"));
    assert_eq!(rig.arm.edit(|network| network.rules(&hub()).len()), 1);
}

#[test]
fn rules_are_removed_one_by_one() {
    let rig = Rig::new();
    rig.arm.put_nsg("sub", "net", "hub", foreign(2));
    let reply = rig.call("DELETE", &rule_path("other-0"), None).expect(202);
    rig.poll(&reply.operation());
    rig.get(&rule_path("other-0")).expect_error(404, "NotFound");
    rig.get(&rule_path("other-1")).expect(200);
    rig.call("DELETE", &rule_path("other-0"), None).expect(204);
}

#[test]
fn older_versions_show_less() {
    let rig = Rig::new();
    let sent = json!({"properties": {
        "protocol": "Udp", "access": "Deny", "direction": "Outbound", "priority": 4095, "sourcePortRange": "656",
        "destinationPortRange": "123-3500", "sourceAddressPrefix": "*", "destinationAddressPrefix": "*",
    }});
    rig.put_rule_whole("ours", sent);
    let old = rig.get(&format!("{}?api-version=2016-09-01", rule_path("ours"))).expect(200).body;
    assert_eq!((&old["type"], &old["properties"]["sourceAddressPrefixes"]), (&Value::Null, &Value::Null));
    let new = rig.get(&format!("{}?api-version=2026-03-01", rule_path("ours"))).expect(200).body;
    assert_eq!(new["type"], json!("Microsoft.Network/networkSecurityGroups/securityRules"));
    assert_eq!(new["properties"]["sourceAddressPrefixes"], json!([]));
}

#[test]
fn versions_must_be_named_and_known() {
    let rig = Rig::new();
    rig.get(&format!("{GROUP}?x=y")).expect_error(400, "MissingApiVersionParameter");
    rig.get(&format!("{GROUP}?api-version=2024-03-02")).expect_error(400, "NoRegisteredProviderFound");
    rig.get(&format!("{GROUP}?API-Version=2025-05-01")).expect(200);
}

#[test]
fn bodies_must_be_json_objects() {
    let rig = Rig::new();
    rig.call("PUT", &rule_path("ours"), Some(json!([]))).expect_error(400, "InvalidRequestContent");
    rig.call("PUT", &rule_path("ours"), Some(json!({}))).expect_error(400, "InvalidRequestContent");
    rig.try_call("PUT", &rule_path("ours"), &[], None).unwrap().expect_error(415, "UnsupportedMediaType");
    rig.call("POST", &rule_path("ours"), Some(body(200))).expect_error(405, "HttpMethodNotSupported");
    rig.get("/subscriptions/sub/resourceGroups/net/providers/Microsoft.Compute/x/y")
        .expect_error(404, "InvalidResourceType");
}

#[test]
fn state_is_saved_and_loaded() {
    let rig = Rig::new();
    rig.put_rule_whole("ours", body(200));
    let state = rig.arm.state();
    let other = Rig::new();
    other.arm.load(state.clone());
    assert_eq!(other.arm.state(), state);
    other.get(&rule_path("ours")).expect(200);
}
