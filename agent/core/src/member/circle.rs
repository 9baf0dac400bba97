//! Who counts now, and what follows from it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_proto::{Certificate, Endpoint, Genesis, NodeId, Prefix, UnixTime, Verified};
use tidegate_wg::{Mono, PeerId, Rule};

use super::{Member, Names};
use crate::event::Event;
use crate::filter::{self, Behind, wg_prefix};
use crate::peers::{Scene, Subnets, Ways, addresses_of, candidates, is_out};
use crate::plane::WantedPeer;
use crate::roster::Known;
use crate::time::Now;

/// One peer, as it counts now.
pub(super) struct Peer {
    pub(super) id: PeerId,
    pub(super) certificate: Verified<Certificate>,
    pub(super) candidates: Vec<SocketAddr>,
    pub(super) routes: Vec<Prefix>,
}

impl Peer {
    fn new(id: PeerId, known: &Known, candidates: Vec<SocketAddr>, subnets: &Subnets) -> Self {
        let node = known.certificate.node;
        let leads = |(_, leads): &(&Prefix, &NodeId)| **leads == node;
        let behind = subnets.routes.iter().filter(leads).map(|(route, _)| *route);
        let own_addresses = addresses_of(&known.certificate).map(Prefix::host);
        Self {
            id,
            certificate: known.certificate.clone(),
            candidates,
            routes: own_addresses.into_iter().chain(behind).collect(),
        }
    }
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

    /// The peers, in the data plane's words.
    pub(super) fn wanted(&self) -> Arc<BTreeMap<PeerId, WantedPeer>> {
        Arc::clone(&self.wanted)
    }

    /// Which addresses lead to whom.
    pub(super) fn routes(&self) -> Arc<Vec<(tidegate_wg::Prefix, PeerId)>> {
        Arc::clone(&self.routes)
    }

    /// What may be exchanged.
    pub(super) fn rules(&self) -> Arc<Vec<Rule>> {
        Arc::clone(&self.rules)
    }

    pub(super) fn loops(&self) -> &[(Prefix, NodeId)] {
        &self.loops
    }

    pub(super) fn node(&self, id: PeerId) -> Option<NodeId> {
        self.by_id.get(&id).copied()
    }

    /// Whether the address is in a network behind the peer.
    pub(super) fn is_behind(&self, node: NodeId, address: SocketAddr) -> bool {
        let peer = self.peers.get(&node);
        let mut routes = peer
            .into_iter()
            .flat_map(|peer| peer.certificate.routes.iter());
        routes.any(|route| route.contains(address.ip()))
    }

    /// When it changes by itself.
    pub(super) fn until(&self) -> Option<UnixTime> {
        self.until
    }
}

impl Member {
    /// Works out who counts, if something has changed or a certificate has ended.
    pub(super) fn draw_circle(&mut self, now: Now) {
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
        let subnets = Subnets::new(&known, &self.choices, |known| self.ways(known, &genesis));
        let mut circle = Circle {
            until: known
                .values()
                .map(|known| known.certificate.not_after)
                .chain([own.not_after])
                .min(),
            ..Circle::default()
        };
        for (node, known) in known {
            let candidates = subnets.ways_around(known, candidates(known, &self.recent, &genesis));
            let id = self.numbers.of(known.certificate.wireguard);
            let peer = Peer::new(id, known, candidates, &subnets);
            circle.by_id.insert(peer.id, node);
            circle.peers.insert(node, peer);
        }
        circle.loops = subnets.loops;
        self.spread_out(&mut circle, &own);
        self.guard(&circle, subnets.routes.into_keys());
        Some(circle)
    }

    fn ways(&self, known: &Known, genesis: &Genesis) -> Ways {
        let used = self.recent.of(known.certificate.node);
        let speaks_from = used.filter(|used| used.live).and_then(|used| used.heard);
        Ways {
            candidates: candidates(known, &self.recent, genesis),
            speaks_from: speaks_from.map(|endpoint| endpoint.address()),
            here: self.endpoints.iter().map(Endpoint::address).collect(),
        }
    }

    /// Accepted networks stay guarded until `down`; but a guard over the way to a node would cut that way.
    fn guard(&mut self, circle: &Circle, accepted: impl Iterator<Item = Prefix>) {
        let looped = |route: &Prefix| circle.loops.iter().any(|(other, _)| other == route);
        self.recent.guarded.retain(|route| !looped(route));
        self.recent.guarded.extend(accepted);
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

    fn wanted_peer(&self, peer: &Peer) -> WantedPeer {
        // Without a known time there is no epoch either.
        let end = self.clock.deadline(peer.certificate.not_after);
        let end = end.map_or_else(Mono::default, |end| self.clock.shortened(end));
        let steady = self.plane.as_ref().map(|plane| plane.steady(peer.id, end));
        WantedPeer {
            key: peer.certificate.wireguard,
            candidates: peer.candidates.clone(),
            deadline: steady.unwrap_or(end),
        }
    }
}
