//! What the configuration says of a target.

use std::ops::RangeInclusive;

use tagwall_provider::{Family, IpNet, OwnerMark, PerFamily};

use crate::layout::AROUND;

/// How many source addresses and prefixes all rules of a network security group hold together; as many destinations,
/// counted apart. Microsoft names no bound for a single rule.
pub const MOST_PREFIXES: usize = 4000;

/// How many rules a network security group takes, both directions together, without its default rules.
pub const MOST_RULES: usize = 1000;

/// The priorities that a rule may have; the lowest is judged first.
pub const PRIORITIES: RangeInclusive<u16> = 100..=4096;

/// The protocols that have ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// As ARM writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "Tcp",
            Self::Udp => "Udp",
        }
    }
}

/// A run of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
}

impl Ports {
    /// A single port.
    pub const fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }
}

impl std::fmt::Display for Ports {
    /// As ARM writes it: `8443`, `8000-8010`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// What the configuration says of a target in a network security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The mark of what is ours.
    pub mark: OwnerMark,
    /// The marks of all configured targets that keep this group: what carries our owner's mark and is of none of these
    /// is an orphan.
    pub configured: Vec<OwnerMark>,
    /// What is opened.
    pub ports: Vec<Ports>,
    /// Of which protocol.
    pub protocol: Protocol,
    /// The first of the priorities that the target may use; [`Settings::block`] has all of them.
    pub priority: u16,
    /// Where to, an address or a prefix of that family; `None` for everything behind the group.
    pub destination: PerFamily<Option<String>>,
    /// Whether a rule behind ours keeps everybody else from the ports. Without it the group's default rules admit the
    /// virtual network, and rules of others whom they please.
    pub deny: bool,
    /// Whether the probes of Azure's load balancers get past that rule.
    pub admit_probes: bool,
    /// A service tag that Azure resolves by itself, in place of whatever prefixes are desired.
    pub service_tag: Option<String>,
    /// How many prefixes one rule holds at most, 1 to [`Settings::most_prefixes`]. With fewer, a family has several
    /// rules, and a change sends less.
    pub largest_rule: usize,
    /// How many source prefixes the group takes: [`MOST_PREFIXES`] on Azure; private clouds have figures of their own.
    pub most_prefixes: usize,
    /// How many rules the group takes: [`MOST_RULES`] on Azure.
    pub most_rules: usize,
}

/// Settings that no target can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No port.
    #[error("a target in a network security group needs at least one port")]
    NoPorts,
    /// A run of ports whose end lies before its start.
    #[error("the ports {first} to {last} are the wrong way round")]
    Ports {
        /// The first port.
        first: u16,
        /// The last port.
        last: u16,
    },
    /// The block of priorities leaves what Azure takes.
    #[error("the target uses the priorities {first} to {last}, and a rule takes {} to {}", PRIORITIES.start(), PRIORITIES.end())]
    Priority {
        /// The first.
        first: u16,
        /// The last.
        last: u32,
    },
    /// A destination is no address or prefix of its family.
    #[error("the {family} destination `{text}` is no {family} address or prefix")]
    Destination {
        /// Of which family.
        family: Family,
        /// What is there.
        text: String,
    },
    /// Something that takes both families has a destination for one.
    #[error("{what} is of both families: it needs a destination for each, or for neither")]
    OneDestination {
        /// What.
        what: &'static str,
    },
    /// No such size.
    #[error("a rule holds 1 to {most} prefixes, not {size}")]
    LargestRule {
        /// What was asked for.
        size: usize,
        /// What the group takes.
        most: usize,
    },
    /// What is named is no service tag, or one that admits everybody.
    #[error("`{0}` is no service tag of a single service")]
    ServiceTag(String),
}

impl Settings {
    /// A target of TCP ports for everything behind the group, that closes nothing.
    pub fn new(mark: OwnerMark, ports: Vec<Ports>, priority: u16) -> Self {
        Self {
            configured: vec![mark.clone()],
            mark,
            ports,
            protocol: Protocol::Tcp,
            priority,
            destination: PerFamily::default(),
            deny: false,
            admit_probes: true,
            service_tag: None,
            largest_rule: MOST_PREFIXES,
            most_prefixes: MOST_PREFIXES,
            most_rules: MOST_RULES,
        }
    }

    /// Whether a target can be like this.
    ///
    /// # Errors
    /// [`SettingsError`], the first that is found.
    pub fn check(&self) -> Result<(), SettingsError> {
        if self.ports.is_empty() {
            return Err(SettingsError::NoPorts);
        }
        if let Some(&Ports { first, last }) = self.ports.iter().find(|ports| ports.first > ports.last) {
            return Err(SettingsError::Ports { first, last });
        }
        if !(1..=self.most_prefixes).contains(&self.largest_rule) {
            return Err(SettingsError::LargestRule { size: self.largest_rule, most: self.most_prefixes });
        }
        let last = u32::from(self.priority) + self.block_size() - 1;
        if !PRIORITIES.contains(&self.priority) || last > u32::from(*PRIORITIES.end()) {
            return Err(SettingsError::Priority { first: self.priority, last });
        }
        for family in Family::ALL {
            if let Some(text) = self.destination.get(family)
                && destination(text).is_none_or(|prefix| Family::of(prefix.addr()) != family)
            {
                return Err(SettingsError::Destination { family, text: text.clone() });
            }
        }
        if self.destination.v4.is_some() != self.destination.v6.is_some() {
            if self.deny {
                return Err(SettingsError::OneDestination { what: "`deny`" });
            }
            if self.service_tag.is_some() {
                return Err(SettingsError::OneDestination { what: "a service tag" });
            }
        }
        self.service_tag.as_ref().map_or(Ok(()), |tag| check_tag(tag))
    }

    /// All priorities that the target may use. Two targets of a group must not share one.
    pub fn block(&self) -> RangeInclusive<u16> {
        let last = u32::from(self.priority) + self.block_size() - 1;
        self.priority..=u16::try_from(last).unwrap_or(u16::MAX)
    }

    /// How many rules a family may have.
    pub(crate) fn chunks(&self) -> u32 {
        u32::try_from(self.most_prefixes.div_ceil(self.largest_rule.max(1))).unwrap_or(u32::MAX)
    }

    /// A rule of each family for each chunk, and what stands around them.
    fn block_size(&self) -> u32 {
        self.chunks().saturating_mul(2).saturating_add(AROUND)
    }
}

/// Whether it may be the name of a service tag: a word, or several with dots (`Storage.WestEurope`). Of the tags that
/// are no service, `Internet` would open the ports to everybody.
pub(crate) fn check_tag(tag: &str) -> Result<(), SettingsError> {
    const NO_SERVICES: [&str; 3] = ["Internet", "VirtualNetwork", "AzureLoadBalancer"];
    let starts = tag.starts_with(|first: char| first.is_ascii_alphabetic());
    let plain = tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !starts || !plain || NO_SERVICES.iter().any(|other| other.eq_ignore_ascii_case(tag)) {
        return Err(SettingsError::ServiceTag(tag.to_owned()));
    }
    Ok(())
}

/// An address or a prefix as a prefix.
pub(crate) fn destination(text: &str) -> Option<IpNet> {
    let address = || text.parse().ok().map(|address: std::net::IpAddr| IpNet::from(address));
    text.parse::<IpNet>().ok().or_else(address).map(|prefix| prefix.trunc())
}
