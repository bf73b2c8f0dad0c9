//! A contiguous run of addresses of one family: what a kernel stores where a prefix is too narrow a word.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv4Subnets, Ipv6Net, Ipv6Subnets};

use crate::Family;

/// Addresses from `first` to `last`, both included, of one family.
///
/// Most are prefixes, and those show as prefixes. Operators' nftables sets may hold others
/// (`192.0.2.3-192.0.2.9`), and an exact delete has to name what is stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

impl AddressRange {
    /// The range from `first` to `last`; `None` where they are of two families or the wrong way round.
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        (Family::of(first) == Family::of(last) && first <= last).then_some(Self { first, last })
    }

    /// The first address.
    pub const fn first(&self) -> IpAddr {
        self.first
    }

    /// The last address, which is part of the range.
    pub const fn last(&self) -> IpAddr {
        self.last
    }

    /// The family of its addresses.
    pub const fn family(&self) -> Family {
        Family::of(self.first)
    }

    /// The prefix that is exactly this range, if one is.
    pub fn prefix(&self) -> Option<IpNet> {
        let (width, span) = match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => (32, u128::from(u32::from(last) - u32::from(first))),
            (IpAddr::V6(first), IpAddr::V6(last)) => (128, u128::from(last) - u128::from(first)),
            _ => return None,
        };
        // A prefix spans a run of one bits: its length is what stands above them.
        let host_bits = u8::try_from(u128::BITS - span.leading_zeros()).ok()?;
        let prefix = IpNet::new(self.first, width - host_bits).ok()?;
        (prefix.network() == self.first && prefix.broadcast() == self.last).then_some(prefix)
    }

    /// The fewest prefixes that together are this range, ascending.
    pub fn prefixes(&self) -> impl Iterator<Item = IpNet> + use<> {
        let (v4, v6) = match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => (Some(Ipv4Subnets::new(first, last, 0)), None),
            (IpAddr::V6(first), IpAddr::V6(last)) => (None, Some(Ipv6Subnets::new(first, last, 0))),
            _ => (None, None),
        };
        v4.into_iter().flatten().map(IpNet::V4).chain(v6.into_iter().flatten().map(IpNet::V6))
    }
}

impl From<IpNet> for AddressRange {
    fn from(prefix: IpNet) -> Self {
        // `broadcast` is ipnet's word for the last address, in both families.
        Self { first: prefix.network(), last: prefix.broadcast() }
    }
}

impl From<Ipv4Net> for AddressRange {
    fn from(prefix: Ipv4Net) -> Self {
        Self::from(IpNet::V4(prefix))
    }
}

impl From<Ipv6Net> for AddressRange {
    fn from(prefix: Ipv6Net) -> Self {
        Self::from(IpNet::V6(prefix))
    }
}

impl From<(Ipv4Addr, Ipv4Addr)> for AddressRange {
    /// # Panics
    /// If the first address is above the second.
    fn from((first, last): (Ipv4Addr, Ipv4Addr)) -> Self {
        assert!(first <= last, "{first} is above {last}");
        Self { first: first.into(), last: last.into() }
    }
}

impl From<(Ipv6Addr, Ipv6Addr)> for AddressRange {
    /// # Panics
    /// If the first address is above the second.
    fn from((first, last): (Ipv6Addr, Ipv6Addr)) -> Self {
        assert!(first <= last, "{first} is above {last}");
        Self { first: first.into(), last: last.into() }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix() {
            Some(prefix) => f.pad(&prefix.to_string()),
            None => f.pad(&format!("{}-{}", self.first, self.last)),
        }
    }
}

impl fmt::Debug for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
