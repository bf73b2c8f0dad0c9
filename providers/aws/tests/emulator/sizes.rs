//! Where it stops fitting.

use std::time::Duration;

use tagwall_aws::prefix_list::ListTarget;
use tagwall_aws::{Clients, ListName, PrefixLists};
use tagwall_provider::testing::conformance::{PassError, pass};
use tagwall_provider::{Desired, Family, IpNet, Limit, PerFamily, PrefixSet, Provider as _, ProviderError};

use crate::data;
use crate::hand::{Hand, REGION, admitted, entries_of, prefix, text};
use crate::log::writes;
use crate::rig::Rig;
use crate::world::{OURS, PORT, World, account, mark};

/// Hosts of both families that no two of which merge.
fn hosts(from: u32, count: u32) -> PrefixSet {
    let pair = |host: u32| -> [IpNet; 2] {
        [
            prefix(&format!("192.0.{}.{}/32", host / 128, host % 128 * 2)),
            prefix(&format!("2001:db8::{:x}/128", 2 * host)),
        ]
    };
    (from..from + count).flat_map(pair).collect()
}

async fn refused(world: &World, wanted: &PrefixSet) -> tagwall_provider::Refusal {
    let (before, admitted) = (writes(&world.rig.log()), world.admitted());
    match world.pass(wanted).await {
        Err(PassError::Refused(refusal)) => {
            assert_eq!((writes(&world.rig.log()), world.admitted()), (before, admitted));
            assert_eq!(refusal.limit, Limit::Capacity, "{refusal}");
            refusal
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// A target in one list of each family.
struct Lists {
    rig: Rig,
    hand: Hand,
    names: PerFamily<ListName>,
    target: ListTarget,
}

impl Lists {
    fn new(rig: &Rig, most: u64) -> Self {
        let hand = Hand::new(rig);
        let list = |family: Family| ListName::Id(hand.make_list("entra", &family.to_string(), most, &[]));
        let names = PerFamily::from_fn(list);
        Self { rig: rig.clone(), hand, names, target: ListTarget::new(mark()) }
    }

    fn provider(&self) -> PrefixLists {
        PrefixLists::new(&Clients::default(), account(REGION), self.names.clone(), self.target.clone())
    }

    fn admitted(&self) -> PrefixSet {
        let entries: Vec<_> = self.rig.lists().iter().flat_map(entries_of).collect();
        admitted(&entries, OURS, PORT)
    }

    async fn reach(&self, wanted: &PrefixSet) -> u64 {
        let passed = pass(&self.provider(), &Desired::listed(wanted.clone())).await.unwrap();
        assert_eq!(self.admitted(), *wanted);
        passed.applied.calls
    }
}

on_a_rig! {
    async fn the_sixty_first_rule(rig) {
        let world = World::new(&rig, 1);
        world.reach(&hosts(0, 60)).await;
        let refusal = refused(&world, &hosts(0, 61)).await;
        assert!(refusal.finding.contains("61 prefixes are needed, and the groups hold 60"), "{refusal}");
        // Full, and all of it new: old and new do not fit at once.
        let refusal = refused(&world, &hosts(60, 60)).await;
        assert!(refusal.choices.iter().any(|choice| choice.contains("make-room")), "{refusal:?}");
    }

    /// The one exception to "authorise before revoke", and only for whom nobody wants.
    async fn make_room_lets_go_first(rig) {
        let mut world = World::new(&rig, 1);
        world.reach(&hosts(0, 60)).await;
        refused(&world, &hosts(30, 60)).await;
        world.target.make_room = true;
        let log = rig.log().len();
        let passed = world.reach(&hosts(30, 60)).await;
        let calls = rig.log().split_off(log);
        let calls: Vec<&str> = calls.iter().filter(|call| call["writes"] == true).map(|call| text(call, "action")).collect();
        assert_eq!(calls, ["RevokeSecurityGroupIngress", "AuthorizeSecurityGroupIngress"]);
        println!("the window is one call wide: {} rules gone before {} came", passed.applied.removed, passed.applied.added);
    }

    async fn a_quota_that_is_lower_than_configured(rig) {
        let mut world = World::new(&rig, 1);
        world.reach(&hosts(0, 50)).await;
        world.target.quota = 100;
        let error = world.pass(&hosts(0, 70)).await.unwrap_err();
        let PassError::Provider(error @ ProviderError::Rejected { .. }) = error else { panic!("{error:?}") };
        assert!(error.hint().is_some_and(|hint| hint.contains("quota")), "{error:?}");
        assert_eq!(world.admitted(), hosts(0, 50));
    }

    async fn entra_does_not_fit_one_default_group(rig) {
        let Some(publication) = data::latest() else { return };
        let wanted = data::tag(&publication, "AzureActiveDirectory");
        let refusal = refused(&World::new(&rig, 1), &wanted).await;
        println!("{refusal}\n  {}", refusal.choices.join("\n  "));
        // The negative control.
        World::new(&rig, 4).reach(&wanted).await;
    }

    async fn a_hundred_entries_a_call(rig) {
        let lists = Lists::new(&rig, 300);
        assert_eq!(lists.reach(&hosts(0, 100)).await, 2);
        assert_eq!(lists.reach(&hosts(0, 201)).await, 4);
        assert_eq!(lists.reach(&PrefixSet::new()).await, 6);
    }

    async fn lists_grow_alone_and_only_when_they_must(rig) {
        let mut lists = Lists::new(&rig, 2);
        assert_eq!(lists.reach(&hosts(0, 2)).await, 2);
        // A resize and a change for each.
        assert_eq!(lists.reach(&hosts(0, 3)).await, 4);
        assert_eq!(lists.reach(&hosts(0, 1)).await, 2);
        let sizes = || rig.lists().iter().map(|list| list["maxEntries"].as_u64().unwrap()).collect::<Vec<_>>();
        assert_eq!(sizes(), [3, 3], "a list shrank");
        lists.target.most_entries = 5;
        lists.reach(&hosts(0, 5)).await;
        let before = writes(&rig.log());
        let refused = pass(&lists.provider(), &Desired::listed(hosts(0, 6))).await.unwrap_err();
        assert!(matches!(&refused, PassError::Refused(refusal) if refusal.limit == Limit::Capacity), "{refused:?}");
        assert_eq!((writes(&rig.log()), sizes()), (before, vec![5, 5]));
    }

    /// A group that names the list has no quota for it: EC2 says so some time after it took the call.
    async fn a_resize_that_comes_to_nothing(rig) {
        let lists = Lists::new(&rig, 50);
        lists.reach(&hosts(0, 50)).await;
        let group = lists.hand.make_group("names-the-list");
        let ListName::Id(id) = &lists.names.v4 else { panic!() };
        lists.hand.name_list(&group, id);
        let error = pass(&lists.provider(), &Desired::listed(hosts(0, 70))).await.unwrap_err();
        let PassError::Provider(error @ ProviderError::Rejected { .. }) = error else { panic!("{error:?}") };
        assert!(error.to_string().contains(&group) && error.hint().is_some(), "{error:?}");
        assert_eq!(lists.admitted(), hosts(0, 50));
    }

    /// Reads that show the past: no version is seen for two minutes, and none is built on before it is.
    async fn lists_whose_reads_lag(rig) {
        let lists = Lists::new(&rig, 2);
        rig.advance(300);
        rig.set("lag", 120);
        let ticking = {
            let rig = rig.clone();
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    rig.advance(20);
                }
            })
        };
        let passed = pass(&lists.provider(), &Desired::listed(hosts(0, 150))).await.unwrap();
        assert_eq!((passed.conflicts, passed.applied.calls, lists.admitted()), (0, 6, hosts(0, 150)));
        assert_eq!(passed.after.admitted(), hosts(0, 150), "it did not wait for what it had written");
        ticking.abort();
    }

    /// Somebody enters something between two calls of a change: the version is the lock.
    async fn a_stale_version_loses_nobodys_edit(rig) {
        let lists = Lists::new(&rig, 300);
        rig.set("settle", 30);
        let (provider, wanted) = (lists.provider(), hosts(0, 150).only(Family::V4));
        let observed = provider.observe().await.unwrap();
        let steps = provider.place(&observed, &Desired::listed(wanted.clone())).unwrap();
        let theirs = prefix("203.0.113.0/24");
        let meddling = async {
            while lists.admitted().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // In one step of this process: the provider sees the list complete when theirs is in it.
            rig.set("settle", 0);
            rig.advance(31);
            let list = rig.lists().into_iter().find(|list| list["addressFamily"] == "IPv4").unwrap();
            lists.hand.change_list(&list, theirs, Some("office"), true);
        };
        let (applied, ()) = tokio::join!(provider.apply(&observed.revision, &steps), meddling);
        assert!(matches!(applied, Err(ProviderError::Conflict(_))), "{applied:?}");
        lists.reach(&wanted).await;
        let entries: Vec<_> = rig.lists().iter().flat_map(entries_of).collect();
        assert!(entries.iter().any(|entry| entry["cidr"] == "203.0.113.0/24" && entry["description"] == "office"));
    }
}
