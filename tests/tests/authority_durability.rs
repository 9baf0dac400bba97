//! An authority that is killed in the middle of everything keeps what it acknowledged.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use tidegate_tests::authority::durability::survive;

#[test]
fn what_was_acknowledged_survives_ten_kills() {
    let kept = survive(10, |kept| println!("{kept:?}")).unwrap();
    assert_eq!(kept.rounds, 10);
    assert!(
        kept.enrolled > 10 && kept.revoked > 10 && kept.epochs > 10,
        "nothing was going on: {kept:?}"
    );
}
