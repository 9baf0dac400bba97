//! Who may sign what: thresholds, successions and the order that never goes back.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod fixtures;

use fixtures::{NOW, Network, envelope_of, genesis, set, signing};
use tidegate_proto::*;

fn numbered_list(network: &Network, sequence: u64) -> RevocationList {
    RevocationList {
        sequence: fixtures::seq(sequence),
        ..network.revocation_list()
    }
}

fn revision(number: u64) -> Revision {
    Revision::new(number).unwrap()
}

/// A chain whose genesis is signed for by all of `authority`.
fn chain_of(authority: &[&SigningKey], threshold: u32) -> TrustChain {
    let root = signing(1);
    let mut genesis = genesis(&root, authority, 1);
    genesis.authority.threshold = threshold;
    TrustChain::trusting(&Signed::sign(&genesis, &[&root]).unwrap()).unwrap()
}

/// The revision after the chain's, with another authority, signed by the root.
fn successor(chain: &TrustChain, authority: &[&SigningKey], overlap: Option<Span>) -> Genesis {
    let revision = chain.genesis().revision.next().unwrap();
    let mut next = genesis(&signing(1), authority, revision.value());
    next.previous = Some(chain.genesis().digest());
    next.authority.previous_until = overlap.map(|span| NOW + span);
    next
}

fn sign_genesis(genesis: &Genesis) -> Signed<Genesis> {
    Signed::sign(genesis, &[&signing(1)]).unwrap()
}

/// Verifies a list that says it was signed under revision `under`.
fn verify_under(
    chain: &TrustChain,
    under: u64,
    keys: &[&SigningKey],
    now: UnixTime,
) -> Result<(), VerifyError> {
    let list = RevocationList {
        revision: revision(under),
        ..Network::new().revocation_list()
    };
    let signed = Signed::sign(&list, keys).unwrap();
    signed.verify(&chain.keyring().unwrap(), now).map(|_| ())
}

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

#[test]
fn a_chain_starts_only_at_the_genesis_that_is_pinned() {
    let network = Network::new();
    let signed = network.signed_genesis();
    assert!(TrustChain::pinned(&signed, signed.digest()).is_ok());
    let want = Digest::of(b"another");
    let refused = TrustChain::pinned(&signed, want).err();
    assert_eq!(
        refused,
        Some(SuccessionError::OtherGenesis {
            want,
            got: signed.digest()
        })
    );
}

#[test]
fn a_succession_without_overlap_ends_the_old_keys_at_once() {
    let (old, new) = (signing(21), signing(22));
    let mut chain = chain_of(&[&old], 1);
    chain
        .succeed(&sign_genesis(&successor(&chain, &[&new], None)))
        .unwrap();
    let unknown = Err(VerifyError::UnknownSigner(KeyId::of(&old.public_key())));
    assert_eq!(verify_under(&chain, 1, &[&old], NOW), unknown);
    assert_eq!(verify_under(&chain, 2, &[&old], NOW), unknown);
    assert_eq!(verify_under(&chain, 2, &[&new], NOW), Ok(()));
}

#[test]
fn keys_count_for_their_own_revisions_alone() {
    let (old, new) = (signing(21), signing(22));
    let mut chain = chain_of(&[&old], 1);
    let overlap = Some(Span::from_hours(1));
    chain
        .succeed(&sign_genesis(&successor(&chain, &[&new], overlap)))
        .unwrap();
    let other = |number| Err(VerifyError::OtherRevision(revision(number)));
    assert_eq!(
        verify_under(&chain, 2, &[&old], NOW),
        other(2),
        "a thief of the old key"
    );
    assert_eq!(verify_under(&chain, 1, &[&new], NOW), other(1));
    assert_eq!(verify_under(&chain, 3, &[&new], NOW), other(3));
    assert_eq!(verify_under(&chain, 0, &[&old], NOW), other(0));
}

