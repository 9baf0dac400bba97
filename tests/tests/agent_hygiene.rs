//! What is left when a daemon has ended, and what is said when it cannot begin.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use tidegate_tests::overlay::{Node, Overlay, Underlay};
use tidegate_tests::wait_until;

const SOON: Duration = Duration::from_secs(20);

fn sockets(node: &Node) -> String {
    let list = "mkdir -p /run/wireguard; ls /run/wireguard";
    node.host().sh(list).unwrap().trim().to_owned()
}

#[test]
fn a_stopped_daemon_leaves_no_socket_and_a_second_leave_says_so() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let mut node = overlay.node("a").unwrap();
    for _ in 0..5 {
        wait_until(SOON, "the socket for `wg show`", || {
            sockets(&node) == "tidegate.sock"
        })
        .unwrap();
        node.stop().unwrap();
        assert_eq!(sockets(&node), "");
        assert!(!node.socket().exists());
        node.start().unwrap();
    }
    node.stop().unwrap();
    let state = node.state();
    let leave = || {
        let arguments = ["leave", "--state-dir", state.to_str().unwrap()];
        node.try_cli(arguments).unwrap()
    };
    assert_eq!(leave().code, Some(0));
    let again = leave();
    assert_eq!(again.code, Some(6), "{again:?}");
}

/// As under systemd, where the directory belongs to the service's user. That one may be up to no good.
#[test]
fn root_works_in_another_users_directory_as_that_user() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let a = overlay.node("a").unwrap();
    let mut b = overlay.host("b").unwrap();
    let (state, folder) = (b.state(), overlay.folder().to_owned());
    let own = b.socket().parent().unwrap().to_owned();
    let (state, own) = (state.display(), own.display());
    b.host()
        .sh(&format!(
            "chmod 755 {}; chown 4242:4243 {own}; chmod 755 {own}; install -d -o 4242 -g 4243 -m 700 {state}; \
             ln -s /etc/nologin {state}/pending.new; ln -s /etc/nologin {state}/genesis.new",
            folder.display()
        ))
        .unwrap();
    let owners = |b: &Node| {
        let find = format!(
            "find {state} -printf '%U:%G\\n' | sort -u; ls /etc/nologin 2>/dev/null || true"
        );
        b.host().sh(&find).unwrap()
    };
    b.join(&overlay.invite().unwrap()).unwrap();
    assert_eq!(owners(&b), "4242:4243\n");

    // With the mode that udev gives it: this machine's may be closed to all but root.
    let tun = format!("mknod --mode=666 {own}/tun c 10 200; mount --bind {own}/tun /dev/net/tun");
    b.host().sh(&tun).unwrap();
    b.start().unwrap();
    b.await_ping(&a).unwrap();
    let process = b.daemon().unwrap().id();
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    for line in [
        "Uid:\t4242\t4242\t4242\t4242",
        "Gid:\t4243\t4243\t4243\t4243",
        "Groups:\t4243 ",
        "CapPrm:\t0000000000001000",
        "CapBnd:\t0000000000001000",
    ] {
        assert!(status.contains(line), "{line:?} in {status}");
    }
    b.kill();
    let words = ["leave", "--state-dir", &state.to_string()];
    let left = b.try_cli(words).unwrap();
    assert_eq!(left.code, Some(0), "{left:?}");
    assert_eq!(owners(&b), "4242:4243\n");
    let routes = b.host().sh("ip route show table all").unwrap();
    assert!(!routes.contains("10.211."), "{routes}");
}

#[test]
fn a_wrong_key_in_the_configuration_is_said_with_file_and_line() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let node = overlay.host("a").unwrap();
    node.join(&overlay.invite().unwrap()).unwrap();
    node.configure("port = 7000\ncolour = \"red\"\n").unwrap();
    let (config, state) = (node.config(), node.state());
    let arguments = [
        "run",
        "--config",
        config.to_str().unwrap(),
        "--state-dir",
        state.to_str().unwrap(),
    ];
    let ended = node.try_cli(arguments).unwrap();
    assert_eq!(ended.code, Some(18), "{ended:?}");
    let place = format!("{}:2: ", config.display());
    let said = ended.err.contains(&place) && ended.err.contains("colour");
    assert!(said, "{ended:?}");
}
