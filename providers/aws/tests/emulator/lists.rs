//! Prefix lists: the contract's conformance suite, for lists that are there and for lists that are made.

use async_trait::async_trait;
use serde_json::Value;
use tagwall_aws::{Clients, ListName, ListTarget, PrefixLists};
use tagwall_provider::testing::conformance;
use tagwall_provider::testing::rig::{Act, Fault, NotApplicable, Rig as Conforming, Target};
use tagwall_provider::{Family, IpNet, PerFamily, PrefixSet, Provider};

use crate::groups::{OWNER, mark};
use crate::hand::{Hand, REGION, admitted, entries_of, mark_of, prefix_of, text};
use crate::log::Replay;
use crate::rig::Rig;
use crate::world::{PORT, account};

/// A list of each family for each target.
struct ListsRig {
    rig: Rig,
    hand: Hand,
    clients: Clients,
    /// Whether they are named by name, and made when they are needed.
    made: bool,
    most: u64,
    replay: Replay,
    lists: [PerFamily<ListName>; 2],
}

impl ListsRig {
    fn new(rig: &Rig, made: bool) -> Self {
        let (clients, replay, lists) = Default::default();
        Self { rig: rig.clone(), hand: Hand::new(rig), clients, made, most: 150, replay, lists }
    }

    /// How many entries of each family somebody else has in the first target's lists at first.
    fn others(&self) -> u64 {
        u64::from(!self.made)
    }

    fn list_of(&self, target: Target, prefix: IpNet) -> Option<Value> {
        let name = self.lists[target as usize].get(Family::of(prefix.addr()));
        let mark = mark(OWNER, target).to_string();
        self.rig.lists().into_iter().find(|list| match name {
            ListName::None => false,
            ListName::Id(id) => text(list, "prefixListId") == id,
            // Of its target there is one of each family.
            ListName::Name(_) => {
                list["tags"]["tagwall"] == *mark && text(list, "addressFamily") == Family::of(prefix.addr()).to_string()
            }
        })
    }

    fn entries(&self) -> Vec<Value> {
        self.rig.lists().iter().flat_map(entries_of).collect()
    }

    fn put(&self, target: Target, prefix: IpNet, description: Option<&str>) -> Result<(), NotApplicable> {
        let list = self.list_of(target, prefix).ok_or(NotApplicable("the list is not made yet"))?;
        if entries_of(&list).iter().any(|entry| prefix_of(entry) == Some(prefix)) {
            return Err(NotApplicable("a list holds a prefix once, and ours is there"));
        }
        if list["entries"].as_object().unwrap().len() as u64 == list["maxEntries"] {
            self.hand.resize_list(&list, 20);
        }
        self.hand.change_list(&list, prefix, description, true);
        Ok(())
    }
}

#[async_trait]
impl Conforming for ListsRig {
    async fn reset(&mut self) {
        self.rig.reset();
        self.replay = Replay::default();
        self.hand.make_list("offices", "IPv4", 10, &["203.0.113.0/24"]);
        let name = |target: Target, family: Family| {
            let name = format!("{}-{family}", target.name());
            if self.made {
                return ListName::Name(name);
            }
            let others: &[&str] = match (target, family) {
                (Target::Second, _) => &[],
                (_, Family::V4) => &["198.51.100.128/25"],
                (_, Family::V6) => &["2001:db8:ff00::/48"],
            };
            ListName::Id(self.hand.make_list(&name, &family.to_string(), 160, others))
        };
        self.lists = Target::ALL.map(|target| PerFamily::from_fn(|family| name(target, family)));
        self.most = 150 + self.others();
    }

    async fn provider(&mut self, target: Target, configured: &[Target]) -> Box<dyn Provider> {
        let ours = ListTarget {
            configured: configured.iter().map(|&target| mark(OWNER, target)).collect(),
            most_entries: self.most,
            ..ListTarget::new(mark(OWNER, target))
        };
        Box::new(PrefixLists::new(&self.clients, account(REGION), self.lists[target as usize].clone(), ours))
    }

    async fn admitted(&mut self, target: Target) -> PrefixSet {
        admitted(&self.entries(), &mark(OWNER, target).to_string(), PORT)
    }

    async fn foreign(&mut self) -> String {
        let ours = format!("tagwall:{OWNER}/");
        let foreign = self.entries().into_iter();
        let foreign = foreign.filter(|entry| mark_of(entry).is_none_or(|mark| !mark.starts_with(&ours)));
        foreign.map(|entry| entry.to_string()).collect::<Vec<_>>().join("\n")
    }

    async fn third_party(&mut self, target: Target, act: Act) -> Result<(), NotApplicable> {
        let ours = mark(OWNER, target).to_string();
        match act {
            Act::AddForeign(prefix) => self.put(target, prefix, None)?,
            Act::AddOtherOwners(prefix) => self.put(target, prefix, Some("tagwall:somebody/first"))?,
            Act::AddOurs(prefix) => self.put(target, prefix, Some(&ours))?,
            Act::RemoveForeign(prefix) | Act::RemoveOurs(prefix) => {
                let list = self.list_of(target, prefix).unwrap();
                self.hand.change_list(&list, prefix, None, false);
            }
            Act::BreakSkeleton => return Err(NotApplicable("nothing stands around the entries of a list")),
        }
        Ok(())
    }

    async fn limit_capacity(&mut self, entries: u64) -> Result<(), NotApplicable> {
        self.most = entries + self.others();
        Ok(())
    }

    async fn fail_at(&mut self, fault: Fault) -> Result<(), NotApplicable> {
        let kind = if fault.after { "cut" } else { "quota" };
        self.rig.fault(kind, "writing", fault.call + 1, fault.after);
        Ok(())
    }

    async fn states(&mut self, target: Target) -> Option<Vec<PrefixSet>> {
        Some(self.replay.states(&self.rig.log(), &mark(OWNER, target).to_string(), PORT))
    }

    fn grows_with_entries(&self) -> bool {
        self.made
    }

    fn leaves_orphans(&self) -> Result<(), NotApplicable> {
        if self.made { Ok(()) } else { Err(NotApplicable("only the configuration knows which lists a target had")) }
    }
}

const NO_SKELETON: [&str; 3] = ["skeleton_drift", "withdrawn_while_broken", "conflict_skeleton_broken"];

on_a_rig! {
    async fn lists_that_are_there_conform(rig) {
        let report = conformance::run(&mut ListsRig::new(&rig, false)).await;
        println!("{report}");
        let [drift, withdrawn, conflict] = NO_SKELETON;
        report.assert_conforms(&[
            "foreign_entry_equal_to_ours", drift, withdrawn, "orphans", "failure_in_removing_orphans", conflict,
        ]);
    }

    async fn lists_that_are_made_conform(rig) {
        let report = conformance::run(&mut ListsRig::new(&rig, true)).await;
        println!("{report}");
        let [drift, withdrawn, conflict] = NO_SKELETON;
        report.assert_conforms(&[
            "foreign_entry_first", "foreign_entry_equal_to_ours", "foreign_entry_leaves", "foreign_entry_inside_ours",
            "another_owners_entry", drift, withdrawn, conflict,
        ]);
    }
}
