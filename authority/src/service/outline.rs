//! The operations that are to come, by their signatures.
#![allow(
    unused_variables,
    clippy::unused_async,
    reason = "each moves to a file of its own"
)]

use std::net::SocketAddr;

use tidegate_proto::api::{
    Enroll, Enrolled, GrantWithList, Heartbeat, HeartbeatReply, Renew, RevocationStatus, Revoke,
    RosterUpdate,
};
use tidegate_proto::policy::Policy;
use tidegate_proto::{
    BoundedSet, Certificate, Challenge, Digest, Genesis, KeyId, NodeId, NodeKeys, NodeName, Nonce,
    PeerRecord, Prefix, PublicKey, Reason, Receipt, RevocationList, Role, Sequence, Signed, Tag,
    TimeStatement, UnixTime,
};

use super::*;
use crate::store::StoreError;

/// A node by its id or by its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NodeRef {
    /// By id.
    Id(NodeId),
    /// By name.
    Name(NodeName),
}

/// What an operator lets a node in with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Approval {
    /// Another name than the one it asked for.
    pub name: Option<NodeName>,
    /// What it is for.
    pub roles: BoundedSet<Role, 8>,
    /// Its marks.
    pub tags: BoundedSet<Tag, 32>,
    /// Which of the routes that it would like it may have.
    pub routes: BoundedSet<Prefix, 32>,
}

macro_rules! unready {
    () => {
        Err(StoreError::Closed.into())
    };
}

impl Authority {
    /// Who signs with this key: the node, its identity key and how it stands.
    pub async fn identity(
        &self,
        key: KeyId,
    ) -> Result<Option<(NodeId, PublicKey, NodeStatus)>, StoreError> {
        unready!()
    }
    /// Asks a node to prove that it holds `keys`. Nothing is stored.
    pub async fn challenge(&self, keys: &NodeKeys) -> Result<Challenge, EnrollError> {
        unready!()
    }
    /// Takes a newcomer in, or lets it wait. The request was signed by `keys.identity`.
    pub async fn enroll(&self, request: Enroll, caller: Caller) -> Result<Enrolled, EnrollError> {
        unready!()
    }
    /// What became of a node's enrolment.
    pub async fn enrolled(&self, node: NodeId) -> Result<Enrolled, EnrollError> {
        unready!()
    }
    /// Issues a member's next certificate.
    pub async fn renew(
        &self,
        node: NodeId,
        request: Renew,
        caller: Caller,
    ) -> Result<Signed<Certificate>, NodeError> {
        unready!()
    }
    /// Takes a member's word on how it is, and tells it the time.
    pub async fn heartbeat(
        &self,
        node: NodeId,
        heartbeat: Heartbeat,
        from: Option<SocketAddr>,
        caller: Caller,
    ) -> Result<HeartbeatReply, NodeError> {
        unready!()
    }
    /// Takes a member's word on where it is found.
    pub async fn put_record(
        &self,
        node: NodeId,
        record: Signed<PeerRecord>,
        from: Option<SocketAddr>,
        caller: Caller,
    ) -> Result<(), NodeError> {
        unready!()
    }
    /// Takes a member's word that it has applied a revocation list.
    pub async fn put_receipt(
        &self,
        node: NodeId,
        receipt: Signed<Receipt>,
        caller: Caller,
    ) -> Result<(), NodeError> {
        unready!()
    }
    /// The grants that a member may hold now; what is due and was not released yet is released.
    pub async fn grants(&self, node: NodeId) -> Result<Vec<GrantWithList>, EpochError> {
        unready!()
    }
    /// Whom a member may talk to: what changed behind version `since`, or all.
    pub async fn roster(
        &self,
        node: NodeId,
        since: Option<Sequence>,
    ) -> Result<RosterUpdate, ReadError> {
        unready!()
    }
    /// The policy in force.
    pub async fn policy(&self) -> Result<Signed<Policy>, ReadError> {
        unready!()
    }
    /// The policy in force, in the form that people write.
    pub async fn policy_file(&self) -> Result<String, ReadError> {
        unready!()
    }
    /// What a policy file would do. Nothing is changed.
    pub async fn check_policy(&self, text: &str) -> Result<PolicyCheck, PolicyChangeError> {
        unready!()
    }
    /// Puts a policy file in force, if the version in force is `base` (where given).
    pub async fn put_policy(
        &self,
        text: String,
        base: Option<Sequence>,
        caller: Caller,
    ) -> Result<Signed<Policy>, PolicyChangeError> {
        unready!()
    }
    /// The revocation list in force.
    pub async fn revocation_list(&self) -> Result<Signed<RevocationList>, ReadError> {
        unready!()
    }
    /// The genesis chain, the first revision first.
    pub async fn genesis_chain(&self) -> Result<Vec<Signed<Genesis>>, StoreError> {
        unready!()
    }
    /// Puts a succession in force.
    pub async fn install_genesis(
        &self,
        genesis: Signed<Genesis>,
        caller: Caller,
    ) -> Result<(), OpenError> {
        unready!()
    }
    /// What time it is, for whoever asked with `nonce`.
    pub fn time_statement(
        &self,
        nonce: Nonce,
    ) -> Result<Signed<TimeStatement>, tidegate_proto::SignError> {
        self.trust().signer.sign(&TimeStatement {
            network: self.network(),
            nonce,
            at: self.clock().now(),
        })
    }

