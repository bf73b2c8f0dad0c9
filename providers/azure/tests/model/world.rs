//! A network security group as Azure documents it, in memory: what it takes, what it refuses, and whom it lets in.
//!
//! Addresses are numbers: 64 of 192.0.2.0/24, then 64 of 2001:db8::/32. Every rule is read from its JSON anew, and a
//! packet is judged by the first rule that it meets.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tagwall_azure::{Goal, Group, Ports, Settings, Write};
use tagwall_provider::{Desired, IpNet, Observed, Refusal, Steps};

pub(crate) const OURS: &str = "tagwall:edge/web";
pub(crate) const NAMES: &str = "tagwall-edge-web-";
/// Where the target is, for worlds in which that is named.
pub(crate) const DESTINATIONS: [&str; 2] = ["198.51.100.1", "2001:db8:ff::1"];
/// The addresses of the world: IPv4 first.
pub(crate) const ADDRESSES: u8 = 128;

pub(crate) fn settings() -> Settings {
    Settings::new(OURS.parse().unwrap(), vec![Ports::one(8443)], 200)
}

pub(crate) fn address(number: u8) -> std::net::IpAddr {
    let text = if number < 64 { format!("192.0.2.{number}") } else { format!("2001:db8::{:x}", number - 64) };
    text.parse().unwrap()
}

/// Where somebody comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    port: u16,
    /// Not to [`DESTINATIONS`].
    elsewhere: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) rules: Vec<Value>,
    /// How many prefixes and rules it takes.
    pub(crate) most: (usize, usize),
    pub(crate) requests: u64,
}

/// A rule as ARM shows it.
pub(crate) fn rule(name: &str, priority: u16, access: &str, sources: &[&str], change: &[(&str, Value)]) -> Value {
    let mut rule = json!({ "name": name, "etag": "W/\"1\"", "properties": {
        "provisioningState": "Succeeded", "protocol": "Tcp", "access": access, "priority": priority, "direction": "Inbound",
        "sourcePortRange": "*", "destinationPortRange": "8443", "destinationAddressPrefix": "*",
        "sourceAddressPrefixes": [], "destinationAddressPrefixes": [], "sourcePortRanges": [], "destinationPortRanges": [],
    }});
    match sources {
        [one] => rule["properties"]["sourceAddressPrefix"] = json!(one),
        many => rule["properties"]["sourceAddressPrefixes"] = json!(many),
    }
    for (key, value) in change {
        rule["properties"][key] = value.clone();
    }
    rule
}

fn texts(rule: &Value, one: &str, many: &str) -> Vec<String> {
    let properties = &rule["properties"];
    let one = properties[one].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let many = properties[many].as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned());
    one.into_iter().chain(many).collect()
}

fn sources(rule: &Value) -> Vec<String> {
    texts(rule, "sourceAddressPrefix", "sourceAddressPrefixes")
}

/// Whether a text of a rule's addresses means this address. The world knows one service tag, of two addresses, and a
/// virtual network of two, one of them the same.
fn means(text: &str, number: u8) -> bool {
    let address = address(number);
    match text {
        "*" | "Internet" => true,
        "ExampleService" => number == 3 || number == 67,
        "VirtualNetwork" => number == 3 || number == 74,
        text => text.parse::<IpNet>().is_ok_and(|prefix| prefix.contains(&address)) || text.parse() == Ok(address),
    }
}

fn is_prefix(text: &str) -> bool {
    text.contains(['/', ':']) || text.parse::<std::net::IpAddr>().is_ok()
}

impl World {
    pub(crate) fn new() -> Self {
        Self { rules: Vec::new(), most: (4000, 1000), requests: 0 }
    }

