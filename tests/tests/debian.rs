//! The overlay's names in a booted Debian: with systemd-resolved, with both kinds of resolvconf, and with neither.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
    time::Duration,
};

use tidegate_tests::{Host, Lab, Machine, Process, binary, debs, example, wait_until};

const SOON: Duration = Duration::from_secs(15);
const RULES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../packaging/polkit/tidegate.rules"
);
const UP: [&str; 7] = [
    "up",
    "--interface",
    "tg0",
    "--domain",
    "demo.internal",
    "--resolver",
    "100.64.0.1:5300",
];
const DOWN: [&str; 3] = ["down", "--interface", "tg0"];

/// A machine with an overlay interface and the overlay's resolver on it, and a server for all other names.
struct Site {
    machine: Machine,
    other: Process,
    _host: Host,
    _lab: Lab,
}

impl Site {
    fn new() -> Self {
        let lab = Lab::new().unwrap();
        let lan = lab.network("lan").unwrap();
        let host = lab.host("other").unwrap();
        lan.attach(&host, &["10.0.0.53/24"]).unwrap();
        let other = host
            .command("dnsmasq")
            .args(serving(53, "www.example.test,192.0.2.80"))
            .spawn()
            .unwrap();
        other.wait_for_output(SOON, "started").unwrap();
        let machine = Machine::boot("node", &lan, &[]).unwrap();
        let site = Self {
            machine,
            other,
            _host: host,
            _lab: lab,
        };
        site.connect();
        site
    }

    /// The devices and the overlay's resolver, which do not survive a reboot.
    fn connect(&self) {
        let tunnel = "socat TUN:100.64.0.1/16,tun-name=tg0,iff-no-pi,iff-up PIPE";
        let serve = serving(5300, "alpha.demo.internal,100.64.0.9").join(" ");
        self.sh("ip address add 10.0.0.1/24 dev host0; ip link set host0 up");
        self.sh(&format!("systemd-run --quiet --unit=tunnel {tunnel}"));
        wait_until(SOON, "the tunnel to have its address", || {
            self.sh("ip -br address show up").contains("100.64.0.1/16")
        })
        .unwrap();
        self.sh("ip address add fd12::1/64 dev tg0 nodad");
        self.sh(&format!(
            "systemd-run --quiet --unit=overlay dnsmasq {serve}"
        ));
        wait_until(SOON, "the overlay's resolver", || {
            self.log("overlay").contains("started")
        })
        .unwrap();
    }

    fn sh(&self, line: &str) -> String {
        self.machine.sh(line).unwrap()
    }

    fn log(&self, unit: &str) -> String {
        self.sh(&format!("journalctl --quiet --output=cat --unit={unit}"))
    }

    fn finds(&self, name: &str, address: &str) -> bool {
        let found = self
            .machine
            .command("getent")
            .args(["ahostsv4", name])
            .run();
        found.is_ok_and(|found| found.contains(address))
    }

    fn finds_both(&self) -> bool {
        self.finds("alpha.demo.internal", "100.64.0.9")
            && self.finds("www.example.test", "192.0.2.80")
    }

    fn resolved_status(&self) -> String {
        self.sh("resolvectl status --no-pager; resolvectl dns; resolvectl domain; ls -l /etc/resolv.conf; nft list ruleset")
    }

    /// Has the server for all other names used by the resolver library alone.
    fn without_resolved(&self) {
        self.sh("dpkg --purge libnss-resolve systemd-resolved; rm -f /etc/resolv.conf");
        self.sh("printf 'nameserver 10.0.0.53' >/etc/resolv.conf");
    }

    fn file_state(&self) -> String {
        self.sh("nft list ruleset; ls -A /etc; stat -L -c '%F %a %u %g' /etc/resolv.conf; readlink -m /etc/resolv.conf; cat /etc/resolv.conf")
    }

    fn helper(&self, words: &[&str]) -> String {
        let helper = self.machine.command("/usr/bin/tidegate-dns");
        helper.args(words).run().unwrap()
    }

    /// Up, up again, down and down again leave things as they were, and names are found in between.
    fn goes_up_and_down(&self, by: &str) {
        let before = self.file_state();
        assert!(self.finds("www.example.test", "192.0.2.80") && !self.finds_both());
        assert!(self.helper(&UP).contains(by));
        assert!(self.finds_both(), "{}", self.file_state());
        let after = self.file_state();
        self.helper(&UP);
        assert_eq!(self.file_state(), after);
        self.helper(&DOWN);
        assert_eq!(self.file_state(), before);
        self.helper(&DOWN);
        assert_eq!(self.file_state(), before);
    }
}

/// Words for a server that refuses all names but this one, and says what it is asked.
fn serving(port: u16, record: &str) -> Vec<String> {
    let words = "--keep-in-foreground --no-hosts --no-resolv --conf-file=/dev/null --user=root --pid-file= \
                 --log-facility=- --log-queries";
    let words = format!("{words} --port={port} --host-record={record}");
    words.split_whitespace().map(str::to_owned).collect()
}

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

    // The helper leaves it to the agent, and the agent's user may do nothing yet.
    assert!(site.helper(&UP).contains("systemd-resolved is in charge"));
    assert!(!start_keeper(&site, "refused", FOUR));
    let log = site.log("refused");
    assert!(
        log.contains("refuses") && log.contains("tidegate.rules"),
        "{log}"
    );
    assert_eq!(site.resolved_status(), before);

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

