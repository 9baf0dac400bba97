//! What operators ask of the authority.

use std::fmt;
use std::str::FromStr;

use hyper::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_proto::api::{
    Approval, AuditPage, Decision, EpochView, Epochs, Invites, MadeInvite, MadeToken, NewInvite,
    NewOperator, NewToken, NodeStatus, NodeView, Nodes, OperatorView, Operators, Override,
    PolicyInForce, PolicyProposal, PolicyReport, PolicyText, RecoveryView, RevocationReport,
    RevocationStatus, Revocations, Tokens,
};
use tidegate_proto::{
    Certificate, InviteId, NameError, NodeId, NodeName, OperatorId, Sequence, Signed, TokenId,
};

use super::request::Ask;
use super::{Client, ClientError, Download, EventStream, Identity};

/// More bytes than any answer has that is no list of something.
const SMALL: usize = 256 * 1024;
/// More bytes than a list of the nodes of a network has.
const LARGE: usize = 16 * 1024 * 1024;

/// A node by its id or by its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NodeRef {
    /// By id.
    Id(NodeId),
    /// By name.
    Name(NodeName),
}

impl FromStr for NodeRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => text.parse().map(Self::Name),
        }
    }
}

impl fmt::Display for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Which nodes to list.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NodeFilter {
    /// Only those that stand so.
    pub status: Option<NodeStatus>,
    /// Behind this one, in the order of ids.
    pub after: Option<NodeId>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// An operator's view of the authority.
#[derive(Clone, Debug)]
pub struct OperatorClient {
    client: Client,
    identity: Identity,
}

impl OperatorClient {
    pub(super) fn new(client: Client, identity: Identity) -> Self {
        Self { client, identity }
    }

    /// The client that carries the requests.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// One page of nodes.
    pub async fn nodes(&self, filter: NodeFilter) -> Result<Nodes, ClientError> {
        let status = filter.status.map(|status| format!("status={status}"));
        let after = filter.after.map(|after| format!("after={after}"));
        let limit = filter.limit.map(|limit| format!("limit={limit}"));
        self.fetch(query("/v1/nodes", [status, after, limit]), LARGE)
            .await
    }

    /// One node.
    pub async fn node(&self, node: &NodeRef) -> Result<NodeView, ClientError> {
        self.fetch(format!("/v1/nodes/{node}"), SMALL).await
    }

    /// Lets a waiting node in.
    pub async fn approve(
        &self,
        node: &NodeRef,
        approval: &Approval,
    ) -> Result<Signed<Certificate>, ClientError> {
        self.decide(node, "approve", approval).await
    }

    /// Turns a waiting node away.
    pub async fn deny(&self, node: &NodeRef, why: &Decision) -> Result<(), ClientError> {
        self.settle(node, "deny", why).await
    }

    /// Puts a node out for good.
    pub async fn revoke(
        &self,
        node: &NodeRef,
        why: &Decision,
    ) -> Result<RevocationStatus, ClientError> {
        self.decide(node, "revoke", why).await
    }

    /// Puts a node out for now.
    pub async fn suspend(
        &self,
        node: &NodeRef,
        why: &Decision,
    ) -> Result<RevocationStatus, ClientError> {
        self.decide(node, "suspend", why).await
    }

    /// Lets a node that is out come back.
    pub async fn reinstate(&self, node: &NodeRef, why: &Decision) -> Result<(), ClientError> {
        self.settle(node, "reinstate", why).await
    }

    /// The latest revocations.
    pub async fn revocations(&self) -> Result<Revocations, ClientError> {
        self.fetch("/v1/revocations", LARGE).await
    }

    /// One revocation, and how it stands.
    pub async fn revocation(&self, list: Sequence) -> Result<RevocationReport, ClientError> {
        self.fetch(format!("/v1/revocations/{list}"), LARGE).await
    }

    /// The epochs that count now.
    pub async fn epochs(&self) -> Result<Epochs, ClientError> {
        self.fetch("/v1/epoch", SMALL).await
    }

    /// Starts a new epoch at once.
    pub async fn rotate(&self) -> Result<EpochView, ClientError> {
        let ask = Ask::bare(Method::POST, "/v1/epoch/rotate");
        self.client.call(&self.identity, ask, SMALL).await
    }

    /// The policy in force, as people write it.
    pub async fn policy(&self) -> Result<PolicyText, ClientError> {
        self.fetch("/v1/policy/file", LARGE).await
    }

    /// Puts a policy in force.
    pub async fn put_policy(&self, policy: &PolicyProposal) -> Result<PolicyInForce, ClientError> {
        self.send(Method::PUT, "/v1/policy/file".to_owned(), policy)
            .await
    }

    /// What a policy would do.
    pub async fn check_policy(&self, policy: &PolicyProposal) -> Result<PolicyReport, ClientError> {
        self.send(Method::POST, "/v1/policy/check".to_owned(), policy)
            .await
    }

