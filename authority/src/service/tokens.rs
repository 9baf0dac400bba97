//! API tokens: made by an operator for automation, shown once, kept as hashes.

use std::fmt;
use std::str::FromStr;
use std::sync::PoisonError;

use rand_core::Rng as _;
use sha2::{Digest as _, Sha256};
use tidegate_proto::api::{NewToken, Operation, TokenView, Tokens};
use tidegate_proto::{Digest, OperatorId, Span, TokenId, UnixTime};
use zeroize::Zeroizing;

use super::access::AccessError;
use super::audit::{Entry, Event};
use super::authority::rng;
use super::{Actor, Authority, Caller};
use crate::store::{StoreError, Tx, token};

/// The longest that a token counts.
const LONGEST: Span = Span::from_hours(366 * 24);
/// Tokens that count at once.
const MOST: i64 = 1000;
const HASH: &str = "tidegate api token v1";
const ID: &str = "tidegate api token id v1";

/// The secret of an API token.
#[derive(Clone, Eq, PartialEq)]
pub struct ApiToken(Zeroizing<[u8; 32]>);

impl ApiToken {
    /// What every token's text begins with.
    pub const PREFIX: &'static str = "tidegate-token-";

    fn generate() -> Result<Self, StoreError> {
        let mut secret = Zeroizing::new([0; 32]);
        let mut rng = rng().map_err(|error| StoreError::Failed(error.to_string()))?;
        rng.fill_bytes(&mut *secret);
        Ok(Self(secret))
    }

    /// The text, to be shown once.
    pub fn expose(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(Self::PREFIX.len() + 64));
        text.push_str(Self::PREFIX);
        for byte in self.0.iter() {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(digit.into(), 16).unwrap_or_default());
            }
        }
        text
    }

    fn hashed(&self, domain: &str) -> Digest {
        let hash = Sha256::new()
            .chain_update(domain)
            .chain_update([0])
            .chain_update(&self.0[..])
            .finalize();
        Digest::from_bytes(hash.into())
    }

    /// What is kept of it. 32 random bytes need no salt.
    pub(crate) fn hash(&self) -> Digest {
        self.hashed(HASH)
    }

    fn id(&self) -> TokenId {
        let mut id = [0; 8];
        id.copy_from_slice(&self.hashed(ID).as_bytes()[..8]);
        TokenId::from_bytes(id)
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiToken")
    }
}

/// A text that is no token.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a token is '{}' and 64 digits of 0-9 and a-f", ApiToken::PREFIX)]
pub struct ApiTokenError;

impl FromStr for ApiToken {
    type Err = ApiTokenError;

    fn from_str(text: &str) -> Result<Self, ApiTokenError> {
        let digits = text.strip_prefix(Self::PREFIX).ok_or(ApiTokenError)?;
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(ApiTokenError),
        };
        let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
            return Err(ApiTokenError);
        };
        let mut secret = Zeroizing::new([0; 32]);
        if pairs.len() != secret.len() {
            return Err(ApiTokenError);
        }
        for (byte, [high, low]) in secret.iter_mut().zip(pairs) {
            *byte = value(*high)? << 4 | value(*low)?;
        }
        Ok(Self(secret))
    }
}

/// A new token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MadeToken {
    /// What to hand over, once.
    pub token: ApiToken,
    /// What is kept.
    pub view: TokenView,
}

/// Why a token was not made or taken back.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// No time, or too much.
    #[error("a token needs an end within a year")]
    Useless,
    /// It could do nothing.
    #[error(
        "a token of no operations can do nothing; name some, or leave them out for all of the role"
    )]
    Empty,
    /// An operation that the token's role does not have, or that no token does.
    #[error("a token of this role cannot do {0}")]
    OutOfReach(Operation),
    /// More than its maker may.
    #[error("a token may do no more than its maker, who is {0}")]
    AboveMaker(tidegate_proto::policy::OperatorRole),
    /// The name is in use.
    #[error("there is a token of this name; revoke it first, or choose another name")]
    NameTaken,
    /// Too many.
    #[error("there are too many tokens; revoke some with 'tidegate admin tokens revoke'")]
    TooMany,
    /// No such token.
    #[error("there is no such token; 'tidegate admin tokens list' has them")]
    Unknown,
    /// The caller may not.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether a token counts, as far as it itself goes.
pub(super) fn counts(token: &TokenView, now: UnixTime) -> bool {
    token.revoked_at.is_none() && token.expires_at > now
}

impl Authority {
    /// Makes a token. It may at most what its maker may, and counts for as long as its maker is an operator.
    pub async fn new_token(&self, new: NewToken, caller: Caller) -> Result<MadeToken, TokenError> {
        check_sound(&new)?;
        let token = ApiToken::generate()?;
        let kept = token.clone();
        let view = self
            .effect(async move |this, tx| this.keep_token(tx, new, &kept, &caller).await)
            .await?;
        Ok(MadeToken { token, view })
    }

