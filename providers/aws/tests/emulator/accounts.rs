//! Who AWS takes us for, where, and what we may do there.

use tagwall_aws::actions::{READING, WRITING};
use tagwall_aws::{Account, Clients, ListName, PrefixLists, Role, SecurityGroups};
use tagwall_provider::testing::conformance::pass;
use tagwall_provider::{Desired, PerFamily, Provider as _, ProviderError};

use crate::faults::{goal, start};
use crate::hand::{Hand, REGION, admitted, text};
use crate::log::{is_of_hand, writes};
use crate::world::{OURS, PORT, World, account, mark};

const OTHER_ACCOUNT: &str = "210987654321";

fn in_other_account(region: &str) -> Account {
    let arn = format!("arn:aws:iam::{OTHER_ACCOUNT}:role/tagwall");
    let role = Role { arn, external_id: Some("external".to_owned()), session_name: None };
    Account { role: Some(role), ..account(region) }
}

on_a_rig! {
    async fn two_accounts_by_two_regions(rig) {
        let (clients, hand) = (Clients::default(), Hand::new(&rig));
        let other = hand.of_account(OTHER_ACCOUNT);
        let target = World::of(&rig, Vec::new()).target;
        let mut places = Vec::new();
        for region in [REGION, "us-east-1"] {
            for (account, hand) in [(account(region), &hand), (in_other_account(region), &other)] {
                let group = hand.in_region(region).make_group("edge");
                places.push(SecurityGroups::new(&clients, account.clone(), vec![group], target.clone()));
                let identity = clients.identity(&account).await.unwrap();
                assert_eq!(identity.account == OTHER_ACCOUNT, account.role.is_some(), "{identity:?}");
            }
        }
        let sets = [start(), goal(), start().union(&goal()), start().intersection(&goal())];
        let wanted: Vec<Desired> = sets.iter().cloned().map(Desired::listed).collect();
        let passes = places.iter().zip(&wanted).map(|(provider, wanted)| pass(provider, wanted));
        for passed in futures_util::future::join_all(passes).await {
            passed.unwrap();
        }
        let state = rig.state();
        let state = state.iter().filter(|place| !place["rules"].as_array().unwrap().is_empty());
        let mut found: Vec<_> = state.map(|place| admitted(place["rules"].as_array().unwrap(), OURS, PORT)).collect();
        assert_eq!(found.len(), 4);
        for set in sets {
            let at = found.iter().position(|found| *found == set);
            found.remove(at.unwrap_or_else(|| panic!("{set} is nowhere")));
        }
        let log = rig.log();
        let assumed = log.iter().filter(|entry| entry["action"] == "AssumeRole" && !is_of_hand(entry)).count();
        println!("{} calls, a role assumed {assumed} times by two clients", log.len());
        assert!(assumed <= 4, "the credentials of a role are not kept");
    }

    /// The SDK's chain would take the environment's credentials, and write to their account.
    async fn a_profile_that_is_named_goes_before_the_environment(rig) {
        let clients = Clients::default();
        let of_environment = clients.identity(&account(REGION)).await.unwrap();
        let other = Account { profile: Some("other".to_owned()), ..account(REGION) };
        assert_eq!(clients.identity(&other).await.unwrap().account, OTHER_ACCOUNT);
        assert_ne!(of_environment.account, OTHER_ACCOUNT);
        assert!(rig.log().iter().any(|entry| entry["action"] == "AssumeRole"));
    }

    /// Targets of one account and region that are looked at together are read together: each sees its own.
    async fn targets_that_ask_together_are_read_together(rig) {
        let (clients, hand) = (Clients::default(), Hand::new(&rig));
        let groups: Vec<String> = (0..5).map(|number| hand.make_group(&format!("group-{number}"))).collect();
        let provider = |group: &String| {
            let target = World::of(&rig, Vec::new()).target;
            SecurityGroups::new(&clients, account(REGION), vec![group.clone()], target)
        };
        let sets = [start(), goal(), start().union(&goal()), start().intersection(&goal()), goal()];
        for (group, wanted) in groups.iter().zip(&sets) {
            pass(&provider(group), &Desired::listed(wanted.clone())).await.unwrap();
        }
        let log = rig.log().len();
        let providers: Vec<SecurityGroups> = groups.iter().map(provider).collect();
        let seen = futures_util::future::join_all(providers.iter().map(tagwall_provider::Provider::observe)).await;
        for (seen, wanted) in seen.into_iter().zip(&sets) {
            assert_eq!(seen.unwrap().admitted(), *wanted);
        }
        let calls: Vec<String> = rig.log()[log..].iter().map(|call| text(call, "action").to_owned()).collect();
        assert_eq!(calls, ["DescribeSecurityGroupRules"; 2], "one by group, one by mark");
    }

    /// What is counted is what the rig was asked, over all accounts, and what was tried again is told apart.
    async fn requests_are_counted(rig) {
        let world = World::new(&rig, 1);
        let (none, log) = (world.clients.requests(), rig.log().len());
        assert_eq!((none.calls, none.retries), (0, 0));
        world.clients.identity(&account("us-east-1")).await.unwrap();
        world.reach(&start()).await;
        let asked = |from: usize| rig.log()[from..].iter().filter(|entry| !is_of_hand(entry)).count() as u64;
        let smooth = world.clients.requests();
        assert_eq!((smooth.calls, smooth.retries), (asked(log), 0));
        let log = rig.log().len();
        rig.faults(&serde_json::json!({ "kind": "throttle", "action": "DescribeSecurityGroupRules", "times": 3 }));
        world.provider().observe().await.unwrap();
        let throttled = world.clients.clone().requests();
        assert_eq!(throttled.retries, 3);
        assert_eq!(throttled.calls + throttled.retries - smooth.calls, asked(log));
        assert_eq!(Clients::default().requests().calls, 0, "others' calls are counted");
    }

    /// What `check` asks changes nothing, and names what is missing.
    async fn leave_is_asked_for_without_writing(rig) {
        let world = World::new(&rig, 2);
        world.reach(&start()).await;
        let list = world.hand.make_list("entra", "IPv4", 20, &["203.0.113.0/24"]);
        let names = PerFamily { v4: ListName::Id(list), v6: ListName::Name("entra-v6".to_owned()) };
        let target = tagwall_aws::ListTarget::new(mark());
        let lists = PrefixLists::new(&world.clients, account(REGION), names, target);
        let (before, log) = (rig.state(), writes(&rig.log()));
        let told = world.provider().check().await.unwrap();
        println!("{}", told.join("\n"));
        assert!(told[0].contains("3+2 prefixes of ours, room for 57+58 more"), "{told:?}");
        assert!(told[2].starts_with("allowed: ") && told.len() == 3, "{told:?}");
        let told = lists.check().await.unwrap();
        println!("{}", told.join("\n"));
        assert!(told[0].contains("0 entries of ours and 1 of others, MaxEntries 20"), "{told:?}");
        assert_eq!((rig.state(), writes(&rig.log())), (before, log));

        rig.set("allow", READING);
        let error = world.provider().check().await.unwrap_err();
        assert!(matches!(error, ProviderError::Denied(_)), "{error:?}");
        let (said, group) = (error.to_string(), &world.groups[0]);
        for action in ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress", "ec2:CreateTags"] {
            assert!(said.contains(&format!("{action} on {group}")), "{said}");
        }
        let said = lists.check().await.unwrap_err().to_string();
        assert!(said.contains("ec2:ModifyManagedPrefixList") && said.contains("ec2:CreateManagedPrefixList"), "{said}");
        // A dry run takes no more than the policy for reading.
        let provider = world.provider();
        provider.place(&provider.observe().await.unwrap(), &Desired::listed(goal())).unwrap();
        lists.observe().await.unwrap();
    }

    /// The policies that are shipped are enough, action by action.
    async fn the_shipped_policy_is_enough(rig) {
        let world = World::new(&rig, 2);
        rig.set("allow", [READING, WRITING, &["ec2:CreateSecurityGroup"]].concat());
        world.reach(&start()).await;
        rig.set("untagged", true);
        world.pass(&goal()).await.unwrap();
        world.reach(&goal()).await;
        world.provider().withdraw().await.unwrap();
        let names = PerFamily { v4: ListName::Name("v4".to_owned()), v6: ListName::Name("v6".to_owned()) };
        let target = tagwall_aws::ListTarget::new(mark());
        let lists = PrefixLists::new(&world.clients, account(REGION), names, target);
        pass(&lists, &Desired::listed(start())).await.unwrap();
        pass(&lists, &Desired::listed(goal())).await.unwrap();
        lists.withdraw().await.unwrap();
        assert!(rig.lists().is_empty());
        // The negative control: each action that was used is needed.
        let log = rig.log();
        let mut used: Vec<String> = log
            .iter()
            .filter(|entry| !is_of_hand(entry))
            .map(|entry| format!("{}:{}", text(entry, "service"), text(entry, "action")))
            .collect();
        used.sort();
        used.dedup();
        let listed = |action: &String| READING.iter().chain(WRITING).any(|listed| listed == action);
        assert!(used.iter().all(listed), "{used:?}");
        println!("used: {}", used.join(", "));
    }

    async fn what_is_wrong_with_an_account_is_said(rig) {
        let clients = Clients::default();
        let check = async |account: &Account, class: &str, pieces: &[&str]| {
            let error = clients.identity(account).await.unwrap_err();
            let said = crate::said(&error);
            assert_eq!(error.class(), class, "{said}");
            assert!(pieces.iter().all(|piece| said.contains(piece)), "{said}");
            println!("{said}");
        };
        check(&account(" "), "rejected", &["no region is named", "hint: set `region`"]).await;
        let nobody = Account { profile: Some("nobody".to_owned()), ..account(REGION) };
        check(&nobody, "denied", &["AWS credentials", "nobody"]).await;
        rig.fault("expired", "GetCallerIdentity", 1, false);
        check(&account(REGION), "denied", &["sts:GetCallerIdentity in eu-west-1 is not allowed", "RequestExpired", "clock"]).await;
        rig.fault("denied", "AssumeRole", 1, false);
        check(&in_other_account(REGION), "denied", &["AWS refused to give credentials", "trust policy", "UnauthorizedOperation"]).await;

        let world = World::new(&rig, 1);
        let gone = World::of(&rig, vec!["sg-0123456789abcdef0".to_owned()]);
        let said = crate::said(&gone.provider().observe().await.unwrap_err());
        assert!(said.contains("InvalidGroup.NotFound") && said.contains("of this region and account"), "{said}");
        rig.set("allow", ["ec2:DescribeSecurityGroups"].as_slice());
        let error = world.provider().observe().await.unwrap_err();
        assert_eq!(error.class(), "denied");
        let said = crate::said(&error);
        assert!(said.contains("allow ec2:DescribeSecurityGroupRules to whom tagwall runs as"), "{said}");
    }
}
