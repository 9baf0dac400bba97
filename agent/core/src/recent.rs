//! What is only convenient to know after a restart.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tidegate_proto::{Endpoint, NodeId, Prefix, Span, UnixTime};

use crate::input::Wish;

/// A starting node shakes hands at once with whom it used this lately.
pub(crate) const LATELY: Span = Span::from_minutes(5);
/// Peers that are remembered.
const MOST: usize = 1000;

/// How it lies in its file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct KeptRecent {
    down: bool,
    peers: Vec<KeptPeer>,
    guarded: Vec<Prefix>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct KeptPeer {
    node: NodeId,
    used: UnixTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    heard: Option<Endpoint>,
}

/// A peer's last use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Use {
    pub(crate) at: UnixTime,
    /// Where authenticated packets last came from.
    pub(crate) heard: Option<Endpoint>,
    /// Whether that was since this node was started.
    pub(crate) live: bool,
}

/// Peers used lately, the user's wish, and the accepted networks that stay guarded until `down`.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    pub(crate) wish: Wish,
    uses: BTreeMap<NodeId, Use>,
    pub(crate) guarded: BTreeSet<Prefix>,
    /// Used since the last heartbeat.
    seen: BTreeSet<NodeId>,
}

impl Recent {
    pub(crate) fn restored(kept: KeptRecent) -> Self {
        let uses = kept.peers.into_iter().take(MOST).map(|peer| {
            let (at, heard) = (peer.used, peer.heard);
            let live = false;
            (peer.node, Use { at, heard, live })
        });
        Self {
            wish: if kept.down { Wish::Down } else { Wish::Up },
            uses: uses.collect(),
            guarded: kept.guarded.into_iter().collect(),
            seen: BTreeSet::new(),
        }
    }

    pub(crate) fn keep(&self) -> KeptRecent {
        let peer = |(node, used): (&NodeId, &Use)| KeptPeer {
            node: *node,
            used: used.at,
            heard: used.heard,
        };
        KeptRecent {
            down: self.wish == Wish::Down,
            peers: self.uses.iter().map(peer).collect(),
            guarded: self.guarded.iter().copied().collect(),
        }
    }

    pub(crate) fn of(&self, node: NodeId) -> Option<&Use> {
        self.uses.get(&node)
    }

    /// Notes that packets pass.
    pub(crate) fn note_use(&mut self, node: NodeId, time: UnixTime) {
        self.seen.insert(node);
        self.uses.entry(node).or_default().at = time;
        if self.uses.len() > MOST
            && let Some(oldest) = self
                .uses
                .iter()
                .min_by_key(|(_, used)| used.at)
                .map(|(node, _)| *node)
        {
            self.uses.remove(&oldest);
        }
    }

    /// Notes where a peer speaks from.
    pub(crate) fn note_endpoint(&mut self, node: NodeId, endpoint: Endpoint, time: UnixTime) {
        self.note_use(node, time);
        if let Some(used) = self.uses.get_mut(&node) {
            used.heard = Some(endpoint);
            used.live = true;
        }
    }

    /// Whether the peer was used in the last five minutes.
    pub(crate) fn lately(&self, node: NodeId, time: UnixTime) -> bool {
        self.uses
            .get(&node)
            .is_some_and(|used| time.since(used.at) <= LATELY)
    }

    /// Whom packets have passed with since the last call.
    pub(crate) fn take_seen(&mut self) -> BTreeSet<NodeId> {
        std::mem::take(&mut self.seen)
    }
}
