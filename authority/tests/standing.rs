//! Who is out stays out, and who is in is who an operator let in.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use support::{TestNode, World, operator, revoke};
use tidegate_authority::service::{Approval, EnrollError, NodeError, NodeRef, ReadError};
use tidegate_proto::api::Enrolled;
use tidegate_proto::*;

async fn certificate(world: &World, node: &TestNode) -> Verified<Certificate> {
    let Enrolled::Admitted(signed) = world.authority.enrolled(node.id()).await.unwrap() else {
        panic!("not admitted")
    };
    signed
        .verify(&world.authority.keyring(), world.clock.now())
        .unwrap()
}

async fn is_out(world: &World, certificate: &Certificate) -> bool {
    let list = world.authority.revocation_list().await.unwrap();
    let list = list
        .verify(&world.authority.keyring(), world.clock.now())
        .unwrap();
    matches!(
        list.standing(&certificate.identity, certificate.serial),
        Standing::Out(_)
    )
}

async fn put_out(world: &World, node: &TestNode, kind: RevocationKind) {
    world
        .authority
        .revoke(node.id(), revoke(kind), operator())
        .await
        .unwrap();
}

async fn reinstate(world: &World, node: &TestNode) {
    let reason = "checked".parse().unwrap();
    world
        .authority
        .reinstate(node.id(), reason, operator())
        .await
        .unwrap();
}

/// A suspension that ends must not take the revocation before it along.
#[tokio::test]
async fn m4_what_was_revoked_stays_so_when_a_later_suspension_is_lifted() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    let stolen = certificate(&world, &node).await;
    put_out(&world, &node, RevocationKind::Revoked).await;
    reinstate(&world, &node).await;
    let node = node.with_new_keys();
    node.join(&world.authority, "a", None).await.unwrap();
    let current = certificate(&world, &node).await;
    put_out(&world, &node, RevocationKind::Suspended).await;
    assert!(is_out(&world, &stolen).await && is_out(&world, &current).await);
    reinstate(&world, &node).await;
    assert!(!is_out(&world, &current).await);
    assert!(is_out(&world, &stolen).await);
}

/// The latest certificate may end before an earlier one does.
#[tokio::test]
async fn m4_an_entry_stays_until_the_last_certificate_has_ended() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    let long = certificate(&world, &node).await;
    let short = format!("{}\n[epochs]\ncertificate = \"1h\"\n", support::MEMBERS);
    world
        .authority
        .put_policy(short, None, operator())
        .await
        .unwrap();
    world.hand.advance(Span::from_hours(1));
    node.renew(&world.authority).await.unwrap();
    let latest = certificate(&world, &node).await;
    assert!(latest.not_after < long.not_after);
    put_out(&world, &node, RevocationKind::Revoked).await;
    let last_use = long.not_after + Span::from_hours(49);
    world.hand.advance(last_use.since(world.clock.now()));
    world.authority.tick().await.unwrap();
    let list = world.authority.revocation_list().await.unwrap();
    let list = list
        .verify(&world.authority.keyring(), world.clock.now())
        .unwrap();
    assert_eq!(list.entries.len(), 1);
}

/// The grants of before name a serial that is on the list now.
#[tokio::test]
async fn m4_a_new_wireguard_key_brings_grants_under_the_new_serial() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    world.authority.tick().await.unwrap();
    let fresh = TestNode {
        sealing: SealingSecretKey::from_seed([5; 32]),
        ..node.with_new_keys()
    };
    let half = TestNode {
        sealing: fresh.sealing,
        ..node
    };
    half.renew(&world.authority).await.unwrap(); // the sealing key only
    world.hand.advance(Span::from_minutes(16));
    world.authority.tick().await.unwrap();
    let moved = TestNode {
        wireguard: fresh.wireguard,
        ..half
    };
    moved.renew(&world.authority).await.unwrap();
    let serial = certificate(&world, &moved).await.serial;
    let grants = world.authority.grants(moved.id()).await.unwrap();
    let (keyring, now) = (world.authority.keyring(), world.clock.now());
    let grants: Vec<_> = grants
        .iter()
        .map(|one| one.grant.verify(&keyring, now).unwrap())
        .collect();
    assert!(!grants.is_empty() && grants.iter().all(|grant| grant.serial == serial));
}

#[tokio::test]
async fn m4_keys_change_once_in_an_epoch_whichever_they_are() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    let sealed_anew = |seed| TestNode {
        identity: TestNode::new(node.seed).identity,
        wireguard: WgSecretKey::from_bytes(*node.wireguard.expose()),
        sealing: SealingSecretKey::from_seed([seed; 32]),
        seed: node.seed,
    };
    sealed_anew(1).renew(&world.authority).await.unwrap();
    let again = sealed_anew(2).renew(&world.authority).await;
    assert!(matches!(again, Err(NodeError::ChangedAlready(_))));
    let lost = sealed_anew(3).join(&world.authority, "a", None).await;
    assert!(matches!(lost, Err(EnrollError::ChangedAlready(_))));
    world.hand.advance(Span::from_minutes(15));
    assert!(sealed_anew(2).renew(&world.authority).await.is_ok());
}

/// An operator who approves by name must not be made to approve somebody else.
#[tokio::test]
async fn a_name_that_several_asked_for_names_nobody() {
    let mut world = World::new().await;
    let (honest, thief) = (world.node(), world.node());
    honest.join(&world.authority, "db", None).await.unwrap();
    let by_name = NodeRef::Name("db".parse().unwrap());
    assert_eq!(
        world.authority.node(&by_name).await.unwrap().node,
        honest.id()
    );
    thief.join(&world.authority, "db", None).await.unwrap();
    assert_eq!(
        world.authority.node(&by_name).await,
        Err(ReadError::Ambiguous)
    );
    world
        .authority
        .approve(honest.id(), Approval::default(), operator())
        .await
        .unwrap();
    assert_eq!(
        world.authority.node(&by_name).await.unwrap().node,
        honest.id()
    );
}

/// A challenge is about the one who signs the request with its answer.
#[tokio::test]
async fn whoever_signs_a_request_is_whom_it_is_about() {
    let mut world = World::new().await;
    let (node, other) = (world.node(), world.node());
    let request = node.request(&world.authority, "a", None).await;
    let mut caller = other.caller();
    caller.nonce = Some(tidegate_authority::service::SpentNonce {
        key: KeyId::of(&other.identity.public_key()),
        nonce: request.challenge,
        time: world.clock.now(),
    });
    assert_eq!(
        world.authority.enroll(request, caller).await,
        Err(EnrollError::NotPossessed)
    );
}
