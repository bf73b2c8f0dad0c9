//! The encoder against the parser, and the parser against everything.

use std::net::{Ipv4Addr, Ipv6Addr};

use nix::errno::Errno;
use proptest::prelude::*;
use tagwall_provider::{AddressRange, Family, OwnerMark, PrefixSet};

use crate::error::classified;
use crate::netlink::message::{Batch, SetName};
use crate::netlink::parse::{self, ElementSeen, messages};
use crate::netlink::socket::{COMMIT, NetlinkError};
use crate::netlink::wire::{self, msg};
use crate::rule::{Expr, Rule};
use crate::settings::{Established, Hook, Mode, Names, Protocol, Settings};
use crate::skeleton::Skeleton;
use crate::stored::{Stored, pair_up};

const SET: SetName<'static> = SetName { family: wire::family::INET, table: "tagwall", set: "edge-v4" };

fn settings() -> Settings {
    Settings {
        mark: OwnerMark::new("test", "edge").unwrap(),
        siblings: Vec::new(),
        ports: vec![8443, 1],
        protocol: Protocol::Tcp,
        mode: Mode::Enforce { hook: Hook::Prerouting, established: Established::Keep, priority: None },
    }
}

fn skeleton() -> Skeleton {
    Skeleton::new(&settings(), Hook::Prerouting, Established::Keep, None)
}

/// A transaction with everything in it.
fn everything(ranges: &[AddressRange]) -> Vec<u8> {
    let skeleton = skeleton();
    let mut batch = Batch::new(7, Some(42));
    crate::ffi::new_table(&mut batch, "tagwall", "made");
    batch.new_set(SET, Family::V4, "tagwall:test/edge");
    crate::ffi::new_chain(&mut batch, "tagwall", "edge-ports", Some(skeleton.base), "tagwall:test/edge");
    for rule in skeleton.ports.iter().chain(&skeleton.admit) {
        crate::ffi::new_rule(&mut batch, "tagwall", "edge-ports", rule);
    }
    batch.intervals(msg::DEL_ELEMENT, SET, ranges.iter().copied());
    batch.intervals(msg::NEW_ELEMENT, SET, ranges.iter().copied());
    batch.flush(SET);
    batch.finish()
}

fn read_back(bytes: &[u8], family: Family) -> Stored {
    let mut elements = Vec::new();
    for message in messages(bytes).map(Result::unwrap) {
        if message.table_message() == Some(msg::NEW_ELEMENT) {
            parse::elements(&message, family, |element| elements.push(element)).unwrap();
        }
    }
    pair_up(elements, family, true, "s")
}

fn sets_of(family: Family) -> impl Strategy<Value = PrefixSet> {
    let address = match family {
        // Small numbers and great ones, so that neighbours and both ends come up.
        Family::V4 => prop_oneof![0u128..300, (u128::from(u32::MAX) - 300)..=u128::from(u32::MAX)].boxed(),
        Family::V6 => prop_oneof![0u128..300, (u128::MAX - 300)..=u128::MAX].boxed(),
    };
    let range = (address, 0u128..20).prop_map(move |(first, more)| match family {
        Family::V4 => {
            let first = u32::try_from(first).unwrap();
            let last = first.saturating_add(u32::try_from(more).unwrap());
            AddressRange::from((Ipv4Addr::from(first), Ipv4Addr::from(last)))
        }
        Family::V6 => AddressRange::from((Ipv6Addr::from(first), Ipv6Addr::from(first.saturating_add(more)))),
    });
    proptest::collection::vec(range, 0..40).prop_map(|ranges| ranges.into_iter().collect())
}

