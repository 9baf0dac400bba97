//! Rosters: whom one node may talk to, in full or what changed.

use std::sync::Arc;

use tidegate_proto::{BoundedList, BoundedSet, NodeId, Roster, RosterEntry, Sequence};

use super::directory::Member;
use super::pieces::Pieces;
use super::view::View;
use super::{Authority, ReadError};

/// What a roster tells: who is a peer, and who is not any more.
#[derive(Default)]
struct Peers<'a> {
    base: Option<Sequence>,
    /// In the order of ids.
    present: Vec<&'a Arc<Member>>,
    removed: Vec<NodeId>,
}

impl Authority {
    /// Whom a member may talk to: what changed behind version `since`, or all. It is a `RosterUpdate`, as JSON.
    pub async fn roster(&self, node: NodeId, since: Option<Sequence>) -> Result<Pieces, ReadError> {
        self.look_at_records().await?;
        let view = self.view().await?;
        let member = self.member(&view, node).await?;
        self.roster_from(&view, &member, since)
    }

    pub(super) fn roster_from(
        &self,
        view: &View,
        member: &Member,
        since: Option<Sequence>,
    ) -> Result<Pieces, ReadError> {
        let told = |since: &Sequence| {
            *since >= view.full_since()
                && *since >= member.described
                && *since < view.directory.version
        };
        let peers = match since.filter(told) {
            None => self.all_peers(view, member),
            Some(base) => self.changed_peers(view, member, base),
        };
        self.sign_roster(view, member, peers)
    }

    /// What of the changes behind `since` is `member`'s business, if anything.
    pub(super) fn matters(&self, view: &View, member: &Member, since: Option<Sequence>) -> bool {
        let Some(since) = since.filter(|since| *since >= view.full_since().max(member.described))
        else {
            return true;
        };
        let peers = self.changed_peers(view, member, since);
        !peers.present.is_empty() || !peers.removed.is_empty()
    }

    fn all_peers<'a>(&self, view: &'a View, member: &Member) -> Peers<'a> {
        let now = self.clock().now();
        let mut present = view.directory.reach_of(member);
        present.retain(|peer| peer.is_in && peer.not_after > now);
        Peers {
            present,
            ..Peers::default()
        }
    }

    /// Who came or changed behind `base`, and who went. A node is only told of who was or is its peer: one that went
    /// under the description that it has now, or whose description has changed since.
    fn changed_peers<'a>(&self, view: &'a View, member: &Member, base: Sequence) -> Peers<'a> {
        let now = self.clock().now();
        let mut peers = Peers {
            base: Some(base),
            ..Peers::default()
        };
        let others = view.directory.changed_since(base);
        for changed in others.filter(|changed| changed.node != member.node) {
            if view.is_peer(member, changed, now) {
                peers.present.push(changed);
            } else if changed.described > base || view.directory.permits(member, changed) {
                peers.removed.push(changed.node);
            }
        }
        peers.present.sort_unstable_by_key(|peer| peer.node);
        peers
    }

    /// The roster, signed, between what it is told with: its peers' certificates, and where they are found.
    fn sign_roster(
        &self,
        view: &View,
        member: &Member,
        peers: Peers<'_>,
    ) -> Result<Pieces, ReadError> {
        let entry = |peer: &&Arc<Member>| RosterEntry {
            node: peer.node,
            certificate: peer.digest,
        };
        let large = |_| ReadError::RosterTooLarge;
        let roster = Roster {
            network: self.network(),
            revision: view.trust.revision(),
            node: member.node,
            version: view.directory.version,
            base: peers.base,
            entries: BoundedList::new(peers.present.iter().map(entry).collect()).map_err(large)?,
            removed: BoundedSet::new(peers.removed).map_err(|_| ReadError::RosterTooLarge)?,
        };
        let signed = view.trust.signer.sign(&roster)?;
        let records = self
            .0
            .whereabouts
            .of(peers.present.iter().map(|peer| peer.node));
        let mut update = Pieces::from("{\"roster\":");
        update.append(Pieces::of(&signed)?);
        update.push(",\"certificates\":");
        update.push_array(peers.present.iter().map(|peer| peer.certificate.clone()));
        update.push(",\"records\":");
        update.push_array(records);
        update.push("}");
        Ok(update)
    }
}
