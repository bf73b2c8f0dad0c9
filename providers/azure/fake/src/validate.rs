//! What Azure refuses. Codes and texts are quoted from issue trackers where somebody met them; those marked GUESS are
//! this fake's own, and only their class (400) can be relied on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use crate::address::Address;
use crate::answer::Answer;
use crate::rule::{Rule, WORDS};

/// What the rules of one NSG are held against.
pub(crate) struct Limits<'a> {
    pub(crate) max_rules: usize,
    pub(crate) max_prefixes: usize,
    /// Names of service tags that are known besides the usual ones.
    pub(crate) tags: &'a [String],
}

type Verdict = Result<(), Answer>;

fn refuse(code: &str, message: impl Into<String>) -> Verdict {
    Err(Answer::refused(400, code, message))
}

/// Names of NSGs and rules: 1 to 80 characters.
pub(crate) fn name(name: &str) -> Verdict {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let last = name.bytes().last().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if first && last && name.len() <= 80 && name.bytes().all(inner) {
        return Ok(());
    }
    refuse(
        "InvalidResourceName",
        format!(
            "Resource name {name} is invalid. The name can be up to 80 characters long. It must begin with a word \
             character, and it must end with a word character or with '_'. The name may contain word characters or \
             '.', '-', '_'."
        ),
    )
}

/// The whole of an NSG whose identifier is `nsg`. With `changed`, only that rule's own fields are looked at.
pub(crate) fn rules(nsg: &str, rules: &[Arc<Rule>], changed: Option<&str>, limits: &Limits<'_>) -> Verdict {
    for rule in rules.iter().filter(|rule| changed.is_none_or(|name| rule.is_named(name))) {
        name(&rule.name)?;
        Check { rule, id: format!("{nsg}/securityRules/{}", rule.name), tags: limits.tags }.all()?;
    }
    let mut names = HashSet::new();
    if let Some(twice) = rules.iter().find(|rule| !names.insert(rule.name.to_lowercase())) {
        let name = &twice.name;
        return refuse(
            "DuplicateResourceName",
            format!("Resource {nsg} has two child resources with the same name ({name})."),
        );
    }
    priorities(rules)?;
    if rules.len() > limits.max_rules {
        let most = limits.max_rules;
        return refuse(
            "SecurityRuleCountLimitReached",
            format!("A security group cannot have more than {most} security rules."),
        );
    }
    for side in [&SOURCE, &DESTINATION] {
        let count: usize = rules.iter().map(|rule| prefixes_of(rule, side, limits.tags)).sum();
        if count > limits.max_prefixes {
            let (list, most) = (side.title_list, limits.max_prefixes);
            return refuse(
                "SecurityRuleAddressesOrPortsPerSecurityGroupLimitReached",
                format!(
                    "Network security group {nsg} has {count} {list}. A security group cannot have more than {most} \
                     {list} as per the limit MaxSecurityRuleAddressesOrPortsPerSecurityGroup."
                ),
            );
        }
    }
    Ok(())
}

fn priorities(rules: &[Arc<Rule>]) -> Verdict {
    let mut taken = HashMap::new();
    for rule in rules {
        let place = (rule.text("direction").unwrap_or_default().to_lowercase(), rule.priority());
        if let Some(other) = taken.insert(place, &rule.name) {
            let name = &rule.name;
            return refuse(
                "SecurityRuleConflict",
                format!(
                    "Security rule {name} conflicts with rule {other}. Rules cannot have the same Priority and \
                     Direction."
                ),
            );
        }
    }
    Ok(())
}

/// The fields of one end of a rule.
struct Side {
    one: &'static str,
    list: &'static str,
    groups: &'static str,
    port: &'static str,
    ports: &'static str,
    title: &'static str,
    title_list: &'static str,
    title_port: &'static str,
}

