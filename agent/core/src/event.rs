//! What people may want to know, as it happens.

use std::fmt;

use tidegate_proto::{
    EpochNumber, ListPlace, NodeId, NodeName, Prefix, Sequence, Serial, UnixTime,
};

use crate::file::FileName;
use crate::status::State;

/// Where something came from that was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// The authority, or somebody in its place.
    Network,
    /// A file of ours.
    File(FileName),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network => f.write_str("what the authority sent"),
            Self::File(name) => write!(f, "the file '{name}'"),
        }
    }
}

/// Something that happened. [`fmt::Display`] gives the sentence for a log.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The node's state is another.
    State(State),
    /// A document was not accepted; nothing has changed.
    Refused {
        /// Which kind.
        what: &'static str,
        /// Where it came from.
        source: Source,
        /// Why.
        why: String,
    },
    /// Two root-signed documents for one revision: the root key is stolen or misused. Nothing is trusted any more.
    Siblings,
    /// A genesis succession is in force.
    Genesis(Sequence),
    /// A revocation list is in force.
    List {
        /// Its place.
        place: ListPlace,
        /// How many peers it put out here.
        removed: usize,
    },
    /// A receipt for this list was signed.
    Receipt(ListPlace),
    /// The authority was restored from a backup, and is told what this node holds.
    AuthorityRecovers,
    /// A policy is in force.
    Policy(Sequence),
    /// A peer is known now.
    PeerJoined {
        /// Its id.
        node: NodeId,
        /// Its name.
        name: NodeName,
    },
    /// A peer is not known any more.
    PeerLeft {
        /// Its id.
        node: NodeId,
        /// Its name.
        name: NodeName,
        /// Whether it left because it is on the revocation list.
        listed: bool,
    },
    /// The key to an epoch is usable.
    Granted {
        /// Which epoch.
        epoch: EpochNumber,
        /// Until when.
        lease_until: UnixTime,
    },
    /// Sending has passed to this epoch.
    Switched(EpochNumber),
    /// An epoch is not used any more.
    Retired(EpochNumber),
    /// This node has a new certificate.
    Certified {
        /// Its serial.
        serial: Serial,
        /// Its end.
        not_after: UnixTime,
    },
    /// An accepted network holds the way to the node that leads there; it is not routed.
    RouteLoop {
        /// The network.
        route: Prefix,
        /// The node.
        node: NodeId,
    },
    /// The wall clock differs from the authority's by so many milliseconds (positive: it is ahead).
    ClockOff(i64),
    /// A file could not be written; what it holds is not confirmed to anybody.
    NotStored(FileName),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(state) => write!(f, "{state}"),
            Self::Refused { what, source, why } => {
                write!(f, "a {what} was refused, and nothing changed: {why} (from {source})")
            }
            Self::Siblings => f.write_str(
                "the root has signed two different geneses for one revision; nothing is trusted until an operator has found out why",
            ),
            Self::Genesis(revision) => write!(f, "genesis revision {revision} is in force"),
            Self::List { place, removed } => write!(
                f,
                "revocation list {}.{} is in force; {removed} peers went",
                place.revision, place.sequence
            ),
            Self::Receipt(place) => write!(
                f,
                "confirmed revocation list {}.{} with a receipt",
                place.revision, place.sequence
            ),
            Self::AuthorityRecovers => f.write_str(
                "the authority was restored from a backup; it is told what this node knows of the time since",
            ),
            Self::Policy(version) => write!(f, "policy {version} is in force"),
            Self::PeerJoined { name, .. } => write!(f, "{name} is a peer now"),
            Self::PeerLeft { name, listed: true, .. } => write!(f, "{name} was put out"),
            Self::PeerLeft { name, .. } => write!(f, "{name} is not a peer any more"),
            Self::Granted { epoch, lease_until } => {
                write!(f, "epoch {epoch} may be used until {lease_until}")
            }
            Self::Switched(epoch) => write!(f, "sending in epoch {epoch}"),
            Self::Retired(epoch) => write!(f, "epoch {epoch} is not used any more"),
            Self::Certified { serial, not_after } => {
                write!(f, "certificate {serial} counts until {not_after}")
            }
            Self::RouteLoop { route, node } => write!(
                f,
                "the route {route} is not taken: it holds the way to {node}, which leads there"
            ),
            Self::ClockOff(millis) => {
                let side = if *millis < 0 { "behind" } else { "ahead of" };
                write!(
                    f,
                    "the wall clock is {} ms {side} the authority's time, which counts; correct the clock",
                    millis.unsigned_abs()
                )
            }
            Self::NotStored(name) => write!(
                f,
                "the file '{name}' could not be written; see whether the disk is full"
            ),
        }
    }
}