#[test]
fn a_succession_with_overlap_retires_the_old_keys_on_time() {
    let (old, new) = (signing(21), signing(22));
    let mut chain = chain_of(&[&old], 1);
    let overlap = Span::from_hours(1);
    chain
        .succeed(&sign_genesis(&successor(&chain, &[&new], Some(overlap))))
        .unwrap();
    let last = NOW + overlap - Span::from_millis(1);
    assert_eq!(verify_under(&chain, 1, &[&old], last), Ok(()));
    let retired = Err(VerifyError::KeysRetired(NOW + overlap));
    assert_eq!(verify_under(&chain, 1, &[&old], NOW + overlap), retired);
    assert_eq!(
        verify_under(&chain, 1, &[&old, &new], NOW),
        Err(VerifyError::MixedRevisions)
    );
}

#[test]
fn a_kept_key_alone_does_not_meet_a_raised_threshold() {
    let (kept, added) = (signing(21), signing(22));
    let mut chain = chain_of(&[&kept], 1);
    chain
        .succeed(&sign_genesis(&successor(&chain, &[&kept, &added], None)))
        .unwrap();
    let refused = verify_under(&chain, 2, &[&kept], NOW);
    assert_eq!(
        refused,
        Err(VerifyError::Threshold {
            valid: 1,
            threshold: 2
        })
    );
    assert_eq!(verify_under(&chain, 2, &[&kept, &added], NOW), Ok(()));
}

#[test]
fn a_kept_key_counts_for_the_old_revision_through_the_overlap() {
    let (kept, added) = (signing(21), signing(22));
    let mut chain = chain_of(&[&kept], 1);
    let overlap = Some(Span::from_hours(1));
    chain
        .succeed(&sign_genesis(&successor(&chain, &[&kept, &added], overlap)))
        .unwrap();
    assert_eq!(verify_under(&chain, 1, &[&kept], NOW), Ok(()));
    let other = Err(VerifyError::OtherRevision(revision(2)));
    assert_eq!(verify_under(&chain, 2, &[&kept], NOW), other);
}

#[test]
fn an_overlap_does_not_outlive_the_next_succession() {
    let [first, second, third] = [21, 22, 23].map(signing);
    let mut chain = chain_of(&[&first], 1);
    let overlap = Some(Span::from_hours(1));
    chain
        .succeed(&sign_genesis(&successor(&chain, &[&second], overlap)))
        .unwrap();
    chain
        .succeed(&sign_genesis(&successor(&chain, &[&third], overlap)))
        .unwrap();
    let refused = verify_under(&chain, 1, &[&first], NOW);
    assert!(matches!(refused, Err(VerifyError::UnknownSigner(_))));
    assert_eq!(verify_under(&chain, 2, &[&second], NOW), Ok(()));
}

#[test]
fn a_succession_that_keeps_the_keys_may_keep_what_they_signed() {
    let key = signing(21);
    let mut chain = chain_of(&[&key], 1);
    let mut next = successor(&chain, &[&key], None);
    next.authority.since = revision(1);
    chain.succeed(&sign_genesis(&next)).unwrap();
    assert_eq!(verify_under(&chain, 1, &[&key], NOW), Ok(()));
    assert_eq!(verify_under(&chain, 2, &[&key], NOW), Ok(()));
    chain
        .succeed(&sign_genesis(&successor(&chain, &[&key], None)))
        .unwrap();
    let other = Err(VerifyError::OtherRevision(revision(2)));
    assert_eq!(verify_under(&chain, 2, &[&key], NOW), other, "or end it");
}

#[test]
fn keys_that_are_new_cannot_have_signed_before() {
    let (old, new) = (signing(21), signing(22));
    let chain = chain_of(&[&old], 1);
    let refused = |keys: &[&SigningKey], threshold, since| {
        let mut next = successor(&chain, keys, None);
        next.authority.since = revision(since);
        next.authority.threshold = threshold;
        chain.clone().succeed(&sign_genesis(&next)).err()
    };
    let since = |number| Some(VerifyError::Rule(DocumentError::Since(revision(number))).into());
    assert_eq!(refused(&[&new], 1, 1), since(1));
    assert_eq!(refused(&[&old, &new], 1, 1), since(1));
    assert_eq!(refused(&[&old], 1, 1), None);
}

