//! Network security groups and their rules, as ARM shows them (`Microsoft.Network/networkSecurityGroups`).
//!
//! Only what bears on a target is read. All else of a rule of ours that is written again goes back as it came, so that
//! a property which a later version of the API adds is not lost.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Map, Value, json};
use tagwall_provider::{AddressRange, Admits, Family, IpNet, OwnerMark};

use crate::effect::Standing;
use crate::layout::{Part, name};
use crate::settings::{Ports, Settings};

/// What ARM answered is no network security group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is no network security group: {0}")]
pub struct ReadError(String);

/// A network security group and all its rules but the default ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// The version of the whole group. Empty where none was sent.
    pub etag: String,
    /// Its rules, whoever wrote them.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its name, unique within the group; Azure keeps the case that it was made with and compares without.
    pub name: String,
    /// Its version, which ARM documents as its own and moves with the group's.
    pub etag: String,
    properties: Map<String, Value>,
}

/// Which way a rule looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Inbound,
    Outbound,
}

/// A protocol that is none of these is not one with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocols {
    All,
    Only(crate::Protocol),
    Other,
}

/// Whom one text of a rule's addresses means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// `*`.
    Everybody,
    Range(AddressRange),
    /// The name of a service tag.
    Tag(String),
}

impl Group {
    /// Reads a group.
    ///
    /// # Errors
    /// [`ReadError`] where a part that has to be there is not, or of another kind.
    pub fn read(group: &Value) -> Result<Self, ReadError> {
        let missing = |what: &str| ReadError(format!("`{what}` is missing"));
        let name = group["name"].as_str().ok_or_else(|| missing("name"))?.to_owned();
        let properties = group["properties"].as_object().ok_or_else(|| missing("properties"))?;
        let rules = match properties.get("securityRules") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(rules)) => rules.iter().map(Rule::read).collect::<Result<_, _>>()?,
            Some(_) => return Err(ReadError("`securityRules` is no list".to_owned())),
        };
        Ok(Self { name, etag: text(group, "etag"), rules })
    }

    /// How many source addresses and prefixes all rules hold, and how many destinations. A tag or `*` is none of those.
    pub fn used(&self) -> (usize, usize) {
        let count =
            |texts: Vec<&str>| texts.into_iter().filter(|text| matches!(address(text), Address::Range(_))).count();
        let each = self.rules.iter().map(|rule| (count(rule.sources()), count(rule.destinations())));
        each.fold((0, 0), |sum, rule| (sum.0 + rule.0, sum.1 + rule.1))
    }
}

impl Rule {
    fn read(rule: &Value) -> Result<Self, ReadError> {
        let name = rule["name"].as_str().ok_or_else(|| ReadError("a rule has no name".to_owned()))?.to_owned();
        let properties = rule["properties"].as_object();
        let properties = properties.ok_or_else(|| ReadError(format!("the rule `{name}` has no properties")))?.clone();
        let read = Self { etag: text(rule, "etag"), name, properties };
        if read.direction().is_none() || read.priority() == 0 {
            return Err(ReadError(format!("the rule `{}` has no direction or no priority", read.name)));
        }
        Ok(read)
    }

    /// Whose it is, by its description.
    pub fn mark(&self) -> Option<OwnerMark> {
        self.properties.get("description")?.as_str()?.parse().ok()
    }

    /// Its priority.
    pub fn priority(&self) -> u16 {
        let priority = self.properties.get("priority").and_then(Value::as_u64);
        priority.and_then(|priority| u16::try_from(priority).ok()).unwrap_or(0)
    }

