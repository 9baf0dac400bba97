//! Who is a peer now: the roster, the certificates, and last of all the revocation list.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use tidegate_proto::{
    Certificate, Document as _, Endpoint, Genesis, NodeId, Prefix, RevocationList, Standing,
    UnixTime, WgPublicKey,
};
use tidegate_wg::PeerId;

use crate::input::{Accept, Choices};
use crate::recent::Recent;
use crate::roster::{Known, Roster};

/// The most addresses that are tried of one peer.
const MOST_CANDIDATES: usize = 20;

/// The numbers by which the data plane knows peers: one for each key, never used for another.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    ids: BTreeMap<WgPublicKey, PeerId>,
    last: u64,
}

impl Numbers {
    pub(crate) fn of(&mut self, key: WgPublicKey) -> PeerId {
        *self.ids.entry(key).or_insert_with(|| {
            self.last += 1;
            PeerId(self.last)
        })
    }
}

/// What decides who is a peer.
pub(crate) struct Scene<'a> {
    pub(crate) own: &'a Certificate,
    pub(crate) list: &'a RevocationList,
    pub(crate) roster: &'a Roster,
    pub(crate) time: UnixTime,
}

impl<'a> Scene<'a> {
    /// Every peer that counts, by node. Of two with one key or address, the later certificate's counts.
    pub(crate) fn peers(&self) -> BTreeMap<NodeId, &'a Known> {
        let mut counted: Vec<_> = self
            .roster
            .peers()
            .filter(|(node, known)| *node != self.own.node && self.counts(&known.certificate))
            .collect();
        counted.sort_by_key(|(_, known)| std::cmp::Reverse(known.certificate.serial));
        let (mut keys, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        keys.insert(self.own.wireguard);
        addresses.extend(addresses_of(self.own));
        counted.retain(|(_, known)| {
            let own = addresses_of(&known.certificate);
            let free = !keys.contains(&known.certificate.wireguard)
                && !own.iter().any(|address| addresses.contains(address));
            if free {
                keys.insert(known.certificate.wireguard);
                addresses.extend(own);
            }
            free
        });
        // The list has the last word (THREATS M7).
        counted.retain(|(_, known)| !is_out(self.list, &known.certificate));
        counted.into_iter().collect()
    }

    fn counts(&self, certificate: &Certificate) -> bool {
        certificate.validity().check(self.time).is_ok()
    }
}

/// Whether the list puts the holder of the certificate out.
pub(crate) fn is_out(list: &RevocationList, certificate: &Certificate) -> bool {
    list.standing(&certificate.identity, certificate.serial) != Standing::Clear
}

/// A node's overlay addresses.
pub(crate) fn addresses_of(certificate: &Certificate) -> [IpAddr; 2] {
    [certificate.ipv4.into(), certificate.ipv6.into()]
}

/// Where to try a peer, best first: where it was heard last, where it says it is, and where the authority saw it.
pub(crate) fn candidates(known: &Known, recent: &Recent, genesis: &Genesis) -> Vec<SocketAddr> {
    let heard = recent
        .of(known.certificate.node)
        .and_then(|used| used.heard);
    let said = known
        .record
        .iter()
        .flat_map(|record| record.endpoints.iter().copied());
    let port = known
        .record
        .iter()
        .flat_map(|record| record.endpoints.iter())
        .map(|e| e.address().port())
        .next();
    let seen =
        known.seen_from.as_ref().zip(port).and_then(|(seen, port)| {
            Endpoint::new(SocketAddr::new(seen.address().ip(), port)).ok()
        });
    let outside = |address: &SocketAddr| !genesis.prefixes().any(|own| own.contains(address.ip()));
    let mut candidates = Vec::new();
    for address in heard
        .into_iter()
        .chain(said)
        .chain(seen)
        .map(|endpoint| endpoint.address())
    {
        // A tunnel through the overlay itself would never end.
        if outside(&address) && !candidates.contains(&address) && candidates.len() < MOST_CANDIDATES
        {
            candidates.push(address);
        }
    }
    candidates
}

