//! What happened, who decided, and when: appended in the transaction of the event itself, each record chained to the
//! one before, and every so often the authority signs the head.

use std::fmt::Display;

use tidegate_proto::audit::{Chained, Fact, Facts, Record};
use tidegate_proto::{Checkpoint, Reason, Sequence, Signed, Span, UnixTime};

use super::{Actor, Authority, ReadError};
use crate::store::{StoreError, Tx, audit};

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// Something that is recorded for ever.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum Event {
            $($(#[$doc])* $variant,)*
        }

        impl Event {
            /// Every event.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name, which keeps its meaning.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

events! {
    /// A newcomer waits for a decision.
    NodePending = "node.pending";
    /// A node is in.
    NodeAdmitted = "node.admitted";
    /// A newcomer was turned away.
    NodeDenied = "node.denied";
    /// A node is out for good.
    NodeRevoked = "node.revoked";
    /// A node is out for now.
    NodeSuspended = "node.suspended";
    /// A node may come back.
    NodeReinstated = "node.reinstated";
    /// A node has new keys.
    NodeKeyChanged = "node.key-changed";
    /// A node has fallen silent.
    NodeOffline = "node.offline";
    /// A node is heard of again.
    NodeOnline = "node.online";
    /// Newcomers that waited for too long were forgotten.
    PendingExpired = "pending.expired";
    /// Newcomers that were turned away long ago were forgotten.
    DeniedExpired = "denied.expired";
    /// A certificate was signed.
    CertificateIssued = "certificate.issued";
    /// A certificate was signed in place of one before.
    CertificateRenewed = "certificate.renewed";
    /// Grants of an epoch left the authority.
    GrantsReleased = "grants.released";
    /// An epoch was opened.
    EpochOpened = "epoch.opened";
    /// For a while there was no epoch.
    EpochGap = "epoch.gap";
    /// An epoch is left out, which was opened by a clock that was ahead.
    EpochVoid = "epoch.void";
    /// The secret of an epoch that has not begun was drawn again.
    EpochRedrawn = "epoch.redrawn";
    /// An operator started a new epoch.
    EpochRotated = "epoch.rotated";
    /// A policy is in force.
    PolicyChanged = "policy.changed";
    /// The policy was signed once more, under another genesis.
    PolicySignedAnew = "policy.signed-anew";
    /// An operator was named.
    OperatorAdded = "operator.added";
    /// An operator has another role.
    OperatorChanged = "operator.changed";
    /// An operator is not one any more.
    OperatorRemoved = "operator.removed";
    /// An API token was made.
    TokenMade = "token.made";
    /// An API token was taken back.
    TokenRevoked = "token.revoked";
    /// Somebody came with a token that has ended.
    TokenRefused = "token.refused";
    /// An invite was made.
    InviteMade = "invite.made";
    /// An invite was taken back.
    InviteRevoked = "invite.revoked";
    /// A node has confirmed a revocation list.
    ReceiptAccepted = "receipt.accepted";
    /// Nodes that are there have not confirmed a revocation in time.
    ReceiptOverdue = "receipt.overdue";
    /// Nobody honest talks to a revoked node any more.
    RevocationComplete = "revocation.complete";
    /// The release ledger may lack releases.
    LedgerGap = "ledger.gap";
    /// The time was set ahead under the running server.
    ClockSetAhead = "clock.set-ahead";
    /// A genesis succession is in force.
    GenesisSucceeded = "genesis.succeeded";
    /// The authority signs with other keys.
    KeysRotated = "keys.rotated";
    /// Connections are accepted with another TLS key.
    TlsKeyChanged = "tls.key-changed";
    /// Somebody is not who it says.
    AuthFailed = "auth.failed";
    /// A request came a second time.
    RequestReplayed = "request.replayed";
    /// Somebody known may not what it asked for.
    AccessRefused = "access.refused";
    /// Somebody asked too often.
    RateLimited = "rate.limited";
    /// The authority has started.
    Started = "authority.started";
    /// The authority stops.
    Stopped = "authority.stopped";
    /// A backup was made.
    BackupMade = "backup.made";
    /// A backup was put back.
    Restored = "authority.restored";
    /// The recovery after that is over.
    RecoveryEnded = "recovery.ended";
    /// A sovereign ended it early.
    RecoveryOverridden = "recovery.overridden";
}

impl Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// An event with what is known of it, before it has its place in the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    event: Event,
    actor: Reason,
    object: Reason,
    detail: Vec<(String, Fact)>,
}

impl Entry {
    /// `event`, done by `actor` to `object`.
    pub fn new(event: Event, actor: &Actor, object: impl Display) -> Self {
        Self {
            event,
            actor: Reason::shortened(&actor.to_string()),
            object: Reason::shortened(&object.to_string()),
            detail: Vec::new(),
        }
    }

    /// The same, with a text to know; never a secret.
    pub fn with(mut self, name: &'static str, text: impl Display) -> Self {
        let text = Reason::shortened(&text.to_string());
        self.detail.push((name.to_owned(), Fact::Text(text)));
        self
    }

    /// The same, with words to know, all of them: in as many texts as they need.
    pub fn list<T: Display>(
        mut self,
        name: &'static str,
        words: impl IntoIterator<Item = T>,
    ) -> Self {
        let mut texts: Vec<String> = Vec::new();
        for word in words.into_iter().map(|word| word.to_string()) {
            match texts.last_mut() {
                Some(text) if text.len() + 1 + word.len() <= Reason::LONGEST => {
                    text.push(' ');
                    text.push_str(&word);
                }
                _ => texts.push(word),
            }
        }
        for (number, text) in texts.iter().enumerate() {
            let name = match number {
                0 => name.to_owned(),
                _ => format!("{name}-{}", number + 1),
            };
            let text = Fact::Text(Reason::shortened(text));
            self.detail.push((name, text));
        }
        self
    }

    /// The same, with a number.
    pub fn count(mut self, name: &'static str, number: impl TryInto<u64>) -> Self {
        let number = number.try_into().unwrap_or(u64::MAX);
        self.detail.push((name.to_owned(), Fact::number(number)));
        self
    }

    /// The same, with a time.
    pub fn time(self, name: &'static str, time: UnixTime) -> Self {
        self.count(name, time.as_millis())
    }

    /// The same, with a span of time.
    pub fn span(self, name: &'static str, span: Span) -> Self {
        self.count(name, span.as_millis())
    }

    #[cfg(test)]
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.detail.iter().find_map(|(known, fact)| match fact {
            Fact::Number(number) if known == name => Some(*number),
            _ => None,
        })
    }

    fn facts(&self) -> Result<Facts, StoreError> {
        let fact = |(name, fact): &(String, Fact)| {
            let name = name.parse().map_err(failed)?;
            Ok((name, fact.clone()))
        };
        self.detail.iter().map(fact).collect()
    }
}

