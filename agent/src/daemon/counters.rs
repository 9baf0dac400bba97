//! What has happened since the start, counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tidegate_core::Event;
use tidegate_proto::UnixTime;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// What has happened since the start.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $name: AtomicU64,)+
            /// The last document that was not accepted, and when.
            last_refused: Mutex<Option<LastRefused>>,
        }
    };
}

counters! {
    /// Documents that were not accepted.
    refused,
    /// Revocation lists that came into force.
    lists,
    /// Receipts that were signed.
    receipts,
    /// Policies that came into force.
    policies,
    /// Peers that came.
    joined,
    /// Peers that went.
    left,
    /// Peers that were put out.
    put_out,
    /// Grants that became usable.
    grants,
    /// Epochs that sending has passed to.
    switches,
    /// Certificates of this node that came into force.
    certificates,
    /// Changes of the node's state.
    states,
    /// Times that the wall clock was found wrong.
    clock_off,
}

/// A document that was not accepted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct LastRefused {
    /// What, why and from where, as a sentence.
    pub(crate) what: String,
    /// When, by the authority's time.
    pub(crate) at: UnixTime,
}

impl Counters {
    /// Remembers a document that was not accepted, for those who ask later.
    pub(crate) fn note_refused(&self, event: &Event, at: UnixTime) {
        if matches!(event, Event::Refused { .. } | Event::Siblings) {
            let what = event.to_string();
            *self.slot() = Some(LastRefused { what, at });
        }
    }

    /// The last document that was not accepted.
    pub(crate) fn last_refused(&self) -> Option<LastRefused> {
        self.slot().clone()
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<LastRefused>> {
        self.last_refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an event.
    pub(crate) fn count(&self, event: &Event) {
        let counter = match event {
            Event::Refused { .. } | Event::Siblings => &self.refused,
            Event::List { .. } => &self.lists,
            Event::Receipt(_) => &self.receipts,
            Event::Policy(_) => &self.policies,
            Event::PeerJoined { .. } => &self.joined,
            Event::PeerLeft { listed, .. } => {
                if *listed {
                    add(&self.put_out);
                }
                &self.left
            }
            Event::Granted { .. } => &self.grants,
            Event::Switched(_) => &self.switches,
            Event::Certified { .. } => &self.certificates,
            Event::State(_) => &self.states,
            Event::ClockOff(_) => &self.clock_off,
            _ => return,
        };
        add(counter);
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
