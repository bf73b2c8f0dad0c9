//! Providers with one bad habit each.

use async_trait::async_trait;
use tagwall_provider::testing::memory::{MemoryFirewall, MemoryProvider};
use tagwall_provider::{
    Admits, Applied, Desired, Entry, Family, ForeignEffect, IpNet, Observed, Operation, Orphan, OwnerMark, PrefixSet,
    Provider, ProviderError, Refusal, Revision, Skeleton, Slot, Step, Steps,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    RemovesFirst,
    OpensWhileItWorks,
    DeletesForeign,
    AddsAgain,
    Rebuilds,
    Canonicalises,
    IgnoresTheLock,
    ForgetsIpv6,
    ClosesForATag,
    DropsWhatDoesNotFit,
    OverlooksTheSkeleton,
    WithdrawsTheNeighbour,
    LeavesTheSkeleton,
    WithdrawsNothing,
    WithdrawsNoEmptyTarget,
    CallsEverybodyAnOrphan,
    SeesNoOrphans,
    RemovesItselfWithTheOrphans,
    SwallowsErrors,
    DoesNothing,
    OverlooksHosts,
    MiscountsCalls,
    ReliesOnForeign,
}

#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) inner: MemoryProvider,
    pub(crate) firewall: MemoryFirewall,
    pub(crate) mark: OwnerMark,
    pub(crate) habit: Habit,
}

fn remove(entry: &Entry) -> Step {
    let Entry { admits, slot, id } = entry.clone();
    Step { operation: Operation::Remove, admits, slot, id }
}

impl Broken {
    /// Places as if these were all our entries, and removes the others.
    fn place_with(
        &self,
        observed: &Observed,
        desired: &Desired,
        kept: impl Fn(&Entry) -> bool,
    ) -> Result<Steps, Refusal> {
        let (kept, others) = observed.entries.iter().cloned().partition(kept);
        let mut steps = self.inner.place(&Observed { entries: kept, ..observed.clone() }, desired)?;
        steps.entries.extend(others.iter().map(remove));
        Ok(steps)
    }

    /// Lets everybody in for as long as the steps take.
    async fn open_and_apply(&self, base: &Revision, steps: &Steps) -> Result<Applied, ProviderError> {
        let everybody = Admits::Range("0.0.0.0/0".parse::<IpNet>().unwrap().into());
        let open = Step { operation: Operation::Add, admits: everybody.clone(), slot: Slot(0), id: None };
        self.inner.apply(base, &Steps { entries: vec![open], ..Steps::default() }).await?;
        let base = self.inner.observe().await?.revision;
        let applied = self.inner.apply(&base, steps).await?;
        let seen = self.inner.observe().await?;
        let close = seen.entries.iter().filter(|entry| entry.admits == everybody).map(remove).collect();
        self.inner.apply(&seen.revision, &Steps { entries: close, ..Steps::default() }).await?;
        Ok(applied)
    }
}

fn swallow(applied: Result<Applied, ProviderError>) -> Applied {
    applied.unwrap_or(Applied { calls: 1, ..Applied::default() })
}

#[async_trait]
impl Provider for Broken {
    async fn observe(&self) -> Result<Observed, ProviderError> {
        let mut observed = self.inner.observe().await?;
        match self.habit {
            Habit::CallsEverybodyAnOrphan => {
                let mark = OwnerMark::new(self.mark.owner(), "second").unwrap();
                let id = tagwall_provider::StoredId("second-a".into());
                if !self.firewall.admitted(&mark).is_empty() {
                    observed.orphans = vec![Orphan { mark, object: "second-a".to_owned(), id }];
                }
            }
            Habit::SeesNoOrphans => observed.orphans.clear(),
            Habit::OverlooksHosts => observed.entries.retain(|entry| !entry.admits.to_string().ends_with("/32")),
            _ => {}
        }
        Ok(observed)
    }

