//! Objects, field by field.
#![allow(clippy::wildcard_imports, reason = "it describes all that there is")]

use std::num::NonZeroU32;

use serde_json::{Value, json};
use tidegate_proto::api::*;
use tidegate_proto::audit::{Chained, Fact, Facts, Record};
use tidegate_proto::*;

use super::{Described, Members, Schemas};
use crate::http::health::{Check, Health};

/// Describes objects; what stands in brackets may be left out. The destructuring holds the names to those of the type, the references their types.
macro_rules! objects {
    ($($name:ident { $($field:ident: $type:ty),* $(,)? } $([$($defaulted:ident: $default_type:ty),* $(,)?])?)*) => {
        $(impl Described for $name {
            const NAME: Option<&'static str> = Some(stringify!($name));

            fn schema(schemas: &mut Schemas) -> Value {
                const _: fn(&$name) = |value| {
                    let $name { $($field,)* $($($defaulted,)*)? } = value;
                    $(let _: &$type = $field;)*
                    $($(let _: &$default_type = $defaulted;)*)?
                };
                let members = Members::default();
                $(let members = members.with::<$type>(stringify!($field), schemas);)*
                $($(let members = members.optional::<$default_type>(stringify!($defaulted), schemas);)*)?
                members.schema()
            }
        })*
    };
}

objects! {
    Problem { code: Label, status: u16, detail: Explanation, request: Option<Label>, time: Option<Signed<TimeStatement>> }
    NodeKeys { identity: PublicKey, wireguard: WgPublicKey, sealing: SealingPublicKey }
    Challenge { nonce: Nonce, ephemeral: WgPublicKey, sealed: SealedKey }
    Enroll { keys: NodeKeys, challenge: Nonce, answer: Answer, name: NodeName, routes: BoundedSet<Prefix, 32>, token: Option<InviteToken> }
    Renew { keys: NodeKeys, challenge: Nonce, answer: Answer }
    ListPlace { revision: Revision, sequence: Sequence }
    Heartbeat {
        program: Label, nonce: Nonce, list: ListPlace, policy: Sequence, roster: Sequence,
        record: Option<Signed<PeerRecord>>, peers_seen: BoundedSet<NodeId, 1000>,
    }
    HeartbeatReply { time: Signed<TimeStatement> }
    TimeQuestion { nonce: Nonce }
    GrantWithList { grant: Signed<EpochGrant>, list: Signed<RevocationList> }
    Grants { grants: BoundedList<GrantWithList, 8> }
    RecordWithHint { record: Signed<PeerRecord>, seen_from: Option<Endpoint> }
    RosterUpdate {
        roster: Signed<Roster>, certificates: BoundedList<Signed<Certificate>, 20_000>,
        records: BoundedList<RecordWithHint, 20_000>,
    }
    NodeView {
        node: NodeId, name: NodeName, status: NodeStatus, reason: Reason, since: UnixTime,
        identity: PublicKey, wireguard: WgPublicKey, sealing: SealingPublicKey,
        roles: BoundedSet<Role, 8>, tags: BoundedSet<Tag, 32>,
        wanted_routes: BoundedSet<Prefix, 32>, routes: BoundedSet<Prefix, 32>,
        ipv4: Option<std::net::Ipv4Addr>, ipv6: Option<std::net::Ipv6Addr>,
        serial: Option<Serial>, not_after: Option<UnixTime>, enrolled_at: UnixTime,
        presence: Option<Presence>,
    }
    Presence {
        last_seen: UnixTime, program: Label, list: ListPlace, policy: Sequence, roster: Sequence,
        peers: u32, seen_from: Option<std::net::IpAddr>,
    }
    Nodes { nodes: BoundedList<NodeView, 1000>, next: Option<NodeId> }
    Approval { name: Option<NodeName> }
        [roles: BoundedSet<Role, 8>, tags: BoundedSet<Tag, 32>, routes: BoundedSet<Prefix, 32>]
    Decision { reason: Reason }
    RevocationView { list: Sequence, node: NodeId, kind: RevocationKind, reason: Reason, since: UnixTime, bound: Option<UnixTime> }
    Revocations { revocations: BoundedList<RevocationView, 1000> }
    RevocationReport { revocation: RevocationView, status: RevocationStatus }
    RevocationStatus {
        list: ListPlace, confirmed: BoundedSet<NodeId, 10_000>, confirmed_unnamed: Option<NonZeroU32>,
        outstanding: BoundedList<Outstanding, 10_000>, outstanding_unnamed: Option<NonZeroU32>,
        bound: Option<UnixTime>, trusts_rtc: bool,
    }
    Outstanding { node: NodeId, stopped_at: UnixTime }
    NewInvite { uses: u32, valid_for: Span }
        [roles: BoundedSet<Role, 8>, tags: BoundedSet<Tag, 32>]
    InviteView {
        id: InviteId, roles: BoundedSet<Role, 8>, tags: BoundedSet<Tag, 32>, uses_left: u32,
        created_at: UnixTime, expires_at: UnixTime, revoked_at: Option<UnixTime>,
    }
    Invites { invites: BoundedList<InviteView, 10_000>, more: bool }
    MadeInvite { invite: SecretText, view: InviteView }
    OperatorView { id: OperatorId, name: OperatorName, key: PublicKey, role: policy::OperatorRole }
    Operators { operators: BoundedList<OperatorView, 1000> }
    NewOperator { name: OperatorName, key: PublicKey, role: policy::OperatorRole }
    NewToken { name: OperatorName, role: policy::OperatorRole, operations: Option<BoundedSet<Operation, 64>>, valid_for: Span }
    TokenView {
        id: TokenId, name: OperatorName, role: policy::OperatorRole,
        operations: Option<BoundedSet<Operation, 64>>, made_by: OperatorName,
        created_at: UnixTime, expires_at: UnixTime, used_at: Option<UnixTime>, revoked_at: Option<UnixTime>,
    }
    Tokens { tokens: BoundedList<TokenView, 10_000>, more: bool }
    MadeToken { token: SecretText, view: TokenView }
    PolicyText { version: Sequence, file: String }
    PolicyProposal { base: Option<Sequence>, file: String }
    PolicyInForce { version: Sequence, digest: Digest }
    PolicyReport { rules: u32, operators: u32, isolated: BoundedList<NodeName, 20_000> }
    EpochView { number: EpochNumber, redraw: u32, starts: UnixTime, ends: UnixTime, lease_until: UnixTime, released: u32 }
    Epochs { epochs: BoundedList<EpochView, 64> }
    Override { reason: Reason }
    Recovery {
        keys: NodeKeys, list: Signed<RevocationList>, certificate: Option<Signed<Certificate>>,
        grants: BoundedList<Signed<EpochGrant>, 8>, genesis: BoundedList<Signed<Genesis>, 64>,
        policy: Option<Signed<policy::Policy>>, peers: BoundedList<Signed<Certificate>, 1000>,
    }
    Recovered { awaited: u32 }
    RecoveryView {
        backup_at: UnixTime, since: UnixTime, reported: u32, ends: RecoveryEnd, awaited: BoundedList<NodeId, 10_000>,
    }
    AuditPage { records: BoundedList<Chained, 1000>, next: Option<Sequence> }
    Chained { record: Record, hash: Digest }
    Record {
        sequence: Sequence, at: UnixTime, event: Label, actor: Reason, object: Reason,
        detail: Facts, previous: Digest,
    }
    Health { ok: bool, checks: Vec<Check> }
    Check { name: &'static str, ok: bool, reason: Option<&'static str> }
}

