use super::*;
use crate::fixture::{config, publication, set};

const CONFIG: &str = "[lists.used]\ntags = [\"alpha\", \"Beta\"]\n[lists.unused]\ntags = [\"Gamma\"]\n\
                      [targets.edge]\nlists = [\"used\"]\nnftables = {}";

type Tags<'a> = &'a [(&'a str, &'a [&'a str])];
/// A tag, its own change number in each, and what only each has.
type Expected<'a> = (&'a str, [Option<u64>; 2], [&'a [&'a str]; 2]);

/// What differs between two publications, in words.
fn check(source: Tags<'_>, other: Tags<'_>, expected: &[Expected<'_>]) {
    let (one, two) = (publication(376, source), publication(63, other));
    let agreement = Agreement::between(("download", &one), ("discovery-api", &two), &config(CONFIG));
    let expected = expected.iter().map(|(tag, change_numbers, only)| Difference {
        tag: (*tag).to_owned(),
        change_numbers: *change_numbers,
        only: only.map(set),
    });
    assert_eq!(agreement.differences, expected.collect::<Vec<_>>(), "{source:?} {other:?}");
    assert_eq!((agreement.tags, agreement.source.change_number, agreement.other.change_number), (2, 376, 63));
}

#[test]
fn only_what_targets_use_is_compared_and_only_by_addresses() {
    const A: &[&str] = &["192.0.2.0/24", "2001:db8::/32"];
    const B: &[&str] = &["198.51.100.0/24"];
    check(&[("Alpha", A), ("Beta", B)], &[("Alpha", A), ("Beta", B)], &[]);
    // Written another way, in another order, and beside a tag that no target uses.
    let split: &[&str] = &["2001:db8::/32", "192.0.2.128/25", "192.0.2.0/25"];
    check(&[("Alpha", A), ("Beta", B), ("Gamma", A)], &[("Beta", B), ("Alpha", split)], &[]);
}

#[test]
fn each_kind_of_difference_is_told() {
    const B: &[&str] = &["198.51.100.0/24"];
    let both = Some(376);
    // One prefix more on either side.
    check(
        &[("Alpha", &["192.0.2.0/25"]), ("Beta", B)],
        &[("Alpha", &["192.0.2.0/24"]), ("Beta", B)],
        &[("alpha", [both, Some(63)], [&[], &["192.0.2.128/25"]])],
    );
    check(
        &[("Alpha", &["192.0.2.0/24", "203.0.113.0/24"]), ("Beta", B)],
        &[("Alpha", &["192.0.2.0/24", "2001:db8::/32"]), ("Beta", B)],
        &[("alpha", [both, Some(63)], [&["203.0.113.0/24"], &["2001:db8::/32"]])],
    );
    // A tag that one of them does not have, and one that neither has: nothing to disagree on.
    check(&[("Beta", B)], &[("Alpha", B), ("Beta", B)], &[("alpha", [None, Some(63)], [&[], B])]);
    check(&[("Alpha", B), ("Beta", B)], &[("Beta", B)], &[("alpha", [both, None], [B, &[]])]);
    check(&[("Beta", B)], &[("Beta", B)], &[]);
    // An empty tag is another thing than none.
    check(&[("Alpha", &[]), ("Beta", B)], &[("Beta", B)], &[("alpha", [both, None], [&[], &[]])]);
}
