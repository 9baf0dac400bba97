//! Enrolment: who comes in, and by whose word.

use tidegate_proto::api::{Enroll, Enrolled};
use tidegate_proto::{
    BoundedSet, Certificate, InviteId, NodeId, Prefix, Reason, Roster, Sequence, Signed,
};

use super::audit::{Entry, Event};
use super::certificates::describe_anew;
use super::{
    Approval, Authority, Caller, EnrollError, InviteError, InviteView, MembershipError, NodeError,
    NodeStatus, Notice, Operation, challenges,
};
use crate::store::address::Taken;
use crate::store::node::Node;
use crate::store::{StoreError, Tx, address, certificate, epoch, invite, node, recovery};

impl Authority {
    /// Takes a newcomer in, or lets it wait. The request was signed by `keys.identity`.
    pub async fn enroll(&self, request: Enroll, caller: Caller) -> Result<Enrolled, EnrollError> {
        self.check_answer(&request.keys, &request.challenge, &request.answer, &caller)?;
        self.check_routes(&request.routes)?;
        self.effect(async move |this, tx| this.enroll_within(tx, request, caller).await)
            .await
    }

    /// Refuses routes that would capture the overlay's own addresses.
    fn check_routes(&self, routes: &[Prefix]) -> Result<(), EnrollError> {
        let trust = self.trust();
        let into_overlay = |route: &&Prefix| {
            trust
                .chain
                .genesis()
                .prefixes()
                .any(|own| own.overlaps(route))
        };
        routes
            .iter()
            .find(into_overlay)
            .map_or(Ok(()), |route| Err(EnrollError::Route(*route)))
    }

    async fn enroll_within(
        &self,
        tx: &mut Tx,
        request: Enroll,
        caller: Caller,
    ) -> Result<Enrolled, EnrollError> {
        self.spend(tx, &caller).await?;
        challenges::spend(tx, &request.keys, &request.challenge).await?;
        let id = NodeId::of(&request.keys.identity);
        let known = node::load(tx.connection(), id).await?;
        match known {
            Some(node) if node.status == NodeStatus::Allowed => self
                .enroll_again(tx, node, &request, &caller)
                .await
                .map(Enrolled::Admitted),
            Some(node) if node.status == NodeStatus::Readmitted => self
                .readmit(tx, node, &request, &caller)
                .await
                .map(Enrolled::Admitted),
            known => {
                if known.is_none()
                    && let Some(reason) =
                        recovery::is_out(tx.connection(), &request.keys.identity).await?
                {
                    return Err(EnrollError::Revoked(reason.to_string()));
                }
                self.enroll_newcomer(tx, known, &request, &caller).await
            }
        }
    }

    /// A member that lost its state, and still has its identity.
    async fn enroll_again(
        &self,
        tx: &mut Tx,
        mut node: Node,
        request: &Enroll,
        caller: &Caller,
    ) -> Result<Signed<Certificate>, EnrollError> {
        let renewed = self.renew_for(tx, &mut node, &request.keys, caller).await;
        renewed.map_err(|error| match error {
            NodeError::Keys(error) => error,
            NodeError::Access(error) => error.into(),
            NodeError::Sign(error) => error.into(),
            NodeError::Store(error) => error.into(),
            NodeError::ChangedAlready(again) => EnrollError::ChangedAlready(again),
            other => StoreError::Failed(other.to_string()).into(),
        })
    }

    /// A node that an operator lets come back, with keys that it never had.
    async fn readmit(
        &self,
        tx: &mut Tx,
        mut node: Node,
        request: &Enroll,
        caller: &Caller,
    ) -> Result<Signed<Certificate>, EnrollError> {
        let sealing = request.keys.sealing.hash();
        let had = certificate::had_sealing(tx.connection(), node.node, sealing.as_bytes()).await?;
        if had || node.sealing.hash() == sealing || node.wireguard == request.keys.wireguard {
            return Err(EnrollError::OldKeys);
        }
        let owner = address::wireguard_owner(tx.connection(), &request.keys.wireguard).await?;
        if owner == Some(node.node) {
            return Err(EnrollError::OldKeys);
        }
        node.wireguard = request.keys.wireguard;
        node.sealing = request.keys.sealing.clone();
        let now = tx.now();
        if !address::name_is_free(tx.connection(), &node.name, node.node, now).await? {
            node.name = request.name.clone();
        }
        self.let_in(tx, node, "came back with new keys", None, caller)
            .await
    }

