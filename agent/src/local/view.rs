//! What the daemon tells about itself: one answer that every page of the command line is made of.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// What the node is doing.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// It has asked to be let in.
    Pending,
    /// Something is still to come before data can flow.
    Waiting,
    /// Data flows.
    Up,
    /// The user wants it so.
    Down,
    /// This node is revoked.
    Revoked,
    /// This node is suspended.
    Suspended,
    /// The lease has ended without news.
    LeaseEnded,
    /// The certificate has ended.
    Expired,
    /// What the authority signed cannot be trusted.
    Untrusted,
}

/// Everything about the node.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct StatusView {
    /// The program's version.
    pub version: String,
    /// What it is doing.
    pub state: NodeState,
    /// The same as a sentence: why, and what to do.
    pub explanation: String,
    /// The network's name.
    pub network: String,
    /// The genesis revision in force.
    pub revision: u64,
    /// The node's id.
    pub node: String,
    /// Its certificate.
    pub certificate: Option<CertificateView>,
    /// The epochs at hand, oldest first.
    pub epochs: Vec<EpochView>,
    /// The authority.
    pub authority: AuthorityView,
    /// The clocks.
    pub clock: ClockView,
    /// The revocation list in force.
    pub list: Option<ListView>,
    /// The policy's version.
    pub policy: Option<u64>,
    /// The roster's version.
    pub roster: Option<u64>,
    /// The data plane, while it runs.
    pub plane: Option<PlaneView>,
    /// The host's network.
    pub host: NetworkView,
    /// The peers, by name.
    pub peers: Vec<PeerView>,
    /// Names answered by the resolver on the overlay, where that is on.
    pub dns: Option<String>,
    /// Documents that were not accepted since the start, where there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedView>,
}

/// Documents that were not accepted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RefusedView {
    /// How many.
    pub count: u64,
    /// The last of them: what, why and from where.
    pub last: String,
    /// When that was, in milliseconds since 1970 by the authority's time.
    pub at_ms: u64,
}

/// A certificate.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CertificateView {
    /// The node's name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its serial.
    pub serial: u64,
    /// Its roles.
    pub roles: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Networks that it may route for.
    pub routes: Vec<String>,
    /// First moment, in milliseconds since 1970.
    pub not_before_ms: u64,
    /// End.
    pub not_after_ms: u64,
    /// When it is renewed.
    pub renew_at_ms: u64,
    /// Renewals that failed since the last that did not.
    pub renewals_failed: u32,
    /// What the authority said to the last of them.
    pub renewal_refused: Option<String>,
}

/// An epoch.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EpochView {
    /// Its number.
    pub number: u64,
    /// How often its secret was drawn again.
    pub redraw: u32,
    /// When sending begins.
    pub starts_ms: u64,
    /// When sending passes to the next.
    pub ends_ms: u64,
    /// When it must not be used any more.
    pub lease_until_ms: u64,
    /// How long that is from now.
    pub left_ms: u64,
    /// Whether we send in it.
    pub active: bool,
    /// Whether it waits for a list, a time or room.
    pub held: bool,
}

/// The authority, as seen from here.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct AuthorityView {
    /// Where it is.
    pub url: String,
    /// Whether its stream is open, or its last answer was one.
    pub reachable: bool,
    /// Whether the stream is open.
    pub stream: bool,
    /// When it was heard last, in milliseconds since 1970 by this host's clock.
    pub heard_ms: Option<u64>,
    /// What went wrong last, while it is not reachable.
    pub trouble: Option<String>,
}

/// The clocks.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ClockView {
    /// How the authority's time is known: `none`, `real-time-clock` or `statement`.
    pub source: String,
    /// The authority's time.
    pub time_ms: u64,
    /// How far the wall clock is ahead of it.
    pub wall_ahead_ms: i64,
    /// How old its last word is.
    pub age_ms: Option<u64>,
}

/// A revocation list.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ListView {
    /// The genesis revision whose keys sign it.
    pub revision: u64,
    /// Its sequence.
    pub sequence: u64,
    /// How many are on it.
    pub entries: usize,
    /// When it was signed.
    pub issued_ms: u64,
    /// When the next was due.
    pub next_update_ms: u64,
    /// Whether it is on the disk.
    pub stored: bool,
    /// Whether the authority has the receipt.
    pub confirmed: bool,
}

/// The data plane.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PlaneView {
    /// The interface.
    pub interface: String,
    /// The UDP port.
    pub port: u16,
    /// The epoch that we prefer to send in.
    pub epoch: Option<u64>,
    /// Bytes of inner packets sent.
    pub sent_bytes: u64,
    /// Bytes of inner packets received.
    pub received_bytes: u64,
    /// Flows that the filter remembers.
    pub flows: usize,
    /// Tunnels that exist.
    pub tunnels: usize,
    /// Dropped packets by reason, those that occurred.
    pub discards: BTreeMap<String, u64>,
    /// Offloads in use.
    pub offloads: Vec<String>,
    /// How often it was started.
    pub starts: u64,
}

/// The host's network.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct NetworkView {
    /// Whether everything that is wanted is in place.
    pub settled: bool,
    /// What could not be done or is left out.
    pub complaints: Vec<String>,
    /// How often something that others changed was put right.
    pub repairs: u64,
    /// Routes into the overlay.
    pub routes: Vec<RouteView>,
}

/// A route into the overlay.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RouteView {
    /// The prefix.
    pub prefix: String,
    /// The node that it leads to, by name; none for the overlay as a whole.
    pub via: Option<String>,
    /// Why it is not taken, where it is not.
    pub refused: Option<String>,
}

/// A peer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct PeerView {
    /// Its name.
    pub name: String,
    /// Its id.
    pub node: String,
    /// Its WireGuard key.
    pub key: String,
    /// Its overlay addresses.
    pub addresses: Vec<IpAddr>,
    /// Networks behind it that are routed there.
    pub routes: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Where its packets go.
    pub endpoint: Option<SocketAddr>,
    /// Where it may be found, best first.
    pub candidates: Vec<SocketAddr>,
    /// Age of the last handshake.
    pub handshake_age_ms: Option<u64>,
    /// The last round trip inside the tunnel.
    pub latency_us: Option<u64>,
    /// Bytes of inner packets sent.
    pub sent_bytes: u64,
    /// Bytes of inner packets received.
    pub received_bytes: u64,
    /// The epoch that we send in.
    pub epoch: Option<u64>,
    /// End of its certificate.
    pub not_after_ms: u64,
}

/// What became of a ping.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct PingView {
    /// The peer's name.
    pub name: String,
    /// The address that was pinged.
    pub address: IpAddr,
    /// Where its packets go.
    pub endpoint: Option<SocketAddr>,
    /// From seal to open; none if no answer came in time.
    pub round_trip_us: Option<u64>,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As it should be.
    Healthy,
    /// It cannot be told.
    Unknown,
    /// It works, and somebody should look.
    Degraded,
    /// It does not work.
    Unhealthy,
}

/// One thing that can go wrong.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CheckView {
    /// What.
    pub name: String,
    /// How bad.
    pub level: Level,
    /// What was found, and what to do about it.
    pub detail: String,
}

/// How it stands with what can go wrong.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HealthView {
    /// The worst of all.
    pub level: Level,
    /// Each by itself.
    pub checks: Vec<CheckView>,
}
