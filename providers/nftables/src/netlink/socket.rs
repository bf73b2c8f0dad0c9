//! The netlink socket.
//!
//! Opened with `nix`, not with the `mnl` crate: that one's socket is inherited by every program started while it
//! is open (no CLOEXEC), and it sends a transaction page by page, which commits nothing and may report success.

use std::io::IoSlice;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, getsockname, recv, send, sendmsg,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::message::{Batch, SetName, Writer, request};
use super::parse::{self, Malformed, Message, messages};
use super::wire::{self, msg};
use crate::ffi;

/// The kernel never makes a datagram of a dump longer than 32 KiB; a second page for whatever comes.
const RECEIVE: usize = 64 * 1024;
/// What a commit is called in errors.
pub(crate) const COMMIT: &str = "commit a transaction";
/// What a socket takes at most by itself, as a rule: `net.core.wmem_default`.
const SEND_BY_DEFAULT: usize = 128 * 1024;
/// The kernel answers before `send` returns. This is for the case that it does not.
const PATIENCE_SECONDS: i64 = 30;

/// How talking to the kernel fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetlinkError {
    /// The kernel said no.
    #[error("the kernel refused to {doing}")]
    Refused {
        doing: &'static str,
        #[source]
        errno: Errno,
    },
    /// A transaction does not fit in the socket's send buffer.
    #[error("a transaction of {needed} bytes is too large for this socket")]
    TooLarge { needed: usize },
    /// The kernel's answer makes no sense.
    #[error("the answer to {doing} cannot be read")]
    Unreadable {
        doing: &'static str,
        #[source]
        source: Malformed,
    },
}

/// Puts a name to what failed.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, NetlinkError>;
}

impl<T> Doing<T> for Result<T, Errno> {
    fn doing(self, doing: &'static str) -> Result<T, NetlinkError> {
        self.map_err(|errno| NetlinkError::Refused { doing, errno })
    }
}

impl<T> Doing<T> for Result<T, Malformed> {
    fn doing(self, doing: &'static str) -> Result<T, NetlinkError> {
        self.map_err(|source| NetlinkError::Unreadable { doing, source })
    }
}

/// A socket to the nf_tables of the network namespace that it was opened in.
#[derive(Debug)]
pub(crate) struct Socket {
    descriptor: OwnedFd,
    sequence: u32,
    received: Vec<u8>,
    /// An answer was not read to its end, or not understood.
    confused: bool,
    #[cfg(feature = "testing")]
    pub(crate) faults: crate::testing::Faults,
}

/// What a dump was like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dump {
    Whole,
    /// The kernel noticed that something changed while it was dumping. It does not always.
    Interrupted,
}

impl Socket {
    pub(crate) fn open() -> Result<Self, NetlinkError> {
        const DOING: &str = "open a netlink socket";
        let kind = (AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkNetFilter);
        let descriptor = socket(kind.0, kind.1, kind.2, kind.3).doing(DOING)?;
        bind(descriptor.as_raw_fd(), &NetlinkAddr::new(0, 0)).doing(DOING)?;
        ffi::cap_acknowledgements(descriptor.as_fd()).doing(DOING)?;
        setsockopt(&descriptor, sockopt::ReceiveTimeout, &TimeVal::new(PATIENCE_SECONDS, 0)).doing(DOING)?;
        Ok(Self {
            descriptor,
            sequence: 1,
            received: vec![0; RECEIVE],
            confused: false,
            #[cfg(feature = "testing")]
            faults: crate::testing::Faults::default(),
        })
    }

    /// The port by which the kernel knows this socket, and tells whose a commit was.
    pub(crate) fn port(&self) -> Result<u32, NetlinkError> {
        let address = getsockname::<NetlinkAddr>(self.descriptor.as_raw_fd()).doing("ask for a socket's port")?;
        Ok(address.pid())
    }

    #[cfg(feature = "testing")]
    pub(crate) fn with_faults(self, faults: &crate::testing::Faults) -> Self {
        Self { faults: faults.clone(), ..self }
    }

    /// Whether something of an earlier answer may be there still. Such a socket is of no more use: what is left must
    /// never be read as the answer to another question, and while a dump is not read the kernel begins no other.
    pub(crate) const fn is_confused(&self) -> bool {
        self.confused
    }

    /// The id of the ruleset's generation: one up with every commit by anybody in this network namespace.
    pub(crate) fn generation(&mut self) -> Result<u32, NetlinkError> {
        const DOING: &str = "read the generation id";
        let mut generation = None;
        let nothing = |_: &mut Writer| {};
        self.ask(DOING, msg::GET_GENERATION, 0, wire::family::UNSPECIFIED, nothing, |message| {
            if message.table_message() == Some(msg::NEW_GENERATION) {
                generation = Some(parse::generation(message)?);
            }
            Ok(())
        })?;
        generation.ok_or(Malformed).doing(DOING)
    }

