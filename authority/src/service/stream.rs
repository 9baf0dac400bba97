//! A node's own view of what changes.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tidegate_proto::{Digest, EpochNumber, NodeId, Sequence};

use super::directory::Member;
use super::feed::{EventId, Notice, Subscription};
use super::pieces::Pieces;
use super::view::View;
use super::{Authority, EpochError, ReadError};
use crate::store::StoreError;

/// The most by which what follows a list is put off, so that the list reaches everybody first.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// One event as it travels. What several are told alike is rendered once and shared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rendered {
    /// The event's name.
    pub name: &'static str,
    /// A `StreamEvent`, as JSON.
    pub json: Pieces,
}

impl Rendered {
    /// The event `name` of `content`.
    pub(super) fn new(name: &'static str, content: Pieces) -> Self {
        Self {
            name,
            json: Pieces::object(name, content),
        }
    }
}

/// What a stream has to say.
#[derive(Clone, Debug)]
pub enum Told {
    /// An event, and the place to resume behind it. Only the last of several that belong together has one, so that
    /// whoever loses the stream among them hears all of them again.
    Event(Option<EventId>, Rendered),
    /// Nothing happened for a while.
    Silence,
}

/// One node's stream: first what it needs to know now, then what changes. The node is authorised anew before anything
/// but a revocation list leaves; the list overtakes all that waits, and the one that puts a node out is the last that
/// it hears.
pub struct NodeStream {
    authority: Authority,
    node: NodeId,
    subscription: Subscription,
    /// Whether it goes on where an earlier one ended.
    resumed: bool,
    ready: VecDeque<Rendered>,
    /// What comes after what is ready: the list goes first, to everybody.
    waiting: Option<News>,
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
    fn of(changes: &[Arc<[Notice]>], own: NodeId) -> Self {
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
                Notice::Grants(epoch, nodes) if nodes.binary_search(&own).is_ok() => {
                    news.grants.insert(*epoch);
                }
                _ => {}
            }
        }
        news
    }

    /// What came later as well.
    fn add(&mut self, later: Self) {
        self.genesis |= later.genesis;
        self.list |= later.list;
        self.policy |= later.policy;
        self.roster |= later.roster;
        self.records.extend(later.records);
        self.grants.extend(later.grants);
    }
}

impl NodeStream {
    /// Whether it goes on where an earlier one ended. If not, it begins with everything that holds now.
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// The next event and the place to resume behind it. `None` ends the stream: the node was too slow, is not a
    /// member any more, or the authority stops.
    pub async fn next(&mut self) -> Option<(Option<EventId>, Rendered)> {
        loop {
            match self.next_within(Duration::from_secs(3600)).await? {
                Told::Event(id, event) => return Some((id, event)),
                Told::Silence => {}
            }
        }
    }