    fn word(&self, key: &str) -> &str {
        self.properties.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn direction(&self) -> Option<Direction> {
        let direction = self.word("direction");
        let is = |word: &str| direction.eq_ignore_ascii_case(word);
        if is("Inbound") { Some(Direction::Inbound) } else { is("Outbound").then_some(Direction::Outbound) }
    }

    pub(crate) fn is_inbound(&self) -> bool {
        self.direction() == Some(Direction::Inbound)
    }

    pub(crate) fn allows(&self) -> bool {
        self.word("access").eq_ignore_ascii_case("Allow")
    }

    /// Whether the last change of it came to nothing: what it shows may not be what it does.
    pub(crate) fn has_failed(&self) -> bool {
        self.word("provisioningState").eq_ignore_ascii_case("Failed")
    }

    pub(crate) fn protocols(&self) -> Protocols {
        let protocol = self.word("protocol");
        let is = |word: &str| protocol.eq_ignore_ascii_case(word);
        match () {
            () if is("*") => Protocols::All,
            () if is("Tcp") => Protocols::Only(crate::Protocol::Tcp),
            () if is("Udp") => Protocols::Only(crate::Protocol::Udp),
            () => Protocols::Other,
        }
    }

    /// A property and its plural: one of the two is filled.
    fn texts(&self, one: &str, many: &str) -> Vec<&str> {
        let many = self.properties.get(many).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        Some(self.word(one)).filter(|text| !text.is_empty()).into_iter().chain(many).collect()
    }

    pub(crate) fn sources(&self) -> Vec<&str> {
        self.texts("sourceAddressPrefix", "sourceAddressPrefixes")
    }

    pub(crate) fn destinations(&self) -> Vec<&str> {
        self.texts("destinationAddressPrefix", "destinationAddressPrefixes")
    }

    /// Whether it names application security groups on that side (`source`, `destination`).
    pub(crate) fn has_groups(&self, side: &str) -> bool {
        let groups = self.properties.get(&format!("{side}ApplicationSecurityGroups")).and_then(Value::as_array);
        groups.is_some_and(|groups| !groups.is_empty())
    }

    /// Whether it looks at the port that somebody comes from.
    pub(crate) fn has_source_ports(&self) -> bool {
        let ports = self.texts("sourcePortRange", "sourcePortRanges");
        !ports.is_empty() && !ports.contains(&"*") && !ports.contains(&"0-65535")
    }

    /// Its destination ports; what cannot be read is left out.
    pub(crate) fn ports(&self) -> Vec<Ports> {
        self.texts("destinationPortRange", "destinationPortRanges").into_iter().filter_map(ports).collect()
    }

    /// Whom its source lets in. `*` is everybody of both families.
    pub(crate) fn admits(&self) -> BTreeSet<Admits> {
        let mut admits = BTreeSet::new();
        for source in self.sources() {
            match address(source) {
                Address::Everybody => admits.extend(everybody().map(Admits::Range)),
                Address::Range(range) => {
                    admits.insert(Admits::Range(range));
                }
                Address::Tag(tag) => {
                    admits.insert(Admits::ServiceTag(tag.into()));
                }
            }
        }
        admits
    }

    /// What ARM is asked to make of a rule: what tagwall says, and what else `before` had.
    pub(crate) fn body(settings: &Settings, part: Part, standing: &Standing, before: Option<&Self>) -> Value {
        let admits = &standing.admits;
        let mut properties = before.map(|rule| rule.properties.clone()).unwrap_or_default();
        for key in OURS {
            properties.remove(*key);
        }
        // ARM shows empty lists where nothing is; sent back they would be something.
        properties.retain(|_, value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()));
        let mut set = |key: &str, value: Value| drop(properties.insert(key.to_owned(), value));
        set("description", json!(settings.mark.to_string()));
        set("direction", json!("Inbound"));
        set("access", json!(if matches!(part, Part::Deny(_)) { "Deny" } else { "Allow" }));
        set("priority", json!(standing.priority));
        set("protocol", json!(settings.protocol.name()));
        set("sourcePortRange", json!("*"));
        let ports: Vec<String> = settings.ports.iter().map(ToString::to_string).collect();
        match &ports[..] {
            [one] => set("destinationPortRange", json!(one)),
            many => set("destinationPortRanges", json!(many)),
        }
        set("destinationAddressPrefix", json!(settings.destination_of(part)));
        let tag = admits.iter().find_map(|admits| match admits {
            Admits::ServiceTag(tag) => Some(&**tag),
            Admits::Range(_) => None,
        });
        match (part, tag) {
            (Part::Deny(_), _) => set("sourceAddressPrefix", json!("*")),
            // A tag stands alone: Azure takes it in no list.
            (Part::Tag(_) | Part::Probes(_), Some(tag)) => set("sourceAddressPrefix", json!(tag)),
            _ => {
                let prefixes: Vec<String> = admits.iter().map(ToString::to_string).collect();
                set("sourceAddressPrefixes", json!(prefixes));
            }
        }
        json!({ "name": name(&settings.mark, part), "properties": properties })
    }
}