/// The ways to a peer.
pub(crate) struct Ways {
    /// Where to try it, best first.
    pub(crate) candidates: Vec<SocketAddr>,
    /// Where it speaks from, if it has spoken since this node was started.
    pub(crate) speaks_from: Option<SocketAddr>,
    /// Where this host is itself.
    pub(crate) here: Vec<SocketAddr>,
}

impl Ways {
    /// Whether a network behind the peer, one of `all` that are accepted, must not be routed, since the way to the peer
    /// would lead through it. A router has an address in the network behind it and may well tell it: then it has to be
    /// reached in another way, and this host must not be in that network too.
    fn lead_through(&self, route: &Prefix, all: &[Prefix]) -> bool {
        let holds = |way: &SocketAddr| is_in(route, way);
        let outside = |way: &SocketAddr| !all.iter().any(|route| is_in(route, way));
        let another_way = match &self.speaks_from {
            Some(way) => !holds(way),
            None => self.candidates.iter().any(outside),
        };
        self.candidates.iter().any(holds) && (!another_way || self.here.iter().any(holds))
    }
}

/// What goes to a default route's exit is told apart from the tunnel's own packets; what goes to other networks is not.
fn is_in(route: &Prefix, way: &SocketAddr) -> bool {
    route.length() > 0 && route.contains(way.ip())
}

/// Networks behind peers that are routed here, and those that are not because the way there would lead through them.
#[derive(Debug, Default)]
pub(crate) struct Subnets {
    pub(crate) routes: BTreeMap<Prefix, NodeId>,
    pub(crate) loops: Vec<(Prefix, NodeId)>,
}

impl Subnets {
    /// Of several that lead to one network, the node with the lowest id does.
    pub(crate) fn new(
        peers: &BTreeMap<NodeId, &Known>,
        choices: &Choices,
        ways: impl Fn(&Known) -> Ways,
    ) -> Self {
        let mut subnets = Self::default();
        for (node, known) in peers {
            let chosen = choices.exit.as_ref() == Some(&known.certificate.name);
            let routes = known.certificate.routes.iter().copied();
            let accepted: Vec<Prefix> = routes
                .filter(|route| choices.accept.takes(route, chosen))
                .filter(|route| !subnets.routes.contains_key(route))
                .collect();
            if accepted.is_empty() {
                continue;
            }
            let ways = ways(known);
            for route in &accepted {
                if ways.lead_through(route, &accepted) {
                    subnets.loops.push((*route, *node));
                } else {
                    subnets.routes.insert(*route, *node);
                }
            }
        }
        subnets
    }

    /// Where to try a peer while these are routed: its addresses in a network behind it would lead into the tunnel. Who has
    /// no others is tried there all the same, through another router.
    pub(crate) fn ways_around(
        &self,
        known: &Known,
        candidates: Vec<SocketAddr>,
    ) -> Vec<SocketAddr> {
        let routed = |way: &SocketAddr| {
            let mut behind = known.certificate.routes.iter();
            behind.any(|route| self.routes.contains_key(route) && is_in(route, way))
        };
        let around: Vec<SocketAddr> = candidates
            .iter()
            .copied()
            .filter(|way| !routed(way))
            .collect();
        if around.is_empty() {
            candidates
        } else {
            around
        }
    }
}

impl Choices {
    /// Whether a network that was routed once stays guarded while nobody routes it: the owner would take it still. Which
    /// node the exit is makes no difference.
    pub(crate) fn guards(&self, route: &Prefix) -> bool {
        self.accept.takes(route, self.exit.is_some())
    }
}

impl Accept {
    /// Whether a route is taken; a default route only of the exit that the owner chose.
    fn takes(&self, route: &Prefix, chosen: bool) -> bool {
        if route.length() == 0 {
            return chosen;
        }
        match self {
            Self::None => false,
            Self::All => true,
            Self::Within(prefixes) => prefixes.iter().any(|prefix| prefix.contains_prefix(route)),
        }
    }
}
