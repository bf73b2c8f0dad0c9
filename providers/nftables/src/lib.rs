//! The nftables provider of tagwall.
//!
//! ```text
//! Nftables ── Request ─▶ worker thread ── one socket ─▶ nf_tables of the network namespace
//!  provider              session: read, compare, change
//!    │                      ├─ snapshot   what stands there, read so that it can be believed
//!    │                      ├─ skeleton   what should stand around the elements, and how that differs
//!    │                      ├─ consequence  what that means for packets; others: what other chains mean for ours
//!    │                      ├─ observe    snapshot ─▶ Observed
//!    ▼                      ├─ write      what changes around the elements ─▶ transaction
//!  place, pure              └─ netlink    messages, parser, socket; ffi: libnftnl
//! ```
//!
//! # Invariants
//! Each is kept by a test in `tests/kernel`, which asks the kernel through the `nft` program.
//!
//! * **A change is one transaction, sent with one system call.** The kernel shows the old rules and elements or
//!   the new ones. Nothing is rebuilt: an element that stays is not in the transaction.
//! * **The generation id is the lock.** A change of rules is committed only on exactly the ruleset that it was
//!   worked out from. A change of elements alone may go without it, after a few tries: it can only succeed where
//!   each interval that it removes is there, and none of those that it adds.
//! * **A torn dump is never believed**: see the module `snapshot`.
//! * **What lacks our mark is left byte for byte.** Chains and sets are ours by their comment, never by name.
//! * **A change by somebody else is noticed, our own is not**: see the module `watch`.
//! * **No bytes from the kernel make the parser panic.** It is fuzzed.
//! * **An accept ends only our own chain.** Nothing here opens a port that another table closes: such chains are
//!   reported as in the way.

mod consequence;
mod error;
mod ffi;
mod layout;
mod listing;
mod model;
mod netlink;
mod observe;
mod others;
mod place;
mod provider;
mod rule;
mod session;
mod settings;
mod skeleton;
mod snapshot;
mod stored;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(test)]
mod tests;
mod watch;
mod worker;
mod write;

pub use provider::{CreateError, Nftables};
pub use settings::{Established, Hook, Mode, Protocol, Settings, SettingsError, TableFamily};

/// Reads bytes as every kind of answer of the kernel. For the fuzzer: it must never panic.
#[doc(hidden)]
pub fn fuzz_parse(bytes: &[u8]) {
    use netlink::parse;
    for message in parse::messages(bytes).flatten() {
        // Only that each comes back matters.
        let _ = (message.error(), message.table_message(), parse::generation(&message), parse::table(&message));
        let _ = parse::committer(&message);
        let _ = (parse::chain(&message), parse::set(&message), parse::place(&message, message.kind & 0xff));
        let _ = parse::rule(&message).map(|seen| seen.rule.to_string());
        for family in tagwall_provider::Family::ALL {
            let mut elements = Vec::new();
            let _ = parse::elements(&message, family, |element| elements.push(element));
            let _ = stored::pair_up(elements, family, bytes.len().is_multiple_of(2), "fuzzed");
        }
    }
}
