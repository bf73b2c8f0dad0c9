//! How soon to try again: never in a tight loop.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Waiting times that double, from a first to a longest one.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// From `first`, doubling, to at most `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// How long to wait this time.
    pub fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.longest);
        wait
    }

    /// Begins anew.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// How many times in a [`WINDOW`] drift is mended at once. Somebody who tries things out stays below it.
const AT_ONCE: usize = 20;
/// Over how long mending is counted.
const WINDOW: Duration = Duration::from_mins(1);
/// The longest that drift waits: until it is mended the firewall is as the other program wants it.
const LONGEST: Duration = Duration::from_mins(1);
/// After so long without any drift all is forgotten. More than the longest wait, which is no peace.
const QUIET: Duration = Duration::from_mins(2);

/// Keeps two programs from undoing each other without end.
///
/// Drift is mended at once, unless that was done often of late: then ever more slowly, until there is peace.
#[derive(Clone, Debug)]
pub struct Mending {
    recent: VecDeque<Instant>,
    backoff: Backoff,
    not_before: Option<Instant>,
}

impl Default for Mending {
    fn default() -> Self {
        let backoff = Backoff::new(Duration::from_secs(1), LONGEST);
        Self { recent: VecDeque::new(), backoff, not_before: None }
    }
}

impl Mending {
    /// Notes that drift could not be mended. Answers how long the next time has to wait.
    pub fn failed(&mut self, now: Instant) -> Duration {
        let wait = self.backoff.wait();
        self.recent.push_back(now);
        self.not_before = Some(now + wait);
        wait
    }

    /// Notes that drift was mended. Answers how long the next time has to wait, where it has to.
    pub fn mended(&mut self, now: Instant) -> Option<Duration> {
        if self.recent.back().is_some_and(|last| now.duration_since(*last) > QUIET) {
            *self = Self::default();
        }
        self.recent.push_back(now);
        while self.recent.len() > AT_ONCE + 1
            || self.recent.front().is_some_and(|old| now.duration_since(*old) > WINDOW)
        {
            self.recent.pop_front();
        }
        if self.recent.len() <= AT_ONCE && self.not_before.is_none() {
            return None;
        }
        let wait = self.backoff.wait();
        self.not_before = Some(now + wait);
        Some(wait)
    }

    /// The earliest moment for the next time.
    pub const fn not_before(&self) -> Option<Instant> {
        self.not_before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Notes one mending after another, each after `pause` or the wait that was asked for, whichever is longer.
    fn check(mending: &mut Mending, now: &mut Instant, pause: Duration, expect: &[Option<u64>]) {
        for expect in expect {
            *now = mending.not_before().map_or(*now + pause, |moment| moment.max(*now + pause));
            assert_eq!(mending.mended(*now).map(|wait| wait.as_secs()), *expect);
        }
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::new(30 * SECOND, 1800 * SECOND);
        let mut waits = || backoff.wait().as_secs();
        let first: [u64; 8] = std::array::from_fn(|_| waits());
        assert_eq!(first, [30, 60, 120, 240, 480, 960, 1800, 1800]);
        backoff.reset();
        assert_eq!(backoff.wait().as_secs(), 30);
    }

    #[test]
    fn mending_is_at_once_until_it_is_a_fight() {
        let (mut mending, mut now) = (Mending::default(), Instant::now());
        check(&mut mending, &mut now, Duration::ZERO, &[None; AT_ONCE]);
        let slower = [1, 2, 4, 8, 16, 32, 60, 60, 60].map(Some);
        check(&mut mending, &mut now, Duration::ZERO, &slower);
        // The other program is still at it: the pace itself is no peace.
        check(&mut mending, &mut now, 100 * SECOND, &[Some(60)]);
        check(&mut mending, &mut now, QUIET + SECOND, &[None; AT_ONCE]);
    }

    #[test]
    fn drift_now_and_then_is_always_mended_at_once() {
        let (mut mending, mut now) = (Mending::default(), Instant::now());
        check(&mut mending, &mut now, Duration::from_millis(3100), &[None; 1000]);
        // Negative control: a little more often, and it is a fight.
        let (mut mending, mut now) = (Mending::default(), Instant::now());
        check(&mut mending, &mut now, Duration::from_millis(2900), &[None; AT_ONCE]);
        check(&mut mending, &mut now, Duration::from_millis(2900), &[Some(1)]);
    }
}
