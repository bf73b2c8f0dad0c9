//! What Azure refuses of a rule.

use serde_json::{Value, json};
use tagwall_fake_arm::{Behaviour, Rule};

use crate::support::{Rig, body, foreign};

/// Puts the usual rule with some fields changed; null takes one out. `expect` is the code of 400, or empty.
#[track_caller]
fn check(changes: &Value, expect: &str) {
    let rig = Rig::new();
    let mut body = body(200);
    for (field, value) in changes.as_object().unwrap() {
        body["properties"][field] = value.clone();
    }
    let reply = rig.put_rule("ours", body);
    let stored = rig.arm.nsg("sub", "net", "hub")["properties"]["securityRules"].as_array().unwrap().len();
    if expect.is_empty() {
        assert_eq!((reply.status, stored), (201, 1), "{}", reply.body);
    } else {
        reply.expect_error(400, expect);
        assert_eq!(stored, 0);
    }
}

#[test]
fn the_usual_rule_is_taken() {
    check(&json!({}), "");
}

#[test]
fn priorities_are_100_to_4096() {
    for (priority, expect) in
        [(99, "SecurityRuleInvalidPriority"), (100, ""), (4096, ""), (4097, "SecurityRuleInvalidPriority")]
    {
        check(&json!({"priority": priority}), expect);
    }
    check(&json!({"priority": null}), "SecurityRuleInvalidPriority");
    check(&json!({"priority": "200"}), "InvalidRequestFormat");
    check(&json!({"priority": 200.5}), "InvalidRequestFormat");
}

#[test]
fn required_fields_are_required() {
    check(&json!({"protocol": null}), "SecurityRuleInvalidProtocol");
    check(&json!({"protocol": "Sctp"}), "SecurityRuleInvalidProtocol");
    check(&json!({"protocol": "TCP"}), "");
    check(&json!({"access": null}), "SecurityRuleInvalidAccess");
    check(&json!({"access": "Reject"}), "SecurityRuleInvalidAccess");
    check(&json!({"direction": null}), "SecurityRuleInvalidDirection");
    check(&json!({"sourcePortRange": null}), "SecurityRuleParametersMissing");
    check(&json!({"destinationPortRange": null}), "SecurityRuleParametersMissing");
    check(&json!({"sourceAddressPrefixes": null}), "SecurityRuleParametersMissing");
    check(&json!({"sourceAddressPrefixes": []}), "SecurityRuleParametersMissing");
    check(&json!({"destinationAddressPrefix": null}), "SecurityRuleParametersMissing");
}

#[test]
fn words_are_shown_in_one_case() {
    let rig = Rig::new();
    let mut body = body(200);
    body["properties"]["protocol"] = json!("TCP");
    body["properties"]["direction"] = json!("inbound");
    let shown = rig.put_rule("ours", body).expect(201).body;
    assert_eq!(
        (&shown["properties"]["protocol"], &shown["properties"]["direction"]),
        (&json!("Tcp"), &json!("Inbound"))
    );
}

#[test]
fn a_description_has_140_characters() {
    check(&json!({"description": "ä".repeat(140)}), "");
    check(&json!({"description": "ä".repeat(141)}), "SecurityRuleInvalidDescription");
}

#[test]
fn ports_are_ports() {
    for (port, expect) in
        [("0", ""), ("65535", ""), ("1-2", ""), ("*", ""), ("65536", "x"), ("2-1", "x"), ("80,81", "x"), ("http", "x")]
    {
        check(
            &json!({"destinationPortRange": port}),
            if expect.is_empty() { "" } else { "SecurityRuleInvalidPortRange" },
        );
    }
    check(&json!({"destinationPortRange": null, "destinationPortRanges": ["80", "8000-8443"]}), "");
    let list = json!({"destinationPortRange": null, "destinationPortRanges": ["80", "*"]});
    check(&list, "SecurityRuleParameterContainsInvalidPortRanges");
    check(&json!({"destinationPortRanges": ["80"]}), "SecurityRuleParametersConflict");
}

