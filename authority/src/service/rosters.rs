//! Rosters: whom one node may talk to, in full or what changed.

use std::sync::Arc;

use tidegate_proto::api::RosterUpdate;
use tidegate_proto::policy::Policy;
use tidegate_proto::{BoundedList, BoundedSet, NodeId, Roster, RosterEntry, Sequence, UnixTime};

use super::authority::Trust;
use super::directory::{Directory, Member};
use super::policies::InForce;
use super::{Authority, NodeStatus, ReadError};
use crate::store::{StoreError, certificate, counter, node, record, recovery};

/// What a roster is made from, all as of one moment.
pub(super) struct View {
    pub(super) trust: Arc<Trust>,
    pub(super) directory: Arc<Directory>,
    pub(super) policy: Option<Arc<InForce>>,
    /// The version behind which deltas can be told: policies change everything.
    pub(super) full_since: Sequence,
    pub(super) now: UnixTime,
}

impl View {
    /// Whether `a` and `b` may talk. Without a policy nobody may.
    pub(super) fn permits(&self, a: &Member, b: &Member) -> bool {
        let genesis = self.trust.chain.genesis();
        let permits = |policy: &Policy| policy.permits(&a.subject(genesis), &b.subject(genesis));
        a.node != b.node
            && self
                .policy
                .as_ref()
                .is_some_and(|in_force| permits(&in_force.policy))
    }

    /// Whether `peer` is on the roster of `member`.
    pub(super) fn is_peer(&self, member: &Member, peer: &Member) -> bool {
        peer.is_in && peer.not_after > self.now && self.permits(member, peer)
    }
}

impl Authority {
    pub(super) async fn view(&self) -> Result<View, StoreError> {
        let directory = self.directory().await?;
        let mut connection = self.0.store.read().await?;
        recovery::refuse(&mut connection).await?;
        let policy = self.policy_in_force(&mut connection).await?;
        let full_since = counter::last(&mut connection, "roster-full")
            .await?
            .unwrap_or_default();
        Ok(View {
            trust: self.trust(),
            directory,
            policy,
            full_since,
            now: self.clock().now(),
        })
    }

    /// The member that `node` is now.
    pub(super) async fn member(&self, view: &View, node: NodeId) -> Result<Arc<Member>, ReadError> {
        let member = view
            .directory
            .node(node)
            .filter(|member| member.is_in && member.not_after > view.now);
        if let Some(member) = member {
            return Ok(Arc::clone(member));
        }
        let mut connection = self.0.store.read().await?;
        let status = node::load(&mut connection, node)
            .await?
            .map(|node| node.standing());
        Err(match status {
            None => ReadError::NoNode,
            Some(NodeStatus::Allowed | NodeStatus::Offline) => ReadError::Expired,
            Some(status) => ReadError::NotMember(status),
        })
    }

    /// Whom a member may talk to: what changed behind version `since`, or all.
    pub async fn roster(
        &self,
        node: NodeId,
        since: Option<Sequence>,
    ) -> Result<RosterUpdate, ReadError> {
        let view = self.view().await?;
        let member = self.member(&view, node).await?;
        self.roster_from(&view, &member, since).await
    }

    pub(super) async fn roster_from(
        &self,
        view: &View,
        member: &Member,
        since: Option<Sequence>,
    ) -> Result<RosterUpdate, ReadError> {
        let told = |since: &Sequence| {
            *since >= view.full_since
                && *since >= member.described
                && *since < view.directory.version
        };
        let base = since.filter(told);
        let (peers, removed) = match base {
            None => (
                view.directory
                    .members()
                    .filter(|peer| view.is_peer(member, peer))
                    .cloned()
                    .collect(),
                Vec::new(),
            ),
            Some(base) => delta(view, member, base),
        };
        self.sign_roster(view, member, base, peers, removed).await
    }

    async fn sign_roster(
        &self,
        view: &View,
        member: &Member,
        base: Option<Sequence>,
        mut peers: Vec<Arc<Member>>,
        removed: Vec<NodeId>,
    ) -> Result<RosterUpdate, ReadError> {
        peers.sort_by_key(|peer| peer.node);
        let entry = |peer: &Arc<Member>| RosterEntry {
            node: peer.node,
            certificate: peer.certificate,
        };
        let roster = Roster {
            network: self.network(),
            revision: view.trust.revision(),
            node: member.node,
            version: view.directory.version,
            base,
            entries: BoundedList::new(peers.iter().map(entry).collect())
                .map_err(|_| ReadError::RosterTooLarge)?,
            removed: BoundedSet::new(removed).map_err(|_| ReadError::RosterTooLarge)?,
        };
        let (mut certificates, mut records) = (Vec::with_capacity(peers.len()), Vec::new());
        let mut connection = self.0.store.read().await?;
        for peer in &peers {
            let certificate = certificate::load(&mut connection, peer.serial).await?;
            certificates.push(certificate.ok_or(ReadError::NotYet("certificate"))?);
            records.extend(record::load(&mut connection, peer.node).await?);
        }
        Ok(RosterUpdate {
            roster: view.trust.signer.sign(&roster)?,
            certificates: BoundedList::new(certificates).map_err(|_| ReadError::RosterTooLarge)?,
            records: BoundedList::new(records).map_err(|_| ReadError::RosterTooLarge)?,
        })
    }
}

/// Who came or changed behind `base`, and who went. A node is only told of who was or is its peer: one that went
/// under the description that it has now, or whose description has changed since.
fn delta(view: &View, member: &Member, base: Sequence) -> (Vec<Arc<Member>>, Vec<NodeId>) {
    let (mut peers, mut removed) = (Vec::new(), Vec::new());
    for changed in view
        .directory
        .changed_since(base)
        .filter(|changed| changed.node != member.node)
    {
        if view.is_peer(member, changed) {
            peers.push(Arc::clone(changed));
        } else if changed.described > base || view.permits(member, changed) {
            removed.push(changed.node);
        }
    }
    (peers, removed)
}