    /// The nodes, as far as `filter` lets them through.
    pub async fn nodes(&self, filter: NodeFilter) -> Result<Vec<NodeView>, ReadError> {
        unready!()
    }
    /// One node.
    pub async fn node(&self, node: &NodeRef) -> Result<NodeView, ReadError> {
        unready!()
    }
    /// Lets a waiting node in.
    pub async fn approve(
        &self,
        node: NodeId,
        approval: Approval,
        caller: Caller,
    ) -> Result<Signed<Certificate>, MembershipError> {
        unready!()
    }
    /// Turns a waiting node away.
    pub async fn deny(
        &self,
        node: NodeId,
        reason: Reason,
        caller: Caller,
    ) -> Result<(), MembershipError> {
        unready!()
    }
    /// Puts a node out, for good or for now, and says how that stands.
    pub async fn revoke(
        &self,
        node: NodeId,
        revoke: Revoke,
        caller: Caller,
    ) -> Result<RevocationStatus, MembershipError> {
        unready!()
    }
    /// Ends a suspension, or lets a revoked or denied node come back with new keys.
    pub async fn reinstate(
        &self,
        node: NodeId,
        reason: Reason,
        caller: Caller,
    ) -> Result<(), MembershipError> {
        unready!()
    }
    /// The latest revocations, at most 1000.
    pub async fn revocations(&self) -> Result<Vec<RevocationView>, ReadError> {
        unready!()
    }
    /// How the revocation that began with `list` stands.
    pub async fn revocation(&self, list: Sequence) -> Result<RevocationStatus, ReadError> {
        unready!()
    }

    /// Makes an invite.
    pub async fn new_invite(
        &self,
        invite: NewInvite,
        caller: Caller,
    ) -> Result<MadeInvite, InviteError> {
        unready!()
    }
    /// The invites that were made.
    pub async fn invites(&self) -> Result<Vec<InviteView>, StoreError> {
        unready!()
    }
    /// Takes an invite back.
    pub async fn revoke_invite(&self, id: Digest, caller: Caller) -> Result<(), InviteError> {
        unready!()
    }

    /// The epochs that count now: the current one, and the next once it is open.
    pub async fn epochs(&self) -> Result<Vec<EpochView>, StoreError> {
        unready!()
    }
    /// Starts a new epoch at once.
    pub async fn rotate(&self, caller: Caller) -> Result<EpochView, EpochError> {
        unready!()
    }
    /// Does what is due: opens epochs, releases grants, marks the silent, settles revocations, forgets what has passed.
    /// Returns when to come back.
    pub async fn tick(&self) -> Result<UnixTime, EpochError> {
        unready!()
    }
    /// Does what is due, for as long as the authority runs.
    pub async fn run(&self) {}
}
