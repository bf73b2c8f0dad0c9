//! How much was asked, and how much more ARM lets one ask.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use azure_core::http::headers::{HeaderName, Headers};

/// What was asked of Resource Manager, by all accounts of a process together. Tokens are asked of others and not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Requests, every try counted.
    pub calls: u64,
    /// Those of them that asked again what had no answer, or one that says to come back.
    pub retries: u64,
    /// How many writes ARM lets the account make that has the fewest left, as its last answers said; none where no
    /// answer has said it.
    pub remaining_writes: Option<u64>,
}

/// How many calls ARM lets one make before it slows down; none where it has not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    /// GET.
    pub reads: Option<u64>,
    /// PUT.
    pub writes: Option<u64>,
    /// DELETE.
    pub deletes: Option<u64>,
}

/// The count of all accounts.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    calls: AtomicU64,
    retries: AtomicU64,
    accounts: Mutex<Vec<Arc<Budgets>>>,
}

impl Tally {
    /// One more call.
    pub(crate) fn count(&self, again: bool) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.retries.fetch_add(again.into(), Ordering::Relaxed);
    }

    /// The budgets of one more account.
    pub(crate) fn account(&self) -> Arc<Budgets> {
        let budgets = Arc::new(Budgets::default());
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&budgets));
        budgets
    }

    pub(crate) fn requests(&self) -> Requests {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        Requests {
            calls: self.calls.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            remaining_writes: accounts.iter().filter_map(|budgets| budgets.remaining().writes).min(),
        }
    }
}

/// What ARM lets one account ask: reads, writes, deletes.
#[derive(Debug)]
pub(crate) struct Budgets([AtomicU64; 3]);

impl Default for Budgets {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(u64::MAX)))
    }
}

impl Budgets {
    /// Remembers what is left. The newer header counts the whole subscription, the older what this instance of ARM knows.
    pub(crate) fn note(&self, headers: &Headers) {
        const NAMES: [[&str; 2]; 3] = [
            ["x-ms-ratelimit-remaining-subscription-global-reads", "x-ms-ratelimit-remaining-subscription-reads"],
            ["x-ms-ratelimit-remaining-subscription-global-writes", "x-ms-ratelimit-remaining-subscription-writes"],
            ["x-ms-ratelimit-remaining-subscription-global-deletes", "x-ms-ratelimit-remaining-subscription-deletes"],
        ];
        for (names, count) in NAMES.into_iter().zip(&self.0) {
            let of = |name| headers.get_optional_str(&HeaderName::from_static(name)).and_then(|text| text.parse().ok());
            if let Some(left) = names.into_iter().filter_map(of).min() {
                count.store(left, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn remaining(&self) -> Remaining {
        let [reads, writes, deletes] = self.0.each_ref().map(|count| {
            let count = count.load(Ordering::Relaxed);
            (count != u64::MAX).then_some(count)
        });
        Remaining { reads, writes, deletes }
    }
}