#[test]
fn no_succession_brings_back_what_a_kept_key_once_signed() {
    let key = signing(21);
    let mut chain = chain_of(&[&key], 1);
    let network = Network::new();
    let signed = |sequence| Signed::sign(&numbered_list(&network, sequence), &[&key]).unwrap();
    let verify = |signed: &Signed<RevocationList>, chain: &TrustChain| {
        signed.verify(&chain.keyring().unwrap(), NOW).unwrap()
    };
    let mut latest = Latest::new();
    latest.accept(verify(&signed(100), &chain)).unwrap();
    let (order, digest) = latest.floor().unwrap();
    let mut next = successor(&chain, &[&key], None);
    next.authority.since = revision(1);
    chain.succeed(&sign_genesis(&next)).unwrap();
    let old = verify(&signed(3), &chain);
    let refused = Latest::resumed(order, digest).accept(old.clone()).err();
    assert!(
        matches!(refused, Some(VerifyError::Rollback { .. })),
        "{refused:?}"
    );
    let keyring = chain.keyring().unwrap();
    latest
        .judge_again(|document| document.judge_again(&keyring, NOW))
        .unwrap();
    assert!(latest.accept(old).is_err());
    assert_eq!(latest.current().unwrap().sequence, fixtures::seq(100));
}

#[test]
fn a_nodes_own_documents_keep_their_order_over_successions() {
    let network = Network::new();
    let record = |sequence| {
        let record = PeerRecord {
            sequence: fixtures::seq(sequence),
            ..network.peer_record()
        };
        let signed = Signed::sign(&record, &[&network.identity]).unwrap();
        signed.verify(&network.node_keyring(), NOW).unwrap()
    };
    let mut latest = Latest::new();
    latest.accept(record(21)).unwrap();
    assert_eq!(record(5).order().revision, Revision::default());
    assert!(matches!(
        latest.accept(record(5)),
        Err(VerifyError::Rollback { .. })
    ));
}

#[test]
fn each_wrong_succession_has_its_own_refusal() {
    let key = signing(21);
    let chain = chain_of(&[&key], 1);
    let sound = successor(&chain, &[&key], None);
    let refused = |change: &dyn Fn(&mut Genesis)| {
        let mut next = sound.clone();
        change(&mut next);
        chain.clone().succeed(&sign_genesis(&next)).unwrap_err()
    };
    let two = Revision::new(2).unwrap();
    let gap = SuccessionError::Gap {
        have: chain.genesis().revision,
        got: Revision::new(3).unwrap(),
    };
    assert_eq!(refused(&|g| g.revision = Revision::new(3).unwrap()), gap);
    let other = Some(Digest::of(b"another"));
    assert_eq!(
        refused(&|g| g.previous = other),
        SuccessionError::OtherPredecessor(two)
    );
    let root = signing(9).public_key();
    assert_eq!(refused(&|g| g.root = root), SuccessionError::OtherRoot(two));
    let network = NetworkId::from_bytes([1; 16]);
    let foreign = VerifyError::ForeignNetwork {
        want: sound.network,
        got: network,
    };
    assert_eq!(refused(&|g| g.network = network), foreign.into());
    let thief = Signed::sign(&sound, &[&signing(9)]).unwrap();
    let unknown = VerifyError::UnknownSigner(KeyId::of(&root));
    assert_eq!(chain.clone().succeed(&thief), Err(unknown.into()));
}

#[test]
fn a_known_revision_changes_nothing() {
    let key = signing(21);
    let mut chain = chain_of(&[&key], 1);
    let first = sign_genesis(&genesis(&signing(1), &[&key], 1));
    let second = sign_genesis(&successor(&chain, &[&key], None));
    assert_eq!(chain.succeed(&second), Ok(Accepted::New));
    assert_eq!(chain.succeed(&second), Ok(Accepted::Known));
    assert_eq!(chain.succeed(&first), Ok(Accepted::Known));
    assert_eq!(chain.genesis().revision, Revision::new(2).unwrap());
}

