//! Engines joined by hand-carried datagrams.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tidegate_wg::{
    Command, DatagramSink, Direction, Engine, EngineConfig, Epoch, EpochKeys, Event, Filter, Local,
    Mono, Now, PacketSink, PeerConfig, PeerId, Prefix, PrivateKey, Psk, PublicKey, Routes, Rule,
    Status,
};

/// Datagrams on their way.
#[derive(Default)]
pub struct Wire {
    pub sent: Vec<(SocketAddr, Vec<u8>)>,
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

/// Packets that reached the device.
#[derive(Default)]
pub struct Tun {
    pub packets: Vec<Vec<u8>>,
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

/// An engine with its two sinks.
pub struct Node {
    pub engine: Engine,
    pub wire: Wire,
    pub tun: Tun,
    pub number: u8,
}

pub fn key(number: u8) -> PrivateKey {
    PrivateKey([number; 32])
}

pub fn public(number: u8) -> PublicKey {
    let local = Local {
        addresses: Vec::new(),
        mtu: 1420,
    };
    let config = EngineConfig {
        key: key(number),
        local,
        flows: 8,
        seed: [0; 32],
    };
    Engine::new(config, at(0)).status(at(0)).key
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

pub fn inner6(number: u8) -> IpAddr {
    IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(number)])
}

/// The key of a pair in an epoch, the same from both sides.
pub fn psk(a: u8, b: u8, epoch: u64) -> Psk {
    let mut bytes = [0x55; 32];
    (bytes[0], bytes[1]) = (a.min(b), a.max(b));
    bytes[2..10].copy_from_slice(&epoch.to_be_bytes());
    Psk(bytes)
}

/// A moment, in milliseconds.
pub fn at(millis: u64) -> Now {
    let span = Duration::from_millis(millis);
    Now {
        mono: Mono(1_000_000_000) + span,
        unix: Duration::from_secs(1_700_000_000) + span,
    }
}

impl Node {
    /// A node that knows the others, allows everything and has no epoch yet.
    pub fn new(number: u8, others: &[u8]) -> Self {
        let local = Local {
            addresses: vec![inner(number), inner6(number)],
            mtu: 1420,
        };
        let config = EngineConfig {
            key: key(number),
            local,
            flows: 1024,
            seed: [number; 32],
        };
        let engine = Engine::new(config, at(0));
        let mut node = Self {
            engine,
            wire: Wire::default(),
            tun: Tun::default(),
            number,
        };
        for other in others {
            node.apply(Command::AddPeer(node.peer_config(*other)), at(0));
        }
        let hosts = |other: &u8| {
            [inner(*other), inner6(*other)].map(|host| (Prefix::host(host), peer(*other)))
        };
        node.apply(
            Command::SetRoutes(Arc::new(Routes::new(others.iter().flat_map(hosts)))),
            at(0),
        );
        node.apply(Command::SetFilter(Arc::new(everything())), at(0));
        node
    }

    pub fn peer_config(&self, other: u8) -> PeerConfig {
        PeerConfig {
            id: peer(other),
            key: public(other),
            candidates: vec![address(other)],
            keepalive: None,
            mtu: None,
            deadline: Mono::NEVER,
            psks: Vec::new(),
        }
    }

    pub fn apply(&mut self, command: Command, now: Now) {
        self.engine
            .apply(command, &mut self.wire, now)
            .expect("the command is in order");
    }

    pub fn install(&mut self, epoch: u64, others: &[u8], deadline: Mono, now: Now) {
        let psks = others
            .iter()
            .map(|other| (peer(*other), psk(self.number, *other, epoch)))
            .collect();
        let keys = EpochKeys {
            epoch: Epoch(epoch),
            deadline,
            spread: Duration::ZERO,
            psks,
        };
        self.apply(Command::InstallEpoch(keys), now);
    }

    /// Hands the engine a packet as the device would.
    pub fn send(&mut self, packet: &[u8], now: Now) {
        let frame = [&[0; tidegate_wg::vnet::LEN], packet].concat();
        self.send_frame(&frame, now);
    }

    pub fn send_frame(&mut self, frame: &[u8], now: Now) {
        let mut buffer = [frame, &[0; 16]].concat();
        self.engine
            .handle_outgoing(&mut buffer, frame.len(), &mut self.wire, &mut self.tun, now);
    }

