//! Each fault, and that it strikes no other call.

use std::time::Duration;

use serde_json::json;
use tagwall_fake_arm::{Edit, Fault, FaultKind, Rule};

use crate::support::{GROUP, Rig, body, hub, rule_path};

/// The first PUT of a rule meets the fault, the second does not.
#[track_caller]
fn check(kind: FaultKind, status: u16, code: &str, retry_after: Option<&str>) {
    let rig = Rig::new();
    rig.arm.fault(Fault::new("PUT", "securityRules", kind));
    // Reads do not meet it.
    rig.get(GROUP).expect(200);
    let reply = rig.put_rule("ours", body(200));
    reply.expect_error(status, code);
    assert_eq!(reply.header("retry-after"), retry_after);
    rig.get(&rule_path("ours")).expect(404);
    rig.put_rule("ours", body(200)).expect(201);
    assert_eq!(rig.arm.faults_left(), 0);
}

#[test]
fn errors_are_answered() {
    check(FaultKind::another_operation(), 409, "AnotherOperationInProgress", None);
    check(FaultKind::throttled(Some(17)), 429, "SubscriptionRequestsThrottled", Some("17"));
    check(FaultKind::throttled(None), 429, "SubscriptionRequestsThrottled", None);
    check(FaultKind::retryable(None), 429, "RetryableError", None);
    check(FaultKind::precondition_failed(), 412, "PreconditionFailed", None);
    check(FaultKind::internal(), 500, "InternalServerError", None);
    check(FaultKind::unavailable(Some(1)), 503, "ServiceUnavailable", Some("1"));
    check(FaultKind::status(403, "AuthorizationFailed", "no", None), 403, "AuthorizationFailed", None);
    check(FaultKind::Html(502), 502, "", None);
    check(FaultKind::status(504, "", "", None), 504, "", None);
}

#[test]
fn the_nth_call_is_struck() {
    let rig = Rig::new();
    rig.arm.fault(Fault::new("GET", "networkSecurityGroups", FaultKind::internal()).nth(2).times(2));
    let statuses: Vec<u16> = (0..5).map(|_| rig.get(GROUP).status).collect();
    assert_eq!(statuses, [200, 500, 500, 200, 200]);
    assert_eq!(rig.arm.faults_left(), 0);
    rig.arm.fault(Fault::new("", "", FaultKind::internal()).always());
    assert_eq!((rig.get(GROUP).status, rig.put_rule("ours", body(200)).status), (500, 500));
    rig.arm.clear_faults();
    rig.get(GROUP).expect(200);
}

#[test]
fn a_fault_that_never_struck_is_left() {
    let rig = Rig::new();
    rig.arm.fault(Fault::new("PUT", "", FaultKind::internal()));
    rig.get(GROUP).expect(200);
    assert_eq!(rig.arm.faults_left(), 1);
}

#[test]
fn a_connection_is_cut() {
    for (kind, done) in [(FaultKind::CutBefore, false), (FaultKind::CutAfter, true), (FaultKind::CutMiddle, true)] {
        let rig = Rig::new();
        rig.arm.fault(Fault::new("PUT", "", kind));
        let failed = rig.try_call("PUT", &rule_path("ours"), &[], Some(body(200))).unwrap_err();
        assert!(!failed.is_status(), "{failed:?}");
        assert_eq!(rig.get(&rule_path("ours")).status == 200, done);
        let exchanges = rig.arm.exchanges();
        assert_eq!((exchanges[0].method.as_str(), exchanges[0].status), ("PUT", None));
        assert_eq!(exchanges[0].faults.len(), 1);
        assert_eq!(exchanges[1].status, Some(if done { 200 } else { 404 }));
    }
}

#[test]
fn an_answer_never_comes() {
    for (kind, done) in [(FaultKind::HangBefore, false), (FaultKind::HangAfter, true)] {
        let rig = Rig::new();
        rig.arm.fault(Fault::new("PUT", "", kind));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build().unwrap();
        let roots = reqwest::Certificate::from_pem_bundle(rig.arm.ca_pem().as_bytes()).unwrap();
        let http = reqwest::Client::builder().tls_certs_only(roots).build().unwrap();
        let url = format!("{}{}?api-version=2024-03-01", rig.arm.url(), rule_path("ours"));
        let request = http.put(url).bearer_auth(&rig.token).header("content-type", "application/json");
        let waiting = runtime.spawn(request.body(body(200).to_string()).send());
        // The log tells when it has come, which is what a test waits for before it kills its client.
        while rig.arm.exchanges().is_empty() {
            std::thread::yield_now();
        }
        assert!(!waiting.is_finished());
        waiting.abort();
        assert_eq!(rig.get(&rule_path("ours")).status == 200, done);
    }
}

#[test]
fn answers_are_delayed() {
    let rig = Rig::new();
    rig.arm.fault(Fault::new("GET", "", FaultKind::Delay(30)));
    rig.arm.fault(Fault::new("GET", "", FaultKind::DelayAnswer(30)));
    let began = std::time::Instant::now();
    rig.get(GROUP).expect(200);
    assert!(began.elapsed() >= Duration::from_millis(60));
}

#[test]
fn tokens_expire_in_the_middle() {
    let rig = Rig::new();
    rig.arm.fault(Fault::new("PUT", "", FaultKind::ExpireTokens));
    rig.get(GROUP).expect(200);
    rig.put_rule("ours", body(200)).expect_error(401, "ExpiredAuthenticationToken");
    rig.get(GROUP).expect_error(401, "ExpiredAuthenticationToken");
    let fresh = format!("Bearer {}", rig.arm.token(Duration::from_mins(1)));
    rig.try_call("GET", GROUP, &[("authorization", &fresh)], None).unwrap().expect(200);
}

