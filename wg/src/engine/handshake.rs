//! Handshakes: ours, and those of others.

use super::{Engine, TICK};
use crate::discard::Discard;
use crate::event::Event;
use crate::gate::{Admission, Rate};
use crate::live::Live;
use crate::peer::Place;
use crate::sink::DatagramSink;
use crate::time::{Mono, Now};
use crate::tunnel::{COOKIE_REPLY, INITIATION, RESPONSE, Tunnel};
use rand_chacha::rand_core::RngCore;
use std::net::SocketAddr;

/// Initiations that one peer may have us answer.
const INITIATIONS: Rate = Rate {
    per_second: 20,
    burst: 10,
};
const COOKIES: Rate = Rate {
    per_second: 100,
    burst: 100,
};
/// Keepalives until the far end has shown that it knows the session.
const CONFIRMS: u8 = 4;

impl Engine {
    pub(super) fn take_handshake(
        &mut self,
        message: &[u8],
        from: SocketAddr,
        out: &mut impl DatagramSink,
        now: Now,
    ) {
        let taken = match message.len() {
            COOKIE_REPLY => self.take_cookie(message, now),
            RESPONSE => self.take_response(message, from, out, now),
            _ => self.take_initiation(message, from, out, now),
        };
        if let Err((reason, peer)) = taken {
            self.discard(reason, peer);
        }
    }

    fn pass_gate(
        &mut self,
        message: &[u8],
        from: SocketAddr,
        out: &mut impl DatagramSink,
        now: Now,
    ) -> Result<(), (Discard, Option<Place>)> {
        let mut reply = [0; COOKIE_REPLY];
        let Self {
            gate,
            identity,
            opener,
            ..
        } = self;
        match gate.admit(identity, opener, message, from.ip(), &mut reply, now.mono) {
            Ok(Admission::Admitted) => Ok(()),
            Ok(Admission::Cookie) => {
                send(&reply, from, out);
                Err((Discard::CookieSent, None))
            }
            Err(reason) => Err((reason, None)),
        }
    }

    fn take_initiation(
        &mut self,
        message: &[u8],
        from: SocketAddr,
        out: &mut impl DatagramSink,
        now: Now,
    ) -> Result<(), (Discard, Option<Place>)> {
        self.pass_gate(message, from, out, now)?;
        let message = message.try_into().map_err(|_| (Discard::Garbage, None))?;
        let claim = self
            .opener
            .open(&self.identity, message)
            .map_err(|reason| (reason, None))?;
        let place = self
            .peers
            .place_of_key(&claim.key)
            .ok_or((Discard::UnknownPeer, None))?;
        let peer = self
            .peers
            .at_mut(place)
            .ok_or((Discard::UnknownPeer, None))?;
        let timestamp = claim
            .prove(&peer.shared)
            .map_err(|reason| (reason, Some(place)))?;
        if timestamp <= peer.newest {
            return Err((Discard::ReplayedHandshake, Some(place)));
        }
        peer.newest = timestamp;
        if !peer.initiated.take(INITIATIONS, now.mono) {
            return Err((Discard::HandshakeRate, Some(place)));
        }
        let hint = claim.index >> 8 & 1;
        self.answer(place, hint, message, from, out, now)
            .map_err(|reason| (reason, Some(place)))
    }

    fn take_response(
        &mut self,
        message: &[u8],
        from: SocketAddr,
        out: &mut impl DatagramSink,
        now: Now,
    ) -> Result<(), (Discard, Option<Place>)> {
        // Nobody spends the gate's budget on answers to questions that were never asked.
        let tunnel = self.addressee(message, 8, now)?;
        self.pass_gate(message, from, out, now)?;
        let live = self
            .live
            .at_mut(tunnel)
            .ok_or((Discard::UnknownIndex, None))?;
        let place = live.peer;
        let mut keepalive = [0; INITIATION];
        let len = live
            .tunnel
            .finish(message, &mut keepalive)
            .map_err(|reason| (reason, Some(place)))?;
        live.used = now.mono;
        live.attempt = None;
        live.confirms = CONFIRMS;
        let settled = self.settled_elsewhere(place, tunnel, now.mono);
        if !settled {
            self.move_to(place, from);
        }
        send(&keepalive[..len], from, out);
        self.confirmed(tunnel, out, now);
        Ok(())
    }

    /// Whether this peer is being sent to in a tunnel other than this.
    fn settled_elsewhere(&self, place: Place, tunnel: Place, now: Mono) -> bool {
        let Some(peer) = self.peers.at(place) else {
            return false;
        };
        let sending = self
            .ready_place(peer, now)
            .and_then(|span| peer.tunnels[span]);
        sending.is_some_and(|sending| sending != tunnel)
    }

    fn take_cookie(&mut self, message: &[u8], now: Now) -> Result<(), (Discard, Option<Place>)> {
        if !self.cookies.take(COOKIES, now.mono) {
            return Err((Discard::HandshakeFlood, None));
        }
        let tunnel = self.addressee(message, 4, now)?;
        let live = self
            .live
            .at_mut(tunnel)
            .ok_or((Discard::UnknownIndex, None))?;
        let place = live.peer;
        live.tunnel
            .take_cookie(message)
            .map_err(|reason| (reason, Some(place)))
    }

