//! What a target is to be: plain values, no file formats.

use std::fmt;

use tagwall_provider::{Family, OwnerMark, PerFamily};

use crate::netlink::wire;

/// One nftables target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whose target it is and what it is called. Everything that is created carries it as a comment.
    pub mark: OwnerMark,
    /// The names of all configured nftables targets of this owner. What carries our owner's mark with another
    /// target's name is an orphan.
    pub siblings: Vec<String>,
    /// The ports that are kept, at least one.
    pub ports: Vec<u16>,
    /// Their protocol.
    pub protocol: Protocol,
    /// How they are kept.
    pub mode: Mode,
}

/// The protocol of the ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
}

impl Protocol {
    /// Its number in the IP header.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// How the ports are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Chains and sets of our own in table `inet tagwall`, which drop what is not admitted.
    Enforce {
        /// Where packets are looked at.
        hook: Hook,
        /// What becomes of connections whose source is no longer admitted.
        established: Established,
        /// The priority of the chain among those of its hook; lower is earlier. By default [`Hook::priority`].
        priority: Option<i32>,
    },
    /// Named sets in the operator's own table, of which only the elements are touched.
    Set {
        /// The family of the table.
        family: TableFamily,
        /// The name of the table.
        table: String,
        /// The name of the set for IPv4.
        v4: Option<String>,
        /// The name of the set for IPv6.
        v6: Option<String>,
        /// Whether whatever stands in the sets is ours: the operator said so, or tagwall has filled them before.
        claimed: bool,
    },
}

/// Where packets are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Packets to this host itself. Ports that DNAT forwards (to containers) never come by here.
    Input,
    /// Packets as they arrive, before DNAT: for ports that are forwarded. Only those to an address of this host.
    Prerouting,
}

impl Hook {
    /// The priority where none is configured: 0 (`filter`) on input; -150 (`mangle`) on prerouting, behind
    /// connection tracking (-200) and before DNAT (-100).
    pub const fn priority(self) -> i32 {
        match self {
            Self::Input => 0,
            Self::Prerouting => -150,
        }
    }

    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Input => wire::HOOK_INPUT,
            Self::Prerouting => wire::HOOK_PREROUTING,
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Input => "input",
            Self::Prerouting => "prerouting",
        })
    }
}

/// What becomes of connections whose source is no longer admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Established {
    /// They stall at once.
    Cut,
    /// They go on until they end. Takes connection tracking, so a priority above -200 on prerouting.
    Keep,
}

/// The family of a table that can hold address sets of use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFamily {
    /// Both IPv4 and IPv6.
    Inet,
    /// IPv4
    Ip,
    /// IPv6
    Ip6,
}

impl TableFamily {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Inet => wire::family::INET,
            Self::Ip => wire::family::IP,
            Self::Ip6 => wire::family::IP6,
        }
    }
}

impl fmt::Display for TableFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Inet => "inet",
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
        })
    }
}

/// Why settings make no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// There is no port to keep.
    #[error("a target needs at least one port")]
    NoPorts,
    /// Port 0 cannot be connected to.
    #[error("0 is no port")]
    PortZero,
    /// Connection tracking has not looked at the packet yet.
    #[error("priority {0} on prerouting is before connection tracking (-200): no connection can be kept there")]
    TooEarly(i32),
    /// DNAT has changed the port already: whoever it forwards would be let through.
    #[error("priority {0} on prerouting is not before DNAT (-100): forwarded ports would be open to everybody")]
    TooLate(i32),
    /// There is no set to keep.
    #[error("a target in set mode needs the name of a set, for IPv4 or for IPv6")]
    NoSets,
    /// One set cannot hold both families.
    #[error("set `{0}` cannot hold both IPv4 and IPv6 addresses")]
    SameSet(String),
    /// The kernel has no such name.
    #[error("`{0}` is no name of a table or set: 1 to 127 bytes, none of them zero")]
    Name(String),
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        match &self.mode {
            Mode::Enforce { .. } if self.ports.is_empty() => Err(SettingsError::NoPorts),
            Mode::Enforce { .. } if self.ports.contains(&0) => Err(SettingsError::PortZero),
            Mode::Enforce { hook: Hook::Prerouting, established, priority: Some(priority) } => match *priority {
                -100.. => Err(SettingsError::TooLate(*priority)),
                ..=-200 if *established == Established::Keep => Err(SettingsError::TooEarly(*priority)),
                _ => Ok(()),
            },
            Mode::Enforce { .. } => Ok(()),
            Mode::Set { v4: None, v6: None, .. } => Err(SettingsError::NoSets),
            Mode::Set { v4: Some(v4), v6: Some(v6), .. } if v4 == v6 => Err(SettingsError::SameSet(v4.clone())),
            Mode::Set { table, v4, v6, .. } => {
                let bad = |name: &&String| name.is_empty() || name.len() > 127 || name.contains('\0');
                let wrong = [Some(table), v4.as_ref(), v6.as_ref()].into_iter().flatten().find(bad);
                wrong.map_or(Ok(()), |name| Err(SettingsError::Name(name.clone())))
            }
        }
    }
}

/// The table of enforcing targets, shared by all targets of all owners.
pub(crate) const TABLE: &str = "tagwall";

/// What a target's objects are called.
///
/// Every name has a suffix, so that none is a word of nft's language (a chain `mark` can be made, but the listing
/// with it cannot be loaded again), and no two targets share one: `edge` and `edge-admit` both have their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// The base chain, which picks out the ports.
    pub(crate) ports: String,
    /// The chain that decides.
    pub(crate) admit: String,
    /// The sets.
    pub(crate) sets: PerFamily<String>,
}

impl Names {
    /// nft's names begin with a letter, `_` or `.`. Others get a `_`, and so does one that begins with it: the
    /// target of a name can be told from it.
    pub(crate) fn of(target: &str) -> Self {
        let plain = target.starts_with(|first: char| first.is_ascii_alphabetic() || first == '.');
        let stem = format!("{}{target}", if plain { "" } else { "_" });
        Self {
            ports: format!("{stem}-ports"),
            admit: format!("{stem}-admit"),
            sets: PerFamily::from_fn(|family| match family {
                Family::V4 => format!("{stem}-v4"),
                Family::V6 => format!("{stem}-v6"),
            }),
        }
    }
}
