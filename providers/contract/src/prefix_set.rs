//! A set of addresses, held so that two sets are equal exactly when they admit the same addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::runs::{Bits, Runs};
use crate::{AddressCount, AddressRange, Family};

/// A set of IPv4 and IPv6 addresses that shows itself as its canonical minimal cover: the fewest prefixes that
/// admit these addresses and no other.
///
/// However it was built (prefixes in any order, nested, touching, split), the same addresses make the same
/// value: `==` compares what is admitted, not how it was written.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct PrefixSet {
    v4: Runs<u32>,
    v6: Runs<u128>,
}

impl PrefixSet {
    /// The set that admits nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it admits nobody.
    pub fn is_empty(&self) -> bool {
        self.v4.as_slice().is_empty() && self.v6.as_slice().is_empty()
    }

    /// What either set admits.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self { v4: self.v4.union(&other.v4), v6: self.v6.union(&other.v6) }
    }

    /// What both sets admit.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self { v4: self.v4.intersection(&other.v4), v6: self.v6.intersection(&other.v6) }
    }

    /// What this set admits and the other does not.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self { v4: self.v4.difference(&other.v4), v6: self.v6.difference(&other.v6) }
    }

    /// The part of one family.
    #[must_use]
    pub fn only(&self, family: Family) -> Self {
        match family {
            Family::V4 => Self { v4: self.v4.clone(), v6: Runs::default() },
            Family::V6 => Self { v4: Runs::default(), v6: self.v6.clone() },
        }
    }

    /// Whether the address is admitted.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.run_of(address).is_some()
    }

    /// The whole contiguous run of admitted addresses that holds this address.
    pub fn run_of(&self, address: IpAddr) -> Option<AddressRange> {
        match address {
            IpAddr::V4(address) => self.v4.run_of(address.into()).map(v4_range),
            IpAddr::V6(address) => self.v6.run_of(address.into()).map(v6_range),
        }
    }

    /// Whether every address of the range is admitted.
    pub fn covers(&self, range: impl Into<AddressRange>) -> bool {
        let range = range.into();
        match (range.first(), range.last()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => self.v4.covers(first.into(), last.into()),
            (IpAddr::V6(first), IpAddr::V6(last)) => self.v6.covers(first.into(), last.into()),
            _ => false,
        }
    }

    /// Whether any address of the range is admitted.
    pub fn meets(&self, range: impl Into<AddressRange>) -> bool {
        let range = range.into();
        match (range.first(), range.last()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => self.v4.meets(first.into(), last.into()),
            (IpAddr::V6(first), IpAddr::V6(last)) => self.v6.meets(first.into(), last.into()),
            _ => false,
        }
    }

    /// Whether it admits all that the other admits.
    pub fn is_superset(&self, other: &Self) -> bool {
        other.difference(self).is_empty()
    }

    /// The contiguous runs of addresses, IPv4 then IPv6, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = AddressRange> + '_ {
        let v4 = self.v4.as_slice().iter().copied().map(v4_range);
        v4.chain(self.v6.as_slice().iter().copied().map(v6_range))
    }

    /// The canonical minimal cover, IPv4 then IPv6, ascending.
    pub fn prefixes(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.ranges().flat_map(|range| range.prefixes())
    }

    /// How many prefixes the minimal cover has in one family.
    pub fn prefix_count(&self, family: Family) -> usize {
        self.only(family).prefixes().count()
    }

    /// How many addresses of one family it admits.
    pub fn addresses(&self, family: Family) -> AddressCount {
        match family {
            Family::V4 => count(&self.v4),
            Family::V6 => count(&self.v6),
        }
    }
}

fn count<T: Bits>(runs: &Runs<T>) -> AddressCount {
    let counted = |sum: AddressCount, run: &(T, T)| sum.plus_range(run.0.wide(), run.1.wide());
    runs.as_slice().iter().fold(AddressCount::ZERO, counted)
}

fn v4_range((first, last): (u32, u32)) -> AddressRange {
    (Ipv4Addr::from(first), Ipv4Addr::from(last)).into()
}

fn v6_range((first, last): (u128, u128)) -> AddressRange {
    (Ipv6Addr::from(first), Ipv6Addr::from(last)).into()
}

impl<T: Into<AddressRange>> FromIterator<T> for PrefixSet {
    fn from_iter<I: IntoIterator<Item = T>>(ranges: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for range in ranges {
            let range = range.into();
            match (range.first(), range.last()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((first.into(), last.into())),
                (IpAddr::V6(first), IpAddr::V6(last)) => v6.push((first.into(), last.into())),
                _ => unreachable!("a range is of one family"),
            }
        }
        Self { v4: Runs::from_unordered(v4), v6: Runs::from_unordered(v6) }
    }
}

impl fmt::Display for PrefixSet {
    /// The minimal cover, separated by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, prefix) in self.prefixes().enumerate() {
            write!(f, "{}{prefix}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for PrefixSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.prefixes()).finish()
    }
}
