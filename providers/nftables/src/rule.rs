//! Rules as data: what stands in a chain, compared by equality, counters left out.

use tagwall_provider::Traffic;

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) exprs: Vec<Expr>,
    pub(crate) comment: Option<String>,
}

/// A rule as the kernel has it. Equal where the rule is: its counter counts on between two reads.
#[derive(Clone, Debug)]
pub(crate) struct RuleSeen {
    pub(crate) rule: Rule,
    /// What its counter counted, where it has one.
    pub(crate) traffic: Option<Traffic>,
}

impl PartialEq for RuleSeen {
    fn eq(&self, other: &Self) -> bool {
        self.rule == other.rule
    }
}

impl Eq for RuleSeen {}

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
    /// Ends the rule unless the connection is in one of these states, as iptables asks: the bits of `ct state`.
    States(u32),
    /// Counts.
    Counter,
    /// Decides.
    Verdict(Verdict),
    /// Anything else, by its name: what this crate neither writes nor understands.
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
    /// Goes on in that chain, and behind this rule where that chain ends.
    Jump(String),
    /// Goes on in that chain, and behind the last jump where that chain ends.
    Goto(String),
    /// Goes on behind the last jump; without one the policy decides.
    Return,
}

impl Verdict {
    pub(crate) const DROP: u32 = 0;
    pub(crate) const ACCEPT: u32 = 1;
    pub(crate) const JUMP: u32 = (-3i32).cast_unsigned();
    pub(crate) const GOTO: u32 = (-4i32).cast_unsigned();
    pub(crate) const RETURN: u32 = (-5i32).cast_unsigned();

    /// Its number, and the chain that it names.
    pub(crate) fn code(&self) -> (u32, Option<&str>) {
        match self {
            Self::Drop => (Self::DROP, None),
            Self::Accept => (Self::ACCEPT, None),
            Self::Jump(chain) => (Self::JUMP, Some(chain)),
            Self::Goto(chain) => (Self::GOTO, Some(chain)),
            Self::Return => (Self::RETURN, None),
        }
    }
}

impl Expr {
    pub(crate) const IIF: Self = Self::Meta(4);
    pub(crate) const NFPROTO: Self = Self::Meta(15);
    pub(crate) const L4PROTO: Self = Self::Meta(16);
    pub(crate) const IIFNAME: Self = Self::Meta(6);
    pub(crate) const CT_STATE: Self = Self::Conntrack(0);
    pub(crate) const CT_STATUS: Self = Self::Conntrack(2);
    /// The type of the destination address: `NFT_FIB_RESULT_ADDRTYPE` of `NFTA_FIB_F_DADDR`.
    pub(crate) const DESTINATION_TYPE: Self = Self::Fib { result: 3, flags: 2 };
    pub(crate) const DESTINATION_PORT: Self = Self::Payload { base: 2, offset: 2, length: 2 };
    pub(crate) const SOURCE_V4: Self = Self::Payload { base: 1, offset: 12, length: 4 };
    pub(crate) const SOURCE_V6: Self = Self::Payload { base: 1, offset: 8, length: 16 };

    pub(crate) fn equals(value: &[u8]) -> Self {
        Self::Cmp(Cmp::Equal, value.into())
    }
}