    pub fn receive(&mut self, datagram: &[u8], from: SocketAddr, now: Now) {
        let stride = datagram.len();
        self.engine
            .handle_incoming(datagram, stride, from, &mut self.wire, &mut self.tun, now);
    }

    pub fn tick(&mut self, now: Now) {
        self.engine.handle_timeout(&mut self.wire, now);
    }

    pub fn take_sent(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        std::mem::take(&mut self.wire.sent)
    }

    pub fn take_packets(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.tun.packets)
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.engine.poll_event()).collect()
    }

    pub fn status(&self, now: Now) -> Status {
        self.engine.status(now)
    }
}

/// The policy that allows everything.
pub fn everything() -> Filter {
    Filter::new([
        Rule::everything(Direction::Incoming),
        Rule::everything(Direction::Outgoing),
    ])
}

/// Carries datagrams to and fro until nobody sends any more.
pub fn exchange(nodes: &mut [&mut Node], now: Now) {
    loop {
        let mut idle = true;
        for from in 0..nodes.len() {
            let source = address(nodes[from].number);
            for (to, datagram) in nodes[from].take_sent() {
                idle = false;
                if let Some(node) = nodes.iter_mut().find(|node| address(node.number) == to) {
                    node.receive(&datagram, source, now);
                }
            }
        }
        if idle {
            return;
        }
    }
}

/// Two nodes with one active epoch.
pub fn pair() -> (Node, Node) {
    let (mut a, mut b) = (Node::new(1, &[2]), Node::new(2, &[1]));
    for (node, other) in [(&mut a, 2), (&mut b, 1)] {
        node.install(1, &[other], Mono::NEVER, at(0));
        node.apply(Command::Activate(Epoch(1)), at(0));
    }
    (a, b)
}

/// Two nodes with a session that has carried a packet each way.
pub fn connected() -> (Node, Node) {
    let (mut a, mut b) = pair();
    a.send(&udp(inner(1), inner(2), 1000, 2000, b"hello"), at(0));
    exchange(&mut [&mut a, &mut b], at(0));
    assert_eq!(b.take_packets().len(), 1);
    b.send(&udp(inner(2), inner(1), 2000, 1000, b"hello"), at(0));
    exchange(&mut [&mut a, &mut b], at(0));
    assert_eq!(a.take_packets().len(), 1);
    a.events();
    b.events();
    (a, b)
}

/// A UDP packet.
pub fn udp(from: IpAddr, to: IpAddr, source: u16, destination: u16, body: &[u8]) -> Vec<u8> {
    let len = (8 + body.len()) as u16;
    let header = [
        source.to_be_bytes(),
        destination.to_be_bytes(),
        len.to_be_bytes(),
        [0, 0],
    ]
    .concat();
    ip(from, to, 17, &[&header, body].concat())
}

/// A TCP packet.
pub fn tcp(
    from: IpAddr,
    to: IpAddr,
    source: u16,
    destination: u16,
    flags: u8,
    body: &[u8],
) -> Vec<u8> {
    let mut header = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    header.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 1, 0, 0, 0, 0, 0]);
    ip(from, to, 6, &[&header, body].concat())
}

/// An ICMP echo of a host.
pub fn echo(from: IpAddr, to: IpAddr, request: bool, id: u16) -> Vec<u8> {
    let (number, kind) = match (from.is_ipv4(), request) {
        (true, true) => (1, 8),
        (true, false) => (1, 0),
        (false, true) => (58, 128),
        (false, false) => (58, 129),
    };
    let [a, b] = id.to_be_bytes();
    ip(from, to, number, &[kind, 0, 0, 0, a, b, 0, 1, 1, 2, 3, 4])
}

/// An IP packet of any protocol, with the checksums that the engine looks at.
pub fn ip(from: IpAddr, to: IpAddr, protocol: u8, body: &[u8]) -> Vec<u8> {
    use tidegate_wg::checksum::{fold, pseudo_header, sum};
    let mut packet = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut header = vec![0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, protocol, 0, 0];
            header.extend(from.octets());
            header.extend(to.octets());
            header[2..4].copy_from_slice(&((20 + body.len()) as u16).to_be_bytes());
            let check = !fold(sum(&header));
            header[10..12].copy_from_slice(&check.to_ne_bytes());
            header
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut header = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
            header.extend(from.octets());
            header.extend(to.octets());
            header[4..6].copy_from_slice(&(body.len() as u16).to_be_bytes());
            header
        }
        _ => panic!("one family"),
    };
    let start = packet.len();
    packet.extend(body);
    let field = match protocol {
        6 => 16,
        17 => 6,
        1 | 58 => 2,
        _ => return packet,
    };
    let pseudo = if protocol == 1 {
        0
    } else {
        pseudo_header(&packet, protocol, body.len())
    };
    let check = !fold(pseudo + sum(&packet[start..]));
    packet[start + field..start + field + 2].copy_from_slice(&check.to_ne_bytes());
    packet
}

