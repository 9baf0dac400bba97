//! Engines and the network between them.

use crate::clock;
use crate::node::{Node, engine, numbered, peer_config};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tidegate_wg::{
    Command, Epoch, EpochKeys, Mono, Now, PeerConfig, PeerId, Psk, PublicKey, Status,
};

/// The virtual clock starts here, so that nothing happens at zero.
const START: u64 = 1000 * SECOND;
const SECOND: u64 = 1_000_000_000;
const MILLI: u64 = 1_000_000;

/// What the network does to each datagram.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Lost, in thousandths.
    pub loss: u32,
    /// Delivered twice, in thousandths.
    pub duplicated: u32,
    /// Shortest and longest way, in milliseconds; a difference reorders.
    pub delay: (u64, u64),
}

impl Link {
    /// Loses nothing and keeps the order.
    pub const GOOD: Self = Self {
        loss: 0,
        duplicated: 0,
        delay: (5, 5),
    };
}

/// A datagram under way.
#[derive(Clone)]
struct Flying {
    to: SocketAddr,
    from: SocketAddr,
    bytes: Vec<u8>,
}

type Watch = Box<dyn FnMut(u64, SocketAddr, SocketAddr, &[u8]) -> bool>;

/// See the [crate documentation](crate).
pub struct World {
    pub nodes: Vec<Node>,
    pub link: Link,
    /// Data messages with a packet inside that the network lost.
    pub lost: usize,
    /// Sees every datagram that leaves (time, from, to, bytes) and says whether it may.
    pub watch: Option<Watch>,
    keys: Vec<PublicKey>,
    now: u64,
    random: u64,
    flying: BTreeMap<(u64, u64), Flying>,
    next: u64,
}

pub fn peer(number: u8) -> PeerId {
    PeerId(u64::from(number))
}

pub fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number], 51820))
}

pub fn inner(number: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, number])
}

fn psk(a: u8, b: u8, epoch: u64) -> Psk {
    let mut bytes = [0x55; 32];
    (bytes[0], bytes[1]) = (a.min(b), a.max(b));
    bytes[2..10].copy_from_slice(&epoch.to_be_bytes());
    Psk(bytes)
}

impl World {
    /// A full mesh of nodes 0 to `count` − 1 that allow everything and have no epoch.
    pub fn new(count: u8, link: Link, seed: u64) -> Self {
        clock::set(START);
        let now = now_at(START);
        let keys: Vec<PublicKey> = (0..count)
            .map(|number| engine(number, seed, now).status(now).key)
            .collect();
        let nodes = (0..count)
            .map(|number| Node::new(number, &keys, seed, now))
            .collect();
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self {
            nodes,
            keys,
            link,
            lost: 0,
            watch: None,
            now: START,
            random,
            flying: BTreeMap::new(),
            next: 0,
        }
    }

