//! Reads netlink messages.
//!
//! Total: no bytes make it panic, read out of bounds or loop. What is cut off or longer than it may be is
//! [`Malformed`], never a shorter answer: a set that seems to hold less than it does would be written over.

use tagwall_provider::{Family, Traffic};

use super::wire::{self, attr, msg};
use crate::rule::{Cmp, Expr, Rule, RuleSeen, Verdict};

/// The bytes are not what the kernel writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel's answer is not well-formed netlink")]
pub(crate) struct Malformed;

/// One netlink message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// The port of the socket that asked for it, or whose commit it tells of.
    pub(crate) port: u32,
    /// What follows the header.
    pub(crate) payload: &'a [u8],
}

/// The messages of one datagram.
pub(crate) fn messages(bytes: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Malformed>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let message = first_message(rest);
        rest = message.map_or(&[], |(_, after)| after);
        Some(message.map(|(message, _)| message).ok_or(Malformed))
    })
}

fn first_message(bytes: &[u8]) -> Option<(Message<'_>, &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(array(bytes.get(..4)?)?)).ok()?;
    let message = bytes.get(..length)?;
    let parsed = Message {
        kind: u16::from_ne_bytes(array(message.get(4..6)?)?),
        flags: u16::from_ne_bytes(array(message.get(6..8)?)?),
        sequence: u32::from_ne_bytes(array(message.get(8..12)?)?),
        port: u32::from_ne_bytes(array(message.get(12..16)?)?),
        payload: message.get(super::message::HEADER..)?,
    };
    // The padding behind the last message may be left out.
    Some((parsed, bytes.get(length.next_multiple_of(4)..).unwrap_or(&[])))
}

impl<'a> Message<'a> {
    /// The number of the nf_tables message, if it is one.
    pub(crate) const fn table_message(&self) -> Option<u16> {
        if self.kind >> 8 == wire::SUBSYSTEM { Some(self.kind & 0xff) } else { None }
    }

    /// The error number of an error or of an end of a dump: 0 for an acknowledgement.
    pub(crate) fn error(&self) -> Result<i32, Malformed> {
        Ok(i32::from_ne_bytes(self.payload.get(..4).and_then(array).ok_or(Malformed)?).wrapping_neg())
    }

    /// The family of the table, chain or set it is about.
    pub(crate) fn family(&self) -> Result<u8, Malformed> {
        self.payload.first().copied().ok_or(Malformed)
    }

    /// Its attributes.
    pub(crate) fn attributes(&self) -> Result<Attributes<'a>, Malformed> {
        Ok(Attributes(self.payload.get(4..).ok_or(Malformed)?))
    }
}

/// Walks over attributes: their type without its flags, and their bytes.
#[derive(Clone, Debug)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Attributes<'a> {
    fn split(&mut self) -> Option<(u16, &'a [u8])> {
        const TYPE: u16 = 0x3fff;
        let length = usize::from(u16::from_ne_bytes(array(self.0.get(..2)?)?));
        let kind = u16::from_ne_bytes(array(self.0.get(2..4)?)?);
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind & TYPE, value))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let attribute = self.split().ok_or(Malformed);
        if attribute.is_err() {
            self.0 = &[];
        }
        Some(attribute)
    }
}

fn array<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

fn be32(bytes: &[u8]) -> Result<u32, Malformed> {
    array(bytes).map(u32::from_be_bytes).ok_or(Malformed)
}

fn be64(bytes: &[u8]) -> Result<u64, Malformed> {
    array(bytes).map(u64::from_be_bytes).ok_or(Malformed)
}

/// A text with its zero byte. Names that are not UTF-8 can be nobody's but others': they come out altered.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes)).into_owned()
}

/// A comment out of user data: a row of type, length and value. What is not well-formed has none: anybody may
/// have written anything there.
fn comment(mut userdata: &[u8], kind: u8) -> Option<String> {
    while let [found, length, rest @ ..] = userdata {
        let value = rest.get(..usize::from(*length))?;
        if *found == kind {
            return Some(text(value));
        }
        userdata = rest.get(usize::from(*length)..)?;
    }
    None
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TableSeen {
    pub(crate) flags: u32,
    /// How many chains, sets and other objects it holds.
    pub(crate) holds: u32,
}

/// Where a base chain hooks in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HookSeen {
    pub(crate) number: u32,
    pub(crate) priority: i32,
    pub(crate) kind: String,
    pub(crate) drops: bool,
}

