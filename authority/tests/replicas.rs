//! Several servers on one database: each tells of what the others do, follows their successions, and refuses what was
//! carried out elsewhere.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::log::count;
use support::{MEMBERS, World, operator, revoke, set};
use tidegate_authority::Authority;
use tidegate_authority::service::{
    AccessError, Caller, Event, EventId, Limits, NodeError, NodeStream, SpentNonce,
};
use tidegate_authority::store::StoreError;
use tidegate_proto::api::{Heartbeat, StreamEvent};
use tidegate_proto::*;

async fn next(stream: &mut NodeStream) -> Option<(Option<EventId>, StreamEvent)> {
    let (id, event) = tokio::time::timeout(Duration::from_secs(10), stream.next())
        .await
        .expect("an event in time")?;
    Some((id, strict::read(&event.json.to_bytes(), 1 << 24).unwrap()))
}

/// The names of the events up to the one that has a place, and that place.
async fn whole(stream: &mut NodeStream) -> (EventId, Vec<&'static str>) {
    let mut names = Vec::new();
    loop {
        let (id, event) = next(stream).await.unwrap();
        names.push(event.name());
        if let Some(id) = id {
            return (id, names);
        }
    }
}

/// Revision 2 of the world's genesis, with these authority keys, and the signing keys for it.
fn succession(world: &World, keys: &[Arc<SigningKey>]) -> Signed<Genesis> {
    let revision = Revision::new(2).unwrap();
    let next = Genesis {
        revision,
        previous: Some(world.authority.genesis().digest()),
        authority: AuthoritySet {
            keys: set(keys.iter().map(|key| key.public_key())),
            threshold: 1,
            since: revision,
            previous_until: None,
        },
        ..world.genesis.clone()
    };
    Signed::sign(&next, &[&world.root]).unwrap()
}

#[tokio::test]
async fn a_change_at_one_server_reaches_the_streams_of_the_other() {
    let mut world = World::new().await;
    world
        .authority
        .put_policy(MEMBERS.to_owned(), None, operator())
        .await
        .unwrap();
    let (a, b) = (world.member("a").await, world.member("b").await);
    world.authority.tick().await.unwrap();
    let other = world.another().await;
    let mut stream = other.stream(a.id(), None).await.unwrap();
    whole(&mut stream).await;
    let record = b.record(1, "192.0.2.7:51820", world.clock.now());
    let put = world.authority.put_record(b.id(), record, None, b.caller());
    put.await.unwrap();
    assert_eq!(whole(&mut stream).await.1, ["record"]);
    world
        .authority
        .revoke(b.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    assert_eq!(whole(&mut stream).await.1, ["list", "roster"]);
    world.hand.advance(Span::from_minutes(13));
    world.authority.tick().await.unwrap();
    assert_eq!(whole(&mut stream).await.1, ["grant"]);
    world
        .authority
        .put_policy(MEMBERS.to_owned(), None, operator())
        .await
        .unwrap();
    assert_eq!(whole(&mut stream).await.1, ["policy", "roster"]);
}

/// Whoever loses the stream between two events that belong together hears both again.
#[tokio::test]
async fn only_the_last_of_several_events_is_a_place_to_resume() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    let mut stream = world.authority.stream(node.id(), None).await.unwrap();
    let mut places = Vec::new();
    for _ in 0..4 {
        let (id, event) = next(&mut stream).await.unwrap();
        places.push((event.name(), id.is_some()));
    }
    let told = [("genesis", false), ("list", false), ("certificate", false)];
    assert_eq!(places[..3], told);
    assert_eq!(places[3], ("roster", true));
}

/// A follower that falls behind what is kept is ended, not buffered for, and comes back for everything.
#[tokio::test]
async fn a_slow_follower_is_ended_and_comes_back_for_everything() {
    let limits = Limits {
        changes: 8,
        ..Limits::default()
    };
    let mut world = World::with(limits, "10.211.0.0/16").await;
    let (a, b) = (world.member("a").await, world.member("b").await);
    let mut slow = world.authority.stream(a.id(), None).await.unwrap();
    let (place, _) = whole(&mut slow).await;
    let mut quick = world.authority.follow();
    for sequence in 1..=20 {
        let record = b.record(sequence, "192.0.2.7:51820", world.clock.now());
        let put = world.authority.put_record(b.id(), record, None, b.caller());
        put.await.unwrap();
        assert!(quick.next().await.is_some(), "who keeps up hears all");
    }
    assert!(next(&mut slow).await.is_none());
    let mut again = world.authority.stream(a.id(), Some(place)).await.unwrap();
    assert_eq!(whole(&mut again).await.1[0], "genesis");
}

