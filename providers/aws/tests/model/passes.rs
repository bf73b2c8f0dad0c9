//! Random groups, rules and wishes: what has to hold in all of them.

use proptest::prelude::*;
use tagwall_aws::{Ports, Source, Target};
use tagwall_provider::{Family, IpNet, Limit, Operation, PrefixSet};

use super::world::{self, OURS, PORT, World, pass, plan};

const OTHER_PORT: Ports = Ports::tcp(9443, 9443);
const PORTS: [Ports; 4] = [PORT, OTHER_PORT, Ports::tcp(1, 65535), Ports::Everything];

/// An aligned block of a world of 64 addresses, of either family.
fn block() -> impl Strategy<Value = IpNet> {
    (any::<bool>(), 0_u8..64, 0_u8..=5).prop_map(|(v4, at, host_bits)| {
        let at = at >> host_bits << host_bits;
        let text = if v4 {
            format!("192.0.2.{at}/{}", 32 - host_bits)
        } else {
            format!("2001:db8::{at:x}/{}", 128 - host_bits)
        };
        text.parse().unwrap()
    })
}

fn wish() -> impl Strategy<Value = PrefixSet> {
    prop::collection::vec(block(), 0..12).prop_map(|blocks| blocks.into_iter().collect())
}

/// A rule that is there already: where, whom it lets in, to what, whose it is.
type Put = (prop::sample::Index, Option<IpNet>, Ports, Whose);

#[derive(Clone, Copy, Debug)]
enum Whose {
    Ours,
    OursWithoutTag,
    Nobodys,
    AnotherOwners,
    ANeighbours,
    OfATargetThatIsGone,
}

fn put() -> impl Strategy<Value = Put> {
    use Whose::{ANeighbours, AnotherOwners, Nobodys, OfATargetThatIsGone, Ours, OursWithoutTag};
    let whose = prop::sample::select(vec![
        Ours,
        Ours,
        OursWithoutTag,
        Nobodys,
        Nobodys,
        AnotherOwners,
        ANeighbours,
        OfATargetThatIsGone,
        OfATargetThatIsGone,
    ]);
    (any::<prop::sample::Index>(), prop::option::weighted(0.9, block()), prop::sample::select(PORTS.to_vec()), whose)
}

fn put_in(world: &mut World, (group, prefix, ports, whose): &Put) {
    let group = group.index(world.groups.len());
    let (tag, text) = match whose {
        Whose::Ours => (Some(OURS), Some(OURS)),
        Whose::OursWithoutTag => (None, Some(OURS)),
        Whose::Nobodys => (None, Some("office")),
        // Copied with its description: the tag decides.
        Whose::AnotherOwners => (Some("tagwall:core/web"), Some(OURS)),
        Whose::ANeighbours => (Some("tagwall:edge/mail"), None),
        Whose::OfATargetThatIsGone => (Some(world::GONE), Some(world::GONE)),
    };
    let source = prefix.map_or_else(|| world::named_list(None, 2), Source::Prefix);
    world.put(group, source, *ports, tag, text);
}

prop_compose! {
    fn worlds()(
        groups in 1_usize..=4, quota in 4_u64..=14, puts in prop::collection::vec(put(), 0..14),
    ) -> World {
        let mut world = World::new(groups, quota);
        for put in &puts {
            put_in(&mut world, put);
        }
        world
    }
}

prop_compose! {
    fn targets()(two in any::<bool>(), make_room in any::<bool>()) -> Target {
        let ports: &[Ports] = if two { &[PORT, OTHER_PORT] } else { &[PORT] };
        Target { make_room, ..world::target(ports) }
    }
}

/// Whether the free places of the world are fewer than the prefixes that come, by counting alone. A group that holds
/// somebody else's equal rule is no place for that prefix.
fn justified(world: &World, target: &Target, wanted: &PrefixSet) -> bool {
    let blocked = world.groups.iter().flat_map(|group| &group.rules).any(|rule| {
        matches!(rule.source, Source::Prefix(prefix) if wanted.meets(prefix)) && target.ports.contains(&rule.ports)
    });
    let observed = world.observe(target);
    let short = Family::ALL.into_iter().any(|family| {
        let free: u64 = observed.rooms.iter().map(|room| room.free.get(family).unwrap()).sum();
        // Whatever has to come, it is no more than the cover of what is wanted.
        free < wanted.prefix_count(family) as u64
    });
    short || blocked
}

