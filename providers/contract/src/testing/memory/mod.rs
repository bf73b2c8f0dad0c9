//! A provider whose firewall is in memory: the smallest whole example of one, and what the product's own tests run on.
//!
//! It makes one call per step, adds before removes, so that a change can really stop halfway; it locks by
//! version, places entries where there is room, and owns by mark, as the real ones do.

mod firewall;

use std::num::ParseIntError;

use async_trait::async_trait;

pub use firewall::{Failure, MemoryFirewall};
use firewall::{State, Write};

use crate::{
    Admits, Applied, Cause, Desired, Entry, Family, Foreign, ForeignEffect, Limit, Observed, Operation, Orphan,
    OwnerMark, PerFamily, Provider, ProviderError, Refusal, Revision, Room, Skeleton, SkeletonEdit, Slot, Step, Steps,
    StoredId, cover_change,
};

/// One target of a [`MemoryFirewall`].
#[derive(Clone, Debug)]
pub struct MemoryProvider {
    firewall: MemoryFirewall,
    mark: OwnerMark,
    objects: Vec<String>,
    configured: Vec<OwnerMark>,
}

impl MemoryProvider {
    /// The provider of one target, kept in these objects. Only this target is configured.
    pub fn new(firewall: &MemoryFirewall, mark: OwnerMark, objects: &[&str]) -> Self {
        let objects = objects.iter().map(|&name| name.to_owned()).collect();
        Self { firewall: firewall.clone(), configured: vec![mark.clone()], mark, objects }
    }

    /// Names further targets that are configured, whose entries are no orphans therefore.
    #[must_use]
    pub fn beside(mut self, configured: impl IntoIterator<Item = OwnerMark>) -> Self {
        self.configured.extend(configured);
        self
    }

    fn read(&self, state: &State) -> Observed {
        let mut entries = Vec::new();
        let (mut rooms, mut foreign) = (Vec::new(), Vec::new());
        for (number, name) in (0..).zip(&self.objects) {
            let slot = Slot(number);
            let Some(object) = state.objects.get(name) else {
                let free = PerFamily::default();
                rooms.push(Room { slot, name: name.clone(), free, taken: Vec::new() });
                continue;
            };
            let free = PerFamily::from_fn(|family| object.free(family));
            rooms.push(Room { slot, name: name.clone(), free, taken: Vec::new() });
            for stored in &object.entries {
                if stored.mark.as_ref() == Some(&self.mark) {
                    let id = Some(StoredId(stored.id.to_string().into()));
                    entries.push(Entry { admits: Admits::Range(stored.range), slot, id });
                } else if stored.mark.as_ref().is_none_or(|mark| mark.owner() != self.mark.owner()) {
                    let effect = ForeignEffect::Admits([stored.range].into_iter().collect());
                    foreign.push(Foreign { description: format!("entry {} of {name}", stored.id), effect });
                }
            }
        }
        let skeleton = match state.skeletons.get(&self.mark) {
            None => Skeleton::Absent,
            Some(true) => Skeleton::Intact,
            Some(false) => Skeleton::Drifted(vec!["the skeleton was changed".to_owned()]),
        };
        let mut observed = Observed::new(entries, skeleton, state.lock_of(&self.objects));
        (observed.rooms, observed.foreign, observed.orphans) = (rooms, foreign, self.orphans(state));
        observed
    }

    /// Whatever carries this owner's mark and is no part of a configured target: all of a target that is gone
    /// from the configuration, and what this target left in an object that is no longer named for it.
    fn orphans(&self, state: &State) -> Vec<Orphan> {
        let gone = |mark: &OwnerMark| mark.owner() == self.mark.owner() && !self.configured.contains(mark);
        let orphan = |mark: &OwnerMark, object: &str| Orphan {
            mark: mark.clone(),
            object: object.to_owned(),
            id: StoredId(object.into()),
        };
        let mut orphans: Vec<Orphan> =
            state.skeletons.keys().filter(|mark| gone(mark)).map(|mark| orphan(mark, SKELETON)).collect();
        for (name, object) in &state.objects {
            let marks = object.entries.iter().filter_map(|entry| entry.mark.as_ref());
            let left = |mark: &&OwnerMark| gone(mark) || **mark == self.mark && !self.objects.contains(name);
            orphans.extend(marks.filter(left).map(|mark| orphan(mark, name)));
        }
        orphans.sort_unstable();
        orphans.dedup();
        orphans
    }

