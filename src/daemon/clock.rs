//! The time of day, as a seam: tests step it.

use std::fmt;

use jiff::Timestamp;

/// Tells the time of day. It may step either way at any moment.
pub trait Clock: fmt::Debug {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The clock of this system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
