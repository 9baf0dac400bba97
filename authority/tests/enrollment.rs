//! Who comes in, by whose word, and who does not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use support::{START, TestNode, World, operator, revoke, set};
use tidegate_authority::service::{
    AccessError, Approval, Coded as _, EnrollError, InviteError, Limits, MembershipError,
    NewInvite, NodeError, NodeRef, NodeStatus,
};
use tidegate_proto::api::Enrolled;
use tidegate_proto::*;

fn admitted(enrolled: Enrolled, world: &World) -> Verified<Certificate> {
    let Enrolled::Admitted(signed) = enrolled else {
        panic!("not admitted")
    };
    signed
        .verify(&world.authority.keyring(), world.clock.now())
        .unwrap()
}

#[tokio::test]
async fn an_invite_admits_at_once_with_its_roles_and_tags() {
    let mut world = World::new().await;
    let token = world.invite(1).await;
    let node = world.node();
    let enrolled = node
        .join(&world.authority, "web-1", Some(token))
        .await
        .unwrap();
    let certificate = admitted(enrolled, &world);
    assert_eq!(certificate.node, node.id());
    assert_eq!(certificate.wireguard, node.wireguard.public_key());
    assert_eq!(certificate.sealing, node.keys().sealing.hash());
    assert_eq!((certificate.roles.len(), certificate.tags.len()), (1, 1));
    assert!(
        world.genesis.ipv4[0].admits(certificate.ipv4)
            && world.genesis.ipv6.admits(certificate.ipv6)
    );
    let view = world
        .authority
        .node(&NodeRef::Name("web-1".parse().unwrap()))
        .await
        .unwrap();
    assert_eq!(
        (view.status, view.ipv4),
        (NodeStatus::Allowed, Some(certificate.ipv4))
    );
}

#[tokio::test]
async fn without_an_invite_an_operator_decides() {
    let mut world = World::new().await;
    let (yes, no) = (world.node(), world.node());
    assert_eq!(
        yes.join(&world.authority, "yes", None).await,
        Ok(Enrolled::Pending)
    );
    assert_eq!(
        no.join(&world.authority, "no", None).await,
        Ok(Enrolled::Pending)
    );
    assert_eq!(
        world.authority.enrolled(yes.id()).await,
        Ok(Enrolled::Pending)
    );
    let approval = Approval {
        tags: set(["db".parse().unwrap()]),
        ..Approval::default()
    };
    let signed = world
        .authority
        .approve(yes.id(), approval, operator())
        .await
        .unwrap();
    assert_eq!(
        world.authority.enrolled(yes.id()).await,
        Ok(Enrolled::Admitted(signed))
    );
    world
        .authority
        .deny(no.id(), "unknown".parse().unwrap(), operator())
        .await
        .unwrap();
    assert_eq!(
        world.authority.enrolled(no.id()).await,
        Err(EnrollError::Denied("unknown".into()))
    );
    assert_eq!(
        no.join(&world.authority, "no", None).await,
        Err(EnrollError::Denied("unknown".into()))
    );
    let again = world
        .authority
        .approve(no.id(), Approval::default(), operator())
        .await;
    assert_eq!(again, Err(MembershipError::WrongStatus(NodeStatus::Denied)));
    let token = world.invite(1).await;
    assert!(
        no.join(&world.authority, "no", Some(token)).await.is_err(),
        "an invite does not undo a denial"
    );
}

#[tokio::test]
async fn only_an_operator_approves() {
    let mut world = World::new().await;
    let node = world.node();
    node.join(&world.authority, "n", None).await.unwrap();
    let own = world
        .authority
        .approve(node.id(), Approval::default(), node.caller())
        .await;
    assert!(
        matches!(
            own,
            Err(MembershipError::Access(AccessError::Forbidden { .. }))
        ),
        "{own:?}"
    );
}

#[tokio::test]
async fn a_challenge_is_answered_once_in_time_and_with_the_keys_it_was_for() {
    let mut world = World::new().await;
    let (node, other) = (world.node(), world.node());
    let token = world.invite(9).await;
    let good = node
        .request(&world.authority, "n", Some(token.clone()))
        .await;

    let mut stolen = good.clone();
    stolen.keys.wireguard = other.wireguard.public_key();
    assert_eq!(
        world.authority.enroll(stolen, node.caller()).await,
        Err(EnrollError::NotPossessed)
    );
    let mut stolen = good.clone();
    stolen.keys.identity = other.identity.public_key();
    assert_eq!(
        world.authority.enroll(stolen, other.caller()).await,
        Err(EnrollError::NotPossessed)
    );
    let mut wrong = good.clone();
    wrong.answer = other.request(&world.authority, "n", None).await.answer;
    assert_eq!(
        world.authority.enroll(wrong, node.caller()).await,
        Err(EnrollError::NotPossessed)
    );

    assert!(
        world
            .authority
            .enroll(good.clone(), node.caller())
            .await
            .is_ok()
    );
    assert_eq!(
        world.authority.enroll(good, node.caller()).await,
        Err(EnrollError::Challenge)
    );
    let late = other.request(&world.authority, "o", Some(token)).await;
    world.hand.advance(Span::from_millis(120_001));
    assert_eq!(
        world.authority.enroll(late, other.caller()).await,
        Err(EnrollError::Challenge)
    );
}