proptest! {
    /// What is written as intervals is read back as the same intervals, prefixes and runs alike.
    #[test]
    fn intervals_round_trip(v4 in sets_of(Family::V4), v6 in sets_of(Family::V6)) {
        for (family, set) in [(Family::V4, v4), (Family::V6, v6)] {
            let prefixes: Vec<AddressRange> = set.prefixes().map(AddressRange::from).collect();
            for ranges in [prefixes, set.ranges().collect()] {
                let mut batch = Batch::new(1, None);
                batch.intervals(msg::NEW_ELEMENT, SET, ranges.iter().copied());
                batch.flush(SET);
                let stored = read_back(&batch.finish(), family);
                prop_assert_eq!((stored.ranges, stored.odd), (ranges, Vec::new()));
            }
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        crate::fuzz_parse(&bytes);
    }

    /// Well-formed messages with a few bytes changed get further in than noise does.
    #[test]
    fn no_changed_bytes_make_the_parser_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        until in any::<prop::sample::Index>(),
    ) {
        let mut bytes = everything(&[AddressRange::from((Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST))]);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        crate::fuzz_parse(&bytes[..until.index(bytes.len())]);
    }

    /// No two targets share an object's name, nor is one target's chain another's.
    #[test]
    fn names_are_apart(one in "[-_.a-z0-9]{1,3}(-ports|-admit|-v4)?", other in "[-_.a-z0-9]{1,3}(-ports|-admit|-v4)?") {
        let all = |target: &str| {
            let Names { ports, admit, sets } = Names::of(target);
            [ports, admit, sets.v4, sets.v6]
        };
        let (ones, others) = (all(&one), all(&other));
        prop_assert_eq!(one == other, ones.iter().any(|name| others.contains(name)));
        let begins = |name: &String| name.starts_with(|first: char| first.is_ascii_alphabetic() || "_.".contains(first));
        prop_assert!(ones.iter().all(begins), "{ones:?}");
    }
}

/// Rules come back from libnftnl as they went in: what is expected and what is read have one form.
#[test]
fn rules_round_trip() {
    let bytes = everything(&[]);
    let seen: Vec<Rule> = messages(&bytes)
        .map(Result::unwrap)
        .filter(|message| message.table_message() == Some(msg::NEW_RULE))
        .map(|message| parse::rule(&message).unwrap().rule)
        .collect();
    let skeleton = skeleton();
    assert_eq!(seen, [skeleton.ports, skeleton.admit].concat());
    assert!(!seen.iter().flat_map(|rule| &rule.exprs).any(|expr| matches!(expr, Expr::Other(_))));
}

/// A start and its end stand in one message, and no list passes its 16-bit length.
#[test]
fn large_changes_are_split_between_intervals() {
    let ranges: Vec<AddressRange> =
        (0..5000u32).map(|n| (Ipv4Addr::from(n * 8), Ipv4Addr::from(n * 8 + 3)).into()).collect();
    let bytes = everything(&ranges);
    let lists: Vec<_> = messages(&bytes)
        .map(Result::unwrap)
        .filter(|message| message.table_message() == Some(msg::NEW_ELEMENT))
        .collect();
    assert!(lists.len() > 2);
    for message in lists {
        let mut elements = Vec::new();
        parse::elements(&message, Family::V4, |element| elements.push(element)).unwrap();
        for pair in elements.chunks(2) {
            assert!(
                matches!(pair, [ElementSeen::Start(first), ElementSeen::End(end)] if first + 4 == *end),
                "{pair:?}"
            );
        }
    }
    assert_eq!(read_back(&bytes, Family::V4).ranges, ranges);
}

/// Only the last message asks for an answer; the first carries the lock.
#[test]
fn transactions_are_framed() {
    let bytes = everything(&[]);
    let all: Vec<_> = messages(&bytes).map(Result::unwrap).collect();
    let acknowledged: Vec<usize> = (0..all.len()).filter(|&index| all[index].flags & wire::ACK != 0).collect();
    assert_eq!(acknowledged, [all.len() - 2]);
    assert_eq!((all[0].kind, all[all.len() - 1].kind), (wire::BATCH_BEGIN, wire::BATCH_END));
    assert_eq!(all[0].attributes().unwrap().next(), Some(Ok((wire::BATCH_GENERATION, &42u32.to_be_bytes()[..]))));
    assert!(all.iter().zip(7..).all(|(message, number)| message.sequence == number), "numbered on from the first");
}

