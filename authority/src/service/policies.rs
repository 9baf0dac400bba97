//! Policies: versions, checks, and the settings that they carry.

use std::sync::{Arc, PoisonError};

use tidegate_proto::policy::{Condition, Consequence, MembershipRule, Policy, PolicyFile, Subject};
use tidegate_proto::{
    Digest, Document as _, EpochSettings, Sequence, SignError, Signed, VerifyError,
};

use super::audit::{Entry, Event};
use super::{
    Actor, Authority, Caller, Notice, Operation, PolicyChangeError, PolicyCheck, ReadError,
};
use crate::store::{Connection, Counted as _, StoreError, Tx, corrupt, counter, policy};

/// The policy in force, read once.
pub(crate) struct InForce {
    pub(crate) version: Sequence,
    pub(crate) digest: Digest,
    pub(crate) policy: Policy,
    pub(crate) signed: Signed<Policy>,
}

impl Authority {
    /// The policy in force as this connection sees it.
    pub(super) async fn policy_in_force(
        &self,
        connection: &mut Connection,
    ) -> Result<Option<Arc<InForce>>, StoreError> {
        let Some((version, digest)) = policy::version(connection).await? else {
            return Ok(None);
        };
        let cached = self
            .0
            .policy
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(cached) =
            cached.filter(|cached| (cached.version, cached.digest) == (version, digest))
        {
            return Ok(Some(cached));
        }
        let kept = policy::load(connection, version)
            .await?
            .ok_or_else(|| corrupt("policies", "lost a version"))?;
        let fresh = Arc::new(InForce {
            version,
            digest,
            policy: kept.policy,
            signed: kept.signed,
        });
        *self.0.policy.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&fresh));
        Ok(Some(fresh))
    }

    /// How long things last: by the policy, or by the genesis while there is none. Never longer than the genesis in force
    /// lets it: a succession may have lowered its ceilings below what the policy says.
    pub(super) async fn settings(
        &self,
        connection: &mut Connection,
    ) -> Result<EpochSettings, StoreError> {
        let in_force = self.policy_in_force(connection).await?;
        let trust = self.trust();
        let genesis = trust.chain.genesis();
        let settings = in_force.map_or(genesis.epochs, |in_force| in_force.policy.epochs);
        Ok(settings.within(&genesis.ceilings))
    }

    /// The policy in force.
    pub async fn policy(&self) -> Result<Signed<Policy>, ReadError> {
        let mut connection = self.0.store.read().await?;
        let in_force = self
            .policy_in_force(&mut connection)
            .await?
            .ok_or(ReadError::NotYet("policy"))?;
        Ok(in_force.signed.clone())
    }

    /// The policy in force, read: its operators, rules and settings.
    pub async fn policy_document(&self) -> Result<Policy, ReadError> {
        let mut connection = self.0.store.read().await?;
        let in_force = self
            .policy_in_force(&mut connection)
            .await?
            .ok_or(ReadError::NotYet("policy"))?;
        Ok(in_force.policy.clone())
    }

    /// The policy in force, in the form that people write.
    pub async fn policy_file(&self) -> Result<String, ReadError> {
        Ok(PolicyFile::render(&self.policy_document().await?))
    }

    /// What a policy file would do. Nothing is changed.
    pub async fn check_policy(&self, text: &str) -> Result<PolicyCheck, PolicyChangeError> {
        let trust = self.trust();
        let policy = PolicyFile::parse(text)?.into_policy(
            self.network(),
            trust.revision(),
            Sequence::default(),
            self.clock().now(),
        );
        self.check_sound(&policy)?;
        let view = self.view().await?;
        let without_rules = |subject: Subject<'_>| policy.rules_for(subject).is_empty();
        let isolated = view
            .directory
            .members()
            .filter(|member| without_rules(member.subject(trust.chain.genesis())))
            .map(|member| member.name.clone())
            .collect();
        Ok(PolicyCheck { policy, isolated })
    }

    pub(super) fn check_sound(&self, policy: &Policy) -> Result<(), PolicyChangeError> {
        check_carried_out(policy)?;
        policy.check().map_err(PolicyChangeError::Rule)?;
        policy
            .check_within(self.trust().chain.genesis(), self.clock().now())
            .map_err(PolicyChangeError::Rule)
    }

    /// Puts a policy file in force, if the version in force is `base` (where given).
    pub async fn put_policy(
        &self,
        text: String,
        base: Option<Sequence>,
        caller: Caller,
    ) -> Result<Signed<Policy>, PolicyChangeError> {
        let file = PolicyFile::parse(&text)?;
        self.check_sound(&file.clone().into_policy(
            self.network(),
            self.trust().revision(),
            Sequence::default(),
            self.clock().now(),
        ))?;
        self.effect(async move |this, tx| this.change_policy(tx, file, base, &caller).await)
            .await
    }

    async fn change_policy(
        &self,
        tx: &mut Tx,
        file: PolicyFile,
        base: Option<Sequence>,
        caller: &Caller,
    ) -> Result<Signed<Policy>, PolicyChangeError> {
        self.admit(tx, caller, Operation::ChangePolicy).await?;
        let before = self.policy_in_force(tx.connection()).await?;
        let have = before
            .as_ref()
            .map_or(Sequence::default(), |before| before.version);
        if base.is_some_and(|base| base != have) {
            return Err(PolicyChangeError::Changed { have });
        }
        let (now, trust) = (tx.now(), self.trust());
        let version = counter::next(tx.connection(), "policy", now).await?;
        let policy = file.into_policy(self.network(), trust.revision(), version, now);
        let signed = trust.signer.sign(&policy)?;
        self.put_in_force(tx, before, policy, signed, caller).await
    }

    /// Puts a policy in force that was signed elsewhere, as by the ceremony that made the genesis.
    pub async fn install_policy(
        &self,
        signed: Signed<Policy>,
        caller: Caller,
    ) -> Result<(), PolicyChangeError> {
        let verified = signed.verify(&self.keyring(), self.clock().now());
        let policy =
            (*verified.map_err(|error| PolicyChangeError::Refused(error.to_string()))?).clone();
        check_carried_out(&policy)?;
        self.effect(async move |this, tx| -> Result<(), PolicyChangeError> {
            this.admit(tx, &caller, Operation::ChangePolicy).await?;
            let before = this.policy_in_force(tx.connection()).await?;
            let last: Option<Sequence> = counter::last(tx.connection(), "policy").await?;
            if let Some(have) = last.filter(|last| policy.version <= *last) {
                return Err(PolicyChangeError::Changed { have });
            }
            counter::raise(tx.connection(), "policy", policy.version.stored()).await?;
            this.put_in_force(tx, before, policy, signed, &caller)
                .await
                .map(drop)
        })
        .await
    }

    pub(super) async fn put_in_force(
        &self,
        tx: &mut Tx,
        before: Option<Arc<InForce>>,
        policy: Policy,
        signed: Signed<Policy>,
        caller: &Caller,
    ) -> Result<Signed<Policy>, PolicyChangeError> {
        let first = self
            .trust()
            .chain
            .genesis()
            .policy
            .filter(|_| before.is_none());
        if first.is_some_and(|digest| digest != signed.digest()) {
            return Err(PolicyChangeError::NotGenesisPolicy);
        }
        let known = before.as_ref().map(|before| &*before.policy.operators);
        self.judge_operators(tx, known.unwrap_or_default(), &policy.operators, caller)
            .await?;
        policy::keep(tx.connection(), &policy, &signed).await?;
        self.tell_full_rosters(tx).await?;
        tx.announce(Notice::Policy(policy.version));
        let entry = Entry::new(Event::PolicyChanged, &caller.actor, policy.version);
        self.record(tx, entry.with("digest", signed.digest()))
            .await?;
        Ok(signed)
    }
}

