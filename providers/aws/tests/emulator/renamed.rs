//! Targets that were renamed, and what older configurations left.

use serde_json::Value;
use tagwall_aws::{Clients, ListName, ListTarget, PrefixLists, SecurityGroups, Target};
use tagwall_provider::testing::conformance::{PassError, pass};
use tagwall_provider::{Desired, Family, Limit, Operation, PerFamily, PrefixSet, Provider as _, ProviderError};

use crate::faults::{goal, standing, start};
use crate::hand::{Hand, REGION, admitted, entries_of, mark_of, text};
use crate::log::writes;
use crate::rig::Rig;
use crate::world::{OURS, PORT, World, account};

const RENAMED: &str = "tagwall:edge/www";

/// The same groups under another name; the old one is configured no more.
fn renamed(world: &World) -> SecurityGroups {
    let mark = RENAMED.parse().unwrap();
    let target = Target::new(mark, world.target.ports.clone());
    SecurityGroups::new(&world.clients, account(REGION), world.groups.clone(), target)
}

/// Lists by name under a name of a target, of all targets that are configured.
fn lists_of(mark: &str, configured: &[&str]) -> PrefixLists {
    let names = PerFamily::from_fn(|family| ListName::Name(format!("entra-{family}")));
    in_lists(mark, configured, names)
}

fn in_lists(mark: &str, configured: &[&str], names: PerFamily<ListName>) -> PrefixLists {
    let configured = configured.iter().map(|mark| mark.parse().unwrap()).collect();
    let target = ListTarget { configured, ..ListTarget::new(mark.parse().unwrap()) };
    PrefixLists::new(&Clients::default(), account(REGION), names, target)
}

/// As `withdraw --orphans` looks.
fn sweeper(configured: &[&str]) -> PrefixLists {
    in_lists("tagwall:edge/-", configured, PerFamily::default()).looking_everywhere()
}

fn ids(rig: &Rig) -> Vec<String> {
    rig.lists().iter().map(|list| text(list, "prefixListId").to_owned()).collect()
}

fn list_of(rig: &Rig, family: Family) -> Value {
    rig.lists().into_iter().find(|list| text(list, "addressFamily") == family.to_string()).unwrap()
}

/// What all lists admit, whoever's entries they are.
fn listed(rig: &Rig) -> PrefixSet {
    let entries: Vec<Value> = rig.lists().iter().flat_map(entries_of).collect();
    entries.iter().filter_map(crate::hand::prefix_of).collect()
}

