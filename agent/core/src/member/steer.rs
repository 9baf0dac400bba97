//! From what counts to what the data plane and the host are to know.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tidegate_proto::{
    Certificate, Endpoint, EpochNumber, NodeId, Prefix, Standing, UnixTime, Verified,
};
use tidegate_wg::{Event as PlaneEvent, Mono, PeerId, Rule};

use super::{Member, Names};
use crate::event::Event;
use crate::file::FileName;
use crate::filter::{self, Behind, wg_prefix};
use crate::grants::Held;
use crate::host::{HostWish, Traffic};
use crate::input::Wish;
use crate::peers::{Scene, Subnets, addresses_of, candidates, is_out};
use crate::plane::{Plane, Secrets, Wanted, WantedEpoch, WantedPeer};
use crate::time::Now;

/// One peer, as it counts now.
pub(super) struct Peer {
    pub(super) id: PeerId,
    pub(super) certificate: Verified<Certificate>,
    pub(super) candidates: Vec<SocketAddr>,
    pub(super) routes: Vec<Prefix>,
}

/// Who counts now, and what follows from it. Worked out anew only when something has changed.
#[derive(Default)]
pub(super) struct Circle {
    peers: BTreeMap<NodeId, Peer>,
    by_id: BTreeMap<PeerId, NodeId>,
    wanted: Arc<BTreeMap<PeerId, WantedPeer>>,
    routes: Arc<Vec<(tidegate_wg::Prefix, PeerId)>>,
    rules: Arc<Vec<Rule>>,
    loops: Vec<(Prefix, NodeId)>,
    names: Arc<Names>,
    /// When the first certificate of these ends.
    until: Option<UnixTime>,
    current: bool,
}

impl Circle {
    /// Something has changed.
    pub(super) fn outdate(&mut self) {
        self.current = false;
    }

    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    pub(super) fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names)
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = (&NodeId, &Peer)> {
        self.peers.iter()
    }

    pub(super) fn loops(&self) -> &[(Prefix, NodeId)] {
        &self.loops
    }

    pub(super) fn node(&self, id: PeerId) -> Option<NodeId> {
        self.by_id.get(&id).copied()
    }

    /// When it changes by itself.
    pub(super) fn until(&self) -> Option<UnixTime> {
        self.until
    }
}

impl Member {
    /// The certificate in force, if this node may take part at all: it is up, trusted, certified, and not on the list.
    pub(super) fn taking_part(&self, now: Now) -> Option<&Verified<Certificate>> {
        let list = self.list.current()?;
        let own = self.own(now)?;
        let up = self.recent.wish == Wish::Up && self.keyring().is_some();
        (up && !is_out(list, own) && self.keys.wireguard_public() == own.wireguard).then_some(own)
    }

    /// When an epoch ends here, if it may be used at all: with a list on the disk that is new enough (THREATS B2), while
    /// lease and certificate last.
    pub(super) fn usable_until(&self, held: &Held, now: Now) -> Option<Mono> {
        let own = self.taking_part(now)?;
        let list = self.list.current()?;
        let place = held.grant.list;
        let durable =
            self.list_stored.is_some_and(|stored| stored >= place) && list.place() >= place;
        let clear = list.standing(&own.identity, held.grant.serial) == Standing::Clear;
        let lease = held.deadline(&self.clock)?;
        let certificate = self.clock.shortened(self.clock.deadline(own.not_after)?);
        let until = lease.min(certificate);
        (durable && clear && until > now.boot).then_some(until)
    }

    /// The epochs that may be used now, with their ends.
    pub(super) fn usable(&self, now: Now) -> Vec<(EpochNumber, &Held, Mono)> {
        let usable = |(epoch, held)| Some((epoch, held, self.usable_until(held, now)?));
        self.grants.iter().filter_map(usable).collect()
    }

    /// Works out who counts, if something has changed or a certificate has ended.
    fn draw_circle(&mut self, now: Now) {
        let time = self.clock.time(now);
        if self.circle.current && self.circle.until.is_none_or(|until| time < until) {
            return;
        }
        let before = std::mem::take(&mut self.circle);
        self.circle = self.new_circle(now).unwrap_or_default();
        self.circle.current = true;
        self.name_own();
        self.tell_peers(&before);
    }

