//! Managed prefix lists as EC2 documents them, in memory.

use proptest::prelude::*;
use tagwall_aws::prefix_list::{Form, ListCall, ListTarget, MOST_ENTRIES_A_CALL, PrefixList, calls, observe, place};
use tagwall_provider::{Desired, Family, IpNet, Limit, PerFamily, PrefixSet, Skeleton};

use super::world::{OURS, prefix, set};

fn target(most_entries: u64) -> ListTarget {
    ListTarget { most_entries, ..ListTarget::new(OURS.parse().unwrap()) }
}

fn list(family: Family, max_entries: u64) -> Form {
    let (id, entries) = (format!("pl-{family}"), Vec::new());
    Form::There(PrefixList { id, max_entries, version: 1, entries, made: false, former: None })
}

fn lists(max_entries: u64) -> PerFamily<Form> {
    PerFamily::from_fn(|family| list(family, max_entries))
}

/// What EC2 answers to a call that builds on the version `base` of each list.
fn make(lists: &mut PerFamily<Form>, base: &PerFamily<i64>, call: &ListCall) -> Result<(), &'static str> {
    match call {
        ListCall::Create { family, name, max_entries, add } => {
            let Form::ToCreate(wanted) = lists.get(*family) else { return Err("there is one") };
            if wanted != name || add.len() > MOST_ENTRIES_A_CALL || add.len() as u64 > *max_entries {
                return Err("InvalidParameterValue");
            }
            let entries = add.iter().map(|prefix| (*prefix, Some(OURS.to_owned()))).collect();
            let (id, max_entries) = ("pl-new".to_owned(), *max_entries);
            let list = PrefixList { id, max_entries, version: 1, entries, made: true, former: None };
            *lists.get_mut(*family) = Form::There(list);
        }
        ListCall::TakeOver { family } => {
            let Form::There(list) = lists.get_mut(*family) else { return Err("InvalidID") };
            list.former = None;
        }
        ListCall::Resize { family, max_entries } => {
            let Form::There(list) = lists.get_mut(*family) else { return Err("InvalidPrefixListID.NotFound") };
            if *max_entries <= list.max_entries || *max_entries > 1000 {
                return Err("InvalidParameterValue");
            }
            list.max_entries = *max_entries;
        }
        ListCall::Modify { family, after, add, remove } => {
            let Form::There(list) = lists.get_mut(*family) else { return Err("InvalidPrefixListID.NotFound") };
            if list.version != base.get(*family) + after {
                return Err("PrefixListVersionMismatch");
            }
            if add.len() + remove.len() > MOST_ENTRIES_A_CALL || add.iter().any(|prefix| remove.contains(prefix)) {
                return Err("InvalidParameterValue");
            }
            if add.len() + remove.len() == 0 || add.iter().any(|prefix| Family::of(prefix.addr()) != *family) {
                return Err("InvalidParameterValue");
            }
            // The stricter of the readings: what a call adds counts before what it removes.
            if (list.entries.len() + add.len()) as u64 > list.max_entries {
                return Err("PrefixListMaxEntriesExceeded");
            }
            for prefix in remove {
                let at = list.entries.iter().position(|(other, _)| other == prefix).ok_or("entry not found")?;
                list.entries.remove(at);
            }
            if add.iter().any(|prefix| list.entries.iter().any(|(other, _)| other == prefix)) {
                return Err("duplicate");
            }
            list.entries.extend(add.iter().map(|prefix| (*prefix, Some(OURS.to_owned()))));
            list.version += 1;
        }
    }
    Ok(())
}

fn admitted(lists: &PerFamily<Form>) -> PrefixSet {
    let there = |form: &Form| match form {
        Form::There(list) => list.entries.iter().map(|(prefix, _)| *prefix).collect::<PrefixSet>(),
        _ => PrefixSet::new(),
    };
    there(&lists.v4).union(&there(&lists.v6))
}

fn versions(lists: &PerFamily<Form>) -> PerFamily<i64> {
    PerFamily::from_fn(|family| match lists.get(family) {
        Form::There(list) => list.version,
        // A new list is of the first version.
        _ => 1,
    })
}

