//! The conformance suite on the memory provider, and on providers that break the contract one way each: a suite
//! that lets one of those through would prove nothing.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

mod broken;
mod provider;

use async_trait::async_trait;
use broken::{Broken, Habit};
use tagwall_provider::testing::conformance::{self, CaseOutcome};
use tagwall_provider::testing::memory::{Failure, MemoryFirewall, MemoryProvider};
use tagwall_provider::testing::rig::{Act, Fault, NotApplicable, Rig, Target};
use tagwall_provider::{IpNet, OwnerMark, PrefixSet, Provider};

const OWNER: &str = "conformance";

fn mark(owner: &str, target: Target) -> OwnerMark {
    OwnerMark::new(owner, target.name()).unwrap()
}

/// Each target has two objects, apart from the other's.
fn objects(target: Target) -> [&'static str; 2] {
    match target {
        Target::First => ["first-a", "first-b"],
        Target::Second => ["second-a", "second-b"],
    }
}

struct MemoryRig {
    firewall: MemoryFirewall,
    seen: [usize; 2],
    /// It records no states, as a rig on a real firewall cannot, and has nothing that a rig may do without.
    blind: bool,
    habit: Option<Habit>,
}

impl MemoryRig {
    fn new(habit: Option<Habit>) -> Self {
        Self { firewall: MemoryFirewall::new(), seen: [0; 2], blind: false, habit }
    }
}

#[async_trait]
impl Rig for MemoryRig {
    async fn reset(&mut self) {
        *self = Self { blind: self.blind, ..Self::new(self.habit) };
        for (object, prefix) in
            [("first-a", "198.51.100.128/25"), ("first-a", "2001:db8:ff00::/48"), ("elsewhere", "2001:db8:ffff::/48")]
        {
            self.firewall.insert(object, prefix.parse::<IpNet>().unwrap(), None);
        }
    }

    async fn provider(&mut self, target: Target, configured: &[Target]) -> Box<dyn Provider> {
        let configured = configured.iter().map(|&target| mark(OWNER, target));
        let inner = MemoryProvider::new(&self.firewall, mark(OWNER, target), &objects(target)).beside(configured);
        match self.habit {
            None => Box::new(inner),
            Some(habit) => {
                Box::new(Broken { inner, firewall: self.firewall.clone(), mark: mark(OWNER, target), habit })
            }
        }
    }

    async fn admitted(&mut self, target: Target) -> PrefixSet {
        self.firewall.admitted(&mark(OWNER, target))
    }

    async fn foreign(&mut self) -> String {
        self.firewall.not_of(OWNER)
    }

    async fn third_party(&mut self, target: Target, act: Act) -> Result<(), NotApplicable> {
        let ours = mark(OWNER, target);
        let [first, second] = objects(target);
        match act {
            Act::AddForeign(prefix) => self.firewall.insert(first, prefix, None),
            Act::RemoveForeign(prefix) => self.firewall.delete(first, prefix, None),
            Act::AddOtherOwners(prefix) => {
                self.leaves_orphans()?;
                self.firewall.insert(first, prefix, Some(&mark("somebody", target)));
            }
            Act::AddOurs(prefix) => self.firewall.insert(second, prefix, Some(&ours)),
            Act::RemoveOurs(prefix) => {
                for name in objects(target) {
                    self.firewall.delete(name, prefix, Some(&ours));
                }
            }
            Act::BreakSkeleton => self.firewall.break_skeleton(&ours),
        }
        Ok(())
    }

    async fn limit_capacity(&mut self, entries: u64) -> Result<(), NotApplicable> {
        self.leaves_orphans()?;
        for target in Target::ALL {
            let [first, second] = objects(target);
            // One place of each family in the first object is somebody else's.
            self.firewall.limit(first, entries / 2 + u64::from(target == Target::First));
            self.firewall.limit(second, entries - entries / 2);
        }
        Ok(())
    }

    async fn fail_at(&mut self, fault: Fault) -> Result<(), NotApplicable> {
        self.firewall.fail_write(fault.call, if fault.after { Failure::AnswerLost } else { Failure::Rejected });
        Ok(())
    }

    fn leaves_orphans(&self) -> Result<(), NotApplicable> {
        if self.blind { Err(NotApplicable("nobody can see")) } else { Ok(()) }
    }

    async fn states(&mut self, target: Target) -> Option<Vec<PrefixSet>> {
        if self.blind {
            return None;
        }
        let history = self.firewall.history(&mark(OWNER, target));
        let seen = &mut self.seen[target as usize];
        let new = history[*seen..].to_vec();
        *seen = history.len();
        Some(new)
    }
}

#[tokio::test]
async fn the_memory_provider_conforms() {
    conformance::run(&mut MemoryRig::new(None)).await.assert_conforms(&[]);
}

/// What the suite has to say of a habit: in which cases, and a piece of what it says there. Others may fail too.
async fn check(habit: Habit, expected: &[(&str, &str)]) {
    let mut rig = MemoryRig::new(Some(habit));
    check_on(&mut rig, expected).await;
}

