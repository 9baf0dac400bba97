//! What the control thread can ask for.

use crate::filter::Filter;
use crate::key::{Epoch, PeerId, Psk, PublicKey};
use crate::routes::Routes;
use crate::time::Mono;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// A peer and what is needed to speak with it.
#[derive(Clone)]
pub struct PeerConfig {
    /// Its number from now on.
    pub id: PeerId,
    /// Its WireGuard key.
    pub key: PublicKey,
    /// Addresses to try, best first; packets that authenticate teach the engine better.
    pub candidates: Vec<SocketAddr>,
    /// Send something at least this often, whether or not there is traffic.
    pub keepalive: Option<Duration>,
    /// Largest inner packet for this peer, where its path is narrower than the interface.
    pub mtu: Option<u16>,
    /// Nothing is exchanged with this peer from here on, whatever the epochs say.
    pub deadline: Mono,
    /// Its key in each epoch that is installed already.
    pub psks: Vec<(Epoch, Psk)>,
}

/// One epoch: who can be spoken to in it, and until when.
#[derive(Clone)]
pub struct EpochKeys {
    /// Which epoch.
    pub epoch: Epoch,
    /// Nothing is sealed, opened or written in this epoch from here on.
    pub deadline: Mono,
    /// The handshakes of peers in use are spread over this span.
    pub spread: Duration,
    /// The key of every peer.
    pub psks: Vec<(PeerId, Psk)>,
}

/// Facts about this end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Local {
    /// Our overlay addresses: where answers about packets too big come from, and what echoes answer to.
    pub addresses: Vec<IpAddr>,
    /// Largest inner packet.
    pub mtu: u16,
}

/// An echo inside the tunnel, answered by the other engine (or by any host that answers ICMP).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ping {
    /// Whom.
    pub peer: PeerId,
    /// Comes back in [`crate::Event::Pong`].
    pub token: u64,
    /// One of our overlay addresses.
    pub from: IpAddr,
    /// An overlay address of the peer, of the same family.
    pub to: IpAddr,
    /// Length of the whole inner packet, so that a path's limit can be found; at least 72.
    pub len: u16,
}

/// One change. When [`crate::Engine::apply`] has returned it is in force for every packet.
#[derive(Clone)]
#[non_exhaustive]
pub enum Command {
    /// Adds a peer, or replaces the one of the same id and key (its tunnels stay if their keys do).
    AddPeer(PeerConfig),
    /// Forgets a peer with its tunnels, its waiting packets and its flows.
    RemovePeer(PeerId),
    /// Makes an epoch known. Peers in use shake hands in it ahead of time. The same epoch again moves its
    /// deadline, and replaces the tunnels of peers whose keys differ.
    InstallEpoch(EpochKeys),
    /// Sends in this epoch from now on, peer by peer as soon as a session in it is confirmed.
    Activate(Epoch),
    /// Forgets an epoch with its tunnels.
    Retire(Epoch),
    /// Moves an epoch's deadline.
    SetEpochDeadline(Epoch, Mono),
    /// Moves a peer's own deadline.
    SetPeerDeadline(PeerId, Mono),
    /// Replaces all routes. Keep a clone: then the old table is not freed on the data thread.
    SetRoutes(Arc<Routes>),
    /// Replaces the policy; flows that the old one allowed must be allowed anew.
    SetFilter(Arc<Filter>),
    /// Replaces the addresses to try.
    SetCandidates(PeerId, Vec<SocketAddr>),
    /// Sends to this address from now on, until the peer speaks from another.
    SetEndpoint(PeerId, SocketAddr),
    /// Replaces the peer's largest inner packet.
    SetMtu(PeerId, Option<u16>),
    /// Replaces the facts about this end.
    SetLocal(Local),
    /// Shakes hands now, without waiting for traffic.
    Connect(PeerId),
    /// Sends an echo.
    Ping(Ping),
}

/// Why a command was refused; nothing was changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// Names a peer that was never added.
    #[error("peer {} is not known to the engine; add it first", .0.0)]
    UnknownPeer(PeerId),
    /// Two peers with one key, or one id with two keys.
    #[error("key {key:?} of peer {} belongs to another peer, or the id to another key; remove that one first", .peer.0)]
    KeyInUse {
        /// The peer that was to be added.
        peer: PeerId,
        /// Its key.
        key: PublicKey,
    },
    /// The key is our own, or one of the few that make every shared secret zero.
    #[error("key {key:?} of peer {} cannot be a peer's: it is our own or of low order", .peer.0)]
    BadKey {
        /// The peer that was to be added.
        peer: PeerId,
        /// Its key.
        key: PublicKey,
    },
    /// Names an epoch that is not installed.
    #[error("epoch {} is not installed; install it first", .0.0)]
    UnknownEpoch(Epoch),
    /// Only three epochs fit: previous, current, next.
    #[error("three epochs are installed already; retire one before installing epoch {}", .0.0)]
    TooManyEpochs(Epoch),
    /// The epoch's deadline has passed.
    #[error("the deadline of epoch {} has passed; only a newer grant helps", .0.0)]
    PastDeadline(Epoch),
    /// The ping's addresses do not fit each other, the peer or us.
    #[error(
        "a ping needs our address, the peer's address of the same family, and 72 bytes up to the MTU"
    )]
    BadPing,
    /// There is no session to send the ping in.
    #[error("no session with peer {}; connect first", .0.0)]
    NoSession(PeerId),
    /// More pings under way than the engine remembers.
    #[error("too many pings under way; wait for answers")]
    TooManyPings,
}
