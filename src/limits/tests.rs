use super::*;
use crate::fixture::set;

/// `count` prefixes /24 from 20.0.0.0 on, every other one so that they do not merge.
fn spread(count: u32) -> Vec<String> {
    (0..count).map(|index| format!("20.{}.{}.0/24", index / 100, index % 100 * 2)).collect()
}

fn of(prefixes: &[String]) -> PrefixSet {
    set(&prefixes.iter().map(String::as_str).collect::<Vec<_>>())
}

#[track_caller]
fn check(before: &PrefixSet, after: &PrefixSet, expect: &[Limit]) {
    let refusals = Limits::default().judge_step("list `x`", before, after);
    let found: Vec<Limit> = refusals.iter().map(|refusal| refusal.limit).collect();
    assert_eq!(found, expect, "{refusals:?}");
}

#[test]
fn ten_percent_may_go_and_no_more() {
    let all = spread(100);
    check(&of(&all), &of(&all[10..]), &[]);
    check(&of(&all), &of(&all[11..]), &[Limit::Loss]);
}

#[test]
fn the_share_is_judged_in_addresses_and_in_prefixes() {
    // One prefix of a hundred that holds nearly every address.
    let mut all = spread(99);
    all.push("21.0.0.0/12".to_owned());
    check(&of(&all), &of(&all[..99]), &[Limit::Loss]);
    // Eleven of a hundred prefixes, each losing one address of 256.
    let all = spread(100);
    let nibbled = of(&all).difference(
        &all[..11].iter().map(|prefix| prefix.parse::<IpNet>().unwrap().network()).map(IpNet::from).collect(),
    );
    check(&of(&all), &nibbled, &[Limit::Loss]);
    let nibbled = of(&all).difference(
        &all[..10].iter().map(|prefix| prefix.parse::<IpNet>().unwrap().network()).map(IpNet::from).collect(),
    );
    check(&of(&all), &nibbled, &[]);
}

#[test]
fn what_is_replaced_by_something_wider_is_not_lost() {
    let all = spread(100);
    check(&of(&all), &set(&["20.0.0.0/15"]), &[Limit::Growth]);
    check(&of(&all), &of(&all).union(&of(&all)), &[]);
    check(&set(&["20.0.0.0/24"]), &set(&["20.0.0.0/23"]), &[]);
}

#[test]
fn a_small_list_may_lose_two_prefixes() {
    let all = spread(15);
    check(&of(&all), &of(&all[2..]), &[]);
    check(&of(&all), &of(&all[3..]), &[Limit::Loss]);
    // Sixteen are not small: two of them are 12.5 %.
    let all = spread(16);
    check(&of(&all), &of(&all[2..]), &[Limit::Loss]);
    check(&of(&all), &of(&all[1..]), &[]);
}

#[test]
fn what_the_operator_sets_counts_for_small_lists() {
    let check = |loss: f64, before: usize, gone: usize, expect: bool| {
        let limits = Limits { loss: Loss::Set(Percent(loss)), ..Limits::default() };
        let all = spread(u32::try_from(before).unwrap());
        let refusals = limits.judge_step("list `x`", &of(&all), &of(&all[gone..]));
        assert_eq!(!refusals.is_empty(), expect, "{loss} {before} {gone}: {refusals:?}");
    };
    check(10.0, 15, 1, false);
    check(10.0, 15, 2, true);
    check(0.0, 15, 1, true);
    check(50.0, 15, 7, false);
    check(50.0, 15, 8, true);
    check(100.0, 15, 14, false);
    check(100.0, 15, 15, true);
    check(20.0, 16, 3, false);
}

#[test]
fn the_hint_of_a_loss_names_what_would_work() {
    let check = |limits: &Limits, before: usize, gone: usize| {
        let all = spread(u32::try_from(before).unwrap());
        let judge = |limits: &Limits| limits.judge_step("list `x`", &of(&all), &of(&all[gone..]));
        let hint = judge(limits).remove(0).choices.pop().unwrap();
        let named: Percent = hint.split('"').nth(1).unwrap().parse().unwrap();
        assert_eq!(judge(&Limits { loss: Loss::Set(named), ..limits.clone() }), [], "{hint}");
        let less = Loss::Set(Percent(named.0 - 1.0));
        assert_ne!(judge(&Limits { loss: less, ..limits.clone() }), [], "{hint}");
    };
    check(&Limits::default(), 15, 3);
    check(&Limits::default(), 5, 4);
    check(&Limits::default(), 100, 25);
    check(&Limits { loss: Loss::Set(Percent(5.0)), ..Limits::default() }, 7, 1);
    let hint = Limits::default().judge_step("list `x`", &of(&spread(3)), &PrefixSet::new()).remove(0).choices.pop();
    assert!(hint.as_deref().is_some_and(|hint| hint.contains("no `loss` lets a whole family go")), "{hint:?}");
}

