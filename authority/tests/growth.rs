//! Whatever strangers and nodes send, and however often: what is stored stays bounded.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use support::log::records;
use support::operators::one_of_each;
use support::web::Web;
use support::{MEMBERS, World, operator, revoke, set};
use tidegate_authority::service::{InviteError, Limits, NewInvite, ReadError};
use tidegate_proto::api::{Invites, Tokens};
use tidegate_proto::audit::Chained;
use tidegate_proto::*;

const RECORDED: &str = "SELECT COUNT(*) FROM audit";

#[tokio::test]
async fn a_stranger_that_asks_again_and_again_leaves_one_row_and_one_record() {
    let mut world = World::new().await;
    let node = world.node();
    let before = world.count(RECORDED).await;
    let changes = world.count("SELECT COUNT(*) FROM changes").await;
    for _ in 0..20 {
        node.join(&world.authority, "a", None).await.unwrap();
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM nodes").await, 1);
    assert_eq!(world.count(RECORDED).await, before + 1);
    assert_eq!(
        world.count("SELECT COUNT(*) FROM changes").await,
        changes + 1,
        "and wakes nobody"
    );
    assert_eq!(world.count("SELECT COUNT(*) FROM nonces").await, 20);
    world.hand.advance(Span::from_minutes(10));
    world.authority.tick().await.unwrap();
    assert_eq!(world.count("SELECT COUNT(*) FROM nonces").await, 0);
}

#[tokio::test]
async fn a_member_that_renews_without_end_gets_one_certificate_in_a_while() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    let before = world.count(RECORDED).await;
    for _ in 0..20 {
        node.renew(&world.authority).await.unwrap();
        node.join(&world.authority, "a", None).await.unwrap();
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM certificates").await, 1);
    assert_eq!(world.count(RECORDED).await, before);
    // Over a validity it is a hundred at most, and they are forgotten.
    for _ in 0..5 {
        world.hand.advance(Span::from_minutes(15));
        node.renew(&world.authority).await.unwrap();
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM certificates").await, 6);
    world.hand.advance(Span::from_hours(24 + 50));
    world.authority.tick().await.unwrap();
    assert_eq!(world.count("SELECT COUNT(*) FROM certificates").await, 1);
}

#[tokio::test]
async fn receipts_and_records_of_a_node_take_each_others_place() {
    let mut world = World::new().await;
    let (node, out) = (world.member("a").await, world.member("b").await);
    world.authority.tick().await.unwrap();
    world
        .authority
        .revoke(out.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    let list = world.authority.revocation_list().await.unwrap();
    let now = world.clock.now();
    let place = list
        .verify(&world.authority.keyring(), now)
        .unwrap()
        .place();
    let before = world.count(RECORDED).await;
    for sequence in 1..=20 {
        let receipt = node.receipt(&list, place, sequence, now);
        let put = world
            .authority
            .put_receipt(node.id(), receipt, node.caller());
        put.await.unwrap();
        let record = node.record(sequence, "192.0.2.7:51820", now);
        let put = world
            .authority
            .put_record(node.id(), record, None, node.caller());
        put.await.unwrap();
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM receipts").await, 1);
    assert_eq!(world.count("SELECT COUNT(*) FROM records").await, 1);
    assert_eq!(
        world.count(RECORDED).await,
        before + 1,
        "the one that confirmed something is on record"
    );
}

#[tokio::test]
async fn keys_that_were_given_up_are_forgotten_once_nobody_believes_them() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    node.with_new_keys().renew(&world.authority).await.unwrap();
    let keys = "SELECT COUNT(*) FROM wireguard_keys";
    assert_eq!(world.count(keys).await, 2);
    world.hand.advance(Span::from_hours(24 + 50));
    world.authority.tick().await.unwrap();
    assert_eq!(world.count(keys).await, 1);
}

/// A revoked node's key stays out for good.
#[tokio::test]
async fn a_banned_key_is_never_forgotten() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    world
        .authority
        .revoke(node.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    world.hand.advance(Span::from_hours(400 * 24));
    world.authority.tick().await.unwrap();
    let thief = support::TestNode {
        wireguard: WgSecretKey::from_bytes(*node.wireguard.expose()),
        ..world.node()
    };
    let token = world.invite(1).await;
    assert!(
        thief
            .join(&world.authority, "b", Some(token))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn changes_epochs_and_the_ledger_are_kept_as_long_as_they_matter() {
    let mut world = World::new().await;
    let node = world.member("a").await;
    for _ in 0..40 {
        world.authority.tick().await.unwrap();
        world.hand.advance(Span::from_minutes(15));
    }
    world.authority.tick().await.unwrap();
    // A lease of 75 minutes, its allowance, an hour, and one epoch ahead.
    let ledger = world.authority.ledger().await.unwrap();
    assert!(ledger.len() <= 12, "{}", ledger.len());
    let kept = world.clock.now() - Span::from_minutes(60);
    assert!(ledger.iter().all(|release| release.stopped_at() >= kept));
    assert!(world.count("SELECT COUNT(*) FROM changes").await <= 3);
    let secrets = "SELECT COUNT(*) FROM epochs WHERE length(secret) > 0";
    assert!(world.count(secrets).await <= 7);
    assert_eq!(world.authority.grants(node.id()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn open_invites_are_bounded() {
    let limits = Limits {
        invites: 2,
        ..Limits::default()
    };
    let mut world = World::with(limits, "10.211.0.0/16").await;
    let used = world.invite(1).await;
    world.invite(1).await;
    let another = || NewInvite {
        roles: set([]),
        tags: set([]),
        uses: 1,
        valid_for: Span::from_hours(1),
    };
    let refused = world.authority.new_invite(another(), operator()).await;
    assert_eq!(refused.unwrap_err(), InviteError::TooMany);
    let node = world.node();
    node.join(&world.authority, "a", Some(used)).await.unwrap();
    assert!(
        world
            .authority
            .new_invite(another(), operator())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn invites_that_have_ended_are_forgotten_whatever_ended_them() {
    let mut world = World::new().await;
    let year = || NewInvite {
        roles: set([]),
        tags: set([]),
        uses: 1,
        valid_for: Span::from_hours(365 * 24),
    };
    let mut made = Vec::new();
    for _ in 0..3 {
        let invite = world.authority.new_invite(year(), operator()).await;
        made.push(invite.unwrap());
    }
    let (node, token) = (world.node(), made[0].invite.token.clone());
    node.join(&world.authority, "a", Some(token)).await.unwrap();
    let withdrawn = made[1].view.id;
    let revoked = world.authority.revoke_invite(withdrawn, operator());
    revoked.await.unwrap();
    world.hand.advance(Span::from_hours(29 * 24));
    world.authority.tick().await.unwrap();
    assert_eq!(world.authority.invites().await.unwrap().len(), 3);
    world.hand.advance(Span::from_hours(2 * 24));
    world.authority.tick().await.unwrap();
    let left = world.authority.invites().await.unwrap();
    assert_eq!(left, [made[2].view.clone()]);
}

/// More invites and tokens than are listed.
const MANY: &str = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10001)
    INSERT INTO invites SELECT randomblob(8), randomblob(32), '[]', '[]', 1, n, 9000000000000, NULL FROM numbers;
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10001)
    INSERT INTO tokens SELECT randomblob(8), randomblob(32), 'ci', '\"viewer\"', NULL, zeroblob(16), 'ada', n,
      9000000000000, NULL, NULL FROM numbers";

#[tokio::test]
async fn more_invites_and_tokens_than_are_listed_are_no_failure() {
    let world = World::new().await;
    let people = one_of_each();
    world.govern(&people.each_ref()).await;
    let (web, sovereign) = (Web::of(&world), &people[3].key);
    let none: Invites = web.get(sovereign, "/v1/invites").await.json();
    assert_eq!(none, Invites::default());
    let mut database = world.database().await;
    sqlx::raw_sql(MANY).execute(&mut database).await.unwrap();
    let listed: Invites = web.get(sovereign, "/v1/invites").await.json();
    assert!(listed.more);
    assert_eq!(listed.invites.len(), Invites::MOST);
    assert_eq!(listed.invites[0].created_at.as_millis(), 10_001);
    let listed: Tokens = web.get(sovereign, "/v1/tokens").await.json();
    assert!(listed.more);
    assert_eq!(listed.tokens.len(), Tokens::MOST);
}

/// Revocations that were settled later than the one at hand, as many as are always kept.
const LATER: &str =
    "INSERT INTO revocations (list, revision, node, kind, reason, since, bound, settled)
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000)
    SELECT list + n, revision, node, kind, reason, since, NULL, settled FROM revocations, numbers";

#[tokio::test]
async fn history_is_forgotten_and_what_counts_is_not() {
    let mut world = World::new().await;
    let authority = world.authority.clone();
    let first = authority.put_policy(MEMBERS.to_owned(), None, operator());
    first.await.unwrap();
    let out = world.member("a").await;
    authority.tick().await.unwrap();
    let revoked = authority.revoke(out.id(), revoke(RevocationKind::Revoked), operator());
    let list = revoked.await.unwrap().list.sequence;
    let second = authority.put_policy(MEMBERS.to_owned(), None, operator());
    second.await.unwrap();
    let in_force = authority.policy().await.unwrap();
    for _ in 0..10 {
        world.hand.advance(Span::from_hours(1));
        authority.tick().await.unwrap();
    }
    let ended = authority.revocation(list).await.unwrap();
    let last = authority.epochs().await.unwrap()[0].number;
    assert!(world.count("SELECT COUNT(*) FROM lists").await > 10);

    world.hand.advance(Span::from_hours(401 * 24));
    authority.tick().await.unwrap();
    authority.tick().await.unwrap();
    assert_eq!(world.count("SELECT COUNT(*) FROM policies").await, 1);
    assert_eq!(authority.policy().await.unwrap(), in_force);
    assert!(world.count("SELECT COUNT(*) FROM lists").await <= 2);
    assert!(world.count("SELECT COUNT(*) FROM epochs").await <= 2);
    let epochs = authority.epochs().await.unwrap();
    assert!(
        epochs.iter().all(|epoch| epoch.number > last),
        "no number comes back"
    );
    let kept = authority.revocation(list).await.unwrap();
    assert_eq!(kept, ended, "the newest are kept, however old they are");
    let events = records(&authority).await;
    let of_out = |one: &&Chained| one.record.object.as_str() == out.id().to_string();
    assert!(
        events.iter().filter(of_out).count() >= 2,
        "the log keeps all"
    );

    let mut database = world.database().await;
    sqlx::raw_sql(LATER).execute(&mut database).await.unwrap();
    world.hand.advance(Span::from_minutes(2));
    authority.tick().await.unwrap();
    let gone = authority.revocation(list).await;
    assert_eq!(gone, Err(ReadError::NoRevocation));
    assert_eq!(world.count("SELECT COUNT(*) FROM revocations").await, 1000);
}

/// A lease that ends at the end of time.
const FOR_EVER: &str = "UPDATE revocations SET bound = 9007199254740991; UPDATE holders SET stopped_at = 9007199254740991";

#[tokio::test]
async fn a_list_is_kept_for_as_long_as_a_receipt_may_name_it() {
    let mut world = World::new().await;
    let (node, out) = (world.member("a").await, world.member("b").await);
    let authority = world.authority.clone();
    authority.tick().await.unwrap();
    let revoked = authority.revoke(out.id(), revoke(RevocationKind::Revoked), operator());
    let place = revoked.await.unwrap().list;
    let list = authority.revocation_list().await.unwrap();
    let mut database = world.database().await;
    sqlx::raw_sql(FOR_EVER)
        .execute(&mut database)
        .await
        .unwrap();
    for days in [401, 1] {
        world.hand.advance(Span::from_hours(days * 24));
        authority.tick().await.unwrap();
    }
    let receipt = node.receipt(&list, place, 1, world.clock.now());
    let put = authority.put_receipt(node.id(), receipt, node.caller());
    put.await.unwrap();
    authority.tick().await.unwrap();
    let ended = authority.revocation(place.sequence).await.unwrap();
    assert!(ended.bound.is_none() && ended.confirmed.contains(&node.id()));
}