fn failed(error: impl Display) -> StoreError {
    StoreError::Failed(error.to_string())
}

impl Authority {
    /// Appends `entry` in the transaction of what it records.
    pub(crate) async fn record(&self, tx: &mut Tx, entry: Entry) -> Result<(), StoreError> {
        let now = tx.now();
        let last = tx.audit_head().await?;
        let first = (Sequence::default(), Record::before_first(self.network()));
        let (last, previous) = last.unwrap_or(first);
        let record = Record {
            sequence: Record::sequence_after(last, entry.event.name(), now)
                .ok_or_else(|| failed("the audit log is full"))?,
            at: now,
            event: entry.event.name().parse().map_err(failed)?,
            detail: entry.facts()?,
            actor: entry.actor,
            object: entry.object,
            previous,
        };
        let bytes = record
            .to_bytes()
            .ok_or_else(|| failed("an audit record is too long"))?;
        let kept = audit::Kept {
            sequence: record.sequence,
            hash: Record::hash(&bytes),
            bytes,
        };
        let (sequence, hash) = (kept.sequence, kept.hash);
        tx.append(audit::New {
            kept,
            at: now,
            event: entry.event.name(),
        });
        let every = u64::from(self.0.limits.checkpoint_every.max(1));
        if sequence.value().is_multiple_of(every) {
            self.sign_head(tx, sequence, hash).await?;
        }
        let heads = self.0.audit_head.clone();
        tx.after_commit(move || {
            heads.send_replace(sequence);
        });
        Ok(())
    }

