//! How a policy names nodes.

use std::fmt;
use std::str::FromStr;

use crate::bytes::{printable, text_serde};
use crate::name::{GroupName, NodeName, Role, Tag};
use crate::net::Prefix;

/// Some of the network's nodes, or addresses behind them.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Selector {
    /// Every member: `all`.
    All,
    /// Every node with the tag: `tag:web`.
    Tag(Tag),
    /// Every node with the role: `role:gateway`.
    Role(Role),
    /// Every node in the policy's group: `group:developers`.
    Group(GroupName),
    /// One node: `node:db-1`.
    Node(NodeName),
    /// Addresses, of nodes or routed by them: `cidr:192.168.7.0/24`.
    Cidr(Prefix),
}

/// A text that selects nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "'{text}' selects nothing{because}; write all, tag:NAME, role:NAME, group:NAME, node:NAME or cidr:PREFIX"
)]
pub struct SelectorError {
    text: String,
    because: String,
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Tag(tag) => write!(f, "tag:{tag}"),
            Self::Role(role) => write!(f, "role:{role}"),
            Self::Group(group) => write!(f, "group:{group}"),
            Self::Node(node) => write!(f, "node:{node}"),
            Self::Cidr(prefix) => write!(f, "cidr:{prefix}"),
        }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let because = |reason: String| {
            let text = printable(text, 80);
            SelectorError {
                text,
                because: reason,
            }
        };
        let name = |error: crate::NameError| because(format!(" ({error})"));
        match text.split_once(':') {
            None if text == "all" => Ok(Self::All),
            Some(("tag", tag)) => tag.parse().map(Self::Tag).map_err(name),
            Some(("role", role)) => role.parse().map(Self::Role).map_err(name),
            Some(("group", group)) => group.parse().map(Self::Group).map_err(name),
            Some(("node", node)) => node.parse().map(Self::Node).map_err(name),
            Some(("cidr", prefix)) => prefix
                .parse()
                .map(Self::Cidr)
                .map_err(|e| because(format!(" ({e})"))),
            _ => Err(because(String::new())),
        }
    }
}

text_serde!(Selector);
