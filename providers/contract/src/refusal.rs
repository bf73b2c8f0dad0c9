//! Refusals: tagwall would rather do nothing than guess.

use std::fmt;

/// What a refusal is named by, in messages, metrics and `--override`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// A list would lose more addresses or prefixes than allowed, or a whole family.
    Loss,
    /// A list would gain more addresses than allowed.
    Growth,
    /// A tag of a list is not in the publication.
    MissingTag,
    /// A tag of a list has no prefixes.
    EmptyTag,
    /// The publication is of another cloud.
    WrongCloud,
    /// The publication is older than the last one accepted.
    OlderPublication,
    /// A prefix is broader than allowed.
    TooBroad,
    /// A prefix lies in private, loopback, link-local, multicast or documentation space.
    SpecialSpace,
    /// The firewall has no room for it.
    Capacity,
    /// Something of somebody else stands in the way.
    NotOurs,
    /// The firewall knows nothing of the kind: a service tag by name where only addresses are understood.
    Unsupported,
    /// The change would cut the connection that the operator works over.
    OwnSession,
    /// Nobody confirmed what has to be confirmed.
    Unconfirmed,
    /// The operator stopped all writing.
    Paused,
    /// A target that goes ahead of the others did not come out right.
    Canary,
    /// A saved plan is not what would be done now, or not the one that was reviewed.
    StalePlan,
}

impl Limit {
    /// Every limit, in the order of the documentation.
    pub const ALL: [Self; 16] = [
        Self::Loss,
        Self::Growth,
        Self::MissingTag,
        Self::EmptyTag,
        Self::WrongCloud,
        Self::OlderPublication,
        Self::TooBroad,
        Self::SpecialSpace,
        Self::Capacity,
        Self::NotOurs,
        Self::Unsupported,
        Self::OwnSession,
        Self::Unconfirmed,
        Self::Paused,
        Self::Canary,
        Self::StalePlan,
    ];

    /// Its name in the configuration, on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Growth => "growth",
            Self::MissingTag => "missing-tag",
            Self::EmptyTag => "empty-tag",
            Self::WrongCloud => "wrong-cloud",
            Self::OlderPublication => "older-publication",
            Self::TooBroad => "too-broad",
            Self::SpecialSpace => "special-space",
            Self::Capacity => "capacity",
            Self::NotOurs => "not-ours",
            Self::Unsupported => "unsupported",
            Self::OwnSession => "own-session",
            Self::Unconfirmed => "unconfirmed",
            Self::Paused => "paused",
            Self::Canary => "canary",
            Self::StalePlan => "stale-plan",
        }
    }

    /// Whether `--override` can let one pass through. The others say that the input is not what the
    /// configuration names, or that the firewall cannot do it: no word of the operator's changes that.
    pub const fn can_be_overridden(self) -> bool {
        matches!(self, Self::Loss | Self::Growth | Self::OlderPublication | Self::TooBroad | Self::SpecialSpace)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why nothing was changed: what, how much, and what the operator can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which limit.
    pub limit: Limit,
    /// What was found, with its figure and the bound (`IPv4: 42.5 % of the addresses would go, the limit is 10 %`).
    pub finding: String,
    /// What the operator can do, a line each, best first. The renderer adds how to override.
    pub choices: Vec<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.limit, self.finding)
    }
}
