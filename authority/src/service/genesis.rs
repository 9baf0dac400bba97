//! The genesis chain, as it is kept, and its successions.

use std::sync::{Arc, PoisonError};

use tidegate_proto::{
    Accepted, EpochCeilings, Genesis, KeyId, PublicKey, Revision, SignError, Signed, SigningKey,
    SuccessionError, TrustChain,
};

use super::audit::{Entry, Event};
use super::authority::{OpenError, Trust};
use super::{AccessError, Actor, Authority, Caller, Notice};
use crate::store::{Connection, Store, StoreError, Tx, epoch, genesis, list, recovery};

/// What of the chain is not in the database yet.
pub(super) struct Fresh {
    genesis: Vec<Succession>,
    /// Whether the database holds revisions before these.
    succeeds: bool,
}

/// A revision, and what it changes about who signs.
struct Succession {
    genesis: Signed<Genesis>,
    revision: Revision,
    rotation: Option<Rotation>,
}

/// Other keys than before, by their ids.
struct Rotation {
    added: String,
    removed: String,
}

impl Succession {
    /// Follows `chain` one revision on; none if it is there already.
    fn of(chain: &mut TrustChain, genesis: Signed<Genesis>) -> Result<Option<Self>, OpenError> {
        let before = chain.genesis().authority.keys.clone();
        if chain.succeed(&genesis)? == Accepted::Known {
            return Ok(None);
        }
        Ok(Some(Self {
            genesis,
            revision: chain.genesis().revision,
            rotation: Rotation::between(&before, &chain.genesis().authority.keys),
        }))
    }
}

impl Rotation {
    fn between(before: &[PublicKey], after: &[PublicKey]) -> Option<Self> {
        let without = |keys: &[PublicKey], others: &[PublicKey]| {
            let rest = keys.iter().filter(|key| !others.contains(key));
            let ids: Vec<_> = rest.map(|key| KeyId::of(key).to_string()).collect();
            ids.join(" ")
        };
        let rotation = Self {
            added: without(after, before),
            removed: without(before, after),
        };
        let same = rotation.added.is_empty() && rotation.removed.is_empty();
        (!same).then_some(rotation)
    }
}

/// Follows the chain: what the database holds, and then what `outside` adds.
pub(super) async fn follow(
    store: &Store,
    outside: Vec<Signed<Genesis>>,
) -> Result<(TrustChain, Fresh), OpenError> {
    let kept = genesis::all(&mut *store.read().await?).await?;
    let known = kept.first().or(outside.first());
    let mut chain = TrustChain::trusting(known.ok_or(OpenError::NoGenesis)?)?;
    let mut fresh = Vec::new();
    if kept.is_empty() {
        fresh.push(Succession {
            genesis: chain.genesis().signed().clone(),
            revision: chain.genesis().revision,
            rotation: None,
        });
    }
    for genesis in &kept {
        chain.succeed(genesis)?;
    }
    for genesis in outside {
        fresh.extend(Succession::of(&mut chain, genesis)?);
    }
    let fresh = Fresh {
        genesis: fresh,
        succeeds: !kept.is_empty(),
    };
    Ok((chain, fresh))
}

impl Authority {
    /// Keeps what was found of the chain outside the database, as when a succession was installed meanwhile.
    pub(super) async fn keep_fresh(&self, fresh: Fresh) -> Result<(), OpenError> {
        let this = self.clone();
        let keep = async move |tx: &mut Tx| -> Result<(), OpenError> {
            for succession in &fresh.genesis {
                let Succession {
                    genesis, revision, ..
                } = succession;
                genesis::keep(tx.connection(), *revision, genesis).await?;
                if fresh.succeeds {
                    this.record_succession(tx, succession, &Actor::System)
                        .await?;
                }
            }
            Ok(())
        };
        let store = &self.0.store;
        store
            .write(move |tx| Box::pin(async move { keep(tx).await }))
            .await
    }

    /// Records that a succession is in force and who signs from now on, under the signature of the new keys.
    async fn record_succession(
        &self,
        tx: &mut Tx,
        succession: &Succession,
        actor: &Actor,
    ) -> Result<(), StoreError> {
        let entry = Entry::new(Event::GenesisSucceeded, actor, succession.revision);
        let entry = entry.with("digest", succession.genesis.digest());
        self.record(tx, entry).await?;
        if let Some(rotation) = &succession.rotation {
            let entry = Entry::new(Event::KeysRotated, actor, succession.revision)
                .with("added", &rotation.added)
                .with("removed", &rotation.removed);
            self.record(tx, entry).await?;
        }
        self.seal_head(tx).await
    }

    /// The genesis chain, the first revision first.
    pub async fn genesis_chain(&self) -> Result<Vec<Signed<Genesis>>, StoreError> {
        genesis::all(&mut *self.0.store.read().await?).await
    }

