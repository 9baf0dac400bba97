//! An old backup, and nodes that know what happened after it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::PathBuf;

use support::operators::{one_of_each, policy};
use support::{MEMBERS, TestNode, World, invite_of, operator, revoke};
use tidegate_authority::service::{
    EnrollError, Event, InviteError, MembershipError, NodeError, NodeRef, NodeStatus, ReadError,
    RecoveryError,
};
use tidegate_authority::store::{Location, StoreError, upkeep};
use tidegate_authority::{Authority, Blame, Coded};
use tidegate_proto::api::{Enrolled, Recovered, Recovery, RecoveryEnd};
use tidegate_proto::bound::LedgerGap;
use tidegate_proto::*;

/// A world of three members with an epoch, as it was when a backup was made, and that backup.
async fn with_backup() -> (World, [TestNode; 3], PathBuf) {
    let mut world = World::new().await;
    world
        .authority
        .put_policy(MEMBERS.to_owned(), None, operator())
        .await
        .unwrap();
    let members = [
        world.member("rose").await,
        world.member("bert").await,
        world.member("carl").await,
    ];
    world.authority.tick().await.unwrap();
    let backup = back_up(&world).await;
    (world, members, backup)
}

async fn back_up(world: &World) -> PathBuf {
    let backup = world.dir.path().join("backup.db");
    upkeep::snapshot(&world.dir.path().join("authority.db"), &backup)
        .await
        .unwrap();
    backup
}

/// The authority as the backup has it, restored now.
async fn restored(world: &World, backup: PathBuf, backup_at: UnixTime) -> Authority {
    upkeep::begin_recovery(&backup, backup_at, world.clock.now())
        .await
        .unwrap();
    world.on(Location::File(backup)).await
}

/// What a node knows from `authority`.
async fn report(authority: &Authority, node: &TestNode) -> Recovery {
    let certificate = match authority.enrolled(node.id()).await {
        Ok(Enrolled::Admitted(certificate)) => Some(certificate),
        _ => None,
    };
    let grants = authority.grants(node.id()).await.unwrap();
    let grants = grants
        .into_iter()
        .map(|with_list| with_list.grant)
        .collect();
    Recovery {
        keys: node.keys(),
        list: authority.revocation_list().await.unwrap(),
        certificate,
        grants: BoundedList::new(grants).unwrap(),
        genesis: BoundedList::default(),
        policy: authority.policy().await.ok(),
        peers: BoundedList::default(),
    }
}

async fn hand_in(
    authority: &Authority,
    node: &TestNode,
    report: &Recovery,
) -> Result<u32, RecoveryError> {
    let Recovered { awaited } = authority.recover(report.clone(), node.caller()).await?;
    Ok(awaited)
}

async fn list(authority: &Authority) -> RevocationList {
    let signed = authority.revocation_list().await.unwrap();
    let now = authority.clock().now();
    (*signed.verify(&authority.keyring(), now).unwrap()).clone()
}

async fn status(authority: &Authority, node: &TestNode) -> NodeStatus {
    authority
        .node(&NodeRef::Id(node.id()))
        .await
        .unwrap()
        .status
}

async fn events(authority: &Authority) -> Vec<String> {
    let records = authority.audit(Sequence::default(), None).await.unwrap();
    records
        .iter()
        .map(|one| one.record.event.to_string())
        .collect()
}

async fn recorded(authority: &Authority, event: Event) -> usize {
    let events = events(authority).await;
    events.iter().filter(|name| *name == event.name()).count()
}

