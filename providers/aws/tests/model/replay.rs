//! Microsoft's real publications over four groups with other people's rules between ours.

use tagwall_aws::{Call, Group, Ports, Target};
use tagwall_provider::{Family, Operation, PrefixSet, cover_change};

use super::data;
use super::world::{self, PORT, World, pass, prefix};

/// The fewest writing calls that any tool could do with: a call adds or removes in one group, what goes goes where it
/// stands, and what comes needs as many groups as hold it.
fn fewest_calls(world: &World, target: &Target, wanted: &PrefixSet) -> u64 {
    let observed = world.observe(target);
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
    groups.max().unwrap() + slots.len() as u64
}

fn ids(group: &Group) -> Vec<&str> {
    group.rules.iter().map(|rule| &*rule.id.0).collect()
}

#[test]
fn azure_active_directory_over_four_groups() {
    let Some(publications) = data::publications() else { return };
    let target = Target { quota: 60, ..world::target(&[PORT]) };
    let mut world = World::new(4, 60);
    let mut figures = (0_u64, 0_u64, 0_u64, 0_u64);
    let (mut changed, mut most_split) = (0, 0);
    for (index, file) in publications.iter().enumerate() {
        // Somebody else's rules come between ours: first of all, and again on the way.
        if index % 40 == 0 {
            let number = index / 40;
            for group in 0..4 {
                let theirs = prefix(&format!("203.0.113.{}/32", 4 * number + group));
                world.put_prefix(group, theirs, PORT, (group == 1).then_some("tagwall:core/web"));
                world.put(
                    group,
                    world::members(),
                    Ports::tcp(1000 + number as u16, 1000 + number as u16),
                    None,
                    Some("peer"),
                );
            }
        }
        let wanted = data::tag(&data::read(file), "AzureActiveDirectory");
        let (before, fewest) = (world.clone(), fewest_calls(&world, &target, &wanted));
        let made =
            pass(&mut world, &target, &wanted).unwrap_or_else(|refusal| panic!("{}: {refusal:?}", file.display()));
        let writing = made.calls.len() as u64;
        assert!(writing >= fewest, "the lower bound is none: {writing} calls against {fewest}");
        changed += usize::from(writing > 0);
        // Nothing moved: what stays has its id, and only what was to go is gone.
        let gone: usize = before
            .groups
            .iter()
            .zip(&world.groups)
            .map(|(then, now)| ids(then).iter().filter(|id| !ids(now).contains(id)).count())
            .sum();
        assert_eq!(gone, made.steps.of(Operation::Remove).count());
        for step in made.steps.of(Operation::Remove) {
            let tagwall_provider::Admits::Range(range) = step.admits else { panic!("{step:?}") };
            let replaced: PrefixSet = made.calls.iter().flat_map(added).collect();
            assert!(!wanted.covers(range) || replaced.covers(range), "{range} went without need");
        }
        figures.0 += writing;
        figures.1 += fewest;
        figures.2 += made.steps.of(Operation::Add).count() as u64;
        figures.3 += made.steps.of(Operation::Remove).count() as u64;
        let stored = world.observe(&target).entries.len();
        let minimal = wanted.prefixes().count();
        most_split = most_split.max(stored - minimal);
        assert_eq!(world.admitted(&[PORT]), wanted, "{}", file.display());
    }
    let (calls, fewest, added, removed) = figures;
    println!(
        "{} publications, {changed} with a change: {added} rules added, {removed} removed, in {calls} writing calls; the lower bound is {fewest}; \
         at most {most_split} rules more than the minimal cover",
        publications.len()
    );
}

fn added(call: &Call) -> Vec<tagwall_provider::IpNet> {
    match call {
        Call::Authorise { rules, .. } => rules.iter().map(|rule| rule.prefix).collect(),
        Call::Tag { .. } | Call::Revoke { .. } => Vec::new(),
    }
}
