//! NSGs and rules as JSON.

use serde_json::{Map, Value, json};

use crate::api_version::ApiVersion;
use crate::network::{NsgName, Snapshot};
use crate::rule::{LISTS, Rule};

const KIND: &str = "Microsoft.Network/networkSecurityGroups";

/// What of a group a snapshot does not hold.
pub(crate) struct Frame<'a> {
    pub(crate) name: &'a NsgName,
    pub(crate) location: &'a str,
    pub(crate) tags: Option<&'a Value>,
    pub(crate) guid: &'a str,
    /// Fields of the properties that this fake does not know.
    pub(crate) properties: &'a Map<String, Value>,
}

pub(crate) fn group(frame: &Frame<'_>, snapshot: &Snapshot, version: &ApiVersion) -> Value {
    let rules: Vec<Value> = snapshot.rules.iter().map(|one| rule(frame.name, one, snapshot, version)).collect();
    let mut properties = frame.properties.clone();
    properties.insert("provisioningState".to_owned(), json!(snapshot.provisioning_state));
    properties.insert("resourceGuid".to_owned(), json!(frame.guid));
    properties.insert("securityRules".to_owned(), Value::Array(rules));
    properties.insert("defaultSecurityRules".to_owned(), Value::Array(default_rules(frame.name, snapshot, version)));
    let mut body = json!({
        "name": frame.name.name, "id": frame.name.id(), "etag": snapshot.etag, "type": KIND,
        "location": frame.location, "properties": properties,
    });
    if let Some(tags) = frame.tags {
        body["tags"] = tags.clone();
    }
    body
}

pub(crate) fn rule(nsg: &NsgName, rule: &Rule, snapshot: &Snapshot, version: &ApiVersion) -> Value {
    child(nsg, "securityRules", rule, snapshot, version)
}

/// The rules that every group ends with.
pub(crate) fn default_rules(nsg: &NsgName, snapshot: &Snapshot, version: &ApiVersion) -> Vec<Value> {
    DEFAULTS.iter().map(|one| child(nsg, "defaultSecurityRules", &one.rule(), snapshot, version)).collect()
}

fn child(nsg: &NsgName, kind: &str, rule: &Rule, snapshot: &Snapshot, version: &ApiVersion) -> Value {
    let mut properties = rule.properties.clone();
    properties.insert("provisioningState".to_owned(), json!(snapshot.provisioning_state));
    for list in LISTS {
        if version.has_lists() {
            properties.entry(list).or_insert_with(|| json!([]));
        } else {
            properties.remove(list);
        }
    }
    let mut body = json!({
        "name": rule.name, "id": format!("{}/{kind}/{}", nsg.id(), rule.name), "etag": snapshot.etag,
        "properties": properties,
    });
    if version.has_lists() {
        body["type"] = json!(format!("{KIND}/{kind}"));
    }
    body
}

struct Default {
    name: &'static str,
    description: &'static str,
    source: &'static str,
    destination: &'static str,
    access: &'static str,
    priority: u32,
    direction: &'static str,
}

impl Default {
    fn rule(&self) -> Rule {
        Rule::new(
            self.name,
            json!({
                "description": self.description, "protocol": "*", "sourcePortRange": "*", "destinationPortRange": "*",
                "sourceAddressPrefix": self.source, "destinationAddressPrefix": self.destination,
                "access": self.access, "priority": self.priority, "direction": self.direction,
            }),
        )
    }
}

/// As recorded.
const DEFAULTS: [Default; 6] = [
    Default {
        name: "AllowVnetInBound",
        description: "Allow inbound traffic from all VMs in VNET",
        source: "VirtualNetwork",
        destination: "VirtualNetwork",
        access: "Allow",
        priority: 65000,
        direction: "Inbound",
    },
    Default {
        name: "AllowAzureLoadBalancerInBound",
        description: "Allow inbound traffic from azure load balancer",
        source: "AzureLoadBalancer",
        destination: "*",
        access: "Allow",
        priority: 65001,
        direction: "Inbound",
    },
    Default {
        name: "DenyAllInBound",
        description: "Deny all inbound traffic",
        source: "*",
        destination: "*",
        access: "Deny",
        priority: 65500,
        direction: "Inbound",
    },
    Default {
        name: "AllowVnetOutBound",
        description: "Allow outbound traffic from all VMs to all VMs in VNET",
        source: "VirtualNetwork",
        destination: "VirtualNetwork",
        access: "Allow",
        priority: 65000,
        direction: "Outbound",
    },
    Default {
        name: "AllowInternetOutBound",
        description: "Allow outbound traffic from all VMs to Internet",
        source: "*",
        destination: "Internet",
        access: "Allow",
        priority: 65001,
        direction: "Outbound",
    },
    Default {
        name: "DenyAllOutBound",
        description: "Deny all outbound traffic",
        source: "*",
        destination: "*",
        access: "Deny",
        priority: 65500,
        direction: "Outbound",
    },
];
