//! Peer records: each node's latest, as it signed it.

use std::net::SocketAddr;

use tidegate_proto::api::RecordWithHint;
use tidegate_proto::{Digest, Endpoint, NodeId, PeerRecord, Sequence, Signed, UnixTime};

use super::{Connection, Counted, Row, StoreError, counter, sql};

/// The place of `node`'s latest record.
pub(crate) async fn place(
    connection: &mut Connection,
    node: NodeId,
) -> Result<Option<(Sequence, Digest)>, StoreError> {
    let text = "SELECT sequence, digest FROM records WHERE node = $1";
    let Some(row) = sql!(text, &node.as_bytes()[..])
        .fetch_optional(connection)
        .await?
        .map(Row)
    else {
        return Ok(None);
    };
    Ok(Some((
        row.count("sequence")?,
        Digest::from_bytes(row.array("digest")?),
    )))
}

/// Keeps a record in place of the one before.
pub(crate) async fn keep(
    connection: &mut Connection,
    record: &PeerRecord,
    signed: &Signed<PeerRecord>,
    from: Option<SocketAddr>,
    now: UnixTime,
) -> Result<(), StoreError> {
    let hint = from
        .and_then(|address| Endpoint::new(address).ok())
        .map(|endpoint| endpoint.to_string());
    let changed: Sequence = counter::next_in_recovery(connection, "record", now).await?;
    let statement = sql!(
        "INSERT INTO records (node, sequence, digest, envelope, seen_from, stored_at, changed) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (node) DO UPDATE SET sequence = excluded.sequence, digest = excluded.digest,
             envelope = excluded.envelope, seen_from = excluded.seen_from, stored_at = excluded.stored_at,
             changed = excluded.changed",
        &record.node.as_bytes()[..],
        record.sequence.stored(),
        signed.digest().as_bytes().to_vec(),
        signed.to_compact(),
        hint,
        now.stored(),
        changed.stored()
    );
    statement.execute(connection).await?;
    Ok(())
}

/// A record that was taken, and when in the order of all of them.
pub(crate) struct Taken {
    pub(crate) node: NodeId,
    pub(crate) changed: Sequence,
    pub(crate) record: RecordWithHint,
}

/// The records that were taken behind `changed`.
pub(crate) async fn changed_since(
    connection: &mut Connection,
    changed: Sequence,
) -> Result<Vec<Taken>, StoreError> {
    let text = "SELECT node, envelope, seen_from, changed FROM records WHERE changed > $1";
    let rows = sql!(text, changed.stored()).fetch_all(connection).await?;
    rows.into_iter().map(|row| taken(&Row(row))).collect()
}

fn taken(row: &Row) -> Result<Taken, StoreError> {
    let seen_from = row
        .optional_text("seen_from")?
        .and_then(|text| text.parse().ok()); // a hint may be lost
    Ok(Taken {
        node: NodeId::from_bytes(row.array("node")?),
        changed: row.count("changed")?,
        record: RecordWithHint {
            record: row.signed("envelope")?,
            seen_from,
        },
    })
}
