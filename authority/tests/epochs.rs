//! Epochs on time, grants for whoever may have them, certificates that follow one another.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use support::{MEMBERS, START, TestNode, World, operator};
use tidegate_authority::service::{NodeError, NodeRef, NodeStatus, PolicyChangeError};
use tidegate_proto::*;

async fn numbers(world: &World) -> Vec<(u64, UnixTime, UnixTime)> {
    let epochs = world.authority.epochs().await.unwrap();
    epochs
        .iter()
        .map(|epoch| (epoch.number.value(), epoch.starts, epoch.ends))
        .collect()
}

fn minutes(count: u64) -> UnixTime {
    START + Span::from_minutes(count)
}

#[tokio::test]
async fn an_epoch_is_opened_one_lead_before_it_begins() {
    let world = World::new().await;
    world.authority.tick().await.unwrap();
    assert_eq!(numbers(&world).await, [(1, START, minutes(15))]);
    world.hand.advance(Span::from_millis(12 * 60_000 - 1));
    let next = world.authority.tick().await.unwrap();
    assert_eq!(numbers(&world).await.len(), 1);
    assert_eq!(next, minutes(12));
    world.hand.advance(Span::from_millis(1));
    world.authority.tick().await.unwrap();
    assert_eq!(
        numbers(&world).await,
        [(1, START, minutes(15)), (2, minutes(15), minutes(30))]
    );
    world.hand.advance(Span::from_minutes(3));
    world.authority.tick().await.unwrap();
    assert_eq!(numbers(&world).await, [(2, minutes(15), minutes(30))]);
}

#[tokio::test]
async fn after_downtime_the_next_number_begins_now_also_at_another_server() {
    let world = World::new().await;
    world.authority.tick().await.unwrap();
    world.hand.advance(Span::from_hours(5));
    let other = world.another().await;
    let (a, b) = tokio::join!(other.tick(), world.authority.tick());
    a.unwrap();
    b.unwrap();
    assert_eq!(numbers(&world).await, [(2, minutes(300), minutes(315))]);
}

#[tokio::test]
async fn a_rotation_begins_the_next_epoch_at_once() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    world.authority.tick().await.unwrap();
    world.hand.advance(Span::from_minutes(5));
    let fresh = world.authority.rotate(operator()).await.unwrap();
    assert_eq!(
        (fresh.number.value(), fresh.redraw, fresh.starts),
        (2, 0, minutes(5))
    );
    world.authority.tick().await.unwrap();
    assert_eq!(numbers(&world).await, [(2, minutes(5), minutes(20))]);
    // One that was opened ahead is not skipped but begins earlier, with another secret.
    world.hand.advance(Span::from_minutes(13));
    world.authority.tick().await.unwrap();
    let ahead = world.authority.grants(node.id()).await.unwrap();
    assert_eq!(numbers(&world).await.len(), 2);
    let fresh = world.authority.rotate(operator()).await.unwrap();
    assert_eq!(
        (fresh.number.value(), fresh.redraw, fresh.starts),
        (3, 1, minutes(18))
    );
    world.authority.tick().await.unwrap();
    let now = world.authority.grants(node.id()).await.unwrap();
    let key = |grant: &Signed<EpochGrant>| {
        grant
            .verify(&world.authority.keyring(), world.clock.now())
            .unwrap()
            .key
    };
    assert_ne!(
        key(&ahead.last().unwrap().grant),
        key(&now.last().unwrap().grant)
    );
    assert!(
        world.authority.rotate(node.caller()).await.is_err(),
        "a node may not"
    );
}

#[tokio::test]
async fn every_member_gets_one_grant_that_only_it_can_open() {
    let mut world = World::new().await;
    let (a, b) = (world.member("a").await, world.member("b").await);
    let waiting = world.node();
    waiting.join(&world.authority, "c", None).await.unwrap();
    world.authority.tick().await.unwrap();
    let mut opened = BTreeSet::new();
    for (node, other) in [(&a, &b), (&b, &a)] {
        let grants = world.authority.grants(node.id()).await.unwrap();
        assert_eq!(grants.len(), 1);
        let grant = grants[0]
            .grant
            .verify(&world.authority.keyring(), world.clock.now())
            .unwrap();
        let list = grants[0]
            .list
            .verify(&world.authority.keyring(), world.clock.now())
            .unwrap();
        assert!(list.place() >= grant.list, "the list travels with it");
        let key = grant
            .seal_context()
            .open(&grant.sealed, &node.sealing)
            .unwrap();
        assert!(
            grant
                .seal_context()
                .open(&grant.sealed, &other.sealing)
                .is_err()
        );
        assert_eq!(key.id(), grant.key);
        opened.insert(*key.expose());
    }
    assert_eq!(opened.len(), 1, "one key for the network");
    assert_eq!(world.authority.grants(waiting.id()).await, Ok(vec![]));
    assert_eq!(world.authority.ledger().await.unwrap().len(), 2);
}

