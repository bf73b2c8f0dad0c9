//! Placement by example.

use tagwall_aws::{Call, Group, MOST_RULES_A_CALL, Ports, Source, Target, calls, observe, place};
use tagwall_provider::{Desired, Family, ForeignEffect, Limit, PrefixSet, Skeleton};

use super::world::{self, OURS, PORT, Pass, World, pass, plan, prefix, set, target};

/// The rules of each group: prefixes, `!` before what is not ours.
fn shown(world: &World) -> Vec<String> {
    let rules = |group: &Group| {
        let text = |rule: &tagwall_aws::Rule| match &rule.source {
            Source::Prefix(prefix) if rule.mark().is_some_and(|mark| mark.to_string() == OURS) => prefix.to_string(),
            Source::Prefix(prefix) => format!("!{prefix}"),
            _ => "!".to_owned(),
        };
        group.rules.iter().map(text).collect::<Vec<_>>().join(" ")
    };
    world.groups.iter().map(rules).collect()
}

fn check(world: &mut World, target: &Target, wanted: &[&str], expect: &[&str]) {
    pass(world, target, &set(wanted)).unwrap();
    assert_eq!(shown(world), expect);
}

fn of_quota(quota: u64) -> Target {
    Target { quota, ..target(&[PORT]) }
}

#[test]
fn what_is_new_goes_where_there_is_room_and_nothing_moves() {
    let (mut world, target) = (World::new(2, 2), of_quota(2));
    check(
        &mut world,
        &target,
        &["192.0.2.1/32", "192.0.2.3/32", "192.0.2.5/32"],
        &["192.0.2.1/32 192.0.2.3/32", "192.0.2.5/32"],
    );
    // One goes from the full group; what comes in the same pass cannot have its place yet.
    check(
        &mut world,
        &target,
        &["192.0.2.0/32", "192.0.2.3/32", "192.0.2.5/32"],
        &["192.0.2.3/32", "192.0.2.5/32 192.0.2.0/32"],
    );
    check(
        &mut world,
        &target,
        &["192.0.2.0/32", "192.0.2.3/32", "192.0.2.5/32", "192.0.2.7/32"],
        &["192.0.2.3/32 192.0.2.7/32", "192.0.2.5/32 192.0.2.0/32"],
    );
    check(&mut world, &target, &["192.0.2.7/32"], &["192.0.2.7/32", ""]);
    check(&mut world, &target, &[], &["", ""]);
}

#[test]
fn families_fill_apart() {
    let (mut world, target) = (World::new(1, 1), of_quota(1));
    check(&mut world, &target, &["192.0.2.0/24", "2001:db8::/32"], &["192.0.2.0/24 2001:db8::/32"]);
    let refusal = plan(&world, &target, &set(&["192.0.2.0/24", "2001:db8::/32", "2001:db9::/48"])).unwrap_err();
    assert!(refusal.finding.contains("IPv6: 2 prefixes are needed, and the groups hold 1"), "{refusal}");
}

#[test]
fn the_sixtieth_rule_fits_and_the_sixty_first_does_not() {
    let hosts =
        |count: u32| -> PrefixSet { (0..count).map(|host| prefix(&format!("192.0.2.{}/32", 2 * host))).collect() };
    let (mut world, target) = (World::new(1, 60), of_quota(60));
    pass(&mut world, &target, &hosts(60)).unwrap();
    assert_eq!(plan(&world, &target, &hosts(61)).unwrap_err().limit, Limit::Capacity);
    // Other people's rules count.
    let mut world = World::new(1, 60);
    world.put(0, world::members(), Ports::tcp(22, 22), None, None);
    pass(&mut world, &target, &hosts(59)).unwrap();
    assert_eq!(plan(&world, &target, &hosts(60)).unwrap_err().limit, Limit::Capacity);
}

#[test]
fn a_prefix_list_weighs_its_max_entries_and_a_group_counts_in_both_families() {
    let mut world = World::new(1, 60);
    world.put(0, world::named_list(Some(Family::V4), 50), Ports::tcp(22, 22), None, None);
    world.put(0, world::members(), Ports::tcp(22, 22), None, None);
    let room = &world.observe(&of_quota(60)).rooms[0];
    assert_eq!((room.free.v4, room.free.v6), (Some(9), Some(59)));
}

