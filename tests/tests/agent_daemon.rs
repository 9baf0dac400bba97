//! What a host's owner has of the daemon: settings that are read again, a log for programs, who may speak to it, and what it
//! says when its port is taken.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::UdpSocket;
use std::time::Duration;

use serde_json::Value;
use tidegate_tests::overlay::{Ended, Node, Overlay, PATIENCE, Underlay};
use tidegate_tests::{Process, Signal, binary, wait_until};

const SOON: Duration = Duration::from_secs(30);

fn mtu(node: &Node) -> String {
    let link = node.host().sh("ip -o link show tidegate").unwrap();
    let mut words = link.split(' ').skip_while(|word| *word != "mtu");
    words.nth(1).unwrap().to_owned()
}

fn await_mtu(node: &Node, wanted: &str) {
    wait_until(SOON, "the other MTU", || mtu(node) == wanted).unwrap();
}

#[test]
fn settings_are_read_again_on_a_signal_and_a_bad_file_changes_nothing() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let a = overlay.node_with("a", "mtu = 1400\n").unwrap();
    let daemon = a.daemon().unwrap();
    let hang_up = || daemon.signal(Signal::SIGHUP).unwrap();
    a.await_state("up", SOON).unwrap();
    await_mtu(&a, "1400");

    a.configure("mtu = 1380\n").unwrap();
    hang_up();
    await_mtu(&a, "1380");

    a.configure("mtu = 1300\ncolour = \"red\"\n").unwrap();
    let place = format!("{}:2: ", a.config().display());
    hang_up();
    daemon.wait_for_output(SOON, &place).unwrap();
    let refused = a.try_cli(["reload"]).unwrap();
    assert_eq!(refused.code, Some(18), "{refused:?}");
    assert!(refused.err.contains(&place), "{refused:?}");
    assert_eq!(a.status().unwrap()["state"], "up");
    assert_eq!(mtu(&a), "1380", "nothing of the file was applied");

    a.configure("mtu = 1300\n").unwrap();
    a.cli(["reload"]).unwrap();
    await_mtu(&a, "1300");
    assert!(daemon.is_running());
}

#[test]
fn every_line_of_the_log_is_json_with_time_level_and_message() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let a = overlay.node_with("a", "log = \"debug\"\n").unwrap();
    let b = overlay.node("b").unwrap();
    a.await_ping(&b).unwrap();
    a.configure("colour = \"a \\\"quoted\\\" red\"\n").unwrap();
    assert_eq!(a.try_cli(["reload"]).unwrap().code, Some(18));
    overlay.admin(["revoke", "a", "--reason", "lost"]).unwrap();
    a.await_state("revoked", SOON).unwrap();

    let log = a.daemon().unwrap().output();
    let mut levels = std::collections::BTreeSet::new();
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| {
            panic!("{error}: {line}");
        });
        for field in ["timestamp", "level", "message"] {
            assert!(event[field].is_string(), "{field}: {line}");
        }
        levels.insert(event["level"].as_str().unwrap().to_owned());
    }
    for level in ["DEBUG", "INFO", "ERROR"] {
        assert!(levels.contains(level), "{level} is not in {levels:?}");
    }
}

/// Starts the daemon at its usual socket, which others may get to, and puts the program where others may run it.
fn start_for_others(node: &Node) -> Process {
    let program = binary("tidegate").unwrap();
    let made = format!("cp {} /run/program", program.display());
    node.host().sh(&made).unwrap();
    let (config, state) = (node.config(), node.state());
    let arguments = [
        "run",
        "--config",
        config.to_str().unwrap(),
        "--state-dir",
        state.to_str().unwrap(),
    ];
    node.host().spawn(program, arguments).unwrap()
}

/// Runs the program as a user without any right, in this group alone.
fn as_nobody(node: &Node, group: &str, command: &str) -> Ended {
    let arguments = ["--reuid", "65534", "--regid", group, "--clear-groups"];
    let output = node
        .host()
        .command("setpriv")
        .args(arguments)
        .args(["/run/program", command])
        .output()
        .unwrap();
    Ended {
        code: output.status.code(),
        out: output.text(),
        err: output.stderr,
    }
}

#[test]
fn the_group_may_look_and_change_nothing_and_a_stranger_may_not_even_look() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let a = overlay.host("a").unwrap();
    let (group, stranger) = ("64999", "64998");
    let line = format!("sed -i /^tidegate:/d /etc/group; echo tidegate:x:{group}: >> /etc/group");
    a.host().sh(&line).unwrap();
    a.configure("").unwrap();
    a.join(&overlay.invite().unwrap()).unwrap();
    let _daemon = start_for_others(&a);
    let status = || a.host().run("/run/program", ["status"]);
    wait_until(SOON, "data to flow", || status().is_ok()).unwrap();

    for look in ["status", "peers"] {
        let looked = as_nobody(&a, group, look);
        assert_eq!(looked.code, Some(0), "{looked:?}");
        let refused = as_nobody(&a, stranger, look);
        assert_eq!(refused.code, Some(8), "{refused:?}");
        assert!(refused.err.contains("group tidegate"), "{refused:?}");
        assert_eq!(refused.out, "");
    }
    for change in ["down", "reload", "leave"] {
        let refused = as_nobody(&a, group, change);
        assert_eq!(refused.code, Some(8), "{refused:?}");
        assert!(refused.err.contains("only root"), "{refused:?}");
        assert_eq!(as_nobody(&a, stranger, change).code, Some(8));
    }
    status().unwrap();
    a.host().run("/run/program", ["down"]).unwrap();
}

#[test]
fn a_port_that_is_taken_is_said_and_once_it_is_free_data_flows_by_itself() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let mut a = overlay.host("a").unwrap();
    a.join(&overlay.invite().unwrap()).unwrap();
    let bound = a.host().enter(|| UdpSocket::bind("0.0.0.0:51820"));
    let taken = bound.unwrap().unwrap();
    a.start().unwrap();
    wait_until(SOON, "the reason", || {
        let status = a.try_cli(["status"]).unwrap();
        status.code == Some(1) && status.err.contains("51820: Address already in use")
    })
    .unwrap();
    let status = a.status().unwrap();
    assert_eq!(status["state"], "waiting", "{status}");
    let found = a.try_cli(["doctor"]).unwrap().out;
    assert!(found.contains("UDP port 51820 cannot be had"), "{found}");
    assert!(
        found.contains("data-plane: the data plane does not run"),
        "{found}"
    );

    drop(taken);
    a.await_state("up", 2 * PATIENCE).unwrap();
    let found = a.try_cli(["doctor"]).unwrap().out;
    assert!(found.contains("the daemon has UDP port 51820"), "{found}");
}