#[tokio::test]
async fn who_comes_in_later_gets_the_running_epoch_too() {
    let mut world = World::new().await;
    world.member("a").await;
    world.authority.tick().await.unwrap();
    let late = world.member("b").await;
    world.authority.tick().await.unwrap();
    assert_eq!(world.authority.ledger().await.unwrap().len(), 2);
    assert_eq!(world.authority.grants(late.id()).await.unwrap().len(), 1);
    assert_eq!(
        world.authority.ledger().await.unwrap().len(),
        2,
        "asking releases nothing twice"
    );
}

#[tokio::test]
async fn a_grant_survives_a_restart_and_its_secret_does_not_lie_in_the_database() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    world.authority.tick().await.unwrap();
    let before = world.authority.grants(node.id()).await.unwrap();
    let grant = before[0]
        .grant
        .verify(&world.authority.keyring(), world.clock.now())
        .unwrap();
    let key = grant
        .seal_context()
        .open(&grant.sealed, &node.sealing)
        .unwrap();
    world.authority.close().await;
    let again = world.another().await;
    assert_eq!(
        again.grants(node.id()).await.unwrap()[0].grant,
        before[0].grant
    );
    for entry in std::fs::read_dir(world.dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(32).any(|window| window == key.expose()));
    }
}

#[tokio::test]
async fn a_certificate_follows_another_with_a_higher_serial_and_the_same_place() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    let verify =
        |signed: Signed<Certificate>, now| signed.verify(&world.authority.keyring(), now).unwrap();
    let first = verify(
        node.renew(&world.authority).await.unwrap(),
        world.clock.now(),
    );
    world.hand.advance(Span::from_minutes(1));
    let again = node.renew(&world.authority).await.unwrap();
    let again = verify(again, world.clock.now());
    assert_eq!(
        first.serial, again.serial,
        "asking again makes nothing grow"
    );
    world.hand.advance(Span::from_minutes(15));
    let second = verify(
        node.renew(&world.authority).await.unwrap(),
        world.clock.now(),
    );
    assert!(second.serial > first.serial);
    assert_eq!(
        (&first.name, first.ipv4, first.ipv6),
        (&second.name, second.ipv4, second.ipv6)
    );
    assert_eq!(
        first.not_after.since(first.not_before),
        Span::from_hours(24)
    );
    let stranger = world.node();
    assert_eq!(
        stranger.renew(&world.authority).await,
        Err(NodeError::Unknown)
    );
}

#[tokio::test]
async fn a_new_sealing_key_gets_its_grants_sealed_anew() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    world.authority.tick().await.unwrap();
    let fresh = support::TestNode {
        wireguard: WgSecretKey::from_bytes(*node.wireguard.expose()),
        ..node.with_new_keys()
    };
    fresh.renew(&world.authority).await.unwrap();
    let grants = world.authority.grants(node.id()).await.unwrap();
    let grant = grants[0]
        .grant
        .verify(&world.authority.keyring(), world.clock.now())
        .unwrap();
    assert!(
        grant
            .seal_context()
            .open(&grant.sealed, &fresh.sealing)
            .is_ok()
    );
    assert!(
        grant
            .seal_context()
            .open(&grant.sealed, &node.sealing)
            .is_err()
    );
}

#[tokio::test]
async fn no_certificate_no_grant() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    world.authority.tick().await.unwrap();
    world.hand.advance(Span::from_hours(25));
    world.authority.tick().await.unwrap();
    assert_eq!(world.authority.grants(node.id()).await, Ok(vec![]));
    node.renew(&world.authority).await.unwrap();
    assert_eq!(world.authority.grants(node.id()).await.unwrap().len(), 1);
}

async fn swap_sealing_key(world: &World, victim: &TestNode) {
    let thief = SealingSecretKey::from_seed([66; 32])
        .public_key()
        .unwrap()
        .to_bytes();
    let mut connection = world.database().await;
    let swap = sqlx::query("UPDATE nodes SET sealing = $1 WHERE node = $2");
    let swap = swap.bind(thief).bind(victim.id().as_bytes().to_vec());
    assert_eq!(
        swap.execute(&mut connection).await.unwrap().rows_affected(),
        1
    );
}

/// THREATS M3: whoever writes to the database cannot have a grant sealed to a key of his own.
#[tokio::test]
async fn m3_a_swapped_sealing_key_gets_no_grant() {
    let mut world = World::new().await;
    let (victim, other) = (world.member("a").await, world.member("b").await);
    swap_sealing_key(&world, &victim).await;
    world.authority.tick().await.unwrap();
    assert_eq!(world.authority.grants(victim.id()).await, Ok(vec![]));
    assert_eq!(
        world.authority.grants(other.id()).await.unwrap().len(),
        1,
        "the others are not kept out"
    );
    // Nor from the next epoch, which has to be there before this one ends.
    world.hand.advance(Span::from_minutes(13));
    world.authority.tick().await.unwrap();
    let epochs = world.authority.epochs().await.unwrap();
    let released: Vec<_> = epochs.iter().map(|epoch| epoch.released).collect();
    assert_eq!(released, [1, 1]);
}

