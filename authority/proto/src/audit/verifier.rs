//! The check of an export, line by line.

use std::collections::BTreeMap;

use super::record::{Record, RecordError, split_record_line};
use crate::chain::{SuccessionError, TrustChain};
use crate::document::{Checkpoint, Genesis};
use crate::envelope::{EnvelopeError, Signed};
use crate::id::{Digest, NetworkId, Revision, Sequence};
use crate::keyring::{Authority, Keyring};
use crate::strict;
use crate::time::UnixTime;
use crate::verify::VerifyError;

/// Longer than any line of an export.
const LONGEST_LINE: usize = 16 * 1024;
const CHECKPOINT: &[u8] = b"{\"checkpoint\":";

/// What is wrong with an audit log, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}, record {record}: {fault}")]
pub struct AuditError {
    /// The line, counted from one.
    pub line: u64,
    /// The record that stands there or should.
    pub record: Sequence,
    /// What is wrong.
    pub fault: Fault,
}

/// What can be wrong with an audit log.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Neither a record nor a checkpoint.
    #[error("this line is neither a record nor a checkpoint, or it was changed")]
    Line,
    /// A line that is too long.
    #[error("this line is longer than any of an export")]
    TooLong,
    /// The export stops within a line.
    #[error("the export is cut off within this line; export it again")]
    CutOff,
    /// A record whose hash is not its own.
    #[error("its hash is not that of its bytes: it was changed")]
    Hash,
    /// Bytes with the right hash that are no record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A record that does not chain to the one before.
    #[error("it does not hold the hash of the record before: one of them was replaced")]
    Chain,
    /// A record that is missing, or stands in the wrong place.
    #[error("record {0} stands in its place: it is missing, or records were moved or repeated")]
    Sequence(Sequence),
    /// No checkpoint in front.
    #[error("an export begins with a checkpoint, and this one does not")]
    NoCheckpoint,
    /// A checkpoint that is not the authority's.
    #[error("the checkpoint is refused: {0}")]
    Checkpoint(VerifyError),
    /// A checkpoint that is no envelope, or a second text of one.
    #[error("the checkpoint cannot be read: {0}")]
    Envelope(EnvelopeError),
    /// A checkpoint in the wrong place.
    #[error("the checkpoint over {0} records does not belong here")]
    Misplaced(Sequence),
    /// A checkpoint over other records than these.
    #[error("the authority signed another record in this place: the log was rewritten")]
    Head,
    /// Records that the checkpoint in front covers and that are not there.
    #[error("the export ends before it, and the checkpoint in front covers {0} records")]
    Truncated(Sequence),
    /// A record behind the last that is covered.
    #[error("it stands behind the last record that the checkpoint in front covers: it was added")]
    Appended,
}

/// What was found to be sound.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Summary {
    /// How many records there are.
    pub records: u64,
    /// The sequence of the last.
    pub last: Sequence,
    /// The last record that a checkpoint covers: what is behind it rests on the chain alone.
    pub covered: Sequence,
    /// How many checkpoints were verified.
    pub checkpoints: u64,
    /// The genesis revision under which the last checkpoint was signed.
    pub revision: Revision,
    /// The newest revision of the network, as far as the chain goes by which the log was judged.
    pub newest: Revision,
}

impl Summary {
    /// Whether keys vouch for the log that the network has replaced since: whoever stole them could have written it.
    pub fn is_superseded(&self) -> bool {
        self.revision < self.newest
    }
}

/// Checks an export as its bytes come, or the log itself record by record. It holds one line at most.
///
/// What it says of records that hold the authority's own signature alone is worth what the keys of that revision are
/// worth: see [`Summary::is_superseded`].
#[derive(Debug)]
pub struct Verifier {
    /// The keys of each revision. A checkpoint is judged by those of its own time.
    keyrings: BTreeMap<Revision, Keyring<Authority>>,
    form: Form,
    partial: Vec<u8>,
    line: u64,
    head: Digest,
    /// The place of the last checkpoint behind its records.
    latest: Option<(Revision, Sequence)>,
    found: Summary,
}

