//! The flows that the filter remembers: a table of fixed size in which nobody can crowd out the rest.
//!
//! A flow lives in one of eight places that its keyed hash names. When all are taken, the peer that holds most of
//! them gives up its oldest, so a peer that floods evicts itself.

use crate::filter::Direction;
use crate::packet::{Packet, Transport};
use crate::time::Mono;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::net::IpAddr;

const WAYS: usize = 8;
const FIN_RST: u8 = 0x05;
const SYN_ACK: u8 = 0x12;
const SYN: u8 = 0x02;

/// Seconds without a packet after which a flow is forgotten.
mod idle {
    pub(super) const TCP_OPEN: u32 = 7440;
    pub(super) const TCP_HALF: u32 = 60;
    pub(super) const UDP: u32 = 180;
    pub(super) const OTHER: u32 = 60;
}

/// A flow seen from this host, the same for both directions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FlowKey {
    local: [u8; 16],
    remote: [u8; 16],
    local_port: u16,
    remote_port: u16,
    /// The place of the peer in the engine's table, and its generation there.
    peer: u64,
    protocol: u8,
    v4: bool,
}

impl FlowKey {
    pub(crate) fn new(direction: Direction, peer: u64, packet: &Packet) -> Self {
        let (source_port, destination_port) = match packet.transport {
            Transport::Tcp {
                source,
                destination,
                ..
            }
            | Transport::Udp {
                source,
                destination,
            } => (source, destination),
            Transport::Echo { id, .. } => (id, id),
            _ => (0, 0),
        };
        let (source, destination) = (octets(packet.source), octets(packet.destination));
        let (local, remote, local_port, remote_port) = match direction {
            Direction::Outgoing => (source, destination, source_port, destination_port),
            Direction::Incoming => (destination, source, destination_port, source_port),
        };
        let (protocol, v4) = (packet.protocol, packet.source.is_ipv4());
        Self {
            local,
            remote,
            local_port,
            remote_port,
            peer,
            protocol,
            v4,
        }
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[derive(Clone, Copy, Debug)]
struct Flow {
    key: FlowKey,
    /// Whoever sent the first packet.
    origin: Direction,
    /// Packets went both ways.
    answered: bool,
    closing: bool,
    seen: u32,
    /// The policy that allowed it.
    policy: u32,
}

impl Flow {
    fn idle_limit(&self) -> u32 {
        match self.key.protocol {
            crate::packet::protocol::TCP if self.answered && !self.closing => idle::TCP_OPEN,
            crate::packet::protocol::TCP => idle::TCP_HALF,
            crate::packet::protocol::UDP => idle::UDP,
            _ => idle::OTHER,
        }
    }

    fn alive(&self, policy: u32, now: u32) -> bool {
        self.policy == policy && now.saturating_sub(self.seen) <= self.idle_limit()
    }

    /// Whether a packet belongs to the flow rather than opening one of its own in the other direction.
    fn carries(&self, direction: Direction, transport: Transport) -> bool {
        let forward = direction == self.origin;
        match transport {
            Transport::Tcp { flags, .. } => forward || flags & SYN_ACK != SYN,
            Transport::Echo { request, .. } => forward == request,
            _ => true,
        }
    }
}

/// The table is full for this peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Full;

/// See the [module documentation](self).
pub(crate) struct FlowTable {
    hash_key: [u8; 16],
    flows: Box<[Option<Flow>]>,
    policy: u32,
}

impl FlowTable {
    pub(crate) fn new(capacity: usize, hash_key: [u8; 16]) -> Self {
        let capacity = capacity.clamp(WAYS, 1 << 22).next_power_of_two();
        Self {
            hash_key,
            flows: vec![None; capacity].into_boxed_slice(),
            policy: 0,
        }
    }

    /// Forgets every flow: another policy decides from now on.
    pub(crate) fn change_policy(&mut self) {
        self.policy = self.policy.wrapping_add(1);
    }

    pub(crate) fn policy(&self) -> u32 {
        self.policy
    }

    /// Whether the packet belongs to a known flow, which then lives on.
    pub(crate) fn carries(
        &mut self,
        key: &FlowKey,
        direction: Direction,
        transport: Transport,
        now: Mono,
    ) -> bool {
        let (policy, now) = (self.policy, seconds(now));
        let flow = self
            .set(key)
            .iter_mut()
            .flatten()
            .find(|flow| flow.key == *key && flow.alive(policy, now));
        let Some(flow) = flow.filter(|flow| flow.carries(direction, transport)) else {
            return false;
        };
        flow.seen = now;
        flow.answered |= direction != flow.origin;
        if let Transport::Tcp { flags, .. } = transport {
            flow.closing |= flags & FIN_RST != 0;
        }
        true
    }

    /// Whether the flow is known; does not keep it alive.
    pub(crate) fn knows(&mut self, key: &FlowKey, now: Mono) -> bool {
        let (policy, now) = (self.policy, seconds(now));
        self.set(key)
            .iter()
            .flatten()
            .any(|flow| flow.key == *key && flow.alive(policy, now))
    }

    /// Remembers a flow that the policy allowed.
    pub(crate) fn open(&mut self, key: FlowKey, origin: Direction, now: Mono) -> Result<(), Full> {
        let (policy, now) = (self.policy, seconds(now));
        let set = self.set(&key);
        let place = set
            .iter()
            .position(|flow| {
                flow.as_ref()
                    .is_none_or(|flow| flow.key == key || !flow.alive(policy, now))
            })
            .or_else(|| victim(set, key.peer))
            .ok_or(Full)?;
        set[place] = Some(Flow {
            key,
            origin,
            answered: false,
            closing: false,
            seen: now,
            policy,
        });
        Ok(())
    }

    /// How many flows are alive; walks the whole table.
    pub(crate) fn count(&self, now: Mono) -> usize {
        let now = seconds(now);
        self.flows
            .iter()
            .flatten()
            .filter(|flow| flow.alive(self.policy, now))
            .count()
    }

    fn set(&mut self, key: &FlowKey) -> &mut [Option<Flow>] {
        let mut hasher = SipHasher13::new_with_key(&self.hash_key);
        hasher.write(&key.local);
        hasher.write(&key.remote);
        hasher.write_u64(
            u64::from(key.local_port) << 32
                | u64::from(key.remote_port) << 16
                | u64::from(key.protocol),
        );
        hasher.write_u64(key.peer);
        let set = hasher.finish() as usize & (self.flows.len() / WAYS - 1);
        &mut self.flows[set * WAYS..(set + 1) * WAYS]
    }
}

/// The place to give up in a full set: the oldest flow of whoever holds most, of `peer` itself where that is a tie.
/// None if each flow is another peer's.
fn victim(set: &[Option<Flow>], peer: u64) -> Option<usize> {
    let held = |peer: u64| {
        set.iter()
            .flatten()
            .filter(|flow| flow.key.peer == peer)
            .count()
    };
    let (most, _, holder) = set
        .iter()
        .flatten()
        .map(|flow| (held(flow.key.peer), flow.key.peer == peer, flow.key.peer))
        .max()?;
    let places = set
        .iter()
        .enumerate()
        .filter_map(|(place, flow)| Some((place, flow.as_ref()?)));
    let oldest = places
        .filter(|(_, flow)| flow.key.peer == holder)
        .min_by_key(|(_, flow)| flow.seen);
    oldest
        .filter(|_| most > 1 || holder == peer)
        .map(|(place, _)| place)
}

fn seconds(now: Mono) -> u32 {
    (now.0 / 1_000_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{complete, tcp4, udp4};

    const PEER: u64 = 7;

    fn key(peer: u64, port: u16) -> FlowKey {
        let mut headers = udp4();
        headers.bytes[20..22].copy_from_slice(&port.to_be_bytes());
        let bytes = complete([headers.bytes, vec![0; 8]].concat());
        FlowKey::new(Direction::Outgoing, peer, &Packet::parse(&bytes).unwrap())
    }

    fn secs(secs: u64) -> Mono {
        Mono(secs * 1_000_000_000)
    }

    const UDP: Transport = Transport::Udp {
        source: 0,
        destination: 0,
    };

    #[test]
    fn a_flow_looks_the_same_from_both_directions() {
        let there = complete([udp4().bytes, vec![0; 8]].concat());
        let mut back = there.clone();
        back[12..16].copy_from_slice(&there[16..20]);
        back[16..20].copy_from_slice(&there[12..16]);
        back[20..22].copy_from_slice(&there[22..24]);
        back[22..24].copy_from_slice(&there[20..22]);
        let parse = |bytes: &[u8]| Packet::parse(bytes).unwrap();
        let there = FlowKey::new(Direction::Outgoing, PEER, &parse(&there));
        assert_eq!(
            FlowKey::new(Direction::Incoming, PEER, &parse(&back)),
            there
        );
        assert_ne!(
            FlowKey::new(Direction::Outgoing, PEER, &parse(&back)),
            there
        );
    }

    #[test]
    fn a_flow_is_forgotten_when_it_was_silent_for_too_long() {
        let mut table = FlowTable::new(64, [1; 16]);
        table
            .open(key(PEER, 1), Direction::Outgoing, secs(0))
            .unwrap();
        assert!(table.carries(&key(PEER, 1), Direction::Incoming, UDP, secs(180)));
        assert!(
            table.carries(&key(PEER, 1), Direction::Incoming, UDP, secs(360)),
            "the packet before kept it alive"
        );
        assert!(!table.carries(&key(PEER, 1), Direction::Incoming, UDP, secs(541)));
        assert_eq!(table.count(secs(541)), 0);
    }

    #[test]
    fn tcp_lives_long_once_it_was_answered_and_until_it_ends() {
        let bytes = complete([tcp4().bytes, vec![0; 8]].concat());
        let key = FlowKey::new(Direction::Outgoing, PEER, &Packet::parse(&bytes).unwrap());
        let tcp = |flags| Transport::Tcp {
            source: 0,
            destination: 0,
            flags,
        };
        let mut table = FlowTable::new(64, [1; 16]);
        table.open(key, Direction::Outgoing, secs(0)).unwrap();
        assert!(!table.knows(&key, secs(61)), "half open");
        assert!(table.carries(&key, Direction::Incoming, tcp(0x12), secs(1)));
        assert!(table.knows(&key, secs(7000)));
        assert!(table.carries(&key, Direction::Outgoing, tcp(0x11), secs(7000)));
        assert!(!table.knows(&key, secs(7061)), "closing");
    }

    #[test]
    fn a_peer_that_floods_evicts_itself() {
        let mut table = FlowTable::new(8, [1; 16]);
        for port in 0..4 {
            table
                .open(key(1, port), Direction::Outgoing, secs(0))
                .unwrap();
        }
        for port in 0..1000 {
            table
                .open(key(2, port), Direction::Incoming, secs(1))
                .unwrap();
        }
        assert!((0..4).all(|port| table.knows(&key(1, port), secs(1))));
        assert_eq!(table.count(secs(1)), 8);
        for port in 0..4 {
            table
                .open(key(3, port), Direction::Outgoing, secs(2))
                .unwrap();
        }
        let mut left = |peer, ports: std::ops::Range<u16>| {
            ports
                .filter(|port| table.knows(&key(peer, *port), secs(2)))
                .count()
        };
        let counts = [left(1, 0..4), left(2, 0..1000), left(3, 0..4)];
        assert!(
            counts.iter().all(|count| (2..=4).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn a_flow_more_than_the_table_holds_is_refused() {
        let mut table = FlowTable::new(8, [1; 16]);
        for peer in 0..8 {
            table
                .open(key(peer, 1), Direction::Outgoing, secs(0))
                .unwrap();
        }
        assert_eq!(
            table.open(key(8, 1), Direction::Outgoing, secs(1)),
            Err(Full)
        );
        assert_eq!(
            table.open(key(3, 2), Direction::Outgoing, secs(1)),
            Ok(()),
            "in place of its own"
        );
        table.change_policy();
        assert_eq!(table.open(key(8, 1), Direction::Outgoing, secs(1)), Ok(()));
        assert_eq!(table.count(secs(1)), 1);
    }
}