    async fn enroll_newcomer(
        &self,
        tx: &mut Tx,
        known: Option<Node>,
        request: &Enroll,
        caller: &Caller,
    ) -> Result<Enrolled, EnrollError> {
        let waiting = known.is_some();
        let node = self.newcomer(tx, known, request)?;
        let Some(token) = &request.token else {
            check_unique(tx, &node).await?;
            return self.keep_waiting(tx, node, waiting, caller).await;
        };
        let invite = redeem(tx, token.hash()).await?;
        let node = Node {
            roles: invite.roles,
            tags: invite.tags,
            ..node
        };
        let why = "came with an invite";
        let admitted = self.let_in(tx, node, why, Some(invite.id), caller).await;
        admitted.map(Enrolled::Admitted)
    }

    /// Has a newcomer wait for an operator. Asking again leaves no trace but the keys: whoever asks often makes nothing
    /// grow, and what an operator saw is what it approves.
    async fn keep_waiting(
        &self,
        tx: &mut Tx,
        node: Node,
        waiting: bool,
        caller: &Caller,
    ) -> Result<Enrolled, EnrollError> {
        let limit = i64::from(self.0.limits.pending);
        if !waiting && node::pending(tx.connection()).await? >= limit {
            return Err(EnrollError::TooManyPending);
        }
        node::save(tx.connection(), &node).await?;
        if !waiting {
            tx.announce(Notice::Pending(node.node));
            let entry = Entry::new(Event::NodePending, &caller.actor, node.node);
            self.record(tx, entry.with("name", &node.name)).await?;
        }
        Ok(Enrolled::Pending)
    }

    /// The row of somebody who is not in: new, or as it was with what it asks for now.
    fn newcomer(
        &self,
        tx: &Tx,
        known: Option<Node>,
        request: &Enroll,
    ) -> Result<Node, EnrollError> {
        let now = tx.now();
        if let Some(node) = &known {
            let reason = node.reason.to_string();
            match node.status {
                NodeStatus::Pending if node.name != request.name && request.token.is_none() => {
                    return Err(EnrollError::WaitsAs(node.name.clone()));
                }
                NodeStatus::Pending => {}
                NodeStatus::Denied => return Err(EnrollError::Denied(reason)),
                _ => return Err(EnrollError::Revoked(reason)),
            }
        }
        Ok(Node {
            node: NodeId::of(&request.keys.identity),
            identity: request.keys.identity,
            name: request.name.clone(),
            status: NodeStatus::Pending,
            reason: "asked to come in".parse().unwrap_or_default(),
            since: known.as_ref().map_or(now, |node| node.since),
            wireguard: request.keys.wireguard,
            sealing: request.keys.sealing.clone(),
            roles: BoundedSet::default(),
            tags: BoundedSet::default(),
            wanted_routes: request.routes.clone(),
            routes: BoundedSet::default(),
            ipv4: None,
            ipv6: None,
            serial: None,
            not_after: None,
            keys_changed_at: now,
            changed: Sequence::default(),
            described: Sequence::default(),
            offline_since: None,
            enrolled_at: known.map_or(now, |node| node.enrolled_at),
        })
    }

    /// Makes a node a member: name, addresses, keys, certificate.
    async fn let_in(
        &self,
        tx: &mut Tx,
        mut node: Node,
        reason: &str,
        invite: Option<InviteId>,
        caller: &Caller,
    ) -> Result<Signed<Certificate>, EnrollError> {
        let now = tx.now();
        if is_full(tx).await? {
            return Err(EnrollError::NetworkFull);
        }
        check_unique(tx, &node).await?;
        let (ipv4, ipv6) = self
            .find_addresses(tx, node.node)
            .await?
            .ok_or(EnrollError::NoAddress)?;
        address::take_name(tx.connection(), &node.name, node.node).await?;
        address::take(tx.connection(), ipv4, ipv6, node.node).await?;
        address::take_wireguard(tx.connection(), &node.wireguard, node.node, now).await?;
        (node.ipv4, node.ipv6) = (Some(ipv4), Some(ipv6));
        node.status = NodeStatus::Allowed;
        node.reason = reason.parse().unwrap_or_default();
        node.since = now;
        node.keys_changed_at = now - tidegate_proto::Span::from_hours(24);
        node.offline_since = None;
        describe_anew(&mut node);
        let signed = self.issue::<EnrollError>(tx, &mut node, caller).await?;
        epoch::reopen(tx.connection(), now).await?;
        self.wants_grants(tx, node.node);
        let entry = Entry::new(Event::NodeAdmitted, &caller.actor, node.node)
            .with("name", &node.name)
            .with("ipv4", ipv4)
            .with("ipv6", ipv6)
            .with("why", reason)
            .list("invite", invite)
            .list("roles", node.roles.iter())
            .list("tags", node.tags.iter())
            .list("routes", node.routes.iter());
        self.record(tx, entry).await?;
        Ok(signed)
    }

