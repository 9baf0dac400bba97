//! The packet filter at work: policy, flows and fragments together.

use crate::discard::Discard;
use crate::filter::{Direction, Filter};
use crate::flow::{FlowKey, FlowTable};
use crate::key::PeerId;
use crate::packet::{Fragment, Packet, Transport};
use crate::time::Mono;
use siphasher::sip::SipHasher13;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

const FRAGMENTS: usize = 1024;
const FRAGMENT_LIFE: Duration = Duration::from_secs(15);
/// For so long a place in the table of fragments cannot be taken over by another peer.
const FRAGMENT_HOLD: Duration = Duration::from_secs(1);

/// Who is on the far end of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Far {
    pub(crate) id: PeerId,
    /// Unique to this peer for as long as the engine lives.
    pub(crate) tag: u64,
}

/// The pieces of one packet.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Pieces {
    direction_in: bool,
    peer: u64,
    source: IpAddr,
    destination: IpAddr,
    id: u32,
    protocol: u8,
}

#[derive(Clone, Copy, Debug)]
struct Allowed {
    pieces: Pieces,
    at: Mono,
    policy: u32,
}

/// Decides packet by packet; see the [module documentation](self).
pub(crate) struct Guard {
    filter: Arc<Filter>,
    flows: FlowTable,
    fragments: Box<[Option<Allowed>]>,
    hash_key: [u8; 16],
}

impl Guard {
    pub(crate) fn new(flows: usize, hash_key: [u8; 16]) -> Self {
        Self {
            filter: Arc::new(Filter::deny_all()),
            flows: FlowTable::new(flows, hash_key),
            fragments: vec![None; FRAGMENTS].into_boxed_slice(),
            hash_key,
        }
    }

    pub(crate) fn set_filter(&mut self, filter: Arc<Filter>) {
        self.filter = filter;
        self.flows.change_policy();
    }

    /// Changes whenever flows and waiting packets must be judged anew.
    pub(crate) fn policy(&self) -> u32 {
        self.flows.policy()
    }

    pub(crate) fn flows(&self, now: Mono) -> usize {
        self.flows.count(now)
    }

    /// Whether the packet may pass. `bytes` is the packet itself.
    pub(crate) fn admit(
        &mut self,
        direction: Direction,
        far: Far,
        packet: &Packet,
        bytes: &[u8],
        now: Mono,
    ) -> Result<(), Discard> {
        match packet.fragment {
            Some(fragment) if packet.transport == Transport::Elsewhere => {
                self.admit_later(direction, far, packet, fragment, now)
            }
            Some(fragment) => {
                self.admit_whole(direction, far, packet, bytes, now)?;
                self.remember(pieces(direction, far, packet, fragment), now);
                Ok(())
            }
            None => self.admit_whole(direction, far, packet, bytes, now),
        }
    }

    fn admit_whole(
        &mut self,
        direction: Direction,
        far: Far,
        packet: &Packet,
        bytes: &[u8],
        now: Mono,
    ) -> Result<(), Discard> {
        if let Transport::IcmpError { quote } = packet.transport
            && self.is_about_a_flow(direction, far, &bytes[quote.min(bytes.len())..], now)
        {
            return Ok(());
        }
        let key = FlowKey::new(direction, far.tag, packet);
        if self.flows.carries(&key, direction, packet.transport, now) {
            return Ok(());
        }
        if !self.filter.permits(direction, far.id, packet) {
            return Err(Discard::Filtered);
        }
        self.flows
            .open(key, direction, now)
            .map_err(|_| Discard::FlowLimit)
    }

    /// An error is a reply to a packet that went the other way.
    fn is_about_a_flow(&mut self, direction: Direction, far: Far, quote: &[u8], now: Mono) -> bool {
        let other = match direction {
            Direction::Incoming => Direction::Outgoing,
            Direction::Outgoing => Direction::Incoming,
        };
        let Ok(quoted) = Packet::parse_quote(quote) else {
            return false;
        };
        let first = quoted.fragment.is_none_or(|fragment| fragment.offset == 0);
        first
            && self
                .flows
                .knows(&FlowKey::new(other, far.tag, &quoted), now)
    }

    fn admit_later(
        &mut self,
        direction: Direction,
        far: Far,
        packet: &Packet,
        fragment: Fragment,
        now: Mono,
    ) -> Result<(), Discard> {
        let pieces = pieces(direction, far, packet, fragment);
        let policy = self.policy();
        let known = self.fragments[self.place(&pieces)].is_some_and(|allowed| {
            allowed.pieces == pieces
                && allowed.policy == policy
                && now.since(allowed.at) <= FRAGMENT_LIFE
        });
        if known {
            Ok(())
        } else {
            Err(Discard::OrphanFragment)
        }
    }

    fn remember(&mut self, pieces: Pieces, now: Mono) {
        let policy = self.policy();
        let place = &mut self.fragments[self.place(&pieces)];
        let free = place.is_none_or(|held| {
            held.pieces.peer == pieces.peer || now.since(held.at) > FRAGMENT_HOLD
        });
        if free {
            *place = Some(Allowed {
                pieces,
                at: now,
                policy,
            });
        }
    }

    fn place(&self, pieces: &Pieces) -> usize {
        let mut hasher = SipHasher13::new_with_key(&self.hash_key);
        pieces.hash(&mut hasher);
        hasher.finish() as usize % FRAGMENTS
    }
}

fn pieces(direction: Direction, far: Far, packet: &Packet, fragment: Fragment) -> Pieces {
    Pieces {
        direction_in: direction == Direction::Incoming,
        peer: far.tag,
        source: packet.source,
        destination: packet.destination,
        id: fragment.id,
        protocol: packet.protocol,
    }
}
