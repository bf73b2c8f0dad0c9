//! Reads what stands in the kernel, so that it can be believed.
//!
//! The kernel dumps a set in pieces, and a commit between two of them tears the dump: elements are missing or
//! there twice, and nothing says so. A read therefore stands between two equal generation ids. Where other tables
//! are rewritten all the time these never come; there two reads in a row that are the same serve.

use std::collections::BTreeSet;

use nix::errno::Errno;
use tagwall_provider::{Family, PerFamily};

use crate::layout::Layout;
use crate::netlink::message::{SetName, Writer, key_length};
use crate::netlink::parse::{self, ChainSeen, Malformed, Message, SetSeen, TableSeen};
use crate::netlink::socket::{Dump, NetlinkError, Socket};
use crate::netlink::wire::{self, attr, msg};
use crate::rule::{Expr, Rule, RuleSeen, Verdict};
use crate::settings::TABLE;
use crate::stored::{Keys, Stored, pair_up};

/// How often it is read before that counts as busy.
const TRIES: usize = 16;
/// How often two equal generation ids are hoped for, before two equal reads serve.
const TRIES_FOR_EQUAL_IDS: usize = 3;
/// How many chains are looked into behind one base chain of somebody else's: kube-proxy makes tens of thousands.
const MOST_CHAINS: usize = 200;

/// Table, chains, rules and sets, without elements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Structure {
    pub(crate) table: Option<TableSeen>,
    /// The chains of the table. None of an operator's: there only sets are looked at.
    pub(crate) chains: Vec<ChainSeen>,
    /// The rules of the chains that were looked into: of our own table those of our names, and those with our mark.
    rules: Vec<(String, Vec<RuleSeen>)>,
    /// The sets of the table.
    pub(crate) sets: Vec<SetSeen>,
    /// What stands in the sets without a name that rules of others look in.
    pub(crate) keys: Vec<(String, Keys)>,
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
    pub(crate) fn chain(&self, name: &str) -> Option<&ChainSeen> {
        self.chains.iter().find(|chain| chain.name == name)
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

    /// Whether a set without a name holds a key, where that is known.
    pub(crate) fn holds(&self, set: &str, key: &[u8]) -> Option<bool> {
        self.keys.iter().find(|(name, _)| name == set).map(|(_, keys)| keys.contains(key))
    }
}

fn is_own(chain: &ChainSeen) -> bool {
    chain.family == wire::family::INET && chain.table == TABLE
}

/// Reads everything of a target, with the generation id that it was read at, and the base chains of others.
pub(crate) fn read(socket: &mut Socket, layout: &Layout) -> Result<(u32, Snapshot, Vec<ChainSeen>), ReadError> {
    believed(socket, |reading| {
        let structure = reading.structure(layout)?;
        let left = match layout {
            Layout::Enforce(_) => Structure::default(),
            Layout::Set(_) => reading.own_table(|_| false)?,
        };
        let mut stored = PerFamily::<Stored>::default();
        for family in Family::ALL {
            if let Some(name) = layout.set(family)
                && let Some(set) = structure.set(name.set)
                && holds_addresses(set, family)
            {
                *stored.get_mut(family) = reading.stored(name, set, family)?;
            }
        }
        reading.unbelievable |= Family::ALL.into_iter().any(|family| stored.get(family).torn);
        Ok(Snapshot { structure, stored, left })
    })
}

/// Reads what stands around the elements.
pub(crate) fn read_around(socket: &mut Socket, layout: &Layout) -> Result<(u32, Structure), ReadError> {
    believed(socket, |reading| reading.structure(layout)).map(|(generation, seen, _)| (generation, seen))
}

/// Reads the chains and sets of the table `inet tagwall`, whoever's they are.
pub(crate) fn read_own(socket: &mut Socket) -> Result<(u32, Structure), ReadError> {
    believed(socket, |reading| reading.own_table(|_| false)).map(|(generation, seen, _)| (generation, seen))
}

/// Reads what base chains of others do, each with the chains that it goes on in.
///
/// Not between two equal generation ids: it is told to people, and nothing is decided by it.
pub(crate) fn read_others<'a>(
    socket: &mut Socket,
    bases: impl Iterator<Item = &'a ChainSeen>,
) -> Result<Vec<Structure>, NetlinkError> {
    let mut reading = Reading::new(socket);
    let awake = |table: Option<TableSeen>| table.is_some_and(|table| table.flags & wire::TABLE_DORMANT == 0);
    let mut others = Vec::new();
    for base in bases {
        if awake(reading.table(base.family, &base.table)?) {
            others.push(reading.followed(base)?);
        }
    }
    Ok(others)
}

