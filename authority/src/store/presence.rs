//! When nodes were last heard of.

use tidegate_proto::{ListPlace, NodeId, UnixTime};

use super::{Connection, Counted, Row, StoreError, sql};
use crate::service::Presence;

/// Keeps what a node said of itself last.
pub(crate) async fn keep(
    connection: &mut Connection,
    node: NodeId,
    presence: &Presence,
    signed_at: UnixTime,
) -> Result<(), StoreError> {
    let statement = sql!(
        "INSERT INTO presence (node, last_seen, program, revision, list, policy, roster, peers, signed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (node) DO UPDATE SET last_seen = excluded.last_seen, program = excluded.program,
             revision = excluded.revision, list = excluded.list, policy = excluded.policy, roster = excluded.roster, peers = excluded.peers,
             signed_at = excluded.signed_at
         WHERE excluded.last_seen >= presence.last_seen",
        &node.as_bytes()[..],
        presence.last_seen.stored(),
        presence.program.as_str(),
        presence.list.revision.stored(),
        presence.list.sequence.stored(),
        presence.policy.stored(),
        presence.roster.stored(),
        i64::from(presence.peers),
        signed_at.stored()
    );
    statement.execute(connection).await?;
    Ok(())
}

/// What `node` said of itself last.
pub(crate) async fn load(
    connection: &mut Connection,
    node: NodeId,
) -> Result<Option<Presence>, StoreError> {
    let text = "SELECT * FROM presence WHERE node = $1";
    let Some(row) = sql!(text, &node.as_bytes()[..])
        .fetch_optional(connection)
        .await?
        .map(Row)
    else {
        return Ok(None);
    };
    Ok(Some(Presence {
        last_seen: row.count("last_seen")?,
        program: row.parsed("program")?,
        list: ListPlace {
            revision: row.count("revision")?,
            sequence: row.count("list")?,
        },
        policy: row.count("policy")?,
        roster: row.count("roster")?,
        peers: row.small("peers")?,
        seen_from: None,
    }))
}

/// When `node` signed its last heartbeat that was kept.
pub(crate) async fn signed_at(
    connection: &mut Connection,
    node: NodeId,
) -> Result<Option<UnixTime>, StoreError> {
    let text = "SELECT signed_at FROM presence WHERE node = $1";
    let row = sql!(text, &node.as_bytes()[..])
        .fetch_optional(connection)
        .await?;
    row.map(|row| Row(row).count("signed_at")).transpose()
}

/// Members who were last heard of, or let in, before `before` and are not marked offline yet, with that time.
pub(crate) async fn silent(
    connection: &mut Connection,
    before: UnixTime,
) -> Result<Vec<(NodeId, UnixTime)>, StoreError> {
    let text =
        "SELECT nodes.node AS node, MAX(nodes.since, COALESCE(presence.last_seen, 0)) AS heard
                FROM nodes LEFT JOIN presence ON presence.node = nodes.node
                WHERE nodes.status = 'allowed' AND nodes.offline_since IS NULL
                AND nodes.since < $1 AND COALESCE(presence.last_seen, 0) < $1";
    heard(sql!(text, before.stored()).fetch_all(connection).await?)
}

/// Members marked offline who have been heard of since `since`, with when that was.
pub(crate) async fn back(
    connection: &mut Connection,
    since: UnixTime,
) -> Result<Vec<(NodeId, UnixTime)>, StoreError> {
    let text = "SELECT nodes.node AS node, presence.last_seen AS heard
                FROM nodes JOIN presence ON presence.node = nodes.node
                WHERE nodes.status = 'allowed' AND nodes.offline_since IS NOT NULL AND presence.last_seen >= $1";
    heard(sql!(text, since.stored()).fetch_all(connection).await?)
}

/// Marks a node offline, or not.
pub(crate) async fn mark(
    connection: &mut Connection,
    node: NodeId,
    offline_since: Option<UnixTime>,
) -> Result<(), StoreError> {
    let text = "UPDATE nodes SET offline_since = $2 WHERE node = $1";
    sql!(
        text,
        &node.as_bytes()[..],
        offline_since.map(|time| time.stored())
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn heard(rows: Vec<sqlx::sqlite::SqliteRow>) -> Result<Vec<(NodeId, UnixTime)>, StoreError> {
    let one = |row: Row| Ok((NodeId::from_bytes(row.array("node")?), row.count("heard")?));
    rows.into_iter().map(Row).map(one).collect()
}
