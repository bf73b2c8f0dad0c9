//! Numbers of the kernel's interface, from `linux/netlink.h`, `linux/netfilter/nfnetlink.h` and
//! `linux/netfilter/nf_tables.h`: fixed for ever, and those that the `libc` crate has are not always of the type
//! that stands on the wire.

/// `NFNL_SUBSYS_NFTABLES`: the high byte of every message type below.
pub(crate) const SUBSYSTEM: u16 = 10;

pub(crate) const BATCH_BEGIN: u16 = 0x10;
pub(crate) const BATCH_END: u16 = 0x11;
/// `NFNL_BATCH_GENID`
pub(crate) const BATCH_GENERATION: u16 = 1;

pub(crate) const NLMSG_ERROR: u16 = 2;
pub(crate) const NLMSG_DONE: u16 = 3;

pub(crate) const REQUEST: u16 = 0x1;
pub(crate) const MULTI: u16 = 0x2;
pub(crate) const ACK: u16 = 0x4;
pub(crate) const DUMP_INTERRUPTED: u16 = 0x10;
/// `NLM_F_ROOT | NLM_F_MATCH`
pub(crate) const DUMP: u16 = 0x300;
pub(crate) const EXCLUSIVE: u16 = 0x200;
pub(crate) const CREATE: u16 = 0x400;
pub(crate) const APPEND: u16 = 0x800;

/// `NFT_MSG_*`
pub(crate) mod msg {
    pub(crate) const NEW_TABLE: u16 = 0;
    pub(crate) const GET_TABLE: u16 = 1;
    pub(crate) const DEL_TABLE: u16 = 2;
    pub(crate) const NEW_CHAIN: u16 = 3;
    pub(crate) const GET_CHAIN: u16 = 4;
    pub(crate) const DEL_CHAIN: u16 = 5;
    pub(crate) const NEW_RULE: u16 = 6;
    pub(crate) const GET_RULE: u16 = 7;
    pub(crate) const DEL_RULE: u16 = 8;
    pub(crate) const NEW_SET: u16 = 9;
    pub(crate) const GET_SET: u16 = 10;
    pub(crate) const DEL_SET: u16 = 11;
    pub(crate) const NEW_ELEMENT: u16 = 12;
    pub(crate) const GET_ELEMENT: u16 = 13;
    pub(crate) const DEL_ELEMENT: u16 = 14;
    pub(crate) const NEW_GENERATION: u16 = 15;
    pub(crate) const GET_GENERATION: u16 = 16;
}

/// `NFPROTO_*`
pub(crate) mod family {
    pub(crate) const UNSPECIFIED: u8 = 0;
    pub(crate) const INET: u8 = 1;
    pub(crate) const IP: u8 = 2;
    pub(crate) const IP6: u8 = 10;
}

/// `NFTA_*`, without what each list has in common with the others: `NFTA_LIST_ELEM`.
pub(crate) mod attr {
    pub(crate) const LIST_ELEMENT: u16 = 1;

    pub(crate) const GENERATION_ID: u16 = 1;
    pub(crate) const GENERATION_PROCESS_ID: u16 = 2;
    pub(crate) const GENERATION_PROCESS_NAME: u16 = 3;

    pub(crate) const TABLE_NAME: u16 = 1;
    pub(crate) const TABLE_FLAGS: u16 = 2;
    pub(crate) const TABLE_USE: u16 = 3;
    pub(crate) const TABLE_USERDATA: u16 = 6;

    pub(crate) const CHAIN_TABLE: u16 = 1;
    pub(crate) const CHAIN_NAME: u16 = 3;
    pub(crate) const CHAIN_HOOK: u16 = 4;
    pub(crate) const CHAIN_POLICY: u16 = 5;
    pub(crate) const CHAIN_TYPE: u16 = 7;
    pub(crate) const CHAIN_USERDATA: u16 = 12;
    pub(crate) const HOOK_NUMBER: u16 = 1;
    pub(crate) const HOOK_PRIORITY: u16 = 2;

