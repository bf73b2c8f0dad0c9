//! Widening against every possible cover.

use std::net::Ipv4Addr;

use proptest::prelude::*;
use tagwall_provider::widen::{Bounds, MOST_WORK, WidenError, Widened, widen};
use tagwall_provider::{AddressCount, Family, IpNet, PrefixSet};

use super::data;
use super::world::{prefix, set};

/// Every aligned block of a world of 2^bits addresses: as a mask of addresses.
fn blocks(bits: u32) -> Vec<u32> {
    let world = 1_u32 << bits;
    let of_size = |size: u32| (0..world).step_by(size as usize).map(move |at| (((1_u64 << size) - 1) << at) as u32);
    (0..=bits).flat_map(|host_bits| of_size(1 << host_bits)).collect()
}

/// For each number of blocks up to `most`: every union that so many make.
fn unions(bits: u32, most: usize) -> Vec<Vec<u32>> {
    let blocks = blocks(bits);
    let mut by_count = vec![vec![0_u32]];
    for _ in 0..most {
        let last = by_count.last().unwrap();
        let mut next: Vec<u32> = last.iter().flat_map(|union| blocks.iter().map(move |block| union | block)).collect();
        next.sort_unstable();
        next.dedup();
        by_count.push(next);
    }
    by_count
}

/// The fewest extra addresses with at most so many blocks: none but by trying all unions.
fn brute(listed: u32, unions: &[u32], allowed: impl Fn(u32) -> bool) -> Option<u32> {
    let covers = unions.iter().filter(|union| *union & listed == listed && allowed(**union));
    covers.map(|union| (union & !listed).count_ones()).min()
}

fn as_set(listed: u32, base: u32) -> PrefixSet {
    let there = (0..32).filter(|at| listed >> at & 1 == 1);
    there.map(|at| IpNet::from(std::net::IpAddr::from(Ipv4Addr::from(base + at)))).collect()
}

fn check(listed: u32, most: usize, unions: &[u32]) {
    let set = as_set(listed, 0xc000_0200);
    let best = brute(listed, unions, |_| true).unwrap();
    let widened = widen(&set, Family::V4, most, &Bounds::default()).unwrap();
    assert_eq!(widened.extra, AddressCount::from(u64::from(best)), "{set} in {most}");
    check_is_cover(&set, Family::V4, most, &widened);
}

fn check_is_cover(set: &PrefixSet, family: Family, most: usize, widened: &Widened) {
    let cover: PrefixSet = widened.prefixes.iter().copied().collect();
    assert!(widened.prefixes.len() <= most && widened.prefixes.is_sorted(), "{widened:?}");
    assert!(cover.is_superset(&set.only(family)), "{widened:?} is not all of {set}");
    assert_eq!(cover.difference(set).addresses(family), widened.extra);
}

#[test]
fn every_set_of_eight_addresses_is_covered_as_well_as_can_be() {
    let unions = unions(3, 4);
    for listed in 1..=0xff {
        (1..=4).for_each(|most| check(listed, most, &unions[most]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn sets_of_thirty_two_addresses_are_covered_as_well_as_can_be(listed in 1_u32.., sparse in any::<u32>(), most in 1_usize..=3) {
        thread_local!(static UNIONS: Vec<Vec<u32>> = unions(5, 3));
        let listed = if listed & sparse == 0 { listed } else { listed & sparse };
        UNIONS.with(|unions| check(listed, most, &unions[most]));
    }
}

/// The brute force is one: it finds what a greedy joining of the cheapest neighbours misses.
#[test]
fn greedy_joining_would_miss_the_best() {
    let listed = 0b0001_0001_0000_0111_u32;
    let best = brute(listed, &unions(4, 2)[2], |_| true);
    assert_eq!(best, Some(6 + 1));
    check(listed, 2, &unions(4, 2)[2]);
}

#[test]
fn bounds_hold() {
    let listed = set(&["192.0.2.0/32", "192.0.2.3/32", "198.51.100.0/32"]);
    let widen = |most, bounds: &Bounds| widen(&listed, Family::V4, most, bounds);
    assert_eq!(widen(3, &Bounds::default()).unwrap().extra, AddressCount::ZERO);
    assert_eq!(widen(2, &Bounds::default()).unwrap().extra, AddressCount::new(2));
    let few = |most: u64| Bounds { most_extra: Some(most.into()), ..Bounds::default() };
    assert!(widen(2, &few(2)).is_ok());
    assert_eq!(widen(2, &few(1)), Err(WidenError::TooManyExtra { extra: AddressCount::new(2) }));
    let long = |broadest| Bounds { broadest, ..Bounds::default() };
    assert!(widen(2, &long(30)).is_ok());
    assert_eq!(widen(2, &long(31)), Err(WidenError::OutOfBounds));
    // What the operator excluded never comes back.
    let never = |texts: &[&str]| Bounds { never: set(texts), ..Bounds::default() };
    assert!(widen(2, &never(&["192.0.2.4/32"])).is_ok());
    assert_eq!(widen(2, &never(&["192.0.2.2/32"])), Err(WidenError::OutOfBounds));
    assert_eq!(widen(0, &Bounds::default()), Err(WidenError::OutOfBounds));
}

#[test]
fn both_ends_of_both_spaces_are_covered() {
    for (texts, family) in [(["0.0.0.0/32", "255.255.255.255/32"], Family::V4), (["::/128", "ffff::/16"], Family::V6)] {
        let listed = set(&texts);
        let widened = widen(&listed, family, 1, &Bounds::default()).unwrap();
        let all = if family == Family::V4 { "0.0.0.0/0" } else { "::/0" };
        assert_eq!(widened.prefixes, [prefix(all)]);
        check_is_cover(&listed, family, 1, &widened);
    }
    let whole = set(&["::/0", "0.0.0.0/0"]);
    assert_eq!(widen(&whole, Family::V6, 1, &Bounds::default()).unwrap().prefixes, [prefix("::/0")]);
    assert_eq!(widen(&PrefixSet::new(), Family::V6, 0, &Bounds::default()).unwrap().prefixes, []);
}

#[test]
fn what_is_too_large_is_refused() {
    let listed: PrefixSet =
        (0..60_000_u32).map(|at| IpNet::from(std::net::IpAddr::from(Ipv4Addr::from(at * 4)))).collect();
    let tried = widen(&listed, Family::V4, 1000, &Bounds::default());
    assert_eq!(tried, Err(WidenError::TooLarge { work: 120_000_000 }));
    const { assert!(MOST_WORK < 120_000_000) };
}

#[test]
fn real_lists_are_widened_in_good_time() {
    let Some(publication) = data::latest() else { return };
    let timed = |tag: &str, family: Family, most: usize| {
        let listed = data::tag(&publication, tag);
        let began = std::time::Instant::now();
        let widened = widen(&listed, family, most, &Bounds::default()).unwrap();
        let took = began.elapsed();
        check_is_cover(&listed, family, most, &widened);
        let percent = widened.extra.percent_of(listed.addresses(family));
        println!(
            "{tag} {family}: {} prefixes in {}: {} extra addresses, {percent:.2} %, {took:?}",
            listed.prefix_count(family),
            widened.prefixes.len(),
            widened.extra
        );
        percent
    };
    assert!(timed("AzureActiveDirectory", Family::V4, 180) < 5.0);
    timed("AzureActiveDirectory", Family::V4, 120);
    timed("AzureActiveDirectory", Family::V4, 60);
    timed("AzureActiveDirectory", Family::V6, 10);
    timed("AzureCloud", Family::V4, 1000);
    timed("AzureCloud", Family::V6, 60);
}
