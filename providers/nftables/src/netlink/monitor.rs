//! The socket on which the kernel tells what was committed.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket, sockopt,
};

use super::socket::{Doing, NetlinkError};

/// `NFNLGRP_NFTABLES`, as a bit.
const GROUP: u32 = 1 << (7 - 1);
/// The kernel packs messages to 16 KiB at most.
const RECEIVE: usize = 64 * 1024;

/// A socket that hears of every commit in the network namespace that it was opened in.
#[derive(Debug)]
pub(crate) struct Monitor {
    descriptor: OwnedFd,
    received: Vec<u8>,
}

impl Monitor {
    /// Opens it with a receive buffer of so many bytes, or what the kernel allows of them.
    pub(crate) fn open(buffer: usize) -> Result<Self, NetlinkError> {
        const DOING: &str = "listen for changes";
        let kind = (AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkNetFilter);
        let descriptor = socket(kind.0, kind.1, kind.2, kind.3).doing(DOING)?;
        match setsockopt(&descriptor, sockopt::RcvBufForce, &buffer) {
            // Outside the first user namespace: `net.core.rmem_max` bounds it.
            Err(Errno::EPERM) => setsockopt(&descriptor, sockopt::RcvBuf, &buffer).doing(DOING)?,
            result => result.doing(DOING)?,
        }
        bind(descriptor.as_raw_fd(), &NetlinkAddr::new(0, GROUP)).doing(DOING)?;
        Ok(Self { descriptor, received: vec![0; RECEIVE] })
    }

    /// What is there already; nothing where nothing is.
    ///
    /// # Errors
    /// `ENOBUFS` where messages were lost.
    pub(crate) fn receive(&mut self) -> Result<Option<&[u8]>, Errno> {
        match recv(self.descriptor.as_raw_fd(), &mut self.received, MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT) {
            // With MSG_TRUNC it is the length that the datagram had: a longer one is as good as lost.
            Ok(length) => self.received.get(..length).map(Some).ok_or(Errno::ENOBUFS),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
