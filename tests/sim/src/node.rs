//! One engine with its two ends.

use crate::world::{address, inner, peer};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use tidegate_wg::{
    Command, DatagramSink, Direction, Engine, EngineConfig, Event, Filter, Local, Mono, Now,
    PacketSink, PeerConfig, Prefix, PrivateKey, PublicKey, Routes, Rule,
};

/// One engine and what it did.
pub struct Node {
    pub engine: Engine,
    /// Numbers that arrived, by sender; each only once.
    pub arrived: BTreeMap<u8, Vec<u32>>,
    pub events: Vec<Event>,
    seen: BTreeSet<(u8, u32)>,
    pub(crate) number: u8,
    pub(crate) wire: Wire,
    pub(crate) tun: Tun,
}

#[derive(Default)]
pub(crate) struct Wire {
    pub(crate) sent: Vec<(SocketAddr, Vec<u8>)>,
    place: Option<(SocketAddr, Vec<u8>)>,
}

impl DatagramSink for Wire {
    fn room(&mut self, to: SocketAddr, len: usize) -> &mut [u8] {
        &mut self.place.insert((to, vec![0; len])).1
    }

    fn commit(&mut self, len: usize) {
        let (to, mut bytes) = self.place.take().expect("commit follows room");
        bytes.truncate(len);
        self.sent.push((to, bytes));
    }
}

#[derive(Default)]
pub(crate) struct Tun {
    packets: Vec<Vec<u8>>,
    place: Vec<u8>,
}

impl PacketSink for Tun {
    fn room(&mut self, len: usize) -> &mut [u8] {
        self.place = vec![0; len];
        &mut self.place
    }

    fn commit(&mut self, len: usize) {
        self.place.truncate(len);
        self.packets.push(std::mem::take(&mut self.place));
    }
}

impl Node {
    pub(crate) fn new(number: u8, keys: &[PublicKey], seed: u64, now: Now) -> Self {
        let (wire, tun) = (Wire::default(), Tun::default());
        let engine = engine(number, seed, now);
        let mut node = Self {
            engine,
            arrived: BTreeMap::new(),
            seen: BTreeSet::new(),
            events: Vec::new(),
            number,
            wire,
            tun,
        };
        let others = || (0..keys.len() as u8).filter(|other| *other != number);
        for other in others() {
            node.set_up(
                Command::AddPeer(peer_config(other, keys[usize::from(other)])),
                now,
            );
        }
        let routes = Routes::new(others().map(|other| (Prefix::host(inner(other)), peer(other))));
        let rules = [
            Rule::everything(Direction::Incoming),
            Rule::everything(Direction::Outgoing),
        ];
        node.set_up(Command::SetRoutes(Arc::new(routes)), now);
        node.set_up(Command::SetFilter(Arc::new(Filter::new(rules))), now);
        node
    }

    fn set_up(&mut self, command: Command, now: Now) {
        self.engine
            .apply(command, &mut self.wire, now)
            .expect("the command is in order");
    }

    /// Writes down which packets arrived.
    pub(crate) fn take_packets(&mut self) {
        for packet in std::mem::take(&mut self.tun.packets) {
            assert_eq!(packet[19], self.number, "a packet for somebody else");
            let number = u32::from_be_bytes([packet[28], packet[29], packet[30], packet[31]]);
            assert_eq!(
                packet,
                numbered(packet[15], self.number, number),
                "a changed packet"
            );
            let fresh = self.seen.insert((packet[15], number));
            assert!(fresh, "a packet arrived twice");
            self.arrived.entry(packet[15]).or_default().push(number);
        }
    }

    /// How many packets of a sender arrived.
    pub fn count(&self, from: u8) -> usize {
        self.arrived.get(&from).map_or(0, Vec::len)
    }
}

pub(crate) fn peer_config(other: u8, key: PublicKey) -> PeerConfig {
    PeerConfig {
        id: peer(other),
        key,
        candidates: vec![address(other)],
        keepalive: None,
        mtu: None,
        deadline: Mono::NEVER,
        psks: Vec::new(),
    }
}

pub(crate) fn engine(number: u8, seed: u64, now: Now) -> Engine {
    let mut bytes = [number; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let local = Local {
        addresses: vec![inner(number)],
        mtu: 1420,
    };
    Engine::new(
        EngineConfig {
            key: PrivateKey([number | 0x40; 32]),
            local,
            flows: 1024,
            seed: bytes,
        },
        now,
    )
}

/// A UDP packet (without a checksum, which IPv4 allows) that carries a number.
pub(crate) fn numbered(from: u8, to: u8, number: u32) -> Vec<u8> {
    let mut packet = vec![
        0x45, 0, 0, 100, 0, 1, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, from, 10, 0, 0, to,
    ];
    packet.extend([0x10, 0, 0x20, 0, 0, 80, 0, 0]);
    packet.extend(number.to_be_bytes());
    packet.resize(100, 7);
    packet
}
