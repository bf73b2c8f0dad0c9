//! What the conformance suite needs of a provider's tests: a firewall, and hands and eyes that are not the provider's.

use std::fmt;

use async_trait::async_trait;

use crate::{IpNet, PrefixSet, Provider};

/// A firewall to try a provider on.
///
/// The suite calls [`Rig::reset`] before every case and makes providers afterwards. Everything here but
/// [`Rig::provider`] must work by other means than the provider under test (for nftables the `nft` program), or
/// an error that reader and writer share stays hidden.
///
/// What a firewall cannot do answers [`NotApplicable`] with the reason; the case is then reported by name, never
/// dropped in silence. [`Rig::reset`] takes every limit and fault back.
#[async_trait]
pub trait Rig: Send {
    /// Makes the firewall fresh: nothing of ours, some things of somebody else, room for 150 entries of ours in
    /// each family, no fault.
    async fn reset(&mut self);

    /// The provider of `target` in a configuration that names the targets `configured`, all of one owner. What
    /// carries the mark of a target that is not configured is an orphan.
    async fn provider(&mut self, target: Target, configured: &[Target]) -> Box<dyn Provider>;

    /// The addresses that our entries of this target admit, by an independent reader. Other people's entries do
    /// not count; where nothing of ours is there it is empty, whatever the firewall then does with the port.
    async fn admitted(&mut self, target: Target) -> PrefixSet;

    /// Everything that is not ours as a text, rules, order, comments and all, but without what changes by itself
    /// (counters, handles, generation ids). The suite holds it against itself byte for byte.
    async fn foreign(&mut self) -> String;

    /// Somebody else does something to the firewall, at once and completely.
    ///
    /// # Errors
    /// [`NotApplicable`] where the firewall has no such thing.
    async fn third_party(&mut self, target: Target, act: Act) -> Result<(), NotApplicable>;

    /// From now on the target takes so many entries of ours of each family, in all its slots together.
    ///
    /// # Errors
    /// [`NotApplicable`] where the firewall has no limit.
    async fn limit_capacity(&mut self, entries: u64) -> Result<(), NotApplicable>;

    /// Makes one writing call of the providers of this rig fail, once. It must be an error that the provider does
    /// not retry by itself, unless [`Fault::after`]: there a provider may find out that its call was made.
    ///
    /// # Errors
    /// [`NotApplicable`] where such a fault cannot be made.
    async fn fail_at(&mut self, fault: Fault) -> Result<(), NotApplicable>;

    /// What our entries of this target admitted after every writing call since this was last asked (or since the
    /// reset), oldest first: the proof of "never a gap" between the calls of one apply. `None` where the rig
    /// cannot record it; there the suite stops the change at every call and looks.
    async fn states(&mut self, _target: Target) -> Option<Vec<PrefixSet>> {
        None
    }

    /// Whether what holds the entries has a size of its own, which grows with what is entered: then an add may edit what
    /// is around the entries.
    fn grows_with_entries(&self) -> bool {
        false
    }

    /// Whether what a target leaves behind can be told from other people's things. It cannot where nothing carries
    /// a mark, as in a set of the operator's own.
    ///
    /// # Errors
    /// [`NotApplicable`] where it cannot.
    fn leaves_orphans(&self) -> Result<(), NotApplicable> {
        Ok(())
    }

    /// Whether the provider takes [`crate::Desired::ServiceTag`]. One that does not has to refuse it.
    fn takes_service_tags(&self) -> bool {
        false
    }
}

/// The two targets that a rig has. Their objects are apart (other sets, other groups) on one firewall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The one that nearly every case works on.
    First,
    /// The neighbour that has to stay as it is, or becomes an orphan.
    Second,
}

impl Target {
    /// Both.
    pub const ALL: [Self; 2] = [Self::First, Self::Second];

    /// Its name in marks.
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
        }
    }
}

/// What somebody else does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Adds an entry that lets this prefix in to the target's ports, as ours would, but without our mark: another
    /// table's rule, an unmarked rule of the group. Not applicable where ours is there already and the firewall
    /// holds equal content only once.
    AddForeign(IpNet),
    /// Takes such an entry away again.
    RemoveForeign(IpNet),
    /// The same entry as [`Act::AddForeign`], with the mark of another owner's tagwall on it. It counts as foreign
    /// and is no orphan of ours.
    AddOtherOwners(IpNet),
    /// Adds this prefix among our entries so that it is taken for one of ours (an element of our set, an address
    /// of our rule, an entry with our mark).
    AddOurs(IpNet),
    /// Removes our entry that is stored as exactly this prefix.
    RemoveOurs(IpNet),
    /// Changes what stands around our entries: deletes our rule, flips a policy.
    BreakSkeleton,
}

/// Which writing call fails, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The number of the writing call (transaction, request), from 0, counted from the moment of the fault's making.
    pub call: usize,
    /// `false`: it fails and changes nothing. `true`: it is made, and its answer lost.
    pub after: bool,
}

/// Why something cannot be tried on this firewall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotApplicable(pub &'static str);

impl fmt::Display for NotApplicable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}
