//! One record of the audit log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::domain;
use crate::id::{Digest, NetworkId, Sequence};
use crate::name::{Label, Reason};
use crate::strict::{self, ReadError};
use crate::time::{MAX_INTEGER, UnixTime};

/// Something worth knowing about an event: never a secret.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Fact {
    /// A number, or a time in milliseconds.
    Number(u64),
    /// One line of text.
    Text(Reason),
}

impl Fact {
    /// A number; one that JSON cannot hold exactly becomes the greatest that it can.
    pub fn number(value: u64) -> Self {
        Self::Number(value.min(MAX_INTEGER))
    }
}

/// What else is known of an event, by name.
pub type Facts = BTreeMap<Label, Fact>;

/// What happened, who decided, and when.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Record {
    /// Its place in the log.
    pub sequence: Sequence,
    /// When, by the authority's clock.
    pub at: UnixTime,
    /// What happened: a name that keeps its meaning.
    pub event: Label,
    /// Who did it.
    pub actor: Reason,
    /// What it was done to.
    pub object: Reason,
    /// What else is known.
    pub detail: Facts,
    /// The hash of the record before.
    pub previous: Digest,
}

/// Why bytes are no record.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RecordError {
    /// Not the JSON of a record.
    #[error("it is no audit record: {0}")]
    Read(#[from] ReadError),
    /// A second text for the same record.
    #[error("it is not written as records are")]
    NotCanonical,
}

impl Record {
    /// The event of the one record whose sequence may lie further up: a backup was put back.
    pub const RESTORED: &'static str = "authority.restored";
    /// The most bytes that a record may have.
    pub const LARGEST: usize = 8 * 1024;

    /// What the first record of a network's log holds in place of the hash before.
    pub fn before_first(network: NetworkId) -> Digest {
        hash(domain::AUDIT_LOG, network.as_bytes())
    }

    /// The bytes that are hashed, stored and exported. `None` if they would be too many.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(self)
            .ok()
            .filter(|bytes| bytes.len() <= Self::LARGEST)
    }

    /// Reads a record. There is one text for each.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let record: Self = strict::read(bytes, Self::LARGEST)?;
        if record.to_bytes().as_deref() == Some(bytes) {
            Ok(record)
        } else {
            Err(RecordError::NotCanonical)
        }
    }

    /// The hash over a record's bytes.
    pub fn hash(bytes: &[u8]) -> Digest {
        hash(domain::AUDIT_RECORD, bytes)
    }

    /// The sequence that follows `last` for an event that happens at `now`.
    pub fn sequence_after(last: Sequence, event: &str, now: UnixTime) -> Option<Sequence> {
        let next = last.next()?;
        if event == Self::RESTORED {
            Sequence::new(now.as_millis()).map(|jumped| jumped.max(next))
        } else {
            Some(next)
        }
    }
}

/// SHA-256 of `domain`, a zero byte and `bytes`.
fn hash(domain: &str, bytes: &[u8]) -> Digest {
    let hash = Sha256::new()
        .chain_update(domain)
        .chain_update([0])
        .chain_update(bytes)
        .finalize();
    Digest::from_bytes(hash.into())
}

/// A record with its hash: one line of an export.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Chained {
    /// The record.
    pub record: Record,
    /// The hash over its bytes.
    pub hash: Digest,
}

/// The line of a record of which the bytes are at hand, without its end.
pub(super) fn record_line(bytes: &[u8], hash: Digest) -> Vec<u8> {
    let hash = format!(",\"hash\":\"{hash}\"}}");
    [b"{\"record\":", bytes, hash.as_bytes()].concat()
}

/// The record's bytes and the hash of such a line.
pub(super) fn split_record_line(line: &[u8]) -> Option<(&[u8], Digest)> {
    let inner = line
        .strip_prefix(b"{\"record\":")
        .and_then(|rest| rest.strip_suffix(b"\"}"))?;
    let (rest, hash) = inner.split_at_checked(inner.len().checked_sub(44)?)?;
    let hash = std::str::from_utf8(hash).ok()?.parse().ok()?;
    Some((rest.strip_suffix(b",\"hash\":\"")?, hash))
}

impl Chained {
    /// The line of an export, without its end, around a record's bytes.
    pub fn line(bytes: &[u8], hash: Digest) -> Vec<u8> {
        record_line(bytes, hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            sequence: Sequence::new(7).unwrap(),
            at: UnixTime::from_millis(1_790_000_000_000),
            event: "node.revoked".parse().unwrap(),
            actor: "operator:jane@example.org".parse().unwrap(),
            object: "nodeabc".parse().unwrap(),
            detail: [
                ("reason", Fact::Text("laptop \"lost\"".parse().unwrap())),
                ("list", Fact::number(u64::MAX)),
            ]
            .map(|(name, fact)| (name.parse().unwrap(), fact))
            .into(),
            previous: Digest::of(b"before"),
        }
    }

    #[test]
    fn a_record_has_one_text() {
        let record = record();
        let bytes = record.to_bytes().unwrap();
        assert_eq!(Record::from_bytes(&bytes), Ok(record));
        let text = String::from_utf8(bytes).unwrap();
        for other in [
            text.replace("\"at\"", " \"at\""),
            text.replace("jane", "j\\u0061ne"),
            text.replace("list", "List"),
            text.replace("\"detail\":{", "\"detail\":{\"x\":1.5,"),
            text.replace("\"at\":", "\"extra\":1,\"at\":"),
        ] {
            assert!(Record::from_bytes(other.as_bytes()).is_err(), "{other}");
        }
    }

    #[test]
    fn a_line_gives_back_the_bytes_and_the_hash() {
        let bytes = record().to_bytes().unwrap();
        let hash = Record::hash(&bytes);
        let line = Chained::line(&bytes, hash);
        assert_eq!(split_record_line(&line), Some((&bytes[..], hash)));
        let chained = Chained {
            record: record(),
            hash,
        };
        assert_eq!(serde_json::to_vec(&chained).unwrap(), line);
    }

    #[test]
    fn only_a_restored_log_jumps() {
        let (last, now) = (Sequence::new(5).unwrap(), UnixTime::from_millis(1000));
        let after = |event| Record::sequence_after(last, event, now).unwrap().value();
        assert_eq!((after("node.revoked"), after(Record::RESTORED)), (6, 1000));
    }
}
