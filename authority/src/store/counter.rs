//! Numbers that only rise.

use sqlx::AssertSqlSafe;
use tidegate_proto::UnixTime;

use super::{Connection, Counted, Row, StoreError, sql};

const ADVANCE: &str = "INSERT INTO counters (name, last) SELECT $1, $2";
const RISE: &str = "ON CONFLICT (name) DO UPDATE
    SET last = CASE WHEN counters.last >= $2 THEN counters.last + 1 ELSE $2 END RETURNING last";

/// The next number of `name`: one more than the last, or the time in milliseconds if that is more. A database that
/// was put back to an earlier state so never repeats one, and gives none out before its recovery is over.
pub(crate) async fn next<T: Counted>(
    connection: &mut Connection,
    name: &str,
    now: UnixTime,
) -> Result<T, StoreError> {
    let text = AssertSqlSafe(format!(
        "{ADVANCE} WHERE NOT EXISTS (SELECT 1 FROM recovery) {RISE}"
    ));
    let row = sql!(text, name, now.stored()).fetch_optional(connection);
    let row = row.await?.ok_or(StoreError::Recovering)?;
    Row(row).count("last")
}

/// As [`next`], for what recovery itself keeps.
pub(crate) async fn next_in_recovery<T: Counted>(
    connection: &mut Connection,
    name: &str,
    now: UnixTime,
) -> Result<T, StoreError> {
    let text = AssertSqlSafe(format!("{ADVANCE} WHERE true {RISE}"));
    let row = sql!(text, name, now.stored()).fetch_one(connection);
    Row(row.await?).count("last")
}

/// The last number of `name` that was given out.
pub(crate) async fn last<T: Counted>(
    connection: &mut Connection,
    name: &str,
) -> Result<Option<T>, StoreError> {
    let row = sql!("SELECT last FROM counters WHERE name = $1", name)
        .fetch_optional(connection)
        .await?;
    row.map(|row| Row(row).count("last")).transpose()
}

/// Puts `name` at `value`, never back.
pub(crate) async fn raise(
    connection: &mut Connection,
    name: &str,
    value: i64,
) -> Result<(), StoreError> {
    let statement = sql!(
        "INSERT INTO counters (name, last) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE
         SET last = CASE WHEN counters.last > $2 THEN counters.last ELSE $2 END",
        name,
        value
    );
    statement.execute(connection).await?;
    Ok(())
}
