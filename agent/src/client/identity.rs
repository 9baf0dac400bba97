//! As whom a request is made.

use std::sync::Arc;

use tidegate_proto::SigningKey;
use tidegate_proto::api::SecretText;

/// As whom a request is made.
#[derive(Clone)]
pub enum Identity {
    /// As nobody: for what is public.
    Nobody,
    /// As the holder of this key, which signs each request.
    Key(Arc<SigningKey>),
    /// As the holder of this API token.
    Token(SecretText),
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nobody => "Nobody",
            Self::Key(_) => "Key",
            Self::Token(_) => "Token",
        })
    }
}
