//! The one layer that tries again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use crate::ArmError;

/// A call that takes longer is told of.
const SILENCE: Duration = Duration::from_secs(5);

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Before the first further try; it doubles from there on.
    pub first: Duration,
    /// Between two tries at most, unless ARM asks for more.
    pub longest: Duration,
    /// For one call, all its tries together. A wait that would pass it is not begun.
    pub patience: Duration,
    /// Between two looks at an operation, unless ARM says when to look.
    pub poll: Duration,
    /// For an operation to end.
    pub operation: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(30),
            patience: Duration::from_mins(3),
            poll: Duration::from_secs(1),
            operation: Duration::from_mins(10),
        }
    }
}

/// The tries of one call.
#[derive(Debug)]
pub(crate) struct Tries {
    pace: Pace,
    began: Instant,
    next: Duration,
    /// Whether it was told that it takes long.
    told: bool,
}

impl Tries {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { pace, began: Instant::now(), next: pace.first, told: false }
    }

    /// Waits for the next try, or gives the error back where there is none.
    pub(crate) async fn after(&mut self, error: ArmError) -> Result<(), ArmError> {
        if !error.is_transient() {
            return Err(error);
        }
        let asked = match &error {
            ArmError::Status { retry_after, .. } => *retry_after,
            _ => None,
        };
        let wait = wait(self.next, asked, RandomState::new().hash_one(self.began));
        if self.began.elapsed() + wait > self.pace.patience {
            return Err(error);
        }
        tracing::debug!(error = %error, ?wait, "trying again");
        if !self.told && self.began.elapsed() + wait > SILENCE {
            self.told = true;
            let patience = self.pace.patience.as_secs();
            tracing::info!("{error}: tried again in {} s, and for up to {patience} s in all", wait.as_secs());
        }
        tokio::time::sleep(wait).await;
        self.next = (self.next * 2).min(self.pace.longest);
        Ok(())
    }
}

/// Never less than ARM asks for; else half of the delay and a random part of the other half, so that many who were
/// sent away together do not come back together.
fn wait(delay: Duration, asked: Option<Duration>, random: u64) -> Duration {
    let part = delay / 2;
    let jitter = part.mul_f64(random as f64 / u64::MAX as f64);
    asked.map_or(part, |asked| asked.max(part)) + jitter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_and_never_shorter_than_asked_for() {
        let check = |asked: Option<u64>, random: u64, expected: u64| {
            let asked = asked.map(Duration::from_secs);
            assert_eq!(wait(Duration::from_secs(8), asked, random), Duration::from_secs(expected));
        };
        check(None, 0, 4);
        check(None, u64::MAX, 8);
        check(Some(1), 0, 4);
        check(Some(60), 0, 60);
        check(Some(60), u64::MAX, 64);
    }
}