#[test]
fn the_stricter_of_two_losses_counts() {
    let check = |one: Loss, other: Loss, expect: Loss| {
        assert_eq!((one.strictest(other), other.strictest(one)), (expect, expect));
    };
    let set = |share| Loss::Set(Percent(share));
    check(Loss::Default, Loss::Default, Loss::Default);
    check(set(50.0), set(5.0), set(5.0));
    check(Loss::Default, set(50.0), set(10.0));
    check(Loss::Default, set(5.0), set(5.0));
}

#[test]
fn a_family_that_vanishes_is_always_refused() {
    check(&set(&["20.0.0.0/24", "2a01::/48"]), &set(&["20.0.0.0/24"]), &[Limit::Loss]);
    check(&set(&["20.0.0.0/24"]), &set(&["2a01::/48"]), &[Limit::Loss]);
    check(&set(&["20.0.0.0/24"]), &PrefixSet::new(), &[Limit::Loss]);
}

#[test]
fn growth_is_judged_in_addresses_and_not_from_nothing() {
    check(&set(&["20.0.0.0/24"]), &set(&["20.0.0.0/23"]), &[]);
    check(&set(&["20.0.0.0/24"]), &set(&["20.0.0.0/23", "20.0.2.0/32"]), &[Limit::Growth]);
    check(&PrefixSet::new(), &set(&["20.0.0.0/12", "2a01::/32"]), &[]);
    check(&set(&["20.0.0.0/24"]), &set(&["20.0.0.0/24", "2a01::/32"]), &[]);
    check(&set(&["2a01::/48"]), &set(&["2a01::/46"]), &[Limit::Growth]);
}

#[test]
fn findings_carry_their_figures() {
    let all = spread(100);
    let refusal = &Limits::default().judge_step("list `x`", &of(&all), &of(&all[25..]))[0];
    assert_eq!(
        refusal.to_string(),
        "loss: list `x`: 25.0 % of the IPv4 addresses (6,400) and 25.0 % of the prefixes (25 of 100) would go, the limit is 10 %"
    );
}

#[test]
fn prefixes_are_judged_by_breadth_and_space() {
    let check = |limits: &Limits, prefix: &str, expect: Option<Limit>| {
        let found = limits.judge_prefix("tag `X`", prefix.parse().unwrap());
        assert_eq!(found.as_ref().map(|refusal| refusal.limit), expect, "{prefix}: {found:?}");
    };
    let limits = Limits::default();
    check(&limits, "20.0.0.0/12", None);
    check(&limits, "20.0.0.0/11", Some(Limit::TooBroad));
    check(&limits, "0.0.0.0/0", Some(Limit::TooBroad));
    check(&limits, "2a01::/32", None);
    check(&limits, "2a00::/31", Some(Limit::TooBroad));
    for special in [
        "10.1.0.0/16",
        "127.0.0.1/32",
        "169.254.169.254/32",
        "224.0.0.1/32",
        "192.0.2.0/24",
        "100.64.0.0/16",
        "240.0.0.0/16",
    ] {
        check(&limits, special, Some(Limit::SpecialSpace));
    }
    for special in ["::1/128", "fd00::/48", "fe80::/64", "ff02::/64", "2001:db8::/48", "::ffff:20.0.0.0/104"] {
        check(&limits, special, Some(Limit::SpecialSpace));
    }
    // A prefix that merely holds special space is as bad: 192.0.0.0/16 admits 192.0.2.0/24.
    check(&limits, "192.0.0.0/16", Some(Limit::SpecialSpace));
    check(&limits, "172.32.0.0/16", None);
    check(&limits, "100.128.0.0/16", None);
    let lenient = Limits { special: vec![SpecialSpace::Documentation], ..Limits::default() };
    check(&lenient, "192.0.2.0/24", None);
    check(&lenient, "10.0.0.0/16", Some(Limit::SpecialSpace));
    // One kind of space that is allowed hides no other behind it.
    let lenient = Limits { special: vec![SpecialSpace::Reserved], ..Limits::default() };
    check(&lenient, "192.0.0.0/24", None);
    check(&lenient, "192.0.0.0/22", Some(Limit::SpecialSpace));
}
