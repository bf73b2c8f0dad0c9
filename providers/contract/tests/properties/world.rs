//! The model: a world of 256 addresses, a bitmap of who is in, and corners of the real spaces to put it in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use tagwall_provider::{AddressRange, Family, PrefixSet};

/// Where the world lies: a family and the number of its first address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Corner {
    pub(crate) family: Family,
    pub(crate) base: u128,
}

/// Bottom, top and middle of each space, and across its halves, where no prefix reaches over.
pub(crate) fn corners() -> impl Strategy<Value = Corner> {
    let v4 = [0, 0xffff_ff00, 0xc000_0200, 0x7fff_ff80, 0xc000_02f3];
    let documentation = 0x2001_0db8_u128 << 96;
    let v6 = [0, u128::MAX - 255, documentation, (1 << 127) - 128, documentation | 0xffff_ffff_ffff_fff3];
    let v4 = v4.map(|base| Corner { family: Family::V4, base });
    let v6 = v6.map(|base| Corner { family: Family::V6, base });
    prop::sample::select([v4, v6].concat())
}

impl Corner {
    pub(crate) fn width(self) -> u32 {
        if self.family == Family::V4 { 32 } else { 128 }
    }

    /// The address of this number.
    pub(crate) fn address(self, number: u128) -> IpAddr {
        match self.family {
            Family::V4 => Ipv4Addr::from(u32::try_from(number).unwrap()).into(),
            Family::V6 => Ipv6Addr::from(number).into(),
        }
    }

    pub(crate) fn last(self) -> u128 {
        if self.family == Family::V4 { u128::from(u32::MAX) } else { u128::MAX }
    }

    pub(crate) fn range(self, (first, last): (u8, u8)) -> AddressRange {
        let address = |at: u8| self.address(self.base + u128::from(at));
        AddressRange::new(address(first), address(last)).unwrap()
    }

    pub(crate) fn everything(self) -> PrefixSet {
        [AddressRange::new(self.address(0), self.address(self.last())).unwrap()].into_iter().collect()
    }

    pub(crate) fn set(self, ranges: &[(u8, u8)]) -> PrefixSet {
        ranges.iter().map(|&range| self.range(range)).collect()
    }
}

/// Who of the 256 is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Model([bool; 256]);

impl Model {
    pub(crate) fn of(ranges: &[(u8, u8)]) -> Self {
        Self(std::array::from_fn(|at| ranges.iter().any(|&(first, last)| (first..=last).contains(&(at as u8)))))
    }

    /// What a set says about each address, one by one.
    pub(crate) fn asked(corner: Corner, set: &PrefixSet) -> Self {
        Self(std::array::from_fn(|at| set.contains(corner.address(corner.base + at as u128))))
    }

    pub(crate) fn with(&self, other: &Self, rule: impl Fn(bool, bool) -> bool) -> Self {
        Self(std::array::from_fn(|at| rule(self.0[at], other.0[at])))
    }

    pub(crate) fn has(&self, at: u8) -> bool {
        self.0[usize::from(at)]
    }

    pub(crate) fn count(&self) -> u128 {
        self.0.iter().filter(|there| **there).count() as u128
    }

    pub(crate) fn within(&self, (first, last): (u8, u8)) -> usize {
        self.0[usize::from(first)..=usize::from(last)].iter().filter(|there| **there).count()
    }

    /// The fewest aligned blocks that tile it exactly, as first address and length, by taking the space apart: a
    /// block is one where it is full, and else the sum of its halves.
    pub(crate) fn cover(&self, corner: Corner) -> Vec<(IpAddr, u32)> {
        let mut cover = Vec::new();
        self.cover_block(corner, 0, corner.width(), &mut cover);
        cover
    }

    fn cover_block(&self, corner: Corner, first: u128, host_bits: u32, cover: &mut Vec<(IpAddr, u32)>) {
        let span = if host_bits == 128 { u128::MAX } else { (1_u128 << host_bits) - 1 };
        let inside = |at: &usize| (first..=first + span).contains(&(corner.base + *at as u128));
        let there = (0..256).filter(inside).filter(|&at| self.0[at]).count() as u128;
        if there == 0 {
        } else if there - 1 == span {
            cover.push((corner.address(first), corner.width() - host_bits));
        } else {
            let half = 1 << (host_bits - 1);
            self.cover_block(corner, first, host_bits - 1, cover);
            self.cover_block(corner, first + half, host_bits - 1, cover);
        }
    }
}

/// Up to eight ranges, some of them prefixes, overlapping, touching or apart.
pub(crate) fn ranges() -> impl Strategy<Value = Vec<(u8, u8)>> {
    prop::collection::vec(range(), 0..8)
}

pub(crate) fn range() -> impl Strategy<Value = (u8, u8)> {
    let any_two = (any::<u8>(), any::<u8>()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let aligned = (any::<u8>(), 0_u32..=8).prop_map(|(at, host_bits)| {
        let span = ((1_u16 << host_bits) - 1) as u8;
        (at & !span, at | span)
    });
    prop_oneof![any_two, aligned]
}
