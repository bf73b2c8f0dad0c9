//! Who is told of changes and of trouble.
//!
//! What is told is worked out anew from the [`Status`] whenever there is something to look at, and from what the
//! receiver was told before: trouble stands or it does not, so nothing piles up while a receiver is away, and one that
//! comes back is told how things stand now. Changes alone are events; the last few are remembered, and those that a
//! receiver misses all the same are counted.
//!
//! ```text
//! Status ─▶ troubles() ─┐
//! what was told, on disk┴▶ due() ─▶ Event ─▶ form ─▶ POST │ command ─▶ what was told
//! ```
//!
//! # Invariants, each kept by a test in `notify::tests`
//! * The same trouble is told once, and again only after `repeat`; its end is told once, and only where it was told.
//! * A restart tells nothing again.
//! * Before the first pass has ended nothing counts as over.
//! * An address never shows in the log, an error or the status.

mod command;
mod due;
mod event;
mod form;
mod post;
mod told;
mod trouble;

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::config::Receiver;
use crate::config::telling::Channel;
use crate::status::{self, Status};

pub use due::{Due, Session, due};
pub use event::Event;
pub use told::{Memory, Told};

/// The first and the longest wait after a delivery that failed, where the receiver does not ask for more.
const RETRY: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(15));
/// The longest wait that a receiver may ask for.
const LONGEST_ASKED: Duration = Duration::from_hours(1);
/// How long what happens together is waited for: a pass says several things in a row.
const TOGETHER: Duration = Duration::from_millis(300);
/// The longest sleep without a look at the clock, which may step.
const SLICE: Duration = Duration::from_mins(10);

/// Why something could not be delivered. Never holds an address.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The address is not where it should be, or is none.
    #[error("{0}")]
    Address(String),
    /// The receiver could not be reached.
    #[error("the receiver was not reached: {0}")]
    Unreached(String),
    /// The receiver did not want it.
    #[error("the receiver answered with status {status}")]
    Refused {
        /// Its answer.
        status: u16,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The program could not be run or failed.
    #[error("{0}")]
    Command(String),
    /// It took too long.
    #[error("it took longer than {} s", .0.as_secs())]
    Slow(Duration),
}

/// Sends one event.
///
/// # Errors
/// [`NotifyError`]; it may have arrived all the same.
pub async fn deliver(receiver: &Receiver, event: &Event) -> Result<(), NotifyError> {
    match &receiver.channel {
        Channel::Post { form, address, extra_ca } => {
            let sending = post::post(address, extra_ca.as_deref(), form::body(*form, event), receiver.timeout);
            timeout(receiver.timeout, sending).await.map_err(|_| NotifyError::Slow(receiver.timeout))?
        }
        // It has to be ended, not only given up.
        Channel::Command(words) => command::run(words, event, receiver.timeout).await,
    }
}

/// What would keep a receiver from being told, as far as this host shows it.
pub fn problem(receiver: &Receiver) -> Option<String> {
    match &receiver.channel {
        Channel::Post { address, .. } => post::problem(address),
        Channel::Command(words) => {
            let program = Path::new(words.first()?);
            (!program.is_file()).then(|| format!("there is no program `{}`", program.display()))
        }
    }
}

/// What all receivers share.
#[derive(Debug)]
pub struct Shared {
    /// What was told, on disk.
    pub memory: RefCell<Memory>,
    /// How deliveries went.
    pub tallies: RefCell<Vec<status::Receiver>>,
}

impl Shared {
    fn tally(&self, name: &str, change: impl FnOnce(&mut status::Receiver)) {
        let mut tallies = self.tallies.borrow_mut();
        let found = tallies.iter().position(|tally| tally.name == name);
        let place = found.unwrap_or_else(|| {
            tallies.push(status::Receiver { name: name.to_owned(), ..status::Receiver::default() });
            tallies.len() - 1
        });
        change(&mut tallies[place]);
    }
}

/// Tells one receiver for ever: whenever something happens, and when the time has come to say it again.
pub async fn keep_told<T>(
    receiver: Receiver,
    mut happens: watch::Receiver<T>,
    status: impl Fn() -> Status,
    session: Rc<RefCell<Session>>,
    shared: Rc<Shared>,
) {
    let mut wait = RETRY.0;
    shared.tally(&receiver.name, |_| {});
    loop {
        happens.mark_unchanged();
        let (now, told) = (Timestamp::now(), shared.memory.borrow().of(&receiver.name));
        let due = due(&told, &mut session.borrow_mut(), &receiver, &status(), now);
        shared.tally(&receiver.name, |tally| (tally.pending, tally.dropped) = (due.pending, due.dropped));
        if due.told != told {
            shared.memory.borrow_mut().set(&receiver.name, due.told.clone());
        }
        let Some((event, after)) = due.next else {
            let sleeping = due.wake.map_or(SLICE, |wake| {
                Duration::try_from(wake.duration_since(now)).unwrap_or_default().clamp(TOGETHER, SLICE)
            });
            // The daemon that ends takes this with it.
            if matches!(timeout(sleeping, happens.changed()).await, Ok(Err(_))) {
                return;
            }
            sleep(TOGETHER).await;
            continue;
        };
        match deliver(&receiver, &event).await {
            Ok(()) => {
                wait = RETRY.0;
                let told = after.apply(due.told, &mut session.borrow_mut());
                shared.memory.borrow_mut().set(&receiver.name, told);
                shared.tally(&receiver.name, |tally| {
                    tally.sent += 1;
                    tally.last_failure = None;
                });
                tracing::debug!(receiver = receiver.name, event = event.event, about = event.about, "told");
            }
            Err(error) => {
                let asked = match &error {
                    NotifyError::Refused { retry_after: Some(asked), .. } => (*asked).min(LONGEST_ASKED),
                    _ => Duration::ZERO,
                };
                let pause = wait.max(asked);
                wait = (wait * 2).min(RETRY.1);
                tracing::warn!(
                    "`{}` was not told of {}: {error}; trying again in {} s",
                    receiver.name,
                    event.event,
                    pause.as_secs()
                );
                shared.tally(&receiver.name, |tally| {
                    tally.failed += 1;
                    tally.last_failure = Some(error.to_string());
                });
                sleep(pause).await;
            }
        }
    }
}

/// Tells all receivers what one pass showed and they were not told yet, for passes that no daemon makes. Each delivery
/// is tried once: the next pass tells what this one could not, but for changes. Answers who was not told, a line each.
pub async fn tell_once(receivers: &[Receiver], status: &Status, state_dir: &Path) -> Vec<String> {
    let mut memory = Memory::load(state_dir);
    memory.retain(|name| receivers.iter().any(|receiver| receiver.name == name));
    let memory = RefCell::new(memory);
    let telling = receivers.iter().map(|receiver| async {
        let told = tell_one_once(receiver, status, &memory).await;
        told.err().map(|error| format!("`{}` was not told: {error}", receiver.name))
    });
    join_all(telling).await.into_iter().flatten().collect()
}

async fn tell_one_once(receiver: &Receiver, status: &Status, memory: &RefCell<Memory>) -> Result<(), NotifyError> {
    let mut session = Session::of_one_pass();
    loop {
        let told = memory.borrow().of(&receiver.name);
        let due = due(&told, &mut session, receiver, status, status.at);
        if due.told != told {
            memory.borrow_mut().set(&receiver.name, due.told.clone());
        }
        let Some((event, after)) = due.next else { return Ok(()) };
        deliver(receiver, &event).await?;
        let told = after.apply(due.told, &mut session);
        memory.borrow_mut().set(&receiver.name, told);
    }
}

#[cfg(test)]
mod tests;
