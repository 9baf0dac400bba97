//! Answers to the initiations of others: in which epoch, and how often.

use super::Engine;
use super::handshake::send;
use crate::discard::Discard;
use crate::peer::{EPOCHS, Peer, Place};
use crate::sink::DatagramSink;
use crate::time::{Mono, Now};
use crate::tunnel::{INITIATION, RESPONSE};
use std::net::SocketAddr;

/// After so many answers without a session, one may be made where there is a session already.
const PATIENCE: u8 = 3;

impl Engine {
    /// Answers in the hinted epoch. Where that did not lead to a session the last time, in all epochs: an
    /// initiator that knows nothing of hints accepts the answer whose key verifies.
    pub(super) fn answer(
        &mut self,
        place: Place,
        hint: u32,
        message: &[u8; INITIATION],
        from: SocketAddr,
        out: &mut impl DatagramSink,
        now: Now,
    ) -> Result<(), Discard> {
        let peer = self.peers.at(place).ok_or(Discard::NoPeer)?;
        let choices = self.choices(peer, hint, now.mono)?;
        let (again, count) = (
            peer.unconfirmed,
            if peer.unconfirmed == 0 { 1 } else { EPOCHS },
        );
        let settled = self.ready_place(peer, now.mono).is_some();
        for (rank, span) in choices.into_iter().flatten().take(count).enumerate() {
            // A guess disturbs the timers of a session in use, so that comes last.
            if rank == 0 || again >= PATIENCE || !self.in_use(place, span) {
                self.answer_in(span, place, message, from, out, now)?;
            }
        }
        if let Some(peer) = self.peers.at_mut(place) {
            peer.unconfirmed = peer.unconfirmed.saturating_add(1);
        }
        // A session in use is not moved by a handshake alone; its first packet will tell.
        if !settled {
            self.move_to(place, from);
        }
        Ok(())
    }

    fn in_use(&self, place: Place, span: usize) -> bool {
        let tunnel = self.peers.at(place).and_then(|peer| peer.tunnels[span]);
        tunnel
            .and_then(|tunnel| self.live.at(tunnel))
            .is_some_and(|live| live.tunnel.ready())
    }

    /// The epochs in which this peer can be answered, likeliest first.
    fn choices(
        &self,
        peer: &Peer,
        hint: u32,
        now: Mono,
    ) -> Result<[Option<usize>; EPOCHS], Discard> {
        let mut places: [Option<usize>; EPOCHS] = std::array::from_fn(|place| {
            peer.psks[place].as_ref()?;
            (now < self.end_of_span(place)).then_some(place)
        });
        let known = peer.psks.iter().any(Option::is_some);
        if now >= peer.deadline || (known && places.iter().all(Option::is_none)) {
            return Err(Discard::Deadline);
        }
        if !known {
            return Err(Discard::NoEpoch);
        }
        places.sort_by_key(|place| {
            let span = place.and_then(|place| self.spans[place].as_ref());
            let hinted = span.is_some_and(|span| span.epoch.parity() == hint);
            let active = place.is_some() && *place == self.active;
            std::cmp::Reverse((hinted, active, span.map(|span| span.epoch)))
        });
        Ok(places)
    }

    fn answer_in(
        &mut self,
        span: usize,
        place: Place,
        message: &[u8; INITIATION],
        from: SocketAddr,
        out: &mut impl DatagramSink,
        now: Now,
    ) -> Result<(), Discard> {
        let tunnel = self.tunnel_for(place, span, now).ok_or(Discard::NoEpoch)?;
        let live = self.live.at_mut(tunnel).ok_or(Discard::NoEpoch)?;
        let mut response = [0; INITIATION];
        live.tunnel.answer(message, &mut response)?;
        live.used = now.mono;
        live.unseen = Some(u32::from_le_bytes([
            response[4],
            response[5],
            response[6],
            response[7],
        ]));
        send(&response[..RESPONSE], from, out);
        Ok(())
    }
}
