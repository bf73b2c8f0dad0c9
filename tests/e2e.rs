//! End to end: the real program, a real kernel in namespaces of each test's own, and `nft -j` as the witness.
//!
//! One test binary, so that the whole is linked once. What goes where:
//!
//! * `cli`: what each command prints, to which stream, with which exit status; the schemas
//! * `kernel`: what a command does to a live firewall and to the state directory, packets included
//! * `daemon`: the daemon as a process: signals, the service manager's socket, the lock
//! * `dry_run`: that a dry run writes nothing, by a system call trace
//! * `replay`: the real publications in the order of their dates, and the table of what is held
//! * `kill`: passes that are killed at random moments
//! * `busy`: passes while others rewrite the firewall
//! * `regression`: faults that were found, one test each, named for what went wrong; nothing else goes there
//! * `source`: the source against servers and files that misbehave
//! * `support`: worlds, namespaces, witnesses
//!
//! A test makes its own [`support::World`] and shares nothing with others. Long campaigns run a stated fraction
//! unless `TAGWALL_SOAK` is set. What cannot be run is skipped with a loud line, and fails where `CI` is set.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stderr, reason = "what is skipped is said")]

mod cli;
mod daemon;
mod dry_run;
mod kernel;
mod regression;
mod source;
mod support;