#[test]
fn two_siblings_end_all_trust() {
    let key = signing(21);
    let mut chain = chain_of(&[&key], 1);
    chain
        .succeed(&sign_genesis(&successor(&chain, &[&key], None)))
        .unwrap();
    let mut sibling = (**chain.genesis()).clone();
    sibling.name = "demo-2".parse().unwrap();
    let halted = SuccessionError::Siblings(sibling.revision);
    assert_eq!(chain.succeed(&sign_genesis(&sibling)), Err(halted.clone()));
    assert_eq!(chain.keyring().err(), Some(halted.clone()));
    let next = successor(&chain, &[&key], None);
    assert_eq!(chain.succeed(&sign_genesis(&next)), Err(halted));
}

#[test]
fn a_sibling_of_an_earlier_revision_ends_all_trust_too() {
    let key = signing(21);
    let mut chain = chain_of(&[&key], 1);
    chain
        .succeed(&sign_genesis(&successor(&chain, &[&key], None)))
        .unwrap();
    let mut sibling = genesis(&signing(1), &[&key], 1);
    sibling.name = "demo-2".parse().unwrap();
    let refused = chain.succeed(&sign_genesis(&sibling)).err();
    assert_eq!(refused, Some(SuccessionError::Siblings(sibling.revision)));
    assert!(chain.keyring().is_err());
}

#[test]
fn the_rules_of_genesis_hold_even_when_the_root_signs() {
    let root = signing(1);
    let key = signing(21);
    let refused = |change: &dyn Fn(&mut Genesis)| {
        let mut broken = genesis(&root, &[&key], 1);
        change(&mut broken);
        let payload = serde_json::to_vec(&broken).unwrap();
        let json = envelope_of(&Kind::Genesis.payload_type(1), &payload, &[&root]);
        match TrustChain::trusting(&Signed::from_json(&json).unwrap()) {
            Err(SuccessionError::Refused(VerifyError::Rule(rule))) => rule,
            other => panic!("{other:?}"),
        }
    };
    let threshold = |threshold, keys| DocumentError::Threshold { threshold, keys };
    assert_eq!(refused(&|g| g.authority.threshold = 2), threshold(2, 1));
    assert_eq!(refused(&|g| g.authority.threshold = 0), threshold(0, 1));
    assert_eq!(refused(&|g| g.authority.keys = set([])), threshold(1, 0));
    assert_eq!(
        refused(&|g| g.root = key.public_key()),
        DocumentError::RootIsAuthority
    );
    assert_eq!(
        refused(&|g| g.previous = Some(Digest::of(b""))),
        DocumentError::Predecessor
    );
    assert_eq!(
        refused(&|g| g.revision = Revision::new(2).unwrap()),
        DocumentError::Predecessor
    );
    assert_eq!(
        refused(&|g| g.revision = Revision::default()),
        DocumentError::Predecessor
    );
    assert_eq!(
        refused(&|g| g.authority.previous_until = Some(NOW)),
        DocumentError::Predecessor
    );
    assert_eq!(
        refused(&|g| g.authority.since = revision(2)),
        DocumentError::Since(revision(2))
    );
    assert_eq!(
        refused(&|g| g.authority.since = revision(0)),
        DocumentError::Since(revision(0))
    );
    assert_eq!(
        refused(&|g| g.ipv4 = fixtures::list([])),
        DocumentError::Missing("IPv4 range")
    );
    let (wide, narrow): (Ipv4Range, Ipv4Range) = (
        "10.0.0.0/8".parse().unwrap(),
        "10.211.0.0/16".parse().unwrap(),
    );
    let overlap = DocumentError::RangesOverlap(wide.prefix(), narrow.prefix());
    assert_eq!(
        refused(&|g| g.ipv4 = fixtures::list([wide, narrow])),
        overlap
    );
    assert_eq!(
        refused(&|g| g.suites = set([])),
        DocumentError::Missing("suite")
    );
    let pins = refused(&|g| g.tls = TlsTrust::Pins(set([])));
    assert!(matches!(pins, DocumentError::Missing(_)));
    let settings = refused(&|g| g.epochs.epoch = Span::from_millis(1));
    assert!(matches!(settings, DocumentError::Settings(_)));
}

