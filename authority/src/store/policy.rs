//! Policies.

use tidegate_proto::policy::Policy;
use tidegate_proto::{Digest, Sequence, Signed, UnixTime};

use super::{Connection, Counted, Row, StoreError, json, sql};

/// A policy as it was kept.
pub(crate) struct Kept {
    pub(crate) policy: Policy,
    pub(crate) signed: Signed<Policy>,
}

/// The version and the digest of the policy in force.
pub(crate) async fn version(
    connection: &mut Connection,
) -> Result<Option<(Sequence, Digest)>, StoreError> {
    let row = sql!("SELECT version, digest FROM policies ORDER BY version DESC LIMIT 1")
        .fetch_optional(connection)
        .await?;
    let Some(row) = row.map(Row) else {
        return Ok(None);
    };
    Ok(Some((
        row.count("version")?,
        Digest::from_bytes(row.array("digest")?),
    )))
}

/// One version.
pub(crate) async fn load(
    connection: &mut Connection,
    version: Sequence,
) -> Result<Option<Kept>, StoreError> {
    let row = sql!(
        "SELECT envelope, document FROM policies WHERE version = $1",
        version.stored()
    );
    let Some(row) = row.fetch_optional(connection).await?.map(Row) else {
        return Ok(None);
    };
    Ok(Some(Kept {
        policy: row.json("document")?,
        signed: row.signed("envelope")?,
    }))
}

/// Keeps a new version.
pub(crate) async fn keep(
    connection: &mut Connection,
    policy: &Policy,
    signed: &Signed<Policy>,
) -> Result<(), StoreError> {
    let statement = sql!(
        "INSERT INTO policies (version, digest, envelope, document, issued_at) VALUES ($1, $2, $3, $4, $5)",
        policy.version.stored(),
        signed.digest().as_bytes().to_vec(),
        signed.to_compact(),
        json(policy)?,
        policy.issued_at.stored()
    );
    statement.execute(connection).await?;
    Ok(())
}

/// Forgets policies that were replaced before `before`.
pub(crate) async fn forget(
    connection: &mut Connection,
    before: UnixTime,
) -> Result<(), StoreError> {
    let text = "DELETE FROM policies WHERE version < (SELECT MAX(version) FROM policies WHERE version < $1)";
    sql!(text, before.stored()).execute(connection).await?;
    Ok(())
}
