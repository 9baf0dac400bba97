//! Others change what is ours, and it is put right or reported.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use support::{Bench, desired, make_tunnel, open, prefix, with_exit, with_subnets};
use tidegate_netconfig::{Action, Desired, Ending, Family, Keeper, Notice};

/// Five times the promise of one second.
const BOUND: Duration = Duration::from_secs(5);

/// A keeper on the bench's host, driven from a plain thread.
fn keep<T: Send>(
    bench: &Bench,
    desired: &Desired,
    work: impl FnOnce(&mut Driver) -> T + Send,
) -> T {
    let state = bench.state();
    let host = bench.host.clone();
    bench
        .host
        .enter(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let keeper = {
                let _inside = runtime.enter();
                Keeper::start(open(&state).unwrap()).unwrap()
            };
            let outcome = runtime.block_on(keeper.set(desired.clone())).unwrap();
            assert!(outcome.settled, "{outcome:?}");
            let mut driver = Driver {
                runtime,
                keeper,
                host,
            };
            let result = work(&mut driver);
            let Driver {
                runtime, keeper, ..
            } = driver;
            runtime.block_on(keeper.stop(Ending::Undo)).unwrap();
            result
        })
        .unwrap()
}

struct Driver {
    runtime: tokio::runtime::Runtime,
    keeper: Keeper,
    host: tidegate_tests::Host,
}

impl Driver {
    /// Does something to the host, and waits for a notice and a sight; gives how long it took.
    fn provoke(
        &mut self,
        line: &str,
        notice: impl Fn(&Notice) -> bool,
        sight: &str,
        shows: impl Fn(&str) -> bool,
    ) -> Duration {
        self.host.sh(line).unwrap();
        let start = Instant::now();
        let mut heard = Vec::new();
        while !heard.iter().any(&notice) {
            let next = self
                .runtime
                .block_on(async { tokio::time::timeout(BOUND, self.keeper.notice()).await });
            heard.push(
                next.unwrap_or_else(|_| panic!("after {line:?} only {heard:?}"))
                    .unwrap(),
            );
        }
        let took = start.elapsed();
        let seen = self.host.sh(sight).unwrap();
        assert!(shows(&seen), "after {line:?}: {seen}\n{heard:?}");
        took
    }
}

fn repaired(notice: &Notice) -> bool {
    matches!(notice, Notice::Repaired { .. })
}

#[test]
fn whatever_is_taken_away_comes_back() {
    let bench = Bench::new();
    let cases = [
        (
            "ip addr flush dev tg0",
            "ip addr show tg0; ip route",
            "100.64.0.5/32",
        ),
        ("ip link set tg0 down", "ip route", "100.64.0.0/10 dev tg0"),
        ("ip link set tg0 mtu 1300", "ip link show tg0", "mtu 1420"),
        (
            "ip link set tg0 txqueuelen 3",
            "ip link show tg0",
            "qlen 700",
        ),
        (
            "ip route del 100.64.0.0/10 dev tg0",
            "ip route",
            "100.64.0.0/10 dev tg0",
        ),
        (
            "ip route del unreachable 100.64.0.0/10",
            "ip route",
            "unreachable 100.64.0.0/10",
        ),
        (
            "ip -6 route del fd00:64::/48 dev tg0",
            "ip -6 route",
            "fd00:64::/48 dev tg0",
        ),
        ("ip rule del prio 5211", "ip rule", "5211:"),
        (
            "ip route flush table 51820",
            "ip route show table 51820",
            "default dev tg0",
        ),
    ];
    keep(&bench, &with_exit(&[Family::V4]), |driver| {
        for (line, sight, expected) in cases {
            let took = driver.provoke(line, repaired, sight, |seen| seen.contains(expected));
            println!("{line}: repaired after {took:?}");
            assert!(took < BOUND);
        }
    });
}

#[test]
fn repairs_are_counted() {
    let bench = Bench::new();
    keep(&bench, &desired(), |driver| {
        for expected in 1..=3 {
            let counted = |notice: &Notice| matches!(notice, Notice::Repaired { total, .. } if *total == expected);
            driver.provoke(
                "ip route del 100.64.0.0/10 dev tg0",
                counted,
                "ip route",
                |seen| seen.contains("dev tg0"),
            );
        }
    });
}

#[test]
fn a_stolen_route_is_reported_and_its_guard_stays() {
    let bench = Bench::new();
    let lan = bench.lab.network("lan").unwrap();
    lan.attach(&bench.host, &["192.168.7.1/24"]).unwrap();
    keep(&bench, &with_subnets(&["10.1.0.0/16"]), |driver| {
        let named = |notice: &Notice| match notice {
            Notice::Conflicts(conflicts) => conflicts
                .iter()
                .any(|conflict| conflict.wanted == prefix("10.1.0.0/16")),
            _ => false,
        };
        let steal = "ip route replace 10.1.0.0/16 dev eth0 metric 500";
        let took = driver.provoke(steal, named, "ip route", |seen| {
            seen.contains("unreachable 10.1.0.0/16")
        });
        println!("stolen: reported after {took:?}");
        let give_back = "ip route del 10.1.0.0/16 dev eth0 metric 500";
        driver.provoke(give_back, repaired, "ip route", |seen| {
            seen.contains("10.1.0.0/16 dev tg0")
        });
    });
}