    /// The keys and rules of the genesis in force as this connection sees it: another server on this database may have
    /// put a succession in force.
    pub(super) async fn trust_in_force(
        &self,
        connection: &mut Connection,
    ) -> Result<Arc<Trust>, StoreError> {
        let held = self.trust();
        let latest = genesis::latest(connection).await?;
        if latest.is_none_or(|latest| latest == held.revision()) {
            return Ok(held);
        }
        let behind = |error: OpenError| StoreError::Behind(error.to_string());
        let chain = chain_of(&genesis::all(connection).await?).map_err(behind)?;
        let fresh = Arc::new(Trust::of(chain, &self.keys()).map_err(behind)?);
        // A reader may see what was before a succession that is being put in force at this moment.
        self.trust_from_now(&fresh, |held| fresh.revision() > held.revision());
        Ok(fresh)
    }

    /// Has a change be made under the genesis in force: it may be another than before, also an earlier one if a succession
    /// did not get to the disk. Read once in a transaction, unless one of its changes puts a succession in force.
    pub(crate) async fn follow_trust(&self, tx: &mut Tx) -> Result<(), StoreError> {
        if tx.seen().revision == Some(self.trust().revision()) {
            return Ok(());
        }
        let trust = self.trust_in_force(tx.connection()).await?;
        tx.seen().revision = Some(trust.revision());
        self.trust_from_now(&trust, |_| true);
        Ok(())
    }

    fn trust_from_now(&self, fresh: &Arc<Trust>, over: impl Fn(&Trust) -> bool) {
        let mut held = self.0.trust.write().unwrap_or_else(PoisonError::into_inner);
        if over(&held) {
            *held = Arc::clone(fresh);
        }
    }

    /// Puts a succession in force: policy and list are signed anew under its keys, certificates and grants as well where
    /// those of before do not count any more.
    pub async fn install_genesis(
        &self,
        genesis: Signed<Genesis>,
        caller: Caller,
    ) -> Result<(), OpenError> {
        let mut chain = self.trust().chain.clone();
        let Some(succession) = Succession::of(&mut chain, genesis)? else {
            return Ok(());
        };
        Trust::of(chain, &self.keys())?;
        self.effect(async move |this, tx| this.install_within(tx, &succession, &caller).await)
            .await
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

    async fn install_within(
        &self,
        tx: &mut Tx,
        succession: &Succession,
        caller: &Caller,
    ) -> Result<(), OpenError> {
        let refused = |error: AccessError| OpenError::Refused(error.to_string());
        self.spend(tx, caller).await.map_err(refused)?;
        let latest = genesis::latest(tx.connection()).await?;
        if latest.and_then(Revision::next) != Some(succession.revision) {
            let first = "another succession came first; try again";
            return Err(OpenError::Refused(first.to_owned()));
        }
        genesis::keep(tx.connection(), succession.revision, &succession.genesis).await?;
        self.trust_in_force(tx.connection()).await?;
        self.record_succession(tx, succession, &caller.actor)
            .await?;
        self.keep_up(tx).await
    }

    /// Has list and policy be of the genesis in force, and the list a fresh one.
    pub(super) async fn keep_up<E>(&self, tx: &mut Tx) -> Result<(), E>
    where
        E: From<StoreError> + From<SignError>,
    {
        if recovery::current(tx.connection()).await?.is_some() {
            return Ok(()); // whatever is signed now would lack what was decided since the backup
        }
        let (now, trust) = (tx.now(), self.trust());
        let revision = trust.revision();
        let place = list::place(tx.connection()).await?;
        let succeeded = place.is_some_and(|place| place.revision != revision);
        self.refresh_list::<E>(tx).await?;
        if let Some(in_force) = self.policy_in_force(tx.connection()).await?
            && (in_force.policy.revision != revision
                || in_force.signed.verify(&trust.keyring, now).is_err())
        {
            self.sign_policy_anew::<E>(tx, &in_force).await?;
        }
        if succeeded {
            epoch::reopen(tx.connection(), now).await?;
            self.tell_full_rosters(tx).await?;
            tx.announce(Notice::Genesis);
            self.has_work(tx);
        }
        Ok(())
    }
}

/// The chain that `revisions` make, the first first.
/// The ceilings of every revision, the first one's first.
pub(super) fn ceilings(
    revisions: &[Signed<Genesis>],
) -> Result<Vec<EpochCeilings>, SuccessionError> {
    let Some((first, later)) = revisions.split_first() else {
        return Ok(Vec::new());
    };
    let mut chain = TrustChain::trusting(first)?;
    let mut ceilings = vec![chain.genesis().ceilings];
    for genesis in later {
        chain.succeed(genesis)?;
        ceilings.push(chain.genesis().ceilings);
    }
    Ok(ceilings)
}

fn chain_of(revisions: &[Signed<Genesis>]) -> Result<TrustChain, OpenError> {
    let (first, others) = revisions.split_first().ok_or(OpenError::NoGenesis)?;
    let mut chain = TrustChain::trusting(first)?;
    for genesis in others {
        chain.succeed(genesis)?;
    }
    Ok(chain)
}
