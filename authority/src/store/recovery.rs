//! What a restored database still has to hear before it is the truth again.

use tidegate_proto::bound::LedgerGap;
use tidegate_proto::{ListPlace, NodeId, PublicKey, RevocationEntry, UnixTime};

use super::list::kind_stored;
use super::{Connection, Counted, Row, StoreError, counter, revocation, sql};

/// A recovery that is under way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Recovery {
    pub(crate) backup_at: UnixTime,
    pub(crate) began_at: UnixTime,
    /// The newest list that is merged.
    pub(crate) list: ListPlace,
}

/// The recovery that is under way, if one is.
pub(crate) async fn current(connection: &mut Connection) -> Result<Option<Recovery>, StoreError> {
    let row = sql!("SELECT * FROM recovery")
        .fetch_optional(connection)
        .await?;
    let Some(row) = row.map(Row) else {
        return Ok(None);
    };
    Ok(Some(Recovery {
        backup_at: row.count("backup_at")?,
        began_at: row.count("began_at")?,
        list: ListPlace {
            revision: row.count("revision")?,
            sequence: row.count("list")?,
        },
    }))
}

/// Refuses to go on during a recovery.
pub(crate) async fn refuse(connection: &mut Connection) -> Result<(), StoreError> {
    match current(connection).await? {
        Some(_) => Err(StoreError::Recovering),
        None => Ok(()),
    }
}

/// Turns a database that was put back into one in recovery, in a transaction of the caller's: no number comes again,
/// nothing of the epochs is left, and every node that was in at the time of the backup is awaited.
pub(crate) async fn begin(
    connection: &mut Connection,
    recovery: &Recovery,
    gap: &LedgerGap,
) -> Result<(), StoreError> {
    let now = recovery.began_at.stored();
    sql!("INSERT INTO counters (name, last) VALUES ('epoch', 0) ON CONFLICT DO NOTHING")
        .execute(&mut *connection)
        .await?;
    sql!(
        "UPDATE counters SET last = CASE WHEN last >= $1 THEN last + 1 ELSE $1 END",
        now
    )
    .execute(&mut *connection)
    .await?;
    // Drawings that were made since would get the same place again.
    for erased in [
        "DELETE FROM grants",
        "DELETE FROM epochs",
        "DELETE FROM recovery_nodes",
    ] {
        sql!(erased).execute(&mut *connection).await?;
    }
    let statement = sql!(
        "INSERT INTO recovery (id, backup_at, began_at, revision, list) VALUES (1, $1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET backup_at = CASE WHEN excluded.backup_at < recovery.backup_at
             THEN excluded.backup_at ELSE recovery.backup_at END, began_at = excluded.began_at",
        recovery.backup_at.stored(),
        now,
        recovery.list.revision.stored(),
        recovery.list.sequence.stored()
    );
    statement.execute(&mut *connection).await?;
    sql!(
        "INSERT INTO recovery_nodes (node) SELECT node FROM nodes WHERE status = 'allowed' AND not_after > $1",
        recovery.backup_at.stored()
    )
    .execute(&mut *connection)
    .await?;
    revocation::note_gap(connection, gap).await
}

