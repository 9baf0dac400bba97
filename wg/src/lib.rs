//! # The WireGuard engine
//!
//! Packets in, packets out: peers with opaque ids, one boringtun tunnel per (peer, epoch), routes and
//! a stateful filter. It knows neither certificates nor documents, only keys and deadlines.
//!
//! ## Model
//!
//! One thread owns the TUN device, the UDP sockets and the [`Engine`]; nothing in here locks. Each turn
//! of its loop samples the clocks once ([`Now`]) and then calls
//!
//! * [`Engine::handle_incoming`] for what the sockets gave: datagrams are opened straight into the
//!   place that a [`PacketSink`] names, checked there, and committed;
//! * [`Engine::handle_outgoing`] for what the TUN gave: a frame of up to 64 KiB is routed and filtered
//!   once, split in place, and every segment is sealed straight into the place that a
//!   [`DatagramSink`] names;
//! * [`Engine::handle_timeout`] when [`Engine::poll_timeout`] is due, and [`Engine::poll_event`] until
//!   it has no more;
//! * [`Engine::apply`] for each [`Command`] of the control thread. When it has returned, it has
//!   happened: nothing is sealed, opened or written for a removed peer or a retired epoch any more.
//!
//! The pure packet code lives here as well: [`vnet`] headers, [`split`] and [`merge`] (the sender's and the receiver's
//! offload), [`checksum`], [`packet`].
//!
//! ## Contract
//!
//! * No clock, no socket, no file; no lock and no allocation per packet once traffic flows.
//! * Every tunnel has a deadline on the boot-time clock, looked at before a batch is sealed, opened or
//!   written. A caller therefore samples [`Now`] after it has waited, never before.
//! * No policy, no packet: without a [`Filter`] rule or a flow that one allowed, packets are counted
//!   and dropped.
//! * Whatever arrives, nothing panics and nothing grows without bound. A dropped packet is not an
//!   error but a [`Discard`] that is counted.
#![forbid(unsafe_code)]

pub mod checksum;
mod command;
mod discard;
mod engine;
mod event;
mod filter;
mod flow;
mod gate;
mod guard;
mod icmp;
mod initiation;
mod key;
mod live;
pub mod merge;
mod mss;
pub mod packet;
mod peer;
mod routes;
#[cfg(test)]
mod samples;
mod sink;
pub mod split;
mod status;
mod time;
mod tunnel;
pub mod vnet;

pub use command::{ApplyError, Command, EpochKeys, Local, PeerConfig, Ping};
pub use discard::{Discard, Discards};
pub use engine::{Engine, EngineConfig};
pub use event::Event;
pub use filter::{Addresses, Direction, Filter, IcmpKind, Peers, Ports, Protocols, Rule};
pub use key::{Epoch, PeerId, PrivateKey, Psk, PublicKey};
pub use routes::{Prefix, Routes};
pub use sink::{DatagramSink, PacketSink};
pub use status::{PeerStatus, Status, Traffic};
pub use time::{Mono, Now};
