//! The provider against the stand-in for Resource Manager, over TLS: every call that it makes.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test a panic is the answer, and figures are printed"
)]

mod bench;
mod conformance;
mod data;
mod faults;
mod limits;
mod others;
mod replay;
mod rig;
