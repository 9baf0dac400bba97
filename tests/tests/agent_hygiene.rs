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
