//! Invites, operators and tokens: who may come in, and who may decide.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::Operation;
use crate::bounded::{BoundedList, BoundedSet};
use crate::id::{InviteId, OperatorId, TokenId};
use crate::key::PublicKey;
use crate::name::{OperatorName, Role, Tag};
use crate::policy::OperatorRole;
use crate::time::{Span, UnixTime};

/// A secret in the form in which it is handed over: shown once, erased when dropped, never in a log.
#[derive(Clone, Eq, PartialEq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Longer than any invite or token.
    pub const LONGEST: usize = 2000;

    /// Hands the secret over.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<Zeroizing<String>> for SecretText {
    fn from(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText")
    }
}

/// A text that is no secret: too long, or with more than letters, digits and signs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "a secret is one word of at most {} printable characters",
    SecretText::LONGEST
)]
pub struct SecretTextError;

impl FromStr for SecretText {
    type Err = SecretTextError;

    fn from_str(text: &str) -> Result<Self, SecretTextError> {
        if text.len() <= Self::LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(Zeroizing::new(text.to_owned())))
        } else {
            Err(SecretTextError)
        }
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An invite to make.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NewInvite {
    /// What those who come with it are for.
    #[serde(default)]
    pub roles: BoundedSet<Role, 8>,
    /// Their marks.
    #[serde(default)]
    pub tags: BoundedSet<Tag, 32>,
    /// How many it admits.
    pub uses: u32,
    /// How long it counts, in milliseconds.
    pub valid_for: Span,
}

/// An invite as it was kept; its token is not.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct InviteView {
    /// Its id.
    pub id: InviteId,
    /// What those who come with it are for.
    pub roles: BoundedSet<Role, 8>,
    /// Their marks.
    pub tags: BoundedSet<Tag, 32>,
    /// How many it still admits.
    pub uses_left: u32,
    /// When it was made.
    pub created_at: UnixTime,
    /// When it ends; if it is used up, when that was.
    pub expires_at: UnixTime,
    /// When it was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<UnixTime>,
}

/// The most invites or tokens that are listed.
const MOST_LISTED: usize = 10_000;

/// The invites that were made.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Invites {
    /// The newest first.
    pub invites: BoundedList<InviteView, MOST_LISTED>,
    /// Whether there are older ones, for which there is no room here.
    pub more: bool,
}

impl Invites {
    /// The most that are listed.
    pub const MOST: usize = MOST_LISTED;
}

impl From<Vec<InviteView>> for Invites {
    fn from(invites: Vec<InviteView>) -> Self {
        let more = invites.len() > Self::MOST;
        let invites = BoundedList::shortened(invites);
        Self { invites, more }
    }
}

/// A new invite.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct MadeInvite {
    /// What to hand over, once.
    pub invite: SecretText,
    /// What is kept.
    pub view: InviteView,
}

/// Somebody who may decide, as the policy in force names it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct OperatorView {
    /// The id that follows from the key.
    pub id: OperatorId,
    /// The name.
    pub name: OperatorName,
    /// The key that signs.
    pub key: PublicKey,
    /// What it may do.
    pub role: OperatorRole,
}

/// Somebody who is to decide from now on.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NewOperator {
    /// The name.
    pub name: OperatorName,
    /// The key that signs.
    pub key: PublicKey,
    /// What it may do.
    pub role: OperatorRole,
}

/// Who may decide.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Operators {
    /// In the order of the policy.
    pub operators: BoundedList<OperatorView, 1000>,
}

/// An API token to make.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NewToken {
    /// What it is for: the name under which its deeds are recorded.
    pub name: OperatorName,
    /// What it may do: at most what its maker may.
    pub role: OperatorRole,
    /// What of that it may, if not all; never nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<BoundedSet<Operation, 64>>,
    /// How long it counts, in milliseconds.
    pub valid_for: Span,
}

/// A token as it was kept; itself it is not.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TokenView {
    /// Its id.
    pub id: TokenId,
    /// What it is for.
    pub name: OperatorName,
    /// What it may do, for as long as its maker may as much.
    pub role: OperatorRole,
    /// What of that it may, if not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<BoundedSet<Operation, 64>>,
    /// Who made it.
    pub made_by: OperatorName,
    /// When it was made.
    pub created_at: UnixTime,
    /// When it ends.
    pub expires_at: UnixTime,
    /// When it was last used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_at: Option<UnixTime>,
    /// When it was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<UnixTime>,
}

/// The tokens that were made.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Tokens {
    /// The newest first.
    pub tokens: BoundedList<TokenView, MOST_LISTED>,
    /// Whether there are older ones, for which there is no room here.
    pub more: bool,
}

impl Tokens {
    /// The most that are listed.
    pub const MOST: usize = MOST_LISTED;
}

impl From<Vec<TokenView>> for Tokens {
    fn from(tokens: Vec<TokenView>) -> Self {
        let more = tokens.len() > Self::MOST;
        let tokens = BoundedList::shortened(tokens);
        Self { tokens, more }
    }
}

/// A new token.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct MadeToken {
    /// What to hand over, once.
    pub token: SecretText,
    /// What is kept.
    pub view: TokenView,
}
