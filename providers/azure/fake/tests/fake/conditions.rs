//! ETags, If-Match, If-None-Match.

use serde_json::json;
use tagwall_fake_arm::Behaviour;

use crate::support::{GROUP, Reply, Rig, body, foreign, rule_path};

fn put_if(rig: &Rig, path: &str, header: (&str, &str), body: serde_json::Value) -> Reply {
    rig.try_call("PUT", path, &[header], Some(body)).unwrap()
}

fn strict() -> Rig {
    Rig::with(Behaviour { if_match_on_rules: true, ..Behaviour::default() })
}

#[test]
fn an_etag_is_new_at_the_start_and_again_at_the_end() {
    let rig = Rig::new();
    let before = rig.get(GROUP).expect(200).etag().to_owned();
    let reply = rig.put_rule("ours", body(200)).expect(201);
    let during = reply.etag().to_owned();
    rig.poll(&reply.operation());
    let after = rig.get(&rule_path("ours")).expect(200);
    assert!(before != during && during != after.etag() && before != after.etag());
    // Of the group and all its rules it is the same.
    let group = rig.get(GROUP).expect(200);
    assert_eq!(group.etag(), after.etag());
    assert_eq!(after.header("etag"), Some(after.etag()));
    // Nothing happened: nothing is new.
    assert_eq!(rig.get(GROUP).expect(200).etag(), after.etag());
}

#[test]
fn a_put_of_the_group_honours_if_match() {
    let rig = Rig::new();
    let etag = rig.get(GROUP).expect(200).etag().to_owned();
    let wanted = json!({"location": "westeurope", "tags": {"a": "b"}});
    let refused = put_if(&rig, GROUP, ("if-match", "invalid"), wanted.clone());
    refused.expect_error(412, "PreconditionFailed");
    let detail = &refused.body["error"]["details"][0];
    assert_eq!(detail["code"], json!("PreconditionFailedEtagMismatch"));
    let text = detail["message"].as_str().unwrap();
    assert_eq!(
        text,
        format!(
            "Etag provided in if-match header W/\"invalid\" does not match etag {etag} of resource {GROUP} in NRP data store."
        )
    );
    let reply = put_if(&rig, GROUP, ("if-match", &etag), wanted.clone()).expect(200);
    rig.poll(&reply.operation());
    // It is the old one now.
    put_if(&rig, GROUP, ("if-match", &etag), wanted.clone()).expect(412);
    put_if(&rig, GROUP, ("if-match", "*"), wanted).expect(200);
}

#[test]
fn a_header_named_etag_is_ignored() {
    let rig = Rig::new();
    put_if(&rig, GROUP, ("etag", "invalid"), json!({"location": "westeurope"})).expect(200);
}

#[test]
fn a_put_of_a_rule_ignores_if_match_unless_told() {
    let rig = Rig::new();
    let reply = put_if(&rig, &rule_path("ours"), ("if-match", "invalid"), body(200)).expect(201);
    rig.poll(&reply.operation());

    let rig = strict();
    put_if(&rig, &rule_path("ours"), ("if-match", "invalid"), body(200)).expect_error(412, "PreconditionFailed");
    // There is nothing yet that could match.
    let etag = rig.get(GROUP).expect(200).etag().to_owned();
    put_if(&rig, &rule_path("ours"), ("if-match", &etag), body(200)).expect(412);
    rig.put_rule_whole("ours", body(200));
    let etag = rig.get(&rule_path("ours")).expect(200).etag().to_owned();
    put_if(&rig, &rule_path("ours"), ("if-match", &etag), body(201)).expect(200);
}

#[test]
fn a_third_partys_edit_makes_the_etag_an_old_one() {
    let rig = strict();
    rig.put_rule_whole("ours", body(200));
    let etag = rig.get(&rule_path("ours")).expect(200).etag().to_owned();
    rig.arm.edit(|network| network.put_rule(&crate::support::hub(), foreign(1).remove(0)));
    put_if(&rig, &rule_path("ours"), ("if-match", &etag), body(201)).expect(412);
    let refused = rig.try_call("DELETE", &rule_path("ours"), &[("if-match", &etag)], None).unwrap();
    refused.expect_error(412, "PreconditionFailed");
}

#[test]
fn if_none_match_makes_only_new_ones() {
    let rig = strict();
    let reply = put_if(&rig, &rule_path("ours"), ("if-none-match", "*"), body(200)).expect(201);
    rig.poll(&reply.operation());
    put_if(&rig, &rule_path("ours"), ("if-none-match", "*"), body(201)).expect(412);
}