/// Bytes that are cut off are no shorter answer.
#[test]
fn truncation_is_noticed() {
    let bytes = everything(&[AddressRange::from((Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST))]);
    let ends: Vec<usize> = messages(&bytes).map(Result::unwrap).fold(vec![0], |mut ends, message| {
        ends.push(ends[ends.len() - 1] + (message.payload.len() + 16).next_multiple_of(4));
        ends
    });
    for until in 0..bytes.len() {
        let broken = messages(&bytes[..until]).any(|message| message.is_err());
        // Padding may be cut off.
        let whole = ends.iter().any(|end| (end.saturating_sub(3)..=*end).contains(&until));
        assert!(broken || whole, "cut at {until}");
    }
}

fn check_pairs(elements: &[ElementSeen], ranges: &str, odd: &[&str]) {
    let stored = pair_up(elements.to_vec(), Family::V4, true, "s");
    let listed: Vec<String> = stored.ranges.iter().map(ToString::to_string).collect();
    assert_eq!(
        (listed.join(" ").as_str(), stored.odd),
        (ranges, odd.iter().map(ToString::to_string).collect()),
        "{elements:?}"
    );
}

#[test]
fn elements_pair_up() {
    use ElementSeen::{CatchAll, End, Expires, Start};
    let top = u128::from(u32::MAX);
    check_pairs(&[], "", &[]);
    check_pairs(&[Start(1), End(2)], "0.0.0.1/32", &[]);
    // In any order; the end that nft puts at the lowest address means nothing.
    check_pairs(&[End(4), Start(2), End(0)], "0.0.0.2/31", &[]);
    // Neighbours.
    check_pairs(&[Start(2), End(4), Start(4), End(7)], "0.0.0.2/31 0.0.0.4-0.0.0.6", &[]);
    // Up to the highest address there is no end.
    check_pairs(&[Start(top)], "255.255.255.255/32", &[]);
    check_pairs(&[Start(0)], "0.0.0.0/0", &[]);
    check_pairs(&[Start(1), End(2), End(9)], "0.0.0.1/32", &["set s has an end without a beginning"]);
    check_pairs(&[Start(1), Start(4), End(6)], "0.0.0.1-0.0.0.3 0.0.0.4/31", &["set s has a beginning without an end"]);
    check_pairs(
        &[Start(1), Expires(1), End(2), Start(4), Expires(4), End(6)],
        "0.0.0.1/32 0.0.0.4/31",
        &["set s has an element with a timeout: what it admits would go by itself"],
    );
    check_pairs(&[CatchAll], "0.0.0.0/0", &["set s has a catch-all element: it admits everybody"]);
}

#[test]
fn error_numbers_have_classes() {
    let check = |doing, errno, class: &str, hint: Option<&str>| {
        let error = classified(&NetlinkError::Refused { doing, errno });
        assert_eq!(error.class(), class, "{errno}");
        match hint {
            Some(hint) => assert!(error.hint().unwrap().contains(hint), "{errno}: {:?}", error.hint()),
            None => assert_eq!(error.hint(), None, "{errno}"),
        }
    };
    check("list sets", Errno::EPERM, "denied", Some("CAP_NET_ADMIN"));
    check(COMMIT, Errno::EPERM, "denied", Some("CAP_NET_ADMIN"));
    check("open a netlink socket", Errno::EPROTONOSUPPORT, "rejected", Some("modprobe nf_tables"));
    check("read the generation id", Errno::EINVAL, "rejected", Some("modprobe nf_tables"));
    check(COMMIT, Errno::EINVAL, "rejected", None);
    check(COMMIT, Errno::EOPNOTSUPP, "rejected", Some("nft_fib_inet"));
    check(COMMIT, Errno::EEXIST, "conflict", None);
    check(COMMIT, Errno::ENOENT, "conflict", None);
    check(COMMIT, Errno::EBUSY, "rejected", Some("refers to one of its chains"));
    check(COMMIT, Errno::ENFILE, "rejected", Some("larger `size`"));
    check(COMMIT, Errno::ENOMEM, "transient", None);
    check("list sets", Errno::ENOBUFS, "transient", None);
}
