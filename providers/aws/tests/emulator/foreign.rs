//! Other people's rules that name no prefix.

use tagwall_provider::{Foreign, Provider as _};

use crate::faults::start;
use crate::hand::{set, text};
use crate::world::World;

fn told(foreign: &[Foreign]) -> Vec<String> {
    foreign.iter().map(|foreign| foreign.description.split_once(" admits ").unwrap().1.to_owned()).collect()
}

on_a_rig! {
    async fn lists_and_groups_of_others_are_seen(rig) {
        let world = World::new(&rig, 1);
        world.reach(&start()).await;
        let (group, peer) = (world.groups[0].clone(), world.hand.make_group("peer"));
        let list = world.hand.make_list("offices", "IPv4", 10, &["203.0.113.0/25", "203.0.113.192/26"]);
        world.hand.name_list(&group, &list);
        world.hand.add_peer(&group, &peer);
        let foreign = world.provider().observe().await.unwrap().foreign;
        let mut lines = told(&foreign);
        lines.sort_unstable();
        assert_eq!(lines, [
            format!("the 2 prefixes of prefix list {list}"),
            format!("the members of {peer}, which were not looked at"),
        ]);
        assert_eq!(Foreign::admitted(&foreign), set(&["203.0.113.0/25", "203.0.113.192/26"]));
        let reads = || rig.log().iter().filter(|call| call["action"] == "GetManagedPrefixListEntries").count();
        let before = reads();
        world.provider().observe().await.unwrap();
        assert_eq!(reads(), before, "a version that was read is read again");
        // What changes is another version.
        let there = rig.lists().into_iter().find(|there| text(there, "prefixListId") == list).unwrap();
        world.hand.change_list(&there, crate::hand::prefix("203.0.113.192/26"), None, false);
        let foreign = world.provider().observe().await.unwrap().foreign;
        assert_eq!((Foreign::admitted(&foreign), reads()), (set(&["203.0.113.0/25"]), before + 1));
        // Whoever may not read it is told so, and works on.
        let read = ["ec2:DescribeSecurityGroups", "ec2:DescribeSecurityGroupRules", "ec2:DescribeManagedPrefixLists"];
        rig.set("allow", read.as_slice());
        let fresh = World { clients: tagwall_aws::Clients::default(), ..world };
        let foreign = fresh.provider().observe().await.unwrap().foreign;
        assert!(told(&foreign).contains(&format!("prefix list {list}, whose entries were not read")), "{foreign:?}");
        assert!(Foreign::admitted(&foreign).is_empty());
    }
}