/// A chain of any table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChainSeen {
    pub(crate) family: u8,
    pub(crate) table: String,
    pub(crate) name: String,
    pub(crate) hook: Option<HookSeen>,
    pub(crate) comment: Option<String>,
}

/// A set without its elements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SetSeen {
    pub(crate) name: String,
    pub(crate) flags: u32,
    pub(crate) key_type: u32,
    pub(crate) key_length: u32,
    /// The most elements it takes; 0 for no bound.
    pub(crate) size: u32,
    /// Whether elements go by themselves after a while.
    pub(crate) times_out: bool,
    /// Whether elements carry statements (counters, limits).
    pub(crate) has_statements: bool,
    pub(crate) comment: Option<String>,
}

/// One end of an interval, or a single address, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ElementSeen {
    /// The first address, or a single one.
    Start(u128),
    /// The address behind the last.
    End(u128),
    /// What begins at this address goes by itself after a while.
    Expires(u128),
    /// `*`, which every address matches that no other element does.
    CatchAll,
}

/// What a notification is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) family: u8,
    pub(crate) table: String,
    /// The chain or the set; of a rule its chain, of elements their set.
    pub(crate) object: String,
}

/// Where a change of a message of this kind took place. Of what is neither chain, rule, set nor element the
/// object is nothing that can be relied on.
pub(crate) fn place(message: &Message<'_>, kind: u16) -> Result<Place, Malformed> {
    let object = if matches!(kind, msg::NEW_CHAIN | msg::DEL_CHAIN) { attr::CHAIN_NAME } else { attr::SET_NAME };
    let mut place = Place { family: message.family()?, ..Place::default() };
    for attribute in message.attributes()? {
        match attribute? {
            // The name of the table is the first attribute of all of them.
            (attr::TABLE_NAME, value) => place.table = text(value),
            (found, value) if found == object => place.object = text(value),
            _ => {}
        }
    }
    Ok(place)
}

pub(crate) fn generation(message: &Message<'_>) -> Result<u32, Malformed> {
    for attribute in message.attributes()? {
        if let (attr::GENERATION_ID, value) = attribute? {
            return be32(value);
        }
    }
    Err(Malformed)
}

/// Who made a generation, in words: the kernel tells the process by the name that it gave itself, at most 15 bytes, and
/// its id in the first namespace of process ids.
pub(crate) fn committer(message: &Message<'_>) -> Option<String> {
    let (mut name, mut id) = (None, None);
    for attribute in message.attributes().ok()? {
        match attribute.ok()? {
            (attr::GENERATION_PROCESS_NAME, value) => name = Some(text(value)),
            (attr::GENERATION_PROCESS_ID, value) => id = be32(value).ok(),
            _ => {}
        }
    }
    // Anybody may call themselves anything.
    let name = name?.replace(|letter: char| letter.is_control() || letter == '`', "?");
    Some(id.map_or_else(|| format!("`{name}`"), |id| format!("`{name}` (pid {id})")))
}

pub(crate) fn table(message: &Message<'_>) -> Result<TableSeen, Malformed> {
    let mut table = TableSeen::default();
    for attribute in message.attributes()? {
        match attribute? {
            (attr::TABLE_FLAGS, value) => table.flags = be32(value)?,
            (attr::TABLE_USE, value) => table.holds = be32(value)?,
            _ => {}
        }
    }
    Ok(table)
}

pub(crate) fn chain(message: &Message<'_>) -> Result<ChainSeen, Malformed> {
    let mut chain = ChainSeen { family: message.family()?, ..ChainSeen::default() };
    let (mut hook, mut kind, mut drops) = (None, String::new(), false);
    for attribute in message.attributes()? {
        match attribute? {
            (attr::CHAIN_TABLE, value) => chain.table = text(value),
            (attr::CHAIN_NAME, value) => chain.name = text(value),
            (attr::CHAIN_TYPE, value) => kind = text(value),
            (attr::CHAIN_POLICY, value) => drops = be32(value)? == 0,
            (attr::CHAIN_USERDATA, value) => chain.comment = comment(value, wire::userdata::CHAIN_COMMENT),
            (attr::CHAIN_HOOK, value) => {
                let mut seen = HookSeen::default();
                for attribute in Attributes(value) {
                    match attribute? {
                        (attr::HOOK_NUMBER, value) => seen.number = be32(value)?,
                        (attr::HOOK_PRIORITY, value) => seen.priority = be32(value)?.cast_signed(),
                        _ => {}
                    }
                }
                hook = Some(seen);
            }
            _ => {}
        }
    }
    chain.hook = hook.map(|hook| HookSeen { kind, drops, ..hook });
    Ok(chain)
}

