//! Where two sources agree: what the one that is gone by lists, held against what another does. Pure.
//!
//! The first one wins, whole: nothing is ever made of both. What a second source is good for is to be told by, before a
//! firewall is written, that the first may be behind, or not what it seems.

use std::collections::BTreeSet;

use tagwall_provider::{IpNet, PrefixSet};

use crate::config::Config;
use crate::source::{Compared, Fetched, Publication, Tag};

/// What came of holding the source against another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The source that is gone by.
    pub source: Side,
    /// The one that it is held against.
    pub other: Side,
    /// How many tags are in use, each once.
    pub tags: usize,
    /// Those of them that differ.
    pub differences: Vec<Difference>,
}

/// One of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Its kind, as the configuration has it.
    pub kind: &'static str,
    /// Where it came from.
    pub origin: String,
    /// The number of its publication. Each kind counts for itself: two kinds' numbers say nothing beside each other.
    pub change_number: u64,
}

/// A tag that the two do not have alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name, as the configuration has it.
    pub tag: String,
    /// Its own change number in each; none where it is missing.
    pub change_numbers: [Option<u64>; 2],
    /// Addresses that only the source has, and those that only the other has.
    pub only: [PrefixSet; 2],
}

impl Agreement {
    /// Holds what was fetched against what the other source has, if it has something, for the tags of lists that
    /// targets use.
    pub fn of(fetched: &Fetched, compared: &Compared, config: &Config) -> Option<Self> {
        let other = compared.publication.as_ref().ok()?;
        Some(Self::between((fetched.settings.kind.name(), &fetched.publication), (compared.kind, other), config))
    }

    fn between(source: (&'static str, &Publication), other: (&'static str, &Publication), config: &Config) -> Self {
        let used = config.targets.iter().flat_map(|target| &target.lists).filter_map(|name| config.lists.get(name));
        let tags: BTreeSet<&str> = used.flat_map(|list| &list.tags).map(String::as_str).collect();
        let differences = tags.iter().filter_map(|tag| difference(tag, source.1.tag(tag), other.1.tag(tag)));
        let side = |(kind, publication): (&'static str, &Publication)| Side {
            kind,
            origin: publication.origin.clone(),
            change_number: publication.change_number,
        };
        Self { source: side(source), other: side(other), differences: differences.collect(), tags: tags.len() }
    }
}

fn difference(name: &str, source: Option<&Tag>, other: Option<&Tag>) -> Option<Difference> {
    let addresses = |tag: Option<&Tag>| -> PrefixSet {
        let v4 = tag.into_iter().flat_map(|tag| tag.v4.iter().copied().map(IpNet::V4));
        v4.chain(tag.into_iter().flat_map(|tag| tag.v6.iter().copied().map(IpNet::V6))).collect()
    };
    let (one, two) = (addresses(source), addresses(other));
    // That both have no addresses is no agreement where one has not even the tag.
    if one == two && source.is_some() == other.is_some() {
        return None;
    }
    let change_numbers = [source, other].map(|tag| tag.map(|tag| tag.change_number));
    Some(Difference { tag: name.to_owned(), change_numbers, only: [one.difference(&two), two.difference(&one)] })
}

#[cfg(test)]
mod tests;
