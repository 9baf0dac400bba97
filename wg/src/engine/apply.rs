//! The commands, one by one.

use super::outgoing::Way;
use super::{Engine, Pending, Span};
use crate::command::{ApplyError, Command, EpochKeys, PeerConfig, Ping};
use crate::gate::Bucket;
use crate::icmp::{self, Echo, LEAST_ECHO};
use crate::initiation::Timestamp;
use crate::key::{Epoch, PeerId};
use crate::peer::{EPOCHS, Peer, Place};
use crate::sink::DatagramSink;
use crate::time::{Mono, Now};
use rand_chacha::rand_core::RngCore;
use std::net::SocketAddr;
use std::time::Duration;

/// Removed peers whose newest initiation is remembered.
const MOST_GONE: usize = 16_384;
const MOST_PINGS: usize = 1024;
const PING_LIFE: Duration = Duration::from_secs(30);

impl Engine {
    pub(super) fn carry_out(
        &mut self,
        command: Command,
        out: &mut impl DatagramSink,
        now: Now,
    ) -> Result<(), ApplyError> {
        match command {
            Command::AddPeer(config) => self.add_peer(config, now)?,
            Command::RemovePeer(id) => self.remove_peer(id)?,
            Command::InstallEpoch(keys) => self.install_epoch(keys, now)?,
            Command::Activate(epoch) => self.activate(epoch, out, now)?,
            Command::Retire(epoch) => self.retire(epoch)?,
            Command::SetEpochDeadline(epoch, deadline) => {
                self.set_epoch_deadline(epoch, deadline, now)?
            }
            Command::SetPeerDeadline(id, deadline) => self.known(id)?.deadline = deadline,
            Command::SetRoutes(routes) => self.routes = routes,
            Command::SetFilter(filter) => self.guard.set_filter(filter),
            Command::SetCandidates(id, candidates) => {
                self.known(id)?.candidates = candidates.into()
            }
            Command::SetEndpoint(id, endpoint) => self.set_endpoint(id, endpoint)?,
            Command::SetMtu(id, mtu) => self.known(id)?.mtu = mtu,
            Command::SetLocal(local) => self.local = local,
            Command::Connect(id) => self.connect_now(id, out, now)?,
            Command::Ping(ping) => self.ping(ping, out, now)?,
        }
        Ok(())
    }

    fn place(&self, id: PeerId) -> Result<Place, ApplyError> {
        self.peers.place(id).ok_or(ApplyError::UnknownPeer(id))
    }

    fn known(&mut self, id: PeerId) -> Result<&mut Peer, ApplyError> {
        let place = self.place(id)?;
        self.peers.at_mut(place).ok_or(ApplyError::UnknownPeer(id))
    }

    fn span(&self, epoch: Epoch) -> Result<usize, ApplyError> {
        let place = self
            .spans
            .iter()
            .position(|span| span.as_ref().is_some_and(|span| span.epoch == epoch));
        place.ok_or(ApplyError::UnknownEpoch(epoch))
    }

    fn add_peer(&mut self, config: PeerConfig, now: Now) -> Result<(), ApplyError> {
        let (peer, key) = (config.id, config.key);
        let by_id = self.peers.place(peer);
        if by_id != self.peers.place_of_key(&key) {
            return Err(ApplyError::KeyInUse { peer, key });
        }
        let shared = self
            .identity
            .shared(&key.0)
            .filter(|_| key != self.identity.public());
        let shared = shared.ok_or(ApplyError::BadKey { peer, key })?;
        let place = match by_id {
            Some(place) => place,
            None => {
                self.next_tag += 1;
                let newest = self.gone.remove(&key).unwrap_or_default();
                self.peers
                    .insert(Peer::new(&config, self.next_tag, shared, newest))
            }
        };
        self.configure(place, config, now);
        Ok(())
    }

