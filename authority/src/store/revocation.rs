//! Decisions that put somebody out, and what the ledger says of them.

use tidegate_proto::bound::LedgerGap;
use tidegate_proto::{ListPlace, NodeId, Revision, Sequence, Span, UnixTime};

use super::list::{kind_of, kind_stored};
use super::{Connection, Counted, Row, StoreError, corrupt, sql};
use crate::service::RevocationView;

/// A decision and the revision of the list that first says so.
pub(crate) struct Kept {
    pub(crate) view: RevocationView,
    pub(crate) revision: Revision,
    /// How it ended: JSON.
    pub(crate) settled: Option<Vec<u8>>,
}

impl Kept {
    /// The first list that says so.
    pub(crate) fn place(&self) -> ListPlace {
        ListPlace {
            revision: self.revision,
            sequence: self.view.list,
        }
    }
}

fn kept(row: &Row) -> Result<Kept, StoreError> {
    Ok(Kept {
        view: RevocationView {
            list: row.count("list")?,
            node: NodeId::from_bytes(row.array("node")?),
            kind: kind_of(row)?,
            reason: row.parsed("reason")?,
            since: row.count("since")?,
            bound: row.optional_count("bound")?,
        },
        revision: row.count("revision")?,
        settled: row.optional_bytes("settled")?.map(<[u8]>::to_vec),
    })
}

/// Keeps a decision.
pub(crate) async fn keep(
    connection: &mut Connection,
    revision: Revision,
    view: &RevocationView,
) -> Result<(), StoreError> {
    let statement = sql!(
        "INSERT INTO revocations (list, revision, node, kind, reason, since, bound) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        view.list.stored(),
        revision.stored(),
        &view.node.as_bytes()[..],
        kind_stored(view.kind),
        view.reason.as_str(),
        view.since.stored(),
        view.bound.map(|bound| bound.stored())
    );
    statement.execute(connection).await?;
    Ok(())
}

/// The decision that began with `list`.
pub(crate) async fn load(
    connection: &mut Connection,
    list: Sequence,
) -> Result<Option<Kept>, StoreError> {
    let row = sql!("SELECT * FROM revocations WHERE list = $1", list.stored())
        .fetch_optional(connection)
        .await?;
    row.map(|row| kept(&Row(row))).transpose()
}

/// The latest decisions.
pub(crate) async fn latest(
    connection: &mut Connection,
    limit: u32,
) -> Result<Vec<Kept>, StoreError> {
    let text = "SELECT * FROM revocations ORDER BY list DESC LIMIT $1";
    let rows = sql!(text, i64::from(limit)).fetch_all(connection).await?;
    rows.into_iter().map(|row| kept(&Row(row))).collect()
}

/// Decisions that somebody may not have heard of yet.
pub(crate) async fn open(connection: &mut Connection) -> Result<Vec<Kept>, StoreError> {
    let text = "SELECT * FROM revocations WHERE settled IS NULL ORDER BY list LIMIT 1000";
    let rows = sql!(text).fetch_all(connection).await?;
    rows.into_iter().map(|row| kept(&Row(row))).collect()
}

/// Publishes a bound, which only falls.
pub(crate) async fn publish(
    connection: &mut Connection,
    list: Sequence,
    bound: Option<UnixTime>,
) -> Result<(), StoreError> {
    let text = "UPDATE revocations SET bound = $2 WHERE list = $1 AND bound IS NOT NULL AND ($2 IS NULL OR $2 < bound)";
    sql!(text, list.stored(), bound.map(|bound| bound.stored()))
        .execute(connection)
        .await?;
    Ok(())
}

/// Keeps how a revocation ended.
pub(crate) async fn settle(
    connection: &mut Connection,
    list: Sequence,
    outcome: Vec<u8>,
) -> Result<(), StoreError> {
    let text =
        "UPDATE revocations SET settled = $2, bound = NULL WHERE list = $1 AND settled IS NULL";
    sql!(text, list.stored(), outcome)
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets how revocations ended that were made before `before`, but not the newest `keep`. A list's sequence is never
/// less than the time at which it was signed.
pub(crate) async fn forget(
    connection: &mut Connection,
    before: UnixTime,
    keep: u32,
) -> Result<(), StoreError> {
    let text = "DELETE FROM revocations WHERE settled IS NOT NULL AND list < $1
                AND list <= (SELECT list FROM revocations ORDER BY list DESC LIMIT 1 OFFSET $2)";
    sql!(text, before.stored(), i64::from(keep))
        .execute(connection)
        .await?;
    Ok(())
}

/// The spans of which the ledger may lack releases.
pub(crate) async fn gaps(connection: &mut Connection) -> Result<Vec<LedgerGap>, StoreError> {
    let rows = sql!("SELECT until, longest FROM ledger_gaps")
        .fetch_all(connection)
        .await?;
    let gap = |row: Row| {
        let longest: UnixTime = row.count("longest")?;
        Ok(LedgerGap {
            until: row.count("until")?,
            longest: Span::from_millis(longest.as_millis()),
        })
    };
    rows.into_iter().map(Row).map(gap).collect()
}

/// Notes that releases may be missing.
pub(crate) async fn note_gap(
    connection: &mut Connection,
    gap: &LedgerGap,
) -> Result<(), StoreError> {
    sql!(
        "INSERT INTO ledger_gaps (until, longest) VALUES ($1, $2) ON CONFLICT (until) DO UPDATE
         SET longest = CASE WHEN excluded.longest > ledger_gaps.longest THEN excluded.longest ELSE ledger_gaps.longest END",
        gap.until.stored(),
        UnixTime::from_millis(gap.longest.as_millis()).stored()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Reads how a revocation ended.
pub(crate) fn outcome<T: serde::de::DeserializeOwned>(settled: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(settled).map_err(|error| corrupt("settled", error))
}