#[test]
fn a_lan_that_collides_withdraws_our_route_until_it_goes() {
    let bench = Bench::new();
    let lan = bench.lab.network("lan").unwrap();
    lan.attach(&bench.host, &[]).unwrap();
    keep(&bench, &with_subnets(&["10.1.0.0/16"]), |driver| {
        let withdrawn = |seen: &str| !seen.contains("10.1.0.0/16 dev tg0");
        let restored = |seen: &str| seen.contains("10.1.0.0/16 dev tg0");
        let ends = [
            "ip addr del 10.1.7.1/24 dev eth0",
            "ip link set eth0 down",
            "ip link del eth0",
        ];
        for end in ends {
            driver.provoke(
                "ip link set eth0 up; ip addr replace 10.1.7.1/24 dev eth0",
                repaired,
                "ip route",
                withdrawn,
            );
            driver.provoke(end, repaired, "ip route", restored);
        }
    });
}

#[test]
fn a_renamed_device_is_followed() {
    let bench = Bench::new();
    keep(&bench, &with_exit(&[Family::V4]), |driver| {
        let renamed = |notice: &Notice| matches!(notice, Notice::Renamed { to, .. } if to.as_str() == "other");
        let took = driver.provoke(
            "ip link set tg0 down; ip link set tg0 name other; ip link set other up",
            renamed,
            "true",
            |_| true,
        );
        println!("renamed: reported after {took:?}");
        driver.provoke(
            "ip addr flush dev other",
            repaired,
            "ip addr show other; ip route",
            |seen| seen.contains("100.64.0.5/32") && seen.contains("100.64.0.0/10 dev other"),
        );
        // A new wish under the old name still means this device.
        let moved = Desired {
            device: Some(support::device(&["100.64.0.6"])),
            ..with_exit(&[Family::V4])
        };
        let outcome = driver.runtime.block_on(driver.keeper.set(moved)).unwrap();
        assert!(
            outcome.settled && outcome.problems.is_empty(),
            "{outcome:?}"
        );
        assert!(
            driver
                .host
                .sh("ip addr show other")
                .unwrap()
                .contains("100.64.0.6/32")
        );
        let shield = driver.host.sh("nft list table inet tidegate").unwrap();
        assert!(
            shield.contains("iifname != \"other\""),
            "the firewall follows too: {shield}"
        );
    });
}

#[test]
fn a_deleted_device_leaves_the_guards_and_its_successor_is_configured() {
    let bench = Bench::new();
    keep(&bench, &desired(), |driver| {
        let gone = |notice: &Notice| *notice == Notice::Gone;
        let took = driver.provoke("ip link del tg0", gone, "ip route", |seen| {
            seen.contains("unreachable 100.64.0.0/10")
        });
        println!("deleted: reported after {took:?}");
        let host = driver.host.clone();
        let _successor = make_tunnel(&host);
        let configured = |notice: &Notice| match notice {
            Notice::Repaired { changes, .. } => changes
                .iter()
                .any(|change| matches!(change.action, Action::AddAddress { .. })),
            _ => false,
        };
        driver.provoke("true", configured, "ip addr show tg0", |seen| {
            seen.contains("100.64.0.5/32")
        });
    });
}

#[test]
fn the_caller_hears_of_changes_to_the_underlay() {
    let bench = Bench::new();
    let lan = bench.lab.network("lan").unwrap();
    let link = lan.attach(&bench.host, &["192.168.7.1/24"]).unwrap();
    keep(&bench, &desired(), |driver| {
        let underlay = |notice: &Notice| *notice == Notice::Underlay;
        for line in [
            "ip addr add 192.168.7.9/24 dev eth0",
            "ip route add default via 192.168.7.2",
            "ip route del default",
            "ip link set eth0 mtu 1400",
        ] {
            driver.provoke(line, underlay, "true", |_| true);
        }
        link.unplug().unwrap();
        driver.provoke("true", underlay, "true", |_| true);
    });
}

#[test]
fn lost_events_lead_to_a_fresh_look() {
    let bench = Bench::new();
    let lan = bench.lab.network("lan").unwrap();
    lan.attach(&bench.host, &["192.168.7.1/24"]).unwrap();
    // Far more events than the socket holds, while nobody reads: the route's loss and the new LAN are among them.
    let mut batch =
        String::from("route del 100.64.0.0/10 dev tg0\nroute add 10.1.3.0/24 dev eth0\n");
    for n in 0..40_000 {
        batch += &format!(
            "route add 172.{}.{}.{}/32 dev eth0\n",
            16 + n / 62_500,
            n / 250 % 250,
            n % 250
        );
    }
    let path = bench.state().join("batch");
    std::fs::write(&path, batch).unwrap();
    keep(&bench, &with_subnets(&["10.1.0.0/16"]), |driver| {
        let flood = format!("ip -batch {}", path.display());
        driver.provoke(&flood, repaired, "true", |_| true);
        tidegate_tests::wait_until(BOUND, "both to be put right", || {
            // The task only runs while its runtime does.
            driver
                .runtime
                .block_on(async { tokio::time::sleep(Duration::from_millis(50)).await });
            let seen = driver.host.sh("ip route show proto 116").unwrap();
            seen.contains("100.64.0.0/10 dev tg0") && !seen.contains("10.1.0.0/16 dev tg0")
        })
        .unwrap();
    });
}

#[test]
fn undo_at_the_end_leaves_the_host_as_it_was() {
    let bench = Bench::new();
    let before = bench.snapshot();
    keep(&bench, &with_exit(&Family::BOTH), |_| ());
    bench.becomes(&before);
}
