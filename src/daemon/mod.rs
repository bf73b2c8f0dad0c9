//! `tagwall run`: passes without end, for years.
//!
//! The daemon adds nothing to what a pass is. It decides when one is made, and everything it reacts to (a tick of the
//! schedule, SIGHUP, drift, an earlier failure) leads to the same pass over every target: an activation carries no
//! data. What woke it may be wrong, late or doubled, and it does not matter, for the work is to look at everything
//! and to set right what is not. Activations that come while one waits to be served fall together with it, so the
//! work that can pile up is one pass.
//!
//! A pass has two halves. Fetching a publication takes seconds to minutes, touches nothing and can be dropped at any
//! moment. Enforcing takes milliseconds on this host, longer in a cloud; it holds the lock of the state directory, is
//! never dropped but by a second signal, and only one is under way at a time. The lock is held for that half alone:
//! `sync` and `withdraw` work beside the daemon, and each pass reads the state anew and goes by what they left.
//!
//! Drift is the one activation that does not wait for the network. A pass for drift brings each target back to the
//! generation that it was last seen right with ([`crate::reconcile::again`]), also while a fetch is in flight, and from
//! the first moment on: generations are on disk. They are kept in memory, too, for the disk may be full; where another
//! process has made a pass since, the disk is right. Two programs that undo each other are no reason for a busy loop: see
//! [`pace::Mending`].
//!
//! ```text
//! signals ────────┐
//! schedule, retry ┼▶ Loop (when) ─▶ Passes (what): fetch ─▶ lock ─▶ pass │ mend
//! Provider::watch ┘      └▶ Status on a watch channel, sd_notify, one log line a pass
//! ```
//!
//! # Invariants, each kept by a test in `daemon::tests`
//! * One pass at a time; a tick that was missed, however many times, runs once.
//! * Retries are never closer than 30 s, and give way to the schedule when a pass succeeds.
//! * The wall clock may step either way: waits are cut into slices of five minutes, so a step is noticed within one.
//!   As with cron, a step back of less than three hours does not run a tick again.
//! * A reload that fails changes nothing.
//! * Stopping leaves the rules as they are.
//!
//! What is deliberately absent: a queue of events, a thread for the watchdog (it would prove that the thread lives),
//! a lock held for life, and memory of documents: after a pass what was enforced and the report are all that stays.

mod clock;
mod event;
mod line;
mod live;
mod notify;
pub mod pace;
mod pulse;
mod run;
mod status;

pub use clock::{Clock, SystemClock};
pub use event::{Event, Reason, signals};
pub use live::{Live, Load, MakeProvider, Setup};
pub use notify::Notifier;
pub use pulse::Pulse;
pub use run::{Ended, Loop, Passes};
pub use status::{Finished, Phase, Status};

#[cfg(test)]
mod tests;
