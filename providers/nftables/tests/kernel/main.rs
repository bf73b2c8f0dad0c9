//! The provider against a real kernel, in network namespaces of its own.
//!
//! Everything that a test claims about the kernel it asks the `nft` program, never the provider's own reader.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so loudly")]

mod bulk;
mod changes;
mod conformance;
mod drift;
mod extremes;
mod foreign;
mod fragments;
mod lookups;
mod names;
mod others;
mod packets;
mod races;
mod sets;
mod support;
mod watch;
