//! The engine: owned by one thread, driven by calls.

mod answer;
mod apply;
mod handshake;
mod incoming;
mod outgoing;
mod timers;

use crate::command::{ApplyError, Command, Local};
use crate::discard::{Discard, Discards};
use crate::event::Event;
use crate::gate::{Bucket, Gate};
use crate::guard::Guard;
use crate::initiation::{Opener, Timestamp};
use crate::key::{Epoch, PeerId, PrivateKey, PublicKey};
use crate::live::LiveTable;
use crate::peer::{EPOCHS, PeerTable, Place};
use crate::routes::Routes;
use crate::sink::{DatagramSink, PacketSink};
use crate::status::{PeerStatus, Status};
use crate::time::{Mono, Now};
use crate::tunnel::Identity;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How often live tunnels are looked after.
const TICK: Duration = Duration::from_millis(250);
/// So late, time is caught up with before anything else is done.
const LATE: Duration = Duration::from_secs(1);
const MOST_EVENTS: usize = 4096;

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

/// An installed epoch.
struct Span {
    epoch: Epoch,
    deadline: Mono,
    installed: Mono,
    activated: Option<Mono>,
    spread: Duration,
    /// Its end has been told.
    expired: bool,
}

/// A ping under way.
struct Pending {
    peer: PeerId,
    nonce: u64,
    token: u64,
    sent: Mono,
}

/// See the [crate documentation](crate).
pub struct Engine {
    identity: Identity,
    opener: Opener,
    gate: Gate,
    guard: Guard,
    rng: ChaCha12Rng,
    local: Local,
    routes: Arc<Routes>,
    peers: PeerTable,
    live: LiveTable,
    /// The newest initiations of peers that were removed.
    gone: HashMap<PublicKey, Timestamp>,
    spans: [Option<Span>; EPOCHS],
    /// Place of the epoch that we prefer to send in.
    active: Option<usize>,
    /// Peers that want keepalives.
    keepers: Vec<Place>,
    pings: Vec<Pending>,
    events: VecDeque<Event>,
    discards: Discards,
    next_tick: Option<Mono>,
    next_tag: u64,
    /// Packets that wait for handshakes, of all peers.
    waiting: usize,
    /// Makes the moments of handshakes differ from node to node.
    jitter: u64,
    /// Answers to packets too big.
    errors: Bucket,
    cookies: Bucket,
    scratch: Vec<u8>,
}

impl Engine {
    /// An engine without peers, routes or policy: it drops everything.
    pub fn new(config: EngineConfig, now: Now) -> Self {
        let mut rng = ChaCha12Rng::from_seed(config.seed);
        let mut hash_key = || {
            let mut key = [0; 16];
            rng.fill_bytes(&mut key);
            key
        };
        let (gate, guard) = (Gate::new(hash_key()), Guard::new(config.flows, hash_key()));
        let identity = Identity::new(&config.key);
        Self {
            opener: Opener::new(&identity),
            identity,
            gate,
            guard,
            local: config.local,
            routes: Arc::default(),
            peers: PeerTable::default(),
            live: LiveTable::default(),
            gone: HashMap::new(),
            spans: [None, None, None],
            active: None,
            keepers: Vec::new(),
            pings: Vec::new(),
            events: VecDeque::new(),
            discards: Discards::default(),
            next_tick: None,
            next_tag: now.mono.0,
            waiting: 0,
            jitter: rng.next_u64(),
            errors: Bucket::default(),
            cookies: Bucket::default(),
            scratch: Vec::new(),
            rng,
        }
    }

    /// Makes one change. When this returns, it is in force for every packet.
    pub fn apply(
        &mut self,
        command: Command,
        out: &mut impl DatagramSink,
        now: Now,
    ) -> Result<(), ApplyError> {
        self.catch_up(out, now);
        self.carry_out(command, out, now)
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
        self.catch_up(out, now);
        self.take_frame(buffer, len, out, tun, now);
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
        self.catch_up(out, now);
        self.take_batch(datagrams, stride, from, out, tun, now);
    }

    /// Does what is due: handshakes, keepalives, expiry.
    pub fn handle_timeout(&mut self, out: &mut impl DatagramSink, now: Now) {
        self.expire(now);
        self.look_after_tunnels(out, now);
        self.prepare_epochs(out, now);
        self.keep_alive(out, now);
        self.rearm(now);
    }

    /// When [`Self::handle_timeout`] has to be called next; `None` while nothing is under way.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let ends = self
            .spans
            .iter()
            .flatten()
            .filter(|span| !span.expired)
            .map(|span| span.deadline);
        ends.chain(self.next_tick)
            .min()
            .filter(|at| *at != Mono::NEVER)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Reads everything out. Takes time with many peers: not for every turn.
    pub fn status(&self, now: Now) -> Status {
        let mut epochs: Vec<_> = self
            .spans
            .iter()
            .flatten()
            .map(|span| (span.epoch, span.deadline))
            .collect();
        epochs.sort_unstable();
        let mut peers: Vec<_> = self
            .peers
            .iter()
            .map(|peer| self.peer_status(peer))
            .collect();
        peers.sort_unstable_by_key(|peer| peer.id);
        Status {
            key: self.identity.public(),
            active: self
                .active
                .and_then(|place| self.spans[place].as_ref())
                .map(|span| span.epoch),
            epochs,
            peers,
            discards: self.discards.clone(),
            flows: self.guard.flows(now.mono),
            tunnels: self.live.len(),
        }
    }

    fn peer_status(&self, peer: &crate::peer::Peer) -> PeerStatus {
        let sending = self
            .ready_place(peer, Mono(0))
            .and_then(|place| self.spans[place].as_ref());
        PeerStatus {
            id: peer.id,
            key: peer.key,
            endpoint: peer.endpoint.or(peer.candidates.first().copied()),
            last_handshake: peer.last_handshake,
            epoch: sending.map(|span| span.epoch),
            keepalive: peer.keepalive,
            traffic: peer.traffic,
            discards: peer.discards.clone(),
        }
    }

    /// Counts a packet that was dropped, to its peer as well if it is known.
    fn discard(&mut self, reason: Discard, peer: Option<Place>) {
        self.discards.count(reason);
        if let Some(peer) = peer.and_then(|place| self.peers.at_mut(place)) {
            peer.discards.count(reason);
        }
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() < MOST_EVENTS {
            self.events.push_back(event);
        } else if self.events.back() != Some(&Event::Overflow) {
            self.events.push_back(Event::Overflow);
        }
    }

    /// After a pause (a suspended host, a stopped process) sessions must age before they are used.
    fn catch_up(&mut self, out: &mut impl DatagramSink, now: Now) {
        if self.next_tick.is_some_and(|tick| now.mono >= tick + LATE) {
            self.handle_timeout(out, now);
        }
    }
}
