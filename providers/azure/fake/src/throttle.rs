//! Token buckets of a subscription.

use std::collections::HashMap;
use std::time::Duration;

use crate::answer::Answer;
use crate::behaviour::{Bucket, Buckets};
use crate::call::Call;

/// What a call counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Reads,
    Writes,
    Deletes,
}

impl Kind {
    pub(crate) fn of(call: &Call) -> Self {
        match call.method.as_str() {
            "GET" | "HEAD" => Self::Reads,
            "DELETE" => Self::Deletes,
            _ => Self::Writes,
        }
    }

    fn bucket(self, buckets: &Buckets) -> Bucket {
        match self {
            Self::Reads => buckets.reads,
            Self::Writes => buckets.writes,
            Self::Deletes => buckets.deletes,
        }
    }

    /// The header that says what remains, and what the recordings showed in it.
    fn header(self, globally: bool) -> (&'static str, u32) {
        match (self, globally) {
            (Self::Reads, true) => ("x-ms-ratelimit-remaining-subscription-global-reads", 16_499),
            (Self::Reads, false) => ("x-ms-ratelimit-remaining-subscription-reads", 11_999),
            (Self::Writes, true) => ("x-ms-ratelimit-remaining-subscription-global-writes", 11_999),
            (Self::Writes, false) => ("x-ms-ratelimit-remaining-subscription-writes", 1_199),
            (Self::Deletes, true) => ("x-ms-ratelimit-remaining-subscription-global-deletes", 11_999),
            (Self::Deletes, false) => ("x-ms-ratelimit-remaining-subscription-deletes", 14_999),
        }
    }
}

/// How much is in the buckets, in thousandths of a call, and when that was reckoned.
#[derive(Debug, Default)]
pub(crate) struct Throttle(HashMap<(String, Kind), (u64, Duration)>);

impl Throttle {
    /// Takes one call out; the seconds to wait where nothing is left.
    pub(crate) fn take(
        &mut self,
        buckets: &Buckets,
        subscription: &str,
        kind: Kind,
        now: Duration,
    ) -> Result<u32, u64> {
        let Bucket { size, per_second } = kind.bucket(buckets);
        let full = u64::from(size) * 1000;
        let (level, since) = self.0.entry((subscription.to_lowercase(), kind)).or_insert((full, now));
        let gained = now.saturating_sub(*since).as_millis() * u128::from(per_second);
        *level = full.min(level.saturating_add(u64::try_from(gained).unwrap_or(u64::MAX)));
        *since = now;
        if *level < 1000 {
            let missing = 1000 - *level;
            return Err(missing.div_ceil(u64::from(per_second.max(1)) * 1000).max(1));
        }
        *level -= 1000;
        Ok(u32::try_from(*level / 1000).unwrap_or(u32::MAX))
    }
}

/// Adds what remains to an answer.
pub(crate) fn remaining(answer: Answer, kind: Kind, globally: bool, left: Option<u32>) -> Answer {
    let (name, usual) = kind.header(globally);
    answer.with(name, left.unwrap_or(usual).to_string())
}

/// 429 of a bucket. The text is quoted from issue trackers.
pub(crate) fn refused(subscription: &str, kind: Kind, globally: bool, wait: u64, say_when: bool) -> Answer {
    let message = format!(
        "Number of requests for subscription '{subscription}' and operation '{kind:?}' exceeded the backend storage \
         limit. Please try again after '{wait}' seconds."
    );
    let answer = Answer::error(429, "SubscriptionRequestsThrottled", message).retry_after(say_when.then_some(wait));
    remaining(answer, kind, globally, Some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills() {
        let bucket = |size, per_second| Bucket { size, per_second };
        let buckets = Buckets { reads: bucket(2, 1), writes: bucket(1, 10), deletes: bucket(1, 10) };
        let mut throttle = Throttle::default();
        let mut take = |subscription, kind, at| throttle.take(&buckets, subscription, kind, Duration::from_millis(at));
        assert_eq!(take("a", Kind::Reads, 0), Ok(1));
        assert_eq!(take("a", Kind::Reads, 0), Ok(0));
        assert_eq!(take("a", Kind::Reads, 0), Err(1));
        // Of other subscriptions and other kinds there is enough.
        assert_eq!(take("b", Kind::Reads, 0), Ok(1));
        assert_eq!(take("a", Kind::Writes, 0), Ok(0));
        assert_eq!(take("a", Kind::Reads, 999), Err(1));
        assert_eq!(take("A", Kind::Reads, 1000), Ok(0));
        // It never holds more than its size.
        assert_eq!(take("a", Kind::Reads, 3_600_000), Ok(1));
    }
}
