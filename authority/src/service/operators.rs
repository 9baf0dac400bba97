//! Operators: part of the signed policy, so that naming one is a new policy.

use std::fmt;
use std::str::FromStr;

use tidegate_proto::api::Operation;
use tidegate_proto::policy::{Operator, OperatorRole, Policy};
use tidegate_proto::{BoundedList, OperatorId, OperatorName, Signed};

use super::audit::{Entry, Event};
use super::{Actor, Authority, Caller, PolicyChangeError, ReadError};
use crate::store::{StoreError, Tx, counter};

/// An operator, by its id or its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OperatorRef {
    /// By the id that follows from the key.
    Id(OperatorId),
    /// By the name.
    Name(OperatorName),
}

impl OperatorRef {
    fn is(&self, operator: &Operator) -> bool {
        match self {
            Self::Id(id) => OperatorId::of(&operator.key) == *id,
            Self::Name(name) => operator.name == *name,
        }
    }
}

impl FromStr for OperatorRef {
    type Err = tidegate_proto::NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => text.parse().map(Self::Name),
        }
    }
}

impl fmt::Display for OperatorRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// A change of who the operators are.
enum Change {
    Add(Operator),
    Remove(OperatorRef),
}

impl Authority {
    /// The operators, as the policy in force names them.
    pub async fn operators(&self) -> Result<Vec<Operator>, ReadError> {
        match self.policy_document().await {
            Ok(policy) => Ok(policy.operators.to_vec()),
            Err(ReadError::NotYet(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Names an operator, by a policy that differs in nothing else. One of this name and key gets the role.
    pub async fn add_operator(
        &self,
        operator: Operator,
        caller: Caller,
    ) -> Result<Signed<Policy>, PolicyChangeError> {
        self.change_operators(Change::Add(operator), caller).await
    }

    /// Removes an operator, and with it every token that it made.
    pub async fn remove_operator(
        &self,
        operator: OperatorRef,
        caller: Caller,
    ) -> Result<Signed<Policy>, PolicyChangeError> {
        self.change_operators(Change::Remove(operator), caller)
            .await
    }

    async fn change_operators(
        &self,
        change: Change,
        caller: Caller,
    ) -> Result<Signed<Policy>, PolicyChangeError> {
        self.effect(async move |this, tx| this.change_within(tx, change, &caller).await)
            .await
    }

    async fn change_within(
        &self,
        tx: &mut Tx,
        change: Change,
        caller: &Caller,
    ) -> Result<Signed<Policy>, PolicyChangeError> {
        self.admit(tx, caller, Operation::ChangeOperators).await?;
        let before = self.policy_in_force(tx.connection()).await?;
        let before = before.ok_or(PolicyChangeError::NoPolicy)?;
        let (now, trust) = (tx.now(), self.trust());
        let policy = Policy {
            operators: changed(&before.policy.operators, change)?,
            revision: trust.revision(),
            version: counter::next(tx.connection(), "policy", now).await?,
            issued_at: now,
            ..before.policy.clone()
        };
        self.check_sound(&policy)?;
        let signed = trust.signer.sign(&policy)?;
        self.put_in_force(tx, Some(before), policy, signed, caller)
            .await
    }

    /// Checks a policy's operators against those before, and records what changes. Only a sovereign changes them, with
    /// its key, and one sovereign stays.
    pub(super) async fn judge_operators(
        &self,
        tx: &mut Tx,
        before: &[Operator],
        after: &[Operator],
        caller: &Caller,
    ) -> Result<(), PolicyChangeError> {
        if has_sovereign(before) && !has_sovereign(after) {
            return Err(PolicyChangeError::NoSovereign);
        }
        if same(before, after) {
            return Ok(());
        }
        let now = tx.now();
        let operation = Operation::ChangeOperators;
        let rights = self.rights(tx.connection(), caller, operation, now).await?;
        rights
            .check(operation)
            .map_err(|_| PolicyChangeError::ChangesOperators)?;
        Ok(self
            .note_operators(tx, before, after, &caller.actor)
            .await?)
    }

    /// Records which operators come, go and change. What those made who go ends with them: it must not come back if they
    /// do.
    pub(super) async fn note_operators(
        &self,
        tx: &mut Tx,
        before: &[Operator],
        after: &[Operator],
        actor: &Actor,
    ) -> Result<(), StoreError> {
        for change in differences(before, after, actor) {
            self.record(tx, change).await?;
        }
        for gone in before.iter().filter(|one| known(after, one).is_none()) {
            let maker = OperatorId::of(&gone.key);
            self.revoke_tokens_of(tx, maker, actor).await?;
        }
        Ok(())
    }
}

fn changed(
    operators: &[Operator],
    change: Change,
) -> Result<BoundedList<Operator, 256>, PolicyChangeError> {
    let mut operators = operators.to_vec();
    match change {
        Change::Add(new) => {
            operators.retain(|known| (&known.name, &known.key) != (&new.name, &new.key));
            operators.push(new);
        }
        Change::Remove(gone) => {
            let count = operators.len();
            operators.retain(|known| !gone.is(known));
            if operators.len() == count {
                return Err(PolicyChangeError::NoOperator);
            }
        }
    }
    BoundedList::new(operators).map_err(|_| PolicyChangeError::TooManyOperators)
}

fn has_sovereign(operators: &[Operator]) -> bool {
    operators
        .iter()
        .any(|one| one.role == OperatorRole::Sovereign)
}

/// An operator is its key, and a key under another name is another operator.
fn known<'o>(operators: &'o [Operator], one: &Operator) -> Option<&'o Operator> {
    operators
        .iter()
        .find(|other| (&other.key, &other.name) == (&one.key, &one.name))
}

/// Whether the same are named, with the same roles.
fn same(before: &[Operator], after: &[Operator]) -> bool {
    let all_in = |some: &[Operator], others: &[Operator]| {
        some.iter().all(|one| known(others, one) == Some(one))
    };
    all_in(before, after) && all_in(after, before)
}

/// What differs, as events.
fn differences(before: &[Operator], after: &[Operator], actor: &Actor) -> Vec<Entry> {
    let entry = |event, one: &Operator| {
        Entry::new(event, actor, &one.name)
            .with("id", OperatorId::of(&one.key))
            .with("role", one.role)
    };
    let gone = before
        .iter()
        .filter(|one| known(after, one).is_none())
        .map(|one| entry(Event::OperatorRemoved, one));
    let new = after.iter().filter_map(|one| match known(before, one) {
        None => Some(entry(Event::OperatorAdded, one)),
        Some(other) if other.role != one.role => {
            Some(entry(Event::OperatorChanged, one).with("before", other.role))
        }
        Some(_) => None,
    });
    gone.chain(new).collect()
}