#[test]
fn what_somebody_else_admits_is_reported_and_never_adopted() {
    let (mut world, target) = (World::new(2, 8), of_quota(8));
    world.put_prefix(0, prefix("192.0.2.0/24"), PORT, None);
    world.put_prefix(1, prefix("198.51.100.0/25"), Ports::Everything, Some("tagwall:core/web"));
    let observed = world.observe(&target);
    let admits: Vec<_> = observed.foreign.iter().map(|foreign| foreign.effect.clone()).collect();
    let one = |text| ForeignEffect::Admits(set(&[text]));
    assert_eq!(admits, [one("192.0.2.0/24"), one("198.51.100.0/25")]);
    assert!(observed.entries.is_empty());
    // Equal content stands once in a group: ours goes into the other one.
    check(
        &mut world,
        &target,
        &["192.0.2.0/24", "198.51.100.0/25"],
        &["!192.0.2.0/24 198.51.100.0/25", "!198.51.100.0/25 192.0.2.0/24"],
    );
    check(&mut world, &target, &[], &["!192.0.2.0/24", "!198.51.100.0/25"]);
}

#[test]
fn what_stands_in_every_group_is_left_to_its_owner_until_it_goes() {
    let (mut world, target) = (World::new(1, 8), of_quota(8));
    world.put_prefix(0, prefix("192.0.2.0/24"), PORT, None);
    check(&mut world, &target, &["192.0.2.0/24", "203.0.113.0/24"], &["!192.0.2.0/24 203.0.113.0/24"]);
    world.groups[0].rules.remove(0);
    check(&mut world, &target, &["192.0.2.0/24", "203.0.113.0/24"], &["203.0.113.0/24 192.0.2.0/24"]);
}

#[test]
fn what_keeps_ours_out_and_admits_it_not_is_refused() {
    let target = Target { quota: 8, ..target(&[PORT, Ports::tcp(443, 443)]) };
    let mut world = World::new(1, 8);
    world.put_prefix(0, prefix("192.0.2.0/24"), PORT, None);
    assert_eq!(plan(&world, &target, &set(&["192.0.2.0/24"])).unwrap_err().limit, Limit::NotOurs);
    // The negative control: on a port of neither it is nobody's business.
    let mut world = World::new(1, 8);
    world.put_prefix(0, prefix("192.0.2.0/24"), Ports::tcp(22, 22), None);
    assert!(plan(&world, &target, &set(&["192.0.2.0/24"])).is_ok());
}

#[test]
fn old_and_new_that_do_not_fit_together_are_refused_unless_room_may_be_made() {
    let (mut world, target) = (World::new(1, 2), of_quota(2));
    pass(&mut world, &target, &set(&["192.0.2.1/32", "192.0.2.3/32"])).unwrap();
    let next = set(&["192.0.2.3/32", "192.0.2.5/32"]);
    let refusal = plan(&world, &target, &next).unwrap_err();
    assert_eq!(
        refusal.finding,
        "IPv4: 1 prefixes come before 1 go, and there is room for 0 (sg-0: 2+0 ours, 0+2 free; IPv4+IPv6)"
    );
    assert!(refusal.choices[0].starts_with("`make-room = true`"), "{:?}", refusal.choices);
    let making = Target { make_room: true, ..target.clone() };
    let made = pass(&mut world, &making, &next).unwrap();
    assert!(matches!(made.calls[..], [Call::Revoke { .. }, Call::Authorise { .. }]), "{:?}", made.calls);
    // What is wanted in part gives no room: its remainder would be kept out.
    let mut world = World::new(1, 1);
    pass(&mut world, &of_quota(1), &set(&["192.0.2.0/24"])).unwrap();
    let narrower = Target { make_room: true, ..of_quota(1) };
    let refusal = plan(&world, &narrower, &set(&["192.0.2.0/25"])).unwrap_err();
    assert_eq!(refusal.limit, Limit::Capacity);
    assert!(refusal.choices.iter().all(|choice| !choice.contains("make-room")), "{:?}", refusal.choices);
}

/// No more goes first than room is needed for.
#[test]
fn making_room_is_bounded() {
    let making = Target { make_room: true, ..of_quota(4) };
    let mut world = World::new(1, 4);
    pass(&mut world, &making, &set(&["192.0.2.1/32", "192.0.2.3/32", "192.0.2.5/32"])).unwrap();
    let made = pass(&mut world, &making, &set(&["192.0.2.7/32", "192.0.2.9/32"])).unwrap();
    let sizes: Vec<(bool, usize)> = made
        .calls
        .iter()
        .map(|call| match call {
            Call::Authorise { rules, .. } => (true, rules.len()),
            Call::Revoke { rules, .. } | Call::Tag { rules } => (false, rules.len()),
        })
        .collect();
    assert_eq!(sizes, [(false, 1), (true, 2), (false, 2)]);
    // The one thing that is not done in silence: it is no secret that somebody is let go before anybody comes.
    let window = "`make-room` is set: 1 IPv4 prefixes (1 addresses) that nobody wants any more go before what replaces \
                  them comes, and until the next call neither are admitted";
    assert_eq!(told(&made), [window]);
    let roomy = pass(&mut world, &making, &set(&["192.0.2.7/32"])).unwrap();
    assert_eq!(told(&roomy), [""; 0], "nothing goes early where there is room");
}

