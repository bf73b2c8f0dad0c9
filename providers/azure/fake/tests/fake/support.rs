//! A client that knows nothing, and names that every test uses.

use std::time::Duration;

use reqwest::{Certificate, Method};
use serde_json::{Value, json};
use tagwall_fake_arm::{Behaviour, FakeArm, NsgName, Options, Rule};

/// An NSG `hub` without rules, and a client that trusts and may do everything.
pub(crate) struct Rig {
    pub(crate) arm: FakeArm,
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
    pub(crate) token: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Value,
}

impl Reply {
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    #[track_caller]
    pub(crate) fn expect_error(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.body);
    }

    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Where the operation is to be polled.
    #[track_caller]
    pub(crate) fn operation(&self) -> String {
        self.header("azure-asyncoperation").expect("the answer names an operation").to_owned()
    }

    pub(crate) fn etag(&self) -> &str {
        self.body["etag"].as_str().expect("the body has an ETag")
    }
}

pub(crate) const GROUP: &str =
    "/subscriptions/sub/resourceGroups/net/providers/Microsoft.Network/networkSecurityGroups/hub";

pub(crate) fn hub() -> NsgName {
    NsgName::new("sub", "net", "hub")
}

pub(crate) fn rule_path(name: &str) -> String {
    format!("{GROUP}/securityRules/{name}")
}

/// The body of a rule that Azure takes, which tests then break.
pub(crate) fn body(priority: u16) -> Value {
    json!({"properties": {
        "protocol": "Tcp", "access": "Allow", "direction": "Inbound", "priority": priority,
        "sourcePortRange": "*", "destinationPortRange": "8443",
        "sourceAddressPrefixes": ["192.0.2.0/25", "198.51.100.0/24"], "destinationAddressPrefix": "*",
    }})
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(Behaviour::default())
    }

    pub(crate) fn with(behaviour: Behaviour) -> Self {
        let arm = FakeArm::start(Options { behaviour, control: false });
        arm.put_nsg("sub", "net", "hub", Vec::new());
        Self::around(arm)
    }

    pub(crate) fn around(arm: FakeArm) -> Self {
        let roots = Certificate::from_pem_bundle(arm.ca_pem().as_bytes()).unwrap();
        let http = reqwest::Client::builder().tls_certs_only(roots).build().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let token = arm.token(Duration::from_hours(1));
        Self { arm, http, runtime, token }
    }

    /// A call by method and path, or a whole address; the version is added where there is no query.
    pub(crate) fn try_call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> reqwest::Result<Reply> {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.arm.url()) };
        let url = if url.contains('?') { url } else { format!("{url}?api-version=2024-03-01") };
        let mut request = self.http.request(Method::from_bytes(method.as_bytes()).unwrap(), url);
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.bearer_auth(&self.token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        self.runtime.block_on(async {
            let response = request.send().await?;
            let status = response.status().as_u16();
            let text = |value: &reqwest::header::HeaderValue| value.to_str().unwrap().to_owned();
            let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
            let bytes = response.bytes().await?;
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            Ok(Reply { status, headers, body })
        })
    }

    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.try_call(method, path, &[], body).unwrap()
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.call("GET", path, None)
    }

    #[track_caller]
    pub(crate) fn put_rule(&self, name: &str, body: Value) -> Reply {
        self.call("PUT", &rule_path(name), Some(body))
    }

    /// Polls until the operation has ended, and gives how often it was in progress and the last answer.
    #[track_caller]
    pub(crate) fn poll(&self, operation: &str) -> (usize, Reply) {
        for count in 0..100 {
            let reply = self.get(operation).expect(200);
            if reply.body["status"] != json!("InProgress") {
                return (count, reply);
            }
        }
        panic!("the operation never ended")
    }

    /// Puts a rule and waits for its end.
    #[track_caller]
    pub(crate) fn put_rule_whole(&self, name: &str, body: Value) {
        let reply = self.put_rule(name, body);
        assert!([200, 201].contains(&reply.status), "{}", reply.body);
        assert_eq!(self.poll(&reply.operation()).1.body, json!({"status": "Succeeded"}));
    }

    /// A form posted to the token end point.
    pub(crate) fn post_form(&self, path: &str, form: &[(&str, &str)]) -> Reply {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.http.post(format!("{}{path}", self.arm.url()));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            let body = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
            Reply { status, headers: Vec::new(), body }
        })
    }
}

/// Somebody else's rules: `count` of them, each with its own priority from 1000 on.
pub(crate) fn foreign(count: u16) -> Vec<Rule> {
    (0..count)
        .map(|index| Rule::inbound(&format!("other-{index}"), "Allow", 1000 + index, &["Internet"], "443"))
        .collect()
}
