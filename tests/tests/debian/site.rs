//! A booted Debian with an overlay interface and its resolver, and a server for all other names.

use std::time::Duration;

use tidegate_tests::{Host, Lab, Machine, Process, wait_until};

pub(crate) const SOON: Duration = Duration::from_secs(15);
pub(crate) const UP: [&str; 7] = [
    "up",
    "--interface",
    "tg0",
    "--domain",
    "demo.internal",
    "--resolver",
    "100.64.0.1:5300",
];
pub(crate) const DOWN: [&str; 3] = ["down", "--interface", "tg0"];

/// A machine with an overlay interface and the overlay's resolver on it, and a server for all other names.
pub(crate) struct Site {
    pub(crate) machine: Machine,
    pub(crate) other: Process,
    _host: Host,
    _lab: Lab,
}

impl Site {
    pub(crate) fn new() -> Self {
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
    pub(crate) fn connect(&self) {
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

    pub(crate) fn sh(&self, line: &str) -> String {
        self.machine.sh(line).unwrap()
    }

    pub(crate) fn log(&self, unit: &str) -> String {
        self.sh(&format!("journalctl --quiet --output=cat --unit={unit}"))
    }

    pub(crate) fn finds(&self, name: &str, address: &str) -> bool {
        let found = self
            .machine
            .command("getent")
            .args(["ahostsv4", name])
            .run();
        found.is_ok_and(|found| found.contains(address))
    }

    pub(crate) fn finds_both(&self) -> bool {
        self.finds("alpha.demo.internal", "100.64.0.9")
            && self.finds("www.example.test", "192.0.2.80")
    }

    pub(crate) fn resolved_status(&self) -> String {
        self.sh("resolvectl status --no-pager; resolvectl dns; resolvectl domain; ls -l /etc/resolv.conf; nft list ruleset")
    }

    /// Has the server for all other names used by the resolver library alone.
    pub(crate) fn without_resolved(&self) {
        self.sh("dpkg --purge libnss-resolve systemd-resolved; rm -f /etc/resolv.conf");
        self.sh("printf 'nameserver 10.0.0.53' >/etc/resolv.conf");
    }

    pub(crate) fn file_state(&self) -> String {
        self.sh("nft list ruleset; ls -A /etc; stat -L -c '%F %a %u %g' /etc/resolv.conf; readlink -m /etc/resolv.conf; cat /etc/resolv.conf")
    }

    pub(crate) fn helper(&self, words: &[&str]) -> String {
        let helper = self.machine.command("/usr/bin/tidegate-dns");
        helper.args(words).run().unwrap()
    }

    /// Up, up again, down and down again leave things as they were, and names are found in between.
    pub(crate) fn goes_up_and_down(&self, by: &str) {
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
