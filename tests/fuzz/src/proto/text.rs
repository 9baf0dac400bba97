//! Texts: names, ids, addresses, keys, invites, headers and policy files.

use tidegate_proto::policy::{PolicyFile, PortRange, Selector};
use tidegate_proto::{
    Digest, Endpoint, GroupName, Invite, Ipv4Range, Ipv6Range, KeyId, Kind, Label, NetworkId,
    NetworkName, NodeId, NodeName, Nonce, OperatorId, OperatorName, Origin, Prefix, PublicKey,
    Reason, RequestSignature, Revision, Role, SealedKey, SealingKeyHash, SealingPublicKey,
    Sequence, Span, Tag, TlsPin, UnixTime, WgPublicKey, base64_encode,
};

use super::promise::{check_refusal, check_text};

/// One text, read as everything that has a text.
pub fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    ids(text);
    names(text);
    addresses(text);
    keys(text);
    if let Ok(span) = text.parse::<Span>() {
        assert_eq!(span.to_string().parse(), Ok(span)); // people may write 60s for 1m
    }
}

fn ids(text: &str) {
    check_text::<NetworkId>(text);
    check_text::<NodeId>(text);
    check_text::<OperatorId>(text);
    check_text::<KeyId>(text);
    check_text::<Digest>(text);
    check_text::<Nonce>(text);
    check_text::<Kind>(text);
}

fn names(text: &str) {
    check_text::<NetworkName>(text);
    check_text::<NodeName>(text);
    check_text::<OperatorName>(text);
    check_text::<GroupName>(text);
    check_text::<Role>(text);
    check_text::<Tag>(text);
    check_text::<Label>(text);
    check_text::<Reason>(text);
}

fn addresses(text: &str) {
    check_text::<Selector>(text);
    check_text::<PortRange>(text);
    check_text::<Prefix>(text);
    check_text::<Ipv4Range>(text);
    check_text::<Ipv6Range>(text);
    check_text::<Endpoint>(text);
    check_text::<Origin>(text);
    check_text::<TlsPin>(text);
}

fn keys(text: &str) {
    check_text::<PublicKey>(text);
    check_text::<WgPublicKey>(text);
    check_text::<SealingPublicKey>(text);
    check_text::<SealingKeyHash>(text);
    check_text::<SealedKey>(text);
}

/// The `Authorization` header of a signed request.
pub fn request_header(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        check_text::<RequestSignature>(text);
    }
}

/// An invite: the data as its text, and as the body of one whose checksum is right.
pub fn invite(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        check_invite(text);
    }
    check_invite(&invite_around(data));
}

fn check_invite(text: &str) {
    match text.parse::<Invite>() {
        Ok(invite) => assert_eq!(
            *invite.expose(),
            text.trim(),
            "a second text for one invite"
        ),
        Err(error) => check_refusal(&error),
    }
}

/// The text of an invite with this body, written from the format's description.
fn invite_around(body: &[u8]) -> String {
    let hash = Digest::of(&[b"tidegate invite v1\0", body].concat());
    let whole = base64_encode(&[body, &hash.as_bytes()[..4]].concat());
    let url_safe = whole
        .trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_");
    format!("tidegate-invite-1-{url_safe}")
}

/// A policy file. What is read is rendered as a file that reads as the same policy.
pub fn policy_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match PolicyFile::parse(text) {
        Ok(file) => {
            let into_policy = |file: PolicyFile| {
                file.into_policy(
                    NetworkId::from_bytes([1; 16]),
                    Revision::MAX,
                    Sequence::MAX,
                    UnixTime::MAX,
                )
            };
            let policy = into_policy(file);
            let again = PolicyFile::parse(&PolicyFile::render(&policy)).unwrap();
            assert_eq!(into_policy(again), policy);
        }
        Err(error) => {
            check_refusal(&error);
            assert!(
                (1..=1 + text.lines().count()).contains(&error.line),
                "line {}",
                error.line
            );
        }
    }
}
