//! The firewall itself: objects with entries, marks and versions, behind one lock.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{AddressRange, Cause, Family, OwnerMark, PrefixSet, ProviderError};

/// A firewall in memory. Clones are handles on the same one, so that several providers and somebody else work on it.
///
/// It is made of named objects (think of security groups). Each holds entries, takes a number of entries per
/// family, and has a version that grows with every change.
#[derive(Clone, Debug, Default)]
pub struct MemoryFirewall(Arc<Mutex<State>>);

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing is changed; it may work later.
    Transient,
    /// Nothing is changed; a right is missing.
    Denied,
    /// Nothing is changed; somebody else was faster.
    Conflict,
    /// Nothing is changed; it never will be.
    Rejected,
    /// The change is made, and the answer lost.
    AnswerLost,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) objects: BTreeMap<String, Object>,
    /// Of each target that has one: whether it is as it should be.
    pub(super) skeletons: BTreeMap<OwnerMark, bool>,
    skeleton_version: u64,
    next_id: u64,
    writes: Calls,
    reads: Calls,
    /// All entries after every writing call.
    log: Vec<Vec<(Option<OwnerMark>, AddressRange)>>,
}

#[derive(Debug, Default)]
struct Calls {
    made: usize,
    failures: BTreeMap<usize, Failure>,
}

#[derive(Debug, Default)]
pub(super) struct Object {
    pub(super) entries: Vec<StoredEntry>,
    pub(super) capacity: Option<u64>,
    version: u64,
}

#[derive(Clone, Debug)]
pub(super) struct StoredEntry {
    pub(super) id: u64,
    pub(super) range: AddressRange,
    pub(super) mark: Option<OwnerMark>,
}

