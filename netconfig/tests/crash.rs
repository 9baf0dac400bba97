//! SIGKILL at every step of the journal: the next start leaves the host as it was before, or as wanted.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::env;
use std::path::PathBuf;

use rustix::process::{Signal, getpid, kill_process};
use support::{Bench, desired, open, prefix, wanted, with_exit, with_gateway};
use tidegate_netconfig::desired::RouteKind;
use tidegate_netconfig::{Desired, Family, Host};

const STATE: &str = "TIDEGATE_TEST_STATE";
const DEED: &str = "TIDEGATE_TEST_DEED";
const KILL_AT: &str = "TIDEGATE_TEST_KILL_AT";

/// Everything at once: device, routes, exit and gateway of both families.
fn wish() -> Desired {
    let mut wish = with_gateway(&["192.168.7.0/24", "2001:db8:7::/64"]);
    wish.exit = with_exit(&Family::BOTH).exit;
    wish.routes
        .insert(prefix("10.20.0.0/16"), wanted(RouteKind::Subnet));
    wish
}

/// Not a test of its own but the small program that the others kill: without its variables it does nothing.
#[test]
fn child() {
    let Ok(deed) = env::var(DEED) else { return };
    let mut host = open(&PathBuf::from(env::var(STATE).unwrap())).unwrap();
    let mut left: usize = env::var(KILL_AT).unwrap().parse().unwrap();
    host.on_checkpoint(Box::new(move |_| {
        if left == 0 {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
        left = left.saturating_sub(1);
    }));
    let outcome = match deed.as_str() {
        "undo" => host.undo(),
        "change" => host.reconcile(&desired()),
        _ => host.reconcile(&wish()),
    };
    assert!(outcome.unwrap().settled);
}

/// Runs the program; tells whether it was killed at the given step, or came to its end.
fn killed(bench: &Bench, deed: &str, at: usize) -> bool {
    let output = bench
        .host
        .command(env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .env(STATE, bench.state())
        .env(DEED, deed)
        .env(KILL_AT, at.to_string())
        .output()
        .unwrap();
    let killed = std::os::unix::process::ExitStatusExt::signal(&output.status)
        == Some(Signal::KILL.as_raw());
    assert!(killed || output.status.success(), "step {at}: {output:?}");
    killed
}

fn bench() -> Bench {
    let bench = Bench::new();
    let lan = bench.lab.network("lan").unwrap();
    lan.attach(&bench.host, &["192.168.7.1/24", "2001:db8:7::1/64"])
        .unwrap();
    bench.sh("sysctl -w net.ipv4.conf.eth0.forwarding=1 net.ipv6.conf.eth0.accept_ra=1");
    bench
}

#[test]
fn killed_while_applying_then_undone_the_host_is_as_before() {
    let bench = bench();
    let before = bench.snapshot();
    let mut steps = 0;
    while killed(&bench, "apply", steps) {
        bench.undo();
        println!("killed at step {steps}");
        bench.becomes(&before);
        steps += 1;
    }
    bench.undo();
    bench.becomes(&before);
    println!("{steps} of {steps} steps lead back");
    assert!(steps > 25, "only {steps} steps");
}

#[test]
fn killed_while_applying_then_started_again_the_host_is_as_wanted() {
    let bench = bench();
    let before = bench.snapshot();
    bench.apply(&wish());
    let up = bench.snapshot();
    bench.undo();
    let mut steps = 0;
    while killed(&bench, "apply", steps) {
        let outcome = bench.apply(&wish());
        assert!(
            outcome.settled && outcome.complaints().next().is_none(),
            "{outcome:?}"
        );
        println!("killed at step {steps}");
        bench.becomes(&up);
        bench.undo();
        println!("undone after step {steps}");
        bench.becomes(&before);
        steps += 1;
    }
    bench.undo();
    println!("{steps} of {steps} steps lead on");
    assert!(steps > 25, "only {steps} steps");
}

#[test]
fn killed_while_undoing_or_changing_the_next_undo_completes_it() {
    let bench = bench();
    let before = bench.snapshot();
    let mut steps = [0, 0];
    for (deed, steps) in ["undo", "change"].into_iter().zip(&mut steps) {
        loop {
            bench.apply(&wish());
            let killed = killed(&bench, deed, *steps);
            bench.agent(Host::undo).unwrap();
            println!("{deed} killed at step {steps}");
            bench.becomes(&before);
            if !killed {
                break;
            }
            *steps += 1;
        }
    }
    println!("{steps:?} steps of undoing and changing lead back");
    assert!(steps[0] > 20 && steps[1] > 10, "only {steps:?} steps");
}
