//! Reads what stands in the kernel, so that it can be believed.
//!
//! The kernel dumps a set in pieces, and a commit between two of them tears the dump: elements are missing or
//! there twice, and nothing says so. A read therefore stands between two equal generation ids. Where other tables
//! are rewritten all the time these never come; there two reads in a row that are the same serve.

use std::net::{Ipv4Addr, Ipv6Addr};

use nix::errno::Errno;
use tagwall_provider::{AddressRange, Family, PerFamily};

use crate::layout::Layout;
use crate::netlink::message::{SetName, Writer, key_length};
use crate::netlink::parse::{self, ChainSeen, ElementSeen, Message, SetSeen, TableSeen};
use crate::netlink::socket::{Dump, NetlinkError, Socket};
use crate::netlink::wire::{self, attr, msg};
use crate::rule::{Rule, RuleSeen};
use crate::settings::TABLE;

/// How often it is read before that counts as busy.
const TRIES: usize = 16;
/// How often two equal generation ids are hoped for, before two equal reads serve.
const TRIES_FOR_EQUAL_IDS: usize = 3;

/// Table, chains, rules and sets, without elements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Structure {
    pub(crate) table: Option<TableSeen>,
    /// The chains of the table, and those base chains of others that drop by policy.
    pub(crate) chains: Vec<ChainSeen>,
    /// The rules of our chains: those of our names, and those with our mark.
    rules: Vec<(String, Vec<RuleSeen>)>,
    /// The sets of the table.
    pub(crate) sets: Vec<SetSeen>,
}

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
    torn: bool,
}

/// Everything of a target at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) structure: Structure,
    pub(crate) stored: PerFamily<Stored>,
    /// What stands in the table `inet tagwall`, where the target's own objects do not: whatever an earlier
    /// configuration left there.
    pub(crate) left: Structure,
}

/// How reading fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// It changed under every read.
    #[error("the firewall changed during each of {TRIES} reads")]
    Busy,
}

impl Structure {
    /// The chains of the table `inet tagwall`.
    pub(crate) fn own_chains(&self) -> impl Iterator<Item = &ChainSeen> {
        self.chains.iter().filter(|chain| is_own(chain))
    }

    pub(crate) fn set(&self, name: &str) -> Option<&SetSeen> {
        self.sets.iter().find(|set| set.name == name)
    }

    pub(crate) fn rules(&self, chain: &str) -> impl Iterator<Item = &Rule> {
        self.rules_seen(chain).map(|seen| &seen.rule)
    }

    /// The rules of a chain with what they counted.
    pub(crate) fn rules_seen(&self, chain: &str) -> impl Iterator<Item = &RuleSeen> {
        self.rules.iter().filter(move |(name, _)| name == chain).flat_map(|(_, rules)| rules)
    }

    /// Whether the rules of a chain were read.
    pub(crate) fn has_read(&self, chain: &str) -> bool {
        self.rules.iter().any(|(name, _)| name == chain)
    }
}

fn is_own(chain: &ChainSeen) -> bool {
    chain.family == wire::family::INET && chain.table == TABLE
}

/// Reads everything of a target, with the generation id that it was read at.
pub(crate) fn read(socket: &mut Socket, layout: &Layout) -> Result<(u32, Snapshot), ReadError> {
    believed(socket, |socket| {
        let mut dumps = Dumps::default();
        let structure = read_structure(socket, layout, &mut dumps)?;
        let left = match layout {
            Layout::Enforce(_) => Structure::default(),
            Layout::Set(_) => read_own_table(socket, |_| false, &mut dumps)?,
        };
        let mut stored = PerFamily::<Stored>::default();
        for family in Family::ALL {
            if let Some(name) = layout.set(family)
                && let Some(set) = structure.set(name.set)
                && holds_addresses(set, family)
            {
                *stored.get_mut(family) = read_elements(socket, name, set, family, &mut dumps)?;
            }
        }
        let torn = Family::ALL.into_iter().any(|family| stored.get(family).torn);
        Ok((dumps, torn, Snapshot { structure, stored, left }))
    })
}

