//! Microsoft's real publications over four groups with other people's rules between ours.

use tagwall_provider::{Desired, Family, PrefixSet, Provider as _, cover_change};

use crate::data;
use crate::hand::prefix;
use crate::log::writes;
use crate::world::{PORT, World};

/// The fewest writing calls that any tool could do with: a call adds or removes in one group, what goes goes where it
/// stands, and what comes needs as many groups as hold it.
async fn fewest_calls(world: &World, wanted: &PrefixSet) -> usize {
    let observed = world.provider().observe().await.unwrap();
    let change = cover_change(&observed.entries, wanted);
    let mut slots: Vec<_> = change.remove.iter().map(|entry| entry.slot).collect();
    slots.sort_unstable();
    slots.dedup();
    let groups = Family::ALL.into_iter().map(|family| {
        let mut missing = change.add.iter().filter(|prefix| Family::of(prefix.addr()) == family).count() as u64;
        let mut rooms: Vec<u64> = observed.rooms.iter().map(|room| room.free.get(family).unwrap()).collect();
        rooms.sort_unstable();
        let mut groups = 0;
        while missing > 0 {
            missing = missing.saturating_sub(rooms.pop().unwrap());
            groups += 1;
        }
        groups
    });
    groups.max().unwrap() + slots.len()
}

on_a_rig! {
    async fn azure_active_directory_over_four_groups(rig) {
        let Some(publications) = data::publications() else { return };
        let world = World::new(&rig, 4);
        let (mut made, mut fewest, mut changed, mut added, mut removed) = (0, 0, 0, 0, 0);
        for (index, file) in publications.iter().enumerate() {
            // Somebody else's rules come between ours: first of all, and again on the way.
            if index % 40 == 0 {
                let rooms = world.provider().observe().await.unwrap().rooms;
                let has_room = |number: usize| rooms[number].free.v4 >= Some(2);
                for (number, group) in world.groups.iter().enumerate().filter(|(number, _)| has_room(*number)) {
                    let theirs = prefix(&format!("203.0.113.{}/32", index / 10 + number));
                    world.hand.add_rule(group, theirs, PORT, "office", (number == 1).then_some("tagwall:core/web"));
                    world.hand.add_rule(group, theirs, 1000 + u16::try_from(index).unwrap(), "ssh", None);
                }
            }
            let wanted = data::tag(&data::read(file), "AzureActiveDirectory");
            let least = fewest_calls(&world, &wanted).await;
            let before = writes(&rig.log());
            // A dry run ends where something would be changed.
            let provider = world.provider();
            provider.place(&provider.observe().await.unwrap(), &Desired::listed(wanted.clone())).unwrap();
            assert_eq!(writes(&rig.log()), before, "a dry run wrote");
            let passed = world.reach(&wanted).await;
            let calls = writes(&rig.log()) - before;
            assert_eq!(passed.applied.calls as usize, calls);
            assert!(calls >= least, "the lower bound is none: {calls} calls against {least}");
            let second = world.reach(&wanted).await;
            assert_eq!((second.steps.entries.len(), writes(&rig.log()) - before), (0, calls), "a second pass wrote");
            changed += usize::from(calls > 0);
            (made, fewest) = (made + calls, fewest + least);
            (added, removed) = (added + passed.applied.added, removed + passed.applied.removed);
        }
        println!(
            "{} publications, {changed} with a change: {added} rules added, {removed} removed, in {made} writing calls; \
             the lower bound is {fewest}",
            publications.len()
        );
    }
}
