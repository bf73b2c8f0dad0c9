//! What it takes to bring a target from what it admits to what it should.

use std::ops::{Add, AddAssign};

use crate::{Admits, Slot, StoredId};

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Stores a new entry.
    Add,
    /// Removes a stored entry.
    Remove,
}

/// One change of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is done.
    pub operation: Operation,
    /// The entry's addresses: what an add stores, what a remove finds stored.
    pub admits: Admits,
    /// Where.
    pub slot: Slot,
    /// The stored name of what is removed, where removal goes by name; of an add, what is taken over for it.
    pub id: Option<StoredId>,
}

/// One change of the table, chain and rules around the entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkeletonEdit {
    /// What is done and why, to be shown.
    pub description: String,
}

/// All changes, in the order in which they are made.
///
/// A provider that changes everything in one transaction makes them at once; the order is a promise only where
/// they are made one by one: adds before the removes that they stand in for.
///
/// They are good as a whole. Left alone without its removes, an add may overlap what is stored, which nftables
/// does not take: whoever wants to remove nothing places the union of what is desired and what is admitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// What is mended or made around the entries.
    pub skeleton: Vec<SkeletonEdit>,
    /// What changes among the entries.
    pub entries: Vec<Step>,
}

impl Steps {
    /// Whether there is nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.skeleton.is_empty() && self.entries.is_empty()
    }

    /// The steps of one kind.
    pub fn of(&self, operation: Operation) -> impl Iterator<Item = &Step> {
        self.entries.iter().filter(move |step| step.operation == operation)
    }
}

/// What an apply did. That it did it is known only from a later read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entries stored.
    pub added: u64,
    /// Entries removed.
    pub removed: u64,
    /// Edits of the skeleton.
    pub skeleton: u64,
    /// Writing calls: transactions, requests.
    pub calls: u64,
}

impl Add for Applied {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            added: self.added + other.added,
            removed: self.removed + other.removed,
            skeleton: self.skeleton + other.skeleton,
            calls: self.calls + other.calls,
        }
    }
}

impl AddAssign for Applied {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