    /// Records an event that has no other effect here: start and stop, backups.
    pub async fn log(&self, entry: Entry) -> Result<(), StoreError> {
        self.effect(async move |this, tx| this.record(tx, entry).await)
            .await
    }

    async fn sign_head(
        &self,
        tx: &mut Tx,
        size: Sequence,
        head: tidegate_proto::Digest,
    ) -> Result<Signed<Checkpoint>, StoreError> {
        let trust = self.trust();
        let checkpoint = Checkpoint {
            network: self.network(),
            revision: trust.revision(),
            size,
            head,
        };
        let signed = trust.signer.sign(&checkpoint).map_err(failed)?;
        audit::keep_checkpoint(tx.connection(), &checkpoint, &signed).await?;
        Ok(signed)
    }

    /// A checkpoint over everything that was recorded so far.
    pub async fn checkpoint(&self) -> Result<(Checkpoint, Signed<Checkpoint>), ReadError> {
        self.effect(async move |this, tx| this.checkpoint_within(tx).await)
            .await
    }

    async fn checkpoint_within(
        &self,
        tx: &mut Tx,
    ) -> Result<(Checkpoint, Signed<Checkpoint>), ReadError> {
        let (size, head) = tx
            .audit_head()
            .await?
            .ok_or(ReadError::NotYet("audit record"))?;
        let checkpoint = Checkpoint {
            network: self.network(),
            revision: self.trust().revision(),
            size,
            head,
        };
        let newest = audit::newest_checkpoint(tx.connection()).await?;
        let signed = match newest {
            Some(newest) if (newest.revision, newest.size) == (checkpoint.revision, size) => {
                newest.signed
            }
            _ => self.sign_head(tx, size, head).await?,
        };
        Ok((checkpoint, signed))
    }

    /// Signs the head of the log, if there is one.
    pub(super) async fn seal_head(&self, tx: &mut Tx) -> Result<(), StoreError> {
        match self.checkpoint_within(tx).await {
            Ok(_) | Err(ReadError::NotYet(_)) => Ok(()),
            Err(ReadError::Store(error)) => Err(error),
            Err(error) => Err(failed(error)),
        }
    }

    /// Records the alarms that are still counted and signs the head, before the authority stops.
    pub(super) async fn finish_audit(&self) {
        let finish = async |this: &Self, tx: &mut Tx| -> Result<(), StoreError> {
            this.record_alarms(tx, true).await?;
            this.seal_head(tx).await
        };
        let finished = self.effect(finish).await;
        if let Err(error) = finished {
            tracing::warn!(%error, "the audit log was not sealed; its last records are not covered by a checkpoint");
        }
    }
}

/// A record as operators see it.
pub(super) fn shown(kept: &audit::Kept) -> Result<Chained, StoreError> {
    let record = Record::from_bytes(&kept.bytes)
        .map_err(|error| StoreError::Corrupt(format!("audit record {}: {error}", kept.sequence)))?;
    Ok(Chained {
        record,
        hash: kept.hash,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use tidegate_proto::Label;

    #[test]
    fn a_list_is_recorded_in_full() {
        let words: Vec<_> = (0..32).map(|number| format!("tag-{number:059}")).collect();
        let entry = Entry::new(Event::NodeAdmitted, &Actor::System, "node").list("tags", &words);
        let facts = entry.facts().unwrap();
        let mut found: Vec<String> = Vec::new();
        for fact in facts.values() {
            let Fact::Text(text) = fact else { continue };
            found.extend(text.as_str().split(' ').map(str::to_owned));
        }
        found.sort();
        assert_eq!(found, words);
        assert!(facts.contains_key(&"tags".parse::<Label>().unwrap()));
        let none = Entry::new(Event::NodeAdmitted, &Actor::System, "node").list("tags", [""; 0]);
        assert!(none.facts().unwrap().is_empty());
    }

    #[test]
    fn every_event_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Event::ALL.iter().map(|event| event.name()).collect();
        assert_eq!(names.len(), Event::ALL.len());
        assert!(names.len() >= 20);
        assert!(names.iter().all(|name| name.parse::<Label>().is_ok()));
        assert_eq!(Event::Restored.name(), Record::RESTORED);
    }
}