    fn place(&self, observed: &Observed, desired: &Desired) -> Result<Steps, Refusal> {
        let by_foreign = observed.foreign.iter().filter_map(|foreign| match &foreign.effect {
            ForeignEffect::Admits(prefixes) => Some(prefixes),
            _ => None,
        });
        let foreign: PrefixSet = by_foreign.fold(PrefixSet::new(), |sum, prefixes| sum.union(prefixes));
        let cover: Vec<IpNet> = desired.prefixes().prefixes().collect();
        match self.habit {
            Habit::AddsAgain => self.inner.place(&Observed { entries: Vec::new(), ..observed.clone() }, desired),
            Habit::Rebuilds if observed.admitted() != desired.prefixes() => {
                self.place_with(observed, desired, |_| false)
            }
            Habit::Canonicalises => self.place_with(observed, desired, |entry| {
                cover.iter().any(|&prefix| entry.range() == Some(prefix.into()))
            }),
            Habit::ForgetsIpv6 => self.inner.place(observed, &Desired::listed(desired.prefixes().only(Family::V4))),
            Habit::ClosesForATag => self.inner.place(observed, &Desired::listed(desired.prefixes())),
            Habit::DropsWhatDoesNotFit => Ok(self.inner.place(observed, desired).unwrap_or_default()),
            Habit::OverlooksTheSkeleton if matches!(observed.skeleton, Skeleton::Drifted(_)) => {
                self.inner.place(&Observed { skeleton: Skeleton::Intact, ..observed.clone() }, desired)
            }
            Habit::ReliesOnForeign => {
                let mut steps = self.inner.place(observed, desired)?;
                let needed = |step: &Step| match step.admits {
                    Admits::Range(range) => step.operation == Operation::Remove || !foreign.covers(range),
                    Admits::ServiceTag(_) => true,
                };
                steps.entries.retain(needed);
                Ok(steps)
            }
            _ => self.inner.place(observed, desired),
        }
    }

    async fn apply(&self, base: &Revision, steps: &Steps) -> Result<Applied, ProviderError> {
        match self.habit {
            Habit::RemovesFirst => {
                let mut steps = steps.clone();
                steps.entries.sort_by_key(|step| std::cmp::Reverse(step.operation));
                self.inner.apply(base, &steps).await
            }
            Habit::OpensWhileItWorks => self.open_and_apply(base, steps).await,
            Habit::DeletesForeign => {
                for step in &steps.entries {
                    let Admits::Range(range) = step.admits else { continue };
                    let stranger = OwnerMark::new("somebody", self.mark.target()).unwrap();
                    self.firewall.delete("first-a", range, None);
                    self.firewall.delete("first-a", range, Some(&stranger));
                }
                let base = self.inner.observe().await?.revision;
                self.inner.apply(&base, steps).await
            }
            Habit::IgnoresTheLock => {
                let base = self.inner.observe().await?.revision;
                self.inner.apply(&base, steps).await
            }
            Habit::SwallowsErrors => Ok(swallow(self.inner.apply(base, steps).await)),
            Habit::DoesNothing => Ok(Applied {
                added: steps.of(Operation::Add).count() as u64,
                removed: steps.of(Operation::Remove).count() as u64,
                calls: 1,
                ..Applied::default()
            }),
            Habit::MiscountsCalls => Ok(Applied { calls: 0, ..self.inner.apply(base, steps).await? }),
            _ => self.inner.apply(base, steps).await,
        }
    }

    async fn withdraw(&self) -> Result<Applied, ProviderError> {
        let empty = self.inner.observe().await?.entries.is_empty();
        match self.habit {
            Habit::WithdrawsNothing => return Ok(Applied::default()),
            Habit::WithdrawsNoEmptyTarget if empty => return Ok(Applied::default()),
            _ => {}
        }
        let applied = self.inner.withdraw().await;
        match self.habit {
            Habit::WithdrawsTheNeighbour => {
                let second = OwnerMark::new(self.mark.owner(), "second").unwrap();
                MemoryProvider::new(&self.firewall, second, &["second-a", "second-b"]).withdraw().await?;
            }
            Habit::LeavesTheSkeleton => self.firewall.break_skeleton(&self.mark),
            Habit::SwallowsErrors => return Ok(swallow(applied)),
            _ => {}
        }
        applied
    }

    async fn remove_orphans(&self, orphans: &[Orphan]) -> Result<Applied, ProviderError> {
        if self.habit == Habit::RemovesItselfWithTheOrphans {
            self.inner.withdraw().await?;
        }
        self.inner.remove_orphans(orphans).await
    }
}