    fn new_circle(&mut self, now: Now) -> Option<Circle> {
        let own = self.taking_part(now)?.clone();
        let genesis = self.trust.genesis().clone();
        let scene = Scene {
            own: &own,
            list: self.list.current()?,
            roster: &self.roster,
            time: self.clock.time(now),
        };
        let known = scene.peers();
        let subnets = Subnets::new(&known, &self.choices, |known| {
            candidates(known, &self.recent, &genesis)
        });
        let mut circle = Circle {
            until: known
                .values()
                .map(|known| known.certificate.not_after)
                .chain([own.not_after])
                .min(),
            loops: subnets.loops,
            ..Circle::default()
        };
        for (node, known) in known {
            let own_addresses = addresses_of(&known.certificate).map(Prefix::host);
            let behind = subnets
                .routes
                .iter()
                .filter(|(_, leads)| **leads == node)
                .map(|(route, _)| *route);
            let peer = Peer {
                id: self.numbers.of(known.certificate.wireguard),
                certificate: known.certificate.clone(),
                candidates: candidates(known, &self.recent, &genesis),
                routes: own_addresses.into_iter().chain(behind).collect(),
            };
            circle.by_id.insert(peer.id, node);
            circle.peers.insert(node, peer);
        }
        self.spread_out(&mut circle, &own);
        self.recent.guarded.extend(subnets.routes.into_keys());
        Some(circle)
    }

    /// The circle in the data plane's words.
    fn spread_out(&self, circle: &mut Circle, own: &Certificate) {
        let peers = circle.peers.values();
        let route = |peer: &Peer| -> Vec<_> {
            let prefixes = peer.routes.iter().filter_map(wg_prefix);
            prefixes.map(|prefix| (prefix, peer.id)).collect()
        };
        circle.routes = Arc::new(peers.clone().flat_map(route).collect());
        circle.wanted = Arc::new(
            peers
                .map(|peer| (peer.id, self.wanted_peer(peer)))
                .collect(),
        );
        circle.rules = Arc::new(self.rules(circle, own));
    }

    fn rules(&self, circle: &Circle, own: &Certificate) -> Vec<Rule> {
        let Some(policy) = self.policy.current() else {
            return Vec::new();
        };
        let peers: Vec<_> = circle
            .peers
            .values()
            .map(|peer| {
                let behind = if peer.routes.len() > 2 {
                    Behind::Networks
                } else {
                    Behind::Nothing
                };
                (peer.id, &*peer.certificate, behind)
            })
            .collect();
        filter::compile(policy, own, self.genesis(), &peers)
    }

    fn name_own(&mut self) {
        let entry =
            |certificate: &Certificate| (certificate.name.clone(), addresses_of(certificate));
        let own = self.certificate.current().map(|own| entry(own));
        let peers = self
            .circle
            .peers
            .values()
            .map(|peer| entry(&peer.certificate));
        self.circle.names = Arc::new(own.into_iter().chain(peers).collect());
    }

    fn tell_peers(&mut self, before: &Circle) {
        for (node, peer) in &before.peers {
            if !self.circle.peers.contains_key(node) {
                let listed = self
                    .list
                    .current()
                    .is_some_and(|list| is_out(list, &peer.certificate));
                let name = peer.certificate.name.clone();
                self.outbox.tell(Event::PeerLeft {
                    node: *node,
                    name,
                    listed,
                });
            }
        }
        let joined = self
            .circle
            .peers
            .iter()
            .filter(|(node, _)| !before.peers.contains_key(node));
        for (node, peer) in joined {
            let name = peer.certificate.name.clone();
            self.outbox.tell(Event::PeerJoined { node: *node, name });
        }
        for (route, node) in self
            .circle
            .loops
            .iter()
            .filter(|found| !before.loops.contains(found))
        {
            self.outbox.tell(Event::RouteLoop {
                route: *route,
                node: *node,
            });
        }
    }

