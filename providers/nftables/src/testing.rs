//! Failures, and somebody else's hand, for tests (feature `testing`).

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;

use tagwall_provider::AddressRange;

use crate::netlink::message::SetName;
use crate::netlink::socket::{COMMIT, NetlinkError, Socket};
use crate::netlink::wire::{attr, msg};
use crate::settings::TableFamily;
use crate::snapshot;

/// Which of the next transactions fails. Shared by all providers of one firewall.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    next: Arc<Mutex<Option<(usize, bool)>>>,
    overflow: Arc<AtomicBool>,
    answers: Arc<Mutex<Option<usize>>>,
}

impl Faults {
    /// The transaction of this number, from now and from 0, fails: before it is sent, or (`after`) its answer is
    /// lost. Failures have the error number `ENOBUFS`.
    pub fn fail(&self, call: usize, after: bool) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some((call, after));
    }

    /// No transaction fails.
    pub fn clear(&self) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The answer of this number, from now and from 0, cannot be read: its end is cut off. One dump is answered in as
    /// many as it takes.
    pub fn cut_answer(&self, number: usize) {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner) = Some(number);
    }

    pub(crate) fn cut(&self, length: usize) -> usize {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let now = *answers == Some(0);
        *answers = answers.and_then(|number| number.checked_sub(1));
        if now { length - 1 } else { length }
    }

    /// Watches that begin from now on have the smallest receive buffer that the kernel allows.
    pub fn overflow(&self) {
        self.overflow.store(true, Ordering::Relaxed);
    }

    pub(crate) fn receive_buffer(&self, bytes: usize) -> usize {
        if self.overflow.load(Ordering::Relaxed) { 1 } else { bytes }
    }

    pub(crate) fn around(&self, commit: impl FnOnce() -> Result<(), NetlinkError>) -> Result<(), NetlinkError> {
        let mut fault = self.next.lock().unwrap_or_else(PoisonError::into_inner);
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

/// Somebody else's quick hand: writes elements with no regard for generation ids, and reads without a second look.
#[derive(Debug)]
pub struct Hand {
    socket: Socket,
    set: (TableFamily, String, String),
}

impl Hand {
    /// A hand on one set, in the network namespace of the calling thread.
    ///
    /// # Panics
    /// Without the right to open a socket.
    pub fn new(family: TableFamily, table: &str, set: &str) -> Self {
        let socket = Socket::open().unwrap_or_else(|error| panic!("{error}: {error:?}"));
        Self { socket, set: (family, table.to_owned(), set.to_owned()) }
    }

    /// Removes and adds elements in one transaction. Says whether the kernel took it.
    pub fn change(&mut self, remove: &[AddressRange], add: &[AddressRange]) -> bool {
        let mut batch = self.socket.batch(None);
        let set = SetName { family: self.set.0.number(), table: &self.set.1, set: &self.set.2 };
        batch.intervals(msg::DEL_ELEMENT, set, remove.iter().copied());
        batch.intervals(msg::NEW_ELEMENT, set, add.iter().copied());
        self.socket.commit(batch).is_ok()
    }

    /// Deletes the table. Says whether the kernel took it.
    pub fn delete_table(&mut self) -> bool {
        let mut batch = self.socket.batch(None);
        let (family, table) = (self.set.0.number(), &self.set.1);
        batch.message(msg::DEL_TABLE, 0, family, |writer| writer.put_text(attr::TABLE_NAME, table));
        self.socket.commit(batch).is_ok()
    }

    /// Removes the start of an IPv4 interval and leaves its end. Says whether the kernel took it.
    pub fn delete_start(&mut self, range: AddressRange) -> bool {
        let mut batch = self.socket.batch(None);
        let set = SetName { family: self.set.0.number(), table: &self.set.1, set: &self.set.2 };
        // An interval that reaches to the highest address is written without an end.
        let open = AddressRange::new(range.first(), Ipv4Addr::BROADCAST.into());
        batch.intervals(msg::DEL_ELEMENT, set, open.into_iter());
        self.socket.commit(batch).is_ok()
    }

    /// Reads an IPv4 set once, as it comes: what a reader sees that knows nothing of torn dumps.
    pub fn glance(&mut self) -> Vec<AddressRange> {
        let set = SetName { family: self.set.0.number(), table: &self.set.1, set: &self.set.2 };
        snapshot::glance(&mut self.socket, set).unwrap_or_default()
    }
}
