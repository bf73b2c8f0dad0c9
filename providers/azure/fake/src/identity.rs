//! Tokens: Entra ID's end point, managed identities, and GitHub's, as azure_identity 1.0 and MSAL ask for them.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::world::World;

/// The tokens that were given.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    given: HashMap<String, Token>,
    count: u64,
}

#[derive(Debug)]
struct Token {
    expires: Duration,
    audience: Option<String>,
}

impl Tokens {
    pub(crate) fn issue(&mut self, expires: Duration, audience: Option<String>) -> String {
        self.count += 1;
        let token = format!("fake-token-{}", self.count);
        self.given.insert(token.clone(), Token { expires, audience });
        token
    }

    pub(crate) fn expire_all(&mut self) {
        for token in self.given.values_mut() {
            token.expires = Duration::ZERO;
        }
    }

    /// Whether a call bears a token that is good.
    pub(crate) fn check(&self, call: &Call, now: Duration, audience: Option<&str>) -> Result<(), Answer> {
        let Some(header) = call.header("authorization") else {
            let text = "Authentication failed. The 'Authorization' header is missing.";
            return Err(unauthorized("AuthenticationFailed", text));
        };
        let token = header.strip_prefix("Bearer ").and_then(|token| self.given.get(token));
        let Some(token) = token else {
            return Err(unauthorized("InvalidAuthenticationToken", "The access token is invalid."));
        };
        if token.expires <= now {
            let (expiry, now) = (token.expires.as_secs(), now.as_secs());
            let text = format!("The access token expiry UTC time '{expiry}' is earlier than current UTC time '{now}'.");
            return Err(unauthorized("ExpiredAuthenticationToken", &text));
        }
        if let (Some(wanted), Some(given)) = (audience, &token.audience)
            && wanted.trim_end_matches('/') != given.trim_end_matches('/')
        {
            let text = format!("The access token has been obtained for wrong audience or resource '{given}'.");
            return Err(unauthorized("InvalidAuthenticationTokenAudience", &text));
        }
        Ok(())
    }
}

fn unauthorized(code: &str, text: &str) -> Answer {
    let challenge = "Bearer authorization_uri=\"https://login.microsoftonline.com/\", error=\"invalid_token\"";
    Answer::gateway_error(401, code, text)
        .with("WWW-Authenticate", format!("{challenge}, error_description=\"{text}\""))
}

/// The answer to a call for a token, or None where it is no such call.
pub(crate) fn answer(world: &mut World, call: &Call) -> Option<Answer> {
    let parts: Vec<&str> = call.path.split('/').skip(1).collect();
    let answer = match (call.method.as_str(), parts.as_slice()) {
        ("POST", [tenant, "oauth2", "v2.0", "token"]) if call.secure => token(world, call, tenant),
        ("GET", [tenant, "v2.0", ".well-known", "openid-configuration"]) => openid(&world.url(), tenant),
        ("GET", ["common", "discovery", "instance"]) => discovery(&world.url(), call),
        ("GET", ["msi", "token"] | ["metadata", "identity", "oauth2", "token"]) => managed(world, call),
        ("GET", ["github", "token"]) => Answer::json(200, json!({"count": 1, "value": "fake-github-assertion"})),
        _ => return None,
    };
    Some(answer)
}