/// What is checked.
#[derive(Debug)]
enum Form {
    /// An export of which the first line has not come.
    Export,
    /// An export, and the checkpoint in front.
    Under(Checkpoint),
    /// The log where it is kept, of which the last records may not be covered yet.
    Log,
}

impl Verifier {
    /// For an export of the network whose genesis chain this is, the first known revision first.
    pub fn of_export(chain: &[Signed<Genesis>]) -> Result<Self, SuccessionError> {
        Self::new(chain, Form::Export)
    }

    /// For the log itself.
    pub fn of_log(chain: &[Signed<Genesis>]) -> Result<Self, SuccessionError> {
        Self::new(chain, Form::Log)
    }

    fn new(chain: &[Signed<Genesis>], form: Form) -> Result<Self, SuccessionError> {
        let (network, keyrings) = keyrings(chain)?;
        let newest = keyrings.last_key_value().map(|(revision, _)| *revision);
        Ok(Self {
            keyrings,
            form,
            partial: Vec::new(),
            line: 0,
            head: Record::before_first(network),
            latest: None,
            found: Summary {
                records: 0,
                last: Sequence::default(),
                covered: Sequence::default(),
                checkpoints: 0,
                revision: Revision::default(),
                newest: newest.unwrap_or_default(),
            },
        })
    }

