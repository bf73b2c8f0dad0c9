//! Counts and marks.

use std::cmp::Ordering;

use proptest::prelude::*;
use tagwall_provider::{AddressCount, Family, IpNet, OwnerMark, PrefixSet};

fn addresses(texts: &[&str]) -> AddressCount {
    let set: PrefixSet = texts.iter().map(|text| text.parse::<IpNet>().unwrap()).collect();
    let family = Family::of(texts[0].parse::<IpNet>().unwrap().addr());
    set.addresses(family)
}

#[test]
fn counts_reach_the_whole_of_ipv6() {
    let check =
        |prefixes: &[&str], expected: &str| assert_eq!(addresses(prefixes).to_string(), expected, "{prefixes:?}");
    check(&["192.0.2.1/32"], "1");
    check(&["192.0.2.0/24", "192.0.2.7/32"], "256");
    check(&["0.0.0.0/0"], "4294967296");
    check(&["0.0.0.0/1"], "2147483648");
    check(&["2001:db8::1/128"], "1");
    check(&["2001:db8::/64"], "18446744073709551616");
    check(&["::/1"], "170141183460469231731687303715884105728");
    check(&["8000::/1"], "170141183460469231731687303715884105728");
    check(&["::/0"], "340282366920938463463374607431768211456");
    check(&["::/1", "8000::/1"], "340282366920938463463374607431768211456");
    let halves: Vec<String> =
        (1..=128).map(|length| format!("{}/{length}", std::net::Ipv6Addr::from(1_u128 << (128 - length)))).collect();
    let all_but_the_first: Vec<&str> = halves.iter().map(String::as_str).collect();
    check(&all_but_the_first, "340282366920938463463374607431768211455");
}

#[test]
fn percentages() {
    let whole = addresses(&["::/0"]);
    let check = |part: AddressCount, total: AddressCount, expected: f64| {
        let percent = part.percent_of(total);
        assert!(percent == expected || (percent - expected).abs() < 1e-9, "{part} of {total}: {percent}");
    };
    check(AddressCount::ZERO, AddressCount::ZERO, 0.0);
    check(AddressCount::ZERO, whole, 0.0);
    check(AddressCount::from(1), AddressCount::ZERO, f64::INFINITY);
    check(addresses(&["::/1"]), whole, 50.0);
    check(whole, whole, 100.0);
    check(AddressCount::from(1), AddressCount::from(8), 12.5);
    assert!(whole.as_f64() > AddressCount::new(u128::MAX >> 1).as_f64());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn counts_order_as_numbers(a in any::<u128>(), b in any::<u128>()) {
        prop_assert_eq!(AddressCount::new(a).cmp(&AddressCount::new(b)), a.cmp(&b));
        prop_assert_eq!(AddressCount::new(a).to_string(), a.to_string());
        prop_assert_eq!(AddressCount::new(a).is_zero(), a == 0);
        prop_assert_eq!(AddressCount::new(a).cmp(&addresses(&["::/0"])), Ordering::Less);
    }

    #[test]
    fn marks_survive_their_text(owner in "[A-Za-z0-9._-]{1,48}", target in "[A-Za-z0-9._-]{1,48}") {
        let mark = OwnerMark::new(&owner, &target).unwrap();
        prop_assert_eq!(mark.to_string().parse::<OwnerMark>().unwrap(), mark.clone());
        prop_assert_eq!((mark.owner(), mark.target()), (owner.as_str(), target.as_str()));
        prop_assert!(mark.to_string().len() <= 128, "an nftables comment takes 128 bytes");
    }

    /// Whatever is taken for a mark is one, to the byte: somebody else's comment never is.
    #[test]
    fn what_parses_prints_as_itself(text in "(tagwall:)?[a-z./: \u{e9}]{0,5}/?[a-z./: \n]{0,50}") {
        if let Ok(mark) = text.parse::<OwnerMark>() {
            prop_assert_eq!(mark.to_string(), text);
        }
    }
}

#[test]
fn what_is_no_mark() {
    let check = |text: &str, good: bool| assert_eq!(text.parse::<OwnerMark>().is_ok(), good, "{text}");
    check("tagwall:edge-eu/api", true);
    check("tagwall:a/b", true);
    check("tagwall:edge.example.net/api_2", true);
    check("", false);
    check("tagwall:", false);
    check("tagwall:/", false);
    check("tagwall:a", false);
    check("tagwall:a/", false);
    check("tagwall:/b", false);
    check("tagwall:a/b/c", false);
    check("tagwall:a/b ", false);
    check(" tagwall:a/b", false);
    check("Tagwall:a/b", false);
    check("tagwall:a/b\n", false);
    check("tagwall:a/b\0", false);
    check("tagwall:\u{e9}/b", false);
    check(&format!("tagwall:{}/{}", "o".repeat(48), "t".repeat(48)), true);
    check(&format!("tagwall:{}/b", "o".repeat(49)), false);
    check(&format!("tagwall:a/{}", "t".repeat(49)), false);
}