    pub(crate) const RULE_TABLE: u16 = 1;
    pub(crate) const RULE_CHAIN: u16 = 2;
    pub(crate) const RULE_EXPRESSIONS: u16 = 4;
    pub(crate) const RULE_USERDATA: u16 = 7;

    pub(crate) const EXPR_NAME: u16 = 1;
    pub(crate) const EXPR_DATA: u16 = 2;
    /// Registers: the loading expressions have `*_DREG` at 1 or 2, see `parse.rs`.
    pub(crate) const DATA_VALUE: u16 = 1;
    pub(crate) const DATA_VERDICT: u16 = 2;
    pub(crate) const VERDICT_CODE: u16 = 1;
    pub(crate) const VERDICT_CHAIN: u16 = 2;

    pub(crate) const SET_TABLE: u16 = 1;
    pub(crate) const SET_NAME: u16 = 2;
    pub(crate) const SET_FLAGS: u16 = 3;
    pub(crate) const SET_KEY_TYPE: u16 = 4;
    pub(crate) const SET_KEY_LENGTH: u16 = 5;
    pub(crate) const SET_DESCRIPTION: u16 = 9;
    pub(crate) const SET_ID: u16 = 10;
    pub(crate) const SET_TIMEOUT: u16 = 11;
    pub(crate) const SET_USERDATA: u16 = 13;
    pub(crate) const SET_EXPR: u16 = 17;
    pub(crate) const SET_EXPRESSIONS: u16 = 18;
    pub(crate) const DESCRIPTION_SIZE: u16 = 1;

    pub(crate) const ELEMENTS_TABLE: u16 = 1;
    pub(crate) const ELEMENTS_SET: u16 = 2;
    pub(crate) const ELEMENTS_LIST: u16 = 3;
    pub(crate) const ELEMENT_KEY: u16 = 1;
    pub(crate) const ELEMENT_FLAGS: u16 = 3;
    pub(crate) const ELEMENT_TIMEOUT: u16 = 4;
    pub(crate) const ELEMENT_EXPIRATION: u16 = 5;
}

/// `NF_INET_PRE_ROUTING`, `NF_INET_LOCAL_IN`
pub(crate) const HOOK_PREROUTING: u32 = 0;
pub(crate) const HOOK_INPUT: u32 = 1;

/// `NFT_TABLE_F_*`
pub(crate) const TABLE_DORMANT: u32 = 1;
pub(crate) const TABLE_OWNED: u32 = 2;

/// `NFT_SET_*`
pub(crate) mod set {
    pub(crate) const CONSTANT: u32 = 0x2;
    pub(crate) const INTERVAL: u32 = 0x4;
    pub(crate) const MAP: u32 = 0x8;
    pub(crate) const TIMEOUT: u32 = 0x10;
    pub(crate) const DYNAMIC: u32 = 0x20;
    pub(crate) const OBJECT: u32 = 0x40;
    pub(crate) const CONCAT: u32 = 0x80;
}

/// `NFT_SET_ELEM_*`
pub(crate) const ELEMENT_INTERVAL_END: u32 = 1;
pub(crate) const ELEMENT_CATCH_ALL: u32 = 2;

/// Types of comments in user data: libnftnl's `nftnl_udata_*_types`. The kernel keeps user data as it is.
pub(crate) mod userdata {
    pub(crate) const TABLE_COMMENT: u8 = 0;
    pub(crate) const CHAIN_COMMENT: u8 = 0;
    pub(crate) const RULE_COMMENT: u8 = 0;
    pub(crate) const SET_KEY_BYTE_ORDER: u8 = 0;
    pub(crate) const SET_COMMENT: u8 = 7;
    /// nft's own number for network byte order.
    pub(crate) const BIG_ENDIAN: u32 = 2;
}