/// A whole pass, each state looked at.
fn pass(lists: &mut PerFamily<Form>, target: &ListTarget, wanted: &PrefixSet) -> Vec<ListCall> {
    let desired = Desired::listed(wanted.clone());
    let steps = place(target, &observe(target, lists), &desired).unwrap();
    let planned = calls(lists, &steps).unwrap();
    let (before, base) = (admitted(lists), versions(lists));
    for call in &planned {
        make(lists, &base, call).unwrap_or_else(|error| panic!("{error}: {call:?}"));
        let gap = before.intersection(wanted).difference(&admitted(lists));
        assert!(gap.is_empty(), "{gap} is missing after {call:?}");
    }
    assert!(admitted(lists).is_superset(wanted));
    let again = place(target, &observe(target, lists), &desired).unwrap();
    assert!(again.is_empty(), "{again:?}");
    planned
}

fn hosts(from: u32, count: u32) -> PrefixSet {
    let text = |host: u32| format!("10.{}.{}.{}/32", host >> 15, host >> 7 & 255, (host & 127) * 2);
    (from..from + count).map(|host| prefix(&text(host))).collect()
}

#[test]
fn a_hundred_changes_are_one_version_and_one_more_is_two() {
    let mut lists = lists(1000);
    assert_eq!(pass(&mut lists, &target(1000), &hosts(0, 100)).len(), 1);
    assert_eq!(pass(&mut lists, &target(1000), &hosts(100, 101)).len(), 3, "101 come, then 100 go");
    assert_eq!(pass(&mut lists, &target(1000), &hosts(150, 51)).len(), 1);
    // Fifty come and fifty go at once, so nobody sees anything between.
    let swapped = pass(&mut lists, &target(1000), &hosts(300, 49));
    let [ListCall::Modify { add, remove, after: 0, .. }] = &swapped[..] else { panic!("{swapped:?}") };
    assert_eq!((add.len(), remove.len()), (49, 51));
}

#[test]
fn a_list_grows_when_it_must_alone_and_first() {
    let mut lists = lists(100);
    let target = target(150);
    pass(&mut lists, &target, &hosts(0, 100));
    let grown = pass(&mut lists, &target, &hosts(0, 101));
    assert!(
        matches!(grown[..], [ListCall::Resize { max_entries: 101, .. }, ListCall::Modify { after: 0, .. }]),
        "{grown:?}"
    );
    // It does not shrink.
    assert_eq!(pass(&mut lists, &target, &hosts(0, 1)).len(), 1);
    let Form::There(list) = &lists.v4 else { panic!("{lists:?}") };
    assert_eq!(list.max_entries, 101);
    pass(&mut lists, &target, &hosts(0, 150));
    let more = Desired::listed(hosts(0, 151));
    let refusal = place(&target, &observe(&target, &lists), &more).unwrap_err();
    assert_eq!(refusal.limit, Limit::Capacity);
    assert!(
        refusal.finding.contains("151 prefixes are needed") && refusal.finding.contains("MaxEntries 150"),
        "{refusal}"
    );
}

#[test]
fn old_and_new_have_to_fit_unless_room_may_be_made() {
    let mut lists = lists(10);
    pass(&mut lists, &target(10), &hosts(0, 10));
    let next = Desired::listed(hosts(5, 10));
    let refusal = place(&target(10), &observe(&target(10), &lists), &next).unwrap_err();
    assert!(refusal.choices[0].starts_with("`make-room"), "{:?}", refusal.choices);
    let making = ListTarget { make_room: true, ..target(10) };
    let made = pass(&mut lists, &making, &hosts(5, 10));
    let [ListCall::Modify { add, remove, .. }, ListCall::Modify { after: 1, .. }] = &made[..] else {
        panic!("{made:?}")
    };
    assert_eq!((add.len(), remove.len()), (0, 5), "what goes first goes alone, and no more than has to");
}

#[test]
fn a_list_is_made_when_it_is_needed() {
    let mut lists = PerFamily::from_fn(|family| Form::ToCreate(format!("entra-{family}")));
    assert_eq!(observe(&target(1000), &lists).skeleton, Skeleton::Absent);
    let made = pass(&mut lists, &target(1000), &hosts(0, 150));
    assert!(
        matches!(&made[..], [ListCall::Create { max_entries: 150, add, .. }, ListCall::Modify { after: 0, .. }] if add.len() == 100),
        "{made:?}"
    );
    assert!(matches!(lists.v6, Form::ToCreate(_)));
}

