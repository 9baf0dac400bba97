//! Invites, without their tokens.

use tidegate_proto::{Digest, InviteId, UnixTime};

use super::credential::{self, Kind};
use super::{Connection, Counted, Row, StoreError, json, sql};
use crate::service::InviteView;

const COLUMNS: &str = "id, roles, tags, uses_left, created_at, expires_at, revoked_at";

fn view(row: &Row) -> Result<InviteView, StoreError> {
    Ok(InviteView {
        id: InviteId::from_bytes(row.array("id")?),
        roles: row.json("roles")?,
        tags: row.json("tags")?,
        uses_left: row.small("uses_left")?,
        created_at: row.count("created_at")?,
        expires_at: row.count("expires_at")?,
        revoked_at: row.optional_count("revoked_at")?,
    })
}

/// Keeps an invite, by its token's hash.
pub(crate) async fn keep(
    connection: &mut Connection,
    invite: &InviteView,
    token: Digest,
) -> Result<(), StoreError> {
    let statement = sql!(
        "INSERT INTO invites (id, token, roles, tags, uses_left, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        invite.id.as_bytes().to_vec(),
        token.as_bytes().to_vec(),
        json(&*invite.roles)?,
        json(&*invite.tags)?,
        i64::from(invite.uses_left),
        invite.created_at.stored(),
        invite.expires_at.stored()
    );
    statement.execute(connection).await?;
    Ok(())
}

/// The invite with this token.
pub(crate) async fn by_token(
    connection: &mut Connection,
    token: Digest,
) -> Result<Option<InviteView>, StoreError> {
    let text = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM invites WHERE token = $1"));
    let row = sql!(text, token.as_bytes().to_vec())
        .fetch_optional(connection)
        .await?;
    row.map(|row| view(&Row(row))).transpose()
}

/// The newest invites, the newest first.
pub(crate) async fn newest(
    connection: &mut Connection,
    limit: usize,
) -> Result<Vec<InviteView>, StoreError> {
    let text = sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM invites ORDER BY created_at DESC, id LIMIT $1"
    ));
    let rows = sql!(text, limit as i64).fetch_all(connection).await?;
    rows.into_iter().map(|row| view(&Row(row))).collect()
}

/// How many still admit.
pub(crate) async fn open(connection: &mut Connection, now: UnixTime) -> Result<i64, StoreError> {
    let text = "SELECT COUNT(*) AS n FROM invites WHERE uses_left > 0 AND revoked_at IS NULL AND expires_at > $1";
    Row(sql!(text, now.stored()).fetch_one(connection).await?).integer("n")
}

/// Takes one use of the invite with this token away, if it still admits. With the last one it ends.
pub(crate) async fn use_once(
    connection: &mut Connection,
    token: Digest,
    now: UnixTime,
) -> Result<Option<InviteView>, StoreError> {
    let text = sqlx::AssertSqlSafe(format!(
        "UPDATE invites SET uses_left = uses_left - 1,
           expires_at = CASE WHEN uses_left > 1 THEN expires_at ELSE $2 END
         WHERE token = $1 AND uses_left > 0 AND revoked_at IS NULL AND expires_at > $2 RETURNING {COLUMNS}"
    ));
    let row = sql!(text, token.as_bytes().to_vec(), now.stored())
        .fetch_optional(connection)
        .await?;
    row.map(|row| view(&Row(row))).transpose()
}

/// Takes an invite back; false if there is none.
pub(crate) async fn revoke(
    connection: &mut Connection,
    id: InviteId,
    now: UnixTime,
) -> Result<bool, StoreError> {
    credential::revoke(connection, Kind::Invites, id.as_bytes(), now).await
}

/// Takes every invite back.
pub(crate) async fn revoke_all(
    connection: &mut Connection,
    now: UnixTime,
) -> Result<(), StoreError> {
    credential::revoke_all(connection, Kind::Invites, now).await
}

/// Forgets invites that ended before `before`.
pub(crate) async fn forget(
    connection: &mut Connection,
    before: UnixTime,
) -> Result<(), StoreError> {
    credential::forget(connection, Kind::Invites, before).await
}