/// After a succession without overlap nothing of before counts: whichever server is asked gives out what does.
#[tokio::test]
async fn s3_a_succession_without_overlap_renews_everything_on_every_server() {
    let mut world = World::new().await;
    let fresh = Arc::new(SigningKey::from_seed(&[30; 32]));
    let keys = [Arc::clone(&world.keys[0]), Arc::clone(&fresh)];
    let (here, there) = (
        world.beside(&keys, Limits::default()).await,
        world.beside(&keys, Limits::default()).await,
    );
    world
        .authority
        .put_policy(MEMBERS.to_owned(), None, operator())
        .await
        .unwrap();
    let (a, b) = (world.member("a").await, world.member("b").await);
    here.tick().await.unwrap();
    let mut stream = there.stream(a.id(), None).await.unwrap();
    whole(&mut stream).await;

    here.install_genesis(succession(&world, &[fresh]), operator())
        .await
        .unwrap();
    here.tick().await.unwrap();
    for server in [&here, &there] {
        check_renewed(server, &world, &a).await;
    }
    let mut heard = Vec::new();
    while !heard.contains(&"grant") {
        heard.extend(whole(&mut stream).await.1);
    }
    for name in ["genesis", "list", "certificate", "policy", "roster"] {
        assert!(heard.contains(&name), "{name} is not among {heard:?}");
    }
    // The other server signs under the new keys from the next effect on, and the ledger goes on.
    let status = there
        .revoke(b.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    assert_eq!(status.list.revision.value(), 2);
    let outstanding = status.outstanding.iter().map(|one| one.node);
    assert_eq!(outstanding.collect::<Vec<_>>(), [a.id()]);
    let list = there.revocation_list().await.unwrap();
    let receipt = a.receipt(&list, status.list, 1, world.clock.now());
    there
        .put_receipt(a.id(), receipt, a.caller())
        .await
        .unwrap();
    let done = here.revocation(status.list.sequence).await.unwrap();
    assert!(done.bound.is_none() && done.confirmed.contains(&a.id()));
}

async fn check_renewed(server: &Authority, world: &World, node: &support::TestNode) {
    let now = world.clock.now();
    let list = server.revocation_list().await.unwrap();
    let keyring = server.keyring();
    assert_eq!(list.verify(&keyring, now).unwrap().revision.value(), 2);
    let policy = server.policy().await.unwrap();
    assert_eq!(policy.verify(&keyring, now).unwrap().revision.value(), 2);
    let roster = support::roster(server, node.id(), None).await.unwrap();
    assert_eq!(
        roster
            .roster
            .verify(&keyring, now)
            .unwrap()
            .revision
            .value(),
        2
    );
    for certificate in roster.certificates.iter() {
        certificate.verify(&keyring, now).unwrap();
    }
    let grants = server.grants(node.id()).await.unwrap();
    assert_eq!(grants.len(), 1);
    let grant = grants[0].grant.verify(&keyring, now).unwrap();
    assert_eq!(
        (grant.revision.value(), grant.list.revision.value()),
        (2, 2)
    );
}

/// A server without the new keys stops signing instead of going on with the old ones.
#[tokio::test]
async fn a_server_that_cannot_follow_a_succession_signs_nothing() {
    let mut world = World::new().await;
    let fresh = Arc::new(SigningKey::from_seed(&[30; 32]));
    let keys = [Arc::clone(&world.keys[0]), Arc::clone(&fresh)];
    let able = world.beside(&keys, Limits::default()).await;
    let node = world.member("a").await;
    able.install_genesis(succession(&world, &[fresh]), operator())
        .await
        .unwrap();
    world.hand.advance(Span::from_minutes(30));
    let refused = node.renew(&world.authority).await;
    assert!(matches!(
        refused,
        Err(NodeError::Store(StoreError::Behind(_)))
    ));
    assert!(node.renew(&able).await.is_ok());
}

/// The signature of a request is good for minutes; what it asked for happens once, wherever and whenever it comes again.
#[tokio::test]
async fn s6_a_request_is_carried_out_once_across_servers_and_restarts() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    let caller = Caller {
        nonce: Some(spent(&node, 1, world.clock.now())),
        ..node.caller()
    };
    let record = |sequence| node.record(sequence, "192.0.2.7:51820", world.clock.now());
    let put = world
        .authority
        .put_record(node.id(), record(1), None, caller.clone());
    put.await.unwrap();
    let replayed = Err(NodeError::Access(AccessError::Replayed));
    let again = world
        .authority
        .put_record(node.id(), record(2), None, caller.clone());
    assert_eq!(again.await, replayed);
    let other = world.another().await;
    let again = other.put_record(node.id(), record(2), None, caller.clone());
    assert_eq!(again.await, replayed);
    world.authority.close().await;
    other.close().await;
    let restarted = world.another().await;
    restarted.tick().await.unwrap();
    let again = restarted.put_record(node.id(), record(2), None, caller);
    assert_eq!(again.await, replayed);
    // Nonces are forgotten once the signature is too old for anybody to accept.
    world.hand.advance(Span::from_hours(1));
    restarted.tick().await.unwrap();
    assert_eq!(world.count("SELECT COUNT(*) FROM nonces").await, 0);
}

#[tokio::test]
async fn a_heartbeat_is_not_heard_twice_not_even_after_a_restart() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    let now = world.clock.now();
    let beat = async |server: &Authority, signed_at: UnixTime| {
        let caller = Caller {
            nonce: Some(spent(&node, 1, signed_at)),
            ..node.caller()
        };
        let heartbeat = Heartbeat {
            program: "0.1.0".parse().unwrap(),
            nonce: base64_encode(&[1; 16]).parse().unwrap(),
            list: ListPlace::default(),
            policy: Sequence::default(),
            roster: Sequence::default(),
            record: None,
            peers_seen: BoundedSet::default(),
        };
        server.heartbeat(node.id(), heartbeat, None, caller).await
    };
    beat(&world.authority, now).await.unwrap();
    let replayed = Err(NodeError::Access(AccessError::Replayed));
    assert_eq!(beat(&world.authority, now).await, replayed);
    let earlier = now - Span::from_secs(1);
    assert_eq!(beat(&world.authority, earlier).await, replayed);
    world.authority.close().await;
    let restarted = world.another().await;
    assert_eq!(count(&restarted, Event::RequestReplayed).await, 1);
    assert_eq!(beat(&restarted, now).await, replayed);
    assert!(beat(&restarted, now + Span::from_secs(1)).await.is_ok());
}

fn spent(node: &support::TestNode, byte: u8, time: UnixTime) -> SpentNonce {
    SpentNonce {
        key: KeyId::of(&node.identity.public_key()),
        nonce: base64_encode(&[byte; 16]).parse().unwrap(),
        time,
    }
}
