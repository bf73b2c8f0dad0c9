use super::*;
use crate::fixture::{config, publication, set};

const TARGET: &str = "[targets.t]\nlists = [\"a\", \"b\"]\nnftables = {}";

fn tags() -> Publication {
    publication(
        1,
        &[
            ("Alpha", &["192.0.2.0/25", "2001:db8::/48"]),
            ("Beta", &["192.0.2.128/25"]),
            ("Alpha.North", &["198.51.100.0/24"]),
            ("Empty", &[]),
        ],
    )
}

fn list(text: &str) -> List {
    config(&format!("[lists.a]\n{text}")).lists["a"].clone()
}

#[track_caller]
fn check(text: &str, expect: &[&str], limits: &[Limit]) {
    let (resolved, refusals) = resolve(&list(text), &tags());
    assert_eq!(resolved.all(), set(expect));
    assert_eq!(refusals.iter().map(|refusal| refusal.limit).collect::<Vec<_>>(), limits, "{refusals:?}");
}

#[test]
fn tags_regions_families_extra_and_exclude() {
    check("tags = [\"Alpha\"]", &["192.0.2.0/25", "2001:db8::/48"], &[]);
    check("tags = [\"alpha\", \"BETA\"]", &["192.0.2.0/24", "2001:db8::/48"], &[]);
    check("tags = [\"Alpha\"]\nregions = [\"north\"]", &["198.51.100.0/24"], &[]);
    check("tags = [\"Alpha\"]\nfamilies = [\"ipv6\"]", &["2001:db8::/48"], &[]);
    check("tags = [\"Beta\"]\nextra = [\"203.0.113.7\"]", &["192.0.2.128/25", "203.0.113.7/32"], &[]);
    check("tags = [\"Beta\"]\nexclude = [\"192.0.2.128/26\"]", &["192.0.2.192/26"], &[]);
    check("tags = []\nextra = [\"203.0.113.7\"]\nexclude = [\"203.0.113.0/24\"]", &[], &[]);
}

#[test]
fn missing_and_empty_tags_are_refused() {
    check("tags = [\"Gamma\"]", &[], &[Limit::MissingTag]);
    check("tags = [\"Empty\"]", &[], &[Limit::EmptyTag]);
    // A tag with nothing in the families that are asked for is as empty.
    check("tags = [\"Beta\"]\nfamilies = [\"ipv6\"]", &[], &[Limit::EmptyTag]);
    let (_, refusals) = resolve(&list("tags = [\"Alpa\"]"), &tags());
    assert_eq!(refusals[0].choices[0], "did you mean `Alpha`?");
}

#[test]
fn the_operators_own_prefixes_are_judged_by_breadth_alone() {
    check("tags = [\"Beta\"]\nextra = [\"10.0.0.0/16\"]", &["192.0.2.128/25", "10.0.0.0/16"], &[]);
    check("tags = [\"Beta\"]\nextra = [\"10.0.0.0/8\"]", &["192.0.2.128/25", "10.0.0.0/8"], &[Limit::TooBroad]);
}

#[test]
fn what_is_excluded_needs_no_judging() {
    let strange = publication(1, &[("Odd", &["10.0.0.0/16", "192.0.2.0/24"])]);
    let judged = |text: &str| resolve(&list(text), &strange).1.len();
    assert_eq!(judged("tags = [\"Odd\"]"), 1);
    assert_eq!(judged("tags = [\"Odd\"]\nexclude = [\"10.0.0.0/8\"]"), 0);
}

#[test]
fn a_target_admits_the_union_of_its_lists() {
    let config = config(&format!(
        "[lists.a]\ntags = [\"Alpha\"]\n[lists.b]\ntags = [\"Beta\"]\nextra = [\"203.0.113.7\"]\n{TARGET}"
    ));
    let lists: Vec<Resolved> = config.lists.values().map(|list| resolve(list, &tags()).0).collect();
    let desired = desired(&lists.iter().collect::<Vec<_>>());
    assert_eq!(desired.prefixes(), set(&["192.0.2.0/24", "2001:db8::/48", "203.0.113.7/32"]));
}

#[test]
fn a_tag_that_the_operator_just_added_is_no_growth() {
    let (older, newer) = (publication(1, &[("Alpha", &["192.0.2.0/25"])]), tags());
    let (before, after) = resolve_pair(&list("tags = [\"Alpha\", \"Beta\"]"), &older.tags, &newer.tags);
    assert_eq!(before.all(), set(&["192.0.2.0/25"]));
    assert_eq!(after.all(), set(&["192.0.2.0/25", "2001:db8::/48"]));
}