    /// Removes every entry with this mark that stands in one of the objects.
    async fn clear(
        &self,
        mark: &OwnerMark,
        wanted: impl Fn(&str) -> bool + Send,
        applied: &mut Applied,
    ) -> Result<(), ProviderError> {
        let ours: Vec<(String, u64)> = {
            let state = self.firewall.state();
            let objects = state.objects.iter().filter(|(name, _)| wanted(name));
            let entries = objects.flat_map(|(name, object)| object.entries.iter().map(move |entry| (name, entry)));
            let marked = entries.filter(|(_, entry)| entry.mark.as_ref() == Some(mark));
            marked.map(|(name, entry)| (name.clone(), entry.id)).collect()
        };
        for (object, id) in &ours {
            tokio::task::yield_now().await;
            let written = self.firewall.state().write(&Write::Remove { object, id: *id });
            count(applied, written, |applied| applied.removed += 1)?;
        }
        Ok(())
    }

    async fn drop_skeleton(&self, mark: &OwnerMark, applied: &mut Applied) -> Result<(), ProviderError> {
        tokio::task::yield_now().await;
        let mut state = self.firewall.state();
        if !state.skeletons.contains_key(mark) {
            return Ok(());
        }
        let written = state.write(&Write::DropSkeleton(mark));
        count(applied, written, |applied| applied.skeleton += 1)
    }

    /// The lock to begin with. Where it moved on, but what is ours did not, the steps are as good as before.
    fn lock(&self, base: &Revision) -> Result<String, ProviderError> {
        let now = self.read(&self.firewall.state()).revision;
        if now.content == base.content { Ok(now.lock) } else { Err(moved()) }
    }

    /// One writing call of an apply, made only while the target is as the call before left it.
    fn write(&self, lock: &mut String, write: &Write<'_>) -> Result<(), ProviderError> {
        let mut state = self.firewall.state();
        if state.lock_of(&self.objects) != *lock {
            return Err(moved());
        }
        state.write(write)?;
        *lock = state.lock_of(&self.objects);
        Ok(())
    }

    fn object_of(&self, slot: Slot) -> Result<&str, ProviderError> {
        let object = usize::try_from(slot.0).ok().and_then(|number| self.objects.get(number));
        object.map(String::as_str).ok_or_else(|| ProviderError::rejected(Cause::new("the step names an unknown slot")))
    }
}

fn moved() -> ProviderError {
    ProviderError::Conflict(Cause::new("the target was changed by somebody else"))
}

/// Stands for an object's name in the orphan that is a skeleton.
const SKELETON: &str = "(skeleton)";

#[async_trait]
impl Provider for MemoryProvider {
    async fn observe(&self) -> Result<Observed, ProviderError> {
        tokio::task::yield_now().await;
        let mut state = self.firewall.state();
        state.read()?;
        Ok(self.read(&state))
    }