#[test]
fn a_third_party_edits_between_read_and_write() {
    let rig = Rig::new();
    let rule = Rule::inbound("theirs", "Deny", 300, &["*"], "443");
    let edit = Edit::PutRule { nsg: hub(), rule };
    rig.arm.fault(Fault::new("GET", "networkSecurityGroups/hub", FaultKind::After(edit)));
    let rules = |reply: crate::support::Reply| reply.body["properties"]["securityRules"].as_array().unwrap().len();
    assert_eq!(rules(rig.get(GROUP)), 0);
    assert_eq!(rules(rig.get(GROUP)), 1);
    let edit = Edit::call(|network| network.delete_rule(&hub(), "theirs"));
    rig.arm.fault(Fault::new("PUT", "", FaultKind::Before(edit)));
    rig.put_rule("ours", body(300)).expect(201);
    assert_eq!(rules(rig.get(GROUP)), 1);
}

#[test]
fn a_third_party_removes() {
    let rig = Rig::new();
    rig.put_rule_whole("ours", body(200));
    let edit = Edit::DeleteRule { nsg: hub(), rule: "OURS".to_owned() };
    rig.arm.fault(Fault::new("GET", "securityRules/ours", FaultKind::Before(edit)));
    rig.get(&rule_path("ours")).expect_error(404, "NotFound");
    rig.arm.fault(Fault::new("PUT", "securityRules/ours", FaultKind::Before(Edit::DeleteNsg { nsg: hub() })));
    rig.put_rule("ours", body(200)).expect_error(404, "ParentResourceNotFound");
}

#[test]
fn one_operation_may_be_longer_than_others() {
    let rig = Rig::new();
    rig.arm.fault(Fault::new("PUT", "", FaultKind::Polls(5)).nth(2));
    for (priority, expect) in [(200, 1), (201, 5), (202, 1)] {
        assert_eq!(rig.poll(&rig.put_rule("ours", body(priority)).operation()).0, expect);
    }
}

#[test]
fn tokens_may_be_late_too() {
    let rig = Rig::new();
    let form =
        [("grant_type", "client_credentials"), ("client_id", "me"), ("client_secret", "s"), ("scope", "x/.default")];
    // A fault without a path is one of Resource Manager's.
    rig.arm.fault(Fault::new("", "", FaultKind::internal()));
    rig.post_form("/tenant/oauth2/v2.0/token", &form).expect(200);
    rig.arm.fault(Fault::new("POST", "/oauth2/", FaultKind::unavailable(None)));
    rig.post_form("/tenant/oauth2/v2.0/token", &form).expect(503);
    rig.post_form("/tenant/oauth2/v2.0/token", &form).expect(200);
}

#[test]
fn a_read_may_lag() {
    let rig = Rig::new();
    rig.put_rule_whole("ours", body(200));
    rig.arm.fault(Fault::new("GET", "", FaultKind::Stale(2)));
    rig.arm.fault(Fault::new("GET", "securityRules/", FaultKind::Stale(2)).nth(2));
    // Two states ago there was none: one is of the operation, one of its end.
    let stale = rig.get(GROUP).expect(200);
    assert_eq!(stale.body["properties"]["securityRules"], json!([]));
    rig.get(&rule_path("ours")).expect(200);
    rig.get(&rule_path("ours")).expect(404);
    assert_ne!(rig.get(GROUP).etag(), stale.etag());
}

#[test]
fn the_log_has_no_secrets() {
    let rig = Rig::new();
    let form =
        [("grant_type", "client_credentials"), ("client_id", "me"), ("client_secret", "hush"), ("scope", "x/.default")];
    let token = rig.post_form("/tenant/oauth2/v2.0/token", &form).expect(200).body["access_token"].clone();
    let token = token.as_str().unwrap().to_owned();
    rig.try_call("GET", GROUP, &[("authorization", &format!("Bearer {token}"))], None).unwrap().expect(200);
    let log = serde_json::to_string(&rig.arm.exchanges()).unwrap();
    assert!(!log.contains("hush") && !log.contains(&token), "{log}");
    // What is no secret is there.
    assert!(log.contains("\"client_id\":\"me\"") && log.contains("Bearer REDACTED"), "{log}");
    rig.arm.clear_exchanges();
    assert!(rig.arm.exchanges().is_empty());
}

#[test]
fn the_log_tells_everything_in_order() {
    let rig = Rig::new();
    rig.put_rule("ours", body(200)).expect(201);
    rig.get(GROUP).expect(200);
    let exchanges = rig.arm.exchanges();
    let brief: Vec<(&str, bool, Option<&str>)> =
        exchanges.iter().map(|one| (one.method.as_str(), one.is_write(), one.action.as_deref())).collect();
    assert_eq!(
        brief,
        [
            ("PUT", true, Some("Microsoft.Network/networkSecurityGroups/securityRules/write")),
            ("GET", false, Some("Microsoft.Network/networkSecurityGroups/read")),
        ]
    );
    assert_eq!(exchanges[0].request_body, Some(body(200)));
    assert_eq!(exchanges[0].query, "api-version=2024-03-01");
    assert_eq!(exchanges[0].request_header("Content-Type"), Some("application/json"));
    assert!(exchanges[0].response_header("azure-asyncoperation").is_some());
    assert_eq!(exchanges[1].response_body.as_ref().unwrap()["name"], json!("hub"));
}
