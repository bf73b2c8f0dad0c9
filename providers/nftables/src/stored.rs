//! What stands in sets: ranges of starts and ends, and the keys of small sets of others.

use std::net::{Ipv4Addr, Ipv6Addr};

use tagwall_provider::{AddressRange, Family};

use crate::netlink::parse::ElementSeen;

/// The elements of one set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// What they admit, ascending.
    pub(crate) ranges: Vec<AddressRange>,
    /// What no exact removal can mend: a line each.
    pub(crate) odd: Vec<String>,
    /// Whether there is an element that every address matches.
    pub(crate) catch_all: bool,
    /// Something is there twice, which no set is: the dump was torn.
    pub(crate) torn: bool,
}

/// The keys of a small set, whatever they are of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    interval: bool,
    /// Ascending, and whether it is an end.
    keys: Vec<(Vec<u8>, bool)>,
}

impl Keys {
    pub(crate) fn new(interval: bool, mut keys: Vec<(Vec<u8>, bool)>) -> Self {
        // At one key an end comes before a beginning.
        keys.sort_unstable_by(|one, other| one.0.cmp(&other.0).then(other.1.cmp(&one.1)));
        Self { interval, keys }
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        let until = self.keys.partition_point(|(found, _)| &**found <= key);
        let Some((found, end)) = self.keys[..until].last() else { return false };
        if self.interval { !end } else { found == key }
    }
}

/// Makes ranges of starts and ends.
///
/// What the kernel makes of odd ones: a start reaches to the next element, whatever that is, or to the highest
/// address; an end without a start means nothing. (nft writes such an end at the lowest address into most sets:
/// that one is not odd.)
pub(crate) fn pair_up(mut elements: Vec<ElementSeen>, family: Family, interval: bool, set: &str) -> Stored {
    let highest = if family == Family::V4 { u32::MAX.into() } else { u128::MAX };
    let mut stored = Stored { ranges: Vec::with_capacity(elements.len() / 2 + 1), ..Stored::default() };
    // At one address an end comes before a start: intervals may touch.
    let place = |element: &ElementSeen| match *element {
        ElementSeen::End(key) => (key, 0),
        ElementSeen::Start(key) => (key, 1),
        ElementSeen::Expires(key) => (key, 2),
        ElementSeen::CatchAll => (u128::MAX, 3),
    };
    if !elements.is_sorted_by_key(place) {
        elements.sort_unstable_by_key(place);
    }
    stored.torn = elements.windows(2).any(|pair| pair[0] == pair[1]);
    let mut open = None;
    for element in elements {
        match (open, element) {
            (None, ElementSeen::Start(first)) if interval => open = Some(first),
            (None, ElementSeen::Start(only)) => stored.ranges.extend(range(family, only, only)),
            (Some(first), ElementSeen::Start(next)) => {
                stored.ranges.extend(range(family, first, next.saturating_sub(1)));
                stored.odd.push(format!("set {set} has a beginning without an end"));
                open = Some(next);
            }
            (Some(first), ElementSeen::End(end)) => {
                stored.ranges.extend(range(family, first, end.saturating_sub(1)));
                open = None;
            }
            (_, ElementSeen::Expires(_)) => {
                stored.odd.push(format!("set {set} has an element with a timeout: what it admits would go by itself"));
            }
            (None, ElementSeen::End(0)) => {}
            (None, ElementSeen::End(_)) => stored.odd.push(format!("set {set} has an end without a beginning")),
            (_, ElementSeen::CatchAll) => {
                stored.odd.push(format!("set {set} has a catch-all element: it admits everybody"));
                stored.catch_all = true;
                stored.ranges.extend(range(family, 0, highest));
            }
        }
    }
    if let Some(first) = open {
        stored.ranges.extend(range(family, first, highest));
    }
    stored.odd.sort_unstable();
    stored.odd.dedup();
    stored
}

fn range(family: Family, first: u128, last: u128) -> Option<AddressRange> {
    match family {
        Family::V4 => {
            let address = |number: u128| u32::try_from(number).ok().map(Ipv4Addr::from);
            AddressRange::new(address(first)?.into(), address(last)?.into())
        }
        Family::V6 => AddressRange::new(Ipv6Addr::from(first).into(), Ipv6Addr::from(last).into()),
    }
}