#[test]
fn addresses_are_prefixes() {
    for (prefix, expect) in
        [("192.0.2.0/24", ""), ("192.0.2.7", ""), ("192.0.2.7/24", "x"), ("192.0.2.0/33", "x"), ("NoSuchTag", "x")]
    {
        let expect = if expect.is_empty() { "" } else { "SecurityRuleInvalidAddressPrefix" };
        check(&json!({"sourceAddressPrefixes": [prefix]}), expect);
    }
}

#[test]
fn tags_and_the_star_stand_alone() {
    for value in ["*", "Internet", "AzureActiveDirectory", "Storage.WestEurope"] {
        check(&json!({"sourceAddressPrefixes": null, "sourceAddressPrefix": value}), "");
        check(&json!({"sourceAddressPrefixes": [value]}), "SecurityRuleParameterContainsUnsupportedValue");
        check(
            &json!({"sourceAddressPrefixes": ["192.0.2.0/24", value]}),
            "SecurityRuleParameterContainsUnsupportedValue",
        );
    }
}

#[test]
fn singular_and_plural_never_stand_together() {
    check(&json!({"sourceAddressPrefix": "203.0.113.0/24"}), "SecurityRuleParametersConflict");
    // As the list is shown empty beside a singular value, so it may be sent.
    check(&json!({"sourceAddressPrefixes": [], "sourceAddressPrefix": "203.0.113.0/24"}), "");
    let group = json!([{"id": "/subscriptions/sub/x"}]);
    check(&json!({"sourceApplicationSecurityGroups": group}), "SecurityRuleParametersConflict");
    check(&json!({"sourceAddressPrefixes": null, "sourceApplicationSecurityGroups": group}), "");
    let many: Vec<Value> = (0..11).map(|index| json!({"id": format!("/subscriptions/sub/{index}")})).collect();
    let code = "NumberOfApplicationSecurityGroupsReferencedInSecurityRuleLimitReached";
    check(&json!({"sourceAddressPrefixes": null, "sourceApplicationSecurityGroups": many}), code);
}

#[test]
fn a_rule_holds_one_family() {
    let code = "ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies";
    check(&json!({"sourceAddressPrefixes": ["2001:db8::/48", "2001:db8:1::/48"]}), "");
    check(&json!({"sourceAddressPrefixes": ["192.0.2.0/24", "2001:db8::/48"]}), code);
    check(&json!({"sourceAddressPrefixes": ["192.0.2.0/24"], "destinationAddressPrefix": "2001:db8::/48"}), code);
    check(&json!({"sourceAddressPrefixes": ["192.0.2.0/24"], "destinationAddressPrefix": "203.0.113.0/24"}), "");
}

#[test]
fn prefixes_of_a_rule_do_not_overlap() {
    let code = "OverlappingSubnetsNotPermittedInSecurityRule";
    check(&json!({"sourceAddressPrefixes": ["192.0.2.0/25", "192.0.2.128/25"]}), "");
    check(&json!({"sourceAddressPrefixes": ["192.0.2.128/25", "198.51.100.0/24", "192.0.2.0/24"]}), code);
    check(&json!({"sourceAddressPrefixes": ["192.0.2.0/25", "192.0.2.0/25"]}), code);
    check(&json!({"sourceAddressPrefixes": ["192.0.2.0-192.0.2.9", "192.0.2.9"]}), code);
    // Of two rules they may.
    let rig = Rig::new();
    rig.put_rule_whole("one", body(200));
    rig.put_rule_whole("two", body(201));
}

#[test]
fn names_are_names() {
    let rig = Rig::new();
    let long = "n".repeat(80);
    for (name, taken) in [
        ("a", true),
        (long.as_str(), true),
        ("a_", true),
        ("a.b-c", true),
        ("a.", false),
        ("_a", false),
        ("a+b", false),
    ] {
        let reply = rig.put_rule(name, body(200));
        assert_eq!(reply.code() != "InvalidResourceName", taken, "{name}");
        rig.arm.edit(|network| network.delete_rule(&crate::support::hub(), name));
        rig.arm.edit(|network| network.put_nsg(&crate::support::hub(), Vec::new()));
    }
    rig.put_rule(&"n".repeat(81), body(200)).expect_error(400, "InvalidResourceName");
}

