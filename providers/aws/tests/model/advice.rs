//! What a refusal tells an operator.

use tagwall_aws::Target;
use tagwall_aws::advice::Figures;
use tagwall_provider::{Family, IpNet, PrefixSet};

use super::data;
use super::world::{self, PORT, World, plan, prefix};

fn hosts(count: u32) -> PrefixSet {
    let v4 = (0..count).map(|host| format!("192.0.2.{}/32", 2 * host));
    v4.map(|text| prefix(&text)).collect::<PrefixSet>()
}

#[test]
fn a_full_group_and_its_choices() {
    let target = Target { quota: 60, ..world::target(&[PORT]) };
    let world = World::new(1, 60);
    let refusal = plan(&world, &target, &hosts(100)).unwrap_err();
    assert_eq!(
        refusal.finding,
        "IPv4: 100 prefixes are needed, and the groups hold 60 (sg-0: 0+0 ours, 60+60 free; IPv4+IPv6)"
    );
    assert_eq!(
        refusal.choices,
        [
            "name 1 more security group (empty, quota 60)",
            "let AWS raise the quota of inbound rules in a group to 100, and set `quota`",
            "name narrower or regional tags: 60 IPv4 prefixes fit",
            "`widen` to 59 IPv4 prefixes, which admits 44 addresses that Microsoft does not list (44.00 % more)",
            "`aws-prefix-lists`: a list counts as its MaxEntries in each group that names it, here 100 IPv4 and 0 IPv6, so the quota has to hold them",
        ]
    );
}

/// Each choice does what it says.
#[test]
fn choices_are_true() {
    let target = Target { quota: 60, ..world::target(&[PORT]) };
    for needed in [61, 100, 119, 120, 121, 128] {
        let one = World::new(1, 60);
        let refusal = plan(&one, &target, &hosts(needed)).unwrap_err();
        let number = |start: &str, at: usize| -> u64 {
            let choice = refusal.choices.iter().find(|choice| choice.starts_with(start));
            choice.unwrap().split([' ', ',']).nth(at).unwrap().parse().unwrap()
        };
        let more = number("name ", 1) as usize;
        assert!(plan(&World::new(1 + more, 60), &target, &hosts(needed)).is_ok());
        assert!(plan(&World::new(more, 60), &target, &hosts(needed)).is_err(), "{more} groups are too many");
        let quota = number("let AWS", 12);
        let raised = |quota| plan(&one, &Target { quota, ..target.clone() }, &hosts(needed));
        assert!(raised(quota).is_ok() && raised(quota - 1).is_err(), "{quota}");
    }
}

#[test]
fn azure_active_directory_in_the_groups_that_people_have() {
    let Some(publication) = data::latest() else { return };
    let wanted = data::tag(&publication, "AzureActiveDirectory");
    let target = Target { quota: 60, ..world::target(&[PORT]) };
    for groups in [1, 3] {
        let world = World::new(groups, 60);
        let refusal = plan(&world, &target, &wanted).unwrap_err();
        println!("{refusal}");
        refusal.choices.iter().for_each(|choice| println!("  {choice}"));
    }
    let enough = World::new(4, 60);
    assert!(Figures::of(&target, &enough.observe(&target), &wanted).fits());
    assert!(plan(&enough, &target, &wanted).is_ok());
    let v6: Vec<IpNet> = wanted.only(Family::V6).prefixes().collect();
    assert!(plan(&World::new(1, 60), &target, &v6.into_iter().collect()).is_ok());
}
