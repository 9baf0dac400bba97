//! Peers, and the table that finds them by id, by key and by place.

use crate::discard::Discards;
use crate::gate::Bucket;
use crate::guard::Far;
use crate::initiation::Timestamp;
use crate::key::{PeerId, Psk, PublicKey};
use crate::status::Traffic;
use crate::time::Mono;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

/// Previous, current and next.
pub(crate) const EPOCHS: usize = 3;
/// Packets that wait for one peer's handshake.
pub(crate) const MOST_WAITING: usize = 64;

/// Packets that wait for all peers' handshakes.
pub(crate) const MOST_WAITING_IN_ALL: usize = 4096;

/// A place in a table.
pub(crate) type Place = u32;

/// A packet that waits for a handshake.
pub(crate) struct Waiting {
    pub(crate) packet: Box<[u8]>,
    pub(crate) since: Mono,
    /// The policy that let it pass.
    pub(crate) policy: u32,
}

/// A peer; small, for there may be many that never speak.
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) key: PublicKey,
    /// Unique for as long as the engine lives.
    pub(crate) tag: u64,
    /// The secret that its key and ours share.
    pub(crate) shared: [u8; 32],
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) candidates: Box<[SocketAddr]>,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) mtu: Option<u16>,
    pub(crate) deadline: Mono,
    /// By place of the epoch.
    pub(crate) psks: [Option<Psk>; EPOCHS],
    /// By place of the epoch; only where there was traffic.
    pub(crate) tunnels: [Option<Place>; EPOCHS],
    /// The newest initiation, whichever tunnel took it.
    pub(crate) newest: Timestamp,
    pub(crate) initiated: Bucket,
    /// Initiations since the last session was confirmed.
    pub(crate) unconfirmed: u8,
    pub(crate) waiting: VecDeque<Waiting>,
    pub(crate) echoes: Bucket,
    pub(crate) last_handshake: Option<Duration>,
    pub(crate) traffic: Traffic,
    pub(crate) discards: Discards,
}

impl Peer {
    pub(crate) fn far(&self) -> Far {
        Far {
            id: self.id,
            tag: self.tag,
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.shared);
    }
}

/// All peers.
#[derive(Default)]
pub(crate) struct PeerTable {
    peers: Vec<Option<Peer>>,
    free: Vec<Place>,
    by_id: HashMap<PeerId, Place, BuildHasherDefault<Spread>>,
    by_key: HashMap<PublicKey, Place>,
}

impl PeerTable {
    pub(crate) fn insert(&mut self, peer: Peer) -> Place {
        let place = self.free.pop().unwrap_or(self.peers.len() as Place);
        self.by_id.insert(peer.id, place);
        self.by_key.insert(peer.key, place);
        if place as usize == self.peers.len() {
            self.peers.push(Some(peer));
        } else {
            self.peers[place as usize] = Some(peer);
        }
        place
    }

    pub(crate) fn remove(&mut self, id: PeerId) -> Option<Peer> {
        let place = self.by_id.remove(&id)?;
        let peer = self.peers[place as usize].take()?;
        self.by_key.remove(&peer.key);
        self.free.push(place);
        Some(peer)
    }

    pub(crate) fn place(&self, id: PeerId) -> Option<Place> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn place_of_key(&self, key: &PublicKey) -> Option<Place> {
        self.by_key.get(key).copied()
    }

    pub(crate) fn at(&self, place: Place) -> Option<&Peer> {
        self.peers.get(place as usize)?.as_ref()
    }

    pub(crate) fn at_mut(&mut self, place: Place) -> Option<&mut Peer> {
        self.peers.get_mut(place as usize)?.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter().flatten()
    }

    pub(crate) fn places_where(
        &self,
        holds: impl Fn(&Peer) -> bool,
    ) -> impl Iterator<Item = Place> {
        let peers = self.peers.iter().enumerate();
        peers
            .filter(move |(_, peer)| peer.as_ref().is_some_and(&holds))
            .map(|(place, _)| place as Place)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.peers.iter_mut().flatten()
    }
}

/// Spreads numbers that nobody outside chooses.
#[derive(Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}
