//! One NSG.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::api_version::ApiVersion;
use crate::network::{NsgName, Snapshot};
use crate::operation::{Before, Operation};
use crate::render::{self, Frame};
use crate::rule::Rule;

/// An NSG.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) name: NsgName,
    pub(crate) location: String,
    pub(crate) tags: Option<Value>,
    pub(crate) guid: String,
    /// What of the properties this fake does not know.
    pub(crate) properties: Map<String, Value>,
    pub(crate) now: Snapshot,
    /// The operation under way.
    pub(crate) operation: Option<Operation>,
}

/// Fields of an NSG's properties that only Azure writes, and the rules, which are kept apart.
const NOT_SENT: [&str; 7] = [
    "provisioningState",
    "resourceGuid",
    "securityRules",
    "defaultSecurityRules",
    "networkInterfaces",
    "subnets",
    "flowLogs",
];

impl Group {
    /// Whether its last operation came to nothing. A PUT of what is there is no repetition then, but another attempt.
    pub(crate) fn has_failed(&self) -> bool {
        self.now.provisioning_state == "Failed"
    }

    pub(crate) fn render(&self, version: &ApiVersion) -> Value {
        self.render_as(&self.now, version)
    }

    /// As it was.
    pub(crate) fn render_as(&self, snapshot: &Snapshot, version: &ApiVersion) -> Value {
        let frame = Frame {
            name: &self.name,
            location: &self.location,
            tags: self.tags.as_ref(),
            guid: &self.guid,
            properties: &self.properties,
        };
        render::group(&frame, snapshot, version)
    }

    pub(crate) fn render_rule(&self, rule: &Rule, snapshot: &Snapshot, version: &ApiVersion) -> Value {
        render::rule(&self.name, rule, snapshot, version)
    }

    pub(crate) fn before(&self) -> Before {
        Before { rules: self.now.rules.clone(), properties: self.properties.clone() }
    }

    /// What [`FakeArm::state`](crate::FakeArm::state) keeps of it.
    pub(crate) fn state(&self) -> Value {
        let rules: Vec<&Rule> = self.now.rules.iter().map(AsRef::as_ref).collect();
        json!({
            "subscription": self.name.subscription, "resource_group": self.name.resource_group,
            "name": self.name.name, "location": self.location, "tags": self.tags, "properties": self.properties,
            "rules": rules,
        })
    }
}

/// A PUT of a whole group, read.
pub(crate) struct Wanted {
    pub(crate) location: String,
    pub(crate) tags: Option<Value>,
    pub(crate) properties: Map<String, Value>,
    pub(crate) rules: Vec<Arc<Rule>>,
}

impl Wanted {
    /// None where a rule has no name or no properties.
    pub(crate) fn read(body: &Value, location: &str) -> Option<Self> {
        let sent = body.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut rules = Vec::new();
        for rule in sent.get("securityRules").and_then(Value::as_array).into_iter().flatten() {
            rules.push(Arc::new(Rule::from_body(rule.get("name")?.as_str()?, rule)?));
        }
        let kept = sent.into_iter().filter(|(field, value)| !NOT_SENT.contains(&field.as_str()) && !value.is_null());
        Some(Self {
            location: location.to_owned(),
            tags: body.get("tags").filter(|tags| !tags.is_null()).cloned(),
            properties: kept.collect(),
            rules,
        })
    }

    pub(crate) fn is(&self, group: &Group) -> bool {
        self.tags == group.tags && self.properties == group.properties && self.rules == group.now.rules
    }
}
