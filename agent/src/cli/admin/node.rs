//! Nodes: seeing them, letting them in, turning them away.

use std::net::IpAddr;

use clap::Args;
use tidegate::admin::{facts, list, moment, or_dash, table};
use tidegate::client::{NodeFilter, NodeRef};
use tidegate_proto::api::{Approval, Decision, NodeStatus, NodeView, Presence};
use tidegate_proto::{BoundedSet, NodeName, Prefix, Reason, Role, Tag, UnixTime};

use super::desk::Desk;
use crate::cli::Failure;

/// Lists nodes.
#[derive(Args, Debug)]
pub(super) struct Nodes {
    /// Only those that stand so: pending, allowed, offline, quarantined, revoked, denied or readmitted
    #[arg(long, value_name = "STATUS")]
    status: Option<NodeStatus>,
}

impl Nodes {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), Failure> {
        let mut nodes = Vec::new();
        let mut filter = NodeFilter {
            status: self.status,
            ..NodeFilter::default()
        };
        loop {
            let page = desk.operator.nodes(filter).await?;
            nodes.extend_from_slice(&page.nodes);
            match page.next {
                Some(next) if !page.nodes.is_empty() => filter.after = Some(next),
                _ => break,
            }
        }
        let now = desk.now();
        desk.console.show(&nodes, || {
            let header = [
                "name", "status", "address", "roles", "tags", "seen", "since", "node",
            ];
            let rows = nodes.iter().map(|node| row(node, now));
            table(header, rows, "There are no such nodes.")
        })
    }
}

fn row(node: &NodeView, now: UnixTime) -> [String; 8] {
    let seen = node
        .presence
        .as_ref()
        .map(|presence| moment(presence.last_seen, now));
    [
        node.name.to_string(),
        node.status.to_string(),
        or_dash(node.ipv4),
        list(node.roles.iter()),
        list(node.tags.iter()),
        or_dash(seen),
        moment(node.since, now),
        node.node.to_string(),
    ]
}

/// All that is known of one node.
pub(super) fn description(node: &NodeView, now: UnixTime) -> String {
    let certificate = node.not_after.map(|end| moment(end, now));
    let (since, ago) = (node.since, moment(node.since, now));
    let addresses = node.ipv4.map(IpAddr::from).into_iter();
    let addresses = addresses.chain(node.ipv6.map(IpAddr::from));
    let mut all = vec![
        ("name", node.name.to_string()),
        ("node", node.node.to_string()),
        ("status", format!("{} (since {since}, {ago})", node.status)),
        ("reason", node.reason.to_string()),
        ("addresses", list(addresses)),
        ("roles", list(node.roles.iter())),
        ("tags", list(node.tags.iter())),
        ("routes", list(node.routes.iter())),
        ("wanted routes", list(node.wanted_routes.iter())),
        ("serial", or_dash(node.serial)),
        (
            "certificate",
            certificate.map_or_else(String::new, |end| format!("ends {end}")),
        ),
        ("identity", node.identity.to_string()),
        ("wireguard", node.wireguard.to_string()),
        ("enrolled", node.enrolled_at.to_string()),
    ];
    let presence = node.presence.iter();
    all.extend(presence.flat_map(|presence| seen(presence, now)));
    facts(all)
}

fn seen(presence: &Presence, now: UnixTime) -> [(&'static str, String); 5] {
    let (list, policy) = (presence.list.sequence, presence.policy);
    let roster = presence.roster;
    [
        ("last seen", moment(presence.last_seen, now)),
        (
            "seen from",
            presence
                .seen_from
                .map_or_else(String::new, |from| from.to_string()),
        ),
        ("program", presence.program.to_string()),
        (
            "in force",
            format!("list {list}, policy {policy}, roster {roster}"),
        ),
        ("peers", presence.peers.to_string()),
    ]
}

/// Shows one node.
#[derive(Args, Debug)]
pub(super) struct Show {
    /// The node's name or id
    node: NodeRef,
}

impl Show {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), Failure> {
        let node = desk.operator.node(&self.node).await?;
        desk.console.show(&node, || description(&node, desk.now()))
    }
}

/// Lets a waiting node in.
#[derive(Args, Debug)]
pub(super) struct Approve {
    /// The node's name or id
    node: NodeRef,
    /// Another name than the one it asked for
    #[arg(long)]
    name: Option<NodeName>,
    /// What it is for; may be repeated
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<Role>,
    /// A mark; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<Tag>,
    /// A network that it may route for; may be repeated
    #[arg(long = "route", value_name = "PREFIX")]
    routes: Vec<Prefix>,
}

impl Approve {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), Failure> {
        let approval = Approval {
            name: self.name,
            roles: BoundedSet::new(self.roles).map_err(Failure::usage)?,
            tags: BoundedSet::new(self.tags).map_err(Failure::usage)?,
            routes: BoundedSet::new(self.routes).map_err(Failure::usage)?,
        };
        let signed = desk.operator.approve(&self.node, &approval).await?;
        let keyring = desk.operator.client().site().keyring;
        let certificate = signed.verify(&keyring, desk.now()).map_err(Failure::new)?;
        desk.console.show(&*certificate, || {
            format!("{} is in, at {}.\n", certificate.name, certificate.ipv4)
        })
    }
}

/// Turns a waiting node away.
#[derive(Args, Debug)]
pub(super) struct Deny {
    /// The node's name or id
    node: NodeRef,
    /// Why, for people
    #[arg(long, default_value = "")]
    reason: Reason,
}

impl Deny {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), Failure> {
        let why = Decision {
            reason: self.reason,
        };
        desk.operator.deny(&self.node, &why).await?;
        let node = self.node.to_string();
        desk.console
            .show(&node, || format!("{node} is turned away.\n"))
    }
}

/// Lets a node that is out come back.
#[derive(Args, Debug)]
pub(super) struct Reinstate {
    /// The node's name or id
    node: NodeRef,
    /// Why, for people
    #[arg(long, default_value = "")]
    reason: Reason,
}

impl Reinstate {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), Failure> {
        let why = Decision {
            reason: self.reason,
        };
        desk.operator.reinstate(&self.node, &why).await?;
        let view = desk.operator.node(&self.node).await.ok(); // not everybody who may do this may look
        let (node, status) = (self.node.to_string(), view.map(|view| view.status));
        desk.console.show(&node, || match status {
            Some(NodeStatus::Readmitted) => {
                format!("{node} may come back; it has to join again, with new keys.\n")
            }
            _ => format!("{node} may come back.\n"),
        })
    }
}