/// Makes configurations that need more than a number.
pub struct PeerSetup;

impl PeerSetup {
    pub fn with_epoch(node: &Node, other: u8, epoch: u64) -> PeerConfig {
        PeerConfig {
            psks: vec![(Epoch(epoch), psk(node.number, other, epoch))],
            ..node.peer_config(other)
        }
    }
}

/// A piece of an IPv4 packet.
pub fn fragment(
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    id: u16,
    offset: u16,
    more: bool,
    body: &[u8],
) -> Vec<u8> {
    use tidegate_wg::checksum::{fold, sum};
    let mut packet = ip(from, to, 255, body);
    packet[9] = protocol;
    packet[4..6].copy_from_slice(&id.to_be_bytes());
    packet[6..8].copy_from_slice(&(offset >> 3 | if more { 0x2000 } else { 0 }).to_be_bytes());
    packet[10..12].fill(0);
    let check = !fold(sum(&packet[..20]));
    packet[10..12].copy_from_slice(&check.to_ne_bytes());
    packet
}

/// Makes the first mac of a changed handshake message right again; all that takes is the public key.
pub fn fix_mac(message: &mut [u8], to: &PublicKey) {
    use blake2::digest::consts::U16;
    use blake2::digest::{FixedOutput, KeyInit, Update};
    use blake2::{Blake2s256, Blake2sMac, Digest};
    let key = Blake2s256::new()
        .chain_update(b"mac1----")
        .chain_update(to.0)
        .finalize();
    let end = message.len() - 32;
    let mut mac = <Blake2sMac<U16> as KeyInit>::new_from_slice(&key).expect("a key of 32 bytes");
    Update::update(&mut mac, &message[..end]);
    let tag: [u8; 16] = mac.finalize_fixed().into();
    message[end..end + 16].copy_from_slice(&tag);
}

/// Node 1 in the hands of somebody who honours no rule: a bare boringtun with the right keys.
pub struct Hostile(boringtun::noise::Tunn);

impl Hostile {
    /// Node 1 as it would speak to node 2 in an epoch, with sessions of this index.
    pub fn new(epoch: u64, index: u32) -> Self {
        use boringtun::x25519::{PublicKey, StaticSecret};
        let (secret, peer) = (StaticSecret::from(key(1).0), PublicKey::from(public(2).0));
        Self(boringtun::noise::Tunn::new(
            secret,
            peer,
            Some(psk(1, 2, epoch).0),
            None,
            index,
            None,
        ))
    }

    /// Shakes hands with node 2 in epoch 1.
    pub fn connect(node: &mut Node, now: Now) -> Self {
        let mut hostile = Self::new(1, 0x1235);
        node.receive(&hostile.initiation(), address(1), now);
        let response = node.take_sent().remove(0).1;
        assert!(hostile.accepts(&response));
        let keepalive = hostile.seal(b"");
        node.receive(&keepalive, address(1), now);
        hostile
    }

    /// A new initiation.
    pub fn initiation(&mut self) -> Vec<u8> {
        let mut message = vec![0; 148];
        self.0.format_handshake_initiation(&mut message, true);
        message
    }

    /// Whether a response leads to a session.
    pub fn accepts(&mut self, response: &[u8]) -> bool {
        let mut keepalive = [0; 148];
        let accepted = self.0.decapsulate(None, response, &mut keepalive);
        matches!(accepted, boringtun::noise::TunnResult::WriteToNetwork(_))
    }

    /// Seals whatever it likes.
    pub fn seal(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut target = vec![0; packet.len() + 200];
        match self.0.encapsulate(packet, &mut target) {
            boringtun::noise::TunnResult::WriteToNetwork(sealed) => sealed.to_vec(),
            _ => panic!("there is a session"),
        }
    }
}
