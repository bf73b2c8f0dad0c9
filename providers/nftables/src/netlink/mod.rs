//! The kernel's netlink interface to nf_tables: an encoder, a parser of what it answers, and a socket.

pub(crate) mod message;
pub(crate) mod monitor;
pub(crate) mod parse;
pub(crate) mod socket;
pub(crate) mod wire;
