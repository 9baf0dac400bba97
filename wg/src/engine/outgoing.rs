//! From the TUN device to the peers: route, filter, seal.

use super::Engine;
use crate::discard::Discard;
use crate::filter::Direction;
use crate::gate::Rate;
use crate::icmp;
use crate::mss;
use crate::packet::Packet;
use crate::peer::{MOST_WAITING, MOST_WAITING_IN_ALL, Peer, Place, Waiting};
use crate::sink::{DatagramSink, PacketSink};
use crate::split::{PADDING, Segments};
use crate::time::{Mono, Now};
use crate::tunnel::OVERHEAD;
use std::net::SocketAddr;
use std::time::Duration;

const TOO_BIG_ANSWERS: Rate = Rate {
    per_second: 100,
    burst: 100,
};
/// A packet that waited longer is of no use to anyone.
pub(super) const MOST_WAIT: Duration = Duration::from_secs(15);

/// How a peer can be reached right now.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// In this tunnel, at this address.
    Open(Place, SocketAddr),
    /// Not before a handshake.
    Closed,
}

impl Engine {
    pub(super) fn take_frame(
        &mut self,
        buffer: &mut [u8],
        len: usize,
        out: &mut impl DatagramSink,
        tun: &mut impl PacketSink,
        now: Now,
    ) {
        let mut segments = match Segments::new(buffer, len) {
            Ok(segments) => segments,
            Err(_) => return self.discard(Discard::BadOffload, None),
        };
        let (packet, place) = match self.route(segments.packet()) {
            Ok(routed) => routed,
            Err(reason) => return self.discard(reason, None),
        };
        if let Err(reason) = self.send_frame(&mut segments, &packet, place, out, tun, now) {
            self.discard(reason, Some(place));
        }
    }

    fn route(&self, bytes: &[u8]) -> Result<(Packet, Place), Discard> {
        let packet = Packet::parse(bytes)?;
        if packet.len != bytes.len() {
            return Err(Discard::Malformed);
        }
        let id = self
            .routes
            .lookup(packet.destination)
            .ok_or(Discard::NoRoute)?;
        let place = self.peers.place(id).ok_or(Discard::NoPeer)?;
        Ok((packet, place))
    }

    fn send_frame(
        &mut self,
        segments: &mut Segments<'_>,
        packet: &Packet,
        place: Place,
        out: &mut impl DatagramSink,
        tun: &mut impl PacketSink,
        now: Now,
    ) -> Result<(), Discard> {
        let peer = self.peers.at(place).ok_or(Discard::NoPeer)?;
        let mtu = self.mtu_of(peer);
        self.guard.admit(
            Direction::Outgoing,
            peer.far(),
            packet,
            segments.packet(),
            now.mono,
        )?;
        if segments.longest() > usize::from(mtu) {
            self.answer_too_big(packet, segments.packet(), mtu, tun, now);
            return Err(Discard::TooBig);
        }
        if let Some(bytes) = segments.whole_mut() {
            mss::clamp(bytes, packet, usize::from(mtu));
        }
        match self.way(place, now.mono)? {
            Way::Open(tunnel, to) => self.seal_segments(segments, tunnel, to, mtu, out, now),
            Way::Closed => self.wait_segments(segments, place, out, now)?,
        }
        Ok(())
    }

    pub(super) fn mtu_of(&self, peer: &Peer) -> u16 {
        peer.mtu.unwrap_or(self.local.mtu).min(self.local.mtu)
    }

    /// Every tunnel's deadline is looked at here, once per frame, and nowhere can a packet get around it.
    pub(super) fn way(&self, place: Place, now: Mono) -> Result<Way, Discard> {
        let peer = self.peers.at(place).ok_or(Discard::NoPeer)?;
        if now >= peer.deadline {
            return Err(Discard::Deadline);
        }
        if let Some(tunnel) = self
            .ready_place(peer, now)
            .and_then(|span| peer.tunnels[span])
        {
            let to = peer.endpoint.ok_or(Discard::NoEndpoint)?;
            return Ok(Way::Open(tunnel, to));
        }
        self.open_epoch(peer, now)?;
        if peer.endpoint.is_none() && peer.candidates.is_empty() {
            return Err(Discard::NoEndpoint);
        }
        Ok(Way::Closed)
    }

    /// The place of the epoch to send in: the active one, or an older one for as long as that has no session.
    pub(super) fn ready_place(&self, peer: &Peer, now: Mono) -> Option<usize> {
        let active = self.active?;
        let limit = self.spans[active].as_ref()?.epoch;
        let places = (0..self.spans.len()).filter(|place| {
            let span = self.spans[*place].as_ref();
            let usable = span.is_some_and(|span| span.epoch <= limit && now < span.deadline);
            let live = peer.tunnels[*place].and_then(|tunnel| self.live.at(tunnel));
            usable && live.is_some_and(|live| live.tunnel.ready())
        });
        places.max_by_key(|place| self.spans[*place].as_ref().map(|span| span.epoch))
    }

    /// The place of the active epoch, if handshakes with this peer are possible in it.
    pub(super) fn open_epoch(&self, peer: &Peer, now: Mono) -> Result<usize, Discard> {
        let active = self.active.ok_or(Discard::NoEpoch)?;
        let span = self.spans[active].as_ref().ok_or(Discard::NoEpoch)?;
        if now >= span.deadline || now >= peer.deadline {
            return Err(Discard::Deadline);
        }
        peer.psks[active]
            .as_ref()
            .map(|_| active)
            .ok_or(Discard::NoEpoch)
    }

