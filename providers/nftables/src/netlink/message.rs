//! Writes netlink messages: attributes, single requests, and whole transactions.

use std::net::IpAddr;

use tagwall_provider::{AddressRange, Family};

use super::wire::{self, attr, msg};

/// Bytes of a netlink message header; the four of `nfgenmsg` follow it.
pub(crate) const HEADER: usize = 16;

/// An attribute's length has 16 bits. One interval takes at most 104 bytes, so a list closed here never passes it.
const LIST_LIMIT: usize = 65_000;

/// A buffer of netlink messages.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

/// Where an open message or attribute began.
#[must_use]
pub(crate) struct Open(usize);

impl Writer {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Begins a message with a full message type; `resource` is the `res_id` of `nfgenmsg`.
    fn begin_raw(&mut self, kind: u16, flags: u16, sequence: u32, family: u8, resource: u16) -> Open {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | wire::REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.bytes.extend_from_slice(&[family, 0]);
        self.bytes.extend_from_slice(&resource.to_be_bytes());
        Open(at)
    }

    /// Begins a message of nf_tables.
    pub(crate) fn begin(&mut self, kind: u16, flags: u16, sequence: u32, family: u8) -> Open {
        self.begin_raw(wire::SUBSYSTEM << 8 | kind, flags, sequence, family, 0)
    }

    /// Ends a message: writes its length.
    pub(crate) fn end(&mut self, message: &Open) {
        let length = u32::try_from(self.bytes.len() - message.0).unwrap_or(u32::MAX);
        self.bytes[message.0..message.0 + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Begins an attribute that holds others.
    pub(crate) fn nest(&mut self, kind: u16) -> Open {
        const NESTED: u16 = 0x8000;
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        Open(at)
    }

    /// Ends an attribute that holds others: writes its length.
    pub(crate) fn close(&mut self, nest: &Open) {
        let length = u16::try_from(self.bytes.len() - nest.0).unwrap_or(u16::MAX);
        self.bytes[nest.0..nest.0 + 2].copy_from_slice(&length.to_ne_bytes());
    }

    /// An attribute with plain bytes, padded to four.
    pub(crate) fn put(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }

    /// An attribute with a number in network byte order, as nf_tables has nearly all of them.
    pub(crate) fn put_u32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_be_bytes());
    }

    /// One key of a set, to be asked for.
    pub(crate) fn put_key(&mut self, set: SetName<'_>, address: IpAddr) {
        self.put_text(attr::ELEMENTS_TABLE, set.table);
        self.put_text(attr::ELEMENTS_SET, set.set);
        let list = self.nest(attr::ELEMENTS_LIST);
        match address {
            IpAddr::V4(address) => write_element(self, &address.octets(), 0),
            IpAddr::V6(address) => write_element(self, &address.octets(), 0),
        }
        self.close(&list);
    }

    /// An attribute with a text that ends in a zero byte.
    pub(crate) fn put_text(&mut self, kind: u16, value: &str) {
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
        self.put(kind, &bytes);
    }
}

/// User data of one comment, in the layout that libnftnl and nft share: type, length, text with its zero byte.
pub(crate) fn comment(kind: u8, text: &str) -> Vec<u8> {
    let mut bytes = vec![kind, u8::try_from(text.len() + 1).unwrap_or(u8::MAX)];
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
    bytes
}

/// A set by name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetName<'a> {
    /// The table's `NFPROTO_*`.
    pub(crate) family: u8,
    pub(crate) table: &'a str,
    pub(crate) set: &'a str,
}

/// One transaction: every message between a BEGIN and an END, to be sent as one.
///
/// Only its last message asks to be acknowledged: acknowledgements of single messages prove no commit (the kernel
/// sends them for a transaction that it then rolls back), and thousands of them would overflow the receiver.
#[derive(Debug)]
pub(crate) struct Batch {
    writer: Writer,
    first: u32,
    next: u32,
    last_message: usize,
}

impl Batch {
    /// Begins a transaction whose messages count on from `sequence`. With a generation id the kernel refuses it
    /// (ERESTART) once anything of this network namespace has been committed since.
    pub(crate) fn new(sequence: u32, generation: Option<u32>) -> Self {
        let mut writer = Writer::default();
        let begin = writer.begin_raw(wire::BATCH_BEGIN, 0, sequence, wire::family::UNSPECIFIED, wire::SUBSYSTEM);
        if let Some(generation) = generation {
            writer.put_u32(wire::BATCH_GENERATION, generation);
        }
        writer.end(&begin);
        Self { writer, first: sequence, next: sequence.wrapping_add(1), last_message: 0 }
    }

    /// The number of the BEGIN, which a failed commit is reported on.
    pub(crate) fn first(&self) -> u32 {
        self.first
    }

    /// The number of the last message so far.
    pub(crate) fn last(&self) -> u32 {
        self.next.wrapping_sub(1)
    }

