//! Notices when somebody else changes what is ours.
//!
//! The kernel tells every commit to whoever listens (`NFNLGRP_NFTABLES`). A thread of its own listens on a socket
//! of its own, since a busy one that loses messages must not lose answers. It passes on no data: a wake-up says
//! that a look is worth it, and one too many costs a look.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tagwall_provider::Family;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::layout::Layout;
use crate::netlink::monitor::Monitor;
use crate::netlink::parse::{self, Message};
use crate::netlink::wire::{self, msg};
use crate::settings::TABLE;

/// Bytes of the receive buffer: enough for tens of thousands of changes by others while the thread does not run.
pub(crate) const BUFFER: usize = 8 << 20;

/// The wake-ups, at most one of which waits. The thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct WakeUps {
    pending: mpsc::Receiver<()>,
    /// Closing it is what the thread notices while it waits for the kernel.
    _alive: UnixStream,
}

impl Stream for WakeUps {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<()>> {
        self.pending.poll_recv(context)
    }
}

/// The other end: a watch that has not begun.
#[derive(Debug)]
pub(crate) struct Watch {
    wake_up: mpsc::Sender<()>,
    ended: UnixStream,
    disturber: Disturber,
}

/// Who last changed what is ours.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disturber(Arc<Mutex<Option<String>>>);

impl Disturber {
    pub(crate) fn last(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, who: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = who;
    }
}

pub(crate) fn pair(disturber: &Disturber) -> io::Result<(WakeUps, Watch)> {
    let (wake_up, pending) = mpsc::channel(1);
    let (alive, ended) = UnixStream::pair()?;
    Ok((WakeUps { pending, _alive: alive }, Watch { wake_up, ended, disturber: disturber.clone() }))
}

impl Watch {
    /// Begins, in the network namespace of the calling thread: whatever is committed after this has returned is
    /// noticed. Where it fails the stream ends.
    pub(crate) fn begin(self, monitor: Monitor, concern: Concern) -> io::Result<()> {
        let run = move || {
            if let Err(errno) = self.listen(monitor, &concern) {
                tracing::warn!(error = %errno, "changes by others are no longer noticed at once");
            }
        };
        std::thread::Builder::new().name("tagwall-watch".to_owned()).spawn(run).map(drop)
    }

    fn listen(&self, mut monitor: Monitor, concern: &Concern) -> Result<(), Errno> {
        // Of a commit the kernel tells first what changed, and then who made it.
        let mut changed = false;
        loop {
            let mut ready =
                [PollFd::new(self.ended.as_fd(), PollFlags::POLLIN), PollFd::new(monitor.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
            }
            if ready[0].any() != Some(false) {
                return Ok(());
            }
            let concerned = match monitor.receive() {
                Ok(Some(messages)) => {
                    let mut concerned = false;
                    for message in parse::messages(messages) {
                        let about_us = message.is_ok_and(|message| {
                            if message.table_message() == Some(msg::NEW_GENERATION) && std::mem::take(&mut changed) {
                                self.disturber.note(parse::committer(&message));
                            }
                            concern.is_in(&message)
                        });
                        changed |= about_us;
                        concerned |= about_us || message.is_err();
                    }
                    concerned
                }
                Ok(None) => false,
                // Some were lost, and nobody knows what they were about.
                Err(Errno::ENOBUFS) => true,
                Err(errno) => return Err(errno),
            };
            if concerned && matches!(self.wake_up.try_send(()), Err(TrySendError::Closed(()))) {
                return Ok(());
            }
        }
    }
}

/// The ports of this process's latest sockets. What any provider here commits is no news to the watch of another: a
/// daemon watches by one and writes by others.
#[derive(Debug)]
struct OwnPorts(Mutex<VecDeque<u32>>);

static OWN_PORTS: OwnPorts = OwnPorts(Mutex::new(VecDeque::new()));

impl OwnPorts {
    /// More than are open at once, and those whose last messages may still be on their way.
    const KEPT: usize = 256;

    fn ports(&self) -> MutexGuard<'_, VecDeque<u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that a socket with this port is ours, before anything is written to it.
pub(crate) fn own(port: u32) {
    let mut ports = OWN_PORTS.ports();
    ports.truncate(OwnPorts::KEPT - 1);
    ports.push_front(port);
}

/// What is ours, by its names.
#[derive(Debug)]
pub(crate) struct Concern {
    family: u8,
    table: String,
    /// The chains whose rules are ours; in an operator's table there are none.
    chains: Vec<String>,
    sets: Vec<String>,
    /// Whether the table is tagwall's: chains that come and go may be ours under another name.
    enforcing: bool,
}

impl Concern {
    pub(crate) fn new(layout: &Layout) -> Self {
        let sets = Family::ALL.into_iter().filter_map(|family| layout.set(family));
        let sets = sets.map(|name| name.set.to_owned()).collect();
        match layout {
            Layout::Enforce(skeleton) => Self {
                family: wire::family::INET,
                table: TABLE.to_owned(),
                chains: vec![skeleton.names.ports.clone(), skeleton.names.admit.clone()],
                sets,
                enforcing: true,
            },
            Layout::Set(operators) => Self {
                family: operators.family.number(),
                table: operators.table.clone(),
                chains: Vec::new(),
                sets,
                enforcing: false,
            },
        }
    }

    /// Whether a message tells of a change of ours by somebody else. One that cannot be read may.
    pub(crate) fn is_in(&self, message: &Message<'_>) -> bool {
        let Some(kind) = message.table_message() else { return false };
        if OWN_PORTS.ports().contains(&message.port) {
            return false;
        }
        let Ok(place) = parse::place(message, kind) else { return true };
        if place.family != self.family || place.table != self.table {
            return false;
        }
        match kind {
            msg::NEW_TABLE | msg::DEL_TABLE => true,
            msg::NEW_CHAIN | msg::DEL_CHAIN => self.enforcing,
            msg::NEW_SET | msg::DEL_SET => self.enforcing || self.sets.contains(&place.object),
            msg::NEW_RULE | msg::DEL_RULE => self.chains.contains(&place.object),
            msg::NEW_ELEMENT | msg::DEL_ELEMENT => self.sets.contains(&place.object),
            _ => false,
        }
    }
}
