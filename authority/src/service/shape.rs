//! What the service shows of its nouns.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use tidegate_proto::policy::Policy;
use tidegate_proto::{
    BoundedSet, Digest, EpochNumber, Invite, Label, ListPlace, NodeId, NodeName, Prefix, PublicKey,
    Reason, RevocationKind, Role, SealingPublicKey, Sequence, Serial, Span, Tag, UnixTime,
    WgPublicKey,
};

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

/// One node, as operators see it.
#[derive(Clone, Debug, Eq, PartialEq)]
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
    pub ipv4: Option<Ipv4Addr>,
    /// Its overlay address.
    pub ipv6: Option<Ipv6Addr>,
    /// The serial of its certificate in force.
    pub serial: Option<Serial>,
    /// The end of that certificate.
    pub not_after: Option<UnixTime>,
    /// When it first asked to come in.
    pub enrolled_at: UnixTime,
    /// When it was last heard of, and what it said.
    pub presence: Option<Presence>,
}

/// What a node said of itself last.
#[derive(Clone, Debug, Eq, PartialEq)]
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
    pub seen_from: Option<IpAddr>,
}

/// Which nodes to list.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NodeFilter {
    /// Only those that stand so.
    pub status: Option<NodeStatus>,
    /// Behind this node, in the order of ids.
    pub after: Option<NodeId>,
    /// At most so many; none: 1000.
    pub limit: Option<u32>,
}

/// An invite to make.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewInvite {
    /// What those who come with it are for.
    pub roles: BoundedSet<Role, 8>,
    /// Their marks.
    pub tags: BoundedSet<Tag, 32>,
    /// How many it admits.
    pub uses: u32,
    /// How long it counts.
    pub valid_for: Span,
}

/// An invite as it was kept; its token is not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InviteView {
    /// Its id.
    pub id: Digest,
    /// What those who come with it are for.
    pub roles: BoundedSet<Role, 8>,
    /// Their marks.
    pub tags: BoundedSet<Tag, 32>,
    /// How many it still admits.
    pub uses_left: u32,
    /// When it was made.
    pub created_at: UnixTime,
    /// When it ends.
    pub expires_at: UnixTime,
    /// When it was taken back.
    pub revoked_at: Option<UnixTime>,
}

/// A new invite: shown once.
#[derive(Debug)]
pub struct MadeInvite {
    /// What to hand over.
    pub invite: Invite,
    /// What is kept.
    pub view: InviteView,
}

/// An epoch, without its secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EpochView {
    /// Its number.
    pub number: EpochNumber,
    /// How often its secret was drawn again.
    pub redraw: u32,
    /// When sending under it begins.
    pub starts: UnixTime,
    /// When sending passes to the next.
    pub ends: UnixTime,
    /// When it must not be used any more.
    pub lease_until: UnixTime,
    /// To how many nodes it was released.
    pub released: u32,
}

/// A decision that put somebody out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RevocationView {
    /// The first list that says so.
    pub list: Sequence,
    /// Who.
    pub node: NodeId,
    /// For good or for now.
    pub kind: RevocationKind,
    /// Why.
    pub reason: Reason,
    /// When it was decided.
    pub since: UnixTime,
    /// The bound as published; none if nobody honest talks to the node any more.
    pub bound: Option<UnixTime>,
}

/// What a policy file would do.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyCheck {
    /// The policy that it would become.
    pub policy: Policy,
    /// Nodes that it would leave without any peer.
    pub isolated: Vec<NodeName>,
}

/// A node by its id or by its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NodeRef {
    /// By id.
    Id(NodeId),
    /// By name.
    Name(NodeName),
}

/// What an operator lets a node in with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Approval {
    /// Another name than the one it asked for.
    pub name: Option<NodeName>,
    /// What it is for.
    pub roles: BoundedSet<Role, 8>,
    /// Its marks.
    pub tags: BoundedSet<Tag, 32>,
    /// Which routes it may have.
    pub routes: BoundedSet<Prefix, 32>,
}