    fn configure(&mut self, place: Place, config: PeerConfig, now: Now) {
        let psks = config
            .psks
            .iter()
            .filter_map(|(epoch, psk)| Some((self.span(*epoch).ok()?, psk.clone())));
        let mut by_span = [None, None, None];
        for (span, psk) in psks.collect::<Vec<_>>() {
            by_span[span] = Some(psk);
        }
        for (span, psk) in by_span.into_iter().enumerate() {
            self.set_psk(place, span, psk);
        }
        self.keepers.retain(|keeper| *keeper != place);
        if config.keepalive.is_some() {
            self.keepers.push(place);
            self.arm(now.mono);
        }
        if let Some(peer) = self.peers.at_mut(place) {
            peer.candidates = config.candidates.into();
            peer.keepalive = config.keepalive;
            peer.mtu = config.mtu;
            peer.deadline = config.deadline;
        }
    }

    /// Sets a peer's key in an epoch; a tunnel with another key goes.
    fn set_psk(&mut self, place: Place, span: usize, psk: Option<crate::key::Psk>) {
        let Some(peer) = self.peers.at_mut(place) else {
            return;
        };
        let same = match (&peer.psks[span], &psk) {
            (Some(old), Some(new)) => old.same(new),
            (None, None) => true,
            _ => false,
        };
        let tunnel = peer.tunnels[span];
        peer.psks[span] = psk;
        if let Some(tunnel) = tunnel.filter(|_| !same) {
            self.drop_tunnel(tunnel);
        }
    }

    fn remove_peer(&mut self, id: PeerId) -> Result<(), ApplyError> {
        let place = self.place(id)?;
        let tunnels = self
            .peers
            .at(place)
            .map_or([None; EPOCHS], |peer| peer.tunnels);
        for tunnel in tunnels.into_iter().flatten() {
            self.drop_tunnel(tunnel);
        }
        self.drop_waiting(place);
        self.keepers.retain(|keeper| *keeper != place);
        self.pings.retain(|ping| ping.peer != id);
        // Its flows carry a tag that no other peer will have.
        if let Some(peer) = self.peers.remove(id) {
            self.remember(&peer);
        }
        Ok(())
    }

    /// A peer that comes back must not be greeted with its own old initiations.
    fn remember(&mut self, peer: &Peer) {
        if peer.newest == Timestamp::default() {
            return;
        }
        if self.gone.len() >= MOST_GONE
            && let Some(other) = self.gone.keys().next().copied()
        {
            self.gone.remove(&other);
        }
        self.gone.insert(peer.key, peer.newest);
    }

    fn install_epoch(&mut self, keys: EpochKeys, now: Now) -> Result<(), ApplyError> {
        let EpochKeys {
            epoch,
            deadline,
            spread,
            psks,
        } = keys;
        if deadline <= now.mono {
            return Err(ApplyError::PastDeadline(epoch));
        }
        let place = match self.span(epoch) {
            Ok(place) => place,
            Err(_) => self
                .spans
                .iter()
                .position(Option::is_none)
                .ok_or(ApplyError::TooManyEpochs(epoch))?,
        };
        let activated = self.spans[place].as_ref().and_then(|span| span.activated);
        self.spans[place] = Some(Span {
            epoch,
            deadline,
            installed: now.mono,
            activated,
            spread,
            expired: false,
        });
        let mut listed: Vec<Place> = Vec::with_capacity(psks.len());
        for (id, psk) in psks {
            if let Some(peer) = self.peers.place(id) {
                listed.push(peer);
                self.set_psk(peer, place, Some(psk));
            }
        }
        self.unlist(place, listed);
        Ok(())
    }

    /// Whoever is not listed has no key in this epoch.
    fn unlist(&mut self, span: usize, mut listed: Vec<Place>) {
        listed.sort_unstable();
        let keyed: Vec<Place> = self
            .peers
            .places_where(|peer| peer.psks[span].is_some())
            .collect();
        for place in keyed {
            if listed.binary_search(&place).is_err() {
                self.set_psk(place, span, None);
            }
        }
    }

    fn activate(
        &mut self,
        epoch: Epoch,
        out: &mut impl DatagramSink,
        now: Now,
    ) -> Result<(), ApplyError> {
        let place = self.span(epoch)?;
        let span = self.spans[place]
            .as_mut()
            .ok_or(ApplyError::UnknownEpoch(epoch))?;
        if now.mono >= span.deadline {
            return Err(ApplyError::PastDeadline(epoch));
        }
        span.activated.get_or_insert(now.mono);
        self.active = Some(place);
        let ready: Vec<Place> = self
            .live
            .iter()
            .filter(|live| live.tunnel.ready())
            .map(|live| live.peer)
            .collect();
        for peer in ready {
            self.send_waiting(peer, out, now);
        }
        Ok(())
    }