#[test]
fn rules_that_lost_their_tag_are_tagged_again_and_stay() {
    let (mut world, target) = (World::new(1, 8), of_quota(8));
    world.put(0, Source::Prefix(prefix("192.0.2.0/24")), PORT, None, Some(OURS));
    let observed = world.observe(&target);
    assert_eq!(observed.entries.len(), 1);
    let Skeleton::Drifted(lines) = &observed.skeleton else { panic!("{:?}", observed.skeleton) };
    let line = "rule sgr-1 of sg-0, tcp 8443 from 192.0.2.0/24: the owner mark stands in its description alone";
    assert_eq!(lines, &[line]);
    let mended = pass(&mut world, &target, &set(&["192.0.2.0/24"])).unwrap();
    assert!(matches!(mended.calls[..], [Call::Tag { .. }]), "{:?}", mended.calls);
    assert_eq!(told(&mended), [format!("tags {line}")]);
    // What goes in the same pass is not tagged, and not told to be.
    world.put(0, Source::Prefix(prefix("198.51.100.0/24")), PORT, None, Some(OURS));
    assert_eq!(told(&pass(&mut world, &target, &set(&["192.0.2.0/24"])).unwrap()), [""; 0]);
}

/// Whatever a plan revokes stands in it: by its name, with what it opens and to whom.
#[test]
fn mends_name_each_rule() {
    let two = Target { quota: 8, ..target(&[PORT, Ports::tcp(443, 444)]) };
    let mut world = World::new(1, 8);
    pass(&mut world, &two, &set(&["192.0.2.0/24"])).unwrap();
    for (prefix_, ports) in [
        ("192.0.2.0/24", Ports::tcp(22, 22)),
        ("198.51.100.0/24", PORT),
        ("203.0.113.0/24", PORT),
        ("2001:db8::/32", Ports::Everything),
    ] {
        world.put_prefix(0, prefix(prefix_), ports, Some(OURS));
    }
    let mended = pass(&mut world, &two, &set(&["192.0.2.0/24", "203.0.113.0/24"])).unwrap();
    let lines = told(&mended);
    let expect = [
        "completes rule sgr-5 of sg-0, tcp 8443 from 203.0.113.0/24: not all of the target's ports have one",
        "revokes rule sgr-3 of sg-0, tcp 22 from 192.0.2.0/24: ours, and for what the target does not open",
        "revokes rule sgr-4 of sg-0, tcp 8443 from 198.51.100.0/24: not all of the target's ports have one",
        "revokes rule sgr-6 of sg-0, everything from 2001:db8::/32: ours, and for what the target does not open",
    ];
    assert_eq!(lines, expect);
    // Each rule that is revoked is named, and no other.
    for call in &mended.calls {
        let Call::Revoke { rules, .. } = call else { continue };
        for rule in rules {
            assert!(lines.iter().any(|line| line.starts_with(&format!("revokes rule {} ", rule.0))), "{rule:?}");
        }
    }
}

/// The edits of a plan, sorted.
fn told(pass: &Pass) -> Vec<String> {
    let mut told: Vec<String> = pass.steps.skeleton.iter().map(|edit| edit.description.clone()).collect();
    told.sort_unstable();
    told
}

#[test]
fn rules_of_other_ports_go_after_those_of_the_right_ones_have_come() {
    let mut world = World::new(1, 8);
    pass(&mut world, &of_quota(8), &set(&["192.0.2.0/24"])).unwrap();
    let moved = Target { quota: 8, ..target(&[Ports::tcp(443, 443)]) };
    let made = pass(&mut world, &moved, &set(&["192.0.2.0/24"])).unwrap();
    assert!(matches!(made.calls[..], [Call::Authorise { .. }, Call::Revoke { .. }]), "{:?}", made.calls);
    // A second run of ports: what is there is completed, not written again.
    let both = Target { quota: 8, ..target(&[Ports::tcp(443, 443), PORT]) };
    let made = pass(&mut world, &both, &set(&["192.0.2.0/24"])).unwrap();
    let [Call::Authorise { rules, .. }] = &made.calls[..] else { panic!("{:?}", made.calls) };
    assert_eq!(rules.len(), 1);
}