    /// The same, but for `silence` at most.
    pub async fn next_within(&mut self, silence: Duration) -> Option<Told> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                let complete = self.ready.is_empty() && self.waiting.is_none() && !self.over;
                let id = complete.then(|| self.subscription.last());
                return Some(Told::Event(id, event));
            }
            if self.over {
                return None;
            }
            if self.waiting.is_none() {
                match tokio::time::timeout(silence, self.subscription.wait()).await {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(_) => return Some(Told::Silence),
                }
            }
            if let Err(error) = self.advance().await {
                tracing::debug!(node = %self.node, %error, "stream ends");
                self.over = true; // after what is ready
            }
        }
    }

    /// Prepares what everybody hears, or what is left for this node of what has changed.
    async fn advance(&mut self) -> Result<(), ReadError> {
        let Some(mut news) = self.waiting.take() else {
            let news = self.take_changes()?;
            if !news.list {
                return self.prepare(&news).await;
            }
            self.tell_list().await?;
            self.waiting = Some(news);
            return Ok(());
        };
        tokio::time::sleep(self.turn()).await;
        let meanwhile = self.take_changes()?;
        if meanwhile.list {
            self.tell_list().await?;
        }
        news.add(meanwhile);
        self.prepare(&news).await
    }

    fn take_changes(&mut self) -> Result<News, ReadError> {
        let changes = self.subscription.ready().ok_or(ReadError::TooSlow)?;
        Ok(News::of(&changes, self.node))
    }

    /// When it is this stream's turn: spread by node over the time that the list takes.
    fn turn(&self) -> Duration {
        let share = f64::from(self.node.as_bytes()[0]) / 256.0;
        self.authority.list_first().mul_f64(share)
    }

    /// Tells the list, under a genesis that the node may not have heard of.
    async fn tell_list(&mut self) -> Result<(), ReadError> {
        let view = self.view().await?;
        self.ready.push_back(view.told.list.clone());
        Ok(())
    }

    /// What is so: as new as anything that this stream was told of.
    async fn view(&self) -> Result<Arc<View>, ReadError> {
        match self.authority.last_view() {
            Some(view) => Ok(view),
            None => Ok(self.authority.view().await?),
        }
    }

    async fn prepare(&mut self, news: &News) -> Result<(), ReadError> {
        let view = self.view().await?;
        let told = &view.told;
        let member = self.authority.member(&view, self.node).await?;
        self.ready
            .extend(news.genesis.then(|| told.genesis.clone()));
        self.tell_certificate(&member);
        if news.policy {
            self.ready.extend(told.policy.clone());
        }
        if (news.roster || news.policy || news.genesis)
            && self.authority.matters(&view, &member, self.roster)
        {
            self.tell_roster(&view, &member)?;
        }
        self.tell_records(&view, &member, &news.records);
        if !news.grants.is_empty() {
            self.tell_grants(|epoch| news.grants.contains(&epoch))
                .await?;
        }
        Ok(())
    }

    /// Everything, for one who comes anew or was away too long.
    async fn prepare_all(&mut self) -> Result<(), ReadError> {
        self.authority.look_at_records().await?;
        let view = self.authority.view().await?;
        let member = self.authority.member(&view, self.node).await?;
        let told = view.told.clone();
        self.ready.extend([told.genesis, told.list]);
        self.tell_certificate(&member);
        self.ready.extend(told.policy);
        self.tell_roster(&view, &member)?;
        self.tell_grants(|_| true).await
    }

    fn tell(&mut self, name: &'static str, content: Pieces) {
        self.ready.push_back(Rendered::new(name, content));
    }

    fn tell_certificate(&mut self, member: &Member) {
        if self.certificate != Some(member.digest) {
            self.certificate = Some(member.digest);
            self.tell("certificate", member.certificate.alone().into());
        }
    }

    fn tell_roster(&mut self, view: &View, member: &Member) -> Result<(), ReadError> {
        let update = self.authority.roster_from(view, member, self.roster)?;
        self.roster = Some(view.directory.version);
        self.tell("roster", update);
        Ok(())
    }

    /// Tells where peers are found now: as new as what this stream was told of.
    fn tell_records(&mut self, view: &View, member: &Member, nodes: &BTreeSet<NodeId>) {
        let now = self.authority.clock().now();
        let is_peer = |node: &NodeId| {
            let peer = view.directory.node(*node);
            peer.is_some_and(|peer| view.is_peer(member, peer, now))
        };
        let peers = nodes.iter().copied().filter(is_peer);
        for record in self.authority.0.whereabouts.of(peers) {
            self.tell("record", record.alone().into());
        }
    }

    async fn tell_grants(&mut self, which: impl Fn(EpochNumber) -> bool) -> Result<(), ReadError> {
        let grants = self.authority.grants_by_epoch(self.node).await;
        let grants = grants.map_err(|error| match error {
            EpochError::Store(error) => ReadError::Store(error),
            EpochError::Sign(error) => ReadError::Sign(error),
            other => StoreError::Failed(other.to_string()).into(),
        })?;
        for (_, grant) in grants.into_iter().filter(|(epoch, _)| which(*epoch)) {
            self.tell("grant", Pieces::of(&grant)?);
        }
        Ok(())
    }
}

impl Authority {
    /// By how much work that may wait is put off, so that a list reaches everybody first: the more there are, the longer.
    pub(super) fn list_first(&self) -> Duration {
        let followers = u32::try_from(self.0.feed.followers()).unwrap_or(u32::MAX);
        (Duration::from_micros(200) * followers).min(LONGEST_PAUSE)
    }

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
            resumed: !anew,
            ready: VecDeque::new(),
            roster: None,
            certificate: None,
            waiting: None,
            over: false,
        };
        if anew {
            stream.prepare_all().await?;
        }
        Ok(stream)
    }
}
