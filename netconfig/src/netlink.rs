//! The kernel's network configuration protocol, as far as we speak it.
//!
//! rtnetlink is not used: it queues a whole dump in an unbounded channel, so that a host with a full routing table
//! costs tens of megabytes, and it sends one request at a time. Here a dump is streamed through one buffer, and
//! requests are sent many at once.

pub(crate) mod address;
pub(crate) mod diag;
pub(crate) mod frame;
pub(crate) mod link;
pub(crate) mod route;
pub(crate) mod rule;
pub(crate) mod socket;

pub(crate) use socket::{Existing, Netlink};

use std::fmt;
use std::io;

/// Why the kernel could not be asked or refused a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NetlinkError {
    /// The kernel refused.
    #[error("{0}")]
    Refused(Errno),
    /// The socket failed.
    #[error("the netlink socket failed: {0}")]
    Socket(Errno),
    /// The kernel's answer made no sense, or ended early.
    #[error("the kernel's answer could not be read")]
    Malformed,
}

/// A system call's error number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Errno(pub i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

impl NetlinkError {
    pub(crate) fn socket(error: &io::Error) -> Self {
        Self::Socket(Errno(error.raw_os_error().unwrap_or(libc::EIO)))
    }

    pub(crate) fn is(self, errno: i32) -> bool {
        self == Self::Refused(Errno(errno))
    }
}
