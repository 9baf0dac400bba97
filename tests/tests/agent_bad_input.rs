//! Invites that are wrong in ways that only the authority or the network can tell, and disks that are full.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use tidegate_proto::Invite;
use tidegate_tests::overlay::{Ended, Node, Overlay, Underlay};
use tidegate_tests::wait_until;

const SOON: Duration = Duration::from_secs(30);

/// It ended with this code, one line says these words, and there is no state.
fn refused(node: &Node, ended: &Ended, code: i32, words: &str) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert!(ended.err.contains(words), "{words:?} in {ended:?}");
    assert_eq!(ended.err.trim_end().lines().count(), 1, "{ended:?}");
    assert!(!node.state().exists(), "a partial state is left");
    println!("{code}: {}", ended.err.trim_end());
}

#[test]
fn an_invite_that_has_expired_or_leads_elsewhere_leaves_nothing() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let a = overlay.host("a").unwrap();
    let expired = overlay.invite_with(&["--expires", "1s"]).unwrap();
    wait_until(SOON, "the invite to end", || {
        let list = overlay.admin(["invite", "list"]).unwrap();
        list.contains("expired")
    })
    .unwrap();
    refused(&a, &a.try_join(&expired).unwrap(), 3, "invite");

    let other = Overlay::new(Underlay::V4).unwrap();
    let ours: Invite = overlay.invite().unwrap().parse().unwrap();
    let theirs: Invite = other.invite().unwrap().parse().unwrap();
    let foreign = Invite {
        genesis: theirs.genesis,
        ..ours
    };
    refused(&a, &a.try_join(&foreign.expose()).unwrap(), 17, "genesis");
    // None of these has used anything up or taken a name.
    a.join(&overlay.invite().unwrap()).unwrap();
}

#[test]
fn an_authority_that_is_away_leaves_nothing_whichever_way_one_joins() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let a = overlay.host("a").unwrap();
    overlay.kill_authority();
    let (genesis, state) = (overlay.dir().join("genesis/genesis-1.json"), a.state());
    let asked = a
        .try_run([
            "join",
            "--genesis",
            genesis.to_str().unwrap(),
            "--name",
            "a",
            "--no-start",
            "--state-dir",
            state.to_str().unwrap(),
        ])
        .unwrap();
    refused(&a, &asked, 4, "cannot be reached");
}

/// Has the state directory be a file system of its own.
fn mount(node: &Node, kilobytes: u32) {
    let state = node.state();
    let state = state.display();
    node.host()
        .sh(&format!(
            "mkdir -p {state} && mount -t tmpfs -o size={kilobytes}k,mode=700 none {state}"
        ))
        .unwrap();
}

fn in_state(node: &Node, line: &str) -> String {
    let state = node.state();
    node.host()
        .sh(&format!("cd {} && {line}", state.display()))
        .unwrap()
}

#[test]
fn a_disk_that_fills_up_at_any_point_of_a_join_leaves_all_or_nothing() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let (mut nothing, mut unfinished, mut whole) = (0, 0, 0);
    for pages in 1..=16 {
        let mut node = overlay.host(&format!("n{pages}")).unwrap();
        mount(&node, pages * 4);
        let ended = node.try_join(&overlay.invite().unwrap()).unwrap();
        let left = in_state(&node, "ls -A");
        if ended.code == Some(0) {
            whole += 1;
            continue;
        }
        assert_eq!(ended.code, Some(10), "{ended:?}");
        assert!(ended.err.contains("make room"), "{ended:?}");
        in_state(&node, "mount -o remount,size=1m .");
        if left.contains("pending") {
            assert!(ended.err.contains("run: tidegate run"), "{ended:?}");
            node.start().unwrap();
            unfinished += 1;
        } else {
            assert!(left.is_empty() || left == "lock\n", "{pages} pages: {left}");
            node.join(&overlay.invite().unwrap()).unwrap();
            nothing += 1;
        }
    }
    println!("nothing left {nothing}, gone on with {unfinished}, whole {whole}");
    assert!(nothing > 0 && unfinished > 0 && whole > 0);
}

#[test]
fn a_node_whose_disk_is_full_still_cuts_off_and_confirms_nothing_before_it_is_written() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let mut a = overlay.host("a").unwrap();
    mount(&a, 1024);
    a.join(&overlay.invite().unwrap()).unwrap();
    a.start().unwrap();
    let b = overlay.node("b").unwrap();
    b.await_ping(&a).unwrap();
    wait_until(SOON, "the receipt", || {
        a.status().unwrap()["list"]["confirmed"] == true
    })
    .unwrap();
    in_state(&a, "dd if=/dev/zero of=filler bs=4k 2>/dev/null || true");

    overlay.admin(["revoke", "b", "--reason", "lost"]).unwrap();
    wait_until(SOON, "the peer to be gone", || {
        a.status().unwrap()["peers"].as_array().unwrap().is_empty()
    })
    .unwrap();
    wait_until(SOON, "the disk to be reported", || {
        a.try_cli(["doctor"]).unwrap().out.contains("disk is full")
    })
    .unwrap();
    let list = a.status().unwrap()["list"].clone();
    assert!(
        list["stored"] == false && list["confirmed"] == false,
        "{list}"
    );
    let log = a.daemon().unwrap().output();
    assert!(log.contains("could not be written"), "{log}");
    let up = a.try_cli(["up"]).unwrap();
    assert_eq!(up.code, Some(10), "a wish that is not kept: {up:?}");
    assert!(up.err.contains("disk is full"), "{up:?}");

    in_state(&a, "rm filler");
    wait_until(SOON, "the receipt", || {
        let list = a.status().unwrap()["list"].clone();
        list["stored"] == true && list["confirmed"] == true
    })
    .unwrap();
}