    pub(crate) fn group(&self) -> Group {
        Group::read(&self.json()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "name": "hub", "etag": "W/\"1\"", "properties": { "securityRules": self.rules } })
    }

    /// The rules in the order in which they are judged, a line each.
    pub(crate) fn told(&self) -> String {
        let mut rules: Vec<&Value> = self.rules.iter().collect();
        rules.sort_by_key(|rule| rule["properties"]["priority"].as_u64());
        let line = |rule: &&Value| {
            let of = |key: &str| rule["properties"][key].to_string();
            let (name, to) = (&rule["name"], texts(rule, "destinationAddressPrefix", "destinationAddressPrefixes"));
            let ports = texts(rule, "destinationPortRange", "destinationPortRanges");
            let odd = [of("direction"), of("protocol"), of("provisioningState"), of("description")].join(" ");
            format!("\n  {} {name} {} {:?} to {to:?} {ports:?} {odd}", of("priority"), of("access"), sources(rule))
        };
        rules.iter().map(line).collect()
    }

    /// Ours are those that have our mark and one of our names.
    pub(crate) fn is_ours(rule: &Value) -> bool {
        let end = rule["name"].as_str().unwrap().to_lowercase();
        let end = end.strip_prefix(NAMES).map(str::to_owned);
        let known = [
            "v4",
            "v6",
            "v4-2",
            "v6-2",
            "v4-3",
            "v6-3",
            "tag",
            "tag-v4",
            "tag-v6",
            "probes",
            "probes-v4",
            "probes-v6",
            "deny",
            "deny-v4",
            "deny-v6",
        ];
        rule["properties"]["description"] == OURS && end.is_some_and(|end| known.contains(&end.as_str()))
    }

    pub(crate) fn foreign(&self) -> Vec<Value> {
        self.rules.iter().filter(|rule| !Self::is_ours(rule)).cloned().collect()
    }

    /// Whether an address gets in on TCP 8443: by the first rule that speaks of it, the default rules last, which admit
    /// the virtual network and load balancers. `None` is a probe of one of those.
    pub(crate) fn lets_in(&self, number: Option<u8>) -> bool {
        self.lets_in_by(number, Way { port: 8443, elsewhere: false })
    }

    fn lets_in_by(&self, number: Option<u8>, way: Way) -> bool {
        let mut inbound: Vec<&Value> =
            self.rules.iter().filter(|rule| rule["properties"]["direction"] == "Inbound").collect();
        inbound.sort_by_key(|rule| rule["properties"]["priority"].as_u64());
        let meets = |rule: &&&Value| {
            let properties = &rule["properties"];
            let protocol = properties["protocol"] == "Tcp" || properties["protocol"] == "*";
            let port = texts(rule, "destinationPortRange", "destinationPortRanges").iter().any(|text| {
                match text.split_once('-') {
                    Some((first, last)) => (first.parse().unwrap()..=last.parse().unwrap()).contains(&way.port),
                    None => text == "*" || text.parse() == Ok(way.port),
                }
            });
            // A rule for some destination is for the target where that is the target's own.
            let of_family = number.map(|number| DESTINATIONS[usize::from(number >= 64)]);
            let to = texts(rule, "destinationAddressPrefix", "destinationAddressPrefixes");
            // Who is behind a group is in its network.
            let there = to == ["*"]
                || to == ["VirtualNetwork"]
                || !way.elsewhere && of_family.map_or(to == [DESTINATIONS[0]], |own| to == [own]);
            let source = sources(rule).iter().any(|text| match number {
                Some(number) => means(text, number),
                None => text == "AzureLoadBalancer" || text == "*",
            });
            protocol && port && there && source
        };
        inbound.iter().find(meets).map_or(number.is_none_or(|number| means("VirtualNetwork", number)), |rule| {
            rule["properties"]["access"] == "Allow"
        })
    }

    pub(crate) fn all_let_in(&self) -> BTreeSet<u8> {
        (0..ADDRESSES).filter(|number| self.lets_in(Some(*number))).collect()
    }

    /// All of those, and the probes, on all that a target opens: each of its ports, and where it names no destination,
    /// another than those that it names elsewhere.
    fn whoever_gets_in(&self, settings: &Settings) -> BTreeSet<(Option<u8>, Way)> {
        let elsewhere = [false, true].into_iter().filter(|elsewhere| !elsewhere || settings.destination.v4.is_none());
        let ways = elsewhere
            .flat_map(|elsewhere| settings.ports.iter().map(move |ports| Way { port: ports.first, elsewhere }));
        let ways: Vec<Way> = ways.collect();
        let all = (0..ADDRESSES).map(Some).chain([None]).flat_map(|number| ways.iter().map(move |way| (number, *way)));
        all.filter(|(number, way)| self.lets_in_by(*number, *way)).collect()
    }

    /// Whom our rules that open the port name, whatever stands before them.
    pub(crate) fn named(&self) -> BTreeSet<u8> {
        let ours = self.rules.iter().filter(|rule| Self::is_ours(rule) && rule["properties"]["access"] == "Allow");
        let texts: Vec<String> = ours.flat_map(sources).filter(|text| text != "AzureLoadBalancer").collect();
        (0..ADDRESSES).filter(|number| texts.iter().any(|text| means(text, *number))).collect()
    }

    /// Why Azure would not hold this, if it would not.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let prefixes = self.rules.iter().flat_map(sources).filter(|text| is_prefix(text)).count();
        if prefixes > self.most.0 || self.rules.len() > self.most.1 {
            return Some("NetworkSecurityGroupLimitReached");
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let properties = &rule["properties"];
            let ends =
                sources(rule).into_iter().chain(texts(rule, "destinationAddressPrefix", "destinationAddressPrefixes"));
            let mut families = ends.filter(|text| is_prefix(text)).map(|text| text.contains(':'));
            if families.next().is_some_and(|first| families.any(|other| other != first)) {
                return Some("ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies");
            }
            let listed = properties["sourceAddressPrefixes"].as_array().into_iter().flatten();
            if listed.into_iter().any(|text| !is_prefix(text.as_str().unwrap())) {
                return Some("SecurityRuleParameterContainsUnsupportedValue");
            }
            if sources(rule).is_empty() || sources(rule).iter().collect::<BTreeSet<_>>().len() < sources(rule).len() {
                return Some("SecurityRuleInvalidAddressPrefix");
            }
            let nets: Vec<IpNet> = sources(rule).iter().filter_map(|text| text.parse().ok()).collect();
            let overlap =
                |(at, one): (usize, &IpNet)| nets[..at].iter().any(|other| other.contains(one) || one.contains(other));
            if nets.iter().enumerate().any(overlap) {
                return Some("OverlappingSubnetsNotPermittedInSecurityRule");
            }
            let key = |rule: &Value| (rule["properties"]["priority"].clone(), rule["properties"]["direction"].clone());
            let name = |rule: &Value| rule["name"].as_str().unwrap().to_lowercase();
            if self.rules[..index].iter().any(|other| key(other) == key(rule)) {
                return Some("SecurityRuleConflict");
            }
            if self.rules[..index].iter().any(|other| name(other) == name(rule)) {
                return Some("a name twice");
            }
            if !(100..=4096).contains(&properties["priority"].as_u64().unwrap()) {
                return Some("SecurityRuleInvalidPriority");
            }
        }
        None
    }

    /// Puts a rule there by hand, unless Azure would not take it. Whether it did.
    pub(crate) fn put(&mut self, rule: Value) -> bool {
        self.rules.push(rule);
        let taken = self.fault().is_none();
        if !taken {
            self.rules.pop();
        }
        taken
    }

    /// Makes one request, or says what Azure would answer; then nothing is changed.
    pub(crate) fn make(&mut self, write: &Write) -> Result<(), &'static str> {
        let mut after = self.clone();
        let at = after.rules.iter().position(|rule| rule["name"] == write.name.as_str());
        match (&write.body, at) {
            (None, Some(at)) => drop(after.rules.remove(at)),
            (None, None) => return Err("ResourceNotFound"),
            (Some(body), at) => {
                let mut rule = body.clone();
                rule["name"] = json!(write.name);
                rule["etag"] = json!("W/\"2\"");
                match at {
                    Some(at) => after.rules[at] = rule,
                    None => after.rules.push(rule),
                }
            }
        }
        if let Some(fault) = after.fault() {
            return Err(fault);
        }
        after.requests += 1;
        *self = after;
        Ok(())
    }

    pub(crate) fn observe(&self, settings: &Settings) -> Observed {
        tagwall_azure::observe(settings, &self.group())
    }
}

