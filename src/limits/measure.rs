//! What was measured, beside what is allowed: the figures of a judgement that nobody had to be refused for.

use tagwall_provider::{AddressCount, Family, PrefixSet};

use super::{Limits, addresses};

/// What one family of a list loses and gains from its last accepted publication to this one.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// The list.
    pub list: String,
    /// The family.
    pub family: Family,
    /// Its addresses before.
    pub before: AddressCount,
    /// Of these, how many go.
    pub lost: AddressCount,
    /// How many come.
    pub gained: AddressCount,
    /// Its prefixes before.
    pub prefixes: usize,
    /// Of these, how many lose an address.
    pub lost_prefixes: usize,
    /// The most that may go, as it is told.
    pub loss_limit: String,
    /// The most that may come, as it is told.
    pub growth_limit: String,
}

impl Limits {
    /// Measures the step from one set to the next. A family that is empty on both sides has no figures.
    pub fn measure(&self, list: &str, before: &PrefixSet, after: &PrefixSet) -> Vec<Measure> {
        let of = |family| {
            let (before, after) = (before.only(family), after.only(family));
            let gone = before.difference(&after);
            let prefixes = before.prefixes().count();
            (!before.is_empty() || !after.is_empty()).then(|| Measure {
                list: list.to_owned(),
                family,
                before: before.addresses(family),
                lost: gone.addresses(family),
                gained: after.difference(&before).addresses(family),
                prefixes,
                lost_prefixes: before.prefixes().filter(|prefix| gone.meets(*prefix)).count(),
                loss_limit: self.loss_told(prefixes),
                growth_limit: self.growth.to_string(),
            })
        };
        Family::ALL.into_iter().filter_map(of).collect()
    }
}

impl Measure {
    /// What goes, in words: `0.2 % of the addresses (128), 1 of 230 prefixes`.
    pub fn loss(&self) -> String {
        let (share, lost) = (self.lost.percent_of(self.before), addresses(self.lost));
        format!("{share:.1} % of the addresses ({lost}), {} of {} prefixes", self.lost_prefixes, self.prefixes)
    }

    /// What comes, in words. What comes into being is not growth.
    pub fn growth(&self) -> String {
        if self.before.is_zero() {
            return format!("from nothing to {} addresses", addresses(self.gained));
        }
        format!("{:.1} % ({} addresses)", self.gained.percent_of(self.before), addresses(self.gained))
    }
}
