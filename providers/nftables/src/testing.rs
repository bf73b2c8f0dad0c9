//! Failures for the conformance suite (feature `testing`).

use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;

use crate::netlink::socket::{COMMIT, NetlinkError};

/// Which of the next transactions fails. Shared by all providers of one firewall.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Option<(usize, bool)>>>);

impl Faults {
    /// The transaction of this number, from now and from 0, fails: before it is sent, or (`after`) its answer is
    /// lost. Failures have the error number `ENOBUFS`.
    pub fn fail(&self, call: usize, after: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((call, after));
    }

    /// No transaction fails.
    pub fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn around(&self, commit: impl FnOnce() -> Result<(), NetlinkError>) -> Result<(), NetlinkError> {
        let mut fault = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = match *fault {
            Some((0, after)) => {
                *fault = None;
                Some(after)
            }
            Some((call, after)) => {
                *fault = Some((call - 1, after));
                None
            }
            None => None,
        };
        drop(fault);
        if now == Some(false) {
            return Err(NetlinkError::Refused { doing: COMMIT, errno: Errno::ENOBUFS });
        }
        let done = commit();
        if now == Some(true) { Err(NetlinkError::Refused { doing: COMMIT, errno: Errno::ENOBUFS }) } else { done }
    }
}