    /// Makes an invite.
    pub async fn new_invite(&self, invite: &NewInvite) -> Result<MadeInvite, ClientError> {
        self.send(Method::POST, "/v1/invites".to_owned(), invite)
            .await
    }

    /// The invites that were made.
    pub async fn invites(&self) -> Result<Invites, ClientError> {
        self.fetch("/v1/invites", LARGE).await
    }

    /// Takes an invite back.
    pub async fn revoke_invite(&self, invite: InviteId) -> Result<(), ClientError> {
        self.delete(format!("/v1/invites/{invite}")).await
    }

    /// Who may decide.
    pub async fn operators(&self) -> Result<Operators, ClientError> {
        self.fetch("/v1/operators", LARGE).await
    }

    /// Names somebody who may decide.
    pub async fn add_operator(&self, operator: &NewOperator) -> Result<OperatorView, ClientError> {
        self.send(Method::POST, "/v1/operators".to_owned(), operator)
            .await
    }

    /// Ends somebody's right to decide.
    pub async fn remove_operator(&self, operator: OperatorId) -> Result<(), ClientError> {
        self.delete(format!("/v1/operators/{operator}")).await
    }

    /// Makes an API token.
    pub async fn new_token(&self, token: &NewToken) -> Result<MadeToken, ClientError> {
        self.send(Method::POST, "/v1/tokens".to_owned(), token)
            .await
    }

    /// The tokens that were made.
    pub async fn tokens(&self) -> Result<Tokens, ClientError> {
        self.fetch("/v1/tokens", LARGE).await
    }

    /// Takes a token back.
    pub async fn revoke_token(&self, token: TokenId) -> Result<(), ClientError> {
        self.delete(format!("/v1/tokens/{token}")).await
    }

    /// How the recovery of a restored authority stands.
    pub async fn recovery(&self) -> Result<RecoveryView, ClientError> {
        self.fetch("/v1/recovery", LARGE).await
    }

    /// Ends recovery before every node has reported.
    pub async fn end_recovery(&self, why: &Override) -> Result<(), ClientError> {
        let ask = Ask::with(Method::POST, "/v1/recovery/override", why)?;
        self.client.tell(&self.identity, ask).await
    }

    /// At most `limit` records of the audit log, behind the one with this sequence.
    pub async fn audit(&self, after: Sequence, limit: u32) -> Result<AuditPage, ClientError> {
        self.fetch(format!("/v1/audit?after={after}&limit={limit}"), LARGE)
            .await
    }

    /// The last `count` records of the audit log.
    pub async fn audit_end(&self, count: u32) -> Result<AuditPage, ClientError> {
        self.fetch(format!("/v1/audit?last={count}"), LARGE).await
    }

    /// The whole audit log as JSON lines, piece by piece. Nothing about it has been verified.
    pub async fn audit_export(&self) -> Result<Download, ClientError> {
        Download::open(&self.client, &self.identity, "/v1/audit/export").await
    }

    /// Opens the stream of everything that changes, behind the event with the id `last`.
    pub async fn events(&self, last: Option<String>) -> Result<EventStream, ClientError> {
        EventStream::open(&self.client, &self.identity, "/v1/events", last).await
    }

    pub(super) async fn fetch<T: DeserializeOwned>(
        &self,
        target: impl Into<String>,
        limit: usize,
    ) -> Result<T, ClientError> {
        self.client
            .call(&self.identity, Ask::get(target), limit)
            .await
    }

    async fn decide<T: DeserializeOwned>(
        &self,
        node: &NodeRef,
        what: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.send(Method::POST, format!("/v1/nodes/{node}/{what}"), body)
            .await
    }

    async fn settle(
        &self,
        node: &NodeRef,
        what: &str,
        body: &impl Serialize,
    ) -> Result<(), ClientError> {
        let ask = Ask::with(Method::POST, format!("/v1/nodes/{node}/{what}"), body)?;
        self.client.tell(&self.identity, ask).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        target: String,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let ask = Ask::with(method, target, body)?;
        self.client.call(&self.identity, ask, LARGE).await
    }

    async fn delete(&self, target: String) -> Result<(), ClientError> {
        self.client
            .tell(&self.identity, Ask::bare(Method::DELETE, target))
            .await
    }
}

/// A target with the parts of its query that there are.
fn query<const N: usize>(path: &str, parts: [Option<String>; N]) -> String {
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", parts.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_meant_by_its_id_or_its_name() {
        let id = NodeId::from_bytes([7; 16]);
        assert_eq!(id.to_string().parse(), Ok(NodeRef::Id(id)));
        assert!(matches!("web-1".parse(), Ok(NodeRef::Name(_))));
        assert!("../policy/file".parse::<NodeRef>().is_err());
    }

    #[test]
    fn a_query_has_only_what_is_asked_for() {
        assert_eq!(query("/v1/nodes", [None, None]), "/v1/nodes");
        assert_eq!(
            query("/v1/nodes", [Some("a=1".into()), None]),
            "/v1/nodes?a=1"
        );
    }
}