    fn place(&self, observed: &Observed, desired: &Desired) -> Result<Steps, Refusal> {
        if let Desired::ServiceTag(name) = desired {
            return Err(Refusal {
                limit: Limit::Unsupported,
                finding: format!("the memory firewall does not know the service tag {name}"),
                choices: vec!["list the tag's prefixes instead".to_owned()],
            });
        }
        let change = cover_change(&observed.entries, &desired.prefixes());
        let mut rooms = observed.rooms.clone();
        let mut steps = Steps::default();
        if observed.skeleton != Skeleton::Intact {
            steps.skeleton.push(SkeletonEdit { description: "makes the skeleton as it should be".to_owned() });
        }
        for prefix in change.add {
            let range = prefix.into();
            let slot = take_room(&mut rooms, Family::of(prefix.addr())).ok_or_else(|| no_room(observed, prefix))?;
            steps.entries.push(Step { operation: Operation::Add, admits: Admits::Range(range), slot, id: None });
        }
        let removed = change.remove.into_iter().cloned();
        let remove = |Entry { admits, slot, id }| Step { operation: Operation::Remove, admits, slot, id };
        steps.entries.extend(removed.map(remove));
        Ok(steps)
    }

    async fn apply(&self, base: &Revision, steps: &Steps) -> Result<Applied, ProviderError> {
        let mut applied = Applied::default();
        let mut lock = self.lock(base)?;
        for _ in &steps.skeleton {
            tokio::task::yield_now().await;
            let written = self.write(&mut lock, &Write::Skeleton(&self.mark));
            count(&mut applied, written, |applied| applied.skeleton += 1)?;
        }
        for step in &steps.entries {
            tokio::task::yield_now().await;
            let object = self.object_of(step.slot)?;
            match (step.operation, &step.admits, &step.id) {
                (Operation::Add, Admits::Range(range), _) => {
                    let add = Write::Add { object, range: *range, mark: Some(&self.mark) };
                    count(&mut applied, self.write(&mut lock, &add), |applied| applied.added += 1)?;
                }
                (Operation::Remove, _, Some(StoredId(id))) => {
                    let unknown = |error: ParseIntError| Cause::new("the step names no entry").because(error);
                    let id = id.parse().map_err(|error| ProviderError::rejected(unknown(error)))?;
                    let remove = Write::Remove { object, id };
                    count(&mut applied, self.write(&mut lock, &remove), |applied| applied.removed += 1)?;
                }
                _ => return Err(ProviderError::rejected(Cause::new("the step is none of this firewall's"))),
            }
        }
        Ok(applied)
    }

    async fn withdraw(&self) -> Result<Applied, ProviderError> {
        let mut applied = Applied::default();
        self.clear(&self.mark, |_| true, &mut applied).await?;
        self.drop_skeleton(&self.mark, &mut applied).await?;
        Ok(applied)
    }

    async fn remove_orphans(&self, orphans: &[Orphan]) -> Result<Applied, ProviderError> {
        let mut applied = Applied::default();
        for Orphan { mark, id: StoredId(object), .. } in orphans {
            if **object == *SKELETON {
                self.drop_skeleton(mark, &mut applied).await?;
            } else {
                self.clear(mark, |name| *name == **object, &mut applied).await?;
            }
        }
        Ok(applied)
    }
}

/// Counts a call, and what it did where it worked; a rejection is told what had been done before it.
fn count(
    applied: &mut Applied,
    written: Result<(), ProviderError>,
    done: impl FnOnce(&mut Applied),
) -> Result<(), ProviderError> {
    match written {
        Ok(()) => {
            applied.calls += 1;
            done(applied);
            Ok(())
        }
        Err(error) => Err(error.after(*applied)),
    }
}

/// The first slot with room for one more entry of the family, which is taken.
fn take_room(rooms: &mut [Room], family: Family) -> Option<Slot> {
    for room in rooms {
        match room.free.get_mut(family) {
            None => return Some(room.slot),
            Some(0) => {}
            Some(free) => {
                *free -= 1;
                return Some(room.slot);
            }
        }
    }
    None
}

fn no_room(observed: &Observed, prefix: crate::IpNet) -> Refusal {
    let names: Vec<&str> = observed.rooms.iter().map(|room| room.name.as_str()).collect();
    Refusal {
        limit: Limit::Capacity,
        finding: format!("{} is full: there is no room for {prefix}", names.join(", ")),
        choices: vec!["name another object for the target".to_owned()],
    }
}
