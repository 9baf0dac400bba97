//! The rules of each kind of document, which hold whoever signs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod fixtures;

use fixtures::{NOW, Network, envelope_of, signing};
use tidegate_proto::*;

fn payload_of<T: Document>(document: &T) -> Vec<u8> {
    serde_json::to_vec(document).unwrap()
}

fn verify_payload<T: Document>(
    payload: &[u8],
    keys: &[&SigningKey],
    keyring: &Keyring<T::Signer>,
) -> Result<Verified<T>, VerifyError> {
    let json = envelope_of(&T::KIND.payload_type(T::VERSION), payload, keys);
    Signed::<T>::from_json(&json).unwrap().verify(keyring, NOW)
}

/// What a rule's breach is refused with, at signing and, where somebody signed it all the same, at reading.
fn broken<T: Document>(
    document: T,
    keys: &[&SigningKey],
    keyring: &Keyring<T::Signer>,
) -> DocumentError {
    match verify_payload::<T>(&payload_of(&document), keys, keyring).err() {
        Some(VerifyError::Rule(rule)) => rule,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_rules_of_certificates_hold_whoever_signs() {
    let network = Network::new();
    let (keyring, sound) = (network.keyring(), network.certificate());
    let broken = |change: &dyn Fn(&mut Certificate)| {
        let mut certificate = sound.clone();
        change(&mut certificate);
        broken(certificate, &[&network.authority], &keyring)
    };
    let stranger = NodeId::from_bytes([1; 16]);
    assert_eq!(
        broken(&|c| c.node = stranger),
        DocumentError::NodeIdMismatch
    );
    assert_eq!(
        broken(&|c| c.not_after = c.not_before),
        DocumentError::EmptyValidity
    );
    let outside = "10.212.0.1".parse().unwrap();
    assert_eq!(
        broken(&|c| c.ipv4 = outside),
        DocumentError::AddressOutsideRange(outside.into())
    );
    let edge = "10.211.0.0".parse().unwrap();
    assert_eq!(
        broken(&|c| c.ipv4 = edge),
        DocumentError::AddressOutsideRange(edge.into())
    );
    let outside = "fd02::1".parse().unwrap();
    assert_eq!(
        broken(&|c| c.ipv6 = outside),
        DocumentError::AddressOutsideRange(outside.into())
    );
    let around: Prefix = "10.208.0.0/12".parse().unwrap();
    let covers = broken(&|c| c.routes = fixtures::set([around]));
    assert_eq!(covers, DocumentError::RouteIntoOverlay(around));
    let into: Prefix = "10.211.8.0/24".parse().unwrap();
    assert_eq!(
        broken(&|c| c.routes = fixtures::set([into])),
        DocumentError::RouteIntoOverlay(into)
    );
    let week = Span::from_hours(7 * 24);
    let long = broken(&|c| c.not_after = c.not_before + week + Span::from_millis(1));
    assert!(
        matches!(long, DocumentError::Settings(SettingsError::TooLong { .. })),
        "{long}"
    );
    assert!(
        Signed::sign(
            &Certificate {
                node: stranger,
                ..sound.clone()
            },
            &[]
        )
        .is_err()
    );
}

#[test]
fn a_default_route_is_not_a_route_into_the_overlay() {
    let network = Network::new();
    let routes = fixtures::set(["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]);
    let certificate = Certificate {
        routes,
        ..network.certificate()
    };
    let signed = Signed::sign(&certificate, &[&network.authority]).unwrap();
    assert!(signed.verify(&network.keyring(), NOW).is_ok());
}

#[test]
fn the_rules_of_the_other_documents_hold_whoever_signs() {
    let network = Network::new();
    let (authority, keyring) = ([&network.authority], network.keyring());
    let grant = EpochGrant {
        ends: NOW,
        ..network.grant()
    };
    assert_eq!(
        broken(grant, &authority, &keyring),
        DocumentError::EmptyValidity
    );
    let grant = EpochGrant {
        lease_until: NOW + Span::from_minutes(1),
        ..network.grant()
    };
    assert_eq!(
        broken(grant, &authority, &keyring),
        DocumentError::EmptyValidity
    );
    let years = NOW + Span::from_hours(24 * 365);
    let grant = EpochGrant {
        lease_until: years,
        ..network.grant()
    };
    let rule = broken(grant, &authority, &keyring);
    assert!(
        matches!(rule, DocumentError::Settings(SettingsError::TooLong { .. })),
        "{rule}"
    );
    let mut entries = network.revocation_list().entries.to_vec();
    entries.reverse();
    let list = RevocationList {
        entries: fixtures::list(entries),
        ..network.revocation_list()
    };
    assert_eq!(broken(list, &authority, &keyring), DocumentError::Unordered);
    let mut policy = network.policy();
    policy.epochs.epoch = Span::from_hours(5);
    let rule = broken(policy, &authority, &keyring);
    assert!(
        matches!(rule, DocumentError::Settings(SettingsError::TooLong { .. })),
        "{rule}"
    );
    let operators = [policy::Operator {
        key: network.authority.public_key(),
        ..network.policy().operators[0].clone()
    }];
    let name = operators[0].name.clone();
    let policy = policy::Policy {
        operators: fixtures::list(operators),
        ..network.policy()
    };
    let both = DocumentError::OperatorIsAuthority(name);
    assert_eq!(broken(policy, &authority, &keyring), both);
    let (got, most) = (Command::LONGEST + Span::from_millis(1), Command::LONGEST);
    let command = Command {
        not_before: NOW,
        not_after: NOW + got,
        ..network.command()
    };
    let keys = [&network.operator, &network.authority];
    let long = DocumentError::LongCommand { got, most };
    assert_eq!(broken(command, &keys, &network.command_keyring()), long);
    let command = Command {
        not_after: NOW - Span::from_hours(1),
        ..network.command()
    };
    let keys = [&network.operator, &network.authority];
    assert_eq!(
        broken(command, &keys, &network.command_keyring()),
        DocumentError::EmptyValidity
    );
    let mut record = network.peer_record();
    let service = Service {
        port: 0,
        ..record.services[0].clone()
    };
    record.services = fixtures::set([service]);
    assert_eq!(
        broken(record, &[&network.identity], &network.node_keyring()),
        DocumentError::PortZero
    );
}

#[test]
fn a_grant_that_comes_deeper_than_the_ceiling_is_refused() {
    let network = Network::new();
    let lead = network.genesis.ceilings.lead;
    let verify = |starts: UnixTime| {
        let ends = starts + Span::from_minutes(15);
        let grant = EpochGrant {
            starts,
            ends,
            lease_until: ends,
            ..network.grant()
        };
        let signed = Signed::sign(&grant, &[&network.authority]).unwrap();
        signed.verify(&network.keyring(), NOW).map(|_| ())
    };
    assert_eq!(verify(NOW + lead), Ok(()));
    assert!(matches!(
        verify(NOW + lead + Span::from_millis(1)),
        Err(VerifyError::Rule(_))
    ));
}

#[test]
fn a_revocation_is_by_identity_and_serial() {
    let list = Network::new().revocation_list();
    let standing = |byte: u8, serial| {
        let identity = signing(byte).public_key();
        match list.standing(&identity, Serial::new(serial).unwrap()) {
            Standing::Out(entry) => Some(entry.kind),
            Standing::Clear => None,
        }
    };
    assert_eq!(standing(50, 1), Some(RevocationKind::Revoked));
    assert_eq!(standing(50, 90), Some(RevocationKind::Revoked));
    assert_eq!(standing(50, 91), None, "reinstated with a higher serial");
    assert_eq!(standing(51, 91), Some(RevocationKind::Suspended));
    assert_eq!(standing(52, 1), None);
}

#[test]
fn a_sealed_grant_opens_for_its_node_and_purpose_alone() {
    let network = Network::new();
    let (grant, context) = (network.grant(), network.seal_context());
    assert_eq!(grant.seal_context(), context);
    let opened = context.open(&grant.sealed, &network.sealing).unwrap();
    assert_eq!(opened.id(), grant.key);
    let other_key = SealingSecretKey::from_seed([66; 32]);
    assert_eq!(
        context.open(&grant.sealed, &other_key).err(),
        Some(SealError::OtherKey)
    );
    let rng = &mut <rand_chacha::ChaCha20Rng as rand_core::SeedableRng>::seed_from_u64(1);
    let swapped = context.seal(&network.grant_key(), &other_key.public_key().unwrap(), rng);
    assert_eq!(
        swapped.err(),
        Some(SealError::OtherKey),
        "a database writer swapped the key"
    );
    for other in [
        SealContext {
            network: NetworkId::from_bytes([1; 16]),
            ..context
        },
        SealContext {
            node: NodeId::from_bytes([1; 16]),
            ..context
        },
        SealContext {
            serial: Serial::new(1).unwrap(),
            ..context
        },
        SealContext {
            epoch: EpochNumber::new(9002).unwrap(),
            ..context
        },
        SealContext {
            redraw: 3,
            ..context
        },
    ] {
        assert_eq!(
            other.open(&grant.sealed, &network.sealing).err(),
            Some(SealError::Unopenable)
        );
    }
    let mut bytes = grant.sealed.as_bytes().to_vec();
    for at in [0, 600, 1119, 1120, 1167] {
        bytes[at] ^= 1;
        let damaged = SealedKey::from_bytes(&bytes).unwrap();
        assert_eq!(
            context.open(&damaged, &network.sealing).err(),
            Some(SealError::Unopenable),
            "{at}"
        );
        bytes[at] ^= 1;
    }
}
