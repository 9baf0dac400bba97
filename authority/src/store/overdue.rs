//! Receipts that were noted as overdue, so that each is told of once.

use tidegate_proto::{NodeId, Sequence, UnixTime};

use super::{Connection, Counted, Row, StoreError, sql};

/// The nodes that were heard of since `heard_since`, have neither confirmed this revocation nor stopped at `now`, and are
/// not noted for it yet.
pub(crate) async fn unnoted(
    connection: &mut Connection,
    list: Sequence,
    heard_since: UnixTime,
    now: UnixTime,
) -> Result<Vec<NodeId>, StoreError> {
    let text = "SELECT holders.node AS node FROM holders JOIN presence ON presence.node = holders.node
                WHERE holders.list = $1 AND confirmed_at IS NULL AND stopped_at > $3 AND last_seen >= $2
                AND holders.node NOT IN (SELECT node FROM overdue WHERE list = $1) ORDER BY holders.node";
    let rows = sql!(text, list.stored(), heard_since.stored(), now.stored())
        .fetch_all(connection)
        .await?;
    rows.into_iter()
        .map(|row| Row(row).array("node").map(NodeId::from_bytes))
        .collect()
}

/// Notes that a node's receipt is overdue.
pub(crate) async fn note(
    connection: &mut Connection,
    list: Sequence,
    node: NodeId,
) -> Result<(), StoreError> {
    let text = "INSERT INTO overdue (list, node) VALUES ($1, $2)";
    sql!(text, list.stored(), &node.as_bytes()[..])
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets what was noted of revocations that are complete.
pub(crate) async fn forget(connection: &mut Connection) -> Result<(), StoreError> {
    let text = "DELETE FROM overdue WHERE list NOT IN (SELECT list FROM revocations WHERE settled IS NULL)";
    sql!(text).execute(connection).await?;
    Ok(())
}
