//! The audit log: rows that are only ever added, and the checkpoints over them.

use sqlx::{QueryBuilder, Sqlite};
use tidegate_proto::{Checkpoint, Digest, Revision, Sequence, Signed, UnixTime};

use super::{Connection, Counted, Row, StoreError, sql};

/// A record as it is kept: the bytes that are hashed, and the hash.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) sequence: Sequence,
    pub(crate) bytes: Vec<u8>,
    pub(crate) hash: Digest,
}

/// A record on its way to the log.
pub(crate) struct New {
    pub(crate) kept: Kept,
    pub(crate) at: UnixTime,
    pub(crate) event: &'static str,
}

/// A checkpoint and its place.
pub(crate) struct KeptCheckpoint {
    pub(crate) revision: Revision,
    pub(crate) size: Sequence,
    pub(crate) signed: Signed<Checkpoint>,
}

/// The sequence and the hash of the last record.
pub(crate) async fn head(
    connection: &mut Connection,
) -> Result<Option<(Sequence, Digest)>, StoreError> {
    let row = sql!("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1")
        .fetch_optional(connection)
        .await?;
    row.map(|row| {
        let row = Row(row);
        Ok((
            row.count("sequence")?,
            Digest::from_bytes(row.array("hash")?),
        ))
    })
    .transpose()
}

/// When the last record was made.
pub(crate) async fn last_at(connection: &mut Connection) -> Result<Option<UnixTime>, StoreError> {
    let row = sql!("SELECT at FROM audit ORDER BY sequence DESC LIMIT 1")
        .fetch_optional(connection)
        .await?;
    row.map(|row| Row(row).count("at")).transpose()
}

/// The last `limit` records, in their order.
pub(crate) async fn last(connection: &mut Connection, limit: u32) -> Result<Vec<Kept>, StoreError> {
    let text = "SELECT sequence, record, hash FROM audit ORDER BY sequence DESC LIMIT $1";
    let rows = sql!(text, i64::from(limit)).fetch_all(connection).await?;
    rows.into_iter().rev().map(Row).map(kept).collect()
}

/// Adds records, in their order.
pub(crate) async fn append(connection: &mut Connection, records: &[New]) -> Result<(), StoreError> {
    const ROWS: usize = 100;
    for chunk in records.chunks(ROWS) {
        let mut query =
            QueryBuilder::<Sqlite>::new("INSERT INTO audit (sequence, at, event, record, hash) ");
        query.push_values(chunk, |mut row, New { kept, at, event }| {
            row.push_bind(kept.sequence.stored())
                .push_bind(at.stored())
                .push_bind(*event)
                .push_bind(&kept.bytes[..])
                .push_bind(&kept.hash.as_bytes()[..]);
        });
        let statement = query.build().persistent(false);
        statement.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The records behind `after` up to `until`, at most `limit`.
pub(crate) async fn page(
    connection: &mut Connection,
    after: Sequence,
    until: Sequence,
    limit: u32,
) -> Result<Vec<Kept>, StoreError> {
    let text = "SELECT sequence, record, hash FROM audit WHERE sequence > $1 AND sequence <= $2 ORDER BY sequence LIMIT $3";
    let rows = sql!(text, after.stored(), until.stored(), i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(Row).map(kept).collect()
}

fn kept(row: Row) -> Result<Kept, StoreError> {
    Ok(Kept {
        sequence: row.count("sequence")?,
        bytes: row.bytes("record")?.to_vec(),
        hash: Digest::from_bytes(row.array("hash")?),
    })
}

/// Keeps a checkpoint.
pub(crate) async fn keep_checkpoint(
    connection: &mut Connection,
    checkpoint: &Checkpoint,
    signed: &Signed<Checkpoint>,
) -> Result<(), StoreError> {
    let statement = sql!(
        "INSERT INTO checkpoints (revision, size, envelope) VALUES ($1, $2, $3)",
        checkpoint.revision.stored(),
        checkpoint.size.stored(),
        signed.to_compact()
    );
    statement.execute(connection).await?;
    Ok(())
}

/// The newest checkpoint.
pub(crate) async fn newest_checkpoint(
    connection: &mut Connection,
) -> Result<Option<KeptCheckpoint>, StoreError> {
    let text = "SELECT revision, size, envelope FROM checkpoints ORDER BY revision DESC, size DESC LIMIT 1";
    let row = sql!(text).fetch_optional(connection).await?;
    row.map(|row| checkpoint(&Row(row))).transpose()
}

/// The checkpoints over more than `after` and up to `until` records, in the order in which they were signed.
pub(crate) async fn checkpoints(
    connection: &mut Connection,
    after: Sequence,
    until: Sequence,
) -> Result<Vec<KeptCheckpoint>, StoreError> {
    let text = "SELECT revision, size, envelope FROM checkpoints WHERE size > $1 AND size <= $2 ORDER BY size, revision";
    let rows = sql!(text, after.stored(), until.stored())
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(|row| checkpoint(&Row(row))).collect()
}

fn checkpoint(row: &Row) -> Result<KeptCheckpoint, StoreError> {
    Ok(KeptCheckpoint {
        revision: row.count("revision")?,
        size: row.count("size")?,
        signed: row.signed("envelope")?,
    })
}
