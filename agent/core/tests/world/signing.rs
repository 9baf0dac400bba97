//! The documents that an authority begins with and signs often.

use std::collections::BTreeMap;

use tidegate_proto::policy::{Policy, PolicyFile, Protocol, Rule};
use tidegate_proto::*;

use super::authority::BEGIN;
use super::{list, set};

pub fn genesis(root: &SigningKey, signer: &SigningKey, epochs: EpochSettings) -> Genesis {
    Genesis {
        network: NetworkId::from_bytes([9; 16]),
        name: "demo".parse().unwrap(),
        revision: Revision::FIRST,
        previous: None,
        issued_at: BEGIN,
        root: root.public_key(),
        authority: AuthoritySet {
            keys: set([signer.public_key()]),
            threshold: 1,
            since: Revision::FIRST,
            previous_until: None,
        },
        ipv4: list(["10.211.0.0/16".parse().unwrap()]),
        ipv6: "fd01:203:405::/48".parse().unwrap(),
        suites: set([Suite::V1]),
        ceilings: EpochCeilings::default(),
        epochs,
        anchors: list([]),
        policy: None,
        urls: list(["https://authority.example.org:7443".parse().unwrap()]),
        tls: TlsTrust::Pins(set([TlsPin::of(b"key")])),
    }
}

pub fn sign_list(
    genesis: &Genesis,
    signer: &SigningKey,
    place: ListPlace,
    listed: &BTreeMap<PublicKey, RevocationEntry>,
    now: UnixTime,
) -> Signed<RevocationList> {
    let document = RevocationList {
        network: genesis.network,
        revision: place.revision,
        sequence: place.sequence,
        issued_at: now,
        next_update: now + Span::from_hours(1),
        entries: list(listed.values().cloned()),
    };
    Signed::sign(&document, &[signer]).unwrap()
}

pub fn sign_policy(
    genesis: &Genesis,
    signer: &SigningKey,
    version: u64,
    permits: bool,
    epochs: EpochSettings,
    trust_rtc: bool,
    now: UnixTime,
) -> Signed<Policy> {
    let rule = |from: &str, to: &str| Rule {
        from: set([from.parse().unwrap()]),
        to: set([to.parse().unwrap()]),
        protocol: Protocol::Any,
        ports: None,
    };
    let rules = if permits {
        vec![rule("all", "all")]
    } else {
        vec![rule("tag:t-1", "all")]
    };
    let version = Sequence::new(version).unwrap();
    let policy = Policy {
        rules: list(rules),
        epochs,
        trust_rtc,
        ..PolicyFile::parse("").unwrap().into_policy(
            genesis.network,
            genesis.revision,
            version,
            now,
        )
    };
    Signed::sign(&policy, &[signer]).unwrap()
}
