//! A node's life: up, down, crashes, other daemons, pages, and leaving without a trace.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use getrandom::SysRng;
use rand_core::TryRng as _;
use tidegate_tests::overlay::{Node, Overlay, PATIENCE, Pings, Underlay};
use tidegate_tests::wait_until;

/// Five times the three seconds within which traffic has to resume.
const RESUME: Duration = Duration::from_secs(15);
const SOON: Duration = Duration::from_secs(15);

/// What a person could compare of a host's network; the routing cache, counters and what the kernel draws at random are no
/// part of it.
fn look(node: &Node) -> String {
    node.host()
        .sh(
            "{ ip -o addr show; ip route show table all; ip rule; ip -6 rule; nft list ruleset; } \
             | sed 's/^[0-9]*: //; s/valid_lft.*//; /fe80:.*tidegate/d; /tidegate.*fe80:/d'",
        )
        .unwrap()
}

#[test]
fn down_and_leave_undo_everything_and_a_crash_is_repaired() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let a = overlay.node("a").unwrap();
    let mut b = overlay.host("b").unwrap();
    let before = look(&b);
    b.join(&overlay.invite().unwrap()).unwrap();
    assert_eq!(look(&b), before, "joining alone changes nothing");
    b.start().unwrap();
    b.await_ping(&a).unwrap();
    let address = a.address(0).unwrap();

    b.cli(["down"]).unwrap();
    wait_until(SOON, "the host to be as before", || look(&b) == before).unwrap();
    assert_eq!(b.try_cli(["status"]).unwrap().code, Some(16));
    b.cli(["up"]).unwrap();
    b.await_ping(&a).unwrap();

    survives_crashes(&mut b, &address);
    b.stop().unwrap();
    let routes = b.host().sh("ip route").unwrap();
    assert!(routes.contains("unreachable 10.211.0.0/16"), "{routes}");
    assert!(!b.pings(&address));
    b.start().unwrap();
    b.await_ping(&a).unwrap();
    let state = b.state();
    b.cli(["leave"]).unwrap();
    assert_eq!(look(&b), before, "leaving leaves nothing on the host");
    let left: Vec<_> = std::fs::read_dir(&state)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["lock"], "no key and no document is left");
}

/// Killed again and again amid traffic, it takes up what it left on the host, and the traffic resumes.
fn survives_crashes(b: &mut Node, address: &str) {
    b.await_settled(SOON).unwrap();
    let up = look(b);
    for round in 0..5 {
        let traffic = Pings::start(b.host(), address, "0.01").unwrap();
        // Sooner or later after the start, so that not always the same is going on.
        let moment = 1 + SysRng.try_next_u32().unwrap() as usize % 100;
        let amid = || traffic.answered() >= moment;
        wait_until(SOON, "traffic", amid).unwrap();
        b.kill();
        let routes = b.host().sh("ip route").unwrap();
        assert!(routes.contains("unreachable 10.211.0.0/16"), "{routes}");
        let start = Instant::now();
        b.start().unwrap();
        wait_until(RESUME, "traffic to resume", || b.pings(address)).unwrap();
        println!(
            "{round}: killed after {moment} answers, resumed {:?} after the start",
            start.elapsed()
        );
        wait_until(SOON, "the network to be as it was", || look(b) == up)
            .unwrap_or_else(|error| panic!("{error}\n{up}\n{}", look(b)));
    }
}

#[test]
fn leaving_works_where_the_daemon_has_crashed() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let a = overlay.node("a").unwrap();
    let mut b = overlay.host("b").unwrap();
    let before = look(&b);
    b.join(&overlay.invite().unwrap()).unwrap();
    b.start().unwrap();
    b.await_ping(&a).unwrap();
    b.kill();
    let state = b.state();
    let arguments = ["leave", "--state-dir", state.to_str().unwrap()];
    b.cli(arguments).unwrap();
    assert_eq!(look(&b), before);
}

#[test]
fn the_daemon_has_one_capability_and_there_is_one_daemon() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let a = overlay.node("a").unwrap();
    a.await_state("up", SOON).unwrap();
    let process = a.daemon().unwrap().id();
    for task in std::fs::read_dir(format!("/proc/{process}/task")).unwrap() {
        let path = task.unwrap().path().join("status");
        let status = std::fs::read_to_string(&path).unwrap();
        for set in ["CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"] {
            let line = format!("{set}:\t0000000000001000");
            assert!(status.contains(&line), "{}: {status}", path.display());
        }
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    }

    let (state, config, socket) = (a.state(), a.config(), a.socket());
    let run = |state: &str, socket: &str| {
        let config = config.to_str().unwrap();
        let arguments = [
            "run",
            "--config",
            config,
            "--state-dir",
            state,
            "--socket",
            socket,
        ];
        a.try_run(arguments).unwrap()
    };
    let second = run(state.to_str().unwrap(), "/run/other.sock");
    assert_eq!(second.code, Some(7), "{second:?}");
    assert!(
        second.err.contains("in use by another tidegate process"),
        "{second:?}"
    );
    // Another state directory does not help: interface and socket are taken.
    let copy = overlay.folder().join("copy");
    let made = format!("cp -a {} {}", state.display(), copy.display());
    a.host().sh(&made).unwrap();
    let third = run(copy.to_str().unwrap(), socket.to_str().unwrap());
    assert_eq!(third.code, Some(7), "{third:?}");
    assert_eq!(
        a.status().unwrap()["state"],
        "up",
        "the first is not disturbed"
    );
}

