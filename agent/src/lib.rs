//! # The agent
//!
//! The library behind the privileged daemon, its command line and its local API. It wires pure parts
//! to the world: `tidegate-core` decides who is a peer and for how long, `tidegate-wg-io` moves the
//! packets, `tidegate-netconfig` shapes the kernel's network.
//!
//! ## Model
//!
//! * [`client`] speaks to the authority: pinned TLS, signed requests, one method per route, and the stream. Daemon,
//!   command line, tests and benchmarks share it.
//! * [`admin`] is what `tidegate admin` is made of: profiles of networks, and answers as people like to read them.
//! * [`daemon`] is `tidegate run`; [`state`], [`config`], [`owner`] and [`privileges`] are what it stands on, and
//!   [`local`] is how the command line speaks to it. [`dns`] answers for the names of nodes.
//!
//! ## Contract
//!
//! * Only this crate knows sockets, files and clocks on a node; everything that decides is told.
//! * A document reaches `tidegate-core` only as a `Verified` value.
//! * Data stops before anything else happens when a peer, or this node, is revoked.
//! * Root does nothing by a path in a directory of another user's: it becomes that user first.
//! * It never links a database.
#![forbid(unsafe_code)]

pub mod admin;
pub mod client;
pub mod config;
pub mod daemon;
pub mod dns;
pub mod exit;
pub mod join;
pub mod local;
pub mod logs;
pub mod owner;
pub mod privileges;
pub mod state;
