//! The audit log of a real authority: what is in it, how it is signed, exported and checked, and what cannot fill it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;

use support::log::{export, lively, names, records, verify, world};
use support::operators::{one_of_each, policy};
use support::{START, World};
use tidegate_authority::service::{
    Actor, Alarm, AuditCheckError, Entry, Event, verify_export, verify_log,
};
use tidegate_authority::store::{Location, Store};
use tidegate_proto::audit::{Fault, Record};
use tidegate_proto::*;

#[tokio::test]
async fn what_happens_is_recorded_with_who_and_what() {
    let world = lively(1000).await;
    let names: BTreeSet<String> = names(&world.authority).await.into_iter().collect();
    for event in [
        Event::OperatorAdded,
        Event::PolicyChanged,
        Event::InviteMade,
        Event::CertificateIssued,
        Event::CertificateRenewed,
        Event::NodeAdmitted,
        Event::NodePending,
        Event::EpochOpened,
        Event::EpochRotated,
        Event::GrantsReleased,
        Event::NodeSuspended,
        Event::NodeReinstated,
    ] {
        assert!(names.contains(event.name()), "{event}");
    }
    let records = records(&world.authority).await;
    let suspended = records
        .iter()
        .find(|one| one.record.event.as_str() == "node.suspended");
    let record = &suspended.unwrap().record;
    assert_eq!(record.actor.as_str(), "system");
    assert!(record.object.as_str().starts_with("node"));
    assert_eq!(record.at, START);
    let reason = &record.detail[&"reason".parse().unwrap()];
    assert_eq!(serde_json::to_value(reason).unwrap(), "laptop lost");
    let of = |event: Event| {
        let mut all = records.iter().map(|one| &one.record);
        let record = all.find(|record| record.event.as_str() == event.name());
        serde_json::to_value(record.unwrap()).unwrap()
    };
    let (invite, admitted) = (of(Event::InviteMade), of(Event::NodeAdmitted));
    assert_eq!(admitted["detail"]["invite"], invite["object"]);
    for detail in [&invite["detail"], &admitted["detail"]] {
        assert_eq!(
            (&detail["roles"], &detail["tags"]),
            (&"member".into(), &"eu".into())
        );
    }
}

#[tokio::test]
async fn what_was_refused_left_no_record() {
    let world = lively(1000).await;
    let before = records(&world.authority).await.len();
    let [_, _, ada, _] = one_of_each();
    let caller = ada.caller(&world.authority).await;
    let refused = world.authority.put_policy(policy(&[]), None, caller).await;
    assert!(refused.is_err());
    assert_eq!(records(&world.authority).await.len(), before);
}

#[tokio::test]
async fn an_export_is_found_sound_and_holds_what_is_stored() {
    let world = lively(4).await;
    let export = export(&world.authority).await;
    let chain = world.authority.genesis_chain().await.unwrap();
    let summary = verify_export(&export[..], &chain).unwrap();
    let stored = records(&world.authority).await;
    assert_eq!(summary.records, stored.len() as u64);
    assert_eq!(summary.covered, summary.last);
    assert!(summary.checkpoints > summary.records / 4);
    let lines = String::from_utf8(export).unwrap();
    for one in &stored {
        assert!(lines.contains(&(serde_json::to_string(one).unwrap() + "\n")));
    }
}

#[tokio::test]
async fn any_flipped_byte_of_an_export_is_found() {
    let world = world(3).await;
    world.invite(1).await;
    world.invite(2).await;
    world.invite(3).await;
    world.invite(4).await;
    let export = export(&world.authority).await;
    let chain = world.authority.genesis_chain().await.unwrap();
    assert!(verify_export(&export[..], &chain).is_ok());
    for at in 0..export.len() {
        let mut other = export.clone();
        other[at] ^= 1 << (at % 8);
        assert!(verify_export(&other[..], &chain).is_err(), "byte {at}");
    }
}

#[tokio::test]
async fn every_so_many_records_and_at_the_end_the_head_is_signed() {
    let world = lively(5).await;
    let summary = verify(&world).await.unwrap();
    assert_eq!(summary.covered.value(), summary.records / 5 * 5);
    assert_eq!(summary.checkpoints, summary.records / 5);
    world
        .authority
        .alarm(Alarm::AuthFailed, Actor::Stranger, None);
    world.authority.close().await;
    let again = World {
        authority: world.another().await,
        ..world
    };
    let closed = verify(&again).await.unwrap();
    assert_eq!(
        closed.records,
        summary.records + 1,
        "the alarm that was still counted"
    );
    assert_eq!(closed.covered, closed.last);
}

#[tokio::test]
async fn records_are_neither_changed_nor_deleted() {
    let world = lively(5).await;
    let path = world.dir.path().join("authority.db");
    for text in [
        "UPDATE audit SET event = 'node.admitted' WHERE sequence = 3",
        "DELETE FROM audit WHERE sequence = 3",
        "DELETE FROM audit",
    ] {
        let mut connection = open(&path).await;
        let refused = sqlx::query(text)
            .execute(&mut connection)
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("never"), "{refused}");
    }
}

async fn open(path: &std::path::Path) -> sqlx::SqliteConnection {
    use sqlx::ConnectOptions as _;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    options.connect().await.unwrap()
}