    /// Tells the data plane what is new. What ends comes first.
    pub(super) fn steer_plane(&mut self, now: Now) {
        self.draw_circle(now);
        let Some(wanted) = self.wanted(now) else {
            return self.stop_plane();
        };
        let key = self.keys.wireguard_public();
        if self.plane.as_ref().is_none_or(|plane| plane.key() != key) {
            if !self.asks.plane.try_begin(now.boot) {
                return;
            }
            self.outbox
                .start(Plane::start(self.keys.wireguard(), &wanted));
            self.plane = Some(Plane::started(key, &wanted));
            // So that whoever waits for the plane before hears of this one.
            self.ordered = Some(self.outbox.apply(Vec::new()));
        }
        let secrets = Secrets {
            network: self.trust.chain().network(),
            own: self.keys.wireguard(),
            grants: self
                .grants
                .iter()
                .map(|(epoch, held)| (epoch, &held.key))
                .collect(),
        };
        let lately = self.lately(now);
        let Some(plane) = self.plane.as_mut().filter(|plane| *plane.told() != wanted) else {
            return;
        };
        let before = (plane.told().active, plane.told().epochs.clone());
        let commands = plane.change(wanted, &secrets, &lately, now.boot);
        if !commands.is_empty() {
            self.ordered = Some(self.outbox.apply(commands));
        }
        self.tell_epochs(&before);
    }

    fn tell_epochs(&mut self, before: &(Option<EpochNumber>, BTreeMap<EpochNumber, WantedEpoch>)) {
        let Some(told) = self.plane.as_ref().map(Plane::told) else {
            return;
        };
        for epoch in told
            .epochs
            .keys()
            .filter(|epoch| !before.1.contains_key(epoch))
        {
            if let Some(held) = self.grants.at(*epoch) {
                let lease_until = held.grant.lease_until;
                self.outbox.tell(Event::Granted {
                    epoch: *epoch,
                    lease_until,
                });
            }
        }
        if let Some(active) = told.active.filter(|_| told.active != before.0) {
            self.outbox.tell(Event::Switched(active));
        }
        for epoch in before
            .1
            .keys()
            .filter(|epoch| !told.epochs.contains_key(epoch))
        {
            self.outbox.tell(Event::Retired(*epoch));
        }
    }

    /// What the data plane is to know; `None`: there is to be none.
    fn wanted(&self, now: Now) -> Option<Wanted> {
        let own = self
            .certificate
            .current()
            .filter(|_| self.recent.wish == Wish::Up)?;
        let usable = self.usable(now);
        let time = self.clock.time(now);
        Some(Wanted {
            addresses: addresses_of(own).to_vec(),
            mtu: self.choices.mtu,
            keepalive: self.choices.keepalive,
            peers: Arc::clone(&self.circle.wanted),
            epochs: usable
                .iter()
                .map(|(epoch, held, until)| (*epoch, self.wanted_epoch(held, *until, now)))
                .collect(),
            active: self.active(&usable, time),
            routes: Arc::clone(&self.circle.routes),
            rules: Arc::clone(&self.circle.rules),
        })
    }

    /// Peers to shake hands with at once, where this node was restarted.
    fn lately(&self, now: Now) -> BTreeSet<PeerId> {
        let time = self.clock.time(now);
        let lately = |(node, _): &(&NodeId, &Peer)| self.recent.lately(**node, time);
        self.circle
            .peers
            .iter()
            .filter(lately)
            .map(|(_, peer)| peer.id)
            .collect()
    }

    fn wanted_peer(&self, peer: &Peer) -> WantedPeer {
        // Without a known time there is no epoch either.
        let end = self
            .clock
            .deadline(peer.certificate.not_after)
            .unwrap_or_default();
        let steady = self.plane.as_ref().map(|plane| plane.steady(peer.id, end));
        WantedPeer {
            key: peer.certificate.wireguard,
            candidates: peer.candidates.clone(),
            deadline: steady.unwrap_or(end),
        }
    }

    /// Handshakes ahead of the switch are spread over half of the time until then.
    fn wanted_epoch(&self, held: &Held, until: Mono, now: Now) -> WantedEpoch {
        let ahead = held.grant.starts.since(self.clock.time(now));
        let spread = Duration::from_millis(ahead.as_millis() / 2);
        WantedEpoch {
            secret: held.secret(),
            deadline: until,
            spread: spread.max(self.overlap() / 4),
        }
    }