const SOURCE: Side = Side {
    one: "sourceAddressPrefix",
    list: "sourceAddressPrefixes",
    groups: "sourceApplicationSecurityGroups",
    port: "sourcePortRange",
    ports: "sourcePortRanges",
    title: "SourceAddressPrefix",
    title_list: "SourceAddressPrefixes",
    title_port: "SourcePortRange",
};

const DESTINATION: Side = Side {
    one: "destinationAddressPrefix",
    list: "destinationAddressPrefixes",
    groups: "destinationApplicationSecurityGroups",
    port: "destinationPortRange",
    ports: "destinationPortRanges",
    title: "DestinationAddressPrefix",
    title_list: "DestinationAddressPrefixes",
    title_port: "DestinationPortRange",
};

/// What counts towards the limit: every prefix of the list, and a singular one that is no tag (the latter a GUESS).
fn prefixes_of(rule: &Rule, side: &Side, tags: &[String]) -> usize {
    let one = rule.text(side.one).and_then(|text| Address::parse(text, tags)).and_then(|address| address.bounds());
    rule.list(side.list).len() + usize::from(one.is_some())
}

struct Check<'a> {
    rule: &'a Rule,
    id: String,
    tags: &'a [String],
}

impl Check<'_> {
    fn all(&self) -> Verdict {
        self.types()?;
        for ((field, words), title) in WORDS.iter().zip(["Protocol", "Access", "Direction"]) {
            self.one_of(field, title, words)?;
        }
        let priority = self.rule.priority().unwrap_or(0);
        if !(100..=4096).contains(&priority) {
            let text =
                format!("Security rule has invalid Priority. Value provided: {priority} Allowed range 100-4096.");
            return refuse("SecurityRuleInvalidPriority", text);
        }
        if self.rule.text("description").is_some_and(|text| text.chars().count() > 140) {
            // GUESS
            let text = format!("Security rule {} has a description of more than 140 characters.", self.id);
            return refuse("SecurityRuleInvalidDescription", text);
        }
        let mut families = HashSet::new();
        for side in [&SOURCE, &DESTINATION] {
            self.ports(side)?;
            families.extend(self.addresses(side)?.iter().filter_map(Address::is_ipv4));
        }
        if families.len() > 1 {
            let text = format!("Resource {} cannot contain address prefixes from different address families.", self.id);
            return refuse("ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies", text);
        }
        Ok(())
    }

    /// Wrong JSON types are told by the parser, before the rule is looked at.
    fn types(&self) -> Verdict {
        let text = [
            "protocol",
            "access",
            "direction",
            "description",
            SOURCE.one,
            SOURCE.port,
            DESTINATION.one,
            DESTINATION.port,
        ];
        let lists = [SOURCE.list, SOURCE.ports, DESTINATION.list, DESTINATION.ports];
        for (field, value) in &self.rule.properties {
            let wrong = (text.contains(&field.as_str()) && !value.is_string())
                || (field == "priority" && !value.is_i64())
                || (lists.contains(&field.as_str())
                    && !value.as_array().is_some_and(|list| list.iter().all(Value::is_string)));
            if wrong {
                return refuse("InvalidRequestFormat", format!("Cannot parse the request: {field} of {}.", self.id));
            }
        }
        Ok(())
    }

    // GUESS: the codes.
    fn one_of(&self, field: &str, title: &str, allowed: &[&str]) -> Verdict {
        let value = self.rule.text(field).unwrap_or_default();
        if allowed.iter().any(|other| other.eq_ignore_ascii_case(value)) {
            return Ok(());
        }
        let code = format!("SecurityRuleInvalid{title}");
        refuse(
            &code,
            format!(
                "Security rule has invalid {title}. Value provided: {value} Allowed values: {}.",
                allowed.join(", ")
            ),
        )
    }

    fn ports(&self, side: &Side) -> Verdict {
        let (one, list) = (self.rule.text(side.port), self.rule.list(side.ports));
        self.exactly_one(side.title_port, &[one.is_some(), !list.is_empty()])?;
        if let Some(one) = one
            && one != "*"
            && !is_port_range(one)
        {
            return self.bad_port("SecurityRuleInvalidPortRange", one);
        }
        match list.iter().find(|text| !is_port_range(text)) {
            Some(text) => self.bad_port("SecurityRuleParameterContainsInvalidPortRanges", text),
            None => Ok(()),
        }
    }

    fn bad_port(&self, code: &str, value: &str) -> Verdict {
        let _ = self;
        refuse(
            code,
            format!(
                "Security rule has invalid Port range. Value provided: {value}. Value should be an integer OR integer \
                 range with '-' delimiter. Valid range 0-65535."
            ),
        )
    }

    fn addresses(&self, side: &Side) -> Result<Vec<Address>, Answer> {
        let (one, list) = (self.rule.text(side.one), self.rule.list(side.list));
        let groups = self.rule.properties.get(side.groups).and_then(Value::as_array).map_or(0, Vec::len);
        self.exactly_one(side.title, &[one.is_some(), !list.is_empty(), groups > 0])?;
        if groups > 10 {
            refuse(
                "NumberOfApplicationSecurityGroupsReferencedInSecurityRuleLimitReached",
                format!(
                    "A security rule may have up to 10 Application Security Group in the source or destination fields. \
                     The requested configuration has {groups}."
                ),
            )?;
        }
        let mut addresses = Vec::new();
        for text in one.into_iter().chain(list.iter().copied()) {
            let Some(address) = Address::parse(text, self.tags) else {
                let id = &self.id;
                let message = format!("Security rule {id} has invalid Address prefix. Value provided: {text}");
                return refuse("SecurityRuleInvalidAddressPrefix", message).map(|()| addresses);
            };
            if one.is_none() && address.bounds().is_none() {
                refuse(
                    "SecurityRuleParameterContainsUnsupportedValue",
                    format!(
                        "Security rule parameter {} for rule with Id {} cannot specify existing VIRTUALNETWORK, \
                         INTERNET, AZURELOADBALANCER, '*' or system tags. Unsupported value used: {text}.",
                        side.title, self.id
                    ),
                )?;
            }
            addresses.push(address);
        }
        self.overlaps(side, &list, &addresses)?;
        Ok(addresses)
    }

    fn overlaps(&self, side: &Side, texts: &[&str], addresses: &[Address]) -> Verdict {
        let mut bounds: Vec<_> =
            addresses.iter().zip(texts).filter_map(|(one, text)| Some((one.bounds()?, text))).collect();
        bounds.sort_by_key(|((from, to), _)| (*from, std::cmp::Reverse(*to)));
        // Sorted by their starts, those that overlap include two neighbours that do.
        let Some(pair) = bounds.windows(2).find(|pair| pair[1].0.0 <= pair[0].0.1) else { return Ok(()) };
        refuse(
            "OverlappingSubnetsNotPermittedInSecurityRule",
            format!(
                "Security rule parameter {} for rule with Id {} contains overlapping subnets [{}, {}], which is not \
                 permitted.",
                side.title, self.id, pair[0].1, pair[1].1
            ),
        )
    }

    /// Of singular, plural and application security groups.
    fn exactly_one(&self, title: &str, given: &[bool]) -> Verdict {
        match given.iter().filter(|given| **given).count() {
            1 => Ok(()),
            0 => refuse(
                "SecurityRuleParametersMissing",
                format!(
                    "Required security rule parameters are missing for security rule with Id: {}. Security rule must \
                     specify {title}s or {title}.",
                    self.id
                ),
            ),
            // GUESS
            _ => refuse(
                "SecurityRuleParametersConflict",
                format!("Security rule with Id {} specifies more than one of {title}, its plural and groups.", self.id),
            ),
        }
    }
}

fn is_port_range(text: &str) -> bool {
    let port = |text: &str| text.parse::<u16>().ok();
    match text.split_once('-') {
        Some((from, to)) => port(from).zip(port(to)).is_some_and(|(from, to)| from <= to),
        None => port(text).is_some(),
    }
}
