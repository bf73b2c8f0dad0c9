//! The one module with `unsafe`: libnftnl's table, chain and rule objects, and one socket option.
//!
//! `nftnl` allocates, owns and frees the objects. Below it are used: its `NlMsg::write`, since its own batch
//! cannot carry a generation id and is sent in pieces, and the expression calls of `nftnl_sys`, since the wrapper
//! has no fib and no lookup in a set that it did not make itself. Comments of tables and chains are attributes
//! that the wrapper lacks; they are appended to what it wrote.
#![expect(unsafe_code, reason = "libnftnl and setsockopt have no safe interface for what is needed here")]

use std::ffi::{CString, c_void};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use nftnl::expr::Expression;
use nftnl::nftnl_sys as sys;
use nftnl::{Chain, ChainType, Hook, MsgType, NlMsg, Policy, ProtoFamily, Table};
use nix::errno::Errno;
use nix::libc;

use crate::netlink::message::{Batch, comment};
use crate::netlink::wire::{self, attr};
use crate::rule::{Cmp, Expr, Rule};
use crate::skeleton::BaseChain;

/// A text as C has it. Names come out of [`crate::settings`], which lets no zero byte through; one that has it is
/// cut there.
fn c_text(text: &str) -> CString {
    let until = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..until]).unwrap_or_default()
}

fn inet(name: &str) -> Table {
    Table::new(c_text(name), ProtoFamily::Inet)
}

