//! What can go wrong, by who has to act.

use std::io;
use std::net::SocketAddr;

/// Why the data plane did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The interface could not be created.
    #[error(
        "cannot create the interface {name}: {source}; it needs CAP_NET_ADMIN, /dev/net/tun and a name that is free"
    )]
    Tun {
        /// Name of the interface.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A socket could not be bound.
    #[error("cannot listen on UDP {address}: {source}; choose another port or stop who has it")]
    Udp {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The datagrams' mark was refused.
    #[error("cannot mark datagrams with {mark}: {source}; it needs CAP_NET_ADMIN")]
    Mark {
        /// The mark.
        mark: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// Neither address family was asked for or is there.
    #[error("no UDP socket: neither IPv4 nor IPv6 can be used on this host")]
    NoSocket,
    /// A thread or its bell could not be made.
    #[error("cannot start the data thread: {0}; the host may be out of threads or descriptors")]
    Thread(io::Error),
}

/// Why a command was not carried out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The engine refused a command; those before it were carried out, those after it were not.
    #[error(transparent)]
    Refused(#[from] tidegate_wg::ApplyError),
    /// The data thread has ended; its events say why.
    #[error("the data plane has stopped; start it again")]
    Stopped,
    /// It did not answer in time. The command may still be carried out.
    #[error("the data plane did not answer in time; it may still carry the command out")]
    TimedOut,
}
