//! Who is out, who knows it, and by when everybody has stopped.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use support::{START, World, operator, revoke};
use tidegate_authority::service::{
    EnrollError, EpochError, MembershipError, NodeError, NodeRef, NodeStatus,
};
use tidegate_proto::api::RevocationStatus;
use tidegate_proto::bound::Revocation;
use tidegate_proto::*;

async fn list(world: &World) -> (Signed<RevocationList>, Verified<RevocationList>) {
    let signed = world.authority.revocation_list().await.unwrap();
    let verified = signed
        .verify(&world.authority.keyring(), world.clock.now())
        .unwrap();
    (signed, verified)
}

fn standing(list: &RevocationList, certificate: &Certificate) -> bool {
    matches!(
        list.standing(&certificate.identity, certificate.serial),
        Standing::Out(_)
    )
}

#[tokio::test]
async fn there_is_a_list_from_the_first_moment_and_a_fresh_one_in_time() {
    let world = World::new().await;
    let (_, first) = list(&world).await;
    assert!(first.entries.is_empty());
    world.authority.tick().await.unwrap();
    assert_eq!(
        list(&world).await.1.sequence,
        first.sequence,
        "a good list is not signed again"
    );
    world.hand.advance(Span::from_minutes(31));
    world.authority.tick().await.unwrap();
    let (_, second) = list(&world).await;
    assert!(second.sequence > first.sequence && first.next_update > second.issued_at);
}

