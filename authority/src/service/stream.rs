//! A node's own view of what changes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tidegate_proto::api::StreamEvent;
use tidegate_proto::{EpochNumber, NodeId, Sequence};

use super::feed::{EventId, Notice, Subscription};
use super::{Authority, EpochError, ReadError};
use crate::store::list::Current;
use crate::store::{StoreError, record};

/// The most by which what follows a list is put off, so that the list reaches everybody first.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// An event that is the same for everybody, made once.
#[derive(Debug)]
pub struct Common {
    event: StreamEvent,
    json: Bytes,
}

/// An event as it leaves.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// For one node.
    Own(Box<StreamEvent>),
    /// For everybody.
    Common(Arc<Common>),
}

impl Outgoing {
    /// The event.
    pub fn event(&self) -> &StreamEvent {
        match self {
            Self::Own(event) => event,
            Self::Common(common) => &common.event,
        }
    }

    /// Its JSON.
    pub fn json(&self) -> Result<Bytes, StoreError> {
        match self {
            Self::Own(event) => json(event),
            Self::Common(common) => Ok(common.json.clone()),
        }
    }
}

impl From<StreamEvent> for Outgoing {
    fn from(event: StreamEvent) -> Self {
        Self::Own(Box::new(event))
    }
}

fn json(event: &StreamEvent) -> Result<Bytes, StoreError> {
    let json = serde_json::to_vec(event).map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(json.into())
}

/// The genesis revision and the place of a document.
type Key = (u64, u64);

/// The last common event of each kind, by the place of the document that it carries.
#[derive(Debug, Default)]
pub(crate) struct Commons(Mutex<[Option<(Key, Arc<Common>)>; 2]>);

impl Commons {
    /// The event that `make` makes, made once for each `key`.
    fn shared(
        &self,
        kind: usize,
        key: Key,
        make: impl FnOnce() -> StreamEvent,
    ) -> Result<Outgoing, StoreError> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, common)) = &held[kind]
            && *known == key
        {
            return Ok(Outgoing::Common(Arc::clone(common)));
        }
        let event = make();
        let common = Arc::new(Common {
            json: json(&event)?,
            event,
        });
        held[kind] = Some((key, Arc::clone(&common)));
        Ok(Outgoing::Common(common))
    }
}

/// What a stream has to say.
#[derive(Clone, Debug)]
pub enum Told {
    /// An event, and the place to resume behind it.
    Event(EventId, Outgoing),
    /// Nothing happened for a while.
    Silence,
}

/// One node's stream: first what it needs to know now, then what changes. Each event is fetched, and the node
/// authorised anew, as it leaves. A revocation list, which everybody may know, overtakes all that waits.
pub struct NodeStream {
    authority: Authority,
    node: NodeId,
    subscription: Subscription,
    ready: VecDeque<Outgoing>,
    /// The roster version that was told last.
    roster: Option<Sequence>,
    /// The list that was told last.
    list: Option<Sequence>,
    /// How far the notices were searched for a list.
    searched: u64,
    /// Whether a list has just left, so that everybody else's goes first now.
    pause: bool,
}

impl NodeStream {
    /// The next event and the place to resume behind it. `None` ends the stream: the node was too slow, is not a
    /// member any more, or the authority stops.
    pub async fn next(&mut self) -> Option<(EventId, StreamEvent)> {
        loop {
            match self.next_within(Duration::from_secs(3600)).await? {
                Told::Event(id, outgoing) => return Some((id, outgoing.event().clone())),
                Told::Silence => {}
            }
        }
    }

