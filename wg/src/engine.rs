//! The engine: owned by one thread, driven by calls.

use crate::command::{ApplyError, Command, Local};
use crate::event::Event;
use crate::key::{PrivateKey, PublicKey};
use crate::sink::{DatagramSink, PacketSink};
use crate::status::Status;
use crate::time::{Mono, Now};
use std::net::SocketAddr;

/// What an engine is made from.
#[derive(Clone)]
pub struct EngineConfig {
    /// Our WireGuard key.
    pub key: PrivateKey,
    /// Facts about this end.
    pub local: Local,
    /// How many flows the filter remembers at most; rounded up to a power of two.
    pub flows: usize,
    /// Randomness for session indices, jitter and hash keys. Never use one twice.
    pub seed: [u8; 32],
}

/// See the [crate documentation](crate).
pub struct Engine {
    key: PublicKey,
}

impl Engine {
    /// An engine without peers, routes or policy: it drops everything.
    pub fn new(config: EngineConfig, now: Now) -> Self {
        let _ = (config, now);
        Self {
            key: PublicKey([0; 32]),
        }
    }

    /// Makes one change. When this returns, it is in force for every packet.
    pub fn apply(
        &mut self,
        command: Command,
        out: &mut impl DatagramSink,
        now: Now,
    ) -> Result<(), ApplyError> {
        let _ = (command, out, now);
        Ok(())
    }

    /// Takes one frame that was read from the TUN device: `buffer[..len]`, offload header first. The bytes behind
    /// it are scratch, and [`crate::split::PADDING`] of them should be there.
    pub fn handle_outgoing(
        &mut self,
        buffer: &mut [u8],
        len: usize,
        out: &mut impl DatagramSink,
        tun: &mut impl PacketSink,
        now: Now,
    ) {
        let _ = (buffer, len, out, tun, now);
    }

    /// Takes what one receive gave: datagrams from one source, each `stride` bytes long but the last.
    pub fn handle_incoming(
        &mut self,
        datagrams: &[u8],
        stride: usize,
        from: SocketAddr,
        out: &mut impl DatagramSink,
        tun: &mut impl PacketSink,
        now: Now,
    ) {
        let _ = (datagrams, stride, from, out, tun, now);
    }

    /// Does what is due: handshakes, keepalives, expiry.
    pub fn handle_timeout(&mut self, out: &mut impl DatagramSink, now: Now) {
        let _ = (out, now);
    }

    /// When [`Self::handle_timeout`] has to be called next; `None` while nothing is under way.
    pub fn poll_timeout(&self) -> Option<Mono> {
        None
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// Reads everything out. Takes time with many peers: not for every turn.
    pub fn status(&self) -> Status {
        Status {
            key: self.key,
            active: None,
            epochs: Vec::new(),
            peers: Vec::new(),
            discards: crate::discard::Discards::default(),
            flows: 0,
            tunnels: 0,
        }
    }
}
