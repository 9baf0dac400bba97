//! A node's own view of what changes.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use tidegate_proto::api::StreamEvent;
use tidegate_proto::{Digest, EpochNumber, NodeId, Sequence};

use super::directory::Member;
use super::feed::{EventId, Notice, Subscription};
use super::view::View;
use super::{Authority, EpochError, ReadError};
use crate::store::{StoreError, record};

/// One event as it travels. What everybody is told alike is rendered once and shared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Told {
    /// The event's name.
    pub name: &'static str,
    /// A [`StreamEvent`], as JSON.
    pub json: Arc<str>,
}

impl Told {
    pub(super) fn render(event: &StreamEvent) -> Result<Self, StoreError> {
        let json =
            serde_json::to_string(event).map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(Self {
            name: event.name(),
            json: json.into(),
        })
    }
}

/// One node's stream: first what it needs to know now, then what changes. The node is authorised anew before anything
/// but a revocation list leaves; the list that puts it out is the last that it hears.
pub struct NodeStream {
    authority: Authority,
    node: NodeId,
    subscription: Subscription,
    ready: VecDeque<Told>,
    /// The roster version that was told last.
    roster: Option<Sequence>,
    /// The own certificate that was told last.
    certificate: Option<Digest>,
    over: bool,
}

/// What some changes amount to for one node. Who is slow hears of many changes at once.
#[derive(Default)]
struct News {
    genesis: bool,
    list: bool,
    policy: bool,
    roster: bool,
    records: BTreeSet<NodeId>,
    grants: BTreeSet<EpochNumber>,
}

impl News {
    fn of(changes: &[Arc<[Notice]>], node: NodeId) -> Self {
        let mut news = Self::default();
        for notice in changes.iter().flat_map(|notices| notices.iter()) {
            match notice {
                Notice::Genesis => news.genesis = true,
                Notice::List(_) => news.list = true,
                Notice::Policy(_) => news.policy = true,
                Notice::Node(..) => news.roster = true,
                Notice::Record(node) => {
                    news.records.insert(*node);
                }
                Notice::Grants(epoch, nodes) if nodes.binary_search(&node).is_ok() => {
                    news.grants.insert(*epoch);
                }
                _ => {}
            }
        }
        news
    }
}

impl NodeStream {
    /// The next event, and where to resume behind it: only the last event of several that belong together has a place,
    /// so that whoever loses the stream among them hears all of them again. `None` ends the stream: the node was too
    /// slow, is not a member any more, or the authority stops.
    pub async fn next(&mut self) -> Option<(Option<EventId>, Told)> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                let complete = self.ready.is_empty() && !self.over;
                return Some((complete.then(|| self.subscription.last()), told));
            }
            if self.over {
                return None;
            }
            let changes = self.subscription.changes().await?;
            let news = News::of(&changes, self.node);
            if let Err(error) = self.prepare(news).await {
                tracing::debug!(node = %self.node, %error, "stream ends");
                self.over = true; // after what is ready
            }
        }
    }

    /// The list goes first, and to whoever is on it as well.
    async fn prepare(&mut self, news: News) -> Result<(), ReadError> {
        let view = match self.authority.last_view() {
            Some(view) => view,
            None => self.authority.view().await?,
        };
        let told = &view.told;
        let shared = [
            news.genesis.then(|| told.genesis.clone()),
            news.list.then(|| told.list.clone()),
        ];
        self.ready.extend(shared.into_iter().flatten());
        let member = self.authority.member(&view, self.node).await?;
        self.tell_certificate(&member)?;
        if news.policy {
            self.ready.extend(told.policy.clone());
        }
        if (news.roster || news.policy || news.genesis)
            && self.authority.matters(&view, &member, self.roster)
        {
            self.tell_roster(&view, &member).await?;
        }
        self.tell_records(&view, &member, &news.records).await?;
        if !news.grants.is_empty() {
            self.tell_grants(|epoch| news.grants.contains(&epoch))
                .await?;
        }
        Ok(())
    }

    /// Everything, for one who comes anew or was away too long.
    async fn prepare_all(&mut self) -> Result<(), ReadError> {
        let view = self.authority.view().await?;
        let member = self.authority.member(&view, self.node).await?;
        let told = view.told.clone();
        self.ready.extend([told.genesis, told.list]);
        self.tell_certificate(&member)?;
        self.ready.extend(told.policy);
        self.tell_roster(&view, &member).await?;
        self.tell_grants(|_| true).await
    }

    fn tell(&mut self, event: &StreamEvent) -> Result<(), ReadError> {
        self.ready.push_back(Told::render(event)?);
        Ok(())
    }

    fn tell_certificate(&mut self, member: &Member) -> Result<(), ReadError> {
        if self.certificate != Some(member.digest) {
            self.certificate = Some(member.digest);
            self.tell(&StreamEvent::Certificate(member.certificate.clone()))?;
        }
        Ok(())
    }

    async fn tell_roster(&mut self, view: &View, member: &Member) -> Result<(), ReadError> {
        let update = self
            .authority
            .roster_from(view, member, self.roster)
            .await?;
        self.roster = Some(view.directory.version);
        self.tell(&StreamEvent::Roster(update))
    }

    async fn tell_records(
        &mut self,
        view: &View,
        member: &Member,
        nodes: &BTreeSet<NodeId>,
    ) -> Result<(), ReadError> {
        let now = self.authority.clock().now();
        let is_peer = |node: &&NodeId| {
            let peer = view.directory.node(**node);
            peer.is_some_and(|peer| view.is_peer(member, peer, now))
        };
        let peers: Vec<NodeId> = nodes.iter().filter(is_peer).copied().collect();
        if peers.is_empty() {
            return Ok(());
        }
        let records = {
            let mut connection = self.authority.0.store.read().await?;
            record::of_all(&mut connection, &peers).await?
        };
        for record in records {
            self.tell(&StreamEvent::Record(record))?;
        }
        Ok(())
    }

    async fn tell_grants(&mut self, which: impl Fn(EpochNumber) -> bool) -> Result<(), ReadError> {
        let grants = self.authority.grants_by_epoch(self.node).await;
        let grants = grants.map_err(|error| match error {
            EpochError::Store(error) => ReadError::Store(error),
            EpochError::Sign(error) => ReadError::Sign(error),
            other => StoreError::Failed(other.to_string()).into(),
        })?;
        for (_, grant) in grants.into_iter().filter(|(epoch, _)| which(*epoch)) {
            self.tell(&StreamEvent::Grant(grant))?;
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
        let mut stream = NodeStream {
            authority: self.clone(),
            node,
            subscription,
            ready: VecDeque::new(),
            roster: None,
            certificate: None,
            over: false,
        };
        if anew {
            stream.prepare_all().await?;
        }
        Ok(stream)
    }
}
