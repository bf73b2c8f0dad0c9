//! Targets that were renamed, and what older configurations left.

use tagwall_aws::{SecurityGroups, Target};
use tagwall_provider::testing::conformance::pass;
use tagwall_provider::{Desired, Operation, Provider as _};

use crate::faults::{goal, standing, start};
use crate::hand::{REGION, admitted, mark_of};
use crate::world::{OURS, PORT, World, account};

const RENAMED: &str = "tagwall:edge/www";

/// The same groups under another name; the old one is configured no more.
fn renamed(world: &World) -> SecurityGroups {
    let mark = RENAMED.parse().unwrap();
    let target = Target::new(mark, world.target.ports.clone());
    SecurityGroups::new(&world.clients, account(REGION), world.groups.clone(), target)
}

on_a_rig! {
    async fn what_stands_under_the_old_name_is_taken_over(rig) {
        let world = standing(&rig).await;
        let before = rig.rules();
        let provider = renamed(&world);
        let seen = provider.observe().await.unwrap();
        assert!(seen.entries.is_empty() && seen.orphans.len() == 1, "{seen:?}");
        let passed = pass(&provider, &Desired::listed(start())).await.unwrap();
        assert_eq!((passed.applied.added, passed.applied.calls), (5, 1), "{:?}", passed.applied);
        assert!(passed.after.orphans.is_empty() && passed.after.admitted() == start());
        let ids = |rules: &[serde_json::Value]| -> Vec<String> {
            rules.iter().map(|rule| rule["securityGroupRuleId"].to_string()).collect()
        };
        assert_eq!(ids(&rig.rules()), ids(&before), "rules were made or went");
        // From now on it is a target like any other.
        let passed = pass(&provider, &Desired::listed(goal())).await.unwrap();
        assert_eq!((passed.conflicts, passed.after.admitted()), (0, goal()));
    }

    async fn what_the_new_name_does_not_want_stays_until_it_is_removed(rig) {
        let world = standing(&rig).await;
        let provider = renamed(&world);
        let passed = pass(&provider, &Desired::listed(goal())).await.unwrap();
        // What was wanted under both names was taken over, the rest is listed and still lets people in.
        assert_eq!(passed.after.admitted(), goal());
        assert!(passed.steps.of(Operation::Add).any(|step| step.id.is_some()), "{:?}", passed.steps);
        let left = admitted(&rig.rules(), OURS, PORT);
        assert!(!left.is_empty() && passed.steps.of(Operation::Remove).count() == 0);
        // As `withdraw --orphans` does it: a provider of no groups finds them, too.
        let mark = "tagwall:edge/-".parse().unwrap();
        let configured = vec![RENAMED.parse().unwrap()];
        let sweeper = Target { configured, ..Target::new(mark, world.target.ports.clone()) };
        let sweeper = SecurityGroups::new(&world.clients, account(REGION), Vec::new(), sweeper);
        let orphans = sweeper.observe().await.unwrap().orphans;
        assert!(orphans.iter().all(|orphan| orphan.mark.to_string() == OURS) && !orphans.is_empty(), "{orphans:?}");
        sweeper.remove_orphans(&orphans).await.unwrap();
        assert!(rig.rules().iter().all(|rule| mark_of(rule) != Some(OURS)));
        assert_eq!(admitted(&rig.rules(), RENAMED, PORT), goal());
        assert!(sweeper.observe().await.unwrap().orphans.is_empty());
    }
}