impl Described for Facts {
    fn schema(schemas: &mut Schemas) -> Value {
        json!({ "type": "object", "additionalProperties": schemas.of::<Fact>() })
    }
}

impl Described for &'static str {
    fn schema(_schemas: &mut Schemas) -> Value {
        json!({ "type": "string" })
    }
}

/// An externally tagged variant with content.
fn variant<T: Described>(name: &'static str, schemas: &mut Schemas) -> Value {
    Members::default().with::<T>(name, schemas).schema()
}

impl Described for Enrolled {
    const NAME: Option<&'static str> = Some("Enrolled");

    fn schema(schemas: &mut Schemas) -> Value {
        json!({ "oneOf": [
            variant::<Signed<Certificate>>("admitted", schemas),
            { "type": "string", "const": "pending" },
        ]})
    }
}

impl Described for StreamEvent {
    const NAME: Option<&'static str> = Some("StreamEvent");

    fn schema(schemas: &mut Schemas) -> Value {
        // A variant that the type has, and the schema leaves out, does not compile.
        const _: fn(&StreamEvent) = |event| match event {
            StreamEvent::Genesis(_) | StreamEvent::List(_) | StreamEvent::Certificate(_) => {}
            StreamEvent::Policy(_) | StreamEvent::Roster(_) => {}
            StreamEvent::Record(_) | StreamEvent::Grant(_) => {}
        };
        json!({
            "description": "The data of one event of a node's stream; the event's name is the member's",
            "oneOf": [
                variant::<Signed<Genesis>>("genesis", schemas),
                variant::<Signed<RevocationList>>("list", schemas),
                variant::<Signed<Certificate>>("certificate", schemas),
                variant::<Signed<policy::Policy>>("policy", schemas),
                variant::<RosterUpdate>("roster", schemas),
                variant::<RecordWithHint>("record", schemas),
                variant::<GrantWithList>("grant", schemas),
            ],
        })
    }
}

impl Described for Change {
    const NAME: Option<&'static str> = Some("Change");

    fn schema(schemas: &mut Schemas) -> Value {
        let tagged = |name: &'static str, members: Members| {
            json!({
                "type": "object",
                "properties": { name: members.schema() },
                "required": [name],
                "additionalProperties": false,
            })
        };
        let s = schemas;
        let variants = [
            tagged("genesis", Members::default().with::<Digest>("digest", s)),
            tagged("list", Members::default().with::<Sequence>("sequence", s)),
            tagged("policy", Members::default().with::<Sequence>("version", s)),
            tagged(
                "node",
                Members::default()
                    .with::<NodeId>("node", s)
                    .with::<NodeName>("name", s)
                    .with::<NodeStatus>("status", s)
                    .with::<Reason>("reason", s),
            ),
            tagged("record", Members::default().with::<NodeId>("node", s)),
            tagged(
                "grants",
                Members::default()
                    .with::<EpochNumber>("epoch", s)
                    .with::<u32>("nodes", s),
            ),
            variant::<Chained>("audit", s),
            tagged(
                "cut-off",
                Members::default()
                    .with::<Sequence>("list", s)
                    .with::<Span>("after", s),
            ),
        ];
        json!({
            "description": "The data of one event of an operator's stream; the event's name is the member's",
            "oneOf": variants,
        })
    }
}
