//! What has changed, told to those who follow it.
//!
//! The database keeps the notices of each commit for a while, in order ([`crate::store`]); every server on it reads
//! them and tells its own followers. A follower holds a place in that order; one that has fallen behind what is kept
//! is not buffered for but ended, and comes back for the full set.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tidegate_proto::{EpochNumber, NodeId, Sequence, Span};
use tokio::sync::watch;

use crate::store::change::Change;

/// The place of a change: in which database, and its number there.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct EventId {
    instance: u32,
    change: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.instance, self.change)
    }
}

/// A text that is no event id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("this is no event id; begin without one")]
pub struct EventIdError;

impl FromStr for EventId {
    type Err = EventIdError;

    fn from_str(text: &str) -> Result<Self, EventIdError> {
        let (instance, change) = text.split_once('-').ok_or(EventIdError)?;
        let instance = u32::from_str_radix(instance, 16).map_err(|_| EventIdError)?;
        let id = Self {
            instance,
            change: change.parse().map_err(|_| EventIdError)?,
        };
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(EventIdError)
        }
    }
}

/// What has changed. It names documents; who follows fetches them, and is authorised anew as it does.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Notice {
    /// A genesis succession is in force.
    Genesis,
    /// A new revocation list.
    List(Sequence),
    /// A new policy.
    Policy(Sequence),
    /// Somebody waits for a decision, or was denied.
    Pending(NodeId),
    /// A node came, went or changed: its roster version.
    Node(NodeId, Sequence),
    /// A node fell silent, or is back.
    Presence(NodeId),
    /// A node is found elsewhere.
    Record(NodeId),
    /// Grants of an epoch were released: which, and to whom, in order.
    Grants(EpochNumber, #[serde(with = "shared")] Arc<[NodeId]>),
    /// An audit event, for operators: its sequence.
    Audit(u64),
    /// A revocation is complete, after so long.
    CutOff(Sequence, Span),
}

/// A shared slice, stored like any other.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use tidegate_proto::NodeId;

    pub(super) fn serialize<S: Serializer>(
        nodes: &Arc<[NodeId]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        nodes[..].serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<[NodeId]>, D::Error> {
        Vec::deserialize(deserializer).map(Arc::from)
    }
}

struct Ring {
    /// Every change behind this one is here.
    behind: u64,
    changes: VecDeque<(u64, Arc<[Notice]>)>,
}

/// The latest changes.
pub(crate) struct Feed {
    instance: u32,
    kept: usize,
    ring: Mutex<Ring>,
    head: watch::Sender<u64>,
}

impl Feed {
    /// The feed of the database `instance`, of which every change behind `behind` will be published.
    pub(crate) fn new(instance: u32, behind: u64, kept: u32) -> Self {
        let ring = Mutex::new(Ring {
            behind,
            changes: VecDeque::new(),
        });
        Self {
            instance,
            kept: usize::try_from(kept).unwrap_or(usize::MAX),
            ring,
            head: watch::Sender::new(behind),
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner) // it is consistent between any two statements
    }

    /// The last change that was published.
    pub(crate) fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// Tells of changes, in order.
    pub(crate) fn publish(&self, changes: Vec<Change>) {
        let mut ring = self.ring();
        for change in changes {
            ring.changes.push_back((change.id, change.notices.into()));
            if ring.changes.len() > self.kept
                && let Some((dropped, _)) = ring.changes.pop_front()
            {
                ring.behind = dropped;
            }
        }
        let head = ring.changes.back().map_or(ring.behind, |(id, _)| *id);
        drop(ring);
        self.head.send_replace(head);
    }

    /// Ends every follower: what came up to `behind` is not known any more.
    pub(crate) fn lose(&self, behind: u64) {
        {
            let mut ring = self.ring();
            ring.changes.clear();
            ring.behind = behind;
        }
        self.head.send_replace(behind);
    }

    /// How many follow.
    pub(crate) fn followers(&self) -> usize {
        self.head.receiver_count()
    }

    /// Follows from behind the last change.
    pub(crate) fn follow(self: &Arc<Self>) -> Subscription {
        self.from(self.head())
    }

    /// Follows from behind `id`; `None` if what came since is not known any more.
    pub(crate) fn resume(self: &Arc<Self>, id: EventId) -> Option<Subscription> {
        let known = id.instance == self.instance
            && id.change <= self.head()
            && id.change >= self.ring().behind;
        known.then(|| self.from(id.change))
    }

    fn from(self: &Arc<Self>, last: u64) -> Subscription {
        Subscription {
            feed: Arc::clone(self),
            heads: self.head.subscribe(),
            last,
            taken: VecDeque::new(),
        }
    }
}

/// One follower's place.
pub struct Subscription {
    feed: Arc<Feed>,
    heads: watch::Receiver<u64>,
    last: u64,
    taken: VecDeque<Notice>,
}

impl Subscription {
    /// The place of the last change that was taken.
    pub fn last(&self) -> EventId {
        EventId {
            instance: self.feed.instance,
            change: self.last,
        }
    }

    /// The next notice; `None` if this follower was too slow, or the authority stops.
    pub async fn next(&mut self) -> Option<Notice> {
        loop {
            if let Some(notice) = self.taken.pop_front() {
                return Some(notice);
            }
            let changes = self.changes().await?;
            self.taken
                .extend(changes.iter().flat_map(|notices| notices.iter().cloned()));
        }
    }

    /// Everything that has changed since, at least one change; `None` if this follower was too slow, or the authority
    /// stops.
    pub(crate) async fn changes(&mut self) -> Option<Vec<Arc<[Notice]>>> {
        loop {
            let _ = self.heads.borrow_and_update();
            let ready = self.ready()?;
            if !ready.is_empty() {
                return Some(ready);
            }
            self.heads.changed().await.ok()?;
        }
    }

    /// Waits until there is something to take; false if the authority stops. What is awaited here can be given up.
    pub(super) async fn wait(&mut self) -> bool {
        loop {
            let head = *self.heads.borrow_and_update();
            if self.last < head {
                return true;
            }
            if self.heads.changed().await.is_err() {
                return false;
            }
        }
    }

    /// What is there already; `None` if some of it is not any more.
    pub(super) fn ready(&mut self) -> Option<Vec<Arc<[Notice]>>> {
        let ring = self.feed.ring();
        if self.last < ring.behind {
            return None;
        }
        let at = ring.changes.partition_point(|(id, _)| *id <= self.last);
        let ready = ring.changes.range(at..);
        let ready = ready.map(|(_, notices)| Arc::clone(notices)).collect();
        self.last = ring.changes.back().map_or(self.last, |(id, _)| *id);
        Some(ready)
    }
}
