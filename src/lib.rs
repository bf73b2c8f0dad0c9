//! tagwall keeps firewalls open to the prefixes of Azure service tags, and to nobody else.
//!
//! ```text
//! Source::fetch ─▶ Publication ─▶ desired() ─▶ Desired ─┐
//!                              Provider::observe ─▶ Observed ┴▶ plan() ─▶ Plan | Refusal ─▶ Provider::apply ─▶ observe again
//!                                                                             ▼
//!                              Report ─▶ text │ JSON │ exit status
//! ```
//!
//! [`reconcile::pass`] is the whole of it in one function, and [`daemon`] decides when it is run. [`desired`], [`plan`],
//! [`limits`] and [`schedule`] are pure: no input or output, no clock. Providers live in crates of their own under
//! `providers/` and know nothing of this one; [`targets`] is the one place that knows them all. [`source`] knows no
//! provider.
//!
//! # Invariants
//! * A pass always yields a whole report; a target that fails stops no other (`reconcile::tests`).
//! * A dry run writes nothing: no file, no rule (`tests/e2e`, under a system call trace).
//! * What is refused is not changed (`reconcile::tests`, and every provider's conformance run).
//! * Success is what a later read shows, not the absence of an error (`reconcile::tests`).
//! * Nothing but `withdraw` removes rules as a whole.

pub mod accept;
pub mod agreement;
pub mod audit;
mod chain;
pub mod cli;
pub mod clients;
pub mod config;
pub mod confirm;
pub mod daemon;
pub mod desired;
mod disk;
pub mod enforce;
pub mod exit;
pub mod explain;
#[cfg(test)]
mod fixture;
pub mod generation;
pub mod grace;
pub mod limits;
pub mod listening;
pub mod log;
pub mod notify;
pub mod plan;
mod program;
pub mod reconcile;
pub mod record;
pub mod report;
pub mod saved;
pub mod schedule;
pub mod serve;
pub mod source;
pub mod state;
pub mod status;
pub mod targets;
pub mod telling;
pub mod widening;