pub(crate) fn set(message: &Message<'_>) -> Result<SetSeen, Malformed> {
    let mut set = SetSeen::default();
    for attribute in message.attributes()? {
        match attribute? {
            (attr::SET_NAME, value) => set.name = text(value),
            (attr::SET_FLAGS, value) => set.flags = be32(value)?,
            (attr::SET_KEY_TYPE, value) => set.key_type = be32(value)?,
            (attr::SET_KEY_LENGTH, value) => set.key_length = be32(value)?,
            (attr::SET_TIMEOUT, value) => set.times_out = be64(value)? != 0,
            (attr::SET_USERDATA, value) => set.comment = comment(value, wire::userdata::SET_COMMENT),
            (attr::SET_EXPR | attr::SET_EXPRESSIONS, _) => set.has_statements = true,
            (attr::SET_DESCRIPTION, value) => {
                for attribute in Attributes(value) {
                    if let (attr::DESCRIPTION_SIZE, value) = attribute? {
                        set.size = be32(value)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(set)
}

/// Hands over the elements of one message of a dump. Keys of another length than the family's are malformed.
pub(crate) fn elements(
    message: &Message<'_>,
    family: Family,
    mut each: impl FnMut(ElementSeen),
) -> Result<(), Malformed> {
    keys(message, |ElementFields { key, flags, expires }| {
        if flags & wire::ELEMENT_CATCH_ALL != 0 {
            each(ElementSeen::CatchAll);
            return Ok(());
        }
        let key = key.ok_or(Malformed)?;
        let key = match family {
            Family::V4 => be32(key)?.into(),
            Family::V6 => array(key).map(u128::from_be_bytes).ok_or(Malformed)?,
        };
        if flags & wire::ELEMENT_INTERVAL_END != 0 {
            each(ElementSeen::End(key));
            return Ok(());
        }
        each(ElementSeen::Start(key));
        if expires {
            each(ElementSeen::Expires(key));
        }
        Ok(())
    })
}

/// What is read of an element, whatever its key is of.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ElementFields<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) flags: u32,
    /// It goes by itself after a while.
    expires: bool,
}

/// Hands over each element of one message of a dump.
pub(crate) fn keys(
    message: &Message<'_>,
    mut each: impl FnMut(ElementFields<'_>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    for attribute in message.attributes()? {
        let (attr::ELEMENTS_LIST, list) = attribute? else { continue };
        for element in Attributes(list) {
            let mut fields = ElementFields::default();
            for attribute in Attributes(element?.1) {
                match attribute? {
                    (attr::ELEMENT_FLAGS, value) => fields.flags = be32(value)?,
                    (attr::ELEMENT_TIMEOUT | attr::ELEMENT_EXPIRATION, value) => fields.expires |= be64(value)? != 0,
                    (attr::ELEMENT_KEY, value) => {
                        for attribute in Attributes(value) {
                            if let (attr::DATA_VALUE, value) = attribute? {
                                fields.key = Some(value);
                            }
                        }
                    }
                    _ => {}
                }
            }
            each(fields)?;
        }
    }
    Ok(())
}

pub(crate) fn rule(message: &Message<'_>) -> Result<RuleSeen, Malformed> {
    let mut seen = RuleSeen { rule: Rule { exprs: Vec::new(), comment: None }, traffic: None };
    for attribute in message.attributes()? {
        match attribute? {
            (attr::RULE_USERDATA, value) => seen.rule.comment = comment(value, wire::userdata::RULE_COMMENT),
            (attr::RULE_EXPRESSIONS, list) => {
                for element in Attributes(list) {
                    let (expr, traffic) = expression(element?.1)?;
                    seen.rule.exprs.push(expr);
                    seen.traffic = seen.traffic.or(traffic);
                }
            }
            _ => {}
        }
    }
    Ok(seen)
}

/// One expression. Anything that this crate would not write itself comes out as [`Expr::Other`]: it only has to
/// differ from what should stand there.
fn expression(bytes: &[u8]) -> Result<(Expr, Option<Traffic>), Malformed> {
    let (mut name, mut data) = (String::new(), &[][..]);
    for attribute in Attributes(bytes) {
        match attribute? {
            (attr::EXPR_NAME, value) => name = text(value),
            (attr::EXPR_DATA, value) => data = value,
            _ => {}
        }
    }
    let fields = Attributes(data).collect::<Result<Vec<_>, _>>()?;
    let other = || Expr::Other(name.clone());
    let lacks = |kind: u16| fields.iter().all(|field| field.0 != kind);
    let number = |kind: u16| fields.iter().find(|field| field.0 == kind).and_then(|field| be32(field.1).ok());
    let nested = |kind: u16| fields.iter().find(|field| field.0 == kind).map(|field| Attributes(field.1));
    let value = |kind: u16| nested(kind)?.flatten().find(|field| field.0 == attr::DATA_VALUE).map(|field| field.1);
    // All expressions of ours load into and compare register 1; attribute 1 or 2 names it.
    let expr = match name.as_str() {
        "counter" => {
            let count = |kind: u16| fields.iter().find(|field| field.0 == kind).map_or(Ok(0), |field| be64(field.1));
            return Ok((Expr::Counter, Some(Traffic { bytes: count(1)?, packets: count(2)? })));
        }
        "meta" if number(1) == Some(1) && lacks(3) => number(2).map(Expr::Meta),
        "ct" if number(1) == Some(1) && lacks(3) && lacks(4) => number(2).map(Expr::Conntrack),
        "fib" if number(1) == Some(1) => number(2).zip(number(3)).map(|(result, flags)| Expr::Fib { result, flags }),
        "payload" if number(1) == Some(1) && lacks(5) => match (number(2), number(3), number(4)) {
            (Some(base), Some(offset), Some(length)) => Some(Expr::Payload { base, offset, length }),
            _ => None,
        },
        "bitwise" if number(1) == Some(1) && number(2) == Some(1) && number(6).unwrap_or(0) == 0 => {
            value(4).zip(value(5)).map(|(mask, xor)| Expr::Bitwise { mask: mask.into(), xor: xor.into() })
        }
        "cmp" if number(1) == Some(1) => match (number(2), value(3)) {
            (Some(0), Some(data)) => Some(Expr::Cmp(Cmp::Equal, data.into())),
            (Some(1), Some(data)) => Some(Expr::Cmp(Cmp::NotEqual, data.into())),
            _ => None,
        },
        "lookup" if number(2) == Some(1) && lacks(3) && number(5).unwrap_or(0) == 0 => {
            fields.iter().find(|field| field.0 == 1).map(|field| Expr::Lookup(text(field.1)))
        }
        // A map from keys to verdicts or values: with a register to put them in.
        "lookup" if !lacks(3) => Some(Expr::Other("map".to_owned())),
        "match" if fields.contains(&(1, b"conntrack\0")) && number(2) == Some(3) => {
            fields.iter().find(|field| field.0 == 3).and_then(|field| states(field.1)).map(Expr::States)
        }
        // How iptables rejects.
        "target" if fields.contains(&(1, b"REJECT\0")) => Some(Expr::Other("reject".to_owned())),
        "immediate" if number(1) != Some(0) => Some(Expr::Other("value".to_owned())),
        "immediate" => nested(2).and_then(verdict).map(Expr::Verdict),
        _ => None,
    };
    Ok((expr.unwrap_or_else(other), None))
}

/// The states that a match of iptables asks for, where it asks for nothing else: `xt_conntrack_mtinfo3` of
/// `linux/netfilter/xt_conntrack.h`.
fn states(info: &[u8]) -> Option<u32> {
    const STATE: u16 = 1;
    const STATE_ALIAS: u16 = 1 << 13;
    let number = |at: usize| array(info.get(at..at + 2)?).map(u16::from_ne_bytes);
    let (flags, inverted, states) = (number(146)?, number(148)?, number(150)?);
    (flags & !STATE_ALIAS == STATE && inverted == 0).then_some(states.into())
}

fn verdict(mut data: Attributes<'_>) -> Option<Verdict> {
    let verdict = data.find_map(|field| field.ok().filter(|field| field.0 == attr::DATA_VERDICT))?;
    let (mut code, mut chain) = (None, None);
    for (kind, value) in Attributes(verdict.1).flatten() {
        match kind {
            attr::VERDICT_CODE => code = be32(value).ok(),
            attr::VERDICT_CHAIN => chain = Some(text(value)),
            _ => {}
        }
    }
    match (code?, chain) {
        (Verdict::DROP, None) => Some(Verdict::Drop),
        (Verdict::ACCEPT, None) => Some(Verdict::Accept),
        (Verdict::JUMP, Some(chain)) => Some(Verdict::Jump(chain)),
        (Verdict::GOTO, Some(chain)) => Some(Verdict::Goto(chain)),
        (Verdict::RETURN, None) => Some(Verdict::Return),
        _ => None,
    }
}
