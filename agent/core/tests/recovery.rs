//! What a node tells an authority that was restored from a backup, when, and how often.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use tidegate_core::{Answer, Ask, AskKind, Event, Failure, Input, Wish};
use tidegate_proto::api::Recovery;
use tidegate_proto::*;
use world::World;

fn no(code: &str) -> Answer {
    Answer::Failed(Failure::Refused {
        code: code.to_owned(),
        detail: "in the words of the authority".to_owned(),
    })
}

fn refuse_stream(world: &mut World, code: &str) {
    let code = code.to_owned();
    world.say(1, Input::StreamRefused { code });
}

/// The reports that node 1 has handed in since the last look.
fn reports(world: &mut World) -> Vec<Recovery> {
    let asks = world.node(1).asks.drain(..);
    let report = |ask| match ask {
        Ask::Recovery(report) => Some(*report),
        _ => None,
    };
    asks.filter_map(report).collect()
}

/// Lets time pass at node 1 alone, whose stream is refused each four seconds, and counts its reports.
fn refused_for(world: &mut World, seconds: u64, code: &str) -> usize {
    let mut count = 0;
    for _ in 0..seconds / 4 {
        world.now = world.now + Span::from_secs(4);
        let now = world.now;
        world.node(1).tick(now);
        refuse_stream(world, code);
        count += reports(world).len();
    }
    count
}

#[test]
fn everything_that_was_signed_is_handed_in_at_once() {
    let mut world = World::with_nodes(3);
    let revoked = world.id(3);
    world.authority.put_out(revoked, RevocationKind::Revoked);
    world.authority.succeed(None, None);
    world.authority.put_policy(true);
    world.wait(70);
    refuse_stream(&mut world, "recovering");
    let report = reports(&mut world).pop().unwrap();

    let (id, authority) = (world.id(1), &world.authority);
    assert_eq!(report.list.digest(), authority.list.digest());
    let own = &authority.entries[&id];
    let certificate = report.certificate.unwrap();
    assert_eq!(
        certificate.digest(),
        own.certificate.as_ref().unwrap().digest()
    );
    assert_eq!(report.keys, own.keys);
    assert_eq!(report.policy.unwrap().digest(), authority.policy.digest());
    let successions: Vec<_> = report.genesis.iter().map(Signed::digest).collect();
    assert_eq!(successions, [authority.chain[1].digest()]);
    let keyring = authority.keyring();
    assert!(!report.grants.is_empty());
    for grant in report.grants.iter() {
        assert_eq!(grant.verify(&keyring, world.now).unwrap().node, id);
    }
    let peers = report.peers.iter();
    let peers: Vec<_> = peers
        .map(|peer| peer.verify(&keyring, world.now).unwrap().node)
        .collect();
    assert!(peers.contains(&world.id(2)), "others have to be heard");
    let told = |event: &&Event| **event == Event::AuthorityRecovers;
    assert_eq!(world.nodes[&1].events.iter().filter(told).count(), 1);
}

#[test]
fn who_joined_after_the_backup_reports_too() {
    for code in ["key-unknown", "not-enrolled"] {
        let mut world = World::with_nodes(2);
        refuse_stream(&mut world, code);
        assert_eq!(reports(&mut world).len(), 1, "{code}");
        let answered = Input::Answered(AskKind::Recovery, no("not-recovering"));
        world.say(1, answered);
        assert_eq!(refused_for(&mut world, 300, code), 0, "{code}");
    }
    let mut world = World::with_nodes(2);
    for code in ["not-a-member", "busy", "too-many-requests"] {
        refuse_stream(&mut world, code);
        assert_eq!(reports(&mut world).len(), 0, "{code}");
    }
}

#[test]
fn any_question_tells_that_it_recovers() {
    let mut world = World::with_nodes(2);
    world.say(1, Input::Answered(AskKind::Renew, no("recovering")));
    assert_eq!(reports(&mut world).len(), 1);
}

#[test]
fn a_report_is_repeated_until_it_is_taken_and_then_rarely() {
    let mut world = World::with_nodes(2);
    refuse_stream(&mut world, "recovering");
    assert_eq!(reports(&mut world).len(), 1);
    let failed = Answer::Failed(Failure::Unreachable);
    world.say(1, Input::Answered(AskKind::Recovery, failed));
    let again = refused_for(&mut world, 60, "recovering");
    assert!((3..=4).contains(&again), "{again}");
    world.say(1, Input::Answered(AskKind::Recovery, Answer::Done));
    assert_eq!(refused_for(&mut world, 590, "recovering"), 0);
    let later = refused_for(&mut world, 20, "recovering");
    assert!(later > 0, "it may have been restored once more");
}

#[test]
fn where_the_stream_opens_nothing_is_handed_in() {
    let mut world = World::with_nodes(2);
    refuse_stream(&mut world, "recovering");
    assert_eq!(reports(&mut world).len(), 1);
    world.say(1, Input::StreamOpened);
    let now = world.now + Span::from_secs(30);
    world.now = now;
    world.node(1).tick(now);
    assert_eq!(reports(&mut world).len(), 0);
    refuse_stream(&mut world, "recovering");
    assert_eq!(reports(&mut world).len(), 1, "another recovery");
}

#[test]
fn a_node_that_is_down_or_out_reports_as_well() {
    let mut world = World::with_nodes(2);
    world.say(1, Input::Wish(Wish::Down));
    refuse_stream(&mut world, "recovering");
    assert_eq!(reports(&mut world).len(), 1);

    let mut world = World::with_nodes(2);
    let id = world.id(1);
    world.authority.put_out(id, RevocationKind::Revoked);
    let list = world.authority.list.clone();
    world.send(1, api::StreamEvent::List(list.clone()));
    refuse_stream(&mut world, "recovering");
    let report = reports(&mut world).pop().unwrap();
    assert_eq!(report.list.digest(), list.digest(), "its own revocation");
}

#[test]
fn a_refused_stream_is_explained_by_the_public_list() {
    let mut world = World::with_nodes(2);
    world.node(1).asks.clear();
    refuse_stream(&mut world, "not-a-member");
    let lists = world.nodes[&1]
        .asks
        .iter()
        .filter(|ask| matches!(ask, Ask::List));
    assert_eq!(lists.count(), 1);
}