/// Who has to be admitted throughout.
fn kept(world: &World, target: &Target, wanted: &PrefixSet) -> PrefixSet {
    world.admitted(&target.ports).intersection(wanted).difference(&world::left_to_others(world, target, wanted))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    /// From anything to anything and on: never a gap, never over quota, nothing foreign touched, and it converges.
    #[test]
    fn any_world_is_brought_to_any_wish(world in worlds(), target in targets(), wishes in prop::collection::vec(wish(), 1..4)) {
        let mut world = world;
        let target = Target { quota: world.quota, ..target };
        for wanted in &wishes {
            let before = world.clone();
            match pass(&mut world, &target, wanted) {
                Ok(pass) => {
                    // No call is spent on less than a group's worth of work.
                    let of = |operation: Operation| {
                        let mut slots: Vec<_> = pass.steps.of(operation).map(|step| step.slot).collect();
                        slots.sort_unstable();
                        slots.dedup();
                        slots.len()
                    };
                    let first = usize::from(target.make_room) * of(Operation::Remove);
                    let mends = 2 * world.groups.len() * usize::from(!pass.steps.skeleton.is_empty());
                    // Taking over is a call of its own.
                    let most = 2 * of(Operation::Add) + of(Operation::Remove) + first + mends;
                    prop_assert!(pass.calls.len() <= most, "{:?}", pass.calls);
                }
                Err(refusal) => {
                    prop_assert!(matches!(refusal.limit, Limit::Capacity | Limit::NotOurs), "{refusal}");
                    prop_assert!(!refusal.finding.is_empty() && !refusal.choices.is_empty());
                    prop_assert_eq!(&world.groups, &before.groups);
                    prop_assert!(justified(&world, &target, wanted), "{} for {:?} in {:?}", refusal, wanted, world);
                }
            }
        }
    }

    /// Killed between any two calls: what was observed and is desired stays, and the next pass ends the work.
    #[test]
    fn a_pass_that_dies_anywhere_is_finished_by_the_next(world in worlds(), target in targets(), wanted in wish(), made in 0_usize..6) {
        let mut world = world;
        let target = Target { quota: world.quota, ..target };
        let Ok(planned) = plan(&world, &target, &wanted) else { return Ok(()) };
        let kept = kept(&world, &target, &wanted);
        for call in planned.calls.iter().take(made) {
            world.make(call).unwrap();
        }
        prop_assert!(world.admitted(&target.ports).is_superset(&kept));
        let next = pass(&mut world, &target, &wanted);
        prop_assert!(next.is_ok(), "what fitted before fits now: {:?}", next);
    }

    /// Two at once on what both read: whoever comes second is answered with a duplicate or a rule that is gone, stops
    /// there, and nobody is kept out meanwhile.
    #[test]
    fn two_at_once_leave_no_gap(world in worlds(), target in targets(), wanted in wish(), order in prop::collection::vec(any::<bool>(), 12)) {
        let mut world = world;
        let target = Target { quota: world.quota, ..target };
        let Ok(planned) = plan(&world, &target, &wanted) else { return Ok(()) };
        let (kept, foreign) = (kept(&world, &target, &wanted), world.foreign());
        let mut both = [planned.calls.iter(), planned.calls.iter()];
        for first in order {
            let calls = &mut both[usize::from(first)];
            let Some(call) = calls.next() else { continue };
            if world.make(call).is_err() {
                *calls = [].iter();
            }
            prop_assert!(world.admitted(&target.ports).is_superset(&kept));
        }
        let last = pass(&mut world, &target, &wanted);
        prop_assert!(last.is_ok(), "{:?}", last);
        prop_assert_eq!(world.foreign(), foreign);
    }

    /// What is there stays where it is: a wish that only adds removes nothing, and moves nothing.
    #[test]
    fn an_insert_moves_nothing(groups in 1_usize..=4, wanted in wish(), more in block()) {
        let mut world = World::new(groups, 60);
        let target = Target { quota: 60, ..world::target(&[PORT]) };
        pass(&mut world, &target, &wanted).unwrap();
        let before = world.clone();
        let both = wanted.union(&[more].into_iter().collect());
        let pass = pass(&mut world, &target, &both).unwrap();
        for step in pass.steps.of(Operation::Remove) {
            // Only what the new one swallows may go.
            let tagwall_provider::Admits::Range(range) = step.admits else { panic!("{step:?}") };
            let added: PrefixSet = pass.steps.of(Operation::Add).filter_map(|step| match step.admits {
                tagwall_provider::Admits::Range(range) => Some(range),
                tagwall_provider::Admits::ServiceTag(_) => None,
            }).collect();
            prop_assert!(added.covers(range), "{range} went for nothing");
        }
        let stays = |group: &tagwall_aws::Group| group.rules.clone();
        for (then, now) in before.groups.iter().map(stays).zip(world.groups.iter().map(stays)) {
            let kept: Vec<_> = now.iter().filter(|rule| then.contains(rule)).collect();
            let gone = then.len() - kept.len();
            prop_assert!(gone <= pass.steps.of(Operation::Remove).count());
        }
    }
}

/// The model would notice: what revokes before it authorises opens a gap, and what ignores the quota is refused.
#[test]
fn the_model_notices_gaps_and_quotas() {
    let target = world::target(&[PORT]);
    let mut world = World::new(1, 8);
    pass(&mut world, &target, &world::set(&["192.0.2.0/25"])).unwrap();
    let wider = world::set(&["192.0.2.0/24"]);
    let mut calls = plan(&world, &target, &wider).unwrap().calls;
    assert_eq!(calls.len(), 2);
    calls.reverse();
    world.make(&calls[0]).unwrap();
    assert!(world.admitted(&target.ports).is_empty(), "the gap that authorising first avoids");

    let mut small = World::new(1, 2);
    let three = world::set(&["192.0.2.1/32", "192.0.2.3/32", "192.0.2.5/32"]);
    let too_many = plan(&small, &Target { quota: 60, ..target }, &three).unwrap();
    assert_eq!(small.make(&too_many.calls[0]), Err("RulesPerSecurityGroupLimitExceeded"));
}