    /// The tunnel whose session index stands at this offset, if its deadline has not passed.
    fn addressee(
        &self,
        message: &[u8],
        at: usize,
        now: Now,
    ) -> Result<Place, (Discard, Option<Place>)> {
        let index = message
            .get(at..)
            .and_then(<[u8]>::first_chunk)
            .map_or(0, |index| u32::from_le_bytes(*index));
        let tunnel = self
            .live
            .place_of_index(index)
            .ok_or((Discard::UnknownIndex, None))?;
        let live = self.live.at(tunnel).ok_or((Discard::UnknownIndex, None))?;
        if now.mono >= self.end_of(live.peer, live.span) {
            return Err((Discard::Deadline, Some(live.peer)));
        }
        Ok(tunnel)
    }

    /// A session has shown that both ends have it.
    pub(super) fn confirmed(&mut self, tunnel: Place, out: &mut impl DatagramSink, now: Now) {
        let Some(live) = self.live.at_mut(tunnel) else {
            return;
        };
        live.attempt = None;
        let (place, span) = (live.peer, live.span);
        let Some(peer) = self.peers.at_mut(place) else {
            return;
        };
        peer.last_handshake = Some(now.unix);
        peer.unconfirmed = 0;
        if let Some(endpoint) = peer.endpoint {
            self.gate.vouch(endpoint.ip(), now.mono);
        }
        let peer = peer.id;
        if let Some(span) = &self.spans[span] {
            let epoch = span.epoch;
            self.tell(Event::Connected { peer, epoch });
        }
        self.send_waiting(place, out, now);
    }

    /// Starts a handshake in the active epoch, unless one is under way or a session is there.
    pub(super) fn connect(
        &mut self,
        place: Place,
        out: &mut impl DatagramSink,
        now: Now,
    ) -> Result<(), Discard> {
        let peer = self.peers.at(place).ok_or(Discard::NoPeer)?;
        let span = self.open_epoch(peer, now.mono)?;
        self.shake_hands(place, span, out, now);
        Ok(())
    }

    pub(super) fn shake_hands(
        &mut self,
        place: Place,
        span: usize,
        out: &mut impl DatagramSink,
        now: Now,
    ) {
        let Some(tunnel) = self.tunnel_for(place, span, now) else {
            return;
        };
        let Some(live) = self.live.at_mut(tunnel) else {
            return;
        };
        if live.attempt.is_none() && !live.tunnel.ready() {
            self.initiate(tunnel, out, now);
        }
    }

    /// Sends an initiation, and plans the next.
    pub(super) fn initiate(&mut self, tunnel: Place, out: &mut impl DatagramSink, now: Now) {
        let Some(live) = self.live.at_mut(tunnel) else {
            return;
        };
        let tries = live.plan(now.mono);
        let mut message = [0; INITIATION];
        if live.tunnel.initiate(&mut message) {
            let place = live.peer;
            self.send_initiation(&message, place, tries, out);
        }
        self.arm(now.mono + TICK);
    }

    /// To where the peer was heard last; and, when that stays silent, to one after another of its candidates.
    pub(super) fn send_initiation(
        &mut self,
        message: &[u8],
        place: Place,
        tries: u32,
        out: &mut impl DatagramSink,
    ) {
        let Some(peer) = self.peers.at(place) else {
            return;
        };
        let candidate = match peer.candidates.len() {
            0 => None,
            count => Some(peer.candidates[tries as usize % count]),
        };
        let other = candidate.filter(|other| {
            peer.endpoint.is_none() || (tries > 0 && peer.endpoint != Some(*other))
        });
        for to in peer.endpoint.into_iter().chain(other) {
            send(message, to, out);
        }
    }

    /// The tunnel of a peer in an epoch, made if need be.
    pub(super) fn tunnel_for(&mut self, place: Place, span: usize, now: Now) -> Option<Place> {
        let peer = self.peers.at(place)?;
        if let Some(tunnel) = peer.tunnels[span] {
            return Some(tunnel);
        }
        let parity = self.spans[span].as_ref()?.epoch.parity();
        let index = loop {
            let index = self.rng.next_u32() >> 8 & !1 | parity;
            if !self.live.has_index(index) {
                break index;
            }
        };
        let psk = peer.psks[span].as_ref()?;
        let tunnel = Tunnel::new(&self.identity, &peer.key, psk, peer.keepalive, index);
        let (attempt, confirms, unseen) = (None, 0, None);
        let live = Live {
            tunnel,
            peer: place,
            span,
            index,
            attempt,
            confirms,
            unseen,
            used: now.mono,
            ticked: now.mono,
        };
        let tunnel = self.live.insert(live);
        self.peers.at_mut(place)?.tunnels[span] = Some(tunnel);
        self.arm(now.mono + TICK);
        Some(tunnel)
    }

    pub(super) fn drop_tunnel(&mut self, tunnel: Place) {
        let Some(live) = self.live.remove(tunnel) else {
            return;
        };
        let Some(peer) = self.peers.at_mut(live.peer) else {
            return;
        };
        peer.tunnels[live.span] = None;
        if peer.tunnels.iter().all(Option::is_none) {
            self.drop_waiting(live.peer);
        }
    }

    pub(super) fn end_of_span(&self, span: usize) -> Mono {
        self.spans[span]
            .as_ref()
            .map_or(Mono(0), |span| span.deadline)
    }

    /// From when on nothing may be exchanged with this peer in this epoch.
    pub(super) fn end_of(&self, place: Place, span: usize) -> Mono {
        let peer = self.peers.at(place).map_or(Mono(0), |peer| peer.deadline);
        peer.min(self.end_of_span(span))
    }
}

pub(super) fn send(message: &[u8], to: SocketAddr, out: &mut impl DatagramSink) {
    out.room(to, message.len())[..message.len()].copy_from_slice(message);
    out.commit(message.len());
}
