//! What the worker does with its socket: reads, changes, removals.

use std::net::IpAddr;

use nix::errno::Errno;
use tagwall_provider::{
    Answer, Applied, Cause, Family, Observed, Operation, Orphan, PerFamily, ProviderError, Revision, Step, Steps,
};

use crate::error::classified;
use crate::layout::Layout;
use crate::netlink::message::Batch;
use crate::netlink::monitor::Monitor;
use crate::netlink::socket::{NetlinkError, Socket};
use crate::observe::{self, is_rebuilt, observed};
use crate::others;
use crate::settings::Settings;
use crate::snapshot::{self, Snapshot, Structure};
use crate::watch::{self, Concern, Watch};
use crate::write;

/// How often a change is begun anew because somebody else committed something in between.
const TRIES: usize = 64;
/// After so many, a change of elements alone goes without the generation id. Each of its adds fails if anything
/// is there already, each of its removals unless exactly that is there: these guard it as well.
const TRIES_WITH_ID: usize = 4;

/// A target and an open socket.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) settings: Settings,
    pub(crate) layout: Layout,
    pub(crate) socket: Socket,
    /// What the last observation saw around the elements. Where nothing was committed since, a change is worked out
    /// from it without another read: after a foreign flush each read is time that the ports are open.
    pub(crate) last: Option<Around>,
}

/// What stands around a target's elements, and at which revision.
#[derive(Debug)]
pub(crate) struct Around {
    revision: Revision,
    structure: Structure,
    rebuilt: PerFamily<bool>,
}

impl Session {
    pub(crate) fn observe(&mut self) -> Result<Observed, ProviderError> {
        let (generation, seen, others) = snapshot::read(&mut self.socket, &self.layout)?;
        let mut observed = observed(&self.settings, &self.layout, generation, &seen)?;
        if let Layout::Enforce(skeleton) = &self.layout {
            let bases = seen.structure.chains.iter().chain(&others).filter(|chain| others::bears_on(skeleton, chain));
            let others = snapshot::read_others(&mut self.socket, bases).map_err(|error| classified(&error))?;
            observed.foreign.extend(others::foreign(&self.settings, skeleton, &seen, &others));
        }
        let revision = observed.revision.clone();
        self.last = Some(Around::new(&self.layout, revision, seen));
        Ok(observed)
    }

    /// Asks the kernel whether an address lies in our set of its family.
    pub(crate) fn look_up(&mut self, address: IpAddr) -> Result<Answer, ProviderError> {
        let Some(set) = self.layout.set(Family::of(address)) else { return Ok(Answer::Outside) };
        let inside = self.socket.is_inside(set, address).map_err(|error| classified(&error))?;
        Ok(if inside { Answer::Inside } else { Answer::Outside })
    }

    pub(crate) fn apply(&mut self, base: &Revision, steps: &Steps) -> Result<Applied, ProviderError> {
        if steps.is_empty() {
            return Ok(Applied::default());
        }
        let mut generation = base.lock.parse::<u32>().ok();
        // What is mended is worked out from what stands there. Elements alone need no look before the first try.
        let mut around = self.last.take().filter(|last| last.revision == *base && !steps.skeleton.is_empty());
        for attempt in 0..TRIES {
            let known = attempt == 0 && (around.is_some() || steps.skeleton.is_empty());
            if !known || generation.is_none() {
                if let Some(around) = &mut around {
                    let (now, seen) = snapshot::read_around(&mut self.socket, &self.layout)?;
                    if !observe::is_same(&self.layout, &around.structure, &seen) {
                        return Err(moved());
                    }
                    around.structure = seen;
                    generation = Some(now);
                } else {
                    let (now, seen, _) = snapshot::read(&mut self.socket, &self.layout)?;
                    let observed = observed(&self.settings, &self.layout, now, &seen)?;
                    if observed.revision.content != base.content {
                        return Err(moved());
                    }
                    around = Some(Around::new(&self.layout, observed.revision, seen));
                    generation = Some(now);
                }
            }
            let without_id = steps.skeleton.is_empty() && attempt >= TRIES_WITH_ID;
            let mut batch = self.socket.batch(generation.filter(|_| !without_id));
            let mended = around.as_ref().filter(|_| !steps.skeleton.is_empty());
            let mend = mended.map(|around| observe::mend(&self.layout, &around.structure)).unwrap_or_default();
            if !mend.occupied.is_empty() {
                return Err(moved());
            }
            let rebuilt = around.as_ref().map(|around| around.rebuilt).unwrap_or_default();
            write::mends(&mut batch, &self.layout, &mend, rebuilt);
            self.write_entries(&mut batch, steps);
            write::wake(&mut batch, &mend);
            match self.socket.commit(batch) {
                Ok(()) => return Ok(applied(steps)),
                // What was observed may be no more: the second try looks at everything again, elements too.
                Err(NetlinkError::Refused { errno: Errno::ERESTART, .. }) if attempt == 0 => around = None,
                Err(NetlinkError::Refused { errno: Errno::ERESTART, .. }) => {}
                Err(error) => return Err(conflict_or(error)),
            }
        }
        Err(busy())
    }

    /// Removes all that carries our mark.
    pub(crate) fn withdraw(&mut self) -> Result<Applied, ProviderError> {
        match &self.layout {
            Layout::Enforce(skeleton) => {
                let mark = skeleton.mark.clone();
                self.remove_marked(|_, comment| comment == Some(mark.as_str()))
            }
            Layout::Set(_) => self.empty_sets(),
        }
    }