    /// Time since the start.
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.now - START)
    }

    pub fn now(&self) -> Now {
        now_at(self.now)
    }

    /// An instant of the engines' clock.
    pub fn instant(&self, since_start: Duration) -> Mono {
        Mono(START) + since_start
    }

    /// A number below `end`.
    pub fn random(&mut self, end: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % end.max(1)
    }

    pub fn apply(&mut self, number: u8, command: Command) {
        let now = self.now();
        let node = &mut self.nodes[usize::from(number)];
        node.engine
            .apply(command, &mut node.wire, now)
            .expect("the command is in order");
        self.collect();
    }

    /// Makes an epoch known to one node, with the keys of all others.
    pub fn install(&mut self, number: u8, epoch: u64, deadline: Mono, spread: Duration) {
        let others = (0..self.nodes.len() as u8).filter(|other| *other != number);
        let psks = others
            .map(|other| (peer(other), psk(number, other, epoch)))
            .collect();
        self.apply(
            number,
            Command::InstallEpoch(EpochKeys {
                epoch: Epoch(epoch),
                deadline,
                spread,
                psks,
            }),
        );
    }

    /// Makes a node known to another again, with its keys in these epochs.
    pub fn add(&mut self, number: u8, other: u8, epochs: &[u64]) {
        let psks = epochs
            .iter()
            .map(|epoch| (Epoch(*epoch), psk(number, other, *epoch)))
            .collect();
        let config = PeerConfig {
            psks,
            ..peer_config(other, self.keys[usize::from(other)])
        };
        self.apply(number, Command::AddPeer(config));
    }

    /// Makes an epoch known to all, and active.
    pub fn start(&mut self, epoch: u64) {
        for number in 0..self.nodes.len() as u8 {
            self.install(number, epoch, Mono::NEVER, Duration::ZERO);
            self.apply(number, Command::Activate(Epoch(epoch)));
        }
    }

    /// Sends a numbered packet.
    pub fn send(&mut self, from: u8, to: u8, number: u32) {
        let packet = numbered(from, to, number);
        let mut frame = [&[0; tidegate_wg::vnet::LEN], &packet[..], &[0; 16]].concat();
        let (len, now) = (frame.len() - 16, self.now());
        let node = &mut self.nodes[usize::from(from)];
        node.engine
            .handle_outgoing(&mut frame, len, &mut node.wire, &mut node.tun, now);
        self.collect();
    }

    /// Hands a node a datagram out of nowhere.
    pub fn inject(&mut self, number: u8, from: SocketAddr, bytes: &[u8]) {
        self.deliver(Flying {
            to: address(number),
            from,
            bytes: bytes.to_vec(),
        });
    }

    pub fn status(&self, number: u8) -> Status {
        self.nodes[usize::from(number)].engine.status(self.now())
    }

    /// Lets everything happen that happens within this span.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span.as_nanos() as u64;
        while let Some(at) = self.next_event().filter(|at| *at <= end) {
            self.set_time(at.max(self.now));
            self.step();
        }
        self.set_time(end);
    }

    /// All processes stand still while time goes on; what flies arrives afterwards.
    pub fn freeze(&mut self, span: Duration) {
        self.set_time(self.now + span.as_nanos() as u64);
    }

    fn set_time(&mut self, nanos: u64) {
        self.now = nanos;
        clock::set(nanos);
    }

    fn next_event(&self) -> Option<u64> {
        let timers = self
            .nodes
            .iter()
            .filter_map(|node| node.engine.poll_timeout())
            .map(|at| at.0);
        timers
            .chain(self.flying.keys().map(|(at, _)| *at).next())
            .min()
    }

    fn step(&mut self) {
        while let Some(entry) = self
            .flying
            .first_entry()
            .filter(|entry| entry.key().0 <= self.now)
        {
            let flying = entry.remove();
            self.deliver(flying);
        }
        let now = self.now();
        for node in &mut self.nodes {
            if node.engine.poll_timeout().is_some_and(|at| at <= now.mono) {
                node.engine.handle_timeout(&mut node.wire, now);
            }
        }
        self.collect();
    }

    fn deliver(&mut self, flying: Flying) {
        let now = self.now();
        let Some(node) = self
            .nodes
            .iter_mut()
            .find(|node| address(node.number) == flying.to)
        else {
            return;
        };
        let Node {
            engine, wire, tun, ..
        } = node;
        engine.handle_incoming(
            &flying.bytes,
            flying.bytes.len(),
            flying.from,
            wire,
            tun,
            now,
        );
        node.take_packets();
        self.collect();
    }

    /// Puts what the engines sent on its way.
    fn collect(&mut self) {
        for place in 0..self.nodes.len() {
            let node = &mut self.nodes[place];
            node.events
                .extend(std::iter::from_fn(|| node.engine.poll_event()));
            let from = address(node.number);
            for (to, bytes) in std::mem::take(&mut node.wire.sent) {
                self.throw(Flying { to, from, bytes });
            }
        }
    }

    fn throw(&mut self, flying: Flying) {
        let time = self.now - START;
        let passes = self
            .watch
            .as_mut()
            .is_none_or(|watch| watch(time, flying.from, flying.to, &flying.bytes));
        if !passes || self.random(1000) < u64::from(self.link.loss) {
            self.lost += usize::from(flying.bytes[0] == 4 && flying.bytes.len() > 32);
            return;
        }
        let copies = if self.random(1000) < u64::from(self.link.duplicated) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let (least, most) = self.link.delay;
            let delay = least * MILLI + self.random((most - least) * MILLI + 1);
            self.next += 1;
            self.flying
                .insert((self.now + delay, self.next), flying.clone());
        }
    }
}

fn now_at(nanos: u64) -> Now {
    Now {
        mono: Mono(nanos),
        unix: Duration::from_secs(1_700_000_000) + Duration::from_nanos(nanos),
    }
}