/// What a plan says it does around the entries.
fn told(lists: &PerFamily<Form>, target: &ListTarget, wanted: &PrefixSet) -> Vec<String> {
    let steps = place(target, &observe(target, lists), &Desired::listed(wanted.clone())).unwrap();
    steps.skeleton.into_iter().map(|edit| edit.description).collect()
}

/// A list weighs in every group that names it: that it is made or grows is told before it is done.
#[test]
fn a_plan_tells_of_lists_that_are_made_and_grow() {
    let mut lists = PerFamily { v4: list(Family::V4, 10), v6: Form::ToCreate("entra-v6".to_owned()) };
    assert_eq!(told(&lists, &target(30), &hosts(0, 10)), [""; 0], "it fits");
    let wanted = hosts(0, 12).union(&set(&["2001:db8::/48", "2001:db8:2::/48"]));
    let expect = [
        "lets prefix list pl-IPv4 grow from 10 to 12 entries (MaxEntries): it counts as 12 rules in every security group \
         that names it",
        "makes prefix list `entra-v6` for 2 IPv6 entries (MaxEntries): it opens nothing until a rule names it, and it \
         counts as 2 rules in every security group that names it",
    ];
    assert_eq!(told(&lists, &target(30), &wanted), expect);
    pass(&mut lists, &target(30), &wanted);
    // Old and new stand side by side for a while, and somebody else's count.
    let Form::There(list) = &mut lists.v4 else { panic!("{lists:?}") };
    list.entries.push((prefix("203.0.113.0/24"), None));
    list.max_entries = 13;
    let grown = told(&lists, &target(100), &hosts(50, 12));
    assert!(matches!(&grown[..], [v4] if v4.contains("grow from 13 to 25 entries")), "{grown:?}");
    let making = ListTarget { make_room: true, ..target(13) };
    let window = told(&lists, &making, &hosts(50, 12));
    assert!(
        matches!(&window[..], [line] if line.starts_with("`make-room` is set: 12 IPv4 prefixes (12 addresses)")),
        "{window:?}"
    );
}

/// The list that rules name is the one that is filled, whatever the target was called that it was made for.
#[test]
fn a_list_of_a_target_that_is_gone_is_taken_over() {
    let mut lists = lists(10);
    let Form::There(list) = &mut lists.v4 else { panic!("{lists:?}") };
    (list.made, list.former) = (true, Some("tagwall:edge/gone".parse().unwrap()));
    let of = |text: &str, mark: &str| (prefix(text), Some(mark.to_owned()));
    list.entries = vec![
        of("192.0.2.0/24", "tagwall:edge/gone"),
        of("198.51.100.0/24", "tagwall:edge/gone"),
        of("203.0.113.0/24", "tagwall:core/gone"),
    ];
    let observed = observe(&target(10), &lists);
    assert_eq!((observed.admitted(), observed.foreign.len()), (set(&["192.0.2.0/24", "198.51.100.0/24"]), 1));
    let wanted = set(&["192.0.2.0/24"]);
    let expect = "takes over: prefix list pl-IPv4 is of tagwall:edge/gone, which is no target any more";
    assert_eq!(told(&lists, &target(10), &wanted), [expect]);
    let made = pass(&mut lists, &target(10), &wanted);
    let [ListCall::TakeOver { .. }, ListCall::Modify { add, remove, .. }] = &made[..] else { panic!("{made:?}") };
    assert_eq!((add.len(), &remove[..]), (0, &[prefix("198.51.100.0/24")][..]));
    assert_eq!(admitted(&lists), set(&["192.0.2.0/24", "203.0.113.0/24"]));
    // The negative control: in a list that was not made for the target, its neighbours keep what they entered.
    let Form::There(list) = &mut lists.v4 else { panic!("{lists:?}") };
    list.made = false;
    assert!(observe(&target(10), &lists).entries.is_empty());
}

