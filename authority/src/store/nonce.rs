//! Nonces of signed requests that were carried out.

use tidegate_proto::{KeyId, Nonce, UnixTime};

use super::{Connection, Counted, StoreError, sql};

/// Remembers a nonce; false if it was known.
pub(crate) async fn spend(
    connection: &mut Connection,
    key: KeyId,
    nonce: &Nonce,
    expires: UnixTime,
) -> Result<bool, StoreError> {
    let statement = sql!(
        "INSERT INTO nonces (key_id, nonce, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        &key.as_bytes()[..],
        &nonce.as_bytes()[..],
        expires.stored()
    );
    Ok(statement.execute(connection).await?.rows_affected() == 1)
}

/// Forgets those that no signature in time can carry any more.
pub(crate) async fn forget(connection: &mut Connection, now: UnixTime) -> Result<(), StoreError> {
    sql!("DELETE FROM nonces WHERE expires_at < $1", now.stored())
        .execute(connection)
        .await?;
    Ok(())
}
