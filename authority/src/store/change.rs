//! What has changed, one row per commit: how every server on this database hears of what the others do.

use tidegate_proto::{Sequence, UnixTime};

use super::{Connection, Counted as _, Row, StoreError, corrupt, json, sql};
use crate::service::Notice;

/// The notices of one commit.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) id: u64,
    pub(crate) notices: Vec<Notice>,
}

/// The counter of changes, and the one of the last that was forgotten.
const COUNTER: &str = "change";
const FORGOTTEN: &str = "change-forgotten";
/// The counter that holds which database this is, to followers.
const INSTANCE: &str = "change-instance";

/// Keeps the notices of the commit under way.
pub(super) async fn keep(
    connection: &mut Connection,
    notices: &[Notice],
    now: UnixTime,
) -> Result<(), StoreError> {
    let id: Sequence = super::counter::next_in_recovery(connection, COUNTER, now).await?;
    let text = "INSERT INTO changes (id, at, notices) VALUES ($1, $2, $3)";
    sql!(text, id.stored(), now.stored(), json(notices)?)
        .execute(connection)
        .await?;
    Ok(())
}

/// The changes behind `id`, at most `limit`, in order.
pub(crate) async fn since(
    connection: &mut Connection,
    id: u64,
    limit: u32,
) -> Result<Vec<Change>, StoreError> {
    let text = "SELECT id, notices FROM changes WHERE id > $1 ORDER BY id LIMIT $2";
    let rows = sql!(text, stored(id), i64::from(limit))
        .fetch_all(connection)
        .await?;
    let change = |row: Row| {
        Ok(Change {
            id: number(row.integer("id")?)?,
            notices: row.json("notices")?,
        })
    };
    rows.into_iter().map(Row).map(change).collect()
}

/// The last change that was forgotten: those behind it are all there.
pub(crate) async fn forgotten(connection: &mut Connection) -> Result<u64, StoreError> {
    counter(connection, FORGOTTEN).await
}

/// Forgets all but the newest `keep`, and those from before `before`.
pub(crate) async fn forget(
    connection: &mut Connection,
    before: UnixTime,
    keep: u32,
) -> Result<(), StoreError> {
    let text = "SELECT MAX(id) AS last FROM changes WHERE at < $1
                OR id <= (SELECT id FROM changes ORDER BY id DESC LIMIT 1 OFFSET $2)";
    let row = sql!(text, before.stored(), i64::from(keep))
        .fetch_one(&mut *connection)
        .await?;
    let Some(last) = Row(row).optional_integer("last")? else {
        return Ok(());
    };
    super::counter::raise(connection, FORGOTTEN, last).await?;
    sql!("DELETE FROM changes WHERE id <= $1", last)
        .execute(connection)
        .await?;
    Ok(())
}

/// Which database this is; `fresh` if it has not said so before.
pub(crate) async fn instance(connection: &mut Connection, fresh: u32) -> Result<u32, StoreError> {
    let text = "INSERT INTO counters (name, last) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    sql!(text, INSTANCE, i64::from(fresh))
        .execute(&mut *connection)
        .await?;
    let known = counter(connection, INSTANCE).await?;
    // A restored database counts on from here, like all of its numbers, and so is another to followers.
    Ok((known & u64::from(u32::MAX)) as u32)
}

async fn counter(connection: &mut Connection, name: &str) -> Result<u64, StoreError> {
    let text = "SELECT COALESCE(MAX(last), 0) AS last FROM counters WHERE name = $1";
    number(Row(sql!(text, name).fetch_one(connection).await?).integer("last")?)
}

fn number(stored: i64) -> Result<u64, StoreError> {
    u64::try_from(stored).map_err(|_| corrupt("changes", "is out of range"))
}

fn stored(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}
