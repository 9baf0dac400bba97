//! API tokens: made by a person, for no more than that person may, for some time; and signed requests, each good once.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::log::count;
use support::operators::{Person, authenticate_operator, nonce, one_of_each, origin};
use support::{START, World, revoke, set};
use tidegate_authority::service::{
    Actor, ApiToken, Claim, Event, MadeToken, Operation, OperatorRef,
};
use tidegate_authority::store::upkeep::begin_recovery;
use tidegate_authority::{Authority, Coded};
use tidegate_proto::api::NewToken;
use tidegate_proto::policy::OperatorRole;
use tidegate_proto::*;

fn code<T, E: Coded>(result: Result<T, E>) -> Result<(), &'static str> {
    result.map(drop).map_err(|error| error.code())
}

fn new(name: &str, role: OperatorRole) -> NewToken {
    NewToken {
        name: name.parse().unwrap(),
        role,
        operations: None,
        valid_for: Span::from_hours(1),
    }
}

async fn governed() -> (World, [Person; 4]) {
    let world = World::new().await;
    let people = one_of_each();
    world.govern(&people.each_ref()).await;
    (world, people)
}

async fn made_by(authority: &Authority, maker: &Person, name: &str) -> MadeToken {
    let new = new(name, maker.operator.role);
    let made = authority.new_token(new, maker.caller(authority).await);
    made.await.unwrap()
}

