//! The events of a node's stream.

use serde::{Deserialize, Serialize};

use crate::bounded::BoundedList;
use crate::document::{Certificate, EpochGrant, Genesis, PeerRecord, RevocationList, Roster};
use crate::envelope::Signed;
use crate::net::Endpoint;
use crate::policy::Policy;

/// The header of a stream's answer that says whether it goes on where the client's last one ended: `true`, or `false`
/// where it begins with everything that holds now.
pub const RESUMED_HEADER: &str = "tidegate-resumed";

/// A grant and the revocation list that it must be used with, in one.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GrantWithList {
    /// The grant.
    pub grant: Signed<EpochGrant>,
    /// The list.
    pub list: Signed<RevocationList>,
}

/// A node's own word on where it is found, and where the authority saw it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RecordWithHint {
    /// What the node signed.
    pub record: Signed<PeerRecord>,
    /// Where its last record came from: an unsigned hint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_from: Option<Endpoint>,
}

/// A roster, full or a delta, with the certificates that it names, and where their nodes are found.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RosterUpdate {
    /// Who is in, and who is out.
    pub roster: Signed<Roster>,
    /// The certificates of those who are in, in the order of the roster's entries.
    pub certificates: BoundedList<Signed<Certificate>, 20_000>,
    /// Where they are found, as far as they have said so.
    pub records: BoundedList<RecordWithHint, 20_000>,
}

/// One event of a node's stream. Its name there is the variant's.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamEvent {
    /// A succession of genesis.
    Genesis(Signed<Genesis>),
    /// Who is out.
    List(Signed<RevocationList>),
    /// The node's own certificate, where the authority issued it anew by itself, as after a succession.
    Certificate(Signed<Certificate>),
    /// Who may talk to whom.
    Policy(Signed<Policy>),
    /// Whom the node may talk to.
    Roster(RosterUpdate),
    /// Where a peer is found now.
    Record(RecordWithHint),
    /// The node's key to an epoch.
    Grant(GrantWithList),
}

impl StreamEvent {
    /// Every name that an event has in the stream.
    pub const NAMES: &'static [&'static str] = &[
        "genesis",
        "list",
        "certificate",
        "policy",
        "roster",
        "record",
        "grant",
    ];

    /// The event's name in the stream.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Genesis(_) => "genesis",
            Self::List(_) => "list",
            Self::Certificate(_) => "certificate",
            Self::Policy(_) => "policy",
            Self::Roster(_) => "roster",
            Self::Record(_) => "record",
            Self::Grant(_) => "grant",
        }
    }
}