#[test]
fn priorities_are_unique_in_each_direction() {
    let rig = Rig::new();
    rig.put_rule_whole("one", body(200));
    rig.put_rule("two", body(200)).expect_error(400, "SecurityRuleConflict");
    let mut outbound = body(200);
    outbound["properties"]["direction"] = json!("Outbound");
    rig.put_rule_whole("two", outbound);
    // A rule is no conflict with itself.
    let mut wider = body(200);
    wider["properties"]["sourceAddressPrefixes"] = json!(["192.0.2.0/24"]);
    rig.put_rule_whole("one", wider);
}

#[test]
fn a_group_has_1000_rules() {
    let rig = Rig::new();
    rig.arm.put_nsg("sub", "net", "hub", foreign(999));
    rig.put_rule_whole("the-1000th", body(200));
    rig.put_rule("the-1001st", body(201)).expect_error(400, "SecurityRuleCountLimitReached");
    // Replacing one of them is no matter of the limit.
    rig.put_rule_whole("the-1000th", body(202));
}

#[test]
fn all_rules_together_have_4000_prefixes_a_side() {
    let prefixes = |from: u32, count: u32| -> Vec<String> {
        (from..from + count)
            .map(|index| format!("10.{}.{}.{}/32", index >> 16, (index >> 8) & 255, index & 255))
            .collect()
    };
    let rig = Rig::new();
    let theirs = prefixes(0, 2500);
    let theirs: Vec<&str> = theirs.iter().map(String::as_str).collect();
    let one = Rule::inbound("one-address", "Allow", 1001, &["203.0.113.7"], "443");
    rig.arm.put_nsg("sub", "net", "hub", vec![Rule::inbound("theirs", "Deny", 1000, &theirs, "443"), one]);
    let mut ours = body(200);
    ours["properties"]["sourceAddressPrefixes"] = json!(prefixes(100_000, 1500));
    let refused = rig.put_rule("ours", ours.clone());
    refused.expect_error(400, "SecurityRuleAddressesOrPortsPerSecurityGroupLimitReached");
    assert!(
        refused.body["error"]["message"].as_str().unwrap().contains("has 4001 SourceAddressPrefixes"),
        "{}",
        refused.body
    );
    // Destinations have a limit of their own.
    ours["properties"]["sourceAddressPrefixes"] = json!(prefixes(100_000, 1499));
    ours["properties"].as_object_mut().unwrap().remove("destinationAddressPrefix");
    ours["properties"]["destinationAddressPrefixes"] = json!(prefixes(200_000, 4000));
    rig.put_rule_whole("ours", ours.clone());
    ours["properties"]["destinationAddressPrefixes"] = json!(prefixes(200_000, 4001));
    rig.put_rule("ours", ours).expect_error(400, "SecurityRuleAddressesOrPortsPerSecurityGroupLimitReached");
}

#[test]
fn limits_may_be_set_lower() {
    let rig = Rig::with(Behaviour { max_rules: 1, max_prefixes: 2, ..Behaviour::default() });
    rig.put_rule_whole("ours", body(200));
    rig.put_rule("two", body(201)).expect_error(400, "SecurityRuleCountLimitReached");
    let mut more = body(200);
    more["properties"]["sourceAddressPrefixes"] = json!(["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    rig.put_rule("ours", more).expect_error(400, "SecurityRuleAddressesOrPortsPerSecurityGroupLimitReached");
}

#[test]
fn unknown_fields_are_kept() {
    let rig = Rig::new();
    let mut body = body(200);
    body["properties"]["fieldOfTomorrow"] = json!({"deep": [1, 2]});
    rig.put_rule_whole("ours", body);
    let shown = rig.get(&crate::support::rule_path("OURS")).expect(200).body;
    assert_eq!(shown["properties"]["fieldOfTomorrow"], json!({"deep": [1, 2]}));
    assert_eq!(shown["name"], json!("ours"));
}

#[test]
#[should_panic(expected = "would be refused")]
fn a_test_cannot_put_what_azure_refuses() {
    let rig = Rig::new();
    rig.arm.put_nsg("sub", "net", "hub", vec![Rule::inbound("bad", "Allow", 99, &["*"], "443")]);
}