/// Reads what stands around the elements.
pub(crate) fn read_around(socket: &mut Socket, layout: &Layout) -> Result<(u32, Structure), ReadError> {
    believed(socket, |socket| {
        let mut dumps = Dumps::default();
        let structure = read_structure(socket, layout, &mut dumps)?;
        Ok((dumps, false, structure))
    })
}

/// Reads the chains and sets of the table `inet tagwall`, whoever's they are.
pub(crate) fn read_own(socket: &mut Socket) -> Result<(u32, Structure), ReadError> {
    believed(socket, |socket| {
        let mut dumps = Dumps::default();
        let structure = read_own_table(socket, |_| false, &mut dumps)?;
        Ok((dumps, false, structure))
    })
}

/// Whether the kernel noticed that something changed during any of several dumps. It does not always.
#[derive(Clone, Copy, Debug, Default)]
struct Dumps {
    interrupted: bool,
}

impl Dumps {
    fn note(&mut self, dump: Dump) {
        self.interrupted |= dump == Dump::Interrupted;
    }
}

/// Reads until it can be believed. `read` says how the dump went, whether what it read cannot be, and what it is.
fn believed<T: PartialEq>(
    socket: &mut Socket,
    mut read: impl FnMut(&mut Socket) -> Result<(Dumps, bool, T), NetlinkError>,
) -> Result<(u32, T), ReadError> {
    let mut previous = None;
    for attempt in 0..TRIES {
        let before = socket.generation()?;
        let result = read(socket);
        let after = socket.generation()?;
        let (dumps, torn, seen) = match result {
            // Something went away between the list that named it and the look at it.
            Err(NetlinkError::Refused { errno: Errno::ENOENT | Errno::EINTR, .. }) if before != after => {
                previous = None;
                continue;
            }
            result => result?,
        };
        if torn {
            previous = None;
            continue;
        }
        if before == after && !dumps.interrupted {
            return Ok((before, seen));
        }
        if attempt >= TRIES_FOR_EQUAL_IDS && previous.as_ref() == Some(&seen) {
            return Ok((before, seen));
        }
        previous = Some(seen);
    }
    Err(ReadError::Busy)
}

fn read_structure(socket: &mut Socket, layout: &Layout, dumps: &mut Dumps) -> Result<Structure, NetlinkError> {
    match layout {
        Layout::Enforce(skeleton) => {
            let ours = |chain: &ChainSeen| {
                let named = [&skeleton.names.ports, &skeleton.names.admit].contains(&&chain.name);
                named || chain.comment.as_ref() == Some(&skeleton.mark)
            };
            read_own_table(socket, ours, dumps)
        }
        Layout::Set(sets) => {
            let family = sets.family.number();
            let table = read_table(socket, family, &sets.table)?;
            let found = if table.is_some() { read_sets(socket, family, &sets.table, dumps)? } else { Vec::new() };
            Ok(Structure { table, sets: found, ..Structure::default() })
        }
    }
}

/// Reads the table `inet tagwall`, with the rules of some of its chains.
fn read_own_table(
    socket: &mut Socket,
    with_rules: impl Fn(&ChainSeen) -> bool,
    dumps: &mut Dumps,
) -> Result<Structure, NetlinkError> {
    let mut seen = Structure { table: read_table(socket, wire::family::INET, TABLE)?, ..Structure::default() };
    let each = |message: &Message<'_>| {
        if message.table_message() == Some(msg::NEW_CHAIN) {
            let chain = parse::chain(message)?;
            if is_own(&chain) || chain.hook.as_ref().is_some_and(|hook| hook.drops) {
                seen.chains.push(chain);
            }
        }
        Ok(())
    };
    let everywhere = wire::family::UNSPECIFIED;
    dumps.note(socket.ask("list chains", msg::GET_CHAIN, wire::DUMP, everywhere, |_| {}, each)?);
    let chains = seen.own_chains().filter(|chain| with_rules(chain)).map(|chain| chain.name.clone());
    for name in chains.collect::<Vec<_>>() {
        let mut rules = Vec::new();
        dumps.note(read_rules(socket, TABLE, &name, |seen| rules.push(seen))?);
        seen.rules.push((name, rules));
    }
    if seen.table.is_some() {
        seen.sets = read_sets(socket, wire::family::INET, TABLE, dumps)?;
    }
    Ok(seen)
}

