//! Whom the node may talk to, by the authority's word, and what is known of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_proto::api::{RecordWithHint, RosterUpdate};
use tidegate_proto::{
    Authority, Certificate, Digest, Endpoint, KeyId, Keyring, Latest, NodeId, Ordered as _,
    PeerRecord, PublicKey, Roster as Document, RosterError, Sequence, Serial, Signed, UnixTime,
    Verified, VerifyError,
};

use crate::kept::Kept;

/// More changes than this on top of a full roster, and the next one has to be full.
const MOST_DELTAS: usize = 200;
/// More are not even taken: whoever sends them does not send what is asked for.
const TOO_MANY_DELTAS: usize = 2 * MOST_DELTAS;
/// Identities whose highest serial is remembered.
const MOST_SERIALS: usize = 40_000;

/// Why a roster was not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum RosterRefusal {
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Apply(#[from] RosterError),
    #[error("it is another node's")]
    OtherNode,
    #[error("it changes a roster that is not at hand; the full one is asked for")]
    NoBase,
    #[error(
        "it changes a roster that was changed too often since the full one, which is asked for"
    )]
    TooMany,
}

/// Why a member of a roster was left out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum PeerRefusal {
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error("its certificate is another node's")]
    OtherNode,
    #[error("serial {got} is older than {have}, which this identity has had")]
    OldSerial { got: Serial, have: Serial },
    #[error("its certificate did not come")]
    Missing,
}

/// What is known of a peer.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) certificate: Verified<Certificate>,
    pub(crate) record: Option<Verified<PeerRecord>>,
    pub(crate) seen_from: Option<Endpoint>,
}

/// The roster in force.
#[derive(Default)]
pub(crate) struct Roster {
    latest: Latest<Document>,
    /// The documents that it is made of: a full one, and what changed since.
    documents: Vec<Signed<Document>>,
    entries: BTreeMap<NodeId, Digest>,
    known: BTreeMap<NodeId, Known>,
    /// Who signs with which key.
    by_key: BTreeMap<KeyId, NodeId>,
    serials: BTreeMap<PublicKey, Serial>,
}

/// What became of a roster.
pub(crate) struct Taken {
    /// Who was left out, and why.
    pub(crate) left_out: Vec<(NodeId, PeerRefusal)>,
    /// Whether everything should come again.
    pub(crate) wants_full: bool,
}

/// How the roster lies in its file.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct KeptRoster {
    documents: Vec<Kept<Document>>,
    certificates: Vec<Kept<Certificate>>,
    records: Vec<KeptRecord>,
    serials: Vec<(PublicKey, Serial)>,
}

#[derive(Clone, Deserialize, Serialize)]
struct KeptRecord {
    record: Kept<PeerRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_from: Option<Endpoint>,
}

/// What is needed to judge what comes.
pub(crate) struct Judge<'a> {
    pub(crate) keyring: &'a Keyring<Authority>,
    pub(crate) node: NodeId,
    pub(crate) time: UnixTime,
}

impl Roster {
    /// The version in force.
    pub(crate) fn version(&self) -> Option<Sequence> {
        self.latest.current().map(|roster| roster.version)
    }

    pub(crate) fn latest(&self) -> &Latest<Document> {
        &self.latest
    }

    /// Refuses all before what was in force once.
    pub(crate) fn resume(&mut self, latest: Latest<Document>) {
        self.latest = latest;
    }

    /// Every peer that is on the roster, and whose certificate came.
    pub(crate) fn peers(&self) -> impl Iterator<Item = (NodeId, &Known)> {
        self.known.iter().map(|(node, known)| (*node, known))
    }

    /// Takes a roster with what came along.
    pub(crate) fn take(
        &mut self,
        update: &RosterUpdate,
        judge: &Judge<'_>,
    ) -> Result<Taken, RosterRefusal> {
        let verified = update.roster.verify(judge.keyring, judge.time)?;
        if verified.node != judge.node {
            return Err(RosterRefusal::OtherNode);
        }
        self.put_in_force(verified)?;
        let left_out = self.learn(&update.certificates, judge);
        for record in update.records.iter() {
            let _ = self.take_record(record, judge.time); // a peer's bad word costs that peer only
        }
        Ok(Taken {
            wants_full: !left_out.is_empty() || self.documents.len() > MOST_DELTAS,
            left_out,
        })
    }