    /// Takes the next bytes of an export, however they are cut.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), AuditError> {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.partial.len() + part.len() > LONGEST_LINE {
                self.line += 1;
                return Err(self.error(Fault::TooLong));
            }
            self.partial.extend_from_slice(part);
            if let Some(line) = self.partial.strip_suffix(b"\n") {
                let line = line.to_vec();
                self.partial.clear();
                self.take_line(&line)?;
            }
        }
        Ok(())
    }

    /// Takes one line of an export, without its end.
    fn take_line(&mut self, line: &[u8]) -> Result<(), AuditError> {
        self.line += 1;
        let taken = if line.starts_with(CHECKPOINT) {
            self.take_checkpoint_line(line)
        } else if matches!(self.form, Form::Export) {
            Err(Fault::NoCheckpoint)
        } else {
            split_record_line(line)
                .ok_or(Fault::Line)
                .and_then(|(bytes, hash)| self.take_record(bytes, hash))
        };
        taken.map_err(|fault| self.error(fault))
    }

    /// Takes the next record of the log itself: its bytes and its hash.
    pub fn record(&mut self, bytes: &[u8], hash: Digest) -> Result<(), AuditError> {
        self.line += 1;
        self.take_record(bytes, hash)
            .map_err(|fault| self.error(fault))
    }

    /// Takes the next checkpoint of the log itself, behind the last record that it covers.
    pub fn checkpoint(&mut self, signed: &Signed<Checkpoint>) -> Result<(), AuditError> {
        self.line += 1;
        self.take_checkpoint(signed)
            .map_err(|fault| self.error(fault))
    }

    /// Says what was found, once all has been taken.
    pub fn finish(mut self) -> Result<Summary, AuditError> {
        self.line += 1;
        if !self.partial.is_empty() {
            return Err(self.error(Fault::CutOff));
        }
        match &self.form {
            Form::Export => Err(self.error(Fault::NoCheckpoint)),
            Form::Under(front) if self.found.last < front.size => {
                Err(self.error(Fault::Truncated(front.size)))
            }
            Form::Under(_) | Form::Log => Ok(self.found),
        }
    }

    fn take_record(&mut self, bytes: &[u8], hash: Digest) -> Result<(), Fault> {
        if Record::hash(bytes) != hash {
            return Err(Fault::Hash);
        }
        let record = Record::from_bytes(bytes)?;
        let next = self.next_sequence();
        let jumps = record.event.as_str() == Record::RESTORED && record.sequence > next;
        if record.sequence != next && !jumps {
            return Err(Fault::Sequence(record.sequence));
        }
        if record.previous != self.head {
            return Err(Fault::Chain);
        }
        if let Form::Under(front) = &self.form {
            if record.sequence > front.size {
                return Err(Fault::Appended);
            }
            if record.sequence == front.size {
                if hash != front.head {
                    return Err(Fault::Head);
                }
                self.found.covered = front.size;
            }
        }
        self.head = hash;
        self.found.last = record.sequence;
        self.found.records += 1;
        Ok(())
    }

    fn take_checkpoint_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        let json = line
            .strip_prefix(CHECKPOINT)
            .and_then(|rest| rest.strip_suffix(b"}"))
            .ok_or(Fault::Line)?;
        let signed = Signed::<Checkpoint>::from_json(json).map_err(Fault::Envelope)?;
        if signed.to_json() != json {
            return Err(Fault::Line);
        }
        self.take_checkpoint(&signed)
    }

    fn take_checkpoint(&mut self, signed: &Signed<Checkpoint>) -> Result<(), Fault> {
        let checkpoint = self.verified(signed)?;
        match &self.form {
            Form::Export => {
                self.found.revision = checkpoint.revision;
                self.form = Form::Under(checkpoint);
            }
            Form::Under(front) => {
                let place = (checkpoint.revision, checkpoint.size);
                if place >= (front.revision, front.size) {
                    return Err(Fault::Misplaced(checkpoint.size));
                }
                self.compare(&checkpoint)?;
            }
            Form::Log => {
                self.compare(&checkpoint)?;
                self.found.revision = checkpoint.revision;
            }
        }
        self.found.checkpoints += 1;
        Ok(())
    }

    /// Whether a checkpoint is over the records that came so far.
    fn compare(&mut self, checkpoint: &Checkpoint) -> Result<(), Fault> {
        let size = checkpoint.size;
        let place = (checkpoint.revision, size);
        if size != self.found.last || self.found.records == 0 || Some(place) <= self.latest {
            return Err(Fault::Misplaced(size));
        }
        if checkpoint.head != self.head {
            return Err(Fault::Head);
        }
        self.latest = Some(place);
        self.found.covered = size;
        Ok(())
    }

    /// The checkpoint, if the keys of its own revision signed it.
    fn verified(&self, signed: &Signed<Checkpoint>) -> Result<Checkpoint, Fault> {
        let revision = signed.read().map_err(Fault::Checkpoint)?.revision;
        let keyring = self
            .keyrings
            .get(&revision)
            .ok_or(Fault::Checkpoint(VerifyError::OtherRevision(revision)))?;
        let verified = signed
            .verify(keyring, UnixTime::default())
            .map_err(Fault::Checkpoint)?;
        Ok((*verified).clone())
    }

    fn next_sequence(&self) -> Sequence {
        self.found.last.next().unwrap_or(Sequence::MAX)
    }

    fn error(&self, fault: Fault) -> AuditError {
        AuditError {
            line: self.line,
            record: self.next_sequence(),
            fault,
        }
    }
}

/// The keys of every revision of a chain.
fn keyrings(
    genesis: &[Signed<Genesis>],
) -> Result<(NetworkId, BTreeMap<Revision, Keyring<Authority>>), SuccessionError> {
    let mut all = genesis.iter();
    let first = all
        .next()
        .ok_or(SuccessionError::Refused(VerifyError::Unreadable(
            strict::ReadError::MissingMember("genesis"),
        )))?;
    let mut chain = TrustChain::trusting(first)?;
    let mut keyrings = BTreeMap::new();
    keyrings.insert(chain.genesis().revision, chain.keyring()?);
    for next in all {
        chain.succeed(next)?;
        keyrings.insert(chain.genesis().revision, chain.keyring()?);
    }
    Ok((chain.network(), keyrings))
}