    fn seal_segments(
        &mut self,
        segments: &mut Segments<'_>,
        tunnel: Place,
        to: SocketAddr,
        mtu: u16,
        out: &mut impl DatagramSink,
        now: Now,
    ) {
        let Some(live) = self.live.at_mut(tunnel) else {
            return;
        };
        let (mut packets, mut bytes, mut lost) = (0, 0, 0);
        while let Some((padded, len)) = segments.advance_padded(usize::from(mtu)) {
            match live
                .tunnel
                .seal(padded, out.room(to, padded.len() + OVERHEAD))
            {
                Some(sealed) => {
                    out.commit(sealed);
                    packets += 1;
                    bytes += len as u64;
                }
                None => lost += 1,
            }
        }
        live.used = now.mono;
        let place = live.peer;
        if let Some(peer) = self.peers.at_mut(place) {
            peer.traffic.sent_packets += packets;
            peer.traffic.sent_bytes += bytes;
            peer.discards.add(Discard::NoSession, lost);
        }
        self.discards.add(Discard::NoSession, lost);
    }

    /// Seals one packet that the engine itself holds.
    pub(super) fn seal_packet(
        &mut self,
        packet: &[u8],
        tunnel: Place,
        to: SocketAddr,
        out: &mut impl DatagramSink,
        now: Now,
    ) {
        let Some(live) = self.live.at_mut(tunnel) else {
            return;
        };
        let Some(peer) = self.peers.at_mut(live.peer) else {
            return;
        };
        let most =
            usize::from(peer.mtu.unwrap_or(self.local.mtu).min(self.local.mtu)).max(packet.len());
        self.scratch.clear();
        self.scratch.extend_from_slice(packet);
        self.scratch
            .resize(packet.len().next_multiple_of(PADDING).min(most), 0);
        if let Some(sealed) = live
            .tunnel
            .seal(&self.scratch, out.room(to, self.scratch.len() + OVERHEAD))
        {
            out.commit(sealed);
            live.used = now.mono;
            peer.traffic.sent_packets += 1;
            peer.traffic.sent_bytes += packet.len() as u64;
        }
    }

    fn wait_segments(
        &mut self,
        segments: &mut Segments<'_>,
        place: Place,
        out: &mut impl DatagramSink,
        now: Now,
    ) -> Result<(), Discard> {
        let policy = self.guard.policy();
        let peer = self.peers.at_mut(place).ok_or(Discard::NoPeer)?;
        while let Some(packet) = segments.advance() {
            if peer.waiting.len() < MOST_WAITING && self.waiting < MOST_WAITING_IN_ALL {
                self.waiting += 1;
                peer.waiting.push_back(Waiting {
                    packet: packet.into(),
                    since: now.mono,
                    policy,
                });
            } else {
                peer.discards.count(Discard::QueueFull);
                self.discards.count(Discard::QueueFull);
            }
        }
        self.connect(place, out, now)
    }

    /// Sends what waited for a session, unless it grew stale, or the policy or the routes changed meanwhile.
    pub(super) fn send_waiting(&mut self, place: Place, out: &mut impl DatagramSink, now: Now) {
        let Ok(Way::Open(tunnel, to)) = self.way(place, now.mono) else {
            return;
        };
        let Some(peer) = self.peers.at_mut(place) else {
            return;
        };
        let id = peer.id;
        let queue = std::mem::take(&mut peer.waiting);
        self.waiting -= queue.len();
        for waiting in queue {
            let fresh =
                waiting.policy == self.guard.policy() && now.mono.since(waiting.since) <= MOST_WAIT;
            let packet = Packet::parse(&waiting.packet).ok();
            if fresh
                && packet.is_some_and(|packet| self.routes.lookup(packet.destination) == Some(id))
            {
                self.seal_packet(&waiting.packet, tunnel, to, out, now);
            } else {
                self.discard(Discard::QueueStale, Some(place));
            }
        }
    }

    /// Drops what has waited for too long.
    pub(super) fn drop_stale(&mut self, place: Place, now: Mono) {
        while let Some(peer) = self.peers.at_mut(place)
            && peer
                .waiting
                .front()
                .is_some_and(|waiting| now.since(waiting.since) > MOST_WAIT)
        {
            peer.waiting.pop_front();
            self.waiting -= 1;
            self.discard(Discard::QueueStale, Some(place));
        }
    }

    /// Drops everything that waits for this peer.
    pub(super) fn drop_waiting(&mut self, place: Place) {
        let Some(peer) = self.peers.at_mut(place) else {
            return;
        };
        let count = std::mem::take(&mut peer.waiting).len();
        peer.discards.add(Discard::QueueStale, count as u64);
        self.discards.add(Discard::QueueStale, count as u64);
        self.waiting -= count;
    }

    fn answer_too_big(
        &mut self,
        packet: &Packet,
        bytes: &[u8],
        mtu: u16,
        tun: &mut impl PacketSink,
        now: Now,
    ) {
        if !self.errors.take(TOO_BIG_ANSWERS, now.mono) {
            return;
        }
        let mut answer = icmp::error_buffer();
        let len = icmp::write_too_big(packet, bytes, mtu, &mut answer);
        tun.room(len)[..len].copy_from_slice(&answer[..len]);
        tun.commit(len);
    }
}
