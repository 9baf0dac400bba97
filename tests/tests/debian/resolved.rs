//! The overlay's names in systemd-resolved.

use std::path::Path;

use tidegate_tests::{binary, example, wait_until};

use crate::site::{SOON, Site, UP};

const RULES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../packaging/polkit/tidegate.rules"
);

/// What the keeper of names is told, by the family of the overlay's resolver.
const FOUR: &str = "/var/lib/tidegate tg0 demo.internal 100.64.0.0/16 100.64.0.1:5300";
const SIX: &str = "/var/lib/tidegate tg0 demo.internal fd12::/64 [fd12::1]:5300";

/// Starts the keeper of names as the agent's user, and waits until it has set them or ended.
fn start_keeper(site: &Site, unit: &str, words: &str) -> bool {
    let agent = "--uid=tidegate --property=StateDirectory=tidegate --property=AmbientCapabilities=CAP_NET_ADMIN";
    start(site, unit, &format!("{agent} split-dns {words}"))
}

fn start(site: &Site, unit: &str, command: &str) -> bool {
    site.sh(&format!(
        "systemd-run --quiet --unit={unit} --property=Type=exec {command}"
    ));
    let mut set = false;
    wait_until(SOON, "the keeper to have tried", || {
        let ended = !active(site, unit);
        set = site.log(unit).contains("the names are set");
        set || ended
    })
    .unwrap();
    set
}

fn active(site: &Site, unit: &str) -> bool {
    site.sh(&format!("systemctl is-active {unit} || true")) == "active\n"
}

#[test]
fn resolved_asks_for_the_overlays_names_alone_and_forgets_them() {
    let site = Site::new();
    let machine = &site.machine;
    machine
        .copy(&example("split-dns").unwrap(), "/usr/bin/split-dns")
        .unwrap();
    machine
        .copy(&binary("tidegate-dns").unwrap(), "/usr/bin/tidegate-dns")
        .unwrap();
    site.sh("useradd --system tidegate; mkdir -p /etc/systemd/resolved.conf.d");
    site.sh("printf '[Resolve]\\nDNS=10.0.0.53\\n' >/etc/systemd/resolved.conf.d/other.conf");
    site.sh("systemctl restart systemd-resolved");
    assert!(site.finds("www.example.test", "192.0.2.80") && !site.finds_both());
    wait_until(
        SOON,
        "the links to be known with all their addresses",
        || site.resolved_status().matches("LLMNR/IPv6").count() == 2,
    )
    .unwrap();
    let before = site.resolved_status();

    assert!(site.helper(&UP).contains("systemd-resolved is in charge"));
    check_refusals(&site, &before);
    machine
        .copy(Path::new(RULES), "/etc/polkit-1/rules.d/tidegate.rules")
        .unwrap();
    site.sh("systemctl restart polkit");
    assert!(
        start_keeper(&site, "keeper", FOUR),
        "{}",
        site.log("keeper")
    );
    check_names(&site);
    check_restarts(&site);

    site.sh("systemctl stop keeper");
    assert_eq!(site.resolved_status(), before);
    site.sh("resolvectl flush-caches");
    assert!(site.finds("www.example.test", "192.0.2.80") && !site.finds_both());
    check_crash(&site, &before);
}

/// Each with one clear error: no right to do it, no such interface, no systemd-resolved.
fn check_refusals(site: &Site, before: &str) {
    let refused = |unit: &str, words: &str, saying: [&str; 2]| {
        assert!(!start_keeper(site, unit, words));
        let log = site.log(unit);
        for word in saying {
            assert!(log.contains(word), "{word:?} in {log}");
        }
    };
    refused("refused", FOUR, ["refuses", "tidegate.rules"]);
    let nowhere = FOUR.replace("tg0", "tg9");
    refused("nowhere", &nowhere, ["no link tg9", "create the interface"]);
    assert_eq!(site.resolved_status(), before);
    site.sh("systemctl mask --quiet --runtime --now systemd-resolved");
    refused("masked", FOUR, ["does not run", "systemctl enable"]);
    site.sh(
        "systemctl unmask --quiet --runtime systemd-resolved; systemctl start systemd-resolved",
    );
    assert!(site.finds("www.example.test", "192.0.2.80"));
    assert_eq!(site.resolved_status(), before);
}

