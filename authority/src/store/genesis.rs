//! The genesis chain.

use tidegate_proto::{Genesis, Revision, Signed};

use super::{Connection, Counted, Row, StoreError, sql};

/// The revisions, the first first.
pub(crate) async fn all(connection: &mut Connection) -> Result<Vec<Signed<Genesis>>, StoreError> {
    let rows = sql!("SELECT envelope FROM genesis ORDER BY revision")
        .fetch_all(connection)
        .await?;
    rows.into_iter()
        .map(|row| Row(row).signed("envelope"))
        .collect()
}

/// The revision in force.
pub(crate) async fn latest(connection: &mut Connection) -> Result<Option<Revision>, StoreError> {
    let row = sql!("SELECT MAX(revision) AS revision FROM genesis").fetch_one(connection);
    Row(row.await?).optional_count("revision")
}

/// Keeps a revision.
pub(crate) async fn keep(
    connection: &mut Connection,
    revision: Revision,
    genesis: &Signed<Genesis>,
) -> Result<(), StoreError> {
    let statement = sql!(
        "INSERT INTO genesis (revision, digest, envelope) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        revision.stored(),
        genesis.digest().as_bytes().to_vec(),
        genesis.to_compact()
    );
    statement.execute(connection).await?;
    Ok(())
}