#[test]
fn no_list_is_made_beside_another_of_its_name() {
    let occupied =
        Form::Occupied { name: "entra-v4".to_owned(), by: vec!["prefix list pl-1 (tagwall:edge/mail)".to_owned()] };
    let lists = PerFamily { v4: occupied, v6: list(Family::V6, 10) };
    let observed = observe(&target(10), &lists);
    let refusal = place(&target(10), &observed, &Desired::listed(set(&["192.0.2.0/24"]))).unwrap_err();
    assert_eq!(refusal.limit, Limit::NotOurs);
    assert!(refusal.finding.starts_with("prefix list pl-1 (tagwall:edge/mail) has the name `entra-v4`"), "{refusal}");
    assert!(refusal.choices[0].contains("by its id"), "{:?}", refusal.choices);
    // Where nothing of that family is wanted, nobody is in the way.
    assert!(place(&target(10), &observed, &Desired::listed(set(&["2001:db8::/32"]))).is_ok());
}

#[test]
fn one_family_without_a_list_is_refused() {
    let lists = PerFamily { v4: list(Family::V4, 10), v6: Form::None };
    let wanted = Desired::listed(set(&["192.0.2.0/24", "2001:db8::/32"]));
    let refusal = place(&target(10), &observe(&target(10), &lists), &wanted).unwrap_err();
    assert!(refusal.finding.contains("no list of that family"), "{refusal}");
    let none = PerFamily::default();
    assert!(place(&target(10), &observe(&target(10), &none), &wanted).is_err());
}

#[test]
fn other_peoples_entries_stay_and_serve() {
    let mut lists = lists(10);
    let Form::There(list) = &mut lists.v4 else { panic!("{lists:?}") };
    list.entries = vec![(prefix("192.0.2.0/24"), Some("office".to_owned())), (prefix("203.0.113.0/24"), None)];
    pass(&mut lists, &target(10), &set(&["192.0.2.0/24", "198.51.100.0/24"]));
    pass(&mut lists, &target(10), &PrefixSet::new());
    assert_eq!(admitted(&lists), set(&["192.0.2.0/24", "203.0.113.0/24"]));
    assert_eq!(observe(&target(10), &lists).foreign.len(), 2);
}

/// Whoever changed it meanwhile keeps what he wrote.
#[test]
fn a_version_that_moved_is_a_conflict() {
    let mut lists = lists(10);
    let steps = place(&target(10), &observe(&target(10), &lists), &Desired::listed(hosts(0, 2))).unwrap();
    let planned = calls(&lists, &steps).unwrap();
    let base = versions(&lists);
    pass(&mut lists, &target(10), &hosts(5, 2));
    assert_eq!(make(&mut lists, &base, &planned[0]), Err("PrefixListVersionMismatch"));
    assert_eq!(admitted(&lists), hosts(5, 2));
}

fn wish() -> impl Strategy<Value = PrefixSet> {
    let block = (any::<bool>(), 0_u32..1 << 10, 0_u8..=4).prop_map(|(v4, at, host_bits)| {
        let at = at >> host_bits << host_bits;
        let text = if v4 {
            format!("10.0.{}.{}/{}", at >> 8, at & 255, 32 - host_bits)
        } else {
            format!("2001:db8::{at:x}/{}", 128 - host_bits)
        };
        text.parse::<IpNet>().unwrap()
    });
    prop::collection::vec(block, 0..260).prop_map(|blocks| blocks.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_wish_follows_any_other(wishes in prop::collection::vec(wish(), 1..4), max in 1_u64..300, make_room in any::<bool>()) {
        let mut lists = lists(max);
        let target = ListTarget { make_room, ..target(1000) };
        for wanted in &wishes {
            let planned = pass(&mut lists, &target, wanted);
            prop_assert_eq!(&admitted(&lists), wanted);
            // As few versions as the changes take.
            for family in Family::ALL {
                let sizes: Vec<usize> = planned.iter().filter_map(|call| match call {
                    ListCall::Modify { family: of, add, remove, .. } if *of == family => Some(add.len() + remove.len()),
                    _ => None,
                }).collect();
                let changes: usize = sizes.iter().sum();
                prop_assert!(sizes.len() <= changes.div_ceil(MOST_ENTRIES_A_CALL), "{:?}", sizes);
            }
        }
    }
}
