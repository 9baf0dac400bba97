//! Who may talk to a revoked node until it has confirmed, or has stopped by itself.

use tidegate_proto::{ListPlace, NodeId, Sequence, Span, UnixTime};

use super::{Connection, Counted, Row, StoreError, sql};

/// A node that had a grant without the list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    pub(crate) node: NodeId,
    /// When it has stopped, whatever it hears.
    pub(crate) stopped_at: UnixTime,
    /// When its receipt came.
    pub(crate) confirmed_at: Option<UnixTime>,
}

/// Reads from the ledger, once, who holds a grant without `list`: everybody but `out` that had not stopped at `since`.
/// From here on nothing is released without the list, so nobody is added but by a recovery, which learns of releases that
/// were lost.
pub(crate) async fn fix(
    connection: &mut Connection,
    out: NodeId,
    list: ListPlace,
    since: UnixTime,
) -> Result<(), StoreError> {
    let text = "INSERT INTO holders (list, node, stopped_at) SELECT $3, node, MAX(stopped_at) FROM releases
                WHERE node <> $1 AND (revision < $2 OR (revision = $2 AND list < $3)) AND stopped_at > $4 GROUP BY node
                ON CONFLICT (list, node) DO UPDATE SET stopped_at = MAX(excluded.stopped_at, holders.stopped_at)";
    let out = &out.as_bytes()[..];
    let statement = sql!(
        text,
        out,
        list.revision.stored(),
        list.sequence.stored(),
        since.stored()
    );
    statement.execute(connection).await?;
    Ok(())
}

/// Everybody who held a grant without `list`.
pub(crate) async fn all(
    connection: &mut Connection,
    list: Sequence,
) -> Result<Vec<Holder>, StoreError> {
    let text = "SELECT node, stopped_at, confirmed_at FROM holders WHERE list = $1";
    let rows = sql!(text, list.stored()).fetch_all(connection).await?;
    let holder = |row: Row| {
        Ok(Holder {
            node: NodeId::from_bytes(row.array("node")?),
            stopped_at: row.count("stopped_at")?,
            confirmed_at: row.optional_count("confirmed_at")?,
        })
    };
    rows.into_iter().map(Row).map(holder).collect()
}

/// When the last of those who have not confirmed `list` has stopped.
pub(crate) async fn last_stop(
    connection: &mut Connection,
    list: Sequence,
) -> Result<Option<UnixTime>, StoreError> {
    let text =
        "SELECT MAX(stopped_at) AS last FROM holders WHERE list = $1 AND confirmed_at IS NULL";
    let row = sql!(text, list.stored()).fetch_one(connection);
    Row(row.await?).optional_count("last")
}

/// Has everybody who had not stopped at `since` stop later by `step`, but because of that not after `latest`.
pub(crate) async fn postpone(
    connection: &mut Connection,
    since: UnixTime,
    step: Span,
    latest: UnixTime,
) -> Result<(), StoreError> {
    let text = "UPDATE holders SET stopped_at = MAX(stopped_at, MIN(stopped_at + $2, $3))
                WHERE stopped_at > $1 AND confirmed_at IS NULL";
    let step = UnixTime::default() + step;
    sql!(text, since.stored(), step.stored(), latest.stored())
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes that `node` has confirmed every list up to `list`; gives how many it had not before.
pub(crate) async fn confirm(
    connection: &mut Connection,
    node: NodeId,
    list: Sequence,
    now: UnixTime,
) -> Result<u64, StoreError> {
    let text = "UPDATE holders SET confirmed_at = $3 WHERE node = $1 AND confirmed_at IS NULL
                AND list IN (SELECT list FROM revocations WHERE settled IS NULL AND list <= $2)";
    let statement = sql!(text, &node.as_bytes()[..], list.stored(), now.stored());
    Ok(statement.execute(connection).await?.rows_affected())
}

/// Forgets who held what: it has been written down how it ended.
pub(crate) async fn forget(connection: &mut Connection, list: Sequence) -> Result<(), StoreError> {
    sql!("DELETE FROM holders WHERE list = $1", list.stored())
        .execute(connection)
        .await?;
    Ok(())
}