    /// Removes orphans of the table `inet tagwall`.
    pub(crate) fn remove_orphans(&mut self, orphans: &[Orphan]) -> Result<Applied, ProviderError> {
        let wanted = |settings: &Settings, comment: Option<&str>| {
            let mark = observe::orphaned(settings, comment);
            mark.is_some_and(|mark| orphans.iter().any(|orphan| orphan.mark == mark))
        };
        self.remove_marked(wanted)
    }

    fn remove_marked(&mut self, ours: impl Fn(&Settings, Option<&str>) -> bool) -> Result<Applied, ProviderError> {
        for _ in 0..TRIES {
            let (generation, seen) = snapshot::read_own(&mut self.socket)?;
            let mut batch = self.socket.batch(Some(generation));
            let removed = write::removal(&mut batch, &seen, |comment| ours(&self.settings, comment));
            if batch.is_empty() {
                return Ok(Applied::default());
            }
            match self.socket.commit(batch) {
                Ok(()) => return Ok(Applied { skeleton: removed, calls: 1, ..Applied::default() }),
                Err(NetlinkError::Refused { errno: Errno::ERESTART, .. }) => {}
                Err(error) => return Err(conflict_or(error)),
            }
        }
        Err(busy())
    }

    fn empty_sets(&mut self) -> Result<Applied, ProviderError> {
        for _ in 0..TRIES {
            let (generation, seen, _) = snapshot::read(&mut self.socket, &self.layout)?;
            let Layout::Set(sets) = &self.layout else { return Ok(Applied::default()) };
            let mut batch = self.socket.batch(Some(generation));
            let mut removed = 0;
            for family in Family::ALL {
                let stored = seen.stored.get(family);
                if let Some(set) = self.layout.set(family)
                    && !(stored.ranges.is_empty() && stored.odd.is_empty())
                {
                    batch.flush(set);
                    removed += stored.ranges.len() as u64;
                }
            }
            if batch.is_empty() {
                return Ok(Applied::default());
            }
            if let Some(unusable) = sets.unusable(&seen.structure) {
                return Err(ProviderError::rejected(Cause::new(unusable.what).hint(unusable.hint)));
            }
            if !sets.claimed {
                let cause = Cause::new(format!("{removed} elements stand in sets that tagwall has not filled"));
                return Err(ProviderError::rejected(
                    cause.hint("if they are tagwall's, say `adopt = true`; otherwise there is nothing to withdraw"),
                ));
            }
            match self.socket.commit(batch) {
                Ok(()) => return Ok(Applied { removed, calls: 1, ..Applied::default() }),
                Err(NetlinkError::Refused { errno: Errno::ERESTART, .. }) => {}
                Err(error) => return Err(conflict_or(error)),
            }
        }
        Err(busy())
    }

    /// Lets a watch begin that passes over what this session commits.
    pub(crate) fn watch(&self, watch: Watch) -> Result<(), ProviderError> {
        let buffer = watch::BUFFER;
        #[cfg(feature = "testing")]
        let buffer = self.socket.faults.receive_buffer(buffer);
        let monitor = Monitor::open(buffer).map_err(|error| classified(&error))?;
        let begun = watch.begin(monitor, Concern::new(&self.layout));
        begun.map_err(|error| ProviderError::Transient(Cause::new("cannot start a thread").because(error)))
    }

    /// Removals first: an interval that grows is removed and added, and the other way round they would overlap.
    fn write_entries(&self, batch: &mut Batch, steps: &Steps) {
        use crate::netlink::wire::msg::{DEL_ELEMENT, NEW_ELEMENT};
        for (operation, kind) in [(Operation::Remove, DEL_ELEMENT), (Operation::Add, NEW_ELEMENT)] {
            for family in Family::ALL {
                let Some(set) = self.layout.set(family) else { continue };
                let ranges = steps.of(operation).filter(|step| !is_rebuilt(step.slot)).filter_map(range);
                batch.intervals(kind, set, ranges.filter(|range| range.family() == family));
            }
        }
    }
}

impl Around {
    fn new(layout: &Layout, revision: Revision, seen: Snapshot) -> Self {
        let rebuilt = observe::rebuilt(&observe::mend(layout, &seen.structure), &seen);
        Self { revision, structure: seen.structure, rebuilt }
    }
}

fn applied(steps: &Steps) -> Applied {
    let count = |operation| steps.of(operation).count() as u64;
    Applied {
        added: count(Operation::Add),
        removed: count(Operation::Remove),
        skeleton: steps.skeleton.len() as u64,
        calls: 1,
    }
}

fn range(step: &Step) -> Option<tagwall_provider::AddressRange> {
    match step.admits {
        tagwall_provider::Admits::Range(range) => Some(range),
        tagwall_provider::Admits::ServiceTag(_) => None,
    }
}

/// An element that is there already, or not any more, says that the target moved.
fn conflict_or(error: NetlinkError) -> ProviderError {
    match error {
        NetlinkError::Refused { errno: Errno::EEXIST | Errno::ENOENT, .. } => {
            ProviderError::Conflict(Cause::new("the target changed while it was being written").because(error))
        }
        error => classified(&error),
    }
}

fn moved() -> ProviderError {
    ProviderError::Conflict(Cause::new("the target is no longer what was observed"))
}

fn busy() -> ProviderError {
    ProviderError::Transient(
        Cause::new(format!("something else was committed before each of {TRIES} tries"))
            .hint("another program rewrites the firewall all the time: find it with `nft monitor`"),
    )
}