on_a_rig! {
    async fn lists_of_a_renamed_target_are_taken_over(rig) {
        pass(&lists_of(OURS, &[OURS]), &Desired::listed(start())).await.unwrap();
        let (before, hand) = (ids(&rig), Hand::new(&rig));
        hand.name_list(&hand.make_group("uses"), &before[0]);
        let renamed = lists_of(RENAMED, &[RENAMED]);
        let observed = renamed.observe().await.unwrap();
        assert_eq!(observed.admitted(), start(), "nothing is gained by a name");
        assert!(observed.orphans.is_empty(), "{:?}", observed.orphans);
        let passed = pass(&renamed, &Desired::listed(goal())).await.unwrap();
        let told: Vec<&str> = passed.steps.skeleton.iter().map(|edit| edit.description.as_str()).collect();
        assert!(told.iter().filter(|line| line.starts_with("takes over: prefix list pl-")).count() == 2, "{told:?}");
        assert_eq!((ids(&rig), listed(&rig), passed.after.admitted()), (before, goal(), goal()), "a list beside the old one");
        assert!(rig.lists().iter().all(|list| list["tags"]["tagwall"] == RENAMED));
        // Nothing is left of the old name, and nothing is left to do.
        assert!(sweeper(&[RENAMED]).observe().await.unwrap().orphans.is_empty());
        let again = pass(&renamed, &Desired::listed(goal())).await.unwrap();
        assert!(again.steps.is_empty(), "{:?}", again.steps);
        renamed.withdraw().await.unwrap();
        assert!(listed(&rig).is_empty(), "entries that carry the old mark were left");
    }

    async fn no_list_is_made_beside_a_namesake(rig) {
        let hand = Hand::new(&rig);
        let check = async |list: Option<&str>, of: &str| {
            let passed = pass(&lists_of(RENAMED, &[RENAMED, OURS]), &Desired::listed(start())).await;
            let Err(PassError::Refused(refusal)) = passed else { panic!("{passed:?}") };
            assert_eq!(refusal.limit, Limit::NotOurs);
            let there = || text(&list_of(&rig, Family::V4), "prefixListId").to_owned();
            let list = list.map_or_else(there, str::to_owned);
            assert!(refusal.finding.contains(&format!("prefix list {list} ({of})")), "{refusal}");
        };
        let list = hand.make_list("entra-IPv4", "IPv4", 10, &[]);
        let before = writes(&rig.log());
        check(Some(&list), "without a mark").await;
        assert_eq!(writes(&rig.log()), before);
        rig.reset();
        // Of a target that is configured: it is not gone.
        pass(&lists_of(OURS, &[RENAMED, OURS]), &Desired::listed(start())).await.unwrap();
        check(None, OURS).await;
        assert_eq!(ids(&rig).len(), 2);
    }

    async fn an_orphan_that_is_in_use_is_left(rig) {
        pass(&lists_of(OURS, &[OURS]), &Desired::listed(start())).await.unwrap();
        let (hand, v4) = (Hand::new(&rig), list_of(&rig, Family::V4));
        let group = hand.make_group("uses");
        hand.name_list(&group, text(&v4, "prefixListId"));
        let sweeper = sweeper(&[]);
        let orphans = sweeper.observe().await.unwrap().orphans;
        let told: Vec<&str> = orphans.iter().map(|orphan| orphan.object.as_str()).collect();
        assert_eq!(told.iter().filter(|object| object.ends_with(&format!(", named by {group}"))).count(), 1, "{told:?}");
        let error = sweeper.remove_orphans(&orphans).await.unwrap_err();
        let said = crate::said(&error);
        assert!(said.contains(text(&v4, "prefixListId")) && said.contains(&group), "{said}");
        let ProviderError::Rejected { applied, .. } = error else { panic!("{error:?}") };
        // The other one goes all the same.
        assert!(applied.removed == 2 && applied.skeleton == 1, "{applied:?}");
        assert_eq!((listed(&rig), ids(&rig).len()), (start().only(Family::V4), 1));
        // The negative control: named by nobody it goes.
        let rule = rig.rules().into_iter().find(|rule| rule["groupId"] == *group).unwrap();
        hand.remove_rule(&rule);
        let orphans = sweeper.observe().await.unwrap().orphans;
        sweeper.remove_orphans(&orphans).await.unwrap();
        assert!(ids(&rig).is_empty());
    }

    async fn entries_in_a_list_that_is_named_no_more_are_orphans(rig) {
        let hand = Hand::new(&rig);
        let lists = ["old", "new"].map(|name| hand.make_list(name, "IPv4", 10, &["203.0.113.0/24"]));
        let in_list = |id: &String| in_lists(OURS, &[OURS], PerFamily { v4: ListName::Id(id.clone()), v6: ListName::None });
        let wanted = Desired::listed(start().only(Family::V4));
        pass(&in_list(&lists[0]), &wanted).await.unwrap();
        pass(&in_list(&lists[1]), &wanted).await.unwrap();
        let expect = format!("3 entries of {}", lists[0]);
        let orphans = async |provider: &PrefixLists| provider.observe().await.unwrap().orphans;
        let target = in_list(&lists[1]);
        // A list that is not tagged is out of the shipped policy's reach, and is looked at only when it is asked for.
        assert!(orphans(&target).await.is_empty());
        let found = orphans(&target.clone().looking_everywhere()).await;
        assert!(matches!(&found[..], [orphan] if orphan.object == expect), "{found:?}");
        hand.ec2("CreateTags", &[("ResourceId.1", &lists[0]), ("Tag.1.Key", "tagwall"), ("Tag.1.Value", "managed")]);
        assert_eq!(orphans(&target).await, found);
        target.remove_orphans(&found).await.unwrap();
        assert!(orphans(&target).await.is_empty());
        assert_eq!(entries_of(&rig.lists()[0]).len() + entries_of(&rig.lists()[1]).len(), 5, "somebody else's went, or ours");
    }

    async fn what_stands_under_the_old_name_is_taken_over(rig) {
        let world = standing(&rig).await;
        let before = rig.rules();
        let provider = renamed(&world);
        let seen = provider.observe().await.unwrap();
        assert!(seen.entries.is_empty() && seen.orphans.len() == 1, "{seen:?}");
        let passed = pass(&provider, &Desired::listed(start())).await.unwrap();
        assert_eq!((passed.applied.added, passed.applied.calls), (5, 1), "{:?}", passed.applied);
        assert!(passed.after.orphans.is_empty() && passed.after.admitted() == start());
        let ids = |rules: &[Value]| -> Vec<String> {
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