    fn retire(&mut self, epoch: Epoch) -> Result<(), ApplyError> {
        let place = self.span(epoch)?;
        self.drop_tunnels_of(place);
        for peer in self.peers.iter_mut() {
            peer.psks[place] = None;
        }
        self.spans[place] = None;
        if self.active == Some(place) {
            self.active = None;
        }
        Ok(())
    }

    fn set_epoch_deadline(
        &mut self,
        epoch: Epoch,
        deadline: Mono,
        now: Now,
    ) -> Result<(), ApplyError> {
        let place = self.span(epoch)?;
        if let Some(span) = &mut self.spans[place] {
            span.deadline = deadline;
            span.expired &= deadline <= now.mono;
        }
        self.expire(now);
        Ok(())
    }

    fn set_endpoint(&mut self, id: PeerId, endpoint: SocketAddr) -> Result<(), ApplyError> {
        self.known(id)?.endpoint = Some(endpoint);
        Ok(())
    }

    fn connect_now(
        &mut self,
        id: PeerId,
        out: &mut impl DatagramSink,
        now: Now,
    ) -> Result<(), ApplyError> {
        let place = self.place(id)?;
        let epoch = self
            .active
            .and_then(|place| self.spans[place].as_ref())
            .map_or(Epoch(0), |span| span.epoch);
        self.connect(place, out, now)
            .map_err(|reason| match reason {
                crate::Discard::Deadline => ApplyError::PastDeadline(epoch),
                _ => ApplyError::UnknownEpoch(epoch),
            })
    }

    fn ping(
        &mut self,
        ping: Ping,
        out: &mut impl DatagramSink,
        now: Now,
    ) -> Result<(), ApplyError> {
        let place = self.place(ping.peer)?;
        self.check_ping(&ping, place)?;
        self.pings
            .retain(|pending| now.mono.since(pending.sent) < PING_LIFE);
        if self.pings.len() >= MOST_PINGS {
            return Err(ApplyError::TooManyPings);
        }
        let Ok(Way::Open(tunnel, to)) = self.way(place, now.mono) else {
            return Err(ApplyError::NoSession(ping.peer));
        };
        let nonce = self.rng.next_u64();
        let (peer, token, sent) = (ping.peer, ping.token, now.mono);
        self.pings.push(Pending {
            peer,
            nonce,
            token,
            sent,
        });
        let mut packet = vec![0; usize::from(ping.len)];
        let echo = Echo {
            request: true,
            id: nonce as u16,
            nonce,
        };
        icmp::write_echo(echo, ping.from, ping.to, &mut packet);
        self.seal_packet(&packet, tunnel, to, out, now);
        Ok(())
    }

    fn check_ping(&self, ping: &Ping, place: Place) -> Result<(), ApplyError> {
        let peer = self
            .peers
            .at(place)
            .ok_or(ApplyError::UnknownPeer(ping.peer))?;
        let fits = (LEAST_ECHO..=usize::from(self.mtu_of(peer))).contains(&usize::from(ping.len));
        let ours =
            self.local.addresses.contains(&ping.from) && ping.from.is_ipv4() == ping.to.is_ipv4();
        if fits && ours && self.routes.lookup(ping.to) == Some(ping.peer) {
            Ok(())
        } else {
            Err(ApplyError::BadPing)
        }
    }
}

impl Peer {
    fn new(config: &PeerConfig, tag: u64, shared: [u8; 32], newest: Timestamp) -> Self {
        Self {
            id: config.id,
            key: config.key,
            tag,
            shared,
            endpoint: None,
            candidates: Box::default(),
            keepalive: None,
            mtu: None,
            deadline: Mono(0),
            psks: [None, None, None],
            tunnels: [None; EPOCHS],
            newest,
            initiated: Bucket::default(),
            unconfirmed: 0,
            waiting: std::collections::VecDeque::new(),
            echoes: Bucket::default(),
            last_handshake: None,
            traffic: crate::status::Traffic::default(),
            discards: crate::discard::Discards::default(),
        }
    }
}
