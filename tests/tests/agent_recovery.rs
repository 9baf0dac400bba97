//! An authority is restored from an old backup, and learns from the nodes what happened since.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tidegate_tests::overlay::{Node, Overlay, PATIENCE, Underlay};
use tidegate_tests::wait_until;

/// Nodes ask again at most each four seconds; five times that.
const HEARD: Duration = Duration::from_secs(20);

/// Rose and bert stay in, carl is put out after the backup, and dora joins after it.
struct Scene {
    overlay: Overlay,
    rose: Node,
    bert: Node,
    carl: Node,
    dora: Node,
}

#[test]
fn an_authority_out_of_an_old_backup_learns_what_it_lacks_without_an_override() {
    let mut scene = before_the_loss();
    let carl = what_happens_after_a_backup(&mut scene);
    out_of_the_backup(&mut scene);
    let start = Instant::now();
    recovery_ends(&scene);
    println!("recovered {:?} after the restore", start.elapsed());
    nobody_had_to_override(&scene);
    who_was_put_out_stays_out(&scene, &carl);
    the_others_go_on(&scene);
}

fn before_the_loss() -> Scene {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let (rose, bert, carl) = (
        overlay.node("rose").unwrap(),
        overlay.node("bert").unwrap(),
        overlay.node("carl").unwrap(),
    );
    let dora = overlay.host("dora").unwrap();
    carl.await_ping(&rose).unwrap();
    bert.await_ping(&rose).unwrap();
    Scene {
        overlay,
        rose,
        bert,
        carl,
        dora,
    }
}

fn backup(scene: &Scene) -> [PathBuf; 2] {
    ["backup", "passphrase"].map(|name| scene.overlay.folder().join(name))
}

/// Gives carl's address.
fn what_happens_after_a_backup(scene: &mut Scene) -> String {
    let [file, passphrase] = backup(scene);
    fs::write(&passphrase, "five random words of ours\n").unwrap();
    fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
    scene.overlay.back_up_authority(&file, &passphrase).unwrap();
    let address = scene.carl.address(0).unwrap();
    let lost = ["revoke", "carl", "--reason", "lost"];
    scene.overlay.admin(lost).unwrap();
    scene.carl.await_state("revoked", HEARD).unwrap();
    wait_until(HEARD, "the others to have put carl out", || {
        !scene.rose.pings(&address) && !scene.bert.pings(&address)
    })
    .unwrap();
    let invite = scene.overlay.invite().unwrap();
    scene.dora.join(&invite).unwrap();
    scene.dora.start().unwrap();
    scene.dora.await_ping(&scene.rose).unwrap();
    address
}

fn out_of_the_backup(scene: &mut Scene) {
    let [file, passphrase] = backup(scene);
    scene.overlay.kill_authority();
    scene.overlay.restore_authority(&file, &passphrase).unwrap();
    scene.overlay.start_unready_authority().unwrap();
}

fn recovery_ends(scene: &Scene) {
    let streams = || {
        [&scene.rose, &scene.bert, &scene.dora]
            .iter()
            .all(|node| node.status().unwrap()["authority"]["stream"] == true)
    };
    wait_until(PATIENCE, "every stream to be open again", streams).unwrap();
}

fn nobody_had_to_override(scene: &Scene) {
    let show = scene.overlay.admin(["recovery", "show"]);
    let error = show.unwrap_err().to_string();
    assert!(error.contains("not recovering"), "{error}");
    let log = scene.overlay.admin(["audit", "tail", "-n", "100"]);
    let log = log.unwrap();
    assert!(log.contains("recovery.ended"), "{log}");
    assert!(!log.contains("recovery.overridden"), "{log}");
}

fn who_was_put_out_stays_out(scene: &Scene, address: &str) {
    let node = scene.overlay.admin(["show", "carl"]).unwrap();
    assert!(node.contains("revoked"), "{node}");
    assert_eq!(scene.carl.try_cli(["status"]).unwrap().code, Some(11));
    for node in [&scene.rose, &scene.bert, &scene.dora] {
        assert!(!node.pings(address), "{}", node.host().name());
        let status = node.status().unwrap();
        let peers = status["peers"].as_array().unwrap().clone();
        assert!(peers.iter().all(|peer| peer["name"] != "carl"), "{peers:?}");
    }
}

fn the_others_go_on(scene: &Scene) {
    let nodes = [&scene.rose, &scene.bert, &scene.dora];
    for (node, other) in [(0, 1), (1, 2), (2, 0)] {
        nodes[node].await_ping(nodes[other]).unwrap();
    }
    let epochs = |node: &Node| node.status().unwrap()["epochs"].to_string();
    let before = epochs(&scene.dora);
    let rotated = scene.overlay.admin(["epoch", "rotate"]);
    rotated.unwrap();
    wait_until(HEARD, "a key to the next epoch", || {
        epochs(&scene.dora) != before
    })
    .unwrap();
}
