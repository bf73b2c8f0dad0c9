//! Rules as data: what stands in a chain, compared by equality, counters left out.

use std::fmt;

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) exprs: Vec<Expr>,
    pub(crate) comment: Option<String>,
}

/// A rule as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleSeen {
    pub(crate) rule: Rule,
    /// What its counter counted, where it has one.
    pub(crate) traffic: Option<Traffic>,
}

/// What a counter counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes, headers of the network layer included.
    pub bytes: u64,
}

/// An expression, in the kernel's terms. All of them work on register 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expr {
    /// Loads what the kernel knows about the packet: `NFT_META_*`.
    Meta(u32),
    /// Loads what connection tracking knows: `NFT_CT_*`.
    Conntrack(u32),
    /// Loads what the routing tables know: `NFT_FIB_RESULT_*`, `NFTA_FIB_F_*`.
    Fib { result: u32, flags: u32 },
    /// Loads bytes of the packet: `NFT_PAYLOAD_*`.
    Payload { base: u32, offset: u32, length: u32 },
    /// Masks the register.
    Bitwise { mask: Box<[u8]>, xor: Box<[u8]> },
    /// Ends the rule unless the comparison holds.
    Cmp(Cmp, Box<[u8]>),
    /// Ends the rule unless the register is in the set of this name.
    Lookup(String),
    /// Counts.
    Counter,
    /// Decides.
    Verdict(Verdict),
    /// Anything else, by its name.
    Other(String),
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cmp {
    Equal,
    NotEqual,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Drop,
    Goto(String),
}

impl Verdict {
    pub(crate) const DROP: u32 = 0;
    pub(crate) const ACCEPT: u32 = 1;
    pub(crate) const GOTO: u32 = (-4i32).cast_unsigned();
}

impl Expr {
    pub(crate) const IIF: Self = Self::Meta(4);
    pub(crate) const NFPROTO: Self = Self::Meta(15);
    pub(crate) const L4PROTO: Self = Self::Meta(16);
    pub(crate) const CT_STATE: Self = Self::Conntrack(0);
    /// The type of the destination address: `NFT_FIB_RESULT_ADDRTYPE` of `NFTA_FIB_F_DADDR`.
    pub(crate) const DESTINATION_TYPE: Self = Self::Fib { result: 3, flags: 2 };
    pub(crate) const DESTINATION_PORT: Self = Self::Payload { base: 2, offset: 2, length: 2 };
    pub(crate) const SOURCE_V4: Self = Self::Payload { base: 1, offset: 12, length: 4 };
    pub(crate) const SOURCE_V6: Self = Self::Payload { base: 1, offset: 8, length: 16 };

    pub(crate) fn equals(value: &[u8]) -> Self {
        Self::Cmp(Cmp::Equal, value.into())
    }
}

impl fmt::Display for Rule {
    /// Near enough to what nft would print to be recognised.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, expr) in self.exprs.iter().enumerate() {
            write!(f, "{}{expr}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |f: &mut fmt::Formatter<'_>, bytes: &[u8]| {
            f.write_str("0x")?;
            bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        };
        match self {
            Self::Meta(4) => f.write_str("iif"),
            Self::Meta(15) => f.write_str("meta nfproto"),
            Self::Meta(16) => f.write_str("meta l4proto"),
            Self::Meta(key) => write!(f, "meta {key}"),
            Self::Conntrack(0) => f.write_str("ct state"),
            Self::Conntrack(key) => write!(f, "ct {key}"),
            Self::Fib { result, flags } => write!(f, "fib {result}/{flags}"),
            Self::Payload { base: 2, offset: 2, length: 2 } => f.write_str("dport"),
            Self::Payload { base: 1, offset: 12, length: 4 } => f.write_str("ip saddr"),
            Self::Payload { base: 1, offset: 8, length: 16 } => f.write_str("ip6 saddr"),
            Self::Payload { base, offset, length } => write!(f, "@{base},{offset},{length}"),
            Self::Bitwise { mask, .. } => {
                f.write_str("& ")?;
                hex(f, mask)
            }
            // Ports and the like are two bytes in network order: those are read by people.
            Self::Cmp(Cmp::Equal, value) if value.len() == 2 => {
                write!(f, "{}", u16::from_be_bytes([value[0], value[1]]))
            }
            Self::Cmp(cmp, value) => {
                f.write_str(if *cmp == Cmp::Equal { "" } else { "!= " })?;
                hex(f, value)
            }
            Self::Lookup(set) => write!(f, "@{set}"),
            Self::Counter => f.write_str("counter"),
            Self::Verdict(Verdict::Accept) => f.write_str("accept"),
            Self::Verdict(Verdict::Drop) => f.write_str("drop"),
            Self::Verdict(Verdict::Goto(chain)) => write!(f, "goto {chain}"),
            Self::Other(name) => f.write_str(name),
        }
    }
}