#[test]
fn pages_metrics_names_and_reports_tell_and_hold_no_secret() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let config = "dns = true\nmetrics = \"127.0.0.1:9477\"\n";
    let a = overlay.node_with("a", config).unwrap();
    let b = overlay.node("b").unwrap();
    a.await_ping(&b).unwrap();
    let address = b.address(0).unwrap();

    pages_tell(&a, &address);
    metrics_and_health_tell(&a);
    names_are_answered(&a, &address);
    a.cli(["log", "debug"]).unwrap();
    assert_eq!(a.try_cli(["log", ""]).unwrap().code, Some(2));
    a.cli(["reload"]).unwrap();
    no_secret(&a);
}

fn pages_tell(a: &Node, peer: &str) {
    let status = a.cli(["status"]).unwrap();
    assert!(status.starts_with("up: a in demo"), "{status}");
    assert!(status.contains(peer), "{status}");
    for page in ["peers", "routes", "epoch", "cert", "netcheck", "doctor"] {
        let text = a.try_cli([page]).unwrap();
        assert!(!text.out.is_empty(), "{page}: {text:?}");
        let json = a.try_cli([page, "--json"]).unwrap();
        serde_json::from_str::<serde_json::Value>(&json.out).unwrap();
    }
    assert!(a.cli(["whois", peer]).unwrap().contains("b"));
    assert_eq!(a.try_cli(["whois", "192.0.2.1"]).unwrap().code, Some(1));
}

fn metrics_and_health_tell(a: &Node) {
    let fetch = |page: &str| {
        let url = format!("http://127.0.0.1:9477/{page}");
        a.host().run("curl", ["-s", &url]).unwrap()
    };
    let metrics = fetch("metrics");
    let types = metrics.lines().filter(|line| line.starts_with("# TYPE"));
    assert!(types.count() >= 30, "{metrics}");
    assert!(
        metrics.contains("tidegate_state{state=\"up\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("tidegate_peers 1"), "{metrics}");
    let health: serde_json::Value = serde_json::from_str(&fetch("health")).unwrap();
    assert!(health["checks"].as_array().unwrap().len() >= 6);
}

fn names_are_answered(a: &Node, address: &str) {
    let own = a.address(0).unwrap();
    let server = format!("@{own}");
    let dig = |words: &[&str]| {
        let arguments = ["-p", "5300", &server, "+time=2", "+tries=1"];
        a.host().run("dig", arguments.iter().chain(words)).unwrap()
    };
    // The addresses come to the interface first, the resolver to the addresses after.
    wait_until(PATIENCE, "the resolver to answer", || {
        let status = a.status().unwrap();
        let line = status["dns"].as_str().unwrap_or_default();
        line.starts_with("nobody asks")
    })
    .unwrap();
    assert_eq!(dig(&["+short", "b.demo.internal"]).trim(), address);
    assert_eq!(dig(&["+short", "+tcp", "b.demo.internal"]).trim(), address);
    assert_eq!(dig(&["+short", "-x", address]).trim(), "b.demo.internal.");
    assert!(dig(&["example.org"]).contains("REFUSED"));
    assert!(dig(&["nobody.demo.internal"]).contains("NXDOMAIN"));
}

/// Nothing that a key file holds is in a report, in any spelling that such a file has.
fn no_secret(node: &Node) {
    let report = node.cli(["bugreport"]).unwrap();
    assert!(
        report.contains("\"status\"") && report.contains("tidegate_state"),
        "{report}"
    );
    let daemon = node.daemon().unwrap().output();
    for file in ["identity.key", "keys", "grants"] {
        let text = std::fs::read_to_string(node.state().join(file)).unwrap();
        let words = text
            .split(|c: char| !(c.is_ascii_alphanumeric() || "+/_-".contains(c)))
            .filter(|word| word.len() >= 40);
        let mut count = 0;
        for word in words {
            assert!(!report.contains(word), "{file} is in the report");
            assert!(!daemon.contains(word), "{file} is in the log");
            count += 1;
        }
        assert!(count > 0, "{file} holds nothing that could be looked for");
    }
}
