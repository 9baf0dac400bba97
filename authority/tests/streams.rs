//! What a node is told: rosters, records, policies and grants; replays; and many changes in one commit.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use support::{MEMBERS, World, operator, revoke, set};
use tidegate_authority::service::{
    AccessError, Approval, Caller, EnrollError, EventId, NodeError, NodeStream, PolicyChangeError,
    ReadError, SpentNonce,
};
use tidegate_proto::api::{Enrolled, RosterUpdate, StreamEvent};
use tidegate_proto::*;

/// Members talk to members of their own tag.
const TAGS: &str = r#"
[[rules]]
from = ["tag:x"]
to = ["tag:x"]
protocol = "any"
[[rules]]
from = ["tag:y"]
to = ["tag:y"]
protocol = "any"
"#;

async fn tagged(world: &mut World, name: &str, tag: &str) -> support::TestNode {
    let node = world.node();
    node.join(&world.authority, name, None).await.unwrap();
    let approval = Approval {
        tags: set([tag.parse().unwrap()]),
        ..Approval::default()
    };
    world
        .authority
        .approve(node.id(), approval, operator())
        .await
        .unwrap();
    node
}

fn verified(world: &World, update: &RosterUpdate) -> Verified<Roster> {
    let roster = update
        .roster
        .verify(&world.authority.keyring(), world.clock.now())
        .unwrap();
    let digests: Vec<_> = update.certificates.iter().map(Signed::digest).collect();
    assert_eq!(
        roster
            .entries
            .iter()
            .map(|entry| entry.certificate)
            .collect::<Vec<_>>(),
        digests
    );
    roster
}

async fn next(stream: &mut NodeStream) -> Option<(Option<EventId>, StreamEvent)> {
    let (id, told) = tokio::time::timeout(Duration::from_secs(10), stream.next())
        .await
        .expect("an event in time")?;
    let event: StreamEvent = strict::read(&told.json.to_bytes(), 1 << 24).unwrap();
    assert_eq!(event.name(), told.name);
    assert_eq!(serde_json::to_vec(&event).unwrap(), told.json.to_bytes());
    Some((id, event))
}

/// The events up to the one that has a place.
async fn whole(stream: &mut NodeStream) -> (EventId, Vec<StreamEvent>) {
    let mut events = Vec::new();
    loop {
        let (id, event) = next(stream).await.unwrap();
        events.push(event);
        if let Some(id) = id {
            return (id, events);
        }
    }
}

fn names(events: &[StreamEvent]) -> Vec<&'static str> {
    events.iter().map(StreamEvent::name).collect()
}