#[tokio::test]
async fn a_revoked_node_is_on_the_list_at_once_and_gets_nothing_any_more() {
    let mut world = World::new().await;
    let (node, peer) = (world.member("a").await, world.member("b").await);
    let certificate = node.renew(&world.authority).await.unwrap();
    let certificate = certificate
        .verify(&world.authority.keyring(), world.clock.now())
        .unwrap();
    world.authority.tick().await.unwrap();
    assert_eq!(
        world.authority.grants(node.id()).await.unwrap().len(),
        1,
        "it had one before"
    );
    let before = list(&world).await.1.sequence;

    let status = world
        .authority
        .revoke(node.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    let (_, now) = list(&world).await;
    assert!(now.sequence > before && status.list == now.place());
    assert!(standing(&now, &certificate));
    assert_eq!(world.authority.grants(node.id()).await, Ok(vec![]));
    let revoked = NodeStatus::Revoked;
    assert_eq!(
        node.renew(&world.authority).await,
        Err(NodeError::NotMember(revoked))
    );
    let token = world.invite(1).await;
    let again = node.join(&world.authority, "a", Some(token)).await;
    assert_eq!(again, Err(EnrollError::Revoked("laptop lost".into())));
    let twice = world
        .authority
        .revoke(node.id(), revoke(RevocationKind::Revoked), operator())
        .await;
    assert_eq!(twice, Err(MembershipError::WrongStatus(revoked)));
    let thief = support::TestNode {
        wireguard: WgSecretKey::from_bytes(*node.wireguard.expose()),
        ..world.node()
    };
    let token = world.invite(1).await;
    let evaded = thief.join(&world.authority, "thief", Some(token)).await;
    assert_eq!(
        evaded,
        Err(EnrollError::WireguardKeyTaken),
        "its WireGuard key is out as well"
    );
    assert_eq!(world.authority.grants(peer.id()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn m4_a_revoked_node_comes_back_with_new_keys_only_and_its_old_serials_stay_out() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    let address = world
        .authority
        .node(&NodeRef::Id(node.id()))
        .await
        .unwrap()
        .ipv4;
    let old = node.renew(&world.authority).await.unwrap();
    let old = old
        .verify(&world.authority.keyring(), world.clock.now())
        .unwrap();
    world
        .authority
        .revoke(node.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    world
        .authority
        .reinstate(node.id(), "found".parse().unwrap(), operator())
        .await
        .unwrap();
    assert_eq!(
        node.join(&world.authority, "a", None).await,
        Err(EnrollError::OldKeys)
    );
    let fresh = node.with_new_keys();
    assert_eq!(fresh.id(), node.id());
    let half = support::TestNode {
        wireguard: WgSecretKey::from_bytes(*node.wireguard.expose()),
        ..node.with_new_keys()
    };
    assert_eq!(
        half.join(&world.authority, "a", None).await,
        Err(EnrollError::OldKeys)
    );
    assert!(fresh.join(&world.authority, "a", None).await.is_ok());
    let new = fresh.renew(&world.authority).await.unwrap();
    let new = new
        .verify(&world.authority.keyring(), world.clock.now())
        .unwrap();
    let (_, list) = list(&world).await;
    assert!(standing(&list, &old) && !standing(&list, &new));
    assert_eq!(Some(new.ipv4), address);
}

#[tokio::test]
async fn a_suspended_node_keeps_its_place_and_comes_back_as_it_was() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    let certificate = node.renew(&world.authority).await.unwrap();
    let certificate = certificate
        .verify(&world.authority.keyring(), world.clock.now())
        .unwrap();
    world.authority.tick().await.unwrap();
    world
        .authority
        .revoke(node.id(), revoke(RevocationKind::Suspended), operator())
        .await
        .unwrap();
    assert!(standing(&list(&world).await.1, &certificate));
    assert_eq!(world.authority.grants(node.id()).await, Ok(vec![]));
    assert_eq!(
        node.renew(&world.authority).await,
        Err(NodeError::NotMember(NodeStatus::Quarantined))
    );
    world
        .authority
        .reinstate(node.id(), "checked".parse().unwrap(), operator())
        .await
        .unwrap();
    assert!(!standing(&list(&world).await.1, &certificate));
    assert_eq!(world.authority.grants(node.id()).await.unwrap().len(), 1);
    let twice = world
        .authority
        .reinstate(node.id(), "again".parse().unwrap(), operator())
        .await;
    assert_eq!(
        twice,
        Err(MembershipError::WrongStatus(NodeStatus::Allowed))
    );
}

#[tokio::test]
async fn m4_a_new_wireguard_key_puts_the_certificates_before_on_the_list() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    let old = node.renew(&world.authority).await.unwrap();
    let old = old
        .verify(&world.authority.keyring(), world.clock.now())
        .unwrap();
    let fresh = node.with_new_keys();
    let new = fresh.renew(&world.authority).await.unwrap();
    let new = new
        .verify(&world.authority.keyring(), world.clock.now())
        .unwrap();
    let (_, list) = list(&world).await;
    assert!(new.serial > old.serial && standing(&list, &old) && !standing(&list, &new));
    let soon = node.with_new_keys();
    let soon = support::TestNode {
        wireguard: WgSecretKey::from_bytes([77; 32]),
        ..soon
    };
    assert!(matches!(
        soon.renew(&world.authority).await,
        Err(NodeError::ChangedAlready(_))
    ));
    world.hand.advance(Span::from_minutes(16));
    assert!(soon.renew(&world.authority).await.is_ok());
    world.hand.advance(Span::from_minutes(16));
    let back = node.renew(&world.authority).await;
    assert_eq!(
        back,
        Err(NodeError::Keys(EnrollError::WireguardKeyTaken)),
        "a key is not taken up again"
    );
}

/// The node stays in, and peers know its old key no more: the secrets of epochs to come are none the worse.
#[tokio::test]
async fn a_new_wireguard_key_ends_the_one_before_and_no_new_key_has_epochs_drawn_again() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    world.authority.tick().await.unwrap();
    world.hand.advance(Span::from_minutes(13));
    world.authority.tick().await.unwrap();
    let redraws = async |world: &World| {
        let epochs = world.authority.epochs().await.unwrap();
        epochs.iter().map(|epoch| epoch.redraw).collect::<Vec<_>>()
    };
    let (before, _) = list(&world).await;
    let sealing = support::TestNode {
        wireguard: WgSecretKey::from_bytes(*node.wireguard.expose()),
        ..node.with_new_keys()
    };
    sealing.renew(&world.authority).await.unwrap();
    assert_eq!(redraws(&world).await, [0, 0]);
    assert_eq!(list(&world).await.0.digest(), before.digest());
    world.hand.advance(Span::from_minutes(15));
    world.authority.tick().await.unwrap();
    let both = support::TestNode {
        sealing: SealingSecretKey::from_seed([5; 32]),
        ..node.with_new_keys()
    };
    both.renew(&world.authority).await.unwrap();
    assert_ne!(list(&world).await.0.digest(), before.digest());
    world.authority.tick().await.unwrap();
    assert_eq!(redraws(&world).await, [0, 0]);
    assert_eq!(world.authority.grants(node.id()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_revocation_counts_more_nodes_than_it_names() {
    let mut world = World::new().await;
    let out = world.member("out").await;
    let until = START + Span::from_hours(1);
    let insert = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10002)
         INSERT INTO releases (node, epoch, redraw, serial, revision, list, released_at, lease_until, stopped_at)
         SELECT CAST(printf('%016d', i) AS BLOB), 1, 0, i, 1, 0, 0, $1, $1 FROM n";
    let inserted = sqlx::query(insert).bind(until.as_millis() as i64);
    inserted.execute(&mut world.database().await).await.unwrap();
    let status = world
        .authority
        .revoke(out.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    assert_eq!(status.outstanding.len(), RevocationStatus::MOST_NAMED);
    assert_eq!(
        (status.outstanding_count(), status.confirmed_count()),
        (10_002, 0)
    );
    assert_eq!(status.bound, Some(until));
    let json = serde_json::to_string(&status).unwrap();
    assert!(json.contains("\"outstanding_unnamed\":2") && !json.contains("confirmed_unnamed"));
    world.hand.advance(Span::from_hours(1));
    world.authority.tick().await.unwrap();
    let over = world.authority.revocation(status.list.sequence).await;
    assert_eq!(over.unwrap().bound, None);
}

#[tokio::test]
async fn entries_leave_the_list_when_nobody_can_believe_the_certificate() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    world
        .authority
        .revoke(node.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    world.hand.advance(Span::from_hours(24 + 48));
    world.authority.tick().await.unwrap();
    assert_eq!(
        list(&world).await.1.entries.len(),
        1,
        "certificate end and longest lease"
    );
    world.hand.advance(Span::from_hours(3));
    world.authority.tick().await.unwrap();
    assert_eq!(list(&world).await.1.entries.len(), 0);
    assert!(
        node.join(&world.authority, "a", None).await.is_err(),
        "out it is, list or not"
    );
}

#[tokio::test]
async fn a_revocation_draws_what_has_not_begun_again_and_releases_it_to_the_others() {
    let mut world = World::new().await;
    let (out, stays) = (world.member("a").await, world.member("b").await);
    world.authority.tick().await.unwrap();
    world.hand.advance(Span::from_minutes(13));
    world.authority.tick().await.unwrap();
    let grants = world.authority.grants(stays.id()).await.unwrap();
    assert_eq!(grants.len(), 2);
    assert_eq!(world.authority.grants(out.id()).await.unwrap().len(), 2);
    world
        .authority
        .revoke(out.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    world.authority.tick().await.unwrap();
    let epochs = world.authority.epochs().await.unwrap();
    assert_eq!(
        epochs.iter().map(|epoch| epoch.redraw).collect::<Vec<_>>(),
        [0, 1]
    );
    let verify = |grant: &Signed<EpochGrant>| {
        grant
            .verify(&world.authority.keyring(), world.clock.now())
            .unwrap()
    };
    let again = world.authority.grants(stays.id()).await.unwrap();
    assert_eq!(verify(&again[0].grant).redraw, 0);
    let (before, after) = (verify(&grants[1].grant), verify(&again[1].grant));
    assert!(after.order() > before.order() && after.key != before.key && after.list > before.list);
    assert!(
        after
            .seal_context()
            .open(&after.sealed, &stays.sealing)
            .is_ok()
    );
    assert_eq!(world.authority.grants(out.id()).await, Ok(vec![]));
}

#[tokio::test]
async fn b1_the_bound_is_the_ledgers_and_only_falls() {
    let mut world = World::new().await;
    let (out, a, b) = (
        world.member("out").await,
        world.member("a").await,
        world.member("b").await,
    );
    world.authority.tick().await.unwrap();
    world.hand.advance(Span::from_minutes(13));
    world.authority.tick().await.unwrap();
    let status = world
        .authority
        .revoke(out.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    let ledger = world.authority.ledger().await.unwrap();
    assert_eq!(ledger.len(), 6);
    let model = Revocation {
        node: out.id(),
        list: status.list,
        since: world.clock.now(),
    };
    let progress = model.progress(&ledger, &BTreeMap::new(), &[]);
    assert_eq!(
        status.bound,
        progress.bound(),
        "the stored sums are the model's"
    );
    let worst = START + Span::from_minutes(15 + 15 + 60);
    assert!(status.bound.unwrap() > worst && status.bound.unwrap() < worst + Span::from_minutes(1));
    let outstanding: BTreeSet<_> = status.outstanding.iter().map(|one| one.node).collect();
    assert_eq!(outstanding, BTreeSet::from([a.id(), b.id()]));

    // What is released from now on carries the list, and does not count.
    world.authority.tick().await.unwrap();
    let (signed, current) = list(&world).await;
    let now = world.clock.now();
    world
        .authority
        .put_receipt(
            a.id(),
            a.receipt(&signed, current.place(), 1, now),
            a.caller(),
        )
        .await
        .unwrap();
    world.authority.tick().await.unwrap();
    let half = world
        .authority
        .revocation(status.list.sequence)
        .await
        .unwrap();
    assert!(
        half.confirmed.contains(&a.id())
            && half.outstanding.len() == 1
            && half.bound == status.bound
    );
    world
        .authority
        .put_receipt(
            b.id(),
            b.receipt(&signed, current.place(), 1, now),
            b.caller(),
        )
        .await
        .unwrap();
    let done = world
        .authority
        .revocation(status.list.sequence)
        .await
        .unwrap();
    assert!(done.bound.is_none() && done.outstanding.is_empty() && done.confirmed.len() == 2);
    world.authority.tick().await.unwrap();
    world.hand.advance(Span::from_hours(24));
    world.authority.tick().await.unwrap();
    assert_eq!(
        world
            .authority
            .revocation(status.list.sequence)
            .await
            .unwrap(),
        done,
        "also when the ledger has forgotten"
    );
}

#[tokio::test]
async fn a_bound_passes_by_itself() {
    let mut world = World::new().await;
    let (out, _silent) = (world.member("out").await, world.member("a").await);
    world.authority.tick().await.unwrap();
    let status = world
        .authority
        .revoke(out.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    let bound = status.bound.unwrap();
    world.hand.advance(bound.since(START));
    world.authority.tick().await.unwrap();
    let over = world
        .authority
        .revocation(status.list.sequence)
        .await
        .unwrap();
    assert_eq!((over.bound, over.confirmed.len()), (None, 0));
}

#[tokio::test]
async fn b7_a_gap_in_the_ledger_counts_as_the_longest_lease() {
    let mut world = World::new().await;
    let out = world.member("out").await;
    world
        .authority
        .note_ledger_gap(START, operator())
        .await
        .unwrap();
    let status = world
        .authority
        .revoke(out.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    assert!(status.bound.unwrap() > START + Span::from_hours(49));
}

#[tokio::test]
async fn a_receipt_is_the_nodes_own_over_a_list_that_was_and_never_goes_back() {
    let mut world = World::new().await;
    let (a, b) = (world.member("a").await, world.member("b").await);
    let (signed, first) = list(&world).await;
    let now = world.clock.now();
    let put = |by: NodeId, receipt| world.authority.put_receipt(by, receipt, operator());
    let good = a.receipt(&signed, first.place(), 5, now);
    assert!(
        matches!(put(b.id(), good.clone()).await, Err(NodeError::Document(_))),
        "another's"
    );
    let other = ListPlace {
        sequence: Sequence::new(first.sequence.value() + 1).unwrap(),
        ..first.place()
    };
    assert_eq!(
        put(a.id(), a.receipt(&signed, other, 5, now)).await,
        Err(NodeError::NoSuchList(other.sequence))
    );
    let future = a.receipt(&signed, first.place(), 5, now + Span::from_minutes(3));
    assert!(matches!(
        put(a.id(), future).await,
        Err(NodeError::Future(_))
    ));
    assert_eq!(put(a.id(), good.clone()).await, Ok(()));
    assert_eq!(put(a.id(), good).await, Ok(()), "sent again");
    let old = a.receipt(&signed, first.place(), 4, now);
    assert!(matches!(put(a.id(), old).await, Err(NodeError::Old { .. })));
    world
        .authority
        .revoke(b.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    let (fresh, second) = list(&world).await;
    let forged = b.receipt(&fresh, second.place(), 1, now);
    assert_eq!(
        put(b.id(), forged).await,
        Err(NodeError::NotMember(NodeStatus::Revoked))
    );
    let mixed = a.receipt(&signed, second.place(), 6, now);
    assert_eq!(
        put(a.id(), mixed).await,
        Err(NodeError::NoSuchList(second.sequence)),
        "the digest of another list"
    );
    assert!(
        put(a.id(), a.receipt(&fresh, second.place(), 6, now))
            .await
            .is_ok()
    );
}

/// Two servers on one database: whatever the order, a grant that leaves after a revocation carries its list, and the
/// revoked node gets none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b6_a_release_never_overtakes_a_revocation() {
    const ROUNDS: u64 = 40;
    let mut world = World::new().await;
    let other = world.another().await;
    let stays = world.member("stays").await;
    let mut members = Vec::new();
    for index in 0..80 {
        members.push(world.member(&format!("n-{index}")).await.id());
    }
    for round in 0..ROUNDS {
        world.hand.advance(Span::from_minutes(15));
        let out = members.swap_remove(0);
        let (here, there) = (world.authority.clone(), other.clone());
        let release = tokio::spawn(async move { here.tick().await });
        let put_out = tokio::spawn(async move {
            // Somewhere between the opening of the epoch and the last release.
            tokio::time::sleep(Duration::from_millis(round % 20)).await;
            there
                .revoke(out, revoke(RevocationKind::Revoked), operator())
                .await
        });
        let released: Result<_, EpochError> = release.await.unwrap();
        released.unwrap();
        let status = put_out.await.unwrap().unwrap();
        world.authority.tick().await.unwrap();
        other.tick().await.unwrap();
        check_ledger(&world, out, &status).await;
        for server in [&world.authority, &other] {
            assert_eq!(server.grants(out).await, Ok(vec![]), "round {round}");
            assert!(!server.grants(stays.id()).await.unwrap().is_empty());
        }
    }
}

/// Whoever may not have heard was counted when the bound was told: no grant without the list left after it. None left
/// for the revoked node, and no drawing was released to anybody twice.
async fn check_ledger(world: &World, out: NodeId, status: &RevocationStatus) {
    let outstanding = status.outstanding.iter();
    let told: BTreeMap<_, _> = outstanding.map(|one| (one.node, one.stopped_at)).collect();
    let mut seen = BTreeSet::new();
    let now = world.clock.now();
    for release in world.authority.ledger().await.unwrap() {
        assert!(seen.insert((release.node, release.epoch, release.redraw)));
        if release.node == out {
            assert!(
                release.list < status.list,
                "a grant left for a revoked node"
            );
        } else if release.list < status.list && release.stopped_at() > now {
            let told = told.get(&release.node);
            assert!(
                told >= Some(&release.stopped_at()),
                "a grant left without the list, after the bound was told"
            );
        }
    }
}
