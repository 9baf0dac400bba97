//! The genesis chain, as it is kept, and its successions.

use std::sync::{Arc, PoisonError};

use tidegate_proto::{Accepted, Genesis, SignError, Signed, SigningKey, TrustChain};

use super::audit::{Entry, Event};
use super::authority::{OpenError, Trust};
use super::{AccessError, Authority, Caller, Notice};
use crate::store::{Store, StoreError, Tx, counter, genesis, policy, recovery};

/// Follows the chain: what the database holds, and then what `outside` adds, which is kept as well.
pub(super) async fn follow(
    store: &Store,
    outside: Vec<Signed<Genesis>>,
) -> Result<TrustChain, OpenError> {
    let kept = genesis::all(&mut *store.read().await?).await?;
    let mut all = kept.iter().chain(&outside);
    let mut chain = TrustChain::trusting(all.next().ok_or(OpenError::NoGenesis)?)?;
    let mut fresh = Vec::new();
    if kept.is_empty() {
        fresh.push((chain.genesis().revision, chain.genesis().signed().clone()));
    }
    for genesis in all {
        if chain.succeed(genesis)? == Accepted::New {
            fresh.push((chain.genesis().revision, genesis.clone()));
        }
    }
    fresh.drain(
        ..fresh
            .iter()
            .take_while(|(revision, _)| revision.value() <= kept.len() as u64)
            .count(),
    );
    let keep = async move |tx: &mut Tx| -> Result<(), StoreError> {
        for (revision, signed) in &fresh {
            genesis::keep(tx.connection(), *revision, signed).await?;
        }
        Ok(())
    };
    store
        .write(move |tx| Box::pin(async move { keep(tx).await }))
        .await?;
    Ok(chain)
}

impl Authority {
    /// The genesis chain, the first revision first.
    pub async fn genesis_chain(&self) -> Result<Vec<Signed<Genesis>>, StoreError> {
        genesis::all(&mut *self.0.store.read().await?).await
    }

    /// Puts a succession in force: policy and list are signed anew under its keys.
    pub async fn install_genesis(
        &self,
        genesis: Signed<Genesis>,
        caller: Caller,
    ) -> Result<(), OpenError> {
        let mut chain = self.trust().chain.clone();
        if chain.succeed(&genesis)? == Accepted::Known {
            return Ok(());
        }
        let trust = Arc::new(Trust::of(chain, &self.keys())?);
        self.effect(async move |this, tx| this.install_within(tx, &genesis, trust, &caller).await)
            .await
    }

    async fn install_within(
        &self,
        tx: &mut Tx,
        genesis: &Signed<Genesis>,
        trust: Arc<Trust>,
        caller: &Caller,
    ) -> Result<(), OpenError> {
        let refused = |error: AccessError| OpenError::Refused(error.to_string());
        self.spend(tx, caller).await.map_err(refused)?;
        let revision = trust.chain.genesis().revision;
        genesis::keep(tx.connection(), revision, genesis).await?;
        self.sign_policy_anew::<OpenError>(tx, &trust).await?;
        let entry = Entry::new(Event::GenesisSucceeded, &caller.actor, revision);
        self.record(tx, entry.with("digest", genesis.digest()))
            .await?;
        let inner = Arc::clone(&self.0);
        tx.after_commit(move || {
            *inner.trust.write().unwrap_or_else(PoisonError::into_inner) = trust
        });
        self.announce(tx, Notice::Genesis);
        self.has_work(tx); // the next tick signs the list anew
        Ok(())
    }

    /// Takes on the signing keys and the successions that were put into the data directory meanwhile. True if there
    /// was a succession.
    pub async fn adopt(
        &self,
        chain: Vec<Signed<Genesis>>,
        keys: Vec<Arc<SigningKey>>,
    ) -> Result<bool, OpenError> {
        let before = self.trust().revision();
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        for genesis in chain {
            self.install_genesis(genesis, Caller::system()).await?;
        }
        Ok(self.trust().revision() > before)
    }

    /// Signs the policy again if it was signed under an earlier genesis, as after a succession that was installed
    /// while the authority was down.
    pub(super) async fn refresh_policy(&self, tx: &mut Tx) -> Result<(), OpenError> {
        if recovery::current(tx.connection()).await?.is_some() {
            return Ok(());
        }
        let trust = self.trust();
        match self.policy_in_force(tx.connection()).await? {
            Some(in_force) if in_force.policy.revision < trust.revision() => {
                self.sign_policy_anew(tx, &trust).await
            }
            _ => Ok(()),
        }
    }

    /// Puts the policy in force once more, as the next version and under the keys of `trust`.
    pub(super) async fn sign_policy_anew<E>(&self, tx: &mut Tx, trust: &Trust) -> Result<(), E>
    where
        E: From<StoreError> + From<SignError>,
    {
        let Some(in_force) = self.policy_in_force(tx.connection()).await? else {
            return Ok(());
        };
        let now = tx.now();
        let mut again = in_force.policy.clone();
        again.version = counter::next(tx.connection(), "policy", now).await?;
        (again.revision, again.issued_at) = (trust.revision(), now);
        let signed = trust.signer.sign(&again)?;
        policy::keep(tx.connection(), &again, &signed).await?;
        self.announce(tx, Notice::Policy(again.version));
        Ok(())
    }
}