/// Why the policy in force cannot be taken along to a later genesis.
fn refused<E>(error: VerifyError) -> E
where
    E: From<StoreError> + From<SignError>,
{
    match error {
        VerifyError::Rule(rule) => SignError::Rule(rule).into(),
        other => StoreError::Failed(format!("a policy that does not verify: {other}")).into(),
    }
}

/// Refuses rules that would say something and do nothing.
fn check_carried_out(policy: &Policy) -> Result<(), PolicyChangeError> {
    let known = |rule: &&MembershipRule| {
        matches!(
            (&rule.when, rule.then),
            (Condition::SilentFor(_), Consequence::Offline)
        )
    };
    let unknown = policy.membership.iter().find(|rule| !known(rule));
    unknown.map_or(Ok(()), |rule| {
        Err(PolicyChangeError::NotCarriedOut(rule.name.clone()))
    })
}

impl Authority {
    /// Signs the policy in force once more, under the genesis in force, and with settings that its ceilings let.
    pub(super) async fn sign_policy_anew<E>(&self, tx: &mut Tx, in_force: &InForce) -> Result<(), E>
    where
        E: From<StoreError> + From<SignError>,
    {
        let (now, trust) = (tx.now(), self.trust());
        let before = in_force.policy.epochs;
        let again = Policy {
            version: counter::next(tx.connection(), "policy", now).await?,
            revision: trust.revision(),
            issued_at: now,
            epochs: before.within(&trust.chain.genesis().ceilings),
            ..in_force.policy.clone()
        };
        let signed = trust.signer.sign(&again)?;
        // Nodes that refuse a policy have no rules, and talk to nobody.
        signed.verify(&trust.keyring, now).map_err(refused::<E>)?;
        policy::keep(tx.connection(), &again, &signed).await?;
        tx.announce(Notice::Policy(again.version));
        let mut entry = Entry::new(Event::PolicySignedAnew, &Actor::System, again.version);
        if again.epochs != before {
            let lowered = again.epochs.changes_since(&before);
            tracing::warn!(lowered, version = %again.version, "the genesis in force has lower ceilings than the policy had settings; the policy was signed anew with the most that they allow");
            entry = entry.with("lowered", lowered);
        }
        Ok(self.record(tx, entry).await?)
    }

    /// From here on nodes are told full rosters: what is known of a version before says too little.
    pub(super) async fn tell_full_rosters(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let now = tx.now();
        let version: Sequence = counter::next(tx.connection(), "roster", now).await?;
        counter::raise(tx.connection(), "roster-full", version.stored()).await
    }
}