#[test]
fn order_never_goes_back() {
    let network = Network::new();
    let verified = |sequence| {
        let signed =
            Signed::sign(&numbered_list(&network, sequence), &[&network.authority]).unwrap();
        signed.verify(&network.keyring(), NOW).unwrap()
    };
    let mut latest = Latest::new();
    assert_eq!(latest.accept(verified(7)), Ok(Accepted::New));
    assert_eq!(latest.accept(verified(7)), Ok(Accepted::Known));
    let (got, have) = (verified(6).order(), verified(7).order());
    assert_eq!(
        latest.accept(verified(6)),
        Err(VerifyError::Rollback { got, have })
    );
    assert_eq!(latest.accept(verified(9)), Ok(Accepted::New));
    assert_eq!(latest.current().unwrap().sequence, fixtures::seq(9));

    let (order, digest) = latest.floor().unwrap();
    let mut resumed = Latest::resumed(order, digest);
    let refused = resumed.accept(verified(8)).err();
    assert!(matches!(refused, Some(VerifyError::Rollback { .. })));
    assert_eq!(
        resumed.accept(verified(9)),
        Ok(Accepted::New),
        "the same one may come back"
    );
}

#[test]
fn two_documents_for_one_place_are_a_conflict() {
    let network = Network::new();
    let verified = |list: RevocationList| {
        let signed = Signed::sign(&list, &[&network.authority]).unwrap();
        signed.verify(&network.keyring(), NOW).unwrap()
    };
    let mut latest = Latest::new();
    latest.accept(verified(numbered_list(&network, 7))).unwrap();
    let other = RevocationList {
        entries: fixtures::list([]),
        ..numbered_list(&network, 7)
    };
    let other = verified(other);
    let order = other.order();
    assert_eq!(latest.accept(other), Err(VerifyError::Conflict(order)));
    assert_eq!(
        latest.current().unwrap().entries.len(),
        2,
        "the first one stays in force"
    );
}

#[test]
fn a_stolen_key_cannot_outrun_its_succession() {
    let (stolen, new) = (signing(21), signing(22));
    let mut chain = chain_of(&[&stolen], 1);
    let network = Network::new();
    let list = |under, sequence, key: &SigningKey, chain: &TrustChain| {
        let list = RevocationList {
            revision: revision(under),
            ..numbered_list(&network, sequence)
        };
        let signed = Signed::sign(&list, &[key]).unwrap();
        signed.verify(&chain.keyring().unwrap(), NOW).unwrap()
    };
    let mut latest = Latest::new();
    latest
        .accept(list(1, Sequence::MAX.value(), &stolen, &chain))
        .unwrap();
    chain
        .succeed(&sign_genesis(&successor(&chain, &[&new], None)))
        .unwrap();
    let keyring = chain.keyring().unwrap();
    let judged = latest.judge_again(|document| document.judge_again(&keyring, NOW));
    assert!(
        judged.is_err() && latest.current().is_none(),
        "what the thief signed is not in force"
    );
    assert_eq!(latest.accept(list(2, 8, &new, &chain)), Ok(Accepted::New));
}

#[test]
fn of_two_grants_for_one_epoch_the_later_drawing_counts() {
    let network = Network::new();
    let grant = |redraw| {
        let signed = Signed::sign(
            &EpochGrant {
                redraw,
                ..network.grant()
            },
            &[&network.authority],
        )
        .unwrap();
        signed.verify(&network.keyring(), NOW).unwrap()
    };
    let mut latest = Latest::new();
    latest.accept(grant(1)).unwrap();
    assert_eq!(latest.accept(grant(2)), Ok(Accepted::New));
    assert!(matches!(
        latest.accept(grant(1)),
        Err(VerifyError::Rollback { .. })
    ));
}