/// The steps and where they lead.
pub(crate) fn plan(world: &World, settings: &Settings, desired: &Desired) -> Result<(Steps, Goal), Refusal> {
    let steps = tagwall_azure::place(settings, &world.observe(settings), desired)?;
    let goal = Goal::new(settings, &world.group(), &steps).unwrap();
    Ok((steps, goal))
}

/// What a pass did.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) steps: Steps,
    pub(crate) writes: Vec<Write>,
}

/// Makes at most so many requests towards the goal, with every state looked at.
pub(crate) fn go(
    world: &mut World,
    settings: &Settings,
    goal: &Goal,
    wanted: &BTreeSet<u8>,
    most: usize,
) -> Result<Vec<Write>, String> {
    let (before, foreign) = (world.clone(), world.foreign());
    let (first, named) = (before.whoever_gets_in(settings), before.named());
    let (mut at_last, mut left) = (before.clone(), 60);
    while let Ok(Some(write)) = goal.next(settings, &at_last.group()) {
        at_last.make(&write).map_err(|error| format!("{error}: {write:?}"))?;
        left -= 1;
        assert!(left > 0, "no end: {write:?}");
    }
    let last = at_last.whoever_gets_in(settings);
    let mut writes = Vec::new();
    while writes.len() < most {
        let Some(write) = goal.next(settings, &world.group()).map_err(|error| error.to_string())? else { break };
        let group = world.group();
        world.make(&write).map_err(|error| format!("{error}: {write:?}"))?;
        let now = world.whoever_gets_in(settings);
        // Behind a rule of ours that somebody turned against those whom it is for, anything may stand; and behind one
        // that somebody moved to the front.
        let closes = |rule: &&Value| World::is_ours(rule) && rule["properties"]["access"] == "Deny";
        let is_turned =
            before.rules.iter().filter(closes).any(|rule| !rule["name"].as_str().unwrap().contains("-deny"));
        let priority = |rule: &Value| rule["properties"]["priority"].as_u64();
        let first_end = before.rules.iter().filter(closes).map(priority).min();
        // Nor do ends that each close what the other should leave a way without a moment.
        let is_exchanged = |rule: &Value| {
            let to = rule["properties"]["destinationAddressPrefix"].as_str();
            rule["name"].as_str().unwrap().ends_with("-deny-v4") && to == Some(DESTINATIONS[1])
        };
        let is_exchanged = before.rules.iter().any(is_exchanged);
        let hides = |rule: &Value| World::is_ours(rule) && first_end.is_some_and(|end| end < priority(rule));
        let is_hidden = before.rules.iter().any(hides);
        let counts = |(one, _): &&(Option<u8>, Way)| !is_turned || one.is_some_and(|number| wanted.contains(&number));
        let gap: Vec<_> = first.intersection(&last).filter(counts).filter(|one| !now.contains(one)).collect();
        assert!(gap.is_empty(), "{gap:?} is missing after {:?} in{}", write.name, before.told());
        let door: Vec<_> = now.iter().filter(|one| !first.contains(one) && !last.contains(one)).collect();
        assert!(
            door.is_empty() || is_turned || is_hidden || is_exchanged,
            "{door:?} gets in after {:?} in{}",
            write.name,
            before.told()
        );
        let strange: Vec<u8> =
            world.named().into_iter().filter(|number| !named.contains(number) && !wanted.contains(number)).collect();
        assert!(strange.is_empty(), "{strange:?} came with {write:?}");
        assert_eq!(world.foreign(), foreign, "{write:?}");
        assert!(Goal::holds(settings, &group, &write, &world.group()), "{write:?}");
        writes.push(write);
    }
    Ok(writes)
}

