//! The clock by which tokens expire and buckets fill.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The machine's clock plus what was added, or nothing but what was added.
#[derive(Debug)]
pub(crate) struct Clock {
    /// Since 1970, at `from`.
    base: Duration,
    from: Instant,
    frozen: bool,
}

impl Clock {
    pub(crate) fn new(frozen: bool) -> Self {
        let base = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { base, from: Instant::now(), frozen }
    }

    /// Since 1970.
    pub(crate) fn now(&self) -> Duration {
        if self.frozen { self.base } else { self.base + self.from.elapsed() }
    }

    pub(crate) fn advance(&mut self, time: Duration) {
        self.base += time;
    }

    pub(crate) fn freeze(&mut self, frozen: bool) {
        self.base = self.now();
        self.from = Instant::now();
        self.frozen = frozen;
    }
}
