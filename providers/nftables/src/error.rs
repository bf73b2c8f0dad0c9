//! What the kernel's error numbers mean to the operator.

use nix::errno::Errno;
use tagwall_provider::{Cause, ProviderError};

use crate::netlink::socket::{NetlinkError, largest_send_buffer};
use crate::snapshot::ReadError;

/// Gives a failure its class and says what to do.
pub(crate) fn classified(error: &NetlinkError) -> ProviderError {
    match *error {
        NetlinkError::Refused { doing, errno } => refused(doing, errno),
        NetlinkError::TooLarge { needed } => {
            let bound = largest_send_buffer().map_or_else(String::new, |bound| format!(" (it is {bound})"));
            let cause = Cause::new(format!(
                "the change needs one transaction of {needed} bytes, more than this socket can send"
            ));
            ProviderError::rejected(cause.hint(format!(
                "outside the first user namespace the bound is net.core.wmem_max{bound}: raise it there to {needed} or more with `sysctl -w net.core.wmem_max={needed}`, or run with CAP_NET_ADMIN of the host"
            )))
        }
        NetlinkError::Unreadable { doing, source } => {
            ProviderError::rejected(Cause::new(format!("the kernel's answer cannot be read: {doing}")).because(source))
        }
    }
}

fn refused(doing: &str, errno: Errno) -> ProviderError {
    let cause = Cause::new(format!("the kernel refused to {doing}")).because(errno);
    match errno {
        Errno::EPERM | Errno::EACCES => ProviderError::Denied(cause.hint(
            "even listing nftables needs CAP_NET_ADMIN: run as root, or give the service AmbientCapabilities=CAP_NET_ADMIN",
        )),
        Errno::EPROTONOSUPPORT | Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT | Errno::EINVAL
            if doing != crate::netlink::socket::COMMIT =>
        {
            ProviderError::rejected(cause.hint(
                "this kernel has no nf_tables, or has not loaded it: `modprobe nf_tables` (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET)",
            ))
        }
        Errno::EEXIST | Errno::ENOENT => ProviderError::Conflict(cause),
        Errno::EBUSY => ProviderError::rejected(cause.hint(
            "a chain or rule that is not of tagwall refers to one of its chains or sets: `nft list table inet tagwall` shows it",
        )),
        Errno::ENFILE => ProviderError::rejected(cause.hint("the set is full: make it again with a larger `size`, or with none")),
        Errno::EOPNOTSUPP => ProviderError::rejected(cause.hint(
            "the kernel lacks an expression of nf_tables that is needed (ct, fib, counter): `modprobe -a nft_ct nft_fib_inet`",
        )),
        Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS | Errno::ENOMEM | Errno::ERESTART | Errno::ETIMEDOUT => {
            ProviderError::Transient(cause)
        }
        _ => ProviderError::rejected(cause),
    }
}

impl From<ReadError> for ProviderError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Netlink(error) => classified(&error),
            busy @ ReadError::Busy => Self::Transient(
                Cause::new(busy.to_string())
                    .hint("another program changes the same table all the time: find it with `nft monitor`"),
            ),
        }
    }
}