/// The properties that tagwall speaks for, and the read-only ones.
const OURS: &[&str] = &[
    "access",
    "description",
    "destinationAddressPrefix",
    "destinationAddressPrefixes",
    "destinationApplicationSecurityGroups",
    "destinationPortRange",
    "destinationPortRanges",
    "direction",
    "priority",
    "protocol",
    "provisioningState",
    "sourceAddressPrefix",
    "sourceAddressPrefixes",
    "sourceApplicationSecurityGroups",
    "sourcePortRange",
    "sourcePortRanges",
];

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn ports(text: &str) -> Option<Ports> {
    if text == "*" {
        return Some(Ports { first: 0, last: u16::MAX });
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(Ports { first: first.trim().parse().ok()?, last: last.trim().parse().ok()? })
}

/// Reads an address, a prefix (host bits and all), a range, a tag or `*`.
pub(crate) fn address(text: &str) -> Address {
    let text = text.trim();
    if text == "*" {
        return Address::Everybody;
    }
    let whole = |address: IpAddr| AddressRange::new(address, address);
    let range = if let Ok(prefix) = text.parse::<IpNet>() {
        Some(AddressRange::from(prefix))
    } else if let Ok(address) = text.parse() {
        whole(address)
    } else {
        let ends = text.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
        ends.and_then(|(first, last): (IpAddr, IpAddr)| AddressRange::new(first, last))
    };
    range.map_or_else(|| Address::Tag(text.to_owned()), Address::Range)
}

/// Everybody of each family.
pub(crate) fn everybody() -> [AddressRange; 2] {
    let all = |family: Family| match family {
        Family::V4 => AddressRange::from(tagwall_provider::Ipv4Net::default()),
        Family::V6 => AddressRange::from(tagwall_provider::Ipv6Net::default()),
    };
    Family::ALL.map(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Address {
        let (first, last) = text.split_once('-').unwrap();
        Address::Range(AddressRange::new(first.parse().unwrap(), last.parse().unwrap()).unwrap())
    }

    #[test]
    fn addresses_are_read_in_every_form_that_azure_takes() {
        let check = |text: &str, expected: Address| assert_eq!(address(text), expected, "{text}");
        check("*", Address::Everybody);
        check("192.0.2.7", range("192.0.2.7-192.0.2.7"));
        check("192.0.2.7/24", range("192.0.2.0-192.0.2.255"));
        check("192.0.2.3-192.0.2.9", range("192.0.2.3-192.0.2.9"));
        check("2001:DB8::/127", range("2001:db8::-2001:db8::1"));
        check("Storage.WestEurope", Address::Tag("Storage.WestEurope".to_owned()));
        check("192.0.2.0/33", Address::Tag("192.0.2.0/33".to_owned()));
    }

    #[test]
    fn what_tagwall_does_not_speak_for_goes_back_as_it_came() {
        let settings = Settings::new("tagwall:edge/web".parse().unwrap(), vec![Ports::one(8443)], 200);
        let shown = json!({ "name": "tagwall-edge-web-v4", "etag": "W/\"1\"", "properties": {
            "provisioningState": "Succeeded", "description": "tagwall:edge/web", "direction": "Inbound", "priority": 300,
            "access": "Deny", "protocol": "*", "sourcePortRange": "*", "sourcePortRanges": [], "destinationPortRange": "1",
            "sourceAddressPrefix": "*", "destinationApplicationSecurityGroups": [{"id": "x"}], "futureList": [], "future": {"a": [1]},
        }});
        let rule = Rule::read(&shown).unwrap();
        let admits = [Admits::Range("192.0.2.0/24".parse::<IpNet>().unwrap().into())].into();
        let part = Part::Chunk(Family::V4, 0);
        let standing = Standing::good(&settings, part, 200, admits);
        let body = Rule::body(&settings, part, &standing, Some(&rule));
        let expected = json!({ "name": "tagwall-edge-web-v4", "properties": {
            "description": "tagwall:edge/web", "direction": "Inbound", "priority": 200, "access": "Allow", "protocol": "Tcp",
            "sourcePortRange": "*", "destinationPortRange": "8443", "sourceAddressPrefixes": ["192.0.2.0/24"],
            "destinationAddressPrefix": "*", "future": {"a": [1]},
        }});
        assert_eq!(body, expected);
    }

    #[test]
    fn what_is_no_group_is_an_error() {
        let check = |group: Value| assert!(Group::read(&group).is_err(), "{group}");
        check(json!({}));
        check(json!([]));
        check(json!({ "name": "x" }));
        check(json!({ "name": "x", "properties": { "securityRules": {} } }));
        check(json!({ "name": "x", "properties": { "securityRules": [{ "name": "r" }] } }));
        check(
            json!({ "name": "x", "properties": { "securityRules": [{ "name": "r", "properties": { "priority": 100 } }] } }),
        );
        assert!(Group::read(&json!({ "name": "x", "properties": {} })).is_ok());
    }
}
