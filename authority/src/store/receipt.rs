//! Receipts: each node's latest.

use std::collections::BTreeMap;

use tidegate_proto::{NodeId, Receipt, Revision, Sequence, Signed, UnixTime};

use super::{Connection, Counted, Row, StoreError, sql};

/// The sequence of `node`'s latest receipt, and the list that it is over.
pub(crate) async fn latest(
    connection: &mut Connection,
    node: NodeId,
) -> Result<Option<(Sequence, Sequence)>, StoreError> {
    let text = "SELECT sequence, list FROM receipts WHERE node = $1";
    let Some(row) = sql!(text, &node.as_bytes()[..])
        .fetch_optional(connection)
        .await?
        .map(Row)
    else {
        return Ok(None);
    };
    Ok(Some((row.count("sequence")?, row.count("list")?)))
}

/// Keeps a receipt in place of the one before.
pub(crate) async fn keep(
    connection: &mut Connection,
    receipt: &Receipt,
    revision: Revision,
    signed: &Signed<Receipt>,
    now: UnixTime,
) -> Result<(), StoreError> {
    let statement = sql!(
        "INSERT INTO receipts (node, sequence, revision, list, applied_at, received_at, envelope) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (node) DO UPDATE SET sequence = excluded.sequence, revision = excluded.revision, list = excluded.list,
             applied_at = excluded.applied_at, received_at = excluded.received_at, envelope = excluded.envelope",
        &receipt.node.as_bytes()[..],
        receipt.sequence.stored(),
        revision.stored(),
        receipt.list.stored(),
        receipt.applied_at.stored(),
        now.stored(),
        signed.to_compact()
    );
    statement.execute(connection).await?;
    Ok(())
}

/// Everybody who has a receipt over `list` or a later one, and when it came.
pub(crate) async fn confirming(
    connection: &mut Connection,
    (revision, list): (Revision, Sequence),
) -> Result<BTreeMap<NodeId, UnixTime>, StoreError> {
    let text = "SELECT node, received_at FROM receipts WHERE revision > $1 OR (revision = $1 AND list >= $2)";
    let rows = sql!(text, revision.stored(), list.stored())
        .fetch_all(connection)
        .await?;
    let one = |row: Row| {
        Ok((
            NodeId::from_bytes(row.array("node")?),
            row.count("received_at")?,
        ))
    };
    rows.into_iter().map(Row).map(one).collect()
}
