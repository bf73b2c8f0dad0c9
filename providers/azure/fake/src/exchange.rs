//! The log.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::form_urlencoded;

use crate::answer::Answer;
use crate::call::Call;

/// A request and its answer. Secrets are replaced before they get here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// `GET`, `PUT`, `PATCH`, `POST` or `DELETE`.
    pub method: String,
    /// As sent, without the query.
    pub path: String,
    /// As sent, without the question mark.
    pub query: String,
    /// Names are in lower case.
    pub request_headers: Vec<(String, String)>,
    /// JSON as it is, anything else as a string.
    pub request_body: Option<Value>,
    /// The permission that it took, such as `Microsoft.Network/networkSecurityGroups/read`.
    pub action: Option<String>,
    /// None where no answer was sent, or none that is whole.
    pub status: Option<u16>,
    /// Without the length, in the order sent.
    pub response_headers: Vec<(String, String)>,
    /// JSON as it is, anything else as a string.
    pub response_body: Option<Value>,
    /// The faults that were applied, by name.
    pub faults: Vec<String>,
}

impl Exchange {
    pub(crate) fn new(call: &Call, action: Option<String>, answer: Option<&Answer>, faults: Vec<String>) -> Self {
        let headers = call.headers.iter().map(|(name, value)| (name.to_lowercase(), without_secret(name, value)));
        Self {
            method: call.method.clone(),
            path: call.path.clone(),
            query: call.query.clone(),
            request_headers: headers.collect(),
            request_body: request_body(call),
            action,
            status: answer.map(|answer| answer.status),
            response_headers: answer.map_or_else(Vec::new, |answer| answer.headers.clone()),
            response_body: answer.and_then(|answer| answer.body.logged()).map(without_token),
            faults,
        }
    }

    /// The value of a request's header.
    pub fn request_header(&self, name: &str) -> Option<&str> {
        find(&self.request_headers, name)
    }

    /// The value of an answer's header.
    pub fn response_header(&self, name: &str) -> Option<&str> {
        find(&self.response_headers, name)
    }

    /// Whether the call asked for a change.
    pub fn is_write(&self) -> bool {
        self.method != "GET" && self.path.to_lowercase().starts_with("/subscriptions/")
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

const HIDDEN: &str = "REDACTED";

fn without_secret(name: &str, value: &str) -> String {
    let secret = ["authorization", "x-identity-header", "cookie"].iter().any(|other| name.eq_ignore_ascii_case(other));
    if !secret {
        return value.to_owned();
    }
    match value.split_once(' ') {
        Some((scheme, _)) => format!("{scheme} {HIDDEN}"),
        None => HIDDEN.to_owned(),
    }
}

fn request_body(call: &Call) -> Option<Value> {
    if call.body.is_empty() {
        return None;
    }
    if let Some(body) = call.json() {
        return Some(body);
    }
    let is_form = call.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    if !is_form {
        return Some(Value::String(String::from_utf8_lossy(&call.body).into_owned()));
    }
    let pairs = form_urlencoded::parse(&call.body).map(|(name, value)| {
        let secret = ["client_secret", "client_assertion"].contains(&name.as_ref());
        let value = if secret { HIDDEN.to_owned() } else { value.into_owned() };
        (name.into_owned(), Value::String(value))
    });
    Some(Value::Object(pairs.collect()))
}

fn without_token(mut body: Value) -> Value {
    if let Some(token) = body.get_mut("access_token") {
        *token = Value::String(HIDDEN.to_owned());
    }
    body
}
