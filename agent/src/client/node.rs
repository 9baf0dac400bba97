//! What nodes ask of the authority.

use std::sync::Arc;

use hyper::Method;
use tidegate_proto::api::{
    Enroll, Enrolled, Grants, Heartbeat, HeartbeatReply, Recovered, Recovery, Renew, RosterUpdate,
};
use tidegate_proto::policy::Policy;
use tidegate_proto::{
    Certificate, Challenge, Envelope, NodeId, NodeKeys, Origin, PeerRecord, Receipt, Sequence,
    Signed, SigningKey,
};

use super::request::Ask;
use super::session::Session;
use super::stream::{EventStream, LARGEST_EVENT};
use super::{Client, ClientError, Identity};

/// More bytes than any answer has that is no list of something.
const SMALL: usize = 64 * 1024;

/// A node's view of the authority.
#[derive(Clone, Debug)]
pub struct NodeClient {
    client: Client,
    identity: Identity,
    node: NodeId,
}

impl NodeClient {
    pub(super) fn new(client: Client, key: Arc<SigningKey>) -> Self {
        Self {
            client,
            node: NodeId::of(&key.public_key()),
            identity: Identity::Key(key),
        }
    }

    /// The client that carries the requests.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The node.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Asks to be challenged over `keys`, with which it would like to come in. The answer is for the authority at the
    /// origin that comes with it, and so is what follows.
    pub async fn challenge(&self, keys: &NodeKeys) -> Result<(Challenge, Origin), ClientError> {
        self.challenged("/v1/enroll/challenge", keys).await
    }

    /// Asks to come in.
    pub async fn enroll(&self, request: &Enroll) -> Result<Enrolled, ClientError> {
        self.post("/v1/enroll", request, SMALL).await
    }

    /// Asks what has become of the enrolment.
    pub async fn enrolled(&self) -> Result<Enrolled, ClientError> {
        self.fetch("/v1/enroll", SMALL).await
    }

    /// Asks to be challenged over `keys`, which it would like to go on with.
    pub async fn renewal_challenge(
        &self,
        keys: &NodeKeys,
    ) -> Result<(Challenge, Origin), ClientError> {
        self.challenged("/v1/renew/challenge", keys).await
    }

    /// Asks for the next certificate.
    pub async fn renew(&self, request: &Renew) -> Result<Signed<Certificate>, ClientError> {
        self.post("/v1/renew", request, SMALL).await
    }

    /// Says how it is. The time in the reply is verified, and the clock corrected by it, before it is returned.
    pub async fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<HeartbeatReply, ClientError> {
        let ask = Ask::with(Method::POST, "/v1/heartbeat", heartbeat)?;
        let answer = self.client.answer(&self.identity, &ask, SMALL).await?;
        let reply: HeartbeatReply = answer.parse()?;
        self.client
            .accept_time(&answer.origin, &reply.time, heartbeat.nonce)?;
        Ok(reply)
    }

    /// Says where it is found.
    pub async fn put_record(&self, record: &Signed<PeerRecord>) -> Result<(), ClientError> {
        let ask = Ask::with(Method::PUT, "/v1/record", record)?;
        self.client.tell(&self.identity, ask).await
    }

    /// Says that a revocation list is applied.
    pub async fn put_receipt(&self, receipt: &Signed<Receipt>) -> Result<(), ClientError> {
        let ask = Ask::with(Method::POST, "/v1/receipts", receipt)?;
        self.client.tell(&self.identity, ask).await
    }

    /// The grants that it may hold now.
    pub async fn grants(&self) -> Result<Grants, ClientError> {
        self.fetch("/v1/grants", LARGEST_EVENT).await
    }

    /// Its roster: what changed since a version of it, if the authority can still tell, and otherwise all.
    pub async fn roster(&self, since: Option<Sequence>) -> Result<RosterUpdate, ClientError> {
        let since = since
            .map(|since| format!("?since={since}"))
            .unwrap_or_default();
        self.fetch(&format!("/v1/roster{since}"), LARGEST_EVENT)
            .await
    }

    /// The policy in force.
    pub async fn policy(&self) -> Result<Signed<Policy>, ClientError> {
        self.fetch("/v1/policy", Envelope::LARGEST_JSON).await
    }

    /// Helps an authority that was restored from a backup to what it has forgotten.
    pub async fn recover(&self, recovery: &Recovery) -> Result<Recovered, ClientError> {
        self.post("/v1/recovery", recovery, SMALL).await
    }

    /// Opens its stream, behind the event with the id `last`.
    pub async fn stream(&self, last: Option<String>) -> Result<EventStream, ClientError> {
        EventStream::open(&self.client, &self.identity, "/v1/stream", last).await
    }

    /// Follows its stream from now on, across breaks.
    pub fn session(&self) -> Session {
        Session::new(self.clone())
    }

    async fn challenged(
        &self,
        target: &str,
        keys: &NodeKeys,
    ) -> Result<(Challenge, Origin), ClientError> {
        let ask = Ask::with(Method::POST, target, keys)?;
        let answer = self.client.answer(&self.identity, &ask, SMALL).await?;
        Ok((answer.parse()?, answer.origin))
    }

    async fn fetch<T: serde::de::DeserializeOwned>(
        &self,
        target: &str,
        limit: usize,
    ) -> Result<T, ClientError> {
        self.client
            .call(&self.identity, Ask::get(target), limit)
            .await
    }

    async fn post<T: serde::de::DeserializeOwned>(
        &self,
        target: &str,
        body: &impl serde::Serialize,
        limit: usize,
    ) -> Result<T, ClientError> {
        let ask = Ask::with(Method::POST, target, body)?;
        self.client.call(&self.identity, ask, limit).await
    }
}
