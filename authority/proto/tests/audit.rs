//! The check of an audit export: whatever is changed, dropped, moved, repeated, cut off or added is found.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod fixtures;

use fixtures::log::Log;
use fixtures::{NOW, Network};
use proptest::prelude::*;
use tidegate_proto::audit::{AuditError, Fault, Record, Summary, Verifier};
use tidegate_proto::*;

fn verify(network: &Network, export: &[u8]) -> Result<Summary, AuditError> {
    let mut verifier = Verifier::of_export(&[network.signed_genesis()]).unwrap();
    verifier.push(export)?;
    verifier.finish()
}

fn lines(export: &[u8]) -> Vec<Vec<u8>> {
    export
        .split_inclusive(|&byte| byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}

fn refused(network: &Network, export: &[u8]) -> (u64, Fault) {
    let error = verify(network, export).unwrap_err();
    (error.record.value(), error.fault)
}

#[test]
fn a_sound_export_is_found_sound_however_its_bytes_come() {
    let network = Network::new();
    let export = Log::of(&network, 20).export(&[5, 15]);
    let summary = verify(&network, &export).unwrap();
    let found = (
        summary.records,
        summary.last.value(),
        summary.covered.value(),
    );
    assert_eq!((found, summary.checkpoints), ((20, 20, 20), 3));
    for piece in [1, 7, 1000] {
        let mut verifier = Verifier::of_export(&[network.signed_genesis()]).unwrap();
        for bytes in export.chunks(piece) {
            verifier.push(bytes).unwrap();
        }
        assert_eq!(verifier.finish(), Ok(summary));
    }
}

#[test]
fn any_flipped_bit_of_any_byte_is_found() {
    let network = Network::new();
    let export = Log::of(&network, 4).export(&[2]);
    for at in 0..export.len() {
        for bit in 0..8 {
            let mut other = export.clone();
            other[at] ^= 1 << bit;
            assert!(verify(&network, &other).is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn the_first_bad_record_is_named() {
    let network = Network::new();
    let export = Log::of(&network, 9).export(&[]);
    for record in 1..=9 {
        let mut changed = lines(&export);
        let at = changed[record].len() / 2;
        changed[record][at] ^= 1;
        let (named, fault) = refused(&network, &changed.concat());
        assert_eq!((named, fault), (record as u64, Fault::Hash));
    }
}

#[test]
fn a_record_that_is_dropped_moved_or_repeated_is_found() {
    let network = Network::new();
    let export = Log::of(&network, 9).export(&[4]);
    let lines = lines(&export); // in front a checkpoint, and one behind record 4
    for at in 1..lines.len() {
        let mut repeated = lines.clone();
        repeated.insert(at, lines[at].clone());
        assert!(
            verify(&network, &repeated.concat()).is_err(),
            "repeated {at}"
        );
        for other in (1..lines.len()).filter(|&other| other != at) {
            let mut moved = lines.clone();
            moved.swap(at, other);
            assert!(
                verify(&network, &moved.concat()).is_err(),
                "{at} and {other}"
            );
        }
    }
    for record in 1..=8 {
        let mut dropped = lines.clone();
        dropped.remove(if record <= 4 { record } else { record + 1 });
        let (named, fault) = refused(&network, &dropped.concat());
        if record != 4 {
            let next = Sequence::new(record as u64 + 1).unwrap();
            assert_eq!((named, fault), (record as u64, Fault::Sequence(next)));
        }
    }
}

#[test]
fn an_export_that_is_cut_anywhere_is_found() {
    let network = Network::new();
    let export = Log::of(&network, 6).export(&[3]);
    for length in 0..export.len() {
        assert!(
            verify(&network, &export[..length]).is_err(),
            "{length} bytes"
        );
    }
    let whole = lines(&export);
    let (named, fault) = refused(&network, &whole[..whole.len() - 2].concat());
    assert_eq!(
        (named, fault),
        (5, Fault::Truncated(Sequence::new(6).unwrap()))
    );
}

#[test]
fn a_record_that_is_added_is_found() {
    let network = Network::new();
    let log = Log::of(&network, 7);
    let (shorter, longer) = (log.upto(6).export(&[]), log.export(&[]));
    let added = [&shorter[..], lines(&longer).last().unwrap()].concat();
    assert_eq!(refused(&network, &added), (7, Fault::Appended));
}

#[test]
fn a_log_that_was_rewritten_from_its_start_is_found() {
    let network = Network::new();
    let export = Log::of(&network, 5).export(&[]);
    let forged = Log::by(&network, 5, "operator:mallory").export(&[]);
    let mixed = [&lines(&export)[..1], &lines(&forged)[1..]]
        .concat()
        .concat();
    assert_eq!(refused(&network, &mixed), (5, Fault::Head));
}

#[test]
fn only_the_authority_signs_checkpoints() {
    let network = Network::new();
    let log = Log::of(&network, 3);
    let other = Network {
        authority: fixtures::signing(77),
        ..Network::new()
    };
    let front = log.signed_by(&other.authority, 3);
    let export = [front, lines(&log.export(&[]))[1..].concat()].concat();
    let (named, fault) = refused(&network, &export);
    assert!(
        matches!((named, &fault), (1, Fault::Checkpoint(_))),
        "{fault}"
    );
    let bare = lines(&log.export(&[]))[1..].concat();
    assert_eq!(refused(&network, &bare), (1, Fault::NoCheckpoint));
    assert_eq!(refused(&network, b""), (1, Fault::NoCheckpoint));
}

#[test]
fn another_networks_log_does_not_chain_to_this_one() {
    let network = Network::new();
    let mut other = Network::new();
    other.genesis.network = NetworkId::from_bytes([42; 16]);
    let front = lines(&Log::of(&network, 1).export(&[])).remove(0);
    let foreign = lines(&Log::of(&other, 1).export(&[])).remove(1);
    assert_eq!(
        refused(&network, &[front, foreign].concat()),
        (1, Fault::Chain)
    );
}

#[test]
fn only_a_restored_log_skips_sequences() {
    let network = Network::new();
    let mut log = Log::of(&network, 3);
    log.append_at(NOW, Record::RESTORED);
    log.append_at(NOW, "node.revoked");
    let summary = verify(&network, &log.export(&[])).unwrap();
    assert_eq!(summary.records, 5);
    assert_eq!(summary.last.value(), NOW.as_millis() + 1);

    let mut skipping = Log::of(&network, 3);
    skipping.skip(10, "node.revoked");
    let fault = refused(&network, &skipping.export(&[]));
    assert_eq!(fault, (4, Fault::Sequence(Sequence::new(14).unwrap())));
}

#[test]
fn a_checkpoint_counts_by_the_keys_of_its_own_revision() {
    let network = Network::new();
    let fresh = fixtures::signing(88);
    let next = fixtures::successor(&network, &fresh);
    let mut log = Log::of(&network, 4);
    let old = log.checkpoint_line(2);
    log.revision = Revision::new(2).unwrap();
    log.authority = fresh;
    let export = log.export(&[]);
    let mut all = lines(&export);
    all.insert(3, old);
    let chain = [network.signed_genesis(), next];
    let mut verifier = Verifier::of_export(&chain).unwrap();
    verifier.push(&all.concat()).unwrap();
    assert_eq!(verifier.finish().unwrap().revision.value(), 2);
    // Whoever knows the first revision only cannot tell.
    assert!(verify(&network, &all.concat()).is_err());
}

#[test]
fn the_log_itself_may_end_behind_its_last_checkpoint() {
    let network = Network::new();
    let log = Log::of(&network, 5);
    let mut verifier = Verifier::of_log(&[network.signed_genesis()]).unwrap();
    for (index, (bytes, hash)) in log.records.iter().enumerate() {
        verifier.record(bytes, *hash).unwrap();
        if index == 2 {
            verifier.checkpoint(&log.checkpoint(3)).unwrap();
            assert!(matches!(
                verifier
                    .checkpoint(&log.checkpoint(3))
                    .map_err(|error| error.fault),
                Err(Fault::Misplaced(_))
            ));
        }
    }
    let summary = verifier.finish().unwrap();
    assert_eq!((summary.last.value(), summary.covered.value()), (5, 3));
}

#[test]
fn a_line_without_end_does_not_fill_the_memory() {
    let network = Network::new();
    let mut verifier = Verifier::of_export(&[network.signed_genesis()]).unwrap();
    let refusal = (0..100).find_map(|_| verifier.push(&[b'x'; 1000]).err());
    assert_eq!(refusal.unwrap().fault, Fault::TooLong);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_change_of_some_bytes_is_found(at in 0_usize..10_000, bytes in prop::collection::vec(any::<u8>(), 0..6), removed in 0_usize..6) {
        let network = Network::new();
        let export = Log::of(&network, 6).export(&[3]);
        let at = at % export.len();
        let end = (at + removed).min(export.len());
        let other = [&export[..at], &bytes, &export[end..]].concat();
        prop_assume!(other != export);
        prop_assert!(verify(&network, &other).is_err());
    }
}
