//! The member as people see it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use tidegate_proto::{
    EpochNumber, ListPlace, NodeId, NodeName, Prefix, Reason, Revision, RevocationKind, Role,
    Sequence, Serial, Span, Tag, UnixTime, WgPublicKey,
};
use tidegate_wg::PeerId;

/// What the node is doing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum State {
    /// The user wants it so.
    Down,
    /// Something is still to come before data can flow.
    Waiting(Waiting),
    /// Data flows.
    Up,
    /// Data does not flow, and it will by itself once the reason is gone.
    Stopped(Stopped),
}

/// What is still to come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Waiting {
    /// The authority's time.
    Time,
    /// A revocation list.
    List,
    /// The key to an epoch.
    Grant,
    /// The start of the first epoch that there is a key for.
    Epoch,
    /// The data plane, and why there is none where one has failed.
    Plane(Option<String>),
}

/// Why data does not flow.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stopped {
    /// The node is on the revocation list.
    Out {
        /// Revoked or suspended.
        kind: RevocationKind,
        /// Why, in the operator's words.
        reason: Reason,
        /// When it was decided.
        since: UnixTime,
    },
    /// The last lease has ended, and nothing newer has come.
    LeaseEnded(UnixTime),
    /// The certificate has ended.
    CertificateEnded(UnixTime),
    /// There is no certificate that counts.
    NoCertificate,
    /// A succession has ended the trust in what there was, and nothing new has come.
    Untrusted,
    /// The root has signed two documents for one revision.
    Siblings(Revision),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down => f.write_str("down, as you wanted; `tidegate up` brings it back"),
            Self::Waiting(waiting) => waiting.fmt(f),
            Self::Up => f.write_str("up"),
            Self::Stopped(stopped) => stopped.fmt(f),
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Time => {
                "waiting for the authority's time: see whether the authority can be reached"
            }
            Self::List => {
                "waiting for the revocation list: see whether the authority can be reached"
            }
            Self::Grant => {
                "waiting for the key to the current epoch: see whether the authority can be reached"
            }
            Self::Epoch => "waiting for the next epoch to begin",
            Self::Plane(None) => "waiting for the data plane to start",
            Self::Plane(Some(why)) => {
                return write!(f, "the data plane does not run, and is tried again: {why}");
            }
        };
        f.write_str(text)
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Out { kind: RevocationKind::Revoked, reason, since } => write!(
                f,
                "this node was revoked at {since} ({reason}); only an operator can let it back in, and then it returns by itself"
            ),
            Self::Out { kind: RevocationKind::Suspended, reason, since } => write!(
                f,
                "this node is suspended since {since} ({reason}); it returns by itself when that is lifted"
            ),
            Self::LeaseEnded(at) => write!(
                f,
                "the lease ended at {at} because the authority was not heard; it returns by itself when the authority can be reached"
            ),
            Self::CertificateEnded(at) => write!(
                f,
                "the certificate ended at {at} and was not renewed; see why the authority refuses or cannot be reached"
            ),
            Self::NoCertificate => f.write_str(
                "there is no certificate that counts; it is asked for again, or join the network anew",
            ),
            Self::Untrusted => f.write_str(
                "the network has new authority keys, and nothing signed with them has come yet; see whether the authority can be reached",
            ),
            Self::Siblings(revision) => write!(
                f,
                "the root has signed two different geneses for revision {revision}; ask the network's operators before anything else"
            ),
        }
    }
}

/// The member as a whole. Holds no secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// The network's name.
    pub network: String,
    /// The genesis revision in force.
    pub revision: Revision,
    /// This node.
    pub node: NodeId,
    /// Its certificate.
    pub certificate: Option<CertificateView>,
    /// The epochs at hand, oldest first.
    pub epochs: Vec<EpochView>,
    /// The clocks.
    pub clock: ClockView,
    /// The revocation list in force.
    pub list: Option<ListView>,
    /// The policy in force.
    pub policy: Option<Sequence>,
    /// The roster in force.
    pub roster: Option<Sequence>,
    /// Whether the stream is open.
    pub stream: bool,
    /// The peers, by name.
    pub peers: Vec<PeerView>,
    /// Networks that would be accepted and are not, because they hold the way to the node that leads there.
    pub loops: Vec<(Prefix, NodeId)>,
    /// Renewals that failed since the last that did not, and what the authority said last.
    pub renewals_failed: u32,
    /// What the authority said to the last renewal that failed.
    pub renewal_refused: Option<String>,
}

/// A certificate, as people see it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateView {
    /// The node's name.
    pub name: NodeName,
    /// Its addresses.
    pub addresses: [IpAddr; 2],
    /// Its serial.
    pub serial: Serial,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Networks that the node may route for.
    pub routes: Vec<Prefix>,
    /// First moment.
    pub not_before: UnixTime,
    /// End.
    pub not_after: UnixTime,
    /// When it is renewed.
    pub renew_at: UnixTime,
}

/// An epoch, as people see it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EpochView {
    /// Its number.
    pub epoch: EpochNumber,
    /// How often its secret was drawn again.
    pub redraw: u32,
    /// When sending begins.
    pub starts: UnixTime,
    /// When sending passes to the next.
    pub ends: UnixTime,
    /// When it must not be used any more.
    pub lease_until: UnixTime,
    /// How long that is from now.
    pub left: Span,
    /// Whether we send in it.
    pub active: bool,
    /// Whether it waits for a list, a time or room.
    pub held: bool,
}

/// How the authority's time is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClockSource {
    /// Not at all: no lease counts.
    None,
    /// From the host's real-time clock after a reboot, which the policy permits.
    RealTimeClock,
    /// From the authority's signed word.
    Statement,
}

/// The clocks, as people see them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClockView {
    /// How the authority's time is known.
    pub source: ClockSource,
    /// The authority's time.
    pub time: UnixTime,
    /// How many milliseconds the wall clock is ahead of it.
    pub wall_ahead: i64,
    /// How old the last statement is.
    pub age: Option<Span>,
}

/// A revocation list, as people see it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListView {
    /// Its place.
    pub place: ListPlace,
    /// How many are on it.
    pub entries: usize,
    /// When it was signed.
    pub issued_at: UnixTime,
    /// When the next was due.
    pub next_update: UnixTime,
    /// Whether it is on the disk.
    pub stored: bool,
    /// Whether the authority has the receipt.
    pub confirmed: bool,
}

/// A peer, as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerView {
    /// Its number in the data plane.
    pub id: PeerId,
    /// Its certificate.
    pub certificate: CertificateView,
    /// Its id.
    pub node: NodeId,
    /// Its WireGuard key.
    pub key: WgPublicKey,
    /// Where to try, best first.
    pub candidates: Vec<SocketAddr>,
    /// Networks behind it that are routed here.
    pub routes: Vec<Prefix>,
    /// When packets last passed, by the authority's time.
    pub used: Option<UnixTime>,
}