fn read_sets(socket: &mut Socket, family: u8, table: &str, dumps: &mut Dumps) -> Result<Vec<SetSeen>, NetlinkError> {
    let mut sets = Vec::new();
    let each = |message: &Message<'_>| {
        if message.table_message() == Some(msg::NEW_SET) {
            sets.push(parse::set(message)?);
        }
        Ok(())
    };
    let fill = |writer: &mut Writer| writer.put_text(attr::SET_TABLE, table);
    dumps.note(socket.ask("list sets", msg::GET_SET, wire::DUMP, family, fill, each)?);
    Ok(sets)
}

fn read_table(socket: &mut Socket, family: u8, name: &str) -> Result<Option<TableSeen>, NetlinkError> {
    let mut table = None;
    let each = |message: &Message<'_>| {
        if message.table_message() == Some(msg::NEW_TABLE) {
            table = Some(parse::table(message)?);
        }
        Ok(())
    };
    let asked =
        socket.ask("read a table", msg::GET_TABLE, 0, family, |writer| writer.put_text(attr::TABLE_NAME, name), each);
    match asked {
        Err(NetlinkError::Refused { errno: Errno::ENOENT, .. }) => Ok(None),
        asked => asked.map(|_| table),
    }
}

/// Reads the rules of one chain of an inet table, in order.
fn read_rules(
    socket: &mut Socket,
    table: &str,
    chain: &str,
    mut each: impl FnMut(RuleSeen),
) -> Result<Dump, NetlinkError> {
    socket.ask(
        "list rules",
        msg::GET_RULE,
        wire::DUMP,
        wire::family::INET,
        |writer| {
            writer.put_text(attr::RULE_TABLE, table);
            writer.put_text(attr::RULE_CHAIN, chain);
        },
        |message| {
            if message.table_message() == Some(msg::NEW_RULE) {
                each(parse::rule(message)?);
            }
            Ok(())
        },
    )
}

/// Whether a set's keys are addresses of this family and nothing else.
pub(crate) fn holds_addresses(set: &SetSeen, family: Family) -> bool {
    set.key_length == key_length(family) && set.flags & (wire::set::MAP | wire::set::OBJECT | wire::set::CONCAT) == 0
}

fn read_elements(
    socket: &mut Socket,
    name: SetName<'_>,
    set: &SetSeen,
    family: Family,
    dumps: &mut Dumps,
) -> Result<Stored, NetlinkError> {
    let mut elements = Vec::new();
    let dump = socket.ask(
        "list elements",
        msg::GET_ELEMENT,
        wire::DUMP,
        name.family,
        |writer| {
            writer.put_text(attr::ELEMENTS_TABLE, name.table);
            writer.put_text(attr::ELEMENTS_SET, name.set);
        },
        |message| {
            if message.table_message() == Some(msg::NEW_ELEMENT) {
                parse::elements(message, family, |element| elements.push(element))?;
            }
            Ok(())
        },
    )?;
    dumps.note(dump);
    Ok(pair_up(elements, family, set.flags & wire::set::INTERVAL != 0, name.set))
}

/// One dump of an IPv4 interval set, believed or not.
#[cfg(feature = "testing")]
pub(crate) fn glance(socket: &mut Socket, name: SetName<'_>) -> Result<Vec<AddressRange>, NetlinkError> {
    let set = SetSeen { flags: wire::set::INTERVAL, ..SetSeen::default() };
    Ok(read_elements(socket, name, &set, Family::V4, &mut Dumps::default())?.ranges)
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
        ElementSeen::CatchAll => (u128::MAX, 2),
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
