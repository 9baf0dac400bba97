//! Peer records: each node's latest, as it signed it.

use std::net::SocketAddr;

use sqlx::{QueryBuilder, Sqlite};
use tidegate_proto::api::RecordWithHint;
use tidegate_proto::{Digest, Endpoint, NodeId, PeerRecord, Sequence, Signed, UnixTime};

use super::{Connection, Counted, Row, StoreError, sql};

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
    let statement = sql!(
        "INSERT INTO records (node, sequence, digest, envelope, seen_from, stored_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (node) DO UPDATE SET sequence = excluded.sequence, digest = excluded.digest,
             envelope = excluded.envelope, seen_from = excluded.seen_from, stored_at = excluded.stored_at",
        &record.node.as_bytes()[..],
        record.sequence.stored(),
        signed.digest().as_bytes().to_vec(),
        signed.to_compact(),
        hint,
        now.stored()
    );
    statement.execute(connection).await?;
    Ok(())
}

/// The records of `nodes`, as far as there are any, in the order of ids.
pub(crate) async fn of_all(
    connection: &mut Connection,
    nodes: &[NodeId],
) -> Result<Vec<RecordWithHint>, StoreError> {
    const AT_ONCE: usize = 500;
    let mut records = Vec::new();
    for some in nodes.chunks(AT_ONCE) {
        let mut query =
            QueryBuilder::<Sqlite>::new("SELECT envelope, seen_from FROM records WHERE node IN (");
        let mut list = query.separated(", ");
        for node in some {
            list.push_bind(node.as_bytes().to_vec());
        }
        query.push(") ORDER BY node");
        let rows = query.build().fetch_all(&mut *connection).await?;
        for row in rows.into_iter().map(Row) {
            records.push(with_hint(&row)?);
        }
    }
    Ok(records)
}

fn with_hint(row: &Row) -> Result<RecordWithHint, StoreError> {
    let seen_from = row
        .optional_text("seen_from")?
        .and_then(|text| text.parse().ok()); // a hint may be lost
    Ok(RecordWithHint {
        record: row.signed("envelope")?,
        seen_from,
    })
}
