//! Tokens, and who may do what.

use std::time::Duration;

use serde_json::json;
use tagwall_fake_arm::Behaviour;

use crate::support::{GROUP, Rig, body};

const TOKEN: &str = "/tenant/oauth2/v2.0/token";

#[track_caller]
fn check(behaviour: Behaviour, changes: &[(&str, &str)], expect: Result<(), i64>) {
    let rig = Rig::with(behaviour);
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_id", "me"),
        ("client_secret", "right"),
        ("scope", "https://management.azure.com/.default"),
    ];
    for (field, value) in changes {
        form.retain(|(other, _)| other != field);
        if !value.is_empty() {
            form.push((field, value));
        }
    }
    let reply = rig.post_form(TOKEN, &form);
    if let Err(code) = expect {
        assert_eq!(reply.body["error_codes"], json!([code]), "{}", reply.body);
        assert!([400, 401].contains(&reply.status));
        return;
    }
    let reply = reply.expect(200);
    assert_eq!((&reply.body["token_type"], &reply.body["expires_in"]), (&json!("Bearer"), &json!(3599)));
    let bearer = format!("Bearer {}", reply.body["access_token"].as_str().unwrap());
    rig.try_call("GET", GROUP, &[("authorization", &bearer)], None).unwrap().expect(200);
}

fn of(client_secret: &str) -> Behaviour {
    Behaviour { client_secret: Some(client_secret.to_owned()), ..Behaviour::default() }
}

#[test]
fn a_client_gets_a_token_for_its_secret() {
    check(Behaviour::default(), &[], Ok(()));
    check(of("right"), &[], Ok(()));
    check(of("other"), &[], Err(7_000_215));
    check(Behaviour::default(), &[("client_secret", "")], Err(7_000_215));
    check(Behaviour::default(), &[("client_id", "")], Err(700_016));
    check(Behaviour { client_id: Some("you".to_owned()), ..Behaviour::default() }, &[], Err(700_016));
    check(Behaviour { tenant: Some("other".to_owned()), ..Behaviour::default() }, &[], Err(90_002));
    check(Behaviour::default(), &[("scope", "https://management.azure.com")], Err(1_002_012));
    check(Behaviour::default(), &[("grant_type", "password")], Err(70_003));
}

#[test]
fn a_client_gets_a_token_for_its_assertion() {
    let kind = ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let given = [("client_secret", ""), ("client_assertion", "jwt"), kind];
    let behaviour =
        |assertion: &str| Behaviour { client_assertion: Some(assertion.to_owned()), ..Behaviour::default() };
    check(behaviour("jwt"), &given, Ok(()));
    check(behaviour("other"), &given, Err(700_211));
    check(behaviour("jwt"), &given[..2], Err(700_211));
}

#[test]
fn calls_need_a_token() {
    let rig = Rig::new();
    let reply = rig.try_call("GET", GROUP, &[("authorization", "Bearer none")], None).unwrap();
    reply.expect_error(401, "InvalidAuthenticationToken");
    assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer "));
    let reply = rig.try_call("GET", GROUP, &[("authorization", "")], None).unwrap();
    reply.expect_error(401, "InvalidAuthenticationToken");
    rig.arm.set(Behaviour { require_token: false, ..Behaviour::default() });
    rig.try_call("GET", GROUP, &[("authorization", "Bearer none")], None).unwrap().expect(200);
}

#[test]
fn a_token_expires_by_the_fakes_clock() {
    let rig = Rig::with(Behaviour { frozen_clock: true, ..Behaviour::default() });
    rig.arm.advance(Duration::from_secs(3599));
    rig.get(GROUP).expect(200);
    rig.arm.advance(Duration::from_secs(1));
    rig.get(GROUP).expect_error(401, "ExpiredAuthenticationToken");
}

