//! How the host's network is wanted.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tidegate_proto::Prefix;

/// Whether packets may flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Traffic {
    /// Routes lead to the device, with `unreachable` ones behind them.
    Flows,
    /// Only the `unreachable` routes are there.
    Stopped,
}

/// How the host's network is wanted. Every prefix stays guarded by an `unreachable` route until the user says `down`,
/// so that nothing meant for the overlay leaves in clear (THREATS H1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostWish {
    /// Whether packets may flow.
    pub traffic: Traffic,
    /// Our overlay addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// The overlay's own prefixes: ranges, and routes into the overlay.
    pub overlay: BTreeSet<Prefix>,
    /// Accepted networks behind other nodes, also those whose node is gone. No default routes.
    pub subnets: BTreeSet<Prefix>,
    /// Whether everything else leaves through a node, by family: `0.0.0.0/0`, `::/0`, both or none.
    pub exit: BTreeSet<Prefix>,
    /// Networks that this host forwards to; a default route makes it an exit.
    pub serve: BTreeSet<Prefix>,
    /// Largest packet.
    pub mtu: u16,
}
