//! The genesis chain, as it is kept.

use tidegate_proto::{Genesis, Signed, TrustChain};

use super::authority::OpenError;
use crate::store::{Row, Store, StoreError};

/// Follows the chain: what the database holds, and then what `outside` adds, which is kept as well.
pub(super) async fn follow(
    store: &Store,
    outside: Vec<Signed<Genesis>>,
) -> Result<TrustChain, OpenError> {
    let kept = kept(store).await?;
    let mut all = kept.iter().chain(&outside);
    let mut chain = TrustChain::trusting(all.next().ok_or(OpenError::NoGenesis)?)?;
    for genesis in all {
        chain.succeed(genesis)?;
    }
    let adding = outside.clone();
    store
        .write(move |tx| Box::pin(async move { keep(tx.connection(), &adding).await }))
        .await?;
    Ok(chain)
}

/// The revisions that are kept, the first first.
pub(super) async fn kept(store: &Store) -> Result<Vec<Signed<Genesis>>, StoreError> {
    let mut connection = store.read().await?;
    let rows = sqlx::query("SELECT envelope FROM genesis ORDER BY revision")
        .fetch_all(&mut *connection)
        .await?;
    rows.into_iter()
        .map(|row| Row(row).signed("envelope"))
        .collect()
}

async fn keep(
    connection: &mut crate::store::Connection,
    chain: &[Signed<Genesis>],
) -> Result<(), StoreError> {
    for genesis in chain {
        let revision =
            TrustChain::trusting(genesis).map_err(|error| StoreError::Failed(error.to_string()))?;
        sqlx::query("INSERT INTO genesis (revision, digest, envelope) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(revision.genesis().revision.value() as i64)
            .bind(&genesis.digest().as_bytes()[..])
            .bind(genesis.to_compact())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
