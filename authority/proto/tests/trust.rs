//! Who may sign what: thresholds, and each document by its own signer.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod fixtures;

use fixtures::chain::{chain_of, verify_under};
use fixtures::{NOW, Network, signing};
use tidegate_proto::*;

#[test]
fn a_threshold_takes_that_many_different_keys() {
    let [a, b, c, stranger] = [21, 22, 23, 24].map(signing);
    let chain = chain_of(&[&a, &b, &c], 2);
    let verify = |keys: &[&SigningKey]| verify_under(&chain, 1, keys, NOW);
    assert_eq!(verify(&[&a, &c]), Ok(()));
    assert_eq!(verify(&[&a, &b, &c]), Ok(()));
    assert_eq!(
        verify(&[&a]),
        Err(VerifyError::Threshold {
            valid: 1,
            threshold: 2
        })
    );
    let id = |key: &SigningKey| KeyId::of(&key.public_key());
    assert_eq!(verify(&[&a, &a]), Err(VerifyError::RepeatedSigner(id(&a))));
    assert_eq!(
        verify(&[&a, &stranger]),
        Err(VerifyError::UnknownSigner(id(&stranger)))
    );
    assert_eq!(
        verify(&[&a, &b, &stranger]),
        Err(VerifyError::UnknownSigner(id(&stranger)))
    );
}

#[test]
fn every_signature_that_is_there_must_be_good() {
    let [a, b, c] = [21, 22, 23].map(signing);
    let chain = chain_of(&[&a, &b, &c], 2);
    let list = Network::new().revocation_list();
    let good = Signed::sign(&list, &[&a, &b]).unwrap().to_json();
    let other = Signed::sign(
        &RevocationList {
            sequence: fixtures::seq(8),
            ..list
        },
        &[&c],
    )
    .unwrap();
    let bad = base64_encode(&other.envelope().signatures()[0].bytes);
    let third = format!(
        r#",{{"keyid":"{}","sig":"{bad}"}}]"#,
        KeyId::of(&c.public_key())
    );
    let json = String::from_utf8(good).unwrap().replace(']', &third);
    let refused = Signed::<RevocationList>::from_json(json.as_bytes())
        .unwrap()
        .verify(&chain.keyring().unwrap(), NOW);
    assert_eq!(
        refused.err(),
        Some(VerifyError::BadSignature(KeyId::of(&c.public_key())))
    );
}

#[test]
fn the_root_signs_genesis_alone_and_the_authority_all_but_genesis() {
    let network = Network::new();
    let chain = network.chain();
    let by_root = verify_under(&chain, 1, &[&network.root], NOW);
    assert!(matches!(by_root, Err(VerifyError::UnknownSigner(_))));
    let by_authority = Signed::sign(&network.genesis, &[&network.authority]).unwrap();
    assert!(TrustChain::trusting(&by_authority).is_err());
    let by_both = Signed::sign(&network.genesis, &[&network.root, &network.authority]).unwrap();
    assert!(TrustChain::trusting(&by_both).is_err());
}

#[test]
fn nobody_speaks_for_another_node_or_operator() {
    let network = Network::new();
    let other = NodeId::of(&signing(40).public_key());
    let receipt = Receipt {
        node: other,
        ..network.receipt()
    };
    let signed = Signed::sign(&receipt, &[&network.identity]).unwrap();
    assert_eq!(
        signed.verify(&network.node_keyring(), NOW).err(),
        Some(VerifyError::ForeignAuthor)
    );

    let keys = [&network.operator, &network.authority];
    let operator = OperatorId::of(&signing(41).public_key());
    let command = Command {
        operator,
        ..network.command()
    };
    let signed = Signed::sign(&command, &keys).unwrap();
    let refused = signed.verify(&network.command_keyring(), NOW).err();
    assert_eq!(refused, Some(VerifyError::ForeignAuthor));
}

#[test]
fn a_command_needs_the_operator_and_the_authority() {
    let network = Network::new();
    let verify = |keys: &[&SigningKey]| {
        let signed = Signed::sign(&network.command(), keys).unwrap();
        signed.verify(&network.command_keyring(), NOW).map(|_| ())
    };
    let too_few = Err(VerifyError::Threshold {
        valid: 0,
        threshold: 1,
    });
    assert_eq!(verify(&[&network.operator, &network.authority]), Ok(()));
    assert_eq!(verify(&[&network.operator]), too_few);
    assert_eq!(verify(&[&network.authority]), too_few);
    let countersigned = Signed::sign(&network.command(), &[&network.operator])
        .unwrap()
        .countersigned(&network.authority)
        .unwrap();
    assert!(
        countersigned
            .verify(&network.command_keyring(), NOW)
            .is_ok()
    );
}

#[test]
fn a_key_signs_a_document_once() {
    let network = Network::new();
    let signed = Signed::sign(&network.command(), &[&network.operator]).unwrap();
    let id = KeyId::of(&network.operator.public_key());
    let again = signed.countersigned(&network.operator);
    assert_eq!(again.err(), Some(SignError::SignedAlready(id)));
}

#[test]
fn only_an_operator_with_the_role_gives_a_command() {
    let network = Network::new();
    let id = OperatorId::of(&network.operator.public_key());
    let given = |role, action| {
        let mut policy = network.policy();
        let operator = policy::Operator {
            role,
            ..policy.operators[0].clone()
        };
        policy.operators = fixtures::list([operator]);
        let policy = Signed::sign(&policy, &[&network.authority]).unwrap();
        let policy = policy.verify(&network.keyring(), NOW).unwrap();
        let keyring = network.keyring().with_operator(&policy, id).unwrap();
        let stranger = OperatorId::of(&signing(99).public_key());
        assert!(network.keyring().with_operator(&policy, stranger).is_none());
        let command = Command {
            action,
            ..network.command()
        };
        let signed = Signed::sign(&command, &[&network.operator, &network.authority]).unwrap();
        signed.verify(&keyring, NOW).map(|_| ())
    };
    use policy::OperatorRole::{Admin, Operator, Viewer};
    assert_eq!(given(Admin, Action::Shutdown), Ok(()));
    assert_eq!(
        given(Operator, Action::Shutdown),
        Err(VerifyError::Role(Action::Shutdown))
    );
    assert_eq!(given(Operator, Action::Ping), Ok(()));
    assert_eq!(
        given(Viewer, Action::Ping),
        Err(VerifyError::Role(Action::Ping))
    );
}