#[tokio::test]
async fn whoever_writes_the_database_is_found_out() {
    for (text, record) in [
        (
            "UPDATE audit SET record = CAST(REPLACE(CAST(record AS TEXT), 'system', 'nobody') AS BLOB) WHERE sequence = 6",
            6,
        ),
        ("DELETE FROM audit WHERE sequence = 6", 6),
        (
            "UPDATE audit SET hash = (SELECT hash FROM audit WHERE sequence = 7) WHERE sequence = 6",
            6,
        ),
        ("DELETE FROM audit WHERE sequence > 8", 8), // a checkpoint covers ten
    ] {
        let world = lively(5).await;
        assert!(verify(&world).await.is_ok());
        let mut connection = open(&world.dir.path().join("authority.db")).await;
        for text in [
            "DROP TRIGGER audit_is_not_changed",
            "DROP TRIGGER audit_is_not_shortened",
            text,
        ] {
            sqlx::query(text).execute(&mut connection).await.unwrap();
        }
        let Err(AuditCheckError::Unsound(error)) = verify(&world).await else {
            panic!("{text} was not found");
        };
        assert!(
            error.record.value() >= record && error.record.value() <= record + 1,
            "{text}: {error}"
        );
    }
}

#[tokio::test]
async fn two_servers_on_one_database_write_one_chain() {
    let world = world(7).await;
    let other = world.another().await;
    for round in 0..10 {
        for authority in [&world.authority, &other] {
            let entry = Entry::new(Event::BackupMade, &Actor::System, round);
            authority.log(entry).await.unwrap();
        }
    }
    let summary = verify(&world).await.unwrap();
    assert_eq!((summary.records, summary.last.value()), (20, 20));
    let export = export(&other).await;
    let chain = other.genesis_chain().await.unwrap();
    assert_eq!(verify_export(&export[..], &chain).unwrap().records, 20);
}

#[tokio::test]
async fn a_long_log_is_exported_in_pieces() {
    let world = world(500).await;
    let many = 3000;
    let log = |round: u32| {
        let authority = world.authority.clone();
        async move {
            let entry = Entry::new(Event::BackupMade, &Actor::System, "x".repeat(190));
            authority.log(entry.count("round", round)).await.unwrap();
        }
    };
    futures_util::future::join_all((0..many).map(log)).await;
    let mut export = world.authority.export_audit().await.unwrap();
    let (mut pieces, mut largest, mut bytes) = (0, 0, Vec::new());
    while let Some(piece) = export.next().await.unwrap() {
        pieces += 1;
        largest = largest.max(piece.len());
        bytes.extend(piece);
    }
    assert!(
        pieces > 6 && largest < 500 * 1000,
        "{pieces} of at most {largest}"
    );
    let chain = world.authority.genesis_chain().await.unwrap();
    assert_eq!(
        verify_export(&bytes[..], &chain).unwrap().records,
        u64::from(many)
    );
}

#[tokio::test]
async fn a_follower_hears_of_every_record_in_order() {
    let world = world(1000).await;
    let mut follower = world.authority.follow_audit(Sequence::default());
    let log = async |object: u32| {
        let entry = Entry::new(Event::BackupMade, &Actor::System, object);
        world.authority.log(entry).await.unwrap();
    };
    log(1).await;
    log(2).await;
    let mut heard = Vec::new();
    for _ in 0..2 {
        heard.push(follower.next().await.unwrap().record.sequence.value());
    }
    let (next, ()) = tokio::join!(follower.next(), log(3));
    heard.push(next.unwrap().record.sequence.value());
    assert_eq!(heard, [1, 2, 3]);
    let resumed = world
        .authority
        .follow_audit(Sequence::new(2).unwrap())
        .next()
        .await;
    assert_eq!(resumed.unwrap().record.sequence.value(), 3);
}

#[tokio::test]
async fn a_restored_log_goes_on_past_all_that_was_lost() {
    let world = world(2).await;
    for event in [Event::Started, Event::Restored, Event::Started] {
        let entry = Entry::new(event, &Actor::System, "authority");
        world.authority.log(entry).await.unwrap();
    }
    let sequences: Vec<_> = records(&world.authority).await;
    let sequences: Vec<_> = sequences
        .iter()
        .map(|one| one.record.sequence.value())
        .collect();
    let restored = START.as_millis();
    assert_eq!(sequences, [1, restored, restored + 1]);
    assert_eq!(verify(&world).await.unwrap().records, 3);
    let chain = world.authority.genesis_chain().await.unwrap();
    assert!(verify_export(&export(&world.authority).await[..], &chain).is_ok());
}

#[tokio::test]
async fn another_authoritys_log_is_not_this_ones() {
    let world = world(1000).await;
    world.invite(1).await;
    let bytes = export(&world.authority).await;
    let (root, _, mut genesis) = support::genesis("10.211.0.0/16");
    genesis.network = NetworkId::from_bytes([77; 16]);
    let other = Signed::sign(&genesis, &[&root]).unwrap();
    let Err(AuditCheckError::Unsound(error)) = verify_export(&bytes[..], &[other]) else {
        panic!("a foreign log was taken");
    };
    assert!(matches!(error.fault, Fault::Checkpoint(_)), "{error}");
}

#[tokio::test]
async fn a_log_of_which_the_stored_bytes_are_no_record_is_an_error() {
    let world = world(1000).await;
    world.invite(1).await;
    let path = world.dir.path().join("authority.db");
    let mut connection = open(&path).await;
    let bytes = b"{}".to_vec();
    sqlx::query("INSERT INTO audit (sequence, at, event, record, hash) VALUES (2, 0, 'x', $1, $2)")
        .bind(&bytes)
        .bind(Record::hash(&bytes).as_bytes().to_vec())
        .execute(&mut connection)
        .await
        .unwrap();
    assert!(
        world
            .authority
            .audit(Sequence::default(), None)
            .await
            .is_err()
    );
    let store = Store::open(&Location::File(path), world.clock.clone())
        .await
        .unwrap();
    let chain = world.authority.genesis_chain().await.unwrap();
    let Err(AuditCheckError::Unsound(error)) = verify_log(&store, &chain).await else {
        panic!("it was taken");
    };
    assert_eq!(error.record.value(), 2);
}