    /// What became of a node's enrolment.
    pub async fn enrolled(&self, node: NodeId) -> Result<Enrolled, EnrollError> {
        let mut connection = self.0.store.read().await?;
        let node = node::load(&mut connection, node)
            .await?
            .ok_or(EnrollError::Unknown)?;
        match (node.status, node.serial) {
            (NodeStatus::Allowed, Some(serial)) => {
                let certificate = certificate::load(&mut connection, serial).await?;
                certificate
                    .map(Enrolled::Admitted)
                    .ok_or(EnrollError::Unknown)
            }
            (NodeStatus::Pending, _) => Ok(Enrolled::Pending),
            (NodeStatus::Readmitted, _) => Err(EnrollError::OldKeys),
            (NodeStatus::Denied, _) => Err(EnrollError::Denied(node.reason.to_string())),
            _ => Err(EnrollError::Revoked(node.reason.to_string())),
        }
    }

    /// Lets a waiting node in.
    pub async fn approve(
        &self,
        node: NodeId,
        approval: Approval,
        caller: Caller,
    ) -> Result<Signed<Certificate>, MembershipError> {
        self.check_routes(&approval.routes)
            .map_err(MembershipError::Enroll)?;
        self.effect(async move |this, tx| this.approve_within(tx, node, approval, caller).await)
            .await
    }

    async fn approve_within(
        &self,
        tx: &mut Tx,
        node: NodeId,
        approval: Approval,
        caller: Caller,
    ) -> Result<Signed<Certificate>, MembershipError> {
        self.admit(tx, &caller, Operation::Approve).await?;
        let mut node = node::load(tx.connection(), node)
            .await?
            .ok_or(MembershipError::NoNode)?;
        if node.status != NodeStatus::Pending {
            return Err(MembershipError::WrongStatus(node.standing()));
        }
        node.name = approval.name.unwrap_or(node.name);
        node.roles = approval.roles;
        node.tags = approval.tags;
        node.routes = approval.routes;
        self.let_in(tx, node, "approved", None, &caller)
            .await
            .map_err(MembershipError::Enroll)
    }

    /// Turns a waiting node away.
    pub async fn deny(
        &self,
        node: NodeId,
        reason: Reason,
        caller: Caller,
    ) -> Result<(), MembershipError> {
        self.effect(async move |this, tx| -> Result<(), MembershipError> {
            this.admit(tx, &caller, Operation::Deny).await?;
            let mut node = node::load(tx.connection(), node)
                .await?
                .ok_or(MembershipError::NoNode)?;
            if node.status != NodeStatus::Pending {
                return Err(MembershipError::WrongStatus(node.standing()));
            }
            node.status = NodeStatus::Denied;
            node.since = tx.now();
            let entry = Entry::new(Event::NodeDenied, &caller.actor, node.node);
            this.record(tx, entry.with("reason", &reason)).await?;
            node.reason = reason;
            node::save(tx.connection(), &node).await?;
            tx.announce(Notice::Pending(node.node));
            Ok(())
        })
        .await
    }
}

/// Whether there are as many members as there may be.
pub(super) async fn is_full(tx: &mut Tx) -> Result<bool, StoreError> {
    let (most, now) = (Roster::MOST_ENTRIES, tx.now());
    // Counted once in a transaction; who came in since is added. Should that seem too many, it is counted again.
    let counted = tx.seen().members.filter(|members| *members < most);
    let members = match counted {
        Some(members) => members,
        None => node::members(tx.connection()).await?,
    };
    tx.seen().members = Some(members + 1);
    Ok(members >= most && node::covered_members(tx.connection(), now).await? >= most)
}

/// Refuses a name or a WireGuard key that is another's.
async fn check_unique(tx: &mut Tx, node: &Node) -> Result<(), EnrollError> {
    let now = tx.now();
    let taken = address::taken(tx.connection(), node.node, &node.name, &node.wireguard, now);
    match taken.await? {
        Taken { key: true, .. } => Err(EnrollError::WireguardKeyTaken),
        Taken { name: true, .. } => Err(EnrollError::NameTaken(node.name.clone())),
        _ => Ok(()),
    }
}

/// Takes one use of the invite with this token, if it has one left.
async fn redeem(tx: &mut Tx, token: tidegate_proto::Digest) -> Result<InviteView, EnrollError> {
    let now = tx.now();
    if let Some(invite) = invite::use_once(tx.connection(), token, now).await? {
        return Ok(invite);
    }
    let refusal = match invite::by_token(tx.connection(), token).await? {
        None => InviteError::Unknown,
        Some(invite) if invite.revoked_at.is_some() => InviteError::Withdrawn,
        Some(invite) if invite.uses_left == 0 => InviteError::Exhausted,
        Some(_) => InviteError::Expired,
    };
    Err(EnrollError::Invite(refusal))
}