    /// Full rosters and changes are numbered together: of one version there may be both, which say the same. Then the full
    /// one counts, which needs nothing before it.
    fn put_in_force(&mut self, roster: Verified<Document>) -> Result<(), RosterRefusal> {
        let same_version = self.version() == Some(roster.version);
        match roster.base {
            Some(_) if same_version => return Ok(()),
            Some(_) if self.version().is_none() => return Err(RosterRefusal::NoBase),
            Some(_) if self.documents.len() > TOO_MANY_DELTAS => {
                return Err(RosterRefusal::TooMany);
            }
            _ => {}
        }
        let entries = roster.apply(self.version().unwrap_or_default(), &self.entries)?;
        let (signed, full) = (roster.signed().clone(), roster.base.is_none());
        if full
            && self
                .latest
                .floor()
                .is_some_and(|(floor, _)| floor == roster.order())
        {
            self.latest = Latest::new();
        }
        self.latest.accept(roster)?;
        if full {
            self.documents.clear();
        }
        self.documents.push(signed);
        self.entries = entries;
        Ok(())
    }

    /// Keeps exactly those on the roster, each under the certificate that it names.
    fn learn(
        &mut self,
        certificates: &[Signed<Certificate>],
        judge: &Judge<'_>,
    ) -> Vec<(NodeId, PeerRefusal)> {
        let came: BTreeMap<Digest, _> = certificates.iter().map(|c| (c.digest(), c)).collect();
        let mut before = std::mem::take(&mut self.known);
        let mut left_out = Vec::new();
        for (node, digest) in self.entries.clone() {
            let held = before.remove(&node);
            if let Some(same) = held
                .clone()
                .filter(|known| known.certificate.digest() == digest)
            {
                self.known.insert(node, same);
                continue;
            }
            match self.introduce(node, came.get(&digest).copied(), judge) {
                Ok(certificate) => {
                    let known = Known::new(certificate, held);
                    self.known.insert(node, known);
                }
                Err(refusal) => left_out.push((node, refusal)),
            }
        }
        let key = |known: &Known| KeyId::of(&known.certificate.identity);
        self.by_key = self
            .known
            .iter()
            .map(|(node, known)| (key(known), *node))
            .collect();
        left_out
    }

    fn introduce(
        &mut self,
        node: NodeId,
        certificate: Option<&Signed<Certificate>>,
        judge: &Judge<'_>,
    ) -> Result<Verified<Certificate>, PeerRefusal> {
        let certificate = certificate.ok_or(PeerRefusal::Missing)?;
        let certificate = certificate.verify(judge.keyring, judge.time)?;
        if certificate.node != node {
            return Err(PeerRefusal::OtherNode);
        }
        let got = certificate.serial;
        let have = self.serials.get(&certificate.identity).copied();
        if let Some(have) = have.filter(|have| got < *have) {
            return Err(PeerRefusal::OldSerial { got, have });
        }
        self.remember_serial(certificate.identity, got);
        Ok(certificate)
    }

    fn remember_serial(&mut self, identity: PublicKey, serial: Serial) {
        if self.serials.len() >= MOST_SERIALS && !self.serials.contains_key(&identity) {
            // The lowest serial is the one that was seen longest ago.
            let oldest = self.serials.iter().min_by_key(|(_, serial)| **serial);
            if let Some(oldest) = oldest.map(|(identity, _)| *identity) {
                self.serials.remove(&oldest);
            }
        }
        let highest = self.serials.entry(identity).or_default();
        *highest = serial.max(*highest);
    }