    /// Whether it holds any message yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.last_message == 0
    }

    fn number(&mut self) -> u32 {
        self.last_message = self.writer.bytes.len();
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        number
    }

    /// Adds a message made of attributes.
    pub(crate) fn message(&mut self, kind: u16, flags: u16, family: u8, fill: impl FnOnce(&mut Writer)) {
        let number = self.number();
        let open = self.writer.begin(kind, flags, number, family);
        fill(&mut self.writer);
        self.writer.end(&open);
    }

    /// Adds a message that libnftnl wrote, and attributes that its Rust wrapper cannot write. Its flags are set
    /// here: the wrapper asks for an acknowledgement of each.
    pub(crate) fn object(&mut self, message: &[u8], flags: u16, fill: impl FnOnce(&mut Writer)) {
        let number = self.number();
        let open = Open(self.writer.bytes.len());
        self.writer.bytes.extend_from_slice(message);
        let header = &mut self.writer.bytes[open.0..open.0 + HEADER];
        header[6..8].copy_from_slice(&(flags | wire::REQUEST).to_ne_bytes());
        header[8..12].copy_from_slice(&number.to_ne_bytes());
        fill(&mut self.writer);
        self.writer.end(&open);
    }

    /// Adds or removes intervals, each exactly as it is.
    ///
    /// An interval is its first address and, flagged as an end, the one behind its last; none where the last is
    /// the highest there is. Both always go in one message: the kernel takes the removal of a start alone and
    /// leaves its end dangling.
    pub(crate) fn intervals(&mut self, kind: u16, set: SetName<'_>, ranges: impl Iterator<Item = AddressRange>) {
        let flags = if kind == msg::NEW_ELEMENT { wire::CREATE | wire::EXCLUSIVE } else { 0 };
        let mut ranges = ranges.peekable();
        while ranges.peek().is_some() {
            self.message(kind, flags, set.family, |writer| {
                writer.put_text(attr::ELEMENTS_TABLE, set.table);
                writer.put_text(attr::ELEMENTS_SET, set.set);
                let list = writer.nest(attr::ELEMENTS_LIST);
                for range in ranges.by_ref() {
                    write_interval(writer, range);
                    if writer.bytes.len() - list.0 > LIST_LIMIT {
                        break;
                    }
                }
                writer.close(&list);
            });
        }
    }

    /// Removes every element of a set.
    pub(crate) fn flush(&mut self, set: SetName<'_>) {
        self.message(msg::DEL_ELEMENT, 0, set.family, |writer| {
            writer.put_text(attr::ELEMENTS_TABLE, set.table);
            writer.put_text(attr::ELEMENTS_SET, set.set);
        });
    }

    /// Adds an interval set of addresses with a comment.
    pub(crate) fn new_set(&mut self, set: SetName<'_>, family: Family, text: &str) {
        let number = self.next;
        self.message(msg::NEW_SET, wire::CREATE | wire::EXCLUSIVE, set.family, |writer| {
            writer.put_text(attr::SET_TABLE, set.table);
            writer.put_text(attr::SET_NAME, set.set);
            writer.put_u32(attr::SET_FLAGS, wire::set::INTERVAL);
            writer.put_u32(attr::SET_KEY_TYPE, key_type(family));
            writer.put_u32(attr::SET_KEY_LENGTH, key_length(family));
            // The kernel asks for an id that is the set's alone within the transaction.
            writer.put_u32(attr::SET_ID, number);
            let mut userdata = vec![wire::userdata::SET_KEY_BYTE_ORDER, 4];
            userdata.extend_from_slice(&wire::userdata::BIG_ENDIAN.to_ne_bytes());
            userdata.extend(comment(wire::userdata::SET_COMMENT, text));
            writer.put(attr::SET_USERDATA, &userdata);
        });
    }

    /// Ends the transaction and hands out its bytes.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let flags = self.last_message + 6..self.last_message + 8;
        let with_ack =
            u16::from_ne_bytes([self.writer.bytes[flags.start], self.writer.bytes[flags.start + 1]]) | wire::ACK;
        self.writer.bytes[flags].copy_from_slice(&with_ack.to_ne_bytes());
        let family = wire::family::UNSPECIFIED;
        let end = self.writer.begin_raw(wire::BATCH_END, 0, self.next, family, wire::SUBSYSTEM);
        self.writer.end(&end);
        self.writer.bytes
    }
}

/// nft's number for the type of a set's keys: `ipv4_addr`, `ipv6_addr`.
pub(crate) const fn key_type(family: Family) -> u32 {
    match family {
        Family::V4 => 7,
        Family::V6 => 8,
    }
}

/// Bytes of an address.
pub(crate) const fn key_length(family: Family) -> u32 {
    match family {
        Family::V4 => 4,
        Family::V6 => 16,
    }
}

fn write_interval(writer: &mut Writer, range: AddressRange) {
    match (range.first(), range.last()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            write_element(writer, &first.octets(), 0);
            if let Some(end) = u32::from(last).checked_add(1) {
                write_element(writer, &end.to_be_bytes(), wire::ELEMENT_INTERVAL_END);
            }
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            write_element(writer, &first.octets(), 0);
            if let Some(end) = u128::from(last).checked_add(1) {
                write_element(writer, &end.to_be_bytes(), wire::ELEMENT_INTERVAL_END);
            }
        }
        _ => unreachable!("a range is of one family"),
    }
}

fn write_element(writer: &mut Writer, key: &[u8], flags: u32) {
    let element = writer.nest(attr::LIST_ELEMENT);
    if flags != 0 {
        writer.put_u32(attr::ELEMENT_FLAGS, flags);
    }
    let nest = writer.nest(attr::ELEMENT_KEY);
    writer.put(attr::DATA_VALUE, key);
    writer.close(&nest);
    writer.close(&element);
}

/// One request outside a transaction.
pub(crate) fn request(kind: u16, flags: u16, sequence: u32, family: u8, fill: impl FnOnce(&mut Writer)) -> Writer {
    let mut writer = Writer::default();
    let open = writer.begin(kind, flags, sequence, family);
    fill(&mut writer);
    writer.end(&open);
    writer
}