async fn check_on(rig: &mut MemoryRig, expected: &[(&str, &str)]) {
    for (case, piece) in expected {
        let report = conformance::run_one(rig, case).await;
        let said = matches!(&report.cases[0].outcome, CaseOutcome::Failed(what) if what.contains(piece));
        assert!(said, "{:?} should fail with `{piece}`:\n{report}", rig.habit);
    }
}

#[tokio::test]
async fn what_opens_a_gap_or_the_door_fails() {
    let gap = "a gap: 192.0.2.0/25";
    let expected =
        [("widened", gap), ("failure_before_each_call", gap), ("dropped_halfway", gap), ("two_passes_at_once", gap)];
    check(Habit::RemovesFirst, &expected).await;
    let door = "was admitted, though neither before nor desired";
    check(Habit::OpensWhileItWorks, &[("the_whole_space", door), ("many_changes", door)]).await;
    // Where nobody records the states, stopping at every call shows the gap.
    let mut blind = MemoryRig { blind: true, ..MemoryRig::new(Some(Habit::RemovesFirst)) };
    check_on(
        &mut blind,
        &[("failure_before_each_call", gap), ("failure_after_each_call", gap), ("dropped_halfway", gap)],
    )
    .await;
}

#[tokio::test]
async fn what_moves_without_need_fails() {
    let restless = "the target is as desired, and yet there are steps";
    check(Habit::AddsAgain, &[("second_pass_does_nothing", restless), ("re_expressed", restless)]).await;
    check(Habit::Rebuilds, &[("added", "Add: expected"), ("removed", "Add: expected")]).await;
    check(Habit::Canonicalises, &[("re_expressed", "two halves admit the whole already")]).await;
}

#[tokio::test]
async fn what_touches_other_peoples_things_fails() {
    let touched = "changed what is not ours";
    let cases = ["foreign_entry_first", "foreign_entry_equal_to_ours", "another_owners_entry"];
    check(Habit::DeletesForeign, &cases.map(|case| (case, touched))).await;
    check(Habit::WithdrawsTheNeighbour, &[("neighbours", "has to be mended")]).await;
    check(Habit::CallsEverybodyAnOrphan, &[("orphans", "a configured target is no orphan")]).await;
    check(Habit::RemovesItselfWithTheOrphans, &[("orphans", "removing orphans left")]).await;
}

#[tokio::test]
async fn what_forgets_fails() {
    check(Habit::ForgetsIpv6, &[("from_absent", "2001:db8"), ("one_family_only", "should be admitted and is not")])
        .await;
    check(Habit::DropsWhatDoesNotFit, &[("over_capacity", "not refused")]).await;
    check(Habit::OverlooksTheSkeleton, &[("skeleton_drift", "the skeleton is Drifted")]).await;
    check(Habit::LeavesTheSkeleton, &[("withdrawn", "the skeleton was Absent")]).await;
    let idle = ("withdrawn", "withdrew without a call");
    check(Habit::WithdrawsNothing, &[idle, ("neighbours", idle.1), ("withdrawn_while_broken", idle.1)]).await;
    check(Habit::WithdrawsNoEmptyTarget, &[idle]).await;
    check(Habit::SeesNoOrphans, &[("orphans", "is not listed"), ("failure_in_removing_orphans", "never noticed")])
        .await;
    check(Habit::ClosesForATag, &[("service_tag", "not refused")]).await;
    check(Habit::DoesNothing, &[("from_absent", "should be admitted"), ("removed", "should be admitted")]).await;
}

#[tokio::test]
async fn what_misreports_fails() {
    let stale = [("conflict_kept_entry_removed", "should be admitted"), ("conflict_entry_added", "should not be")];
    check(Habit::IgnoresTheLock, &stale).await;
    let silent =
        [("failure_before_each_call", "should be admitted"), ("failure_in_withdraw", "the withdrawal did not")];
    check(Habit::SwallowsErrors, &silent).await;
    check(Habit::OverlooksHosts, &[("from_absent", "the provider reads")]).await;
    check(Habit::MiscountsCalls, &[("from_absent", "calls: 0")]).await;
}

/// What a firewall that holds equal content only once has to do, and may.
#[tokio::test]
async fn relying_on_other_peoples_entries_conforms() {
    conformance::run(&mut MemoryRig::new(Some(Habit::ReliesOnForeign))).await.assert_conforms(&[]);
}

#[tokio::test]
async fn what_is_not_applicable_is_named() {
    let mut rig = MemoryRig { blind: true, ..MemoryRig::new(None) };
    let report = conformance::run(&mut rig).await;
    report.assert_conforms(&["over_capacity", "another_owners_entry", "orphans", "failure_in_removing_orphans"]);
    let report = conformance::run_one(&mut rig, "orphans").await;
    report.assert_conforms(&["orphans"]);
    assert_eq!(report.to_string(), "not applicable  orphans: nobody can see\n");
    for wrong in [&[][..], &["other"], &["orphans", "other"]] {
        let asserted = std::panic::catch_unwind(|| report.assert_conforms(wrong));
        assert!(asserted.is_err(), "{wrong:?}");
    }
}