/// One attempt to read.
struct Reading<'a> {
    socket: &'a mut Socket,
    /// The kernel noticed that something changed during a dump. It does not always.
    interrupted: bool,
    /// What was read cannot be.
    unbelievable: bool,
    /// The base chains of other tables. No part of what two reads have to agree on: nothing is written by them.
    others: Vec<ChainSeen>,
}

/// Reads until it can be believed.
fn believed<T: PartialEq>(
    socket: &mut Socket,
    mut read: impl FnMut(&mut Reading<'_>) -> Result<T, NetlinkError>,
) -> Result<(u32, T, Vec<ChainSeen>), ReadError> {
    let mut previous = None;
    for attempt in 0..TRIES {
        let before = socket.generation()?;
        let mut reading = Reading::new(socket);
        let result = read(&mut reading);
        let Reading { interrupted, unbelievable, others, .. } = reading;
        let after = socket.generation()?;
        let seen = match result {
            // Something went away between the list that named it and the look at it.
            Err(NetlinkError::Refused { errno: Errno::ENOENT | Errno::EINTR, .. }) if before != after => {
                previous = None;
                continue;
            }
            result => result?,
        };
        if unbelievable {
            previous = None;
            continue;
        }
        if before == after && !interrupted {
            return Ok((before, seen, others));
        }
        if attempt >= TRIES_FOR_EQUAL_IDS && previous.as_ref() == Some(&seen) {
            return Ok((before, seen, others));
        }
        previous = Some(seen);
    }
    Err(ReadError::Busy)
}

impl<'a> Reading<'a> {
    fn new(socket: &'a mut Socket) -> Self {
        Self { socket, interrupted: false, unbelievable: false, others: Vec::new() }
    }

    /// Reads the rules of a base chain and of those that they lead to, and the keys that they look for.
    fn followed(&mut self, base: &ChainSeen) -> Result<Structure, NetlinkError> {
        let (family, table) = (base.family, base.table.as_str());
        let mut seen = Structure { chains: vec![base.clone()], ..Structure::default() };
        let mut found = vec![base.name.clone()];
        let mut looked_in = BTreeSet::new();
        for next in 0..MOST_CHAINS {
            let Some(chain) = found.get(next).cloned() else { break };
            let rules = match self.rules(family, table, &chain) {
                // It is gone already, and what it did is nobody's concern.
                Err(NetlinkError::Refused { errno: Errno::ENOENT, .. }) => continue,
                rules => rules?,
            };
            for expr in rules.iter().flat_map(|seen| &seen.rule.exprs) {
                match expr {
                    Expr::Verdict(Verdict::Jump(next) | Verdict::Goto(next)) if !found.contains(next) => {
                        found.push(next.clone());
                    }
                    // Sets that stand in a rule itself are called so by nft, and are small.
                    Expr::Lookup(set) if set.starts_with("__set") => drop(looked_in.insert(set.clone())),
                    _ => {}
                }
            }
            seen.rules.push((chain, rules));
        }
        if !looked_in.is_empty() {
            for set in self.sets(family, table)?.into_iter().filter(|set| looked_in.contains(&set.name)) {
                let keys = self.keys(SetName { family, table, set: &set.name }, &set)?;
                seen.keys.push((set.name, keys));
            }
        }
        Ok(seen)
    }

    fn keys(&mut self, name: SetName<'_>, set: &SetSeen) -> Result<Keys, NetlinkError> {
        let mut keys = Vec::new();
        self.elements(name, |message| {
            parse::keys(message, |element| {
                keys.extend(element.key.map(|key| (key.to_vec(), element.flags & wire::ELEMENT_INTERVAL_END != 0)));
                Ok(())
            })
        })?;
        Ok(Keys::new(set.flags & wire::set::INTERVAL != 0, keys))
    }

    fn structure(&mut self, layout: &Layout) -> Result<Structure, NetlinkError> {
        match layout {
            Layout::Enforce(skeleton) => self.own_table(|chain| {
                let named = [&skeleton.names.ports, &skeleton.names.admit].contains(&&chain.name);
                named || chain.comment.as_ref() == Some(&skeleton.mark)
            }),
            Layout::Set(sets) => {
                let family = sets.family.number();
                let table = self.table(family, &sets.table)?;
                let found = if table.is_some() { self.sets(family, &sets.table)? } else { Vec::new() };
                Ok(Structure { table, sets: found, ..Structure::default() })
            }
        }
    }

    /// Reads the table `inet tagwall`, with the rules of some of its chains.
    fn own_table(&mut self, with_rules: impl Fn(&ChainSeen) -> bool) -> Result<Structure, NetlinkError> {
        let mut seen = Structure { table: self.table(wire::family::INET, TABLE)?, ..Structure::default() };
        let others = &mut self.others;
        let each = |message: &Message<'_>| {
            if message.table_message() == Some(msg::NEW_CHAIN) {
                let chain = parse::chain(message)?;
                if is_own(&chain) {
                    seen.chains.push(chain);
                } else if chain.hook.is_some() {
                    others.push(chain);
                }
            }
            Ok(())
        };
        let everywhere = wire::family::UNSPECIFIED;
        let dump = self.socket.ask("list chains", msg::GET_CHAIN, wire::DUMP, everywhere, |_| {}, each)?;
        self.note(dump);
        let chains = seen.chains.iter().filter(|chain| with_rules(chain)).map(|chain| chain.name.clone());
        for name in chains.collect::<Vec<_>>() {
            let rules = self.rules(wire::family::INET, TABLE, &name)?;
            seen.rules.push((name, rules));
        }
        if seen.table.is_some() {
            seen.sets = self.sets(wire::family::INET, TABLE)?;
        }
        Ok(seen)
    }

    fn note(&mut self, dump: Dump) {
        self.interrupted |= dump == Dump::Interrupted;
    }

    fn sets(&mut self, family: u8, table: &str) -> Result<Vec<SetSeen>, NetlinkError> {
        let mut sets = Vec::new();
        let each = |message: &Message<'_>| {
            if message.table_message() == Some(msg::NEW_SET) {
                sets.push(parse::set(message)?);
            }
            Ok(())
        };
        let fill = |writer: &mut Writer| writer.put_text(attr::SET_TABLE, table);
        let dump = self.socket.ask("list sets", msg::GET_SET, wire::DUMP, family, fill, each)?;
        self.note(dump);
        Ok(sets)
    }

    fn table(&mut self, family: u8, name: &str) -> Result<Option<TableSeen>, NetlinkError> {
        let mut table = None;
        let each = |message: &Message<'_>| {
            if message.table_message() == Some(msg::NEW_TABLE) {
                table = Some(parse::table(message)?);
            }
            Ok(())
        };
        let fill = |writer: &mut Writer| writer.put_text(attr::TABLE_NAME, name);
        match self.socket.ask("read a table", msg::GET_TABLE, 0, family, fill, each) {
            Err(NetlinkError::Refused { errno: Errno::ENOENT, .. }) => Ok(None),
            asked => asked.map(|_| table),
        }
    }

    /// Reads the rules of one chain, in order.
    fn rules(&mut self, family: u8, table: &str, chain: &str) -> Result<Vec<RuleSeen>, NetlinkError> {
        let mut rules = Vec::new();
        let fill = |writer: &mut Writer| {
            writer.put_text(attr::RULE_TABLE, table);
            writer.put_text(attr::RULE_CHAIN, chain);
        };
        let each = |message: &Message<'_>| {
            if message.table_message() == Some(msg::NEW_RULE) {
                rules.push(parse::rule(message)?);
            }
            Ok(())
        };
        let dump = self.socket.ask("list rules", msg::GET_RULE, wire::DUMP, family, fill, each)?;
        self.note(dump);
        Ok(rules)
    }

    fn elements(
        &mut self,
        name: SetName<'_>,
        mut each: impl FnMut(&Message<'_>) -> Result<(), Malformed>,
    ) -> Result<(), NetlinkError> {
        let fill = |writer: &mut Writer| {
            writer.put_text(attr::ELEMENTS_TABLE, name.table);
            writer.put_text(attr::ELEMENTS_SET, name.set);
        };
        let each = |message: &Message<'_>| match message.table_message() {
            Some(msg::NEW_ELEMENT) => each(message),
            _ => Ok(()),
        };
        let dump = self.socket.ask("list elements", msg::GET_ELEMENT, wire::DUMP, name.family, fill, each)?;
        self.note(dump);
        Ok(())
    }

    /// Reads the elements of a set of addresses.
    fn stored(&mut self, name: SetName<'_>, set: &SetSeen, family: Family) -> Result<Stored, NetlinkError> {
        let mut elements = Vec::new();
        self.elements(name, |message| parse::elements(message, family, |element| elements.push(element)))?;
        Ok(pair_up(elements, family, set.flags & wire::set::INTERVAL != 0, name.set))
    }
}

/// Whether a set's keys are addresses of this family and nothing else.
pub(crate) fn holds_addresses(set: &SetSeen, family: Family) -> bool {
    set.key_length == key_length(family) && set.flags & (wire::set::MAP | wire::set::OBJECT | wire::set::CONCAT) == 0
}

/// One dump of an IPv4 interval set, believed or not.
#[cfg(feature = "testing")]
pub(crate) fn glance(
    socket: &mut Socket,
    name: SetName<'_>,
) -> Result<Vec<tagwall_provider::AddressRange>, NetlinkError> {
    let set = SetSeen { flags: wire::set::INTERVAL, ..SetSeen::default() };
    Ok(Reading::new(socket).stored(name, &set, Family::V4)?.ranges)
}
