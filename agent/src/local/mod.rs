//! The local API: what the command line and the daemon say to each other.
//!
//! A unix socket; one line of JSON asks, one line of JSON answers. Whoever may open the socket may look: its owner, and
//! the group `tidegate`. Only root, and the daemon's own user, may change anything; the kernel says who asks. A
//! question is at most [`LONGEST_REQUEST`] bytes, a client has [`PATIENCE`] for it, and [`CLIENTS`] are served at a time; as many
//! again of root's, so that nobody who may only look can keep root out.

mod client;
mod request;
mod server;
mod view;

use std::time::Duration;

pub use client::{Client, ClientError};
pub use request::{Refusal, Reply, Request};
pub(crate) use server::{Socket, SocketError};
pub use view::{
    AuthorityView, CertificateView, CheckView, ClockView, EpochView, HealthView, Level, ListView,
    NetworkView, NodeState, PeerView, PingView, PlaneView, RefusedView, RouteView, StatusView,
};

/// The longest question.
pub const LONGEST_REQUEST: usize = 4096;
/// The longest answer: the status with 10,000 peers fits.
pub const LONGEST_REPLY: usize = 32 << 20;
/// How long a client may take to ask, and to take the answer.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Clients at a time, of root and of everybody else.
pub const CLIENTS: usize = 16;
