//! Receipts: each node's latest.

use tidegate_proto::{ListPlace, NodeId, Receipt, Sequence, Signed, UnixTime};

use super::{Connection, Counted, Row, StoreError, sql};

/// The sequence of `node`'s latest receipt, and the list that it is over.
pub(crate) async fn latest(
    connection: &mut Connection,
    node: NodeId,
) -> Result<Option<(Sequence, ListPlace)>, StoreError> {
    let text = "SELECT sequence, revision, list FROM receipts WHERE node = $1";
    let Some(row) = sql!(text, &node.as_bytes()[..])
        .fetch_optional(connection)
        .await?
        .map(Row)
    else {
        return Ok(None);
    };
    let list = ListPlace {
        revision: row.count("revision")?,
        sequence: row.count("list")?,
    };
    Ok(Some((row.count("sequence")?, list)))
}

/// Keeps a receipt in place of the one before.
pub(crate) async fn keep(
    connection: &mut Connection,
    receipt: &Receipt,
    signed: &Signed<Receipt>,
    now: UnixTime,
) -> Result<(), StoreError> {
    let statement = sql!(
        "INSERT INTO receipts (node, sequence, revision, list, applied_at, received_at, envelope) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (node) DO UPDATE SET sequence = excluded.sequence, revision = excluded.revision, list = excluded.list,
             applied_at = excluded.applied_at, received_at = excluded.received_at, envelope = excluded.envelope",
        &receipt.node.as_bytes()[..],
        receipt.sequence.stored(),
        receipt.list.revision.stored(),
        receipt.list.sequence.stored(),
        receipt.applied_at.stored(),
        now.stored(),
        signed.to_compact()
    );
    statement.execute(connection).await?;
    Ok(())
}
