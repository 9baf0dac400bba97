//! API tokens, by their hashes.

use tidegate_proto::api::{Operation, TokenView};
use tidegate_proto::{BoundedSet, Digest, OperatorId, TokenId, UnixTime};

use super::credential::{self, Kind};
use super::{Connection, Counted, Row, StoreError, corrupt, json, sql};

/// A token, and the operator without whom it does not count.
pub(crate) struct Kept {
    pub(crate) view: TokenView,
    pub(crate) maker: OperatorId,
}

fn kept(row: &Row) -> Result<Kept, StoreError> {
    let operations: Option<Vec<Operation>> = row
        .optional_text("operations")?
        .map(|text| serde_json::from_str(text).map_err(|error| corrupt("operations", error)))
        .transpose()?;
    let operations = operations.map(BoundedSet::new).transpose();
    let view = TokenView {
        id: TokenId::from_bytes(row.array("id")?),
        name: row.parsed("name")?,
        role: row.json("role")?,
        operations: operations.map_err(|error| corrupt("operations", error))?,
        made_by: row.parsed("maker")?,
        created_at: row.count("created_at")?,
        expires_at: row.count("expires_at")?,
        used_at: row.optional_count("used_at")?,
        revoked_at: row.optional_count("revoked_at")?,
    };
    Ok(Kept {
        view,
        maker: OperatorId::from_bytes(row.array("made_by")?),
    })
}

/// Keeps a token, by its hash.
pub(crate) async fn keep(
    connection: &mut Connection,
    Kept { view, maker }: &Kept,
    hash: Digest,
) -> Result<(), StoreError> {
    let operations = view.operations.as_deref().map(json).transpose()?;
    let statement = sql!(
        "INSERT INTO tokens (id, hash, name, role, operations, made_by, maker, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &view.id.as_bytes()[..],
        &hash.as_bytes()[..],
        view.name.as_str(),
        json(&view.role)?,
        operations,
        &maker.as_bytes()[..],
        view.made_by.as_str(),
        view.created_at.stored(),
        view.expires_at.stored()
    );
    statement.execute(connection).await?;
    Ok(())
}

/// The token with this hash.
pub(crate) async fn by_hash(
    connection: &mut Connection,
    hash: Digest,
) -> Result<Option<Kept>, StoreError> {
    let row = sql!("SELECT * FROM tokens WHERE hash = $1", &hash.as_bytes()[..])
        .fetch_optional(connection)
        .await?;
    row.map(|row| kept(&Row(row))).transpose()
}

/// The token with this id.
pub(crate) async fn load(
    connection: &mut Connection,
    id: TokenId,
) -> Result<Option<Kept>, StoreError> {
    let row = sql!("SELECT * FROM tokens WHERE id = $1", &id.as_bytes()[..])
        .fetch_optional(connection)
        .await?;
    row.map(|row| kept(&Row(row))).transpose()
}

/// The newest tokens, the newest first.
pub(crate) async fn newest(
    connection: &mut Connection,
    limit: usize,
) -> Result<Vec<TokenView>, StoreError> {
    let text = "SELECT * FROM tokens ORDER BY created_at DESC, id LIMIT $1";
    let rows = sql!(text, limit as i64).fetch_all(connection).await?;
    rows.into_iter()
        .map(|row| Ok(kept(&Row(row))?.view))
        .collect()
}

/// How many still count, and whether one of them has this name.
pub(crate) async fn live(
    connection: &mut Connection,
    name: &str,
    now: UnixTime,
) -> Result<(i64, bool), StoreError> {
    let text =
        "SELECT COUNT(*) AS n, COALESCE(SUM(CASE WHEN name = $1 THEN 1 ELSE 0 END), 0) AS same
                FROM tokens WHERE revoked_at IS NULL AND expires_at > $2";
    let row = Row(sql!(text, name, now.stored()).fetch_one(connection).await?);
    Ok((row.integer("n")?, row.integer("same")? > 0))
}

/// Notes when a token was used.
pub(crate) async fn used(
    connection: &mut Connection,
    id: TokenId,
    at: UnixTime,
) -> Result<(), StoreError> {
    let text = "UPDATE tokens SET used_at = $2 WHERE id = $1 AND (used_at IS NULL OR used_at < $2)";
    sql!(text, &id.as_bytes()[..], at.stored())
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes a token back; false if there is none.
pub(crate) async fn revoke(
    connection: &mut Connection,
    id: TokenId,
    now: UnixTime,
) -> Result<bool, StoreError> {
    credential::revoke(connection, Kind::Tokens, id.as_bytes(), now).await
}

/// The tokens of one maker that count.
pub(crate) async fn live_of(
    connection: &mut Connection,
    maker: OperatorId,
    now: UnixTime,
) -> Result<Vec<TokenView>, StoreError> {
    let text = "SELECT * FROM tokens WHERE made_by = $1 AND revoked_at IS NULL AND expires_at > $2
                ORDER BY created_at, id";
    let rows = sql!(text, &maker.as_bytes()[..], now.stored())
        .fetch_all(connection)
        .await?;
    rows.into_iter()
        .map(|row| Ok(kept(&Row(row))?.view))
        .collect()
}

/// Takes every token back.
pub(crate) async fn revoke_all(
    connection: &mut Connection,
    now: UnixTime,
) -> Result<(), StoreError> {
    credential::revoke_all(connection, Kind::Tokens, now).await
}

/// Forgets tokens that ended before `before`.
pub(crate) async fn forget(
    connection: &mut Connection,
    before: UnixTime,
) -> Result<(), StoreError> {
    credential::forget(connection, Kind::Tokens, before).await
}
