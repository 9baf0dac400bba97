//! What can be read out at any time.

use crate::discard::Discards;
use crate::key::{Epoch, PeerId, PublicKey};
use crate::time::Mono;
use std::net::SocketAddr;
use std::time::Duration;

/// Packets and bytes (of inner packets) in both directions.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    /// Packets sealed.
    pub sent_packets: u64,
    /// Bytes sealed.
    pub sent_bytes: u64,
    /// Packets opened and written.
    pub received_packets: u64,
    /// Bytes opened and written.
    pub received_bytes: u64,
}

/// One peer, as a person would ask about it. Holds no secret.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerStatus {
    /// Its number.
    pub id: PeerId,
    /// Its key.
    pub key: PublicKey,
    /// Where it was heard last, or where we try.
    pub endpoint: Option<SocketAddr>,
    /// Wall-clock time (since 1970) of the last handshake that was completed.
    pub last_handshake: Option<Duration>,
    /// The epoch that we send in.
    pub epoch: Option<Epoch>,
    /// Interval of keepalives.
    pub keepalive: Option<Duration>,
    /// What went through.
    pub traffic: Traffic,
    /// What did not.
    pub discards: Discards,
}

/// The engine as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Our own public key.
    pub key: PublicKey,
    /// The epoch that we prefer to send in.
    pub active: Option<Epoch>,
    /// Every installed epoch with its deadline, oldest first.
    pub epochs: Vec<(Epoch, Mono)>,
    /// Every peer, by id.
    pub peers: Vec<PeerStatus>,
    /// Everything that was dropped, attributed to a peer or not.
    pub discards: Discards,
    /// Flows that the filter remembers.
    pub flows: usize,
    /// Tunnel objects that exist; idle peers have none.
    pub tunnels: usize,
}