#[tokio::test]
async fn a_node_that_was_revoked_after_the_backup_stays_out_and_no_number_comes_again() {
    let (mut world, [rose, bert, carl], backup) = with_backup().await;
    let backup_at = world.clock.now();
    world.hand.advance(Span::from_minutes(5));
    let newcomer = world.member("dora").await;
    world.authority.rotate(operator()).await.unwrap();
    world
        .authority
        .revoke(rose.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    world.authority.tick().await.unwrap();
    let old = &world.authority;
    let before = list(old).await;
    let last_epoch = old.epochs().await.unwrap().last().unwrap().number;
    let mut known = Vec::new();
    for node in [&bert, &carl, &newcomer] {
        known.push(report(old, node).await);
    }
    let newest = known[2].certificate.clone().unwrap();
    let serial = newest
        .verify(&old.keyring(), world.clock.now())
        .unwrap()
        .serial;
    known[0].peers = BoundedList::new(vec![newest]).unwrap();

    world.hand.advance(Span::from_minutes(1));
    let restored_at = world.clock.now();
    let authority = restored(&world, backup, backup_at).await;
    assert_eq!(
        status(&authority, &rose).await,
        NodeStatus::Allowed,
        "the backup does not know"
    );
    assert_eq!(hand_in(&authority, &bert, &known[0]).await, Ok(2));
    assert_eq!(status(&authority, &rose).await, NodeStatus::Revoked);
    assert_eq!(recorded(&authority, Event::NodeRevoked).await, 1);
    let awaited = authority.recovery().await.unwrap().unwrap().awaited;
    assert!(
        awaited.contains(&newcomer.id()),
        "a peer's report has shown it"
    );
    assert_eq!(hand_in(&authority, &carl, &known[1]).await, Ok(1));
    assert!(matches!(
        bert.renew(&authority).await,
        Err(NodeError::Store(StoreError::Recovering))
    ));
    assert_eq!(hand_in(&authority, &newcomer, &known[2]).await, Ok(0));
    assert_eq!(authority.recovery().await, Ok(None));

    assert!(matches!(
        rose.renew(&authority).await,
        Err(NodeError::NotMember(NodeStatus::Revoked))
    ));
    let after = list(&authority).await;
    assert!(
        after.sequence > before.sequence
            && after
                .entries
                .iter()
                .any(|e| e.identity == rose.keys().identity)
    );
    authority.tick().await.unwrap();
    assert!(
        authority
            .epochs()
            .await
            .unwrap()
            .iter()
            .all(|epoch| epoch.number > last_epoch)
    );
    assert!(authority.grants(rose.id()).await.unwrap().is_empty());
    assert_eq!(authority.grants(newcomer.id()).await.unwrap().len(), 1);
    let gap = LedgerGap::new(restored_at, &world.genesis.ceilings);
    let view = authority
        .revoke(carl.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    assert!(
        view.bound >= Some(gap.stopped_at()),
        "the bound counts what the ledger lacks"
    );
    world.hand.advance(Span::from_hours(13)); // a certificate that is fresh is not replaced
    let renewed = newcomer.renew(&authority).await.unwrap();
    assert!(
        renewed
            .verify(&authority.keyring(), world.clock.now())
            .unwrap()
            .serial
            > serial
    );
    let events = events(&authority).await;
    assert!(events.contains(&Event::RecoveryEnded.to_string()));
}

#[tokio::test]
async fn nothing_is_issued_while_nodes_are_awaited() {
    let (mut world, [rose, bert, _], backup) = with_backup().await;
    let backup_at = world.clock.now();
    let newcomer = world.node();
    let old = world.invite(1).await;
    let known = report(&world.authority, &bert).await;
    upkeep::snapshot(
        &world.dir.path().join("authority.db"),
        &world.dir.path().join("later.db"),
    )
    .await
    .unwrap();
    let authority = restored(&world, world.dir.path().join("later.db"), backup_at).await;
    drop(backup);
    world.hand.advance(Span::from_hours(2));
    authority.tick().await.unwrap();
    assert!(authority.epochs().await.unwrap().is_empty());
    assert!(matches!(
        authority.revocation_list().await,
        Err(ReadError::Store(StoreError::Recovering))
    ));
    assert!(matches!(
        authority.roster(bert.id(), None).await,
        Err(ReadError::Store(StoreError::Recovering))
    ));
    assert!(matches!(
        authority.stream(bert.id(), None).await.err(),
        Some(ReadError::Store(StoreError::Recovering))
    ));
    assert!(authority.grants(bert.id()).await.is_err());
    assert!(matches!(
        bert.renew(&authority).await,
        Err(NodeError::Store(StoreError::Recovering))
    ));
    assert!(matches!(
        newcomer.join(&authority, "dora", Some(old)).await,
        Err(EnrollError::Invite(InviteError::Withdrawn))
    ));
    let token = invite_of(&authority, 1).await;
    assert!(matches!(
        newcomer.join(&authority, "dora", Some(token)).await,
        Err(EnrollError::Store(StoreError::Recovering))
    ));
    let put_out = authority
        .revoke(rose.id(), revoke(RevocationKind::Revoked), operator())
        .await;
    assert!(matches!(
        put_out,
        Err(MembershipError::Store(StoreError::Recovering))
    ));
    assert!(authority.rotate(operator()).await.is_err());
    assert!(
        authority
            .put_policy(MEMBERS.to_owned(), None, operator())
            .await
            .is_err()
    );
    assert_eq!(
        (
            StoreError::Recovering.code(),
            StoreError::Recovering.blame()
        ),
        ("recovering", Blame::Exhausted)
    );

    // Nor after a restart, nor when a single node has spoken.
    assert_eq!(hand_in(&authority, &bert, &known).await, Ok(2));
    let again = world
        .on(Location::File(world.dir.path().join("later.db")))
        .await;
    again.tick().await.unwrap();
    assert!(again.revocation_list().await.is_err());
    assert_eq!(again.recovery().await.unwrap().unwrap().reported, 1);
}

#[tokio::test]
async fn a_sovereign_ends_it_early_and_answers_for_it() {
    let (world, [_, bert, _], backup) = with_backup().await;
    let authority = restored(&world, backup, world.clock.now()).await;
    let reason: Reason = "carl is at sea".parse().unwrap();
    let refused = authority
        .override_recovery(reason.clone(), bert.caller())
        .await;
    assert!(matches!(refused, Err(RecoveryError::Access(_))));
    authority
        .override_recovery(reason.clone(), operator())
        .await
        .unwrap();
    bert.renew(&authority).await.unwrap();
    let records = authority.audit(Sequence::default(), None).await.unwrap();
    let record = records
        .iter()
        .find(|one| one.record.event.as_str() == Event::RecoveryOverridden.name())
        .unwrap();
    assert_eq!(record.record.object, reason);
    assert_eq!(
        authority.override_recovery(reason, operator()).await,
        Err(RecoveryError::NotRecovering)
    );
}

#[tokio::test]
async fn what_is_not_a_members_or_not_the_authoritys_is_refused() {
    let (mut world, [rose, bert, _], backup) = with_backup().await;
    let stranger = world.node();
    let known = report(&world.authority, &bert).await;
    assert_eq!(
        hand_in(&world.authority, &bert, &known).await,
        Err(RecoveryError::NotRecovering)
    );
    let authority = restored(&world, backup, world.clock.now()).await;
    let as_another = authority.recover(known.clone(), rose.caller()).await;
    assert_eq!(as_another, Err(RecoveryError::Stranger));
    let strange = Recovery {
        keys: stranger.keys(),
        ..known.clone()
    };
    assert_eq!(
        hand_in(&authority, &stranger, &strange).await,
        Err(RecoveryError::Stranger)
    );
    let forged = RevocationList {
        sequence: Sequence::new(list_sequence(&known) + 1).unwrap(),
        ..(*known
            .list
            .verify(&world.authority.keyring(), world.clock.now())
            .unwrap())
        .clone()
    };
    let forged = Signed::sign(&forged, &[&SigningKey::from_seed(&[66; 32])]).unwrap();
    let forged = Recovery {
        list: forged,
        ..known.clone()
    };
    assert!(matches!(
        hand_in(&authority, &bert, &forged).await,
        Err(RecoveryError::Refused(_))
    ));
    assert_eq!(authority.recovery().await.unwrap().unwrap().reported, 0);
}

fn list_sequence(report: &Recovery) -> u64 {
    let (_, keys, genesis) = support::genesis("10.211.0.0/16");
    drop(keys);
    let root = SigningKey::from_seed(&[1; 32]);
    let chain = TrustChain::trusting(&Signed::sign(&genesis, &[&root]).unwrap()).unwrap();
    report
        .list
        .verify(&chain.keyring().unwrap(), support::START)
        .unwrap()
        .sequence
        .value()
}

#[tokio::test]
async fn a_node_that_came_and_went_after_the_backup_cannot_come_back_as_new() {
    let (mut world, members, backup) = with_backup().await;
    let backup_at = world.clock.now();
    let passer_by = world.member("eve").await;
    world
        .authority
        .revoke(passer_by.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    let mut known = Vec::new();
    for node in &members {
        known.push(report(&world.authority, node).await);
    }
    let authority = restored(&world, backup, backup_at).await;
    for (node, report) in members.iter().zip(&known) {
        hand_in(&authority, node, report).await.unwrap();
    }
    assert_eq!(authority.recovery().await, Ok(None));
    let back = passer_by.join(&authority, "eve", None).await;
    assert!(matches!(back, Err(EnrollError::Revoked(_))), "{back:?}");
}

#[tokio::test]
async fn a_policy_and_a_genesis_of_after_the_backup_come_back() {
    let (world, members, backup) = with_backup().await;
    let backup_at = world.clock.now();
    world.hand.advance(Span::from_minutes(1));
    let later_policy = format!("trust_rtc = false\n{}", policy(&[&one_of_each()[3]]));
    world
        .authority
        .put_policy(later_policy, None, operator())
        .await
        .unwrap();
    let next = Genesis {
        revision: Revision::new(2).unwrap(),
        previous: Some(world.authority.genesis().digest()),
        issued_at: world.clock.now(),
        ceilings: EpochCeilings {
            lease: Span::from_hours(72),
            ..world.genesis.ceilings
        },
        ..world.genesis.clone()
    };
    let succession = Signed::sign(&next, &[&world.root]).unwrap();
    world
        .authority
        .install_genesis(succession.clone(), operator())
        .await
        .unwrap();
    world.authority.tick().await.unwrap();
    let mut known = Vec::new();
    for node in &members {
        let genesis = BoundedList::new(vec![succession.clone()]).unwrap();
        known.push(Recovery {
            genesis,
            ..report(&world.authority, node).await
        });
    }
    let authority = restored(&world, backup, backup_at).await;
    for (node, report) in members.iter().zip(&known) {
        hand_in(&authority, node, report).await.unwrap();
    }
    assert_eq!(authority.genesis().digest(), succession.digest());
    assert!(!authority.policy_document().await.unwrap().trust_rtc);
    assert_eq!(recorded(&authority, Event::PolicyChanged).await, 2);
    assert_eq!(recorded(&authority, Event::OperatorAdded).await, 1);
    assert_eq!(list(&authority).await.revision, next.revision);
    let gap = LedgerGap::new(world.clock.now(), &next.ceilings);
    let view = authority
        .revoke(members[0].id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    assert!(
        view.bound >= Some(gap.stopped_at()),
        "the later, higher ceilings count"
    );
}

/// It reports first, and what it held before it was revoked. In the backup there is nobody, or nobody but itself.
#[tokio::test]
async fn b7_a_node_that_was_revoked_since_the_backup_cannot_end_the_recovery_alone() {
    for in_backup in [false, true] {
        let mut world = World::new().await;
        let mut early = None;
        if in_backup {
            early = Some(world.member("out").await);
        }
        let (backup, backup_at) = (back_up(&world).await, world.clock.now());
        world.hand.advance(Span::from_secs(30));
        let out = match early {
            Some(out) => out,
            None => world.member("out").await,
        };
        let (bert, carl) = (world.member("bert").await, world.member("carl").await);
        world.authority.tick().await.unwrap();
        let of_before = report(&world.authority, &out).await;
        world
            .authority
            .revoke(out.id(), revoke(RevocationKind::Revoked), operator())
            .await
            .unwrap();
        let of_after = [
            report(&world.authority, &bert).await,
            report(&world.authority, &carl).await,
        ];

        let authority = restored(&world, backup, backup_at).await;
        assert_eq!(hand_in(&authority, &out, &of_before).await, Ok(0));
        let view = authority.recovery().await.unwrap().unwrap();
        assert_eq!(
            (view.ends, view.reported, view.awaited.len()),
            (RecoveryEnd::Override, 1, 0)
        );
        assert!(authority.revocation_list().await.is_err());
        for (node, report) in [&bert, &carl].into_iter().zip(&of_after) {
            assert_eq!(hand_in(&authority, node, report).await, Ok(0));
        }
        assert!(
            authority.recovery().await.unwrap().is_some(),
            "nor do nodes that the backup does not know"
        );
        let reason: Reason = "bert and carl were asked".parse().unwrap();
        authority
            .override_recovery(reason, operator())
            .await
            .unwrap();
        assert_eq!(status(&authority, &out).await, NodeStatus::Revoked);
        assert_eq!(status(&authority, &bert).await, NodeStatus::Allowed);
    }
}

/// A world whose backup is four days old, with carl revoked one hour after it, so that carl is on no list any more. What
/// the three of them know.
async fn long_after_a_revocation() -> (World, [TestNode; 3], [Recovery; 3], PathBuf) {
    let (world, members, backup) = with_backup().await;
    let [rose, bert, carl] = &members;
    let of_before = report(&world.authority, carl).await;
    world.hand.advance(Span::from_hours(1));
    world
        .authority
        .revoke(carl.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    for _ in 0..8 {
        world.hand.advance(Span::from_hours(12));
        for node in [rose, bert] {
            node.renew(&world.authority).await.unwrap();
        }
        world.authority.tick().await.unwrap();
    }
    assert!(list(&world.authority).await.entries.is_empty());
    let reports = [
        report(&world.authority, rose).await,
        report(&world.authority, bert).await,
        of_before,
    ];
    (world, members, reports, backup)
}

#[tokio::test]
async fn b7_a_node_whose_revocation_has_left_the_list_again_comes_back_suspended() {
    let (world, members, reports, backup) = long_after_a_revocation().await;
    let authority = restored(&world, backup, support::START).await;
    for (node, report) in members.iter().zip(&reports) {
        hand_in(&authority, node, report).await.unwrap();
    }
    assert_eq!(authority.recovery().await, Ok(None));
    let [rose, bert, carl] = &members;
    for stays in [rose, bert] {
        assert_eq!(status(&authority, stays).await, NodeStatus::Allowed);
    }
    let refused = carl.renew(&authority).await;
    assert_eq!(refused, Err(NodeError::NotMember(NodeStatus::Quarantined)));
    let view = authority.node(&NodeRef::Id(carl.id())).await.unwrap();
    assert!(
        view.reason.as_str().contains("after the backup"),
        "{}",
        view.reason
    );
    let events = events(&authority).await;
    assert!(events.contains(&Event::NodeSuspended.to_string()));
    authority
        .reinstate(carl.id(), "it was only away".parse().unwrap(), operator())
        .await
        .unwrap();
    carl.renew(&authority).await.unwrap();
}

/// Their own certificates say that they were in for as long as a revocation would still be on the list.
#[tokio::test]
async fn b7_members_whose_certificates_ended_while_the_authority_was_away_come_back() {
    let (world, members, reports, backup) = long_after_a_revocation().await;
    world.hand.advance(Span::from_hours(30));
    let authority = restored(&world, backup, support::START).await;
    for (node, report) in members.iter().zip(&reports) {
        hand_in(&authority, node, report).await.unwrap();
    }
    assert_eq!(authority.recovery().await, Ok(None));
    let [rose, bert, carl] = &members;
    for stays in [rose, bert] {
        assert_eq!(status(&authority, stays).await, NodeStatus::Allowed);
        stays.renew(&authority).await.unwrap();
    }
    assert_eq!(status(&authority, carl).await, NodeStatus::Quarantined);
}

/// Whoever ends the recovery before two members were heard does not know how new the newest list is that was heard of.
#[tokio::test]
async fn b7_an_early_end_suspends_whoever_may_have_been_revoked_without_a_trace() {
    let (world, members, reports, backup) = long_after_a_revocation().await;
    let authority = restored(&world, backup, support::START).await;
    let [rose, bert, carl] = &members;
    hand_in(&authority, bert, &reports[1]).await.unwrap();
    let reason: Reason = "rose is at sea".parse().unwrap();
    authority
        .override_recovery(reason, operator())
        .await
        .unwrap();
    assert_eq!(status(&authority, bert).await, NodeStatus::Allowed);
    for unknown in [rose, carl] {
        assert_eq!(status(&authority, unknown).await, NodeStatus::Quarantined);
    }
}