/// Forward and backward, and each name is asked only where it belongs.
fn check_names(site: &Site) {
    assert!(site.finds_both(), "{}", site.resolved_status());
    assert!(
        site.sh("resolvectl query 100.64.0.9")
            .contains("alpha.demo.internal")
    );
    assert!(
        site.sh("resolvectl query alpha.demo.internal")
            .contains("link: tg0")
    );
    let ours = site.log("overlay");
    assert!(
        ours.contains("alpha.demo.internal") && !ours.contains("example.test"),
        "{ours}"
    );
    // Before our names were configured they were asked here; from then on only the others were.
    let theirs = site.other.output();
    let asked = theirs.matches("demo.internal").count();
    site.sh("resolvectl flush-caches");
    assert!(site.finds_both());
    let theirs = site.other.output();
    assert_eq!(theirs.matches("demo.internal").count(), asked, "{theirs}");
}

/// resolved itself remembers links over a restart; without its memory the names come back all the same.
fn check_restarts(site: &Site) {
    let forget =
        "rm -rf /run/systemd/resolve/netif/*; test -z \"$(ls /run/systemd/resolve/netif)\"";
    site.sh(&format!(
        "systemctl stop systemd-resolved; {forget}; systemctl start systemd-resolved"
    ));
    wait_until(SOON, "the names to be back after a restart", || {
        site.finds_both()
    })
    .unwrap();
    site.sh("systemctl kill --signal=KILL systemd-resolved");
    wait_until(SOON, "the names to be back after a crash", || {
        site.finds_both()
    })
    .unwrap();
    site.sh(&format!("systemctl stop systemd-resolved; systemctl restart dbus; {forget}; systemctl start systemd-resolved"));
    wait_until(SOON, "the names to be back after the bus", || {
        site.finds_both()
    })
    .unwrap();
}

/// What a killed keeper leaves is undone by the next one's start.
fn check_crash(site: &Site, before: &str) {
    assert!(start_keeper(site, "killed", SIX), "{}", site.log("killed"));
    site.sh("systemctl kill --signal=KILL killed");
    wait_until(SOON, "the keeper to be gone", || !active(site, "killed")).unwrap();
    assert!(site.finds_both());
    let undo =
        "setpriv --reuid=tidegate --regid=tidegate --init-groups split-dns /var/lib/tidegate";
    for _ in 0..2 {
        site.sh(undo);
        assert_eq!(site.resolved_status(), before);
    }
    site.sh("mkdir -m 700 /var/lib/crashes");
    let mut changed = 0;
    for nth in 1..100 {
        let (killed, left) = killed_at_message(site, nth, before);
        if !killed {
            println!(
                "killed at each of {} messages, {changed} times with something to undo",
                nth - 1
            );
            assert!(nth > 8 && changed > 3, "{nth} {changed}");
            return;
        }
        changed += usize::from(left);
    }
    panic!("it sends messages without end");
}

/// Kills the keeper at the `nth` message that it sends. Tells whether that was before the names were set, and
/// whether there was something to undo; the last message is the one that would have taken the names back.
fn killed_at_message(site: &Site, nth: usize, before: &str) -> (bool, bool) {
    let unit = format!("message-{nth}");
    let kill = format!("-e inject=sendmsg:signal=KILL:when={nth}");
    let words = FOUR.replace("tidegate", "crashes");
    let command = format!("strace -qq -o /dev/null -e signal=none {kill} split-dns {words}");
    let set = start(site, &unit, &command);
    site.sh(&format!("systemctl kill --signal=TERM {unit} || true"));
    wait_until(SOON, "the keeper to be gone", || !active(site, &unit)).unwrap();
    let left = site.resolved_status() != before;
    site.sh("split-dns /var/lib/crashes");
    assert_eq!(site.resolved_status(), before, "message {nth}");
    (!set, left)
}