/// The bytes of the message that creates an object.
fn written(object: &impl NlMsg) -> Vec<u8> {
    // Words, not bytes: the library writes 32-bit fields and expects their alignment.
    let words = usize::try_from(nftnl::nft_nlmsg_maxsize()).unwrap_or(usize::MAX).div_ceil(4);
    let mut buffer = vec![0u32; words];
    // SAFETY: the buffer has `nft_nlmsg_maxsize` bytes, which is what `write` asks for, and is aligned for them.
    unsafe { object.write(buffer.as_mut_ptr().cast::<c_void>(), 0, MsgType::Add) };
    let length = usize::try_from(buffer[0]).unwrap_or(usize::MAX).div_ceil(4).min(words);
    buffer[..length].iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Creates the table with a comment; one that is there is woken up, should it be dormant.
pub(crate) fn new_table(batch: &mut Batch, name: &str, text: &str) {
    batch.object(&written(&inet(name)), wire::CREATE, |writer| {
        writer.put(attr::TABLE_USERDATA, &comment(wire::userdata::TABLE_COMMENT, text));
    });
}

/// Creates a chain with a comment, or sets the policy of a base chain that is there.
pub(crate) fn new_chain(batch: &mut Batch, table: &str, name: &str, base: Option<BaseChain>, text: &str) {
    let table = inet(table);
    let mut chain = Chain::new(c_text(name), &table);
    if let Some(base) = base {
        chain.set_hook(if base.hook == wire::HOOK_PREROUTING { Hook::PreRouting } else { Hook::In }, base.priority);
        chain.set_type(ChainType::Filter);
        chain.set_policy(Policy::Accept);
    }
    batch.object(&written(&chain), wire::CREATE, |writer| {
        writer.put(attr::CHAIN_USERDATA, &comment(wire::userdata::CHAIN_COMMENT, text));
    });
}

/// Appends a rule to a chain.
pub(crate) fn new_rule(batch: &mut Batch, table: &str, chain: &str, rule: &Rule) {
    let table = inet(table);
    let chain = Chain::new(c_text(chain), &table);
    let mut object = nftnl::Rule::new(&chain);
    for expr in &rule.exprs {
        object.add_expr(expr);
    }
    batch.object(&written(&object), wire::CREATE | wire::APPEND, |writer| {
        if let Some(text) = &rule.comment {
            writer.put(attr::RULE_USERDATA, &comment(wire::userdata::RULE_COMMENT, text));
        }
    });
}

/// An attribute of an expression.
enum Field<'a> {
    Number(u32, u32),
    Bytes(u32, &'a [u8]),
    Text(u32, &'a str),
}

impl Expression for Expr {
    fn to_expr(&self, _rule: &nftnl::Rule<'_>) -> NonNull<sys::nftnl_expr> {
        use Field::{Bytes, Number, Text};
        let register = 1;
        match self {
            Self::Meta(key) => expression(
                "meta",
                &[Number(sys::NFTNL_EXPR_META_DREG, register), Number(sys::NFTNL_EXPR_META_KEY, *key)],
            ),
            Self::Conntrack(key) => {
                expression("ct", &[Number(sys::NFTNL_EXPR_CT_DREG, register), Number(sys::NFTNL_EXPR_CT_KEY, *key)])
            }
            Self::Fib { result, flags } => expression(
                "fib",
                &[
                    Number(sys::NFTNL_EXPR_FIB_DREG, register),
                    Number(sys::NFTNL_EXPR_FIB_RESULT, *result),
                    Number(sys::NFTNL_EXPR_FIB_FLAGS, *flags),
                ],
            ),
            Self::Payload { base, offset, length } => expression(
                "payload",
                &[
                    Number(sys::NFTNL_EXPR_PAYLOAD_DREG, register),
                    Number(sys::NFTNL_EXPR_PAYLOAD_BASE, *base),
                    Number(sys::NFTNL_EXPR_PAYLOAD_OFFSET, *offset),
                    Number(sys::NFTNL_EXPR_PAYLOAD_LEN, *length),
                ],
            ),
            Self::Bitwise { mask, xor } => expression(
                "bitwise",
                &[
                    Number(sys::NFTNL_EXPR_BITWISE_SREG, register),
                    Number(sys::NFTNL_EXPR_BITWISE_DREG, register),
                    Number(sys::NFTNL_EXPR_BITWISE_LEN, u32::try_from(mask.len()).unwrap_or(0)),
                    Bytes(sys::NFTNL_EXPR_BITWISE_MASK, mask),
                    Bytes(sys::NFTNL_EXPR_BITWISE_XOR, xor),
                ],
            ),
            Self::Cmp(cmp, value) => expression(
                "cmp",
                &[
                    Number(sys::NFTNL_EXPR_CMP_SREG, register),
                    Number(sys::NFTNL_EXPR_CMP_OP, u32::from(*cmp == Cmp::NotEqual)),
                    Bytes(sys::NFTNL_EXPR_CMP_DATA, value),
                ],
            ),
            Self::Lookup(set) => expression(
                "lookup",
                &[Number(sys::NFTNL_EXPR_LOOKUP_SREG, register), Text(sys::NFTNL_EXPR_LOOKUP_SET, set)],
            ),
            Self::Counter => expression("counter", &[]),
            Self::Verdict(verdict) => {
                let (code, chain) = verdict.code();
                let numbers = [Number(sys::NFTNL_EXPR_IMM_DREG, 0), Number(sys::NFTNL_EXPR_IMM_VERDICT, code)];
                let chain = chain.map(|chain| Text(sys::NFTNL_EXPR_IMM_CHAIN, chain));
                expression("immediate", &numbers.into_iter().chain(chain).collect::<Vec<_>>())
            }
            Self::States(_) | Self::Other(_) => unreachable!("`{self:?}` is only ever read"),
        }
    }
}

/// An expression of libnftnl. The rule that it is added to frees it.
fn expression(name: &str, fields: &[Field<'_>]) -> NonNull<sys::nftnl_expr> {
    let name = c_text(name);
    // SAFETY: the name is a C string that outlives the call; the library copies what it keeps.
    let expr = unsafe { sys::nftnl_expr_alloc(name.as_ptr()) };
    // The library knows every name that is used above, so only memory can lack: as everywhere, that aborts.
    let Some(expr) = NonNull::new(expr) else { std::process::abort() };
    let id = |attribute: u32| u16::try_from(attribute).unwrap_or(u16::MAX);
    for field in fields {
        match *field {
            // SAFETY: the expression was just allocated, and the attribute is a number of this expression's.
            Field::Number(attribute, value) => unsafe {
                sys::nftnl_expr_set_u32(expr.as_ptr(), id(attribute), value);
            },
            Field::Bytes(attribute, value) => {
                let length = u32::try_from(value.len()).unwrap_or(0);
                // SAFETY: as above; `length` bytes are readable at the pointer, and the library copies them.
                unsafe { sys::nftnl_expr_set(expr.as_ptr(), id(attribute), value.as_ptr().cast(), length) };
            }
            Field::Text(attribute, value) => {
                let value = c_text(value);
                // SAFETY: as above; the text ends in a zero byte, and the library copies it.
                unsafe { sys::nftnl_expr_set_str(expr.as_ptr(), id(attribute), value.as_ptr()) };
            }
        }
    }
    expr
}

/// Asks that errors do not echo the message that they are about, which may have 64 KiB (`NETLINK_CAP_ACK`; nix
/// has no such option).
pub(crate) fn cap_acknowledgements(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(0);
    // SAFETY: the descriptor is open for as long as it is borrowed, and `on` is a readable integer of `length` bytes.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            libc::NETLINK_CAP_ACK,
            (&raw const on).cast::<c_void>(),
            length,
        )
    };
    Errno::result(result).map(drop)
}