    async fn keep_token(
        &self,
        tx: &mut Tx,
        new: NewToken,
        secret: &ApiToken,
        caller: &Caller,
    ) -> Result<TokenView, TokenError> {
        self.admit(tx, caller, Operation::MakeToken).await?;
        let Actor::Operator(maker, made_by) = &caller.actor else {
            return Err(AccessError::SignedOnly(Operation::MakeToken).into());
        };
        let now = tx.now();
        let rights = self.rights(tx.connection(), caller, Operation::MakeToken, now);
        let role = rights.await?.role();
        if new.role > role {
            return Err(TokenError::AboveMaker(role));
        }
        let (live, same_name) = token::live(tx.connection(), new.name.as_str(), now).await?;
        if same_name {
            return Err(TokenError::NameTaken);
        }
        if live >= MOST {
            return Err(TokenError::TooMany);
        }
        let kept = token::Kept {
            maker: *maker,
            view: TokenView {
                id: secret.id(),
                name: new.name,
                role: new.role,
                operations: new.operations,
                made_by: made_by.clone(),
                created_at: now,
                expires_at: now + new.valid_for,
                used_at: None,
                revoked_at: None,
            },
        };
        token::keep(tx.connection(), &kept, secret.hash()).await?;
        self.record(tx, made(&kept.view, &caller.actor)).await?;
        Ok(kept.view)
    }

    /// The tokens that were made, the newest first: as many as a list holds, and one more if there are more.
    pub async fn tokens(&self) -> Result<Vec<TokenView>, StoreError> {
        let mut connection = self.0.store.read().await?;
        token::newest(&mut connection, Tokens::MOST + 1).await
    }

    /// Takes a token back.
    pub async fn revoke_token(&self, id: TokenId, caller: Caller) -> Result<(), TokenError> {
        self.effect(async move |this, tx| -> Result<(), TokenError> {
            this.admit(tx, &caller, Operation::RevokeToken).await?;
            let known = token::load(tx.connection(), id).await?;
            let view = known.ok_or(TokenError::Unknown)?.view;
            let now = tx.now();
            token::revoke(tx.connection(), id, now).await?;
            let entry = Entry::new(Event::TokenRevoked, &caller.actor, id);
            Ok(this.record(tx, entry.with("name", view.name)).await?)
        })
        .await
    }

    /// Takes back what an operator made who is one no more.
    pub(super) async fn revoke_tokens_of(
        &self,
        tx: &mut Tx,
        maker: OperatorId,
        actor: &Actor,
    ) -> Result<(), StoreError> {
        let now = tx.now();
        for view in token::live_of(tx.connection(), maker, now).await? {
            token::revoke(tx.connection(), view.id, now).await?;
            let entry = Entry::new(Event::TokenRevoked, actor, view.id)
                .with("name", view.name)
                .with("why", "its maker was removed");
            self.record(tx, entry).await?;
        }
        Ok(())
    }

    /// Notes that a token was used for what has no effect; it is written with the next round.
    pub(super) fn token_used(&self, id: TokenId, now: UnixTime) {
        let mut used = self.0.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.insert(id, now);
    }

    /// Writes when tokens were used.
    pub(super) async fn keep_used(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let used = {
            let mut used = self.0.used.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *used)
        };
        for (id, at) in used {
            token::used(tx.connection(), id, at).await?;
        }
        Ok(())
    }
}

fn check_sound(new: &NewToken) -> Result<(), TokenError> {
    if new.valid_for == Span::default() || new.valid_for > LONGEST {
        return Err(TokenError::Useless);
    }
    let Some(operations) = &new.operations else {
        return Ok(());
    };
    if operations.is_empty() {
        return Err(TokenError::Empty);
    }
    let out_of_reach = |operation: &&Operation| {
        operation.needs() > new.role || operation.door() == tidegate_proto::api::Door::Signed
    };
    operations
        .iter()
        .find(out_of_reach)
        .map_or(Ok(()), |operation| Err(TokenError::OutOfReach(*operation)))
}

fn made(view: &TokenView, actor: &Actor) -> Entry {
    let entry = Entry::new(Event::TokenMade, actor, view.id)
        .with("name", &view.name)
        .with("role", view.role)
        .time("expires_at", view.expires_at);
    let Some(operations) = &view.operations else {
        return entry;
    };
    let names: Vec<_> = operations.iter().map(|one| one.name()).collect();
    entry.with("operations", names.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_one_text() {
        let token = ApiToken(Zeroizing::new([0xa7; 32]));
        let text = token.expose();
        assert_eq!(text.parse(), Ok(token.clone()));
        assert_eq!(format!("{token:?}"), "ApiToken");
        let bad = [
            text.to_uppercase(),
            text.replace('a', "A"),
            text[1..].to_owned(),
            text[..text.len() - 1].to_owned(),
            format!("{}0", &*text),
            format!("{}00", &*text),
            format!("{} ", &*text),
            String::new(),
        ];
        for bad in bad {
            assert_eq!(bad.parse::<ApiToken>(), Err(ApiTokenError), "{bad}");
        }
    }
}
