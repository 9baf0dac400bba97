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
        candidates: impl Fn(&Known) -> Vec<SocketAddr>,
    ) -> Self {
        let mut subnets = Self::default();
        for (node, known) in peers {
            for route in known.certificate.routes.iter() {
                let chosen = choices.exit.as_ref() == Some(&known.certificate.name);
                if !choices.accept.takes(route, chosen) || subnets.routes.contains_key(route) {
                    continue;
                }
                let holds_endpoint = || {
                    candidates(known)
                        .iter()
                        .any(|address| route.contains(address.ip()))
                };
                if route.length() > 0 && holds_endpoint() {
                    subnets.loops.push((*route, *node));
                } else {
                    subnets.routes.insert(*route, *node);
                }
            }
        }
        subnets
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
