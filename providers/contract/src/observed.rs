//! What a firewall admits now, as its provider read it.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::{AddressRange, Counters, IpNet, OwnerMark, PerFamily, PrefixSet};

/// Which of a target's objects an entry stands in: a security group, a prefix list, a rule of an NSG. The number
/// is the provider's own, stable as long as the target's configuration is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// The name by which a firewall stores one entry (`sgr-0123…`), where it has one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoredId(pub Box<str>);

/// What one entry lets in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Admits {
    /// A run of addresses, nearly always a prefix.
    Range(AddressRange),
    /// A service tag by name.
    ServiceTag(Box<str>),
}

impl fmt::Display for Admits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(range) => fmt::Display::fmt(range, f),
            Self::ServiceTag(name) => f.pad(name),
        }
    }
}

/// One stored entry that is ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// What it lets in.
    pub admits: Admits,
    /// Where it stands.
    pub slot: Slot,
    /// Its stored name, where removal goes by name.
    pub id: Option<StoredId>,
}

/// What a firewall answers when it is asked for one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It cannot be asked for one.
    NotAsked,
    /// No entry of ours holds it.
    Outside,
    /// An entry of ours holds it.
    Inside,
}

/// The table, chain and rules around the entries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Skeleton {
    /// Nothing of ours is there. What that means for the port (open or closed) is the firewall's nature.
    Absent,
    /// As it should be.
    Intact,
    /// There, but not as it should be: what differs, a line each.
    Drifted(Vec<String>),
}

/// How many more entries one slot takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Room {
    /// The slot.
    pub slot: Slot,
    /// Its name, to be shown (`sg-0123`).
    pub name: String,
    /// Entries that still fit, per family; `None` where there is no limit.
    pub free: PerFamily<Option<u64>>,
    /// Prefixes that it does not take, sorted: somebody else's equal entry stands there, and the firewall holds equal
    /// content once.
    pub taken: Vec<IpNet>,
}

/// Something of somebody else that bears on the target's ports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Foreign {
    /// What it is and where, to be shown.
    pub description: String,
    /// What it does to the target.
    pub effect: ForeignEffect,
}

impl Foreign {
    /// What all of them admit to the target's ports already: true as long as they stand, and theirs to take away.
    pub fn admitted(all: &[Self]) -> PrefixSet {
        let admitted = all.iter().filter_map(|foreign| match &foreign.effect {
            ForeignEffect::Admits(prefixes) => Some(prefixes),
            _ => None,
        });
        admitted.fold(PrefixSet::new(), |sum, prefixes| sum.union(prefixes))
    }
}

/// What somebody else's rule does to a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ForeignEffect {
    /// It admits these addresses to the target's ports already.
    Admits(PrefixSet),
    /// It drops what we admit.
    Blocks,
    /// It may drop what we admit: some of it, or all, as far as can be told.
    MayBlock,
    /// It is of another target, by its mark, and judges the same ports: only what both admit gets through.
    Judges(OwnerMark),
    /// It stands where ours would have to.
    Occupies,
}

impl ForeignEffect {
    /// Whether what we admit is surely kept out, all of it or what another target does not admit as well.
    pub const fn closes(&self) -> bool {
        matches!(self, Self::Blocks | Self::Judges(_))
    }
}

/// Objects that carry our owner's mark and belong to no configured target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Orphan {
    /// The mark it carries.
    pub mark: OwnerMark,
    /// What it is and where, to be shown.
    pub object: String,
    /// Where the provider finds it again.
    pub id: StoredId,
}

/// The version of a target that an observation saw and a change builds on.
///
/// The content says whether steps are still good, however much later they are applied: where it is another, the
/// answer is [`crate::ProviderError::Conflict`]. The lock only keeps others out while the provider writes. On a
/// busy firewall it moves all the time, so a provider whose lock is stale reads again, and goes on with a new
/// lock if the content is what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// A hash of what was observed of ours; equal for equal content, on the same build of tagwall only.
    pub content: u64,
    /// The firewall's own lock: a generation id, a version, an ETag. Empty where it has none.
    pub lock: String,
}

/// What a firewall admits now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Our entries, sorted.
    pub entries: Vec<Entry>,
    /// What stands around them.
    pub skeleton: Skeleton,
    /// The slots that entries may go to, in the provider's order.
    pub rooms: Vec<Room>,
    /// Other people's rules in the way.
    pub foreign: Vec<Foreign>,
    /// Objects of ours that no configured target wants.
    pub orphans: Vec<Orphan>,
    /// Entries among the orphans that stand where this target's would, and need only its mark: what is wanted of them is
    /// taken over, by an add that names them, and not stored beside them.
    pub adoptable: Vec<Entry>,
    /// What its rules counted, where the firewall counts. No part of the revision: counting changes nothing.
    pub counters: Option<Counters>,
    /// The version that this is.
    pub revision: Revision,
}

impl Observed {
    /// Puts an observation together: sorts the entries and computes the revision's content hash.
    pub fn new(mut entries: Vec<Entry>, skeleton: Skeleton, lock: impl Into<String>) -> Self {
        if !entries.is_sorted() {
            entries.sort_unstable();
        }
        let mut hasher = DefaultHasher::new();
        (&entries, &skeleton).hash(&mut hasher);
        let revision = Revision { content: hasher.finish(), lock: lock.into() };
        let (rooms, foreign, orphans, adoptable) = Default::default();
        Self { entries, skeleton, rooms, foreign, orphans, adoptable, counters: None, revision }
    }

    /// The addresses that our entries admit. Service tags count for none: only their vendor knows them.
    pub fn admitted(&self) -> PrefixSet {
        self.entries.iter().filter_map(Entry::range).collect()
    }
}

impl Entry {
    /// The addresses it admits, where it names them.
    pub const fn range(&self) -> Option<AddressRange> {
        match self.admits {
            Admits::Range(range) => Some(range),
            Admits::ServiceTag(_) => None,
        }
    }
}
