//! What happens without a packet: retries, keepalives, rotation ahead of time, expiry.

use super::handshake::send;
use super::{Engine, TICK};
use crate::event::Event;
use crate::key::PeerId;
use crate::peer::{Place, Spread};
use crate::sink::DatagramSink;
use crate::time::{Mono, Now};
use crate::tunnel::{INITIATION, OVERHEAD, Tick};
use std::hash::Hasher;
use std::time::Duration;

/// A tunnel without a session goes when nobody needed it for so long.
const UNUSED: Duration = Duration::from_secs(15);
/// The node with the higher key leaves the handshake to the other for so long after the switch.
const COURTESY: Duration = Duration::from_secs(1);

impl Engine {
    /// Forgets the tunnels of every epoch whose deadline has passed.
    pub(super) fn expire(&mut self, now: Now) {
        for place in 0..self.spans.len() {
            let Some(span) = &mut self.spans[place] else {
                continue;
            };
            if span.expired || now.mono < span.deadline {
                continue;
            }
            span.expired = true;
            let epoch = span.epoch;
            self.drop_tunnels_of(place);
            self.tell(Event::Expired { epoch });
        }
    }

    pub(super) fn drop_tunnels_of(&mut self, span: usize) {
        for tunnel in self.live.places() {
            if self.live.at(tunnel).is_some_and(|live| live.span == span) {
                self.drop_tunnel(tunnel);
            }
        }
    }

    pub(super) fn look_after_tunnels(&mut self, out: &mut impl DatagramSink, now: Now) {
        for tunnel in self.live.places() {
            let Some(live) = self.live.at(tunnel) else {
                continue;
            };
            let place = live.peer;
            if now.mono >= self.end_of(place, live.span) {
                self.drop_tunnel(tunnel);
                continue;
            }
            if now.mono.since(live.ticked) >= TICK {
                self.tick(tunnel, out, now);
            }
            self.retry(tunnel, out, now);
            self.confirm(tunnel, out);
            self.drop_stale(place, now.mono);
        }
    }

    fn tick(&mut self, tunnel: Place, out: &mut impl DatagramSink, now: Now) {
        let Some(live) = self.live.at_mut(tunnel) else {
            return;
        };
        let (place, span, asked) = (live.peer, live.span, live.attempt.is_some());
        live.ticked = now.mono;
        let mut message = [0; INITIATION];
        match live.tunnel.tick(&mut message) {
            Tick::Send(INITIATION) => {
                let tries = live.plan(now.mono);
                live.used = now.mono;
                self.send_initiation(&message, place, tries, out);
            }
            Tick::Send(len) => {
                if let Some(to) = self.peers.at(place).and_then(|peer| peer.endpoint) {
                    send(&message[..len], to, out);
                }
            }
            Tick::Ended => self.give_up(tunnel, place, span, asked),
            Tick::Quiet
                if !live.tunnel.ready()
                    && live.attempt.is_none()
                    && now.mono.since(live.used) > UNUSED =>
            {
                self.drop_tunnel(tunnel);
            }
            Tick::Quiet => {}
        }
    }

    fn give_up(&mut self, tunnel: Place, place: Place, span: usize, asked: bool) {
        self.drop_tunnel(tunnel);
        let (Some(peer), Some(span)) = (self.peers.at(place), &self.spans[span]) else {
            return;
        };
        let event = Event::Unreachable {
            peer: peer.id,
            epoch: span.epoch,
        };
        if asked {
            self.tell(event);
        }
    }

    fn retry(&mut self, tunnel: Place, out: &mut impl DatagramSink, now: Now) {
        let due = self
            .live
            .at(tunnel)
            .and_then(|live| live.attempt)
            .is_some_and(|attempt| now.mono >= attempt.next);
        if due {
            self.initiate(tunnel, out, now);
        }
    }

    /// The keepalive that confirms a session may be lost, and the far end does not send in it before.
    fn confirm(&mut self, tunnel: Place, out: &mut impl DatagramSink) {
        let Some(live) = self.live.at_mut(tunnel).filter(|live| live.confirms > 0) else {
            return;
        };
        live.confirms -= 1;
        let Some(to) = self.peers.at(live.peer).and_then(|peer| peer.endpoint) else {
            return;
        };
        if let Some(sealed) = live.tunnel.seal(&[], out.room(to, OVERHEAD)) {
            out.commit(sealed);
        }
    }

    /// Shakes hands in newer epochs for peers with a session in an older one.
    pub(super) fn prepare_epochs(&mut self, out: &mut impl DatagramSink, now: Now) {
        for tunnel in self.live.places() {
            let Some(live) = self.live.at(tunnel).filter(|live| live.tunnel.ready()) else {
                continue;
            };
            let (place, from) = (live.peer, live.span);
            for to in 0..self.spans.len() {
                if self.is_due(place, from, to, now.mono) {
                    self.shake_hands(place, to, out, now);
                }
            }
        }
    }

    fn is_due(&self, place: Place, from: usize, to: usize, now: Mono) -> bool {
        let (Some(from), Some(to_span)) = (&self.spans[from], &self.spans[to]) else {
            return false;
        };
        let Some(peer) = self.peers.at(place) else {
            return false;
        };
        if to_span.epoch <= from.epoch || now >= to_span.deadline || peer.psks[to].is_none() {
            return false;
        }
        let lower = self.identity.public() < peer.key;
        let start = match to_span.activated {
            Some(activated) if lower => activated,
            Some(activated) => activated + COURTESY,
            None if lower => {
                to_span.installed + share(to_span.spread, peer.id, to_span.epoch.0 ^ self.jitter)
            }
            None => return false,
        };
        now >= start
    }

    pub(super) fn keep_alive(&mut self, out: &mut impl DatagramSink, now: Now) {
        for at in 0..self.keepers.len() {
            let place = self.keepers[at];
            let silent = self
                .peers
                .at(place)
                .is_some_and(|peer| self.ready_place(peer, now.mono).is_none());
            if silent {
                // Without an epoch or an address there is nothing to do but wait.
                let _ = self.connect(place, out, now);
            }
        }
    }

    pub(super) fn arm(&mut self, at: Mono) {
        self.next_tick = Some(self.next_tick.map_or(at, |next| next.min(at)));
    }

    pub(super) fn rearm(&mut self, now: Now) {
        let busy = self.live.len() > 0 || !self.keepers.is_empty();
        self.next_tick = busy.then_some(now.mono + TICK);
    }
}

/// A part of the span, spread evenly over peers and epochs.
fn share(spread: Duration, peer: PeerId, salt: u64) -> Duration {
    let mut hasher = Spread::default();
    hasher.write_u64(peer.0);
    hasher.write_u64(salt);
    let part = (hasher.finish() >> 32) as u32;
    spread.mul_f64(f64::from(part) / f64::from(u32::MAX))
}
