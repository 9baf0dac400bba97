//! What invites and tokens have in common: an end, and that they are taken back before it.

use sqlx::AssertSqlSafe;
use tidegate_proto::UnixTime;

use super::{Connection, Counted as _, StoreError, sql};

/// Where they are kept.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Invites,
    Tokens,
}

impl Kind {
    fn table(self) -> &'static str {
        match self {
            Self::Invites => "invites",
            Self::Tokens => "tokens",
        }
    }
}

/// Takes one back; false if there is none. One that was taken back already stays as it is.
pub(super) async fn revoke(
    connection: &mut Connection,
    kind: Kind,
    id: &[u8],
    now: UnixTime,
) -> Result<bool, StoreError> {
    let table = kind.table();
    let text = format!("UPDATE {table} SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1");
    let done = sql!(AssertSqlSafe(text), id, now.stored()).execute(connection);
    Ok(done.await?.rows_affected() == 1)
}

/// Takes all of them back: of a restored database nobody can say which were, or were used up.
pub(super) async fn revoke_all(
    connection: &mut Connection,
    kind: Kind,
    now: UnixTime,
) -> Result<(), StoreError> {
    let table = kind.table();
    let text = format!("UPDATE {table} SET revoked_at = $1 WHERE revoked_at IS NULL");
    sql!(AssertSqlSafe(text), now.stored())
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets those that ended before `before`, or were taken back before it.
pub(super) async fn forget(
    connection: &mut Connection,
    kind: Kind,
    before: UnixTime,
) -> Result<(), StoreError> {
    let table = kind.table();
    let text = format!("DELETE FROM {table} WHERE expires_at < $1 OR revoked_at < $1");
    sql!(AssertSqlSafe(text), before.stored())
        .execute(connection)
        .await?;
    Ok(())
}