    /// The latest epoch that has begun.
    pub(super) fn active(
        &self,
        usable: &[(EpochNumber, &Held, Mono)],
        time: UnixTime,
    ) -> Option<EpochNumber> {
        let begun = usable
            .iter()
            .filter(|(_, held, _)| held.grant.starts <= time);
        begun.map(|(epoch, _, _)| *epoch).max()
    }

    /// How long an epoch is received after the next has begun.
    pub(super) fn overlap(&self) -> Duration {
        let policy = self.policy.current().map(|policy| policy.epochs);
        crate::clock::as_duration(policy.unwrap_or(self.genesis().epochs).overlap)
    }

    fn stop_plane(&mut self) {
        if self.plane.take().is_some() {
            self.outbox.stop();
            self.receipts.plane_gone();
            self.ordered = None;
        }
    }

    /// The shell has dropped the data plane: nothing flows, and another begins.
    pub(super) fn plane_gone(&mut self, now: Now) {
        self.plane = None;
        self.ordered = None;
        self.receipts.plane_gone();
        self.asks.plane.failed(now.boot);
    }

    pub(super) fn plane_event(&mut self, event: PlaneEvent, now: Now) {
        match event {
            PlaneEvent::Connected { peer, .. } | PlaneEvent::Pong { peer, .. } => {
                self.note_use(peer, now)
            }
            PlaneEvent::Roamed { peer, endpoint } => self.note_endpoint(peer, endpoint, now),
            _ => {}
        }
    }

    pub(super) fn note_use(&mut self, peer: PeerId, now: Now) {
        if let Some(node) = self.circle.node(peer) {
            self.keep_use(node, now);
            self.recent.note_use(node, self.clock.time(now));
        }
    }

    /// The next start shakes hands with whom it finds on the disk: a peer that is new there cannot wait.
    fn keep_use(&mut self, node: NodeId, now: Now) {
        match self.recent.lately(node, self.clock.time(now)) {
            true => self.saver.late(FileName::Recent, now),
            false => self.saver.soon(FileName::Recent, now),
        }
    }

    /// The data plane knows already; this is for the next start.
    fn note_endpoint(&mut self, peer: PeerId, address: SocketAddr, now: Now) {
        let (node, endpoint) = (self.circle.node(peer), Endpoint::new(address).ok());
        if let Some((node, endpoint)) = node.zip(endpoint) {
            self.keep_use(node, now);
            self.recent
                .note_endpoint(node, endpoint, self.clock.time(now));
        }
    }

    /// Tells how the host's network is wanted, if that is new.
    pub(super) fn steer_host(&mut self) {
        let wish = self.host_wish().map(Arc::new);
        if self.host.as_ref() != Some(&wish) {
            self.host = Some(wish.clone());
            self.outbox.host(wish);
        }
    }

    fn host_wish(&self) -> Option<HostWish> {
        if self.recent.wish == Wish::Down {
            return None;
        }
        let flows = self
            .plane
            .as_ref()
            .is_some_and(|plane| plane.told().active.is_some());
        let own = self.certificate.current();
        let addresses: Vec<IpAddr> = own
            .map(|own| addresses_of(own).to_vec())
            .unwrap_or_default();
        let default = |route: &&Prefix| route.length() == 0;
        let served = |route: &&Prefix| self.choices.serve.contains(route);
        Some(HostWish {
            traffic: if flows {
                Traffic::Flows
            } else {
                Traffic::Stopped
            },
            addresses: addresses.into_iter().collect(),
            overlay: self.genesis().prefixes().collect(),
            subnets: self
                .recent
                .guarded
                .iter()
                .filter(|route| !default(route))
                .copied()
                .collect(),
            exit: self
                .recent
                .guarded
                .iter()
                .filter(default)
                .copied()
                .collect(),
            serve: own
                .iter()
                .flat_map(|own| own.routes.iter())
                .filter(served)
                .copied()
                .collect(),
            mtu: self.choices.mtu,
        })
    }
}