/// The same with certificates that were found good before: what is remembered of one is of what it says, not of its place.
#[tokio::test]
async fn m3_a_certificate_that_was_found_good_counts_under_no_other_serial() {
    let mut world = World::new().await;
    let (victim, thief) = (world.member("a").await, world.member("b").await);
    let other = world.member("c").await;
    world.authority.tick().await.unwrap();
    let mut connection = world.database().await;
    let swap = "UPDATE certificates SET envelope = (SELECT envelope FROM certificates WHERE node = $1) WHERE node = $2";
    let swap = sqlx::query(swap)
        .bind(thief.id().as_bytes().to_vec())
        .bind(victim.id().as_bytes().to_vec());
    let swapped = swap.execute(&mut connection).await.unwrap();
    assert_eq!(swapped.rows_affected(), 1);
    world.hand.advance(Span::from_minutes(13));
    world.authority.tick().await.unwrap();
    for (node, grants) in [(&victim, 1), (&thief, 2), (&other, 2)] {
        let granted = world.authority.grants(node.id()).await.unwrap();
        assert_eq!(
            granted.len(),
            grants,
            "of the epoch in force, and of the next"
        );
    }
}

#[tokio::test]
async fn the_policy_sets_how_long_epochs_last_within_the_ceilings() {
    let world = World::new().await;
    world.authority.tick().await.unwrap();
    let short = format!("{MEMBERS}\n[epochs]\nepoch = \"1m\"\nlead = \"10s\"\noverlap = \"5s\"\n");
    world
        .authority
        .put_policy(short, None, operator())
        .await
        .unwrap();
    let fresh = world.authority.rotate(operator()).await.unwrap();
    assert_eq!(fresh.ends.since(fresh.starts), Span::from_minutes(1));
    let long = "[epochs]\nepoch = \"5h\"\n".to_owned();
    assert!(matches!(
        world.authority.put_policy(long, None, operator()).await,
        Err(PolicyChangeError::Rule(_))
    ));
}

#[tokio::test]
async fn who_is_silent_is_offline_and_comes_back_by_itself() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    let status = async |world: &World| {
        world
            .authority
            .node(&NodeRef::Id(node.id()))
            .await
            .unwrap()
            .status
    };
    world.hand.advance(Span::from_secs(80));
    world.authority.tick().await.unwrap();
    assert_eq!(status(&world).await, NodeStatus::Allowed);
    world.hand.advance(Span::from_secs(11));
    world.authority.tick().await.unwrap();
    assert_eq!(status(&world).await, NodeStatus::Offline);
    let heartbeat = || tidegate_proto::api::Heartbeat {
        program: "0.1.0".parse().unwrap(),
        nonce: nonce(1),
        list: ListPlace::default(),
        policy: Sequence::default(),
        roster: Sequence::default(),
        record: Some(node.record(1, "192.0.2.7:51820", world.clock.now())),
        peers_seen: BoundedSet::default(),
    };
    let reply = world
        .authority
        .heartbeat(node.id(), heartbeat(), None, node.caller())
        .await
        .unwrap();
    let time = reply
        .time
        .verify(&world.authority.keyring(), world.clock.now())
        .unwrap();
    assert_eq!((time.nonce, time.at), (nonce(1), world.clock.now()));
    world.authority.tick().await.unwrap();
    assert_eq!(status(&world).await, NodeStatus::Allowed);
    let stranger = world
        .authority
        .heartbeat(NodeId::from_bytes([1; 16]), heartbeat(), None, operator())
        .await;
    assert_eq!(stranger, Err(NodeError::Unknown));
}

fn nonce(byte: u8) -> Nonce {
    base64_encode(&[byte; 16]).parse().unwrap()
}

/// Nobody asks for them, and a round is due each five seconds only.
#[tokio::test]
async fn a_newcomer_has_its_grants_before_the_next_round() {
    const GRANTS: &str = "SELECT COUNT(*) FROM grants";
    let mut world = World::new().await;
    let authority = world.authority.clone();
    let running = tokio::spawn(async move { authority.run().await });
    for (name, grants) in [("first", 1), ("second", 2)] {
        world.member(name).await;
        let came_in = Instant::now();
        while world.count(GRANTS).await < grants && came_in.elapsed() < Duration::from_secs(20) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // The first may have waited for the epoch as well.
        assert!(grants == 1 || came_in.elapsed() < Duration::from_secs(3));
    }
    running.abort();
}
