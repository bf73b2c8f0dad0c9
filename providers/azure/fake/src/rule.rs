//! A rule as it is stored: what was sent, but for what only Azure writes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A rule of an NSG. Fields that this fake does not know are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Unique in its NSG, in any case.
    pub name: String,
    /// `protocol`, `access`, `priority`, `direction`, ports and addresses.
    pub properties: Map<String, Value>,
}

/// Lists that answers show empty where nothing was sent.
pub(crate) const LISTS: [&str; 4] =
    ["sourcePortRanges", "destinationPortRanges", "sourceAddressPrefixes", "destinationAddressPrefixes"];

/// Words that are taken in any case and shown in this one.
pub(crate) const WORDS: [(&str, &[&str]); 3] = [
    ("protocol", &["Tcp", "Udp", "Icmp", "Esp", "Ah", "*"]),
    ("access", &["Allow", "Deny"]),
    ("direction", &["Inbound", "Outbound"]),
];

impl Rule {
    /// A rule of these properties.
    ///
    /// # Panics
    /// If they are no JSON object.
    pub fn new(name: &str, properties: Value) -> Self {
        let Value::Object(properties) = properties else { panic!("the properties of rule {name} are no object") };
        Self { name: name.to_owned(), properties }
    }

    /// An inbound rule for TCP: `sources` are one singular value or, from two on, prefixes.
    pub fn inbound(name: &str, access: &str, priority: u16, sources: &[&str], port: &str) -> Self {
        let mut rule = Self::new(
            name,
            json!({
                "protocol": "Tcp", "access": access, "priority": priority, "direction": "Inbound",
                "sourcePortRange": "*", "destinationPortRange": port, "destinationAddressPrefix": "*",
            }),
        );
        let (field, value) = match sources {
            [source] => ("sourceAddressPrefix", json!(source)),
            sources => ("sourceAddressPrefixes", json!(sources)),
        };
        rule.properties.insert(field.to_owned(), value);
        rule
    }

    /// The rule that a body means; None where it has no properties.
    pub(crate) fn from_body(name: &str, body: &Value) -> Option<Self> {
        let mut properties = body.get("properties")?.as_object()?.clone();
        properties.remove("provisioningState");
        // An explicit null is a field that was not sent, and so is an empty list, which answers show in its place.
        let shown_empty = |field: &str, value: &Value| LISTS.contains(&field) && *value == json!([]);
        properties.retain(|field, value| !(value.is_null() || shown_empty(field, value)));
        for (field, words) in WORDS {
            if let Some(Value::String(text)) = properties.get_mut(field)
                && let Some(word) = words.iter().find(|word| word.eq_ignore_ascii_case(text))
            {
                (*word).clone_into(text);
            }
        }
        Some(Self { name: name.to_owned(), properties })
    }

    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.properties.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The strings of a list; none where it is absent.
    pub(crate) fn list(&self, field: &str) -> Vec<&str> {
        let list = self.properties.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(Value::as_str).collect()
    }

    pub(crate) fn priority(&self) -> Option<i64> {
        self.properties.get("priority").and_then(Value::as_i64)
    }

    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}
