//! The audit log as it is read: page by page, as it grows, and whole for an export.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::time::Duration;

use tidegate_proto::audit::{AuditError, Chained, Summary, Verifier};
use tidegate_proto::{Checkpoint, Genesis, Sequence, Signed, SuccessionError};
use tokio::sync::watch;

use super::audit::shown;
use super::{Authority, ReadError};
use crate::store::{Store, StoreError, audit};

/// The most records on one page.
const LARGEST_PAGE: u32 = 500;
/// How long a follower waits at most before it looks for what another server has recorded.
const LOOK: Duration = Duration::from_secs(2);

/// Why a log was not found sound.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditCheckError {
    /// It is not what was recorded.
    #[error("the audit log is not sound: {0}")]
    Unsound(#[from] AuditError),
    /// The genesis chain does not hold together.
    #[error("the genesis chain is refused: {0}")]
    Genesis(#[from] SuccessionError),
    /// The export cannot be read.
    #[error("the export cannot be read: {0}")]
    Unreadable(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Authority {
    /// The records behind `after`, at most `limit` and at most 500.
    pub async fn audit(
        &self,
        after: Sequence,
        limit: Option<u32>,
    ) -> Result<Vec<Chained>, StoreError> {
        let limit = limit.unwrap_or(LARGEST_PAGE).min(LARGEST_PAGE);
        let mut connection = self.0.store.read().await?;
        let page = audit::page(&mut connection, after, Sequence::MAX, limit).await?;
        page.iter().map(shown).collect()
    }

    /// The last records, in their order: at most `limit` and at most 500.
    pub async fn audit_end(&self, limit: u32) -> Result<Vec<Chained>, StoreError> {
        let mut connection = self.0.store.read().await?;
        let end = audit::last(&mut connection, limit.min(LARGEST_PAGE)).await?;
        end.iter().map(shown).collect()
    }

    /// The sequence of the last record.
    pub async fn audit_head(&self) -> Result<Sequence, StoreError> {
        let mut connection = self.0.store.read().await?;
        let head = audit::head(&mut connection).await?;
        Ok(head.map(|(sequence, _)| sequence).unwrap_or_default())
    }

    /// Follows the log from behind `after`.
    pub fn follow_audit(&self, after: Sequence) -> AuditFollower {
        AuditFollower {
            authority: self.clone(),
            heads: self.0.audit_head.subscribe(),
            after,
            ready: VecDeque::new(),
        }
    }

    /// The whole log, under a checkpoint that is signed now if there is none over all of it.
    pub async fn export_audit(&self) -> Result<AuditExport, ReadError> {
        let (front, signed) = self.checkpoint().await?;
        Ok(AuditExport {
            store: self.0.store.clone(),
            first: Some(checkpoint_line(&signed)),
            front,
            after: Sequence::default(),
        })
    }
}

/// One follower's place in the log.
pub struct AuditFollower {
    authority: Authority,
    heads: watch::Receiver<Sequence>,
    after: Sequence,
    ready: VecDeque<Chained>,
}

impl AuditFollower {
    /// The next record, as soon as there is one.
    pub async fn next(&mut self) -> Result<Chained, StoreError> {
        loop {
            if let Some(next) = self.ready.pop_front() {
                self.after = next.record.sequence;
                return Ok(next);
            }
            let _ = self.heads.borrow_and_update();
            self.ready = self.authority.audit(self.after, None).await?.into();
            if self.ready.is_empty() {
                let _ = tokio::time::timeout(LOOK, self.heads.changed()).await; // whichever comes first
            }
        }
    }
}

/// An export under way: JSON lines, in pieces.
pub struct AuditExport {
    store: Store,
    first: Option<Vec<u8>>,
    front: Checkpoint,
    after: Sequence,
}

impl AuditExport {
    /// The checkpoint in front.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.front
    }

    /// The next whole lines; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        if self.after >= self.front.size {
            return Ok(None);
        }
        let mut connection = self.store.read().await?;
        let page = Page::load(&mut connection, self.after, self.front.size).await?;
        self.after = page.last;
        let front = (self.front.revision, self.front.size);
        let mut lines = Vec::new();
        page.visit(|item| {
            match item {
                Item::Record(kept) => {
                    lines.extend_from_slice(&Chained::line(&kept.bytes, kept.hash));
                    lines.push(b'\n');
                }
                Item::Checkpoint(kept) if (kept.revision, kept.size) < front => {
                    lines.extend_from_slice(&checkpoint_line(&kept.signed));
                }
                Item::Checkpoint(_) => {}
            }
            Ok::<(), StoreError>(())
        })?;
        Ok(Some(lines))
    }
}

fn checkpoint_line(signed: &Signed<Checkpoint>) -> Vec<u8> {
    [b"{\"checkpoint\":", &signed.to_json()[..], b"}\n"].concat()
}

/// Some records, and the checkpoints over them.
struct Page {
    records: Vec<audit::Kept>,
    checkpoints: Vec<audit::KeptCheckpoint>,
    last: Sequence,
}

enum Item<'a> {
    Record(&'a audit::Kept),
    Checkpoint(&'a audit::KeptCheckpoint),
}

impl Page {
    async fn load(
        connection: &mut crate::store::Connection,
        after: Sequence,
        until: Sequence,
    ) -> Result<Self, StoreError> {
        let records = audit::page(&mut *connection, after, until, LARGEST_PAGE).await?;
        let last = records.last().map_or(until, |last| last.sequence);
        let checkpoints = audit::checkpoints(connection, after, last).await?;
        Ok(Self {
            records,
            checkpoints,
            last,
        })
    }

    /// Records and checkpoints, each checkpoint behind the last record that it covers.
    fn visit<E>(&self, mut visit: impl FnMut(Item<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut checkpoints = self.checkpoints.iter().peekable();
        for record in &self.records {
            while let Some(earlier) = checkpoints.next_if(|one| one.size < record.sequence) {
                visit(Item::Checkpoint(earlier))?;
            }
            visit(Item::Record(record))?;
        }
        checkpoints.try_for_each(|rest| visit(Item::Checkpoint(rest)))
    }
}

/// Checks the log where it is kept, with nothing but the genesis chain.
pub async fn verify_log(
    store: &Store,
    chain: &[Signed<Genesis>],
) -> Result<Summary, AuditCheckError> {
    let mut verifier = Verifier::of_log(chain)?;
    let mut after = Sequence::default();
    loop {
        let mut connection = store.read().await?;
        let page = Page::load(&mut connection, after, Sequence::MAX).await?;
        page.visit(|item| match item {
            Item::Record(kept) => verifier.record(&kept.bytes, kept.hash),
            Item::Checkpoint(kept) => verifier.checkpoint(&kept.signed),
        })?;
        if page.records.is_empty() {
            return Ok(verifier.finish()?);
        }
        after = page.last;
    }
}

/// Checks an export as it is read, with nothing but the genesis chain.
pub fn verify_export(
    mut export: impl Read,
    chain: &[Signed<Genesis>],
) -> Result<Summary, AuditCheckError> {
    let mut verifier = Verifier::of_export(chain)?;
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = match export.read(&mut piece) {
            Ok(0) => return Ok(verifier.finish()?),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(AuditCheckError::Unreadable(error.to_string())),
        };
        verifier.push(&piece[..length])?;
    }
}