#[test]
fn calls_keep_to_their_size_and_a_prefix_to_one_call() {
    let hosts: PrefixSet =
        (0..1501_u32).map(|host| prefix(&format!("10.0.{}.{}/32", host / 128, host % 128 * 2))).collect();
    let wide = Target { quota: 5000, ..target(&[PORT, Ports::tcp(443, 443), Ports::tcp(80, 80)]) };
    let world = World::new(1, 5000);
    let planned = plan(&world, &wide, &hosts).unwrap();
    let sizes: Vec<usize> = planned
        .calls
        .iter()
        .map(|call| match call {
            Call::Authorise { rules, .. } => {
                let last = rules.last().unwrap().prefix;
                assert_eq!(rules.iter().filter(|rule| rule.prefix == last).count(), 3);
                rules.len()
            }
            call => panic!("{call:?}"),
        })
        .collect();
    assert!(sizes.iter().all(|size| *size <= MOST_RULES_A_CALL), "{sizes:?}");
    assert_eq!((sizes.len(), sizes.iter().sum::<usize>()), (5, 4503));
}

#[test]
fn orphans_are_of_our_owner_and_of_no_configured_target() {
    let target = of_quota(8);
    let mut world = World::new(2, 8);
    for mark in ["tagwall:edge/gone", "tagwall:edge/mail", "tagwall:core/gone"] {
        world.put_prefix(0, prefix(&format!("192.0.2.{}/32", mark.len())), PORT, Some(mark));
        world.put_prefix(1, prefix("203.0.113.0/24"), PORT, Some(OURS));
    }
    let observed = observe(&target, &world.groups[..1], &world.groups[1..]);
    let orphans: Vec<String> =
        observed.orphans.iter().map(|orphan| format!("{}: {}", orphan.mark, orphan.object)).collect();
    assert_eq!(orphans, ["tagwall:edge/gone: 1 rules of sg-0", "tagwall:edge/web: 1 rules of sg-1"]);
}

/// A target that was renamed: everything stands there under its old name, and no room is left beside it.
#[test]
fn what_a_renamed_target_left_is_taken_over() {
    let (mut world, target) = (World::new(2, 4), of_quota(4));
    for (group, text) in [(0, "192.0.2.0/25"), (0, "198.51.100.0/24"), (1, "203.0.113.0/25"), (1, "203.0.113.192/26")] {
        world.put_prefix(group, prefix(text), PORT, Some(world::GONE));
        world.put_prefix(
            group,
            prefix(&format!("192.0.2.{}/32", 200 + 2 * world.groups[group].rules.len())),
            PORT,
            None,
        );
    }
    let wanted = set(&["192.0.2.0/25", "198.51.100.0/24", "203.0.113.0/25"]);
    let renamed = pass(&mut world, &target, &wanted).unwrap();
    assert!(renamed.calls.iter().all(|call| matches!(call, Call::Tag { .. })), "{:?}", renamed.calls);
    assert_eq!((renamed.calls.len(), world.admitted(&[PORT])), (2, wanted));
    let expect = [
        "takes over rule sgr-1 of tagwall:edge/gone in sg-0: 192.0.2.0/25",
        "takes over rule sgr-3 of tagwall:edge/gone in sg-0: 198.51.100.0/24",
        "takes over rule sgr-5 of tagwall:edge/gone in sg-1: 203.0.113.0/25",
    ];
    assert_eq!(told(&renamed), expect);
    // What nobody wants under the new name is still an orphan.
    let orphans: Vec<String> = world.observe(&target).orphans.into_iter().map(|orphan| orphan.object).collect();
    assert_eq!(orphans, ["1 rules of sg-1"]);
    // The negative control: another configured target's is not ours to take.
    let (mut world, target) = (World::new(1, 1), of_quota(1));
    world.put_prefix(0, prefix("192.0.2.0/25"), PORT, Some("tagwall:edge/mail"));
    let planned = plan(&world, &target, &set(&["192.0.2.0/25"])).unwrap();
    assert!(planned.calls.is_empty(), "{:?}", planned.calls);
}

#[test]
fn service_tags_and_strange_steps_are_rejected() {
    let (world, target) = (World::new(1, 8), of_quota(8));
    let refusal = place(&target, &world.observe(&target), &Desired::ServiceTag("ExampleService".to_owned()));
    assert_eq!(refusal.unwrap_err().limit, Limit::Unsupported);
    let planned = plan(&world, &target, &set(&["192.0.2.0/24"])).unwrap();
    assert_eq!(calls(&target, &[], &planned.steps).unwrap_err().class(), "rejected");
}
