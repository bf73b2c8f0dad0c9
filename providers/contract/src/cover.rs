//! Which stored entries stay, which go and which prefixes are new: the part of placement that needs no slots.

use crate::{Entry, IpNet, PrefixSet};

/// What has to change among stored entries so that they admit exactly a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoverChange<'a> {
    /// Entries that stay as they are.
    pub keep: Vec<&'a Entry>,
    /// Entries that go.
    pub remove: Vec<&'a Entry>,
    /// Prefixes of the minimal cover that are to be stored, IPv4 then IPv6, ascending.
    pub add: Vec<IpNet>,
}

/// Works out the change from stored entries to a set of addresses.
///
/// A contiguous run of the set, or else a prefix of its minimal cover, is left alone where stored entries inside
/// it already admit all of it, however they are split. Every other prefix of the cover is added, and an entry
/// goes only where it lets in whom nobody wants, or overlaps what comes: so what stays and what comes never
/// overlap, and equal sets need no change.
///
/// Entries that are service tags go: the set names addresses.
pub fn cover_change<'a>(stored: &'a [Entry], desired: &PrefixSet) -> CoverChange<'a> {
    let ranges = || stored.iter().filter_map(Entry::range);
    let admitted: PrefixSet = ranges().filter(|range| desired.covers(*range)).collect();
    let runs: PrefixSet = desired.ranges().filter(|run| admitted.covers(*run)).collect();

    let rest = desired.difference(&runs);
    // The minimal cover is made of the largest aligned blocks, so a stored prefix lies in exactly one of them.
    let by_prefixes: PrefixSet = ranges().filter(|range| rest.covers(*range) && range.prefix().is_some()).collect();
    let add: Vec<IpNet> = rest.prefixes().filter(|prefix| !by_prefixes.covers(*prefix)).collect();

    let comes: PrefixSet = add.iter().copied().collect();
    let stays = |range| desired.covers(range) && !comes.meets(range);
    let (keep, remove) = stored.iter().partition(|entry| entry.range().is_some_and(stays));
    CoverChange { keep, remove, add }
}
