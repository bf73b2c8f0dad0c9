//! Security groups: the contract's conformance suite, and what it cannot know of EC2.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;
use tagwall_aws::{Clients, Ports, SecurityGroups};
use tagwall_provider::testing::conformance;
use tagwall_provider::testing::rig::{Act, Fault, NotApplicable, Rig as Conforming, Target};
use tagwall_provider::{IpNet, OwnerMark, PrefixSet, Provider};

use crate::hand::{Hand, REGION, admitted, is_of_port, mark_of, prefix, prefix_of, text};
use crate::log::Replay;
use crate::rig::Rig;
use crate::world::{PORT, account};

pub(crate) const OWNER: &str = "conformance";

pub(crate) fn mark(owner: &str, target: Target) -> OwnerMark {
    OwnerMark::new(owner, target.name()).unwrap()
}

/// Two groups for each target, and other people's rules in the first of them.
struct GroupsRig {
    rig: Rig,
    hand: Hand,
    clients: Clients,
    groups: BTreeMap<Target, [String; 2]>,
    quota: u64,
    replay: Replay,
}

impl GroupsRig {
    fn new(rig: &Rig) -> Self {
        let (clients, groups, replay) = Default::default();
        Self { rig: rig.clone(), hand: Hand::new(rig), clients, groups, quota: 80, replay }
    }

    fn set_quota(&mut self, quota: u64) {
        self.quota = quota;
        self.rig.set("quota", quota);
    }

    fn stored(&self, group: &str, prefix: IpNet) -> Vec<Value> {
        let is_it =
            |rule: &Value| text(rule, "groupId") == group && prefix_of(rule) == Some(prefix) && is_of_port(rule, PORT);
        self.rig.rules().into_iter().filter(is_it).collect()
    }

    /// Puts a rule where none of equal content stands.
    fn put(&self, target: Target, prefix: IpNet, mark: Option<&str>, first: usize) {
        let groups = &self.groups[&target];
        let free = [first, 1 - first].into_iter().find(|&index| self.stored(&groups[index], prefix).is_empty());
        self.hand.add_rule(&groups[free.unwrap()], prefix, PORT, "office", mark);
    }
}

#[async_trait]
impl Conforming for GroupsRig {
    async fn reset(&mut self) {
        self.rig.reset();
        self.replay = Replay::default();
        self.set_quota(80);
        let make = |name: &str| self.hand.make_group(name);
        self.groups = BTreeMap::from([
            (Target::First, [make("first-a"), make("first-b")]),
            (Target::Second, [make("second-a"), make("second-b")]),
        ]);
        let [first, _] = &self.groups[&Target::First];
        // Of both families two.
        self.hand.add_peer(first, first);
        self.hand.add_rule(first, prefix("198.51.100.128/25"), PORT, "office", None);
        self.hand.add_rule(first, prefix("2001:db8:ff00::/48"), PORT, "office", None);
        self.hand.add_rule(&self.hand.make_group("elsewhere"), prefix("2001:db8:ffff::/48"), 22, "ssh", None);
    }

    async fn provider(&mut self, target: Target, configured: &[Target]) -> Box<dyn Provider> {
        let ours = tagwall_aws::Target {
            configured: configured.iter().map(|&target| mark(OWNER, target)).collect(),
            quota: self.quota,
            ..tagwall_aws::Target::new(mark(OWNER, target), vec![Ports::tcp(PORT, PORT)])
        };
        Box::new(SecurityGroups::new(&self.clients, account(REGION), self.groups[&target].to_vec(), ours))
    }

    async fn admitted(&mut self, target: Target) -> PrefixSet {
        admitted(&self.rig.rules(), &mark(OWNER, target).to_string(), PORT)
    }

    async fn foreign(&mut self) -> String {
        let ours = format!("tagwall:{OWNER}/");
        let foreign = self.rig.rules().into_iter();
        let foreign = foreign.filter(|rule| mark_of(rule).is_none_or(|mark| !mark.starts_with(&ours)));
        foreign.map(|rule| rule.to_string()).collect::<Vec<_>>().join("\n")
    }

    async fn third_party(&mut self, target: Target, act: Act) -> Result<(), NotApplicable> {
        let ours = mark(OWNER, target).to_string();
        let of_ours = |rule: &Value| mark_of(rule) == Some(&ours);
        match act {
            Act::AddForeign(prefix) => self.put(target, prefix, None, 0),
            Act::AddOtherOwners(prefix) => self.put(target, prefix, Some("tagwall:somebody/first"), 0),
            Act::AddOurs(prefix) => self.put(target, prefix, Some(&ours), 1),
            Act::RemoveForeign(prefix) | Act::RemoveOurs(prefix) => {
                let wanted = matches!(act, Act::RemoveOurs(_));
                for rule in self.groups[&target].iter().flat_map(|group| self.stored(group, prefix)) {
                    if of_ours(&rule) == wanted {
                        self.hand.remove_rule(&rule);
                    }
                }
            }
            Act::BreakSkeleton => {
                // A rule that lost its tag, and one of ours for another port.
                let rule = self.rig.rules().into_iter().find(of_ours).unwrap();
                self.hand.untag(&rule);
                let [first, _] = &self.groups[&target];
                self.hand.add_rule(first, prefix("203.0.113.0/24"), PORT + 1, "", Some(&ours));
            }
        }
        Ok(())
    }

    async fn limit_capacity(&mut self, entries: u64) -> Result<(), NotApplicable> {
        // Other people's rules take two places of each family.
        assert!(entries.is_multiple_of(2));
        self.set_quota(entries / 2 + 1);
        Ok(())
    }

    async fn fail_at(&mut self, fault: Fault) -> Result<(), NotApplicable> {
        // The SDK tries no refusal again; a lost answer it does.
        let kind = if fault.after { "cut" } else { "quota" };
        self.rig.fault(kind, "writing", fault.call + 1, fault.after);
        Ok(())
    }

    async fn states(&mut self, target: Target) -> Option<Vec<PrefixSet>> {
        let mark = mark(OWNER, target).to_string();
        Some(self.replay.states(&self.rig.log(), &mark, PORT))
    }
}

on_a_rig! {
    async fn security_groups_conform(rig) {
        let report = conformance::run(&mut GroupsRig::new(&rig)).await;
        println!("{report}");
        report.assert_conforms(&[]);
    }
}
