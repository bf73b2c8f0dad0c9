//! End to end: the real program, a real kernel in namespaces of each test's own, and `nft -j` as the witness.
//!
//! One test binary, so that the whole is linked once. What goes where:
//!
//! * `aws`: hosts and security groups in one configuration, against the emulator
//! * `azure`: the same with network security groups, and with all three kinds at once
//! * `cli`: what each command prints, to which stream, with which exit status; the schemas
//! * `kernel`: what a command does to a live firewall
//! * `packets`: who can connect
//! * `plans`: plans that are saved, reviewed and applied, from here or from what was observed
//! * `explain`: that what is explained is what packets find
//! * `state`: the lock and the state directory
//! * `daemon`: the daemon as a process: signals, the service manager's socket, the lock
//! * `dry_run`: that a dry run writes nothing, by a system call trace
//! * `generations`: what was enforced and how it comes back: rollback, pause, restore, what is kept while refused
//! * `replay`: the real publications in the order of their dates, and the table of what is held
//! * `kill`: passes that are killed at random moments
//! * `busy`: passes while others rewrite the firewall
//! * `regression`: faults that were found, one test each, named for what went wrong; nothing else goes there
//! * `soak`: the daemon for long, and with disks and feeds that fail
//! * `source`: the source against servers and files that misbehave
//! * `structure`: who may know of whom
//! * `telling`: metrics, status and notifications of the daemon
//! * `support`: worlds, namespaces, witnesses
//!
//! A test makes its own [`support::World`] and shares nothing with others. Long campaigns run a stated fraction
//! unless `TAGWALL_SOAK` is set. What cannot be run is skipped with a loud line, and fails where `CI` is set.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on says so by panicking, and tells its seed"
)]

#[cfg(feature = "aws")]
mod aws;
#[cfg(all(feature = "aws", feature = "azure"))]
mod azure;
mod busy;
mod cli;
mod daemon;
mod dry_run;
mod explain;
mod generations;
mod kernel;
mod kill;
mod packets;
mod plans;
mod regression;
mod replay;
mod soak;
mod source;
mod state;
mod structure;
mod support;
mod telling;