#[tokio::test]
async fn a_token_is_kept_only_as_a_hash() {
    let (world, [_, _, ada, _]) = governed().await;
    let made = made_by(&world.authority, &ada, "ci").await;
    world.authority.close().await;
    let text = made.token.expose();
    let digits = text.strip_prefix(ApiToken::PREFIX).unwrap();
    let secret: Vec<u8> = (0..32)
        .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(world.dir.path()).unwrap() {
        kept.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let holds = |needle: &[u8]| kept.windows(needle.len()).any(|window| window == needle);
    assert!(holds(b"ada@example.org"));
    assert!(!holds(&secret) && !holds(digits.as_bytes()));
}

#[tokio::test]
async fn a_token_ends_with_its_time() {
    let (world, [_, _, ada, _]) = governed().await;
    let authority = &world.authority;
    let made = made_by(authority, &ada, "ci").await;
    let early = authority
        .authenticate_token(&made.token, None)
        .await
        .unwrap();
    world.hand.advance(Span::from_hours(1));
    let late = authority.authenticate_token(&made.token, None).await;
    assert_eq!(code(late), Err("token-expired"));
    assert_eq!(code(authority.rotate(early).await), Err("token-ended"));
}

#[tokio::test]
async fn a_token_that_is_revoked_meanwhile_loses() {
    let (mut world, [_, _, ada, _]) = governed().await;
    let node = world.member("web").await;
    let authority = &world.authority;
    let made = made_by(authority, &ada, "ci").await;
    let racing = authority
        .authenticate_token(&made.token, None)
        .await
        .unwrap();
    let admin = ada.caller(authority).await;
    authority.revoke_token(made.view.id, admin).await.unwrap();
    let put_out = revoke(RevocationKind::Revoked);
    let revoked = authority.revoke(node.id(), put_out, racing.clone()).await;
    assert_eq!(code(revoked), Err("token-ended"));
    let seen = authority.authorize(&racing, Operation::ViewNodes).await;
    assert_eq!(code(seen), Err("token-ended"));
    let again = authority.authenticate_token(&made.token, None).await;
    assert_eq!(code(again), Err("token-revoked"));
}

#[tokio::test]
async fn a_token_that_nobody_made_is_unknown() {
    let (world, _) = governed().await;
    let forged: ApiToken = format!("{}{}", ApiToken::PREFIX, "ab".repeat(32))
        .parse()
        .unwrap();
    let refused = world.authority.authenticate_token(&forged, None).await;
    assert_eq!(code(refused), Err("token-unknown"));
}

#[tokio::test]
async fn a_token_is_worth_no_more_than_its_maker_is_now() {
    let (world, [_, _, ada, sam]) = governed().await;
    let authority = &world.authority;
    let made = made_by(authority, &ada, "ci").await;
    let by_token = || async {
        authority
            .authenticate_token(&made.token, None)
            .await
            .unwrap()
    };
    assert_eq!(code(authority.rotate(by_token().await).await), Ok(()));

    let lower = Person::new("ada@example.org", OperatorRole::Viewer, 63).operator;
    authority
        .add_operator(lower, sam.caller(authority).await)
        .await
        .unwrap();
    assert_eq!(
        code(authority.rotate(by_token().await).await),
        Err("forbidden")
    );
    let seen = authority
        .authorize(&by_token().await, Operation::ViewNodes)
        .await;
    assert_eq!(code(seen), Ok(()));

    let gone = OperatorRef::Id(ada.id());
    authority
        .remove_operator(gone, sam.caller(authority).await)
        .await
        .unwrap();
    let seen = authority.authenticate_token(&made.token, None).await;
    assert_eq!(code(seen), Err("token-revoked"));
}

#[tokio::test]
async fn a_token_does_not_come_back_with_its_maker() {
    let (world, people) = governed().await;
    let [_, _, ada, sam] = &people;
    let authority = &world.authority;
    let made = made_by(authority, ada, "ci").await;
    let kept = made_by(authority, sam, "board").await;
    world.govern(&[sam]).await; // a policy file that leaves the maker out
    assert_eq!(count(authority, Event::TokenRevoked).await, 1);
    world.govern(&people.each_ref()).await;
    let seen = authority.authenticate_token(&made.token, None).await;
    assert_eq!(code(seen), Err("token-revoked"));
    let seen = authority.authenticate_token(&kept.token, None).await;
    assert_eq!(code(seen), Ok(()));
}

#[tokio::test]
async fn nobody_makes_a_token_above_the_own_role() {
    let (world, [_, _, ada, _]) = governed().await;
    let authority = &world.authority;
    let above = authority
        .new_token(
            new("root", OperatorRole::Sovereign),
            ada.caller(authority).await,
        )
        .await;
    assert_eq!(code(above), Err("above-own-role"));
    assert!(authority.tokens().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_token_that_makes_no_sense_is_not_made() {
    let (world, [_, _, ada, _]) = governed().await;
    let authority = &world.authority;
    let scoped = |operations: &[Operation]| NewToken {
        operations: Some(set(operations.iter().copied())),
        ..new("odd", OperatorRole::Operator)
    };
    let lasting = |valid_for| NewToken {
        valid_for,
        ..new("odd", OperatorRole::Viewer)
    };
    for (new, refusal) in [
        (scoped(&[]), "token-empty"),
        (scoped(&[Operation::RotateEpoch]), "token-out-of-reach"),
        (scoped(&[Operation::ChangeOperators]), "token-out-of-reach"),
        (scoped(&[Operation::MakeToken]), "token-out-of-reach"),
        (lasting(Span::default()), "token-useless"),
        (lasting(Span::from_hours(24 * 400)), "token-useless"),
    ] {
        let made = authority.new_token(new, ada.caller(authority).await).await;
        assert_eq!(code(made), Err(refusal));
    }
    made_by(authority, &ada, "ci").await;
    let again = new("ci", OperatorRole::Viewer);
    let again = authority
        .new_token(again, ada.caller(authority).await)
        .await;
    assert_eq!(code(again), Err("token-name-taken"));
    let unknown = TokenId::from_bytes([1; 8]);
    let revoked = authority
        .revoke_token(unknown, ada.caller(authority).await)
        .await;
    assert_eq!(code(revoked), Err("no-such-token"));
}

#[tokio::test]
async fn it_is_shown_when_a_token_was_used_last() {
    let (world, [_, _, ada, _]) = governed().await;
    let authority = &world.authority;
    let made = made_by(authority, &ada, "ci").await;
    let used = || async { authority.tokens().await.unwrap()[0].used_at };
    assert_eq!(used().await, None);
    let caller = authority
        .authenticate_token(&made.token, None)
        .await
        .unwrap();
    authority.rotate(caller.clone()).await.unwrap();
    assert_eq!(used().await, Some(world.clock.now()));
    world.hand.advance(Span::from_minutes(5));
    authority
        .authorize(&caller, Operation::ViewNodes)
        .await
        .unwrap();
    authority.tick().await.unwrap();
    assert_eq!(used().await, Some(world.clock.now()));
}

#[tokio::test]
async fn a_restored_backup_brings_no_token_and_no_invite_back() {
    let (world, [_, _, ada, _]) = governed().await;
    let made = made_by(&world.authority, &ada, "ci").await;
    world.invite(5).await;
    world.authority.close().await;
    world.hand.advance(Span::from_minutes(1));
    let path = world.dir.path().join("authority.db");
    let (backup_at, now) = (START, world.clock.now());
    begin_recovery(&path, backup_at, now).await.unwrap();
    let restored = world.another().await;
    let refused = restored.authenticate_token(&made.token, None).await;
    assert_eq!(code(refused), Err("token-revoked"));
    assert_eq!(restored.invites().await.unwrap()[0].revoked_at, Some(now));
}

#[tokio::test]
async fn a_signed_request_is_good_once_on_whichever_server() {
    let (world, [_, _, ada, _]) = governed().await;
    let other = world.another().await;
    let caller = ada.caller(&world.authority).await;
    assert_eq!(code(world.authority.rotate(caller.clone()).await), Ok(()));
    assert_eq!(
        code(world.authority.rotate(caller.clone()).await),
        Err("replayed")
    );
    assert_eq!(code(other.rotate(caller).await), Err("replayed"));
}

#[tokio::test]
async fn a_refused_request_does_not_spend_its_nonce() {
    let (world, [_, _, ada, _]) = governed().await;
    let authority = &world.authority;
    let caller = ada.caller(authority).await;
    let unknown = TokenId::from_bytes([1; 8]);
    let missing = authority.revoke_token(unknown, caller.clone()).await;
    assert_eq!(code(missing), Err("no-such-token"));
    assert_eq!(code(authority.rotate(caller).await), Ok(()));
}

#[tokio::test]
async fn a_signature_is_good_for_one_network_place_and_purpose() {
    let (world, [_, _, ada, _]) = governed().await;
    let authority = &world.authority;
    let (here, there) = (origin(), "https://staging:7443".parse().unwrap());
    let parts = RequestParts {
        network: authority.network(),
        origin: &here,
        method: "POST",
        target: "/v1/epoch/rotate",
        body: b"{}",
    };
    let now = world.clock.now();
    let signature = parts.sign(&ada.key, now, nonce());
    let elsewhere = [
        RequestParts {
            network: NetworkId::from_bytes([8; 16]),
            ..parts
        },
        RequestParts {
            origin: &there,
            ..parts
        },
        RequestParts {
            method: "DELETE",
            ..parts
        },
        RequestParts {
            target: "/v1/epoch/rotate?now",
            ..parts
        },
        RequestParts {
            body: b"{ }",
            ..parts
        },
    ];
    for other in &elsewhere {
        let refused = authenticate_operator(authority, &signature, other, None).await;
        assert_eq!(code(refused), Err("bad-signature"));
    }
    let good = authenticate_operator(authority, &signature, &parts, None).await;
    assert_eq!(code(good), Ok(()));
    let early = parts.sign(&ada.key, now + Span::from_minutes(3), nonce());
    let refused = authenticate_operator(authority, &early, &parts, None).await;
    assert_eq!(code(refused), Err("clock-skew"));
    let stranger = parts.sign(&SigningKey::from_seed(&[200; 32]), now, nonce());
    let refused = authenticate_operator(authority, &stranger, &parts, None).await;
    assert_eq!(code(refused), Err("key-unknown"));
}

#[tokio::test]
async fn a_node_is_known_by_its_own_signature_only() {
    let (mut world, [_, _, ada, _]) = governed().await;
    let node = world.member("web").await;
    let authority = &world.authority;
    let here = origin();
    let parts = RequestParts {
        network: authority.network(),
        origin: &here,
        method: "POST",
        target: "/v1/heartbeat",
        body: b"{}",
    };
    let now = world.clock.now();
    let signed = |key: &SigningKey| parts.sign(key, now, nonce());
    let claim = authority.claimed_node(KeyId::of(&node.identity.public_key()));
    let claim = claim.await.unwrap().unwrap();
    let good = authority.authenticate(&claim, &signed(&node.identity), &parts, None);
    assert_eq!(good.unwrap().actor, Actor::Node(node.id()));
    let other = authority.authenticate(&claim, &signed(&ada.key), &parts, None);
    assert_eq!(code(other), Err("key-unknown"));
    let operator = authority.claimed_node(KeyId::of(&ada.key.public_key()));
    assert!(operator.await.unwrap().is_none());
    let newcomer = world.node().identity;
    let claim = Claim::node(newcomer.public_key(), None);
    let authority = &world.authority;
    let mine = authority.authenticate(&claim, &signed(&newcomer), &parts, None);
    assert_eq!(code(mine), Ok(()));
    let pretending = signed(&node.identity);
    let refused = authority.authenticate(&claim, &pretending, &parts, None);
    assert_eq!(code(refused), Err("key-unknown"));
}
