//! What has changed, told to those who follow it.
//!
//! A bounded ring of notices. A subscriber holds a place in it; one that has fallen out of the ring is not buffered
//! for but ended, and comes back for the full set.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand_core::CryptoRng;
use tidegate_proto::{EpochNumber, NodeId, Sequence, Span};
use tokio::sync::watch;

/// How many notices are kept for those who come back or are slow.
const KEPT: usize = 8192;

/// The place of a notice: which running authority gave it out, and its number there.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct EventId {
    instance: u32,
    number: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.instance, self.number)
    }
}

/// A text that is no event id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("this is no event id; begin without one")]
pub struct EventIdError;

impl FromStr for EventId {
    type Err = EventIdError;

    fn from_str(text: &str) -> Result<Self, EventIdError> {
        let (instance, number) = text.split_once('-').ok_or(EventIdError)?;
        let instance = u32::from_str_radix(instance, 16).map_err(|_| EventIdError)?;
        let id = Self {
            instance,
            number: number.parse().map_err(|_| EventIdError)?,
        };
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(EventIdError)
        }
    }
}

/// What has changed. It names documents; who follows fetches them, and is authorised anew as it does.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// A genesis succession is in force.
    Genesis,
    /// A new revocation list.
    List(Sequence),
    /// A new policy.
    Policy(Sequence),
    /// A node came, went or changed: its roster version.
    Node(NodeId, Sequence),
    /// A node fell silent, or is back.
    Presence(NodeId),
    /// A node is found elsewhere.
    Record(NodeId),
    /// Grants of an epoch were released: which, and to whom.
    Grants(EpochNumber, Arc<[NodeId]>),
    /// An audit event, for operators: its sequence.
    Audit(u64),
    /// A revocation is complete, after so long.
    CutOff(Sequence, Span),
}

struct Ring {
    first: u64,
    notices: VecDeque<Notice>,
}

/// The ring of notices.
pub(crate) struct Feed {
    instance: u32,
    ring: Mutex<Ring>,
    head: watch::Sender<u64>,
}

impl Feed {
    pub(crate) fn new(rng: &mut impl CryptoRng) -> Self {
        let mut instance = [0; 4];
        rng.fill_bytes(&mut instance);
        let ring = Mutex::new(Ring {
            first: 1,
            notices: VecDeque::new(),
        });
        Self {
            instance: u32::from_be_bytes(instance),
            ring,
            head: watch::Sender::new(0),
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner) // it is consistent between any two statements
    }

    pub(crate) fn publish(&self, notice: Notice) {
        let mut ring = self.ring();
        ring.notices.push_back(notice);
        if ring.notices.len() > KEPT {
            ring.notices.pop_front();
            ring.first += 1;
        }
        let head = ring.first + ring.notices.len() as u64 - 1;
        drop(ring);
        self.head.send_replace(head);
    }

    /// Follows from behind the last notice.
    pub(crate) fn follow(self: &Arc<Self>) -> Subscription {
        let heads = self.head.subscribe();
        let last = *heads.borrow();
        Subscription {
            feed: Arc::clone(self),
            heads,
            last,
        }
    }

    /// Follows from behind `id`; `None` if what came since is not known any more.
    pub(crate) fn resume(self: &Arc<Self>, id: EventId) -> Option<Subscription> {
        let heads = self.head.subscribe();
        let known = id.instance == self.instance
            && id.number <= *heads.borrow()
            && id.number + 1 >= self.ring().first;
        known.then(|| Subscription {
            feed: Arc::clone(self),
            heads,
            last: id.number,
        })
    }
}

/// One follower's place.
pub struct Subscription {
    feed: Arc<Feed>,
    heads: watch::Receiver<u64>,
    last: u64,
}

impl Subscription {
    /// The place of the last notice that was taken.
    pub fn last(&self) -> EventId {
        EventId {
            instance: self.feed.instance,
            number: self.last,
        }
    }

    /// The next notice; `None` if this follower was too slow, or the authority stops.
    pub async fn next(&mut self) -> Option<Notice> {
        loop {
            if let Some(ready) = self.ready() {
                return ready;
            }
            self.heads.changed().await.ok()?;
        }
    }

    /// Waits until there is a notice to take; false if the authority stops. What is awaited here can be given up.
    pub(super) async fn wait(&mut self) -> bool {
        loop {
            let _ = self.heads.borrow_and_update();
            if self.last < self.head() {
                return true;
            }
            if self.heads.changed().await.is_err() {
                return false;
            }
        }
    }

    /// The latest list among the notices that were not taken yet.
    pub(super) fn list_ahead(&self) -> Option<Sequence> {
        let ring = self.feed.ring();
        let begin = usize::try_from((self.last + 1).saturating_sub(ring.first)).ok()?;
        let unread = ring.notices.iter().skip(begin).rev();
        unread.into_iter().find_map(|notice| match notice {
            Notice::List(sequence) => Some(*sequence),
            _ => None,
        })
    }

    /// How many follow.
    pub(super) fn followers(&self) -> usize {
        self.feed.head.receiver_count()
    }

    /// The number of the last notice that was published.
    pub(super) fn head(&self) -> u64 {
        *self.feed.head.borrow()
    }

    /// The next notice if there is one already; the inner `None` ends the subscription.
    fn ready(&mut self) -> Option<Option<Notice>> {
        let _ = self.heads.borrow_and_update();
        let ring = self.feed.ring();
        let Some(at) = (self.last + 1).checked_sub(ring.first) else {
            return Some(None);
        };
        let notice = usize::try_from(at)
            .ok()
            .and_then(|at| ring.notices.get(at))?
            .clone();
        drop(ring);
        self.last += 1;
        Some(Some(notice))
    }
}
