//! What the service shows of its nouns.

use tidegate_proto::policy::Policy;
use tidegate_proto::{Invite, NodeId, NodeName};

pub use tidegate_proto::api::{
    Approval, EpochView, InviteView, NewInvite, NodeStatus, NodeView, Presence, RevocationView,
};

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

/// A new invite: shown once.
#[derive(Debug)]
pub struct MadeInvite {
    /// What to hand over.
    pub invite: Invite,
    /// What is kept.
    pub view: InviteView,
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
