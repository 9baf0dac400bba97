//! The codes of what is refused at the door.

use tidegate_proto::RequestError;

use super::super::{AccessError, AuthenticationError, TokenError};
use super::{Blame, Coded, coded};

coded!(AuthenticationError {
    Self::Request(RequestError::Header) => "authorization-malformed", Malformed;
    Self::Request(RequestError::ClockSkew { .. }) => "clock-skew", Unproven;
    Self::Request(RequestError::OtherKey(_)) => "key-unknown", Unproven;
    Self::Request(RequestError::BadSignature) => "bad-signature", Unproven;
    Self::TokenUnknown => "token-unknown", Unproven;
    Self::TokenExpired => "token-expired", Unproven;
    Self::TokenRevoked => "token-revoked", Unproven;
} inner { Store });

coded!(AccessError {
    Self::Replayed => "replayed", Conflict;
    Self::Forbidden { .. } => "forbidden", Forbidden;
    Self::NotInScope(_) => "not-in-scope", Forbidden;
    Self::SignedOnly(_) => "signature-needed", Forbidden;
    Self::NotOperator => "not-an-operator", Forbidden;
    Self::TokenEnded => "token-ended", Unproven;
} inner { Store });

coded!(TokenError {
    Self::Useless => "token-useless", Malformed;
    Self::Empty => "token-empty", Malformed;
    Self::OutOfReach(_) => "token-out-of-reach", Malformed;
    Self::AboveMaker(_) => "above-own-role", Forbidden;
    Self::NameTaken => "token-name-taken", Conflict;
    Self::TooMany => "too-many-tokens", Exhausted;
    Self::Unknown => "no-such-token", Missing;
} inner { Access, Store });
