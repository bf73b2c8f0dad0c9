//! Long-running operations.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::api_version::ApiVersion;
use crate::network::NsgName;
use crate::rule::Rule;

/// An operation on an NSG, under way or ended.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) location: String,
    pub(crate) nsg: NsgName,
    pub(crate) version: ApiVersion,
    /// How often it is still in progress.
    pub(crate) remaining: u32,
    pub(crate) what: What,
    /// How it is to end, where it is to fail.
    pub(crate) failure: Option<Failure>,
    pub(crate) ended: bool,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    PutGroup,
    DeleteGroup,
    PutRule(String),
    DeleteRule,
}

/// An operation that fails, and what was there before.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
    /// What the group is set back to; None leaves it as asked for.
    pub(crate) before: Option<Before>,
}

#[derive(Clone, Debug)]
pub(crate) struct Before {
    pub(crate) rules: Vec<Arc<Rule>>,
    pub(crate) properties: Map<String, Value>,
}

impl Operation {
    /// The path and query to poll. `kind` is `operations` or `operationResults`.
    pub(crate) fn address(&self, kind: &str) -> String {
        let (subscription, location, id, version) =
            (&self.nsg.subscription, &self.location, &self.id, self.version.as_str());
        let signature = if self.version.signs_operations() { format!("&{}", self.signature()) } else { String::new() };
        format!(
            "/subscriptions/{subscription}/providers/Microsoft.Network/locations/{location}/{kind}/{id}\
             ?api-version={version}{signature}"
        )
    }

    /// Looks as ARM's does: a time, a certificate, a signature and a hash. Who alters it is not answered.
    pub(crate) fn signature(&self) -> String {
        let seed: String = self.id.chars().filter(char::is_ascii_alphanumeric).collect();
        format!("t=6389{seed}&c=MIIH{seed}&s=Zm9y{seed}-_&h=dGhl{seed}")
    }

    /// The body of a poll.
    pub(crate) fn status(&self) -> Value {
        match &self.failure {
            _ if !self.ended => json!({"status": "InProgress"}),
            None => json!({"status": "Succeeded"}),
            Some(Failure { code, message, .. }) => {
                json!({"status": "Failed", "error": {"code": code, "message": message, "details": []}})
            }
        }
    }
}