pub(crate) fn wanted(desired: &Desired) -> BTreeSet<u8> {
    let prefixes = desired.prefixes();
    let is_wanted = |number: &u8| match desired {
        Desired::ServiceTag(tag) => means(tag, *number),
        Desired::Prefixes { .. } => prefixes.contains(address(*number)),
    };
    (0..ADDRESSES).filter(is_wanted).collect()
}

/// A whole pass. An error is a state that can be left only by hand.
pub(crate) fn try_pass(
    world: &mut World,
    settings: &Settings,
    desired: &Desired,
) -> Result<Result<Pass, String>, Refusal> {
    let (steps, goal) = plan(world, settings, desired)?;
    let writes = match go(world, settings, &goal, &wanted(desired), usize::MAX) {
        Ok(writes) => writes,
        Err(error) => return Ok(Err(error)),
    };
    check_reached(world, settings, desired);
    Ok(Ok(Pass { steps, writes }))
}

pub(crate) fn pass(world: &mut World, settings: &Settings, desired: &Desired) -> Result<Pass, Refusal> {
    Ok(try_pass(world, settings, desired)?.unwrap_or_else(|error| panic!("{error}")))
}

/// The target names whom it shall and nobody else, and a second pass does nothing.
pub(crate) fn check_reached(world: &World, settings: &Settings, desired: &Desired) {
    assert_eq!(world.named(), wanted(desired), "{:#?}", world.rules);
    let (steps, goal) = plan(world, settings, desired).unwrap();
    assert!(steps.is_empty(), "a second pass does {steps:?}");
    assert_eq!(goal.next(settings, &world.group()).unwrap(), None);
}
