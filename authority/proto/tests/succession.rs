//! Successions: which keys count when, and what ends all trust.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod fixtures;

use fixtures::chain::{chain_of, numbered_list, revision, sign_genesis, successor, verify_under};
use fixtures::{NOW, Network, envelope_of, genesis, set, signing};
use tidegate_proto::*;

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
