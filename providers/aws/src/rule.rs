//! Inbound rules of security groups, as DescribeSecurityGroupRules lists them: one row for each.

use std::fmt;

use tagwall_provider::{Family, IpNet, OwnerMark, PerFamily, PrefixSet, StoredId};

/// The key of the tag that carries the owner mark. The mark stands in the description as well, because a call may add
/// rules and fail to tag them.
pub const TAG_KEY: &str = "tagwall";

/// The protocols that have ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What a rule opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ports {
    /// Every protocol and port (`IpProtocol` is `-1`).
    Everything,
    /// A run of ports, both ends included.
    Of {
        /// Of which protocol.
        protocol: Protocol,
        /// The first port.
        first: u16,
        /// The last port.
        last: u16,
    },
    /// A protocol that knows no ports.
    Other,
}

impl Ports {
    /// Ports of TCP.
    pub const fn tcp(first: u16, last: u16) -> Self {
        Self::Of { protocol: Protocol::Tcp, first, last }
    }

    /// Whether it opens all that the other opens.
    pub fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::Everything, _) => true,
            (Self::Of { protocol, first, last }, Self::Of { protocol: theirs, first: from, last: to }) => {
                protocol == theirs && first <= from && to <= last
            }
            _ => false,
        }
    }
}

impl fmt::Display for Ports {
    /// As `tcp 8443`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::Other => f.write_str("a protocol without ports"),
            Self::Of { protocol, first, last } => {
                let protocol = match protocol {
                    Protocol::Tcp => "tcp",
                    Protocol::Udp => "udp",
                };
                if first == last { write!(f, "{protocol} {first}") } else { write!(f, "{protocol} {first}-{last}") }
            }
        }
    }
}

/// Whom a rule lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The addresses of a prefix, canonical as EC2 stores it.
    Prefix(IpNet),
    /// The members of a security group.
    Group {
        /// `sg-…`.
        id: String,
    },
    /// The entries of a managed prefix list.
    PrefixList {
        /// `pl-…`.
        id: String,
        /// The family of its entries; `None` where it was not read.
        family: Option<Family>,
        /// Its `MaxEntries`: EC2 counts a prefix list as that, however many entries it has.
        weight: u64,
        /// Its entries, where they were read: of lists that somebody else's rules name.
        admits: Option<PrefixSet>,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(prefix) => fmt::Display::fmt(prefix, f),
            Self::Group { id } => write!(f, "the members of {id}"),
            Self::PrefixList { id, .. } => write!(f, "prefix list {id}"),
        }
    }
}

/// One inbound rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `sgr-…`.
    pub id: StoredId,
    /// Whom it lets in.
    pub source: Source,
    /// To what.
    pub ports: Ports,
    /// Its description, where it has one.
    pub description: Option<String>,
    /// The value of its tag [`TAG_KEY`], where it has one.
    pub tag: Option<String>,
}

impl fmt::Display for Rule {
    /// As `tcp 8443 from 192.0.2.0/24`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.ports, self.source)
    }
}

impl Rule {
    /// Whose it is: by its tag, and only where it has none by its description, which people copy about.
    pub fn mark(&self) -> Option<OwnerMark> {
        self.tag.as_ref().or(self.description.as_ref())?.parse().ok()
    }

    /// How many rules it counts for in the quota, which EC2 keeps for each family apart. A reference to a group
    /// counts in both. Sources disagree on whether a prefix list does: it counts in its own family here, and in
    /// both where that is not known.
    pub fn weight(&self) -> PerFamily<u64> {
        PerFamily::from_fn(|family| match &self.source {
            Source::Prefix(prefix) => u64::from(Family::of(prefix.addr()) == family),
            Source::Group { .. } => 1,
            Source::PrefixList { family: of, weight, .. } if of.is_none_or(|of| of == family) => *weight,
            Source::PrefixList { .. } => 0,
        })
    }
}

/// One security group and all its inbound rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// `sg-…`.
    pub id: String,
    /// Its inbound rules, whoever wrote them.
    pub rules: Vec<Rule>,
}

impl Group {
    /// How many rules of each family stand in it.
    pub fn weight(&self) -> PerFamily<u64> {
        let weights = self.rules.iter().map(Rule::weight);
        weights.fold(PerFamily::default(), |sum, rule| PerFamily { v4: sum.v4 + rule.v4, v6: sum.v6 + rule.v6 })
    }
}

/// What the configuration says of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The mark of what is ours.
    pub mark: OwnerMark,
    /// The marks of all configured targets: what carries our owner's mark and is of none of these is an orphan.
    pub configured: Vec<OwnerMark>,
    /// What is opened; EC2 takes one rule for each prefix and run of ports.
    pub ports: Vec<Ports>,
    /// How many inbound rules of one family a group takes. EC2's default is [`DEFAULT_QUOTA`].
    pub quota: u64,
    /// Whether rules that nobody wants may go before those that come, where both do not fit at once.
    pub make_room: bool,
}

/// EC2's default quota of inbound rules in a security group, for each family apart.
pub const DEFAULT_QUOTA: u64 = 60;

impl Target {
    /// A target of the default quota that makes no room.
    pub fn new(mark: OwnerMark, ports: Vec<Ports>) -> Self {
        Self { configured: vec![mark.clone()], mark, ports, quota: DEFAULT_QUOTA, make_room: false }
    }

    /// How many rules one prefix takes.
    pub(crate) fn rules_of_a_prefix(&self) -> u64 {
        self.ports.len().max(1) as u64
    }
}