#[tokio::test]
async fn a_challenge_may_be_answered_at_another_server() {
    let mut world = World::new().await;
    let node = world.node();
    let request = node.request(&world.authority, "n", None).await;
    assert_eq!(
        world.another().await.enroll(request, node.caller()).await,
        Ok(Enrolled::Pending)
    );
}

#[tokio::test]
async fn names_and_wireguard_keys_are_unique() {
    let mut world = World::new().await;
    let first = world.member("web").await;
    let token = world.invite(9).await;
    let second = world.node();
    let taken = second
        .join(&world.authority, "web", Some(token.clone()))
        .await;
    assert_eq!(taken, Err(EnrollError::NameTaken("web".parse().unwrap())));
    let thief = TestNode {
        wireguard: WgSecretKey::from_bytes(*first.wireguard.expose()),
        ..world.node()
    };
    let taken = thief
        .join(&world.authority, "thief", Some(token.clone()))
        .await;
    assert_eq!(taken, Err(EnrollError::WireguardKeyTaken));
    // Two may wait for one name; the first to be approved has it.
    let (a, b) = (world.node(), world.node());
    a.join(&world.authority, "db", None).await.unwrap();
    b.join(&world.authority, "db", None).await.unwrap();
    world
        .authority
        .approve(b.id(), Approval::default(), operator())
        .await
        .unwrap();
    let late = world
        .authority
        .approve(a.id(), Approval::default(), operator())
        .await;
    assert_eq!(
        late,
        Err(MembershipError::Enroll(EnrollError::NameTaken(
            "db".parse().unwrap()
        )))
    );
    let other = Approval {
        name: Some("db-2".parse().unwrap()),
        ..Approval::default()
    };
    assert!(
        world
            .authority
            .approve(a.id(), other, operator())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn an_invite_ends_by_use_by_time_and_by_withdrawal() {
    let mut world = World::new().await;
    let refused = |error| Err(EnrollError::Invite(error));
    let once = world.invite(1).await;
    world
        .node()
        .join(&world.authority, "a", Some(once.clone()))
        .await
        .unwrap();
    assert_eq!(
        world.node().join(&world.authority, "b", Some(once)).await,
        refused(InviteError::Exhausted)
    );
    let unknown = InviteToken::from_bytes([1; 16]);
    assert_eq!(
        world
            .node()
            .join(&world.authority, "b", Some(unknown))
            .await,
        refused(InviteError::Unknown)
    );
    let withdrawn = world.invite(1).await;
    let open = world.authority.invites().await.unwrap();
    let id = open.iter().find(|invite| invite.uses_left == 1).unwrap().id;
    world.authority.revoke_invite(id, operator()).await.unwrap();
    assert_eq!(
        world
            .node()
            .join(&world.authority, "b", Some(withdrawn))
            .await,
        refused(InviteError::Withdrawn)
    );
    let old = world.invite(1).await;
    world.hand.advance(Span::from_hours(24));
    assert_eq!(
        world.node().join(&world.authority, "b", Some(old)).await,
        refused(InviteError::Expired)
    );
    let useless = NewInvite {
        roles: set([]),
        tags: set([]),
        uses: 0,
        valid_for: Span::from_hours(1),
    };
    assert_eq!(
        world
            .authority
            .new_invite(useless, operator())
            .await
            .unwrap_err(),
        InviteError::Useless
    );
}

#[tokio::test]
async fn a_refused_enrolment_uses_nothing_up() {
    let mut world = World::new().await;
    world.member("web").await;
    let token = world.invite(1).await;
    let node = world.node();
    assert!(
        node.join(&world.authority, "web", Some(token.clone()))
            .await
            .is_err()
    );
    assert!(
        node.join(&world.authority, "web-2", Some(token))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn those_who_wait_are_bounded_and_forgotten() {
    let mut world = World::with(
        Limits {
            pending: 2,
            ..Limits::default()
        },
        "10.211.0.0/16",
    )
    .await;
    let first = world.node();
    first.join(&world.authority, "a", None).await.unwrap();
    world
        .node()
        .join(&world.authority, "b", None)
        .await
        .unwrap();
    assert_eq!(
        world.node().join(&world.authority, "c", None).await,
        Err(EnrollError::TooManyPending)
    );
    assert_eq!(
        first.join(&world.authority, "a", None).await,
        Ok(Enrolled::Pending),
        "asking again is no more"
    );
    assert_eq!(
        first.join(&world.authority, "db", None).await,
        Err(EnrollError::WaitsAs("a".parse().unwrap())),
        "what an operator saw is what it approves"
    );
    world.hand.advance(Span::from_hours(8 * 24));
    world.authority.tick().await.unwrap();
    assert_eq!(
        world.authority.enrolled(first.id()).await,
        Err(EnrollError::Unknown)
    );
    assert_eq!(
        world.node().join(&world.authority, "c", None).await,
        Ok(Enrolled::Pending)
    );
}

#[tokio::test]
async fn those_who_were_turned_away_are_forgotten_in_time() {
    let mut world = World::new().await;
    let (node, authority) = (world.node(), world.authority.clone());
    node.join(&authority, "a", None).await.unwrap();
    let why = "not ours".parse().unwrap();
    authority.deny(node.id(), why, operator()).await.unwrap();
    world.hand.advance(Span::from_hours(29 * 24));
    authority.tick().await.unwrap();
    let again = node.join(&authority, "a", None).await;
    assert!(matches!(again, Err(EnrollError::Denied(_))), "{again:?}");
    world.hand.advance(Span::from_hours(2 * 24));
    authority.tick().await.unwrap();
    let again = node.join(&authority, "a", None).await;
    assert_eq!(again, Ok(Enrolled::Pending));
}

#[tokio::test]
async fn m5_names_and_addresses_of_the_revoked_are_held() {
    let mut world = World::with(Limits::default(), "10.211.0.0/29").await;
    let gone = world.member("web").await;
    for other in 1..6 {
        world.member(&format!("other-{other}")).await;
    }
    let token = world.invite(9).await;
    assert_eq!(
        world
            .node()
            .join(&world.authority, "full", Some(token))
            .await,
        Err(EnrollError::NoAddress)
    );
    world
        .authority
        .revoke(gone.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    let token = world.invite(9).await;
    let heir = world.node();
    let held = heir
        .join(&world.authority, "web", Some(token.clone()))
        .await;
    assert_eq!(held, Err(EnrollError::NameTaken("web".parse().unwrap())));
    assert_eq!(
        heir.join(&world.authority, "heir", Some(token)).await,
        Err(EnrollError::NoAddress)
    );
    world.hand.advance(Span::from_hours(8 * 24));
    let token = world.invite(9).await;
    assert_eq!(
        heir.join(&world.authority, "web", Some(token)).await,
        Err(EnrollError::NoAddress),
        "30 days"
    );
    world.hand.advance(Span::from_hours(23 * 24));
    let token = world.invite(9).await;
    assert!(
        heir.join(&world.authority, "web", Some(token))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn an_address_stays_with_its_identity() {
    let mut world = World::new().await;
    let node = world.member("web").await;
    let before = world.authority.node(&NodeRef::Id(node.id())).await.unwrap();
    world.hand.advance(Span::from_hours(48));
    let enrolled = node.join(&world.authority, "web", None).await.unwrap();
    assert_eq!(admitted(enrolled, &world).ipv4, before.ipv4.unwrap());
}

#[tokio::test]
async fn routes_never_cover_the_overlay() {
    let mut world = World::new().await;
    let node = world.node();
    let mut request = node.request(&world.authority, "n", None).await;
    request.routes = set(["10.211.3.0/24".parse().unwrap()]);
    let refused = world.authority.enroll(request, node.caller()).await;
    assert_eq!(
        refused,
        Err(EnrollError::Route("10.211.3.0/24".parse().unwrap()))
    );
    assert_eq!(world.clock.now(), START);
}

/// As many as a roster and a revocation's answer can name.
#[tokio::test]
async fn a_network_that_is_full_takes_nobody_in_and_says_what_helps() {
    let mut world = World::new().await;
    let early = world.member("early").await;
    world.hand.advance(Span::from_hours(25)); // its certificate ends, and others take the place
    let ends = world.clock.now() + Span::from_hours(1);
    let insert = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000),
         ids(id) AS (SELECT CAST(printf('%016d', i) AS BLOB) FROM n)
         INSERT INTO nodes (node, identity, key_id, name, status, reason, since, wireguard, sealing, roles, tags,
             wanted_routes, routes, not_after, keys_changed_at, changed, described, enrolled_at)
         SELECT id, id, id, 'n', 'allowed', '', 0, id, id, '[]', '[]', '[]', '[]', $1, 0, 0, 0, 0 FROM ids";
    let inserted = sqlx::query(insert).bind(ends.as_millis() as i64);
    inserted.execute(&mut world.database().await).await.unwrap();
    let late = world.node();
    let token = world.invite(1).await;
    let refused = late
        .join(&world.authority, "late", Some(token.clone()))
        .await;
    assert_eq!(refused, Err(EnrollError::NetworkFull));
    assert_eq!(EnrollError::NetworkFull.code(), "network-full");
    assert!(EnrollError::NetworkFull.to_string().contains("10000"));
    assert_eq!(
        early.renew(&world.authority).await,
        Err(NodeError::Keys(EnrollError::NetworkFull))
    );
    let gone = "UPDATE nodes SET status = 'revoked' WHERE node = CAST(printf('%016d', 7) AS BLOB)";
    let gone = sqlx::query(gone)
        .execute(&mut world.database().await)
        .await
        .unwrap();
    assert_eq!(gone.rows_affected(), 1);
    late.join(&world.authority, "late", Some(token))
        .await
        .unwrap();
    world.hand.advance(Span::from_hours(2));
    early.renew(&world.authority).await.unwrap();
}
