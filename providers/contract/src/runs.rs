//! Sorted runs of numbers that neither overlap nor touch: the arithmetic under `PrefixSet`, once for both families.

use std::fmt::Debug;

/// An address as a number of its family's width.
pub(crate) trait Bits: Copy + Ord + Debug {
    /// The next number, unless this is the greatest.
    fn next(self) -> Option<Self>;
    /// The number before, unless this is zero.
    fn previous(self) -> Option<Self>;
    /// The number, widened.
    fn wide(self) -> u128;
}

impl Bits for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn previous(self) -> Option<Self> {
        self.checked_sub(1)
    }
    fn wide(self) -> u128 {
        self.into()
    }
}

impl Bits for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn previous(self) -> Option<Self> {
        self.checked_sub(1)
    }
    fn wide(self) -> u128 {
        self
    }
}

/// Runs of numbers, each from its first to its last, ascending, with a gap between any two.
///
/// One set of numbers has exactly one such form, so equality of the form is equality of the set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Runs<T>(Vec<(T, T)>);

impl<T> Default for Runs<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Bits> Runs<T> {
    /// Makes the form from runs in any order, overlapping or not.
    pub(crate) fn from_unordered(mut runs: Vec<(T, T)>) -> Self {
        if !runs.is_sorted() {
            // The stable sort: it merges what is sorted in stretches, as in a union.
            runs.sort();
        }
        let mut merged: Vec<(T, T)> = Vec::with_capacity(runs.len());
        for (first, last) in runs {
            match merged.last_mut() {
                // Touching counts as one: `previous` of a first of zero is none, and then the runs overlap anyway.
                Some(open) if first.previous().is_none_or(|before| before <= open.1) => open.1 = open.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        merged.shrink_to_fit();
        Self(merged)
    }

    pub(crate) fn as_slice(&self) -> &[(T, T)] {
        &self.0
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        match (self.0.is_empty(), other.0.is_empty()) {
            (true, _) => other.clone(),
            (_, true) => self.clone(),
            _ => Self::from_unordered([self.as_slice(), other.as_slice()].concat()),
        }
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut common = Vec::new();
        while let (Some(&&(a_first, a_last)), Some(&&(b_first, b_last))) = (left.peek(), right.peek()) {
            let (first, last) = (a_first.max(b_first), a_last.min(b_last));
            if first <= last {
                common.push((first, last));
            }
            // The run that ends first can meet nothing more.
            if a_last <= b_last {
                left.next();
            } else {
                right.next();
            }
        }
        Self(common)
    }

    pub(crate) fn difference(&self, other: &Self) -> Self {
        let mut rest = Vec::new();
        let mut cuts = other.0.iter().peekable();
        for &(first, last) in &self.0 {
            let mut open = Some(first);
            while let (Some(from), Some(&&(cut_first, cut_last))) = (open, cuts.peek()) {
                if cut_first > last {
                    break;
                }
                if cut_first > from {
                    rest.extend(cut_first.previous().map(|before| (from, before)));
                }
                open = cut_last.next().map(|after| after.max(from)).filter(|&after| after <= last);
                // A cut that reaches past this run may reach into the next one: leave it there.
                if cut_last > last {
                    break;
                }
                cuts.next();
            }
            rest.extend(open.map(|from| (from, last)));
        }
        Self(rest)
    }

    /// The run that holds `number`.
    pub(crate) fn run_of(&self, number: T) -> Option<(T, T)> {
        let after = self.0.partition_point(|&(first, _)| first <= number);
        let run = *self.0.get(after.checked_sub(1)?)?;
        (number <= run.1).then_some(run)
    }

    /// Whether every number from `first` to `last` is there.
    pub(crate) fn covers(&self, first: T, last: T) -> bool {
        // Runs do not touch, so one of them holds all or none does.
        self.run_of(first).is_some_and(|run| last <= run.1)
    }

    /// Whether any number from `first` to `last` is there.
    pub(crate) fn meets(&self, first: T, last: T) -> bool {
        let next = self.0.partition_point(|run| run.1 < first);
        self.0.get(next).is_some_and(|run| run.0 <= last)
    }
}