#[test]
fn a_token_of_another_audience_is_refused() {
    let rig =
        Rig::with(Behaviour { audience: Some("https://management.azure.com".to_owned()), ..Behaviour::default() });
    for (scope, status) in
        [("https://management.azure.com/.default", 200), ("https://graph.microsoft.com/.default", 401)]
    {
        let form =
            [("grant_type", "client_credentials"), ("client_id", "me"), ("client_secret", "s"), ("scope", scope)];
        let token = rig.post_form(TOKEN, &form).expect(200).body["access_token"].clone();
        let bearer = format!("Bearer {}", token.as_str().unwrap());
        rig.try_call("GET", GROUP, &[("authorization", &bearer)], None).unwrap().expect(status);
    }
}

#[test]
fn a_managed_identity_gets_a_token() {
    let rig = Rig::with(Behaviour { identity_header: Some("hush".to_owned()), ..Behaviour::default() });
    let query = "api-version=2019-08-01&resource=https%3A%2F%2Fmanagement.azure.com";
    let address = format!("{}?{query}", rig.arm.identity_endpoint());
    rig.try_call("GET", &address, &[], None).unwrap().expect(401);
    let reply = rig.try_call("GET", &address, &[("x-identity-header", "hush")], None).unwrap().expect(200);
    assert_eq!(reply.body["resource"], json!("https://management.azure.com"));
    // azure_identity reads a string of seconds.
    assert!(reply.body["expires_on"].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000);
    let bearer = format!("Bearer {}", reply.body["access_token"].as_str().unwrap());
    rig.try_call("GET", GROUP, &[("authorization", &bearer)], None).unwrap().expect(200);

    rig.arm.set(Behaviour::default());
    let machine =
        format!("{}?{query}", rig.arm.identity_endpoint().replace("/msi/token", "/metadata/identity/oauth2/token"));
    rig.try_call("GET", &machine, &[], None).unwrap().expect(400);
    rig.try_call("GET", &machine, &[("metadata", "true")], None).unwrap().expect(200);
}

#[test]
fn a_workflow_gets_an_assertion() {
    let rig = Rig::new();
    let reply = rig.get("/github/token?audience=api%3A%2F%2FAzureADTokenExchange").expect(200);
    assert!(reply.body["value"].is_string());
}

#[test]
fn nothing_but_managed_identities_answers_in_the_clear() {
    let rig = Rig::new();
    let plain = rig.arm.url().replace("https", "http");
    rig.get(&format!("{plain}{GROUP}")).expect_error(403, "HttpsRequired");
}

#[test]
fn discovery_documents_name_this_host() {
    let rig = Rig::new();
    let url = rig.arm.url();
    let document = rig.get("/tenant/v2.0/.well-known/openid-configuration").expect(200).body;
    assert_eq!(document["token_endpoint"], json!(format!("{url}{TOKEN}")));
    let query = format!("api-version=1.1&authorization_endpoint={url}/tenant/oauth2/v2.0/authorize");
    let instance = rig.get(&format!("/common/discovery/instance?{query}")).expect(200).body;
    let expect = format!("{url}/tenant/v2.0/.well-known/openid-configuration");
    assert_eq!(instance["tenant_discovery_endpoint"], json!(expect));
}

#[test]
fn a_role_allows_its_actions() {
    let read = "Microsoft.Network/networkSecurityGroups/read".to_owned();
    let rig = Rig::with(Behaviour { allowed_actions: Some(vec![read]), ..Behaviour::default() });
    rig.get(GROUP).expect(200);
    let refused = rig.put_rule("ours", body(200));
    refused.expect_error(403, "AuthorizationFailed");
    let action = "'Microsoft.Network/networkSecurityGroups/securityRules/write'";
    assert!(refused.body["error"]["message"].as_str().unwrap().contains(action));
    let rules = "Microsoft.Network/networkSecurityGroups/securityRules/*".to_owned();
    rig.arm.set(Behaviour { allowed_actions: Some(vec![rules]), ..Behaviour::default() });
    let reply = rig.put_rule("ours", body(200)).expect(201);
    rig.get(&reply.operation()).expect_error(403, "AuthorizationFailed");
}
