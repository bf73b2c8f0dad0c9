//! `PrefixSet` and `AddressRange` against the bitmap.

use proptest::prelude::*;
use tagwall_provider::{AddressCount, AddressRange, Family, IpNet, PrefixSet};

use crate::world::{Corner, Model, corners, range, ranges};

fn as_pairs(prefixes: impl Iterator<Item = IpNet>) -> Vec<(std::net::IpAddr, u32)> {
    prefixes.map(|prefix| (prefix.addr(), prefix.prefix_len().into())).collect()
}

/// Everything that can be asked of a set, asked of the model too.
fn same(corner: Corner, set: &PrefixSet, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(&Model::asked(corner, set), model);
    // Together with the count nothing outside the world can be in.
    prop_assert_eq!(set.addresses(corner.family), AddressCount::new(model.count()));
    let other = if corner.family == Family::V4 { Family::V6 } else { Family::V4 };
    prop_assert!(set.only(other).is_empty());
    prop_assert_eq!(set.is_empty(), model.count() == 0);
    let cover = model.cover(corner);
    prop_assert_eq!(set.prefix_count(corner.family), cover.len());
    prop_assert_eq!(as_pairs(set.prefixes()), cover);
    prop_assert_eq!(&set.prefixes().collect::<PrefixSet>(), set);
    prop_assert_eq!(&set.ranges().collect::<PrefixSet>(), set);
    let shown: Vec<String> = set.prefixes().map(|prefix| prefix.to_string()).collect();
    prop_assert_eq!(set.to_string(), shown.join(", "));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn set_algebra(corner in corners(), a in ranges(), b in ranges()) {
        let (left, right) = (corner.set(&a), corner.set(&b));
        let (l, r) = (Model::of(&a), Model::of(&b));
        same(corner, &left, &l)?;
        same(corner, &left.union(&right), &l.with(&r, |l, r| l || r))?;
        same(corner, &left.intersection(&right), &l.with(&r, |l, r| l && r))?;
        same(corner, &left.difference(&right), &l.with(&r, |l, r| l && !r))?;
        prop_assert_eq!(left == right, l == r);
        prop_assert_eq!(left.is_superset(&right), l.with(&r, |l, r| !r || l).count() == 256);
    }

    #[test]
    fn questions_about_ranges(corner in corners(), a in ranges(), asked in range()) {
        let (set, model) = (corner.set(&a), Model::of(&a));
        let (inside, all) = (model.within(asked), usize::from(asked.1 - asked.0) + 1);
        prop_assert_eq!(set.covers(corner.range(asked)), inside == all);
        prop_assert_eq!(set.meets(corner.range(asked)), inside > 0);
        let run = model.has(asked.0).then(|| {
            let first = (0..=asked.0).rev().take_while(|&at| model.has(at)).last().unwrap();
            let last = (asked.0..=255).take_while(|&at| model.has(at)).last().unwrap();
            corner.range((first, last))
        });
        prop_assert_eq!(set.run_of(corner.range(asked).first()), run);
    }

    /// The world's complement: what reaches the ends of the space, and counts near 2^32 and 2^128.
    #[test]
    fn everything_else(corner in corners(), a in ranges()) {
        let (set, model, everything) = (corner.set(&a), Model::of(&a), corner.everything());
        let rest = everything.difference(&set);
        prop_assert_eq!(Model::asked(corner, &rest), model.with(&model, |there, _| !there));
        prop_assert_eq!(&rest.union(&set), &everything);
        prop_assert!(rest.intersection(&set).is_empty());
        prop_assert_eq!(rest == everything, set.is_empty());
        prop_assert_eq!(&everything.difference(&rest), &set);
        prop_assert_eq!(&rest.prefixes().collect::<PrefixSet>(), &rest);
        if !set.is_empty() {
            prop_assert_eq!(rest.addresses(corner.family), AddressCount::new(corner.last() - (model.count() - 1)));
            prop_assert!(rest.addresses(corner.family) < everything.addresses(corner.family));
        }
    }

    #[test]
    fn ranges_and_prefixes(corner in corners(), asked in range()) {
        let range = corner.range(asked);
        let cover = Model::of(&[asked]).cover(corner);
        prop_assert_eq!(as_pairs(range.prefixes()), cover.clone());
        let prefix = range.prefix();
        prop_assert_eq!(prefix.is_some(), cover.len() == 1, "{:?}", prefix);
        prop_assert_eq!(prefix.map_or(range, AddressRange::from), range);
        let ends = format!("{}-{}", range.first(), range.last());
        prop_assert_eq!(range.to_string(), prefix.map_or(ends, |prefix| prefix.to_string()));
    }

    /// Both families side by side never mix.
    #[test]
    fn families_apart(a in ranges(), b in ranges()) {
        let v4 = Corner { family: Family::V4, base: 0 };
        let v6 = Corner { family: Family::V6, base: 0 };
        let both = v4.set(&a).union(&v6.set(&b));
        same(v4, &both.only(Family::V4), &Model::of(&a))?;
        same(v6, &both.only(Family::V6), &Model::of(&b))?;
        prop_assert_eq!(both.difference(&v4.everything()), v6.set(&b));
        prop_assert_eq!(as_pairs(both.prefixes()), [Model::of(&a).cover(v4), Model::of(&b).cover(v6)].concat());
    }
}

#[test]
fn host_bits_do_not_matter() {
    let set = |text: &str| -> PrefixSet { [text.parse::<IpNet>().unwrap()].into_iter().collect() };
    assert_eq!(set("192.0.2.77/24"), set("192.0.2.0/24"));
    assert_ne!(set("192.0.2.77/32"), set("192.0.2.0/24"));
}

#[test]
fn ranges_the_wrong_way_round_are_none() {
    let check = |first: &str, last: &str, good: bool| {
        let range = AddressRange::new(first.parse().unwrap(), last.parse().unwrap());
        assert_eq!(range.is_some(), good, "{first} {last}");
    };
    check("192.0.2.0", "192.0.2.0", true);
    check("192.0.2.0", "192.0.2.1", true);
    check("192.0.2.1", "192.0.2.0", false);
    check("192.0.2.1", "2001:db8::", false);
    check("2001:db8::", "192.0.2.1", false);
    check("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true);
}