    /// Takes a peer's own word on where it is found. False if it is nothing new, or nobody's who is known.
    pub(crate) fn take_record(
        &mut self,
        came: &RecordWithHint,
        time: UnixTime,
    ) -> Result<bool, VerifyError> {
        let signer = came.record.envelope().signatures().first();
        let node = signer.and_then(|signature| self.by_key.get(&signature.key));
        match node.and_then(|node| self.known.get_mut(node)) {
            Some(known) => known.take_record(came, time),
            None => Ok(false),
        }
    }

    /// Judges all again under another keyring. True if something does not count any more.
    pub(crate) fn judge_again(
        &mut self,
        keyring: Option<&Keyring<Authority>>,
        time: UnixTime,
    ) -> bool {
        let counts = keyring.is_some_and(|keyring| {
            self.documents
                .iter()
                .all(|document| document.verify(keyring, time).is_ok())
        });
        let held = self.known.len();
        if counts {
            self.known.retain(|_, known| {
                keyring.is_some_and(|keyring| known.certificate.judge_again(keyring, time).is_ok())
            });
            return held != self.known.len();
        }
        let floor = self.latest.floor();
        self.latest = floor.map_or_else(Latest::new, |(order, digest)| {
            Latest::resumed(order, digest)
        });
        self.documents.clear();
        self.entries.clear();
        self.known.clear();
        held > 0
    }

    pub(crate) fn keep(&self) -> KeptRoster {
        let record = |known: &Known| {
            known.record.as_ref().map(|record| KeptRecord {
                record: Kept(record.signed().clone()),
                seen_from: known.seen_from,
            })
        };
        KeptRoster {
            documents: self.documents.iter().cloned().map(Kept).collect(),
            certificates: self
                .known
                .values()
                .map(|k| Kept(k.certificate.signed().clone()))
                .collect(),
            records: self.known.values().filter_map(record).collect(),
            serials: self
                .serials
                .iter()
                .map(|(identity, serial)| (*identity, *serial))
                .collect(),
        }
    }

    /// Takes what was kept, as if it came again; the floor stays above all of it.
    pub(crate) fn restore(
        &mut self,
        kept: KeptRoster,
        floor: Option<(tidegate_proto::Order, Digest)>,
        judge: &Judge<'_>,
    ) -> Result<(), RosterRefusal> {
        let mut restored = Self {
            serials: kept.serials.into_iter().collect(),
            ..Self::default()
        };
        for document in &kept.documents {
            let verified = document.0.verify(judge.keyring, judge.time)?;
            if verified.node != judge.node {
                return Err(RosterRefusal::OtherNode);
            }
            restored.put_in_force(verified)?;
        }
        let last = restored.latest.floor();
        if let (Some((have, _)), Some((got, _))) = (floor, last)
            && got < have
        {
            return Err(VerifyError::Rollback { got, have }.into());
        }
        let certificates: Vec<_> = kept.certificates.into_iter().map(|kept| kept.0).collect();
        let _ = restored.learn(&certificates, judge); // one that has ended meanwhile is no peer
        for record in kept.records {
            let record = RecordWithHint {
                record: record.record.0,
                seen_from: record.seen_from,
            };
            let _ = restored.take_record(&record, judge.time); // the record of one that has ended
        }
        *self = restored;
        Ok(())
    }
}

impl Known {
    /// A peer under a new certificate, with what was known of it under the one before.
    fn new(certificate: Verified<Certificate>, before: Option<Self>) -> Self {
        let (record, seen_from) =
            before.map_or((None, None), |known| (known.record, known.seen_from));
        Self {
            certificate,
            record,
            seen_from,
        }
    }

    fn take_record(&mut self, came: &RecordWithHint, time: UnixTime) -> Result<bool, VerifyError> {
        let keyring = Keyring::of_node(&self.certificate);
        let record = came.record.verify(&keyring, time)?;
        let have = self
            .record
            .as_ref()
            .map(|record| (record.sequence, record.digest()));
        if have.is_some_and(|(have, digest)| {
            record.sequence < have || (record.sequence == have && record.digest() != digest)
        }) {
            return Ok(false);
        }
        self.record = Some(record);
        self.seen_from = came.seen_from;
        Ok(true)
    }
}
