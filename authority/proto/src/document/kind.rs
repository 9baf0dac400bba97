//! The kinds of documents: their names, numbers, versions and sizes.

use std::fmt;
use std::str::FromStr;

use crate::bytes::{printable, text_serde};
use crate::domain;
use crate::envelope::EnvelopeError;

/// What a document is. Part of what is signed, so that none can be passed off as another.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// The network's constitution.
    Genesis,
    /// A node's membership.
    Certificate,
    /// Who is out.
    RevocationList,
    /// Who may talk to whom.
    Policy,
    /// Whom one node may talk to.
    Roster,
    /// One node's key to an epoch.
    EpochGrant,
    /// The authority's time.
    TimeStatement,
    /// An operator's control action.
    Command,
    /// Where a node is found.
    PeerRecord,
    /// A node's word that it has applied a revocation list.
    Receipt,
    /// The head of the audit log.
    Checkpoint,
}

struct Facts {
    code: u8,
    name: &'static str,
    largest_payload: usize,
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Genesis,
        Self::Certificate,
        Self::RevocationList,
        Self::Policy,
        Self::Roster,
        Self::EpochGrant,
        Self::TimeStatement,
        Self::Command,
        Self::PeerRecord,
        Self::Receipt,
        Self::Checkpoint,
    ];

    /// The largest payload of any kind.
    pub(crate) const LARGEST: usize = 4 * MIB;

    const fn facts(self) -> Facts {
        let (code, name, largest_payload) = match self {
            Self::Genesis => (1, "genesis", 64 * KIB),
            Self::Certificate => (2, "certificate", 8 * KIB),
            Self::RevocationList => (3, "revocation-list", Self::LARGEST),
            Self::Policy => (4, "policy", MIB),
            Self::Roster => (5, "roster", Self::LARGEST),
            Self::EpochGrant => (6, "epoch-grant", 4 * KIB),
            Self::TimeStatement => (7, "time-statement", KIB),
            Self::Command => (8, "command", 4 * KIB),
            Self::PeerRecord => (9, "peer-record", 8 * KIB),
            Self::Receipt => (10, "receipt", KIB),
            Self::Checkpoint => (11, "checkpoint", KIB),
        };
        Facts {
            code,
            name,
            largest_payload,
        }
    }

    /// The versions of this kind that can be read here; a node reports them.
    pub const fn versions(self) -> &'static [u32] {
        &[1]
    }

    /// The kind's name in payload types.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// The most bytes that a payload of this kind may have.
    pub const fn largest_payload(self) -> usize {
        self.facts().largest_payload
    }

    /// The kind's number in the compact form.
    pub(crate) const fn code(self) -> u8 {
        self.facts().code
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The payload type that is signed with a document of this kind.
    pub fn payload_type(self, version: u32) -> String {
        format!(
            "{}{}.v{version}+json",
            domain::PAYLOAD_TYPE_PREFIX,
            self.name()
        )
    }

    /// Kind and version of a payload type; the version need not be one that can be read.
    pub(crate) fn from_payload_type(text: &str) -> Result<(Self, u32), EnvelopeError> {
        let unknown = || EnvelopeError::UnknownType(printable(text, 80));
        let parts = text
            .strip_prefix(domain::PAYLOAD_TYPE_PREFIX)
            .and_then(|rest| rest.strip_suffix("+json"));
        let (name, version) = parts
            .and_then(|rest| rest.split_once(".v"))
            .ok_or_else(unknown)?;
        let kind: Self = name.parse().map_err(|_| unknown())?;
        let number: u32 = version.parse().map_err(|_| unknown())?;
        if number.to_string() == version {
            Ok((kind, number))
        } else {
            Err(unknown())
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no kind's.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no kind of document has this name")]
pub struct UnknownKind;

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or(UnknownKind)
    }
}

text_serde!(Kind);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_kinds_share_a_name_or_a_number() {
        let names: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        let codes: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(
            (names.len(), codes.len()),
            (Kind::ALL.len(), Kind::ALL.len())
        );
        assert!(
            Kind::ALL
                .iter()
                .all(|kind| kind.largest_payload() <= Kind::LARGEST)
        );
    }

    #[test]
    fn a_payload_type_has_one_text() {
        for kind in Kind::ALL {
            assert_eq!(
                Kind::from_payload_type(&kind.payload_type(1)),
                Ok((kind, 1))
            );
        }
        for bad in [
            "application/vnd.tidegate.genesis.v01+json",
            "application/vnd.tidegate.genesis.v1",
            "application/vnd.tidegate.genesis+json",
            "application/vnd.tidegate.Genesis.v1+json",
            "application/vnd.tidegate.genesis.v+1+json",
            "genesis.v1+json",
            "",
        ] {
            assert!(Kind::from_payload_type(bad).is_err(), "{bad}");
        }
    }
}
