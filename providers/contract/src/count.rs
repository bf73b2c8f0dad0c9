//! Exact counts of addresses, up to and including all 2^128 of IPv6.

use std::fmt;

/// A number of addresses of one family, exact from 0 to 2^128.
///
/// A plain `u128` is one short of the whole of IPv6, and a saturated count would call `::/0` equal to
/// `::/0` less one address: a limit must be able to tell them apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressCount {
    // The order of the fields is the order of comparison: `whole` stands for the bit of value 2^128.
    whole: bool,
    below: u128,
}

impl AddressCount {
    /// No address.
    pub const ZERO: Self = Self { whole: false, below: 0 };

    /// A count that fits in 128 bits.
    pub const fn new(count: u128) -> Self {
        Self { whole: false, below: count }
    }

    /// Adds the number of addresses from `first` to `last`, both included.
    ///
    /// # Panics
    /// If the sum would pass 2^128, which disjoint ranges of one family cannot.
    #[must_use]
    pub(crate) fn plus_range(self, first: u128, last: u128) -> Self {
        let span = last - first;
        match self.below.checked_add(span).and_then(|sum| sum.checked_add(1)) {
            Some(below) if !self.whole => Self { whole: false, below },
            // Less than 2^128 and at most 2^128 make a multiple of it only once.
            None if !self.whole && self.below.wrapping_add(span).wrapping_add(1) == 0 => Self { whole: true, below: 0 },
            _ => panic!("ranges of one family that do not overlap hold at most 2^128 addresses"),
        }
    }

    /// Whether it is no address at all.
    pub const fn is_zero(self) -> bool {
        !self.whole && self.below == 0
    }

    /// The count as a float, for percentages and gauges: exact below 2^53.
    pub fn as_f64(self) -> f64 {
        self.below as f64 + if self.whole { 2f64.powi(128) } else { 0.0 }
    }

    /// What part of `total` this is, in percent; 0 of 0 is 0, anything else of 0 is infinite.
    pub fn percent_of(self, total: Self) -> f64 {
        if self.is_zero() { 0.0 } else { self.as_f64() / total.as_f64() * 100.0 }
    }
}

impl From<u64> for AddressCount {
    fn from(count: u64) -> Self {
        Self::new(count.into())
    }
}

impl fmt::Display for AddressCount {
    /// Decimal digits, without separators.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.whole {
            // 2^128, the only count with this bit.
            f.pad("340282366920938463463374607431768211456")
        } else {
            f.pad(&self.below.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(count: AddressCount, first: u128, last: u128, expected: Option<AddressCount>) {
        let sum = std::panic::catch_unwind(|| count.plus_range(first, last));
        assert_eq!(sum.ok(), expected, "{count} and {first:x} to {last:x}");
    }

    #[test]
    fn sums_end_at_the_whole() {
        let whole = AddressCount { whole: true, below: 0 };
        let half = AddressCount::new(1 << 127);
        check(AddressCount::ZERO, 0, 0, Some(AddressCount::new(1)));
        check(AddressCount::ZERO, 0, u128::MAX - 1, Some(AddressCount::new(u128::MAX)));
        check(AddressCount::ZERO, 0, u128::MAX, Some(whole));
        check(AddressCount::new(u128::MAX), 7, 7, Some(whole));
        check(half, 1 << 127, u128::MAX, Some(whole));
        check(half, 0, u128::MAX, None);
        check(AddressCount::new(u128::MAX), 7, 8, None);
        check(AddressCount::new(1), 0, u128::MAX, None);
        check(whole, 0, 0, None);
        check(whole, 0, u128::MAX, None);
    }
}
