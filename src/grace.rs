//! Addresses that Microsoft dropped and a grace period still holds. Pure.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tagwall_provider::{Held, PrefixSet};

/// How long an address that Microsoft dropped stays admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grace {
    /// Not at all.
    #[default]
    None,
    /// This long after a pass first went by a publication without it.
    Time(SignedDuration),
    /// Until that many further publications were gone by, beside the one that dropped it.
    Publications(u32),
}

/// Addresses that one publication dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The addresses.
    #[serde(with = "crate::generation::prefix_texts")]
    pub prefixes: PrefixSet,
    /// When a pass first went by a publication without them.
    pub since: Timestamp,
    /// How many publications were gone by after that one.
    pub publications: u32,
}

/// What is held after a step from one publication to the next.
///
/// `known` is what was held before, `listed` what the publication lists now, `before` what the last accepted
/// publication lists with today's configuration, or `None` where it is the same or not known.
pub fn advance(
    grace: Grace,
    known: &[Dropped],
    before: Option<&PrefixSet>,
    listed: &PrefixSet,
    now: Timestamp,
) -> Vec<Dropped> {
    let published = u32::from(before.is_some());
    let older = known.iter().map(|dropped| Dropped {
        prefixes: dropped.prefixes.difference(listed),
        since: dropped.since,
        publications: dropped.publications.saturating_add(published),
    });
    let newest = before.map(|before| Dropped { prefixes: before.difference(listed), since: now, publications: 0 });
    let is_held = |dropped: &Dropped| !dropped.prefixes.is_empty() && grace.holds(dropped, now);
    older.chain(newest).filter(is_held).collect()
}

impl Dropped {
    /// What the plan is told of it.
    pub fn held(&self, grace: Grace) -> Held {
        let until = match grace {
            // It is not held then; a name for it all the same.
            Grace::None => "now".to_owned(),
            Grace::Time(span) => {
                self.since.checked_add(span).map_or_else(|_| "ever".to_owned(), |due| format!("{due:.0}"))
            }
            Grace::Publications(count) => match count.saturating_sub(self.publications) {
                0 | 1 => "the next publication".to_owned(),
                more => format!("{more} more publications"),
            },
        };
        Held { prefixes: self.prefixes.clone(), until }
    }
}

impl Grace {
    /// Whether it still holds what was dropped.
    pub fn holds(self, dropped: &Dropped, now: Timestamp) -> bool {
        match self {
            Self::None => false,
            // A clock that was put back holds longer, never shorter than now.
            Self::Time(span) => now.duration_since(dropped.since) < span,
            Self::Publications(count) => dropped.publications < count,
        }
    }
}

impl fmt::Display for Grace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.pad("none"),
            Self::Time(span) => write!(f, "{span:#}"),
            Self::Publications(1) => f.pad("1 publication"),
            Self::Publications(count) => write!(f, "{count} publications"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tagwall_provider::IpNet;

    use super::*;

    fn set(prefixes: &[&str]) -> PrefixSet {
        prefixes.iter().map(|prefix| prefix.parse::<IpNet>().unwrap()).collect()
    }

    /// Goes by publications, a day apart, and tells what is held after each.
    fn check(grace: Grace, publications: &[&[&str]], expect: &[&[&str]]) {
        let start: Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
        let (mut known, mut before) = (Vec::new(), None::<PrefixSet>);
        for (day, (listed, expect)) in publications.iter().zip(expect).enumerate() {
            let now = start + SignedDuration::from_hours(24 * i64::try_from(day).unwrap());
            let listed = set(listed);
            let changed = before.as_ref().filter(|before| **before != listed);
            known = advance(grace, &known, changed, &listed, now);
            let held = known.iter().fold(PrefixSet::new(), |sum, dropped| sum.union(&dropped.prefixes));
            assert_eq!(held, set(expect), "{grace}, day {day}");
            before = Some(listed);
        }
    }

    const A: &str = "192.0.2.0/25";
    const B: &str = "192.0.2.128/25";
    const BOTH: &str = "192.0.2.0/24";
    const C: &str = "198.51.100.0/24";

    #[test]
    fn what_is_dropped_is_held_for_its_time() {
        let days = |days: i64| Grace::Time(SignedDuration::from_hours(24 * days));
        check(days(2), &[&[A, B], &[A], &[A], &[A], &[A]], &[&[], &[B], &[B], &[], &[]]);
        check(Grace::None, &[&[A, B], &[A]], &[&[], &[]]);
        // Each has its own time.
        check(days(2), &[&[A, B, C], &[A, C], &[A], &[A], &[A]], &[&[], &[B], &[B, C], &[C], &[]]);
    }

    #[test]
    fn what_is_dropped_is_held_for_so_many_publications() {
        // The second and third day bring nothing new.
        check(Grace::Publications(1), &[&[A, B], &[A], &[A], &[A, C], &[A]], &[&[], &[B], &[B], &[], &[C]]);
        check(Grace::Publications(2), &[&[A, B], &[A], &[A, C], &[A], &[A, C]], &[&[], &[B], &[B], &[C], &[]]);
    }

    #[test]
    fn what_comes_back_is_held_no_longer() {
        let week = Grace::Time(SignedDuration::from_hours(24 * 7));
        check(week, &[&[A, B], &[A], &[A, B], &[A, B]], &[&[], &[B], &[], &[]]);
        // Split or widened, no address goes.
        check(week, &[&[A, B], &[BOTH], &[A, B]], &[&[], &[], &[]]);
    }

    #[test]
    fn the_due_date_is_told() {
        let dropped = Dropped { prefixes: set(&[A]), since: "2026-01-05T06:00:00Z".parse().unwrap(), publications: 1 };
        let check = |grace, expect: &str| assert_eq!(dropped.held(grace).until, expect);
        check(Grace::Time(SignedDuration::from_hours(36)), "2026-01-06T18:00:00Z");
        check(Grace::Publications(2), "the next publication");
        check(Grace::Publications(4), "3 more publications");
    }
}