/// One writing call.
#[derive(Debug)]
pub(super) enum Write<'a> {
    Add { object: &'a str, range: AddressRange, mark: Option<&'a OwnerMark> },
    Remove { object: &'a str, id: u64 },
    Skeleton(&'a OwnerMark),
    DropSkeleton(&'a OwnerMark),
}

impl MemoryFirewall {
    /// A firewall with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bounds how many entries of each family the object takes.
    pub fn limit(&self, object: &str, capacity: u64) {
        self.state().object(object).capacity = Some(capacity);
    }

    /// Lets the writing call number `call` fail, counted from 0 and from now.
    pub fn fail_write(&self, call: usize, failure: Failure) {
        self.state().writes.fail(call, failure);
    }

    /// Lets the reading call number `call` fail, counted from 0 and from now.
    pub fn fail_read(&self, call: usize, failure: Failure) {
        self.state().reads.fail(call, failure);
    }

    /// How many writing calls providers have made, failed ones among them.
    pub fn writes(&self) -> usize {
        self.state().writes.made
    }

    /// Somebody else, or an earlier tagwall, adds an entry. Not a writing call of a provider: nothing scripted hits it.
    pub fn insert(&self, object: &str, range: impl Into<AddressRange>, mark: Option<&OwnerMark>) {
        self.state().make(&Write::Add { object, range: range.into(), mark });
    }

    /// Somebody else removes the entries of exactly this range and mark.
    pub fn delete(&self, object: &str, range: impl Into<AddressRange>, mark: Option<&OwnerMark>) {
        let range = range.into();
        let mut state = self.state();
        let gone = |entry: &&StoredEntry| entry.range == range && entry.mark.as_ref() == mark;
        let ids: Vec<u64> = state.object(object).entries.iter().filter(gone).map(|entry| entry.id).collect();
        for id in ids {
            state.make(&Write::Remove { object, id });
        }
    }

    /// Somebody else changes what stands around a target's entries.
    pub fn break_skeleton(&self, mark: &OwnerMark) {
        let mut state = self.state();
        state.skeletons.insert(mark.clone(), false);
        state.skeleton_version += 1;
    }

    /// What all entries with this mark admit.
    pub fn admitted(&self, mark: &OwnerMark) -> PrefixSet {
        let state = self.state();
        let entries = state.objects.values().flat_map(|object| &object.entries);
        entries.filter(|entry| entry.mark.as_ref() == Some(mark)).map(|entry| entry.range).collect()
    }

    /// What entries with this mark admitted after every writing call so far, oldest first.
    pub fn history(&self, mark: &OwnerMark) -> Vec<PrefixSet> {
        let with_mark = |moment: &Vec<(Option<OwnerMark>, AddressRange)>| {
            moment.iter().filter(|(of, _)| of.as_ref() == Some(mark)).map(|(_, range)| *range).collect()
        };
        self.state().log.iter().map(with_mark).collect()
    }

    /// Every entry and skeleton that does not carry a mark of this owner, a line each, with its stored name.
    pub fn not_of(&self, owner: &str) -> String {
        let mut lines = String::new();
        let foreign = |mark: Option<&OwnerMark>| mark.is_none_or(|mark| mark.owner() != owner);
        let state = self.state();
        for (name, object) in &state.objects {
            for entry in object.entries.iter().filter(|entry| foreign(entry.mark.as_ref())) {
                let mark = entry.mark.as_ref().map_or_else(String::new, OwnerMark::to_string);
                let _ = writeln!(lines, "{name} {} {} {mark}", entry.id, entry.range);
            }
        }
        for (mark, intact) in state.skeletons.iter().filter(|(mark, _)| foreign(Some(mark))) {
            let _ = writeln!(lines, "skeleton {mark} {intact}");
        }
        lines
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic in one test's call leaves whole values behind: every change here is one assignment or push.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    fn fail(&mut self, call: usize, failure: Failure) {
        self.failures.insert(self.made + call, failure);
    }

    fn next(&mut self) -> Option<Failure> {
        self.made += 1;
        self.failures.remove(&(self.made - 1))
    }
}

impl State {
    pub(super) fn object(&mut self, name: &str) -> &mut Object {
        self.objects.entry(name.to_owned()).or_default()
    }

    /// The lock of a target: the versions of all that it is made of.
    pub(super) fn lock_of(&self, objects: &[String]) -> String {
        let version = |name: &String| self.objects.get(name).map_or(0, |object| object.version);
        let mut lock = self.skeleton_version.to_string();
        for name in objects {
            let _ = write!(lock, ".{}", version(name));
        }
        lock
    }

    pub(super) fn read(&mut self) -> Result<(), ProviderError> {
        self.reads.next().map_or(Ok(()), |failure| Err(failure.error()))
    }

    /// A provider's writing call: counted, logged, and failed where the script says so.
    pub(super) fn write(&mut self, write: &Write<'_>) -> Result<(), ProviderError> {
        let failure = self.writes.next();
        if failure.is_none_or(|failure| failure == Failure::AnswerLost) {
            if !self.fits(write) {
                return Err(ProviderError::rejected(Cause::new("the object takes no more entries")));
            }
            self.make(write);
        }
        let entries = self.objects.values().flat_map(|object| &object.entries);
        self.log.push(entries.map(|entry| (entry.mark.clone(), entry.range)).collect());
        failure.map_or(Ok(()), |failure| Err(failure.error()))
    }

    fn fits(&mut self, write: &Write<'_>) -> bool {
        let Write::Add { object, range, .. } = write else { return true };
        self.object(object).free(range.family()).is_none_or(|free| free > 0)
    }

    fn make(&mut self, write: &Write<'_>) {
        match *write {
            Write::Add { object, range, mark } => {
                let entry = StoredEntry { id: self.next_id, range, mark: mark.cloned() };
                self.next_id += 1;
                let object = self.object(object);
                object.entries.push(entry);
                object.version += 1;
            }
            Write::Remove { object, id } => {
                let object = self.object(object);
                object.entries.retain(|entry| entry.id != id);
                object.version += 1;
            }
            Write::Skeleton(mark) => {
                self.skeletons.insert(mark.clone(), true);
                self.skeleton_version += 1;
            }
            Write::DropSkeleton(mark) => {
                self.skeletons.remove(mark);
                self.skeleton_version += 1;
            }
        }
    }
}

impl Object {
    /// How many more entries of a family it takes.
    pub(super) fn free(&self, family: Family) -> Option<u64> {
        let used = self.entries.iter().filter(|entry| entry.range.family() == family).count();
        self.capacity.map(|capacity| capacity.saturating_sub(used as u64))
    }
}

impl Failure {
    fn error(self) -> ProviderError {
        let cause = |message| Cause::new(message).hint("nothing is wrong: a test asked for this");
        match self {
            Self::Transient => ProviderError::Transient(cause("the firewall is busy")),
            Self::AnswerLost => ProviderError::Transient(cause("no answer came")),
            Self::Denied => ProviderError::Denied(cause("the right to do this is missing")),
            Self::Conflict => ProviderError::Conflict(cause("somebody else was faster")),
            Self::Rejected => ProviderError::rejected(cause("the firewall will not do this")),
        }
    }
}
