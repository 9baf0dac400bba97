//! Values that travel as text, each with the pattern that its reader insists on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};
use tidegate_proto::api::{Explanation, NodeStatus, Operation, RecoveryEnd, SecretText};
use tidegate_proto::audit::Fact;
use tidegate_proto::policy::OperatorRole;
use tidegate_proto::{
    Answer, Digest, Endpoint, InviteId, InviteToken, Label, NodeId, NodeName, Nonce, OperatorId,
    OperatorName, Prefix, PublicKey, Reason, RevocationKind, Role, SealedKey, SealingPublicKey,
    Tag, TokenId, WgPublicKey,
};

use super::{Described, Schemas};

/// What an id of 16 bytes ends with, and what one of 8 does: the unused bits of the last digit are zero.
const ID_16: &str = "[0-9a-v]{25}[048cgkos]$";
const ID_8: &str = "[0-9a-v]{12}[02468acegikmoqsu]$";
/// Canonical base64 of 16 and of 32 bytes.
const BASE64_16: &str = "^[A-Za-z0-9+/]{21}[AQgw]==$";
const BASE64_32: &str = "^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$";
const BASE64: &str = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$";

/// A name over `inside`, which may not stand at the edges.
fn name(inside: &str, longest: usize) -> String {
    let most = longest - 2;
    format!("^[a-z0-9]([a-z0-9{inside}]{{0,{most}}}[a-z0-9])?$")
}

macro_rules! texts {
    ($($name:ty = $pattern:expr;)*) => {
        $(impl Described for $name {
            fn schema(_schemas: &mut Schemas) -> Value {
                json!({ "type": "string", "pattern": $pattern })
            }
        })*
    };
}

texts! {
    NodeId = format!("^node{ID_16}");
    OperatorId = format!("^op{ID_16}");
    InviteId = format!("^invite{ID_8}");
    TokenId = format!("^token{ID_8}");
    Digest = BASE64_32;
    PublicKey = BASE64_32;
    WgPublicKey = BASE64_32;
    Answer = BASE64_32;
    Nonce = BASE64_16;
    InviteToken = BASE64_16;
    SealingPublicKey = BASE64;
    SealedKey = BASE64;
    NodeName = name("-", NodeName::LONGEST);
    Role = name("-", Role::LONGEST);
    Tag = name("-", Tag::LONGEST);
    Label = name("._-", Label::LONGEST);
    OperatorName = name("._@-", OperatorName::LONGEST);
    Prefix = "^[0-9a-f:.]+/[0-9]{1,3}$";
    Endpoint = "^(\\[[0-9a-f:.]+\\]|[0-9.]+):[0-9]{1,5}$";
    SecretText = "^[!-~]*$";
}

macro_rules! lines {
    ($($name:ty = $longest:expr;)*) => {
        $(impl Described for $name {
            fn schema(_schemas: &mut Schemas) -> Value {
                json!({
                    "type": "string",
                    "maxLength": $longest,
                    "description": format!("one line of visible text, at most {} bytes", $longest),
                })
            }
        })*
    };
}

lines! {
    Reason = Reason::LONGEST;
    Explanation = Explanation::LONGEST;
}

macro_rules! addresses {
    ($($name:ty = $schema:tt;)*) => {
        $(impl Described for $name {
            fn schema(_schemas: &mut Schemas) -> Value {
                json!($schema)
            }
        })*
    };
}

addresses! {
    Ipv4Addr = { "type": "string", "format": "ipv4" };
    Ipv6Addr = { "type": "string", "format": "ipv6" };
    IpAddr = { "type": "string", "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }] };
}

impl Described for NodeStatus {
    const NAME: Option<&'static str> = Some("NodeStatus");

    fn schema(_schemas: &mut Schemas) -> Value {
        json!({ "type": "string", "enum": Self::ALL })
    }
}

impl Described for OperatorRole {
    const NAME: Option<&'static str> = Some("OperatorRole");

    fn schema(_schemas: &mut Schemas) -> Value {
        json!({ "type": "string", "enum": Self::ALL })
    }
}

impl Described for Operation {
    const NAME: Option<&'static str> = Some("Operation");

    fn schema(_schemas: &mut Schemas) -> Value {
        json!({ "type": "string", "enum": Self::ALL })
    }
}

impl Described for Fact {
    fn schema(schemas: &mut Schemas) -> Value {
        json!({ "anyOf": [schemas.of::<u64>(), schemas.of::<Reason>()] })
    }
}

impl Described for RecoveryEnd {
    const NAME: Option<&'static str> = Some("RecoveryEnd");

    fn schema(_schemas: &mut Schemas) -> Value {
        json!({ "type": "string", "enum": [Self::Reports, Self::Override] })
    }
}

impl Described for RevocationKind {
    const NAME: Option<&'static str> = Some("RevocationKind");

    fn schema(_schemas: &mut Schemas) -> Value {
        json!({ "type": "string", "enum": [Self::Revoked, Self::Suspended] })
    }
}
