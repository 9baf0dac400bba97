//! What the member is told.

use std::collections::BTreeSet;
use std::time::Duration;

use tidegate_proto::api::StreamEvent;
use tidegate_proto::{Certificate, Endpoint, Genesis, NodeName, Prefix, Signed, TimeStatement};
use tidegate_wg::PeerId;

use crate::output::{AskKind, Token};

/// One thing that has happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// The authority sent this, on the stream or because it was fetched. Nothing about it has been verified.
    News(Box<StreamEvent>),
    /// The chain of geneses, as fetched; those that are known do no harm.
    Chain(Vec<Signed<Genesis>>),
    /// The authority said what time it is.
    Time(Signed<TimeStatement>),
    /// A certificate of this node came.
    Certificate(Signed<Certificate>),
    /// The stream is open.
    StreamOpened,
    /// The stream is closed, or was silent for too long.
    StreamClosed,
    /// The authority did not open the stream.
    StreamRefused {
        /// The problem's code.
        code: String,
    },
    /// What became of an [`Ask`](crate::Ask) that has no other answer.
    Answered(AskKind, Answer),
    /// A file is on the disk, synced with its directory.
    Stored(Token),
    /// A file could not be written.
    NotStored(Token),
    /// The data plane says.
    Plane(PlaneReport),
    /// The user wants the network up or down. It is remembered.
    Wish(Wish),
    /// The configuration has changed.
    Choices(Choices),
    /// Where this host may be reached, best first.
    Endpoints(Vec<Endpoint>),
}

/// What became of a question to the authority.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// It was taken.
    Done,
    /// It was not.
    Failed(Failure),
}

/// Why the authority did not do what it was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// It cannot be reached, or cannot answer now.
    Unreachable,
    /// It says no: the problem's code and detail.
    Refused {
        /// The code, which never changes its meaning.
        code: String,
        /// The sentence for people.
        detail: String,
    },
}

/// What the data plane says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PlaneReport {
    /// This order is carried out, and so is every one before it.
    Applied(Token),
    /// Of all that was ordered up to this one, nothing runs: the data plane did not start, refused a command, hangs, or has
    /// ended. The shell has dropped it (nothing flows) and starts another when it is told to.
    Gone {
        /// The last order that this is about. What was ordered after it is another matter.
        order: Token,
        /// What happened and what to do about it, for people.
        why: String,
    },
    /// The engine says.
    Event(tidegate_wg::Event),
    /// Packets of these peers have passed since the last look.
    Used(Vec<PeerId>),
}

/// What the user wants.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Wish {
    /// Be in the network.
    #[default]
    Up,
    /// Be out of it, and keep identity and state. Routes go as well: the user said so.
    Down,
}

/// Which advertised networks are routed into the overlay.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Accept {
    /// None.
    #[default]
    None,
    /// All but default routes.
    All,
    /// Those within one of these.
    Within(BTreeSet<Prefix>),
}

/// What the host's owner has chosen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Choices {
    /// Networks behind other nodes that this host routes to.
    pub accept: Accept,
    /// The node through which everything leaves that has no better route.
    pub exit: Option<NodeName>,
    /// Networks that this host routes for, as far as its certificate says so too.
    pub serve: BTreeSet<Prefix>,
    /// Send something to each peer in use at least this often.
    pub keepalive: Option<Duration>,
    /// Largest inner packet.
    pub mtu: u16,
}

impl Default for Choices {
    fn default() -> Self {
        Self {
            accept: Accept::None,
            exit: None,
            serve: BTreeSet::new(),
            keepalive: None,
            mtu: 1420,
        }
    }
}
