//! What a stranger can cause at will: counted, told of, and never enough to fill the log.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::log::{count, lively, records, verify};
use support::operators::{authenticate_operator, nonce, one_of_each, origin};
use tidegate_authority::service::{Actor, Alarm, Event};
use tidegate_proto::audit::{Chained, Fact};
use tidegate_proto::*;

#[tokio::test]
async fn a_stranger_does_not_fill_the_log() {
    let world = lively(1000).await;
    world.authority.tick().await.unwrap();
    let before = records(&world.authority).await.len();
    let here = origin();
    let parts = RequestParts {
        network: world.authority.network(),
        origin: &here,
        method: "GET",
        target: "/v1/nodes",
        body: b"",
    };
    let stranger = SigningKey::from_seed(&[250; 32]);
    for round in 0..1000_u32 {
        let nonce = nonce();
        let signature = parts.sign(&stranger, world.clock.now(), nonce);
        let from = [10, 0, (round >> 8) as u8, round as u8].into();
        let refused = authenticate_operator(&world.authority, &signature, &parts, Some(from));
        assert!(refused.await.is_err());
    }
    world.authority.tick().await.unwrap();
    assert_eq!(records(&world.authority).await.len(), before);
    world.hand.advance(Span::from_minutes(1));
    world.authority.tick().await.unwrap();
    let records = records(&world.authority).await;
    let failures: Vec<_> = records
        .iter()
        .filter(|one| one.record.event.as_str() == Event::AuthFailed.name())
        .collect();
    assert_eq!(
        failures.len(),
        17,
        "sixteen sources, and all others together"
    );
    let counted = |one: &&Chained| match one.record.detail[&"count".parse().unwrap()] {
        Fact::Number(number) => number,
        ref other => panic!("{other:?}"),
    };
    assert_eq!(failures.iter().map(counted).sum::<u64>(), 1000);
}

#[tokio::test]
async fn each_kind_of_refusal_is_counted_as_itself() {
    let world = lively(1000).await;
    let authority = &world.authority;
    let [vera, _, ada, _] = one_of_each();
    let caller = ada.caller(authority).await;
    authority.rotate(caller.clone()).await.unwrap();
    assert!(authority.rotate(caller).await.is_err());
    assert!(
        authority
            .rotate(vera.caller(authority).await)
            .await
            .is_err()
    );
    let new = tidegate_proto::api::NewToken {
        name: "ci".parse().unwrap(),
        role: tidegate_proto::policy::OperatorRole::Viewer,
        operations: None,
        valid_for: Span::from_secs(1),
    };
    let made = authority
        .new_token(new, ada.caller(authority).await)
        .await
        .unwrap();
    world.hand.advance(Span::from_minutes(1));
    let from = Some([192, 0, 2, 1].into());
    assert!(
        authority
            .authenticate_token(&made.token, from)
            .await
            .is_err()
    );
    authority.alarm(Alarm::RateLimited, Actor::Stranger, from);
    world.hand.advance(Span::from_minutes(1));
    authority.tick().await.unwrap();
    for event in [
        Event::RequestReplayed,
        Event::AccessRefused,
        Event::TokenRefused,
        Event::RateLimited,
    ] {
        assert_eq!(count(authority, event).await, 1, "{event}");
    }
    assert!(verify(&world).await.is_ok());
}
