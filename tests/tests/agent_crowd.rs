//! Fifty nodes on one machine.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use tidegate_tests::crowd::Crowd;

const NODES: usize = 50;
/// Five times the second in which everybody is promised to have cut a node off.
const CUT_OFF: Duration = Duration::from_secs(5);

#[test]
fn fifty_nodes_reach_each_other_and_all_cut_off_one() {
    let mut crowd = Crowd::new(NODES).unwrap();
    crowd.joined.sort_unstable();
    println!(
        "joined: median {:?}, slowest {:?}",
        crowd.joined[NODES / 2],
        crowd.joined[NODES - 1]
    );
    assert_eq!(
        Crowd::pairs(&crowd.nodes).unwrap(),
        NODES * (NODES - 1),
        "not everybody reaches everybody"
    );

    let mut cut = crowd.revoke_last().unwrap();
    cut.last_answers.sort_unstable();
    assert_eq!(cut.last_answers.len(), NODES - 1);
    println!(
        "cut off by all {} after {:?} (median {:?}); acknowledged after {:?}, gone from all tables after {:?}",
        NODES - 1,
        cut.last_answers[NODES - 2],
        cut.last_answers[NODES / 2],
        cut.ordered,
        cut.gone
    );
    assert!(cut.last_answers[NODES - 2] <= CUT_OFF);

    let others = (NODES - 1) * (NODES - 2);
    assert_eq!(
        Crowd::pairs(&crowd.nodes).unwrap(),
        others,
        "a revocation has cut off somebody else"
    );
}
