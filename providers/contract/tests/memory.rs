//! The conformance suite on the memory provider, and on providers that break the contract one way each.

use async_trait::async_trait;
use tagwall_provider::testing::conformance;
use tagwall_provider::testing::memory::{Failure, MemoryFirewall, MemoryProvider};
use tagwall_provider::testing::rig::{Act, Fault, NotApplicable, Rig, Target};
use tagwall_provider::{
    Applied, Desired, IpNet, Observed, Operation, Orphan, OwnerMark, PrefixSet, Provider, ProviderError, Refusal,
    Revision, Steps,
};

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
    habit: Option<Habit>,
}

impl MemoryRig {
    fn new(habit: Option<Habit>) -> Self {
        Self { firewall: MemoryFirewall::new(), seen: [0; 2], habit }
    }
}

#[async_trait]
impl Rig for MemoryRig {
    async fn reset(&mut self) {
        *self = Self::new(self.habit);
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
            Some(habit) => Box::new(Broken { inner, firewall: self.firewall.clone(), target, habit }),
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
            Act::AddOtherOwners(prefix) => self.firewall.insert(first, prefix, Some(&mark("somebody", target))),
            Act::AddOurs(prefix) => self.firewall.insert(second, prefix, Some(&ours)),
            Act::RemoveOurs(prefix) => {
                objects(target).iter().for_each(|name| self.firewall.delete(name, prefix, Some(&ours)))
            }
            Act::BreakSkeleton => self.firewall.break_skeleton(&ours),
        }
        Ok(())
    }

    async fn limit_capacity(&mut self, entries: u64) -> Result<(), NotApplicable> {
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

    async fn states(&mut self, target: Target) -> Option<Vec<PrefixSet>> {
        let history = self.firewall.history(&mark(OWNER, target));
        let seen = &mut self.seen[target as usize];
        let new = history[*seen..].to_vec();
        *seen = history.len();
        Some(new)
    }
}

#[tokio::test]
async fn the_memory_provider_conforms() {
    let report = conformance::run(&mut MemoryRig::new(None)).await;
    println!("{report}");
    report.assert_conforms(&[]);
}
#[derive(Clone, Copy, Debug)]
enum Habit {
    None,
}
#[derive(Debug)]
struct Broken {
    inner: MemoryProvider,
    firewall: MemoryFirewall,
    target: Target,
    habit: Habit,
}

#[async_trait]
impl Provider for Broken {
    async fn observe(&self) -> Result<Observed, ProviderError> {
        self.inner.observe().await
    }
    fn place(&self, observed: &Observed, desired: &Desired) -> Result<Steps, Refusal> {
        self.inner.place(observed, desired)
    }
    async fn apply(&self, base: &Revision, steps: &Steps) -> Result<Applied, ProviderError> {
        self.inner.apply(base, steps).await
    }
    async fn withdraw(&self) -> Result<Applied, ProviderError> {
        self.inner.withdraw().await
    }
    async fn remove_orphans(&self, orphans: &[Orphan]) -> Result<Applied, ProviderError> {
        self.inner.remove_orphans(orphans).await
    }
}