    /// Sends a request and hands over every message of the answer.
    pub(crate) fn ask(
        &mut self,
        doing: &'static str,
        kind: u16,
        flags: u16,
        family: u8,
        fill: impl FnOnce(&mut Writer),
        mut each: impl FnMut(&Message<'_>) -> Result<(), Malformed>,
    ) -> Result<Dump, NetlinkError> {
        let sequence = self.numbers(1);
        let writer = request(kind, flags, sequence, family, fill);
        send(self.descriptor.as_raw_fd(), writer.bytes(), MsgFlags::empty()).doing(doing)?;
        let mut dump = Dump::Whole;
        self.answer(doing, |message| {
            if message.sequence != sequence {
                return Ok(None);
            }
            if message.flags & wire::DUMP_INTERRUPTED != 0 {
                dump = Dump::Interrupted;
            }
            match message.kind {
                // The end of a dump has no number in old kernels' one-datagram answers: it is 0 then.
                wire::NLMSG_ERROR | wire::NLMSG_DONE => match message.error()? {
                    errno if errno <= 0 => return Ok(Some(Ok(dump))),
                    errno => return Ok(Some(Err(Errno::from_raw(errno)))),
                },
                _ => each(message)?,
            }
            Ok((message.flags & wire::MULTI == 0 && flags & wire::ACK == 0).then_some(Ok(dump)))
        })
    }

    /// Whether an address lies in an interval of a set, as `nft get element` asks. Where there is no set it lies in none.
    pub(crate) fn is_inside(&mut self, set: SetName<'_>, address: IpAddr) -> Result<bool, NetlinkError> {
        let fill = |writer: &mut Writer| writer.put_key(set, address);
        let mut found = false;
        let each = |message: &Message<'_>| {
            found |= message.table_message() == Some(msg::NEW_ELEMENT);
            Ok(())
        };
        // Linux 6.18 answers some such questions with nothing at all; an acknowledgement always comes.
        match self.ask("look an address up", msg::GET_ELEMENT, wire::ACK, set.family, fill, each) {
            Err(NetlinkError::Refused { errno: Errno::ENOENT, .. }) => Ok(false),
            asked => asked.map(|_| found),
        }
    }

    /// Begins a transaction whose messages this socket will recognise the answers to.
    pub(crate) fn batch(&mut self, generation: Option<u32>) -> Batch {
        Batch::new(self.sequence, generation)
    }

    /// Sends a transaction, as one datagram, and waits until it is committed or rolled back, as a whole.
    pub(crate) fn commit(&mut self, batch: Batch) -> Result<(), NetlinkError> {
        #[cfg(feature = "testing")]
        return self.faults.clone().around(|| self.send_and_wait(batch));
        #[cfg(not(feature = "testing"))]
        self.send_and_wait(batch)
    }

    fn send_and_wait(&mut self, batch: Batch) -> Result<(), NetlinkError> {
        const DOING: &str = COMMIT;
        let (first, last) = (batch.first(), batch.last());
        let count = last.wrapping_sub(first).wrapping_add(2);
        self.numbers(count);
        let bytes = batch.finish();
        self.make_room(bytes.len())?;
        // `sendmsg`, where requests are sent with `send`: a trace of system calls then shows a line for each change.
        match sendmsg::<()>(self.descriptor.as_raw_fd(), &[IoSlice::new(&bytes)], &[], MsgFlags::empty(), None) {
            Ok(_) => {}
            Err(Errno::EMSGSIZE) => return Err(NetlinkError::TooLarge { needed: bytes.len() }),
            Err(errno) => return Err(errno).doing(DOING),
        }
        self.answer(DOING, |message| {
            if message.sequence.wrapping_sub(first) >= count || message.kind != wire::NLMSG_ERROR {
                return Ok(None);
            }
            // Errors come before the acknowledgement of the last message, and any of them rolls back all. Those that
            // follow have numbers of this transaction, and are passed over.
            Ok(match message.error()? {
                0 => (message.sequence == last).then_some(Ok(())),
                errno => Some(Err(Errno::from_raw(errno))),
            })
        })
    }

    /// Reads until something is the answer. What the kernel refuses is answered as well; whatever else goes wrong
    /// leaves the socket confused.
    fn answer<T>(
        &mut self,
        doing: &'static str,
        mut is_answer: impl FnMut(&Message<'_>) -> Result<Option<Result<T, Errno>>, Malformed>,
    ) -> Result<T, NetlinkError> {
        // What was left before is left still.
        let before = std::mem::replace(&mut self.confused, true);
        loop {
            let mut all = messages(self.receive(doing)?);
            let answer = all.find_map(|message| message.and_then(|message| is_answer(&message)).transpose());
            drop(all);
            if let Some(answer) = answer.transpose().doing(doing)? {
                self.confused = before;
                return answer.doing(doing);
            }
        }
    }

    fn numbers(&mut self, count: u32) -> u32 {
        let first = self.sequence;
        self.sequence = self.sequence.wrapping_add(count);
        first
    }

    fn receive(&mut self, doing: &'static str) -> Result<&[u8], NetlinkError> {
        loop {
            match recv(self.descriptor.as_raw_fd(), &mut self.received, MsgFlags::MSG_TRUNC) {
                // With MSG_TRUNC it is the length that the datagram had, not what was copied.
                Ok(length) => {
                    #[cfg(feature = "testing")]
                    let length = self.faults.cut(length);
                    return self.received.get(..length).ok_or(Malformed).doing(doing);
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno).doing(doing),
            }
        }
    }

    /// Makes the send buffer large enough. Above `net.core.wmem_max` that takes CAP_NET_ADMIN of the first user
    /// namespace; where it is lacking `send` answers EMSGSIZE.
    fn make_room(&self, length: usize) -> Result<(), NetlinkError> {
        const DOING: &str = "enlarge the send buffer";
        // The kernel keeps a little of the buffer for itself.
        let wanted = length + 4096;
        if wanted <= SEND_BY_DEFAULT {
            return Ok(());
        }
        match setsockopt(&self.descriptor, sockopt::SndBufForce, &wanted) {
            Err(Errno::EPERM) => setsockopt(&self.descriptor, sockopt::SndBuf, &wanted).doing(DOING),
            result => result.doing(DOING),
        }
    }
}

/// `net.core.wmem_max`, for a hint.
pub(crate) fn largest_send_buffer() -> Option<usize> {
    std::fs::read_to_string("/proc/sys/net/core/wmem_max").ok()?.trim().parse().ok()
}