#[test]
fn without_resolved_each_fallback_works_and_is_undone() {
    let mut site = Site::new();
    let machine = &site.machine;
    machine
        .copy(&binary("tidegate-dns").unwrap(), "/usr/bin/tidegate-dns")
        .unwrap();
    site.without_resolved();
    site.goes_up_and_down("a block");

    let record = "echo nameserver 10.0.0.53 | resolvconf -a host0";
    machine.install(&debs(&["resolvconf"]).unwrap()).unwrap();
    site.sh(&format!("ln -sf ../run/resolvconf/resolv.conf /etc/resolv.conf; resolvconf --enable-updates; {record}"));
    site.goes_up_and_down("resolvconf");

    site.sh("dpkg --purge resolvconf; rm -f /etc/resolv.conf");
    machine.install(&debs(&["openresolv"]).unwrap()).unwrap();
    site.sh(record);
    site.goes_up_and_down("resolvconf");
    site.sh("dpkg --purge openresolv");

    check_reboot(&mut site);
}

/// The block outlives a boot; the unit that runs first at the next one takes it out, and the other puts it in again.
fn check_reboot(site: &mut Site) {
    for unit in ["tidegate-dns@.service", "tidegate-dns-restore.service"] {
        let unit = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../packaging/systemd")
            .join(unit);
        let name = unit.file_name().unwrap().to_str().unwrap();
        site.machine
            .copy(&unit, &format!("/etc/systemd/system/{name}"))
            .unwrap();
    }
    site.sh("rm -f /etc/resolv.conf; printf 'nameserver 10.0.0.53' >/etc/resolv.conf; mkdir -p /etc/tidegate");
    site.sh(
        "printf 'DOMAIN=demo.internal\\nRESOLVER=100.64.0.1:5300\\n' >/etc/tidegate/dns-tg0.conf",
    );
    site.sh("systemctl daemon-reload; systemctl enable --quiet tidegate-dns-restore");
    let before = site.file_state();
    site.sh("systemctl start tidegate-dns@tg0");
    assert!(site.finds_both(), "{}", site.log("tidegate-dns@tg0"));
    // As a power cut: nothing is told to end.
    site.machine.reboot_at_once().unwrap();
    assert_eq!(site.file_state(), before);
    site.connect();
    site.sh("systemctl start tidegate-dns@tg0");
    assert!(site.finds_both(), "{}", site.log("tidegate-dns@tg0"));
    site.sh("systemctl stop tidegate-dns@tg0");
    assert_eq!(site.file_state(), before);
    site.machine.reboot().unwrap();
    assert_eq!(site.file_state(), before);
}

#[test]
fn two_machines_on_one_network_reach_each_other() {
    let lab = Lab::new().unwrap();
    let lan = lab.network("lan").unwrap();
    let a = Machine::boot("a", &lan, &[]).unwrap();
    let b = Machine::boot("b", &lan, &[]).unwrap();
    for (machine, address) in [(&a, "10.0.0.1/24"), (&b, "10.0.0.2/24")] {
        machine
            .sh(&format!(
                "ip address add {address} dev host0; ip link set host0 up; hostname >/root/name"
            ))
            .unwrap();
    }
    let reached = || {
        a.command("ping")
            .args(["-c1", "-W1", "10.0.0.2"])
            .run()
            .is_ok()
    };
    wait_until(SOON, "a to reach b", reached).unwrap();
    assert_eq!(a.sh("cat /root/name").unwrap(), "a\n");
    assert_eq!(
        b.sh("cat /root/name; systemctl is-system-running").unwrap(),
        "b\nrunning\n"
    );
}

#[test]
fn nothing_of_a_machine_is_left_when_its_keeper_is_killed() {
    let boot = concat!(env!("CARGO_MANIFEST_DIR"), "/debian/boot");
    let mut script = std::process::Command::new(boot)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = script.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let first = format!("/proc/{}", line.trim().strip_prefix("ready ").unwrap());
    let name = format!("tg-{}", script.id());
    let groups = format!("find /sys/fs/cgroup -maxdepth 2 -name {name}");
    let groups = || shell(&groups);
    assert!(Path::new(&first).exists() && groups().contains(&name));
    script.kill().unwrap();
    script.wait().unwrap();
    wait_until(SOON, "the machine to end", || !Path::new(&first).exists()).unwrap();
    // What is on disk goes when the next machine is made.
    wait_until(SOON, "the rest to be removed", || {
        let lab = Lab::new().unwrap();
        drop(Machine::boot("next", &lab.network("lan").unwrap(), &[]).unwrap());
        groups().is_empty()
            && shell(&format!(
                "find /var/cache ${{XDG_CACHE_HOME:-/var/cache}} -path '*/machines/{name}'"
            ))
            .is_empty()
    })
    .unwrap();
}

fn shell(line: &str) -> String {
    let output = std::process::Command::new("/bin/sh")
        .args(["-c", line])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
