//! The order that never goes back.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod fixtures;

use fixtures::chain::{chain_of, numbered_list, revision, sign_genesis, successor};
use fixtures::{NOW, Network, signing};
use tidegate_proto::*;

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