fn token(world: &mut World, call: &Call, tenant: &str) -> Answer {
    let behaviour = world.behaviour().clone();
    let form = |name: &str| call.form_value(name).unwrap_or_default();
    let (secret, assertion) = (form("client_secret"), form("client_assertion"));
    let differs = |wanted: &Option<String>, given: &str| wanted.as_ref().is_some_and(|wanted| wanted != given);
    if differs(&behaviour.tenant, tenant) {
        return entra_error(
            400,
            "invalid_request",
            90002,
            "Tenant not found. Check to make sure you have the correct tenant ID.",
        );
    }
    if form("grant_type") != "client_credentials" {
        return entra_error(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.");
    }
    if differs(&behaviour.client_id, &form("client_id")) || form("client_id").is_empty() {
        return entra_error(400, "unauthorized_client", 700_016, "Application was not found in the directory.");
    }
    let assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    if assertion.is_empty() {
        if secret.is_empty() || differs(&behaviour.client_secret, &secret) {
            return entra_error(401, "invalid_client", 7_000_215, "Invalid client secret provided.");
        }
    } else if form("client_assertion_type") != assertion_type || differs(&behaviour.client_assertion, &assertion) {
        return entra_error(401, "invalid_client", 700_211, "No matching federated identity record found.");
    }
    let Some(audience) = form("scope").strip_suffix("/.default").map(str::to_owned) else {
        return entra_error(400, "invalid_scope", 1_002_012, "The provided value for scope is not valid.");
    };
    let lifetime = behaviour.token_lifetime;
    let token = world.issue_token(Duration::from_secs(lifetime), Some(audience));
    Answer::json(
        200,
        json!({"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token}),
    )
}

fn entra_error(status: u16, error: &str, code: u32, text: &str) -> Answer {
    Answer::json(
        status,
        json!({
            "error": error, "error_description": format!("AADSTS{code}: {text}"), "error_codes": [code],
            "timestamp": "2026-01-01 00:00:00Z", "trace_id": "00000000-0000-0000-0000-000000000000",
            "correlation_id": "00000000-0000-0000-0000-000000000000",
        }),
    )
}

fn managed(world: &mut World, call: &Call) -> Answer {
    let refused =
        |status, text: &str| Answer::json(status, json!({"error": "invalid_request", "error_description": text}));
    if call.path.starts_with("/metadata/") && call.header("metadata") != Some("true") {
        return refused(400, "Required metadata header not specified");
    }
    let wanted = world.behaviour().identity_header.clone();
    if wanted.is_some() && wanted.as_deref() != call.header("x-identity-header") {
        return refused(401, "The X-IDENTITY-HEADER is not right");
    }
    let (Some(resource), Some(_)) = (call.query_value("resource"), call.query_value("api-version")) else {
        return refused(400, "resource and api-version are needed");
    };
    let lifetime = world.behaviour().token_lifetime;
    let expires = world.clock.now().as_secs() + lifetime;
    let token = world.issue_token(Duration::from_secs(lifetime), Some(resource.clone()));
    let identity = call.query_value("client_id").unwrap_or_else(|| "00000000-0000-0000-0000-000000000000".to_owned());
    Answer::json(
        200,
        json!({
            "access_token": token, "expires_on": expires.to_string(), "resource": resource, "token_type": "Bearer",
            "client_id": identity,
        }),
    )
}

fn openid(url: &str, tenant: &str) -> Answer {
    Answer::json(200, endpoints(url, tenant))
}

fn endpoints(url: &str, tenant: &str) -> Value {
    json!({
        "token_endpoint": format!("{url}/{tenant}/oauth2/v2.0/token"),
        "authorization_endpoint": format!("{url}/{tenant}/oauth2/v2.0/authorize"),
        "device_authorization_endpoint": format!("{url}/{tenant}/oauth2/v2.0/devicecode"),
        "issuer": format!("{url}/{tenant}/v2.0"), "jwks_uri": format!("{url}/{tenant}/discovery/v2.0/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
    })
}

fn discovery(url: &str, call: &Call) -> Answer {
    let asked = call.query_value("authorization_endpoint").unwrap_or_default();
    let tenant = asked.split('/').nth(3).unwrap_or("common").to_owned();
    let host = url.trim_start_matches("https://");
    Answer::json(
        200,
        json!({
            "tenant_discovery_endpoint": format!("{url}/{tenant}/v2.0/.well-known/openid-configuration"),
            "api-version": "1.1",
            "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
        }),
    )
}
