//! A node's own view of what changes.

use std::collections::VecDeque;

use tidegate_proto::api::StreamEvent;
use tidegate_proto::{EpochNumber, NodeId, Sequence};

use super::feed::{EventId, Notice, Subscription};
use super::{Authority, EpochError, ReadError};
use crate::store::record;

/// One node's stream: first what it needs to know now, then what changes. Each event is fetched, and the node
/// authorised anew, as it leaves.
pub struct NodeStream {
    authority: Authority,
    node: NodeId,
    subscription: Subscription,
    ready: VecDeque<StreamEvent>,
    /// The roster version that was told last.
    roster: Option<Sequence>,
}

impl NodeStream {
    /// The next event and the place to resume behind it. `None` ends the stream: the node was too slow, is not a
    /// member any more, or the authority stops.
    pub async fn next(&mut self) -> Option<(EventId, StreamEvent)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((self.subscription.last(), event));
            }
            let notice = self.subscription.next().await?;
            if let Err(error) = self.prepare(notice).await {
                tracing::debug!(node = %self.node, %error, "stream ends");
                return None;
            }
        }
    }

    async fn prepare(&mut self, notice: Notice) -> Result<(), ReadError> {
        match notice {
            Notice::Genesis => self
                .ready
                .push_back(StreamEvent::Genesis(self.authority.genesis())),
            Notice::List(_) => {
                let list = self.authority.revocation_list().await?;
                self.ready.push_back(StreamEvent::List(list));
            }
            Notice::Policy(_) => {
                self.ready
                    .push_back(StreamEvent::Policy(self.authority.policy().await?));
                self.tell_roster(None).await?;
            }
            Notice::Node(node, version) => self.node_changed(node, version).await?,
            Notice::Record(node) => self.record_changed(node).await?,
            Notice::Grants(epoch, nodes) if nodes.binary_search(&self.node).is_ok() => {
                self.tell_grants(Some(epoch)).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Everything, for one who comes anew or was away too long.
    async fn prepare_all(&mut self) -> Result<(), ReadError> {
        self.ready
            .push_back(StreamEvent::Genesis(self.authority.genesis()));
        let list = self.authority.revocation_list().await?;
        self.ready.push_back(StreamEvent::List(list));
        match self.authority.policy().await {
            Ok(policy) => self.ready.push_back(StreamEvent::Policy(policy)),
            Err(ReadError::NotYet(_)) => {}
            Err(error) => return Err(error),
        }
        self.tell_roster(None).await?;
        self.tell_grants(None).await
    }

    async fn node_changed(&mut self, node: NodeId, version: Sequence) -> Result<(), ReadError> {
        if self.roster.is_some_and(|told| told >= version) {
            return Ok(()); // in a delta that was told already
        }
        let view = self.authority.view().await?;
        let member = self.authority.member(&view, self.node).await?;
        let changed = view.directory.node(node);
        let matters = changed.is_some_and(|changed| {
            view.permits(&member, changed)
                || self.roster.is_none_or(|told| changed.described > told)
        });
        if matters || node == self.node {
            self.tell_roster(self.roster).await?;
        }
        Ok(())
    }

    async fn tell_roster(&mut self, since: Option<Sequence>) -> Result<(), ReadError> {
        let view = self.authority.view().await?;
        let member = self.authority.member(&view, self.node).await?;
        let since = since.filter(|since| *since < view.directory.version);
        let update = self.authority.roster_from(&view, &member, since).await?;
        self.roster = Some(view.directory.version);
        self.ready.push_back(StreamEvent::Roster(update));
        Ok(())
    }

    async fn record_changed(&mut self, node: NodeId) -> Result<(), ReadError> {
        let view = self.authority.view().await?;
        let member = self.authority.member(&view, self.node).await?;
        if view
            .directory
            .node(node)
            .is_some_and(|peer| view.is_peer(&member, peer))
        {
            let mut connection = self.authority.0.store.read().await?;
            self.ready.extend(
                record::load(&mut connection, node)
                    .await?
                    .map(StreamEvent::Record),
            );
        }
        Ok(())
    }

    async fn tell_grants(&mut self, only: Option<EpochNumber>) -> Result<(), ReadError> {
        let grants =
            self.authority
                .grants_by_epoch(self.node)
                .await
                .map_err(|error| match error {
                    EpochError::Store(error) => ReadError::Store(error),
                    EpochError::Sign(error) => ReadError::Sign(error),
                    other => crate::store::StoreError::Failed(other.to_string()).into(),
                })?;
        for (epoch, grant) in grants {
            if only.is_none_or(|only| epoch == only) {
                self.ready.push_back(StreamEvent::Grant(grant));
            }
        }
        Ok(())
    }
}

impl Authority {
    /// Opens the stream of `node`, behind `last` if what came since is still known, with the full set otherwise.
    pub async fn stream(
        &self,
        node: NodeId,
        last: Option<EventId>,
    ) -> Result<NodeStream, ReadError> {
        let resumed = last.and_then(|id| self.0.feed.resume(id));
        let anew = resumed.is_none();
        let subscription = resumed.unwrap_or_else(|| self.follow());
        let view = self.view().await?;
        self.member(&view, node).await?;
        let (authority, ready) = (self.clone(), VecDeque::new());
        let mut stream = NodeStream {
            authority,
            node,
            subscription,
            ready,
            roster: None,
        };
        if anew {
            stream.prepare_all().await?;
        }
        Ok(stream)
    }
}
