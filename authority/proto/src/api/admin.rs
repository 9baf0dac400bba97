//! What operators ask, and what they are shown of nodes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bounded::{BoundedList, BoundedSet};
use crate::bytes::text_serde;
use crate::id::{NodeId, Sequence, Serial};
use crate::key::{PublicKey, SealingPublicKey, WgPublicKey};
use crate::name::{Label, NodeName, Reason, Role, Tag};
use crate::net::Prefix;
use crate::order::ListPlace;
use crate::time::UnixTime;

/// How a node stands.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum NodeStatus {
    /// An operator has to decide.
    Pending,
    /// In.
    Allowed,
    /// In, and silent for too long.
    Offline,
    /// Out for now.
    Quarantined,
    /// Out for good.
    Revoked,
    /// Never let in.
    Denied,
    /// May come back, with new keys.
    Readmitted,
}

impl NodeStatus {
    /// Every status.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Allowed,
        Self::Offline,
        Self::Quarantined,
        Self::Revoked,
        Self::Denied,
        Self::Readmitted,
    ];

    /// The status as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Allowed => "allowed",
            Self::Offline => "offline",
            Self::Quarantined => "quarantined",
            Self::Revoked => "revoked",
            Self::Denied => "denied",
            Self::Readmitted => "readmitted",
        }
    }
}

impl fmt::Display for NodeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is no status.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "a status is one of pending, allowed, offline, quarantined, revoked, denied and readmitted"
)]
pub struct NodeStatusError;

impl FromStr for NodeStatus {
    type Err = NodeStatusError;

    fn from_str(text: &str) -> Result<Self, NodeStatusError> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(NodeStatusError)
    }
}

text_serde!(NodeStatus);

/// One node, as operators see it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NodeView {
    /// The node.
    pub node: NodeId,
    /// Its name, or the one that it would like.
    pub name: NodeName,
    /// How it stands.
    pub status: NodeStatus,
    /// Why.
    pub reason: Reason,
    /// Since when.
    pub since: UnixTime,
    /// The key that it signs with.
    pub identity: PublicKey,
    /// The key of its tunnels.
    pub wireguard: WgPublicKey,
    /// The key that its grants are sealed to.
    pub sealing: SealingPublicKey,
    /// What it is for.
    pub roles: BoundedSet<Role, 8>,
    /// Its marks.
    pub tags: BoundedSet<Tag, 32>,
    /// What it would like to route for.
    pub wanted_routes: BoundedSet<Prefix, 32>,
    /// What it may route for.
    pub routes: BoundedSet<Prefix, 32>,
    /// Its overlay address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Ipv4Addr>,
    /// Its overlay address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Addr>,
    /// The serial of its certificate in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<Serial>,
    /// The end of that certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<UnixTime>,
    /// When it first asked to come in.
    pub enrolled_at: UnixTime,
    /// When it was last heard of, and what it said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<Presence>,
}

/// What a node said of itself last.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Presence {
    /// When.
    pub last_seen: UnixTime,
    /// Its program's version.
    pub program: Label,
    /// The revocation list that it has in force.
    pub list: ListPlace,
    /// The policy.
    pub policy: Sequence,
    /// The roster.
    pub roster: Sequence,
    /// How many peers it exchanged packets with.
    pub peers: u32,
    /// Where it was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_from: Option<IpAddr>,
}

/// One page of nodes, in the order of their ids.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Nodes {
    /// The page.
    pub nodes: BoundedList<NodeView, 1000>,
    /// Where the next page begins (`?after=`), if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<NodeId>,
}

/// What an operator lets a waiting node in with.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Approval {
    /// Another name than the one it asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<NodeName>,
    /// What it is for.
    #[serde(default)]
    pub roles: BoundedSet<Role, 8>,
    /// Its marks.
    #[serde(default)]
    pub tags: BoundedSet<Tag, 32>,
    /// Which routes it may have.
    #[serde(default)]
    pub routes: BoundedSet<Prefix, 32>,
}

/// Why an operator denies, revokes, suspends or reinstates.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Decision {
    /// The reason, for people; it is recorded and, where it puts a node out, on the list.
    pub reason: Reason,
}
