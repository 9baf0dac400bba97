//! A host with an overlay interface, its resolver, and a network with another server.

use std::time::Duration;

use tidegate_tests::{Host, Lab, Output, Process};

pub(crate) const HELPER: &str = env!("CARGO_BIN_EXE_tidegate-dns");
/// Unusual on purpose: no line end at the end.
pub(crate) const BEFORE: &str = "# mine\nnameserver 10.0.0.53\noptions timeout:2 attempts:2";

/// A host with an overlay interface, the overlay's resolver on port 5300, and another server on its network.
pub(crate) struct Site {
    pub(crate) node: Host,
    _servers: Vec<Process>,
    _lab: Lab,
}

impl Site {
    pub(crate) fn new() -> Self {
        let lab = Lab::new().unwrap();
        let (node, other) = (lab.host("node").unwrap(), lab.host("other").unwrap());
        let lan = lab.network("lan").unwrap();
        lan.attach(&node, &["10.0.0.1/24"]).unwrap();
        lan.attach(&other, &["10.0.0.53/24"]).unwrap();
        node.sh("ip tuntap add tg0 mode tun; ip link set tg0 up")
            .unwrap();
        node.sh("ip addr add 100.64.0.1/16 dev tg0; ip addr add fd12::1/64 dev tg0")
            .unwrap();
        let overlay = ["--host-record=alpha.demo.internal,100.64.0.9,fd12::9"];
        let world = ["--host-record=www.example.test,192.0.2.80"];
        let servers = vec![serve(&node, "5300", &overlay), serve(&other, "53", &world)];
        let site = Self {
            node,
            _servers: servers,
            _lab: lab,
        };
        site.write(BEFORE);
        site
    }

    pub(crate) fn write(&self, content: &str) {
        let put = "cat >/etc/resolv.conf; chown 7:9 /etc/resolv.conf; chmod 0640 /etc/resolv.conf";
        let put = self.node.command("/bin/sh").args(["-euc", put]);
        put.input(content).run().unwrap();
    }

    pub(crate) fn content(&self) -> String {
        self.node.sh("cat /etc/resolv.conf").unwrap()
    }

    /// All that the helper could change or leave behind, but for its empty journal.
    pub(crate) fn state(&self) -> String {
        let look = "nft list ruleset; ls -A /etc; stat -c '%F %a %u %g' /etc/resolv.conf; cat /etc/resolv.conf; \
                    find /var/lib -name '*.journal' -size +0";
        self.node.sh(look).unwrap()
    }

    pub(crate) fn helper(&self, words: &str) -> Output {
        let words = words.split_whitespace();
        self.node.command(HELPER).args(words).output().unwrap()
    }

    /// The helper that goes on until it is stopped.
    pub(crate) fn keep(&self) -> Process {
        let words = UP.replacen("up", "keep", 1);
        let helper = self.node.command(HELPER).args(words.split_whitespace());
        helper.spawn().unwrap()
    }

    pub(crate) fn up(&self) {
        let output = self.helper(UP);
        assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
    }

    pub(crate) fn down(&self) {
        let output = self.helper(DOWN);
        assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
    }

    /// What the resolver library finds.
    pub(crate) fn find(&self, name: &str) -> String {
        self.node
            .run("getent", ["ahostsv4", name])
            .unwrap_or_default()
    }

    pub(crate) fn refused(&self, code: i32, saying: &[&str]) {
        let before = self.state();
        let output = self.helper(UP);
        assert_eq!(output.status.code(), Some(code), "{}", output.stderr);
        for word in saying {
            assert!(
                output.stderr.contains(word),
                "{word:?} in {}",
                output.stderr
            );
        }
        assert_eq!(self.state(), before);
    }
}

pub(crate) const UP: &str = "up --interface tg0 --domain demo.internal --resolver 100.64.0.1:5300";
pub(crate) const UP6: &str = "up --interface tg0 --domain demo.internal --resolver [fd12::1]:5300";
pub(crate) const DOWN: &str = "down --interface tg0";

/// A server that refuses all names but its own.
fn serve(host: &Host, port: &str, records: &[&str]) -> Process {
    let options = [
        "--keep-in-foreground",
        "--no-hosts",
        "--no-resolv",
        "--conf-file=/dev/null",
        "--user=root",
        "--pid-file=",
        "--log-facility=-",
    ];
    let server = host
        .command("dnsmasq")
        .args(options)
        .args(["--port", port])
        .args(records)
        .spawn()
        .unwrap();
    server
        .wait_for_output(Duration::from_secs(10), "started")
        .unwrap();
    server
}