#[tokio::test]
async fn a_roster_holds_whom_the_policy_lets_a_node_talk_to() {
    let mut world = World::new().await;
    let (a, b, c) = (
        tagged(&mut world, "a", "x").await,
        tagged(&mut world, "b", "x").await,
        tagged(&mut world, "c", "y").await,
    );
    let empty = support::roster(&world.authority, a.id(), None)
        .await
        .unwrap();
    assert!(
        verified(&world, &empty).entries.is_empty(),
        "without a policy nobody may"
    );
    world
        .authority
        .put_policy(TAGS.to_owned(), None, operator())
        .await
        .unwrap();
    let full = verified(
        &world,
        &support::roster(
            &world.authority,
            a.id(),
            Some(verified(&world, &empty).version),
        )
        .await
        .unwrap(),
    );
    assert_eq!(full.base, None, "a policy changes everything");
    let none = BTreeMap::new();
    let peers = full.apply(Sequence::default(), &none).unwrap();
    assert_eq!(peers.keys().copied().collect::<Vec<_>>(), [b.id()]);

    // Somebody comes, somebody goes, and somebody who is none of a's business changes.
    let d = tagged(&mut world, "d", "x").await;
    c.renew(&world.authority).await.unwrap();
    world
        .authority
        .revoke(b.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    world
        .authority
        .revoke(c.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    let delta = verified(
        &world,
        &support::roster(&world.authority, a.id(), Some(full.version))
            .await
            .unwrap(),
    );
    assert_eq!(delta.base, Some(full.version));
    let after = delta.apply(full.version, &peers).unwrap();
    let again = verified(
        &world,
        &support::roster(&world.authority, a.id(), None)
            .await
            .unwrap(),
    );
    assert_eq!(after, again.apply(Sequence::default(), &none).unwrap());
    assert_eq!(after.keys().copied().collect::<Vec<_>>(), [d.id()]);
    let gone = support::roster(&world.authority, b.id(), None).await;
    assert!(matches!(gone, Err(ReadError::NotMember(_))));
}

#[tokio::test]
async fn a_stream_begins_with_everything_and_goes_on_with_what_changes() {
    let mut world = World::new().await;
    world
        .authority
        .put_policy(MEMBERS.to_owned(), None, operator())
        .await
        .unwrap();
    let (a, b) = (world.member("a").await, world.member("b").await);
    world.authority.tick().await.unwrap();
    let mut stream = world.authority.stream(a.id(), None).await.unwrap();
    let (_, all) = whole(&mut stream).await;
    let full = [
        "genesis",
        "list",
        "certificate",
        "policy",
        "roster",
        "grant",
    ];
    assert_eq!(names(&all), full);

    let record = b.record(1, "192.0.2.7:51820", world.clock.now());
    let from = "198.51.100.4:7000".parse().ok();
    world
        .authority
        .put_record(b.id(), record.clone(), from, b.caller())
        .await
        .unwrap();
    let (at, events) = whole(&mut stream).await;
    let [StreamEvent::Record(told)] = &events[..] else {
        panic!("{:?}", names(&events))
    };
    assert_eq!(
        (&told.record, told.seen_from),
        (&record, "198.51.100.4:7000".parse().ok())
    );

    world
        .authority
        .revoke(b.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    let (_, events) = whole(&mut stream).await;
    let [StreamEvent::List(_), StreamEvent::Roster(update)] = &events[..] else {
        panic!("the list goes first: {:?}", names(&events))
    };
    assert!(verified(&world, update).removed.contains(&b.id()));

    // Resumed behind the record, it hears the same again, also at another server and after a restart.
    let mut resumed = world.authority.stream(a.id(), Some(at)).await.unwrap();
    let told_again = ["list", "certificate", "roster"];
    assert_eq!(names(&whole(&mut resumed).await.1), told_again);
    let other = world.another().await;
    let mut elsewhere = other.stream(a.id(), Some(at)).await.unwrap();
    assert_eq!(names(&whole(&mut elsewhere).await.1), told_again);
    let foreign = "00000000-1".parse().unwrap();
    let mut anew = other.stream(a.id(), Some(foreign)).await.unwrap();
    assert_eq!(names(&whole(&mut anew).await.1), full);

    // Who is out hears the list that says so, nothing more, and cannot resume; the list is there for everybody.
    world
        .authority
        .revoke(a.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    for stream in [&mut stream, &mut elsewhere] {
        let (id, event) = next(stream).await.unwrap();
        let StreamEvent::List(list) = event else {
            panic!("{}", event.name())
        };
        let list = list
            .verify(&world.authority.keyring(), world.clock.now())
            .unwrap();
        assert!(id.is_none() && list.entries.len() == 2);
        assert!(next(stream).await.is_none());
    }
    let refused = world.authority.stream(a.id(), Some(at)).await;
    assert!(matches!(refused, Err(ReadError::NotMember(_))));
    assert!(world.authority.revocation_list().await.is_ok());
}

#[tokio::test]
async fn a_record_is_the_nodes_own_and_never_goes_back() {
    let mut world = World::new().await;
    let (a, b) = (world.member("a").await, world.member("b").await);
    let now = world.clock.now();
    let put = |by: NodeId, record| world.authority.put_record(by, record, None, operator());
    let good = a.record(5, "192.0.2.7:51820", now);
    assert!(matches!(
        put(b.id(), good.clone()).await,
        Err(NodeError::Document(_))
    ));
    let future = a.record(5, "192.0.2.7:51820", now + Span::from_minutes(6));
    assert!(matches!(
        put(a.id(), future).await,
        Err(NodeError::Future(_))
    ));
    assert_eq!(put(a.id(), good.clone()).await, Ok(()));
    assert_eq!(put(a.id(), good).await, Ok(()), "sent again");
    let other = a.record(5, "192.0.2.8:51820", now);
    assert!(matches!(
        put(a.id(), other).await,
        Err(NodeError::Old { .. })
    ));
    let stranger = support::TestNode::new(7);
    assert_eq!(
        put(stranger.id(), stranger.record(1, "192.0.2.7:51820", now)).await,
        Err(NodeError::Unknown)
    );
}

#[tokio::test]
async fn s6_a_signed_request_has_its_effect_once_on_whichever_server() {
    let mut world = World::new().await;
    let node = world.node();
    node.join(&world.authority, "a", None).await.unwrap();
    let spent = SpentNonce {
        key: KeyId::from_bytes([1; 8]),
        nonce: base64_encode(&[1; 16]).parse().unwrap(),
        time: world.clock.now(),
    };
    let caller = Caller {
        nonce: Some(spent),
        ..operator()
    };
    world
        .authority
        .approve(node.id(), Approval::default(), caller.clone())
        .await
        .unwrap();
    let replay = world
        .another()
        .await
        .put_policy(MEMBERS.to_owned(), None, caller)
        .await;
    assert_eq!(
        replay,
        Err(PolicyChangeError::Access(AccessError::Replayed))
    );
    assert_eq!(
        world.authority.policy().await,
        Err(ReadError::NotYet("policy")),
        "nothing half done"
    );
}

#[tokio::test]
async fn a_policy_is_checked_versioned_and_never_without_a_sovereign() {
    let world = World::new().await;
    let key = SigningKey::from_seed(&[3; 32]).public_key();
    let with = |role: &str| {
        format!("{MEMBERS}\n[[operators]]\nname = \"jane\"\nkey = \"{key}\"\nrole = \"{role}\"\n")
    };
    let put = |text: String, base| world.authority.put_policy(text, base, operator());
    assert!(matches!(
        put("rules = 3".to_owned(), None).await,
        Err(PolicyChangeError::File(_))
    ));
    let first = put(with("sovereign"), None).await.unwrap();
    let first = first
        .verify(&world.authority.keyring(), world.clock.now())
        .unwrap();
    assert_eq!(
        put(with("admin"), None).await,
        Err(PolicyChangeError::NoSovereign)
    );
    let stale = Sequence::new(first.version.value() - 1);
    let refused = put(with("sovereign"), stale).await;
    assert_eq!(
        refused,
        Err(PolicyChangeError::Changed {
            have: first.version
        })
    );
    let second = put(with("sovereign"), Some(first.version)).await.unwrap();
    let second = second
        .verify(&world.authority.keyring(), world.clock.now())
        .unwrap();
    assert!(second.version > first.version);
    assert!(
        world
            .authority
            .policy_file()
            .await
            .unwrap()
            .contains("sovereign")
    );
}

#[tokio::test]
async fn a_succession_changes_the_signers_and_signs_list_and_policy_anew() {
    let mut world = World::new().await;
    world
        .authority
        .put_policy(MEMBERS.to_owned(), None, operator())
        .await
        .unwrap();
    let next = Genesis {
        revision: Revision::new(2).unwrap(),
        previous: Some(world.authority.genesis().digest()),
        ceilings: EpochCeilings {
            certificate: Span::from_hours(48),
            ..world.genesis.ceilings
        },
        ..world.genesis.clone()
    };
    let signed = Signed::sign(&next, &[&world.root]).unwrap();
    world
        .authority
        .install_genesis(signed.clone(), operator())
        .await
        .unwrap();
    world.authority.tick().await.unwrap();
    let (keyring, now) = (world.authority.keyring(), world.clock.now());
    let list = world
        .authority
        .revocation_list()
        .await
        .unwrap()
        .verify(&keyring, now)
        .unwrap();
    let policy = world
        .authority
        .policy()
        .await
        .unwrap()
        .verify(&keyring, now)
        .unwrap();
    assert_eq!((list.revision.value(), policy.revision.value()), (2, 2));
    assert_eq!(world.authority.genesis_chain().await.unwrap().len(), 2);
    assert_eq!(world.another().await.genesis(), signed);
    let stranger = SigningKey::from_seed(&[40; 32]);
    let third = Genesis {
        revision: Revision::new(3).unwrap(),
        previous: Some(signed.digest()),
        authority: AuthoritySet {
            keys: set([stranger.public_key()]),
            threshold: 1,
            since: Revision::new(3).unwrap(),
            previous_until: None,
        },
        ..next
    };
    let third = Signed::sign(&third, &[&world.root]).unwrap();
    assert!(
        world
            .authority
            .install_genesis(third, operator())
            .await
            .is_err(),
        "its keys are not here"
    );
    assert_eq!(world.authority.genesis(), signed);
    world.member("still-works").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_changes_share_a_commit_and_serials_never_repeat() {
    const NODES: usize = 100;
    let mut world = World::new().await;
    let token = world.invite(NODES as u32).await;
    let nodes: Vec<_> = (0..NODES).map(|_| world.node()).collect();
    let before = world.authority.store().commits();
    let joins = nodes.into_iter().enumerate().map(|(index, node)| {
        let (authority, token) = (world.authority.clone(), token.clone());
        tokio::spawn(async move {
            node.join(&authority, &format!("n-{index}"), Some(token))
                .await
        })
    });
    let mut serials = Vec::new();
    for join in joins.collect::<Vec<_>>() {
        let Ok(Enrolled::Admitted(signed)) = join.await.unwrap() else {
            panic!("not admitted")
        };
        serials.push(
            signed
                .verify(&world.authority.keyring(), world.clock.now())
                .unwrap()
                .serial,
        );
    }
    serials.sort_unstable();
    serials.dedup();
    assert_eq!(serials.len(), NODES);
    let commits = world.authority.store().commits() - before;
    assert!(commits < NODES as u64, "{commits} commits");
    let last = world
        .node()
        .join(&world.authority, "one-more", Some(token))
        .await;
    assert!(
        matches!(last, Err(EnrollError::Invite(_))),
        "the uses were counted exactly"
    );
}
