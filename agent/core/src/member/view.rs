//! The member as people see it.

use tidegate_proto::{Certificate, EpochNumber, NodeId};

use super::Member;
use super::circle::Peer;
use crate::clock::as_span;
use crate::grants::Held;
use crate::peers::addresses_of;
use crate::status::{CertificateView, EpochView, ListView, PeerView, Status};
use crate::time::Now;

impl Member {
    /// How the member is, for people.
    pub fn status(&self, now: Now) -> Status {
        let genesis = self.genesis();
        let mut peers: Vec<_> = self
            .circle
            .peers()
            .map(|(node, peer)| self.peer_view(*node, peer))
            .collect();
        peers.sort_by(|a, b| a.certificate.name.cmp(&b.certificate.name));
        Status {
            state: self.state(now),
            network: genesis.name.to_string(),
            revision: genesis.revision,
            node: self.node,
            certificate: self
                .certificate
                .current()
                .map(|own| self.certificate_view(own)),
            epochs: self
                .grants
                .iter()
                .map(|(epoch, held)| self.epoch_view(epoch, held, now))
                .collect(),
            clock: self.clock.view(now),
            list: self.list_view(),
            policy: self.policy.current().map(|policy| policy.version),
            roster: self.roster.version(),
            stream: self.stream,
            peers,
            loops: self.circle.loops().to_vec(),
            renewals_failed: self.renewal.backoff.failed(),
            renewal_refused: self.renewal.refused.clone(),
        }
    }

    fn certificate_view(&self, certificate: &Certificate) -> CertificateView {
        CertificateView {
            name: certificate.name.clone(),
            addresses: addresses_of(certificate),
            serial: certificate.serial,
            roles: certificate.roles.to_vec(),
            tags: certificate.tags.to_vec(),
            routes: certificate.routes.to_vec(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            renew_at: self.renewal.due(certificate),
        }
    }

    fn epoch_view(&self, epoch: EpochNumber, held: &Held, now: Now) -> EpochView {
        let told = self.running();
        let until = held.deadline(&self.clock).unwrap_or(now.boot);
        EpochView {
            epoch,
            redraw: held.grant.redraw,
            starts: held.grant.starts,
            ends: held.grant.ends,
            lease_until: held.grant.lease_until,
            left: as_span(until.since(now.boot)),
            active: told.is_some_and(|told| told.active == Some(epoch)),
            held: told.is_none_or(|told| !told.epochs.contains_key(&epoch)),
        }
    }

    fn list_view(&self) -> Option<ListView> {
        let list = self.list.current()?;
        Some(ListView {
            place: list.place(),
            entries: list.entries.len(),
            issued_at: list.issued_at,
            next_update: list.next_update,
            stored: self.list_stored == Some(list.place()),
            confirmed: self.receipts.confirmed() == Some(list.place()),
        })
    }

    fn peer_view(&self, node: NodeId, peer: &Peer) -> PeerView {
        PeerView {
            id: peer.id,
            certificate: self.certificate_view(&peer.certificate),
            node,
            key: peer.certificate.wireguard,
            candidates: peer.candidates.clone(),
            routes: peer.routes.iter().skip(2).copied().collect(),
            used: self.recent.of(node).map(|used| used.at),
        }
    }
}