    /// The same, but for `silence` at most.
    pub async fn next_within(&mut self, silence: Duration) -> Option<Told> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Told::Event(self.subscription.last(), event));
            }
            match tokio::time::timeout(silence, self.subscription.wait()).await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(_) => return Some(Told::Silence),
            }
            if let Err(error) = self.advance().await {
                tracing::debug!(node = %self.node, %error, "stream ends");
                return None;
            }
        }
    }

    /// Prepares a list that waits, or else what the next notice is about.
    async fn advance(&mut self) -> Result<(), ReadError> {
        if let Some(list) = self.waiting_list() {
            self.tell_list(list).await?;
            self.pause = true;
            return Ok(());
        }
        if std::mem::take(&mut self.pause) {
            tokio::time::sleep(self.turn()).await;
            if self.waiting_list().is_some() {
                return Ok(()); // it goes first
            }
        }
        let Some(notice) = self.subscription.next().await else {
            return Err(StoreError::Closed.into());
        };
        self.prepare(notice).await
    }

    /// The latest list among the notices, if it was not told yet.
    fn waiting_list(&mut self) -> Option<Sequence> {
        let head = self.subscription.head();
        if head <= self.searched {
            return None;
        }
        let list = self.subscription.list_ahead();
        self.searched = head;
        list.filter(|list| self.list.is_none_or(|told| *list > told))
    }

    /// When it is this stream's turn: spread by node over a time that grows with their number.
    fn turn(&self) -> Duration {
        let all = Duration::from_micros(200)
            * u32::try_from(self.subscription.followers()).unwrap_or(u32::MAX);
        let share = f64::from(self.node.as_bytes()[0]) / 256.0;
        all.min(LONGEST_PAUSE).mul_f64(share)
    }

    /// Tells the list in force, which is `at_least` that one.
    async fn tell_list(&mut self, at_least: Sequence) -> Result<(), ReadError> {
        let (sequence, outgoing) = self.authority.common_list(Some(at_least)).await?;
        self.list = self.list.max(Some(sequence));
        self.ready.push_back(outgoing);
        Ok(())
    }

    async fn prepare(&mut self, notice: Notice) -> Result<(), ReadError> {
        match notice {
            Notice::Genesis => self
                .ready
                .push_back(StreamEvent::Genesis(self.authority.genesis()).into()),
            Notice::List(list) if self.list.is_none_or(|told| list > told) => {
                self.tell_list(list).await?;
            }
            Notice::Policy(_) => {
                let policy = self.authority.common_policy().await?;
                self.ready.push_back(policy);
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
            .push_back(StreamEvent::Genesis(self.authority.genesis()).into());
        let (sequence, list) = self.authority.common_list(None).await?;
        self.list = Some(sequence);
        self.ready.push_back(list);
        match self.authority.common_policy().await {
            Ok(policy) => self.ready.push_back(policy),
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
        self.ready.push_back(StreamEvent::Roster(update).into());
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
                    .map(|record| StreamEvent::Record(record).into()),
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
                self.ready.push_back(StreamEvent::Grant(grant).into());
            }
        }
        Ok(())
    }
}

impl Authority {
    /// The list in force as an event, and its place. One at hand that is `at_least` as new needs no look at the
    /// database.
    async fn common_list(
        &self,
        at_least: Option<Sequence>,
    ) -> Result<(Sequence, Outgoing), ReadError> {
        let fresh =
            |held: &Arc<Current>| at_least.is_some_and(|least| held.place.sequence >= least);
        let held = match self.list_at_hand().filter(fresh) {
            Some(held) => held,
            None => {
                self.revocation_list().await?; // which has it at hand
                self.list_at_hand()
                    .ok_or(ReadError::NotYet("revocation list"))?
            }
        };
        let key = (held.place.revision.value(), held.place.sequence.value());
        let make = || StreamEvent::List(held.signed.clone());
        Ok((held.place.sequence, self.0.commons.shared(0, key, make)?))
    }

    fn list_at_hand(&self) -> Option<Arc<Current>> {
        let held = self.0.list.read();
        held.unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn common_policy(&self) -> Result<Outgoing, ReadError> {
        let mut connection = self.0.store.read().await?;
        let in_force = self
            .policy_in_force(&mut connection)
            .await?
            .ok_or(ReadError::NotYet("policy"))?;
        let make = || StreamEvent::Policy(in_force.signed.clone());
        Ok(self
            .0
            .commons
            .shared(1, (0, in_force.version.value()), make)?)
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
        let (authority, ready) = (self.clone(), VecDeque::new());
        let mut stream = NodeStream {
            authority,
            node,
            subscription,
            ready,
            roster: None,
            list: None,
            searched: 0,
            pause: false,
        };
        if anew {
            stream.prepare_all().await?;
        }
        Ok(stream)
    }
}
