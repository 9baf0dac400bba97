//! What the shell is to do.

use std::net::IpAddr;
use std::sync::Arc;

use tidegate_proto::api::{Heartbeat, Recovery};
use tidegate_proto::{NodeKeys, Nonce, PeerRecord, Receipt, Signed};
use tidegate_wg::{Command, PrivateKey};
use zeroize::Zeroizing;

use crate::event::Event;
use crate::file::FileName;
use crate::host::HostWish;

/// Names an order or a file until it is confirmed.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Token(pub u64);

/// One thing to do. Of what one mutation gives, the data plane's comes first.
#[derive(Clone)]
#[non_exhaustive]
pub enum Output {
    /// For the data plane.
    Plane(PlaneOrder),
    /// How the host's network is wanted from now on; `None`: as if Tidegate were not there.
    Host(Option<Arc<HostWish>>),
    /// For the disk.
    Store(Store),
    /// For the authority.
    Ask(Ask),
    /// For the log and whoever follows events.
    Tell(Event),
}

/// For the data plane. Orders are carried out one after the other, and each is answered with
/// [`Applied`](crate::PlaneReport::Applied) or, also where no data plane runs that it could be given to,
/// [`Gone`](crate::PlaneReport::Gone).
#[derive(Clone)]
pub enum PlaneOrder {
    /// Start one, in place of one that may run. It knows nothing; orders to apply follow.
    Start(PlaneStart),
    /// Carry out all of these, with no packet between them (`Control::apply_all`).
    Apply {
        /// Comes back in the report.
        token: Token,
        /// In this order.
        commands: Vec<Command>,
    },
    /// End it, and take the interface away.
    Stop {
        /// Comes back in the report.
        token: Token,
    },
}

impl PlaneOrder {
    /// What comes back in the report.
    pub fn token(&self) -> Token {
        match self {
            Self::Start(start) => start.token,
            Self::Apply { token, .. } | Self::Stop { token } => *token,
        }
    }
}

/// What a data plane begins with.
#[derive(Clone)]
pub struct PlaneStart {
    /// Comes back in the report.
    pub token: Token,
    /// The key of its tunnels.
    pub key: PrivateKey,
    /// The node's overlay addresses.
    pub addresses: Vec<IpAddr>,
    /// Largest inner packet.
    pub mtu: u16,
}

/// A file to write: to a new file beside it (mode 0600), synced, renamed over it, the directory synced. Files are written in the
/// order in which they come, and each is answered with [`Stored`](crate::Input::Stored) or
/// [`NotStored`](crate::Input::NotStored).
#[derive(Clone)]
pub struct Store {
    /// Comes back in the answer.
    pub token: Token,
    /// Which file.
    pub name: FileName,
    /// All of it.
    pub bytes: Arc<Zeroizing<Vec<u8>>>,
}

/// A question or a word to the authority.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Ask {
    /// POST /v1/time. Answer: [`Input::Time`](crate::Input::Time).
    Time(Nonce),
    /// POST /v1/heartbeat. Answer: `Input::Time` with the reply's statement.
    Heartbeat(Box<Heartbeat>),
    /// POST /v1/receipts. Answer: `Input::Answered`.
    Receipt(Signed<Receipt>),
    /// PUT /v1/record. Answer: `Input::Answered`.
    Record(Signed<PeerRecord>),
    /// Renew the certificate with these keys: ask for a challenge, answer it with
    /// [`Member::answer`](crate::Member::answer), and give `Input::Certificate`.
    Renew(Box<NodeKeys>),
    /// Enrol again with these keys, in the same way, after a reinstatement.
    Enroll(Box<NodeKeys>),
    /// GET /v1/genesis, which needs no membership. Answer: `Input::Chain`.
    Chain,
    /// GET /v1/revocations/list, which needs no membership. Answer: `Input::News` with the list.
    List,
    /// POST /v1/recovery, to an authority that was restored from a backup. Answer: `Input::Answered`.
    Recovery(Box<Recovery>),
    /// Close the stream and open it anew without a last event id, so that everything comes again.
    Resync,
}

/// Which question it is. Only one of each is under way, but for receipts and times.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum AskKind {
    /// [`Ask::Time`].
    Time,
    /// [`Ask::Heartbeat`].
    Heartbeat,
    /// [`Ask::Receipt`].
    Receipt,
    /// [`Ask::Record`].
    Record,
    /// [`Ask::Renew`].
    Renew,
    /// [`Ask::Enroll`].
    Enroll,
    /// [`Ask::Chain`].
    Chain,
    /// [`Ask::List`].
    List,
    /// [`Ask::Recovery`].
    Recovery,
    /// [`Ask::Resync`].
    Resync,
}

impl Ask {
    /// Which question it is.
    pub fn kind(&self) -> AskKind {
        match self {
            Self::Time(_) => AskKind::Time,
            Self::Heartbeat(_) => AskKind::Heartbeat,
            Self::Receipt(_) => AskKind::Receipt,
            Self::Record(_) => AskKind::Record,
            Self::Renew(_) => AskKind::Renew,
            Self::Enroll(_) => AskKind::Enroll,
            Self::Chain => AskKind::Chain,
            Self::List => AskKind::List,
            Self::Recovery(_) => AskKind::Recovery,
            Self::Resync => AskKind::Resync,
        }
    }
}
