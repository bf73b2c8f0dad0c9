//! What systemd is told. Without it nothing is listening, and nothing is said.

use std::fmt;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::Instant;

type Send = Box<dyn FnMut(&[NotifyState<'_>])>;

/// The service manager's ear.
pub struct Notifier {
    send: Send,
    /// How often the watchdog wants to hear of the loop.
    interval: Option<Duration>,
    next: Instant,
    status: String,
}

impl Notifier {
    /// As the environment of this process says.
    pub fn from_environment() -> Self {
        let send = |states: &[NotifyState<'_>]| {
            if let Err(error) = sd_notify::notify(states) {
                tracing::debug!(%error, "the service manager does not listen");
            }
        };
        // Half of what is allowed, so that one late turn is no death.
        Self::new(Box::new(send), sd_notify::watchdog_enabled().map(|time| time / 2))
    }

    pub(super) fn new(send: Send, interval: Option<Duration>) -> Self {
        Self { send, interval, next: Instant::now(), status: String::new() }
    }

    pub(super) fn ready(&mut self) {
        (self.send)(&[NotifyState::Ready]);
    }

    pub(super) fn reloading(&mut self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => (self.send)(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!(%error, "no monotonic time for the service manager"),
        }
    }

    pub(super) fn stopping(&mut self) {
        (self.send)(&[NotifyState::Stopping]);
    }

    /// One line for a person, sent where it is another than before.
    pub(super) fn status(&mut self, line: String) {
        if line != self.status {
            (self.send)(&[NotifyState::Status(&line)]);
            self.status = line;
        }
    }

    /// Tells the watchdog that the loop turns, where that is due. Answers when it is due next.
    pub(super) fn alive(&mut self, now: Instant) -> Option<Instant> {
        let interval = self.interval?;
        if now >= self.next {
            (self.send)(&[NotifyState::Watchdog]);
            self.next = now + interval;
        }
        Some(self.next)
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").field("interval", &self.interval).finish_non_exhaustive()
    }
}