/// Awaits a node's report as well.
pub(crate) async fn expect(connection: &mut Connection, node: NodeId) -> Result<(), StoreError> {
    sql!(
        "INSERT INTO recovery_nodes (node) VALUES ($1) ON CONFLICT DO NOTHING",
        &node.as_bytes()[..]
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that a node has reported.
pub(crate) async fn reported(
    connection: &mut Connection,
    node: NodeId,
    now: UnixTime,
) -> Result<(), StoreError> {
    sql!(
        "INSERT INTO recovery_nodes (node, reported_at) VALUES ($1, $2)
         ON CONFLICT (node) DO UPDATE SET reported_at = excluded.reported_at",
        &node.as_bytes()[..],
        now.stored()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// How many nodes have reported that are still in.
pub(crate) async fn heard(connection: &mut Connection) -> Result<u32, StoreError> {
    let text =
        "SELECT COUNT(*) AS n FROM recovery_nodes JOIN nodes ON nodes.node = recovery_nodes.node
                WHERE reported_at IS NOT NULL AND nodes.status = 'allowed'";
    Row(sql!(text).fetch_one(connection).await?).small("n")
}

/// Nodes that the backup itself knows as members, as far as they are not known to be out. What they say of the time since
/// counts for more than what those say whom only a report has shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Witnesses {
    pub(crate) all: u32,
    pub(crate) heard: u32,
}

/// The members of a backup that was made at `backup_at`: those that it awaits from the beginning.
pub(crate) async fn witnesses(
    connection: &mut Connection,
    backup_at: UnixTime,
) -> Result<Witnesses, StoreError> {
    let text = "SELECT COUNT(*) AS members, COUNT(reported_at) AS heard
                FROM recovery_nodes JOIN nodes ON nodes.node = recovery_nodes.node
                WHERE nodes.status = 'allowed' AND nodes.enrolled_at <= $1
                AND EXISTS (SELECT 1 FROM certificates WHERE certificates.node = nodes.node AND not_before <= $1 AND certificates.not_after > $1)";
    let row = Row(sql!(text, backup_at.stored()).fetch_one(connection).await?);
    Ok(Witnesses {
        all: row.small("members")?,
        heard: row.small("heard")?,
    })
}

/// Nodes that have not reported and are not known to be out.
pub(crate) async fn awaited(connection: &mut Connection) -> Result<Vec<NodeId>, StoreError> {
    let text = "SELECT node FROM recovery_nodes WHERE reported_at IS NULL
                AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.node = recovery_nodes.node AND status IN ('revoked', 'quarantined'))
                AND NOT EXISTS (SELECT 1 FROM list_entries WHERE list_entries.node = recovery_nodes.node AND keep_until IS NULL)
                ORDER BY node";
    let rows = sql!(text).fetch_all(connection).await?;
    let node = |row| Ok(NodeId::from_bytes(Row(row).array("node")?));
    rows.into_iter().map(node).collect()
}

/// Notes the newest list that is merged.
pub(crate) async fn merged(connection: &mut Connection, list: ListPlace) -> Result<(), StoreError> {
    sql!(
        "UPDATE recovery SET revision = $1, list = $2",
        list.revision.stored(),
        list.sequence.stored()
    )
    .execute(&mut *connection)
    .await?;
    counter::raise(connection, "list", list.sequence.stored()).await
}

/// Keeps an entry of a merged list. Of two of one kind for one identity, the one that reaches further stays.
/// Without `keep_until` it stays until the node is let in again.
pub(crate) async fn keep_entry(
    connection: &mut Connection,
    node: NodeId,
    entry: &RevocationEntry,
    keep_until: Option<UnixTime>,
) -> Result<(), StoreError> {
    let statement = sql!(
        "INSERT INTO list_entries (identity, node, serials_up_to, kind, reason, since, keep_until) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (identity, kind) DO UPDATE SET
             reason = CASE WHEN excluded.serials_up_to >= list_entries.serials_up_to THEN excluded.reason ELSE list_entries.reason END,
             since = CASE WHEN excluded.serials_up_to >= list_entries.serials_up_to THEN excluded.since ELSE list_entries.since END,
             serials_up_to = CASE WHEN excluded.serials_up_to > list_entries.serials_up_to THEN excluded.serials_up_to
                         ELSE list_entries.serials_up_to END,
             keep_until = CASE WHEN excluded.keep_until IS NULL OR list_entries.keep_until IS NULL THEN NULL
                         WHEN excluded.keep_until > list_entries.keep_until THEN excluded.keep_until
                         ELSE list_entries.keep_until END",
        &entry.identity.as_bytes()[..],
        &node.as_bytes()[..],
        entry.serials_up_to.stored(),
        kind_stored(entry.kind),
        entry.reason.as_str(),
        entry.since.stored(),
        keep_until.map(|until| until.stored())
    );
    statement.execute(connection).await?;
    Ok(())
}

/// Ends the recovery.
pub(crate) async fn end(connection: &mut Connection) -> Result<(), StoreError> {
    for ended in ["DELETE FROM recovery", "DELETE FROM recovery_nodes"] {
        sql!(ended).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Why the list has whoever holds `identity` out, if it has.
pub(crate) async fn is_out(
    connection: &mut Connection,
    identity: &PublicKey,
) -> Result<Option<tidegate_proto::Reason>, StoreError> {
    let text = "SELECT reason FROM list_entries WHERE identity = $1";
    let row = sql!(text, &identity.as_bytes()[..])
        .fetch_optional(connection)
        .await?;
    row.map(|row| Row(row).parsed("reason")).transpose()
}
