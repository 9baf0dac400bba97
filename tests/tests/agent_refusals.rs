//! What cannot be: a sentence that helps, the documented exit code, and nothing left behind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use tidegate_tests::overlay::{Ended, Node, Overlay, Underlay};

/// It ended with this code, one line says these words, and there is no state.
fn refused(node: &Node, ended: &Ended, code: i32, words: &str) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert!(ended.err.contains(words), "{words:?} in {ended:?}");
    assert_eq!(ended.err.trim_end().lines().count(), 1, "{ended:?}");
    assert!(!node.state().exists(), "a partial state is left");
}

#[test]
fn a_join_that_cannot_be_leaves_nothing() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let invite = overlay.invite().unwrap();
    let a = overlay.host("a").unwrap();
    let damaged = a.try_join(&invite[..invite.len() - 3]).unwrap();
    refused(&a, &damaged, 2, "damaged");
    let nonsense = a.try_join("please").unwrap();
    refused(&a, &nonsense, 2, "no invite");

    a.join(&invite).unwrap();
    let again = a.try_join(&overlay.invite().unwrap()).unwrap();
    assert_eq!(again.code, Some(7), "{again:?}");
    assert!(again.err.contains("tidegate leave"), "{again:?}");

    let b = overlay.host("b").unwrap();
    let used = b.try_join(&invite).unwrap();
    refused(&b, &used, 3, "invite");
    let taken = join_as(&b, &overlay.invite().unwrap(), "a");
    refused(&b, &taken, 3, "name");

    let other = Overlay::new(Underlay::V4).unwrap();
    let foreign = b.try_join(&other.invite().unwrap()).unwrap();
    refused(&b, &foreign, 17, "genesis");

    overlay.kill_authority();
    let c = overlay.host("c").unwrap();
    let unreachable = c.try_join(&invite).unwrap();
    refused(&c, &unreachable, 4, "cannot be reached");
}

fn join_as(node: &Node, invite: &str, name: &str) -> Ended {
    let state = node.state();
    let state = state.to_str().unwrap();
    node.try_run([
        "join",
        invite,
        "--name",
        name,
        "--no-start",
        "--state-dir",
        state,
    ])
    .unwrap()
}

#[test]
fn a_daemon_that_cannot_run_says_why() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let a = overlay.host("a").unwrap();
    let run = |arguments: &[&str]| {
        let (state, socket) = (a.state(), a.socket());
        let fixed = [
            "run",
            "--state-dir",
            state.to_str().unwrap(),
            "--socket",
            socket.to_str().unwrap(),
        ];
        a.try_run(fixed.iter().chain(arguments)).unwrap()
    };
    let nobody = run(&[]);
    assert_eq!(nobody.code, Some(6), "{nobody:?}");
    assert!(nobody.err.contains("tidegate join"), "{nobody:?}");
    a.join(&overlay.invite().unwrap()).unwrap();

    a.configure("colour = \"red\"\n").unwrap();
    let config = a.config();
    let unknown = run(&["--config", config.to_str().unwrap()]);
    assert_eq!(unknown.code, Some(18), "{unknown:?}");
    assert!(unknown.err.contains("colour"), "{unknown:?}");

    let state = a.state();
    let without = format!(
        "setpriv --bounding-set -net_admin --inh-caps -net_admin {} run --state-dir {} --socket {}",
        tidegate_tests::binary("tidegate").unwrap().display(),
        state.display(),
        a.socket().display(),
    );
    let output = a
        .host()
        .command("sh")
        .args(["-c", &without])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(8), "{}", output.stderr);
    assert!(output.stderr.contains("CAP_NET_ADMIN"), "{}", output.stderr);

    a.host().sh("ip tuntap add tidegate mode tun").unwrap();
    let taken = run(&[]);
    assert_eq!(taken.code, Some(7), "{taken:?}");
    assert!(taken.err.contains("interface"), "{taken:?}");
    a.host().sh("ip link del tidegate").unwrap();

    std::fs::write(state.join("genesis"), "tidegate genesis 1 nonsense\n{}").unwrap();
    let damaged = run(&[]);
    assert_eq!(damaged.code, Some(10), "{damaged:?}");
    assert!(damaged.err.contains("genesis"), "{damaged:?}");
}

#[test]
fn a_full_disk_leaves_no_half_membership() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let a = overlay.host("a").unwrap();
    // Room for directories, and for hardly anything else.
    let script = format!(
        "mkdir -p /run/small && mount -t tmpfs -o size=4k,mode=700 none /run/small && {} join {} --name a --no-start --state-dir /run/small; code=$?; ls -A /run/small; exit $code",
        tidegate_tests::binary("tidegate").unwrap().display(),
        overlay.invite().unwrap(),
    );
    let output = a
        .host()
        .command("sh")
        .args(["-c", &script])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(10), "{}", output.stderr);
    assert!(output.stderr.contains("make room"), "{}", output.stderr);
    assert!(!output.text().contains("identity.key"), "{}", output.text());
}
