//! Peer records: each node's latest, as it signed it.

use std::net::SocketAddr;

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

/// `node`'s record.
pub(crate) async fn load(
    connection: &mut Connection,
    node: NodeId,
) -> Result<Option<RecordWithHint>, StoreError> {
    let text = "SELECT envelope, seen_from FROM records WHERE node = $1";
    let Some(row) = sql!(text, &node.as_bytes()[..])
        .fetch_optional(connection)
        .await?
        .map(Row)
    else {
        return Ok(None);
    };
    let seen_from = row
        .optional_text("seen_from")?
        .and_then(|text| text.parse().ok()); // a hint may be lost
    Ok(Some(RecordWithHint {
        record: row.signed("envelope")?,
        seen_from,
    }))
}
