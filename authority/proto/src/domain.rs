//! Every string that separates one use of a key or a hash from another, in one place. Each is pinned by a
//! golden vector: a change here is a change of the protocol.

/// First word of the pre-authentication encoding that signatures cover.
pub(crate) const PAE: &str = "DSSEv1";
/// Payload types are `application/vnd.tidegate.<kind>.v<version>+json`.
pub(crate) const PAYLOAD_TYPE_PREFIX: &str = "application/vnd.tidegate.";
/// Hash of a node's identity key to its id.
pub(crate) const NODE_ID: &str = "tidegate node id v1";
/// Hash of an operator's key to its id.
pub(crate) const OPERATOR_ID: &str = "tidegate operator id v1";
/// Hash of a signing key to the id that signatures name.
pub(crate) const KEY_ID: &str = "tidegate key id v1";
/// Hash of a sealing key, as certificates carry it.
pub(crate) const SEALING_KEY_HASH: &str = "tidegate sealing key v1";
/// Epoch secret to grant key.
pub(crate) const GRANT_KEY: &str = "tidegate grant v1";
/// Grant key to the id that grants and diagnostics name.
pub(crate) const GRANT_KEY_ID: &str = "tidegate grant key id v1";
/// Grant key and Diffie-Hellman result to a pair's pre-shared key.
pub(crate) const PSK: &str = "tidegate psk v1";
/// HPKE `info` of a sealed grant key.
pub(crate) const SEAL: &str = "tidegate seal v1";
/// Challenge that proves possession of a node's keys.
pub(crate) const POSSESSION: &str = "tidegate possession v1";
/// Signature over an HTTP request.
pub(crate) const REQUEST: &str = "tidegate request v1";
/// Checksum of an invite.
pub(crate) const INVITE: &str = "tidegate invite v1";
/// Hash of an invite's token, as the authority keeps it.
pub(crate) const INVITE_TOKEN: &str = "tidegate invite token v1";

/// Hash of an audit record, which chains it to the next.
pub(crate) const AUDIT_RECORD: &str = "tidegate audit record v1";
/// Hash of a network's id, to which its first audit record is chained.
pub(crate) const AUDIT_LOG: &str = "tidegate audit log v1";

/// Every domain string, for the golden vectors and the check that no two are alike.
pub const DOMAINS: [&str; 16] = [
    PAE,
    PAYLOAD_TYPE_PREFIX,
    NODE_ID,
    OPERATOR_ID,
    KEY_ID,
    SEALING_KEY_HASH,
    GRANT_KEY,
    GRANT_KEY_ID,
    PSK,
    SEAL,
    POSSESSION,
    REQUEST,
    INVITE,
    INVITE_TOKEN,
    AUDIT_RECORD,
    AUDIT_LOG,
];
