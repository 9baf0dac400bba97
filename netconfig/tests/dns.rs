//! The fallback for names, on hosts of their own with the real kernel, nft, resolver library and servers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use tidegate_tests::{Host, Lab, Output, Process};

const HELPER: &str = env!("CARGO_BIN_EXE_tidegate-dns");
/// Unusual on purpose: no line end at the end.
const BEFORE: &str = "# mine\nnameserver 10.0.0.53\noptions timeout:2 attempts:2";

/// A host with an overlay interface, the overlay's resolver on port 5300, and another server on its network.
struct Site {
    node: Host,
    _servers: Vec<Process>,
    _lab: Lab,
}

impl Site {
    fn new() -> Self {
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

    fn write(&self, content: &str) {
        let put = "cat >/etc/resolv.conf; chown 7:9 /etc/resolv.conf; chmod 0640 /etc/resolv.conf";
        let put = self.node.command("/bin/sh").args(["-euc", put]);
        put.input(content).run().unwrap();
    }

    fn content(&self) -> String {
        self.node.sh("cat /etc/resolv.conf").unwrap()
    }

    /// All that the helper could change or leave behind, but for its empty journal.
    fn state(&self) -> String {
        let look = "nft list ruleset; ls -A /etc; stat -c '%F %a %u %g' /etc/resolv.conf; cat /etc/resolv.conf; \
                    find /var/lib -name '*.journal' -size +0";
        self.node.sh(look).unwrap()
    }

    fn helper(&self, words: &str) -> Output {
        let words = words.split_whitespace();
        self.node.command(HELPER).args(words).output().unwrap()
    }

    fn up(&self) {
        let output = self.helper(UP);
        assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
    }

    fn down(&self) {
        let output = self.helper(DOWN);
        assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
    }

    /// What the resolver library finds.
    fn find(&self, name: &str) -> String {
        self.node
            .run("getent", ["ahostsv4", name])
            .unwrap_or_default()
    }

    fn refused(&self, code: i32, saying: &[&str]) {
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

const UP: &str = "up --interface tg0 --domain demo.internal --resolver 100.64.0.1:5300";
const UP6: &str = "up --interface tg0 --domain demo.internal --resolver [fd12::1]:5300";
const DOWN: &str = "down --interface tg0";

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

#[test]
fn the_overlays_names_and_all_others_are_found_and_all_is_put_back() {
    let site = Site::new();
    let before = site.state();
    assert!(site.find("www.example.test").contains("192.0.2.80"));
    assert_eq!(site.find("alpha.demo.internal"), "");
    site.up();
    assert!(site.find("alpha.demo.internal").contains("100.64.0.9"));
    assert!(site.find("www.example.test").contains("192.0.2.80"));
    assert!(site.content().ends_with(BEFORE));
    site.down();
    assert_eq!(site.state(), before);
    assert_eq!(site.find("alpha.demo.internal"), "");
    site.up();
    assert!(site.helper("down").status.success());
    assert_eq!(site.state(), before);
    assert!(site.helper("down").status.success());
    assert_eq!(site.state(), before);
}

#[test]
fn port_53_leads_to_the_resolver_over_both_protocols_and_families() {
    let site = Site::new();
    let ask = |server: &str, how: &str| {
        let words = [
            "+short",
            "+tries=1",
            "+time=2",
            how,
            server,
            "alpha.demo.internal",
            "AAAA",
        ];
        site.node.run("dig", words).unwrap_or_default()
    };
    assert_eq!(ask("@100.64.0.1", "+tcp"), "");
    for (up, server) in [(UP, "@100.64.0.1"), (UP6, "@fd12::1")] {
        let output = site.helper(up);
        assert!(output.status.success(), "{}", output.stderr);
        for how in ["+notcp", "+tcp"] {
            assert_eq!(ask(server, how), "fd12::9\n", "{server} {how}");
        }
    }
    // The second address replaced the first.
    assert_eq!(site.content().matches("nameserver").count(), 2);
    assert_eq!(ask("@100.64.0.1", "+tcp"), "");
    site.down();
    assert_eq!(site.content(), BEFORE);
}

#[test]
fn doing_it_again_changes_nothing() {
    let site = Site::new();
    let before = site.state();
    site.up();
    let look = "stat -c '%i %Y' /etc/resolv.conf";
    let (file, up) = (site.node.sh(look).unwrap(), site.state());
    site.up();
    assert_eq!((site.node.sh(look).unwrap(), site.state()), (file, up));
    site.down();
    assert_eq!(site.state(), before);
}

#[test]
fn what_the_user_changed_meanwhile_stays() {
    let site = Site::new();
    site.up();
    site.node
        .sh("printf '\\nsearch example.test' >>/etc/resolv.conf")
        .unwrap();
    site.down();
    assert_eq!(site.content(), format!("{BEFORE}\nsearch example.test"));
    site.up();
    site.node
        .sh("sed -i '/end tidegate/d; 1i nameserver 10.0.0.54' /etc/resolv.conf")
        .unwrap();
    site.down();
    assert_eq!(
        site.content(),
        format!("nameserver 10.0.0.54\n{BEFORE}\nsearch example.test")
    );
    site.up();
    site.node
        .sh("ln -sf /run/other /etc/resolv.conf; echo 'search x' >/run/other")
        .unwrap();
    site.down();
    assert_eq!(site.content(), "search x\n");
}

#[test]
fn a_file_that_was_not_there_goes_again() {
    let site = Site::new();
    site.node.sh("rm /etc/resolv.conf").unwrap();
    site.up();
    assert!(site.find("alpha.demo.internal").contains("100.64.0.9"));
    site.down();
    assert!(site.node.sh("test ! -e /etc/resolv.conf").is_ok());
}

#[test]
fn a_file_that_others_keep_is_never_touched() {
    let site = Site::new();
    for (make, saying) in [
        (
            "ln -sf ../run/systemd/resolve/stub-resolv.conf",
            ["systemd-resolved", "systemctl enable"],
        ),
        (
            "ln -sf /run/NetworkManager/resolv.conf",
            ["NetworkManager", "dns=systemd-resolved"],
        ),
        (
            "ln -sf /run/resolvconf/resolv.conf",
            ["resolvconf", "reinstall"],
        ),
        (
            "ln -sf /opt/elsewhere",
            ["/opt/elsewhere", "a file of its own"],
        ),
        (
            "rm /etc/resolv.conf; mkdir",
            ["not a regular file", "repair"],
        ),
        (
            "rmdir /etc/resolv.conf; ln -T /etc/hosts",
            ["2 hard links", "of its own"],
        ),
    ] {
        // Where a link leads there is something to spoil.
        site.node.sh(&format!("{make} /etc/resolv.conf")).unwrap();
        let kept = "f=$(readlink -m /etc/resolv.conf); [ -e $f ] || { mkdir -p $(dirname $f); echo '# x' >$f; }; ls -l /etc $f";
        let before = site.node.sh(kept).unwrap();
        let output = site.helper(UP);
        assert_eq!(output.status.code(), Some(3), "{make}: {}", output.stderr);
        for word in saying {
            assert!(
                output.stderr.contains(word),
                "{word:?} in {}",
                output.stderr
            );
        }
        assert_eq!(site.node.sh(kept).unwrap(), before);
        assert_eq!(site.node.sh("nft list ruleset").unwrap(), "");
    }
}

#[test]
fn what_is_missing_is_named_and_nothing_is_done_by_halves() {
    let site = Site::new();
    site.write("# Generated by NetworkManager\nnameserver 10.0.0.53\n");
    site.refused(3, &["NetworkManager", "DNS is unchanged"]);
    site.write("nameserver 10.0.0.53\noptions rotate\n");
    site.refused(3, &["options rotate", "DNS is unchanged"]);
    site.write(BEFORE);
    site.node
        .sh("mount --bind /etc/resolv.conf /etc/resolv.conf")
        .unwrap();
    site.refused(3, &["mounted", "DNS is unchanged"]);
    site.node
        .sh("umount /etc/resolv.conf; mount -o remount,ro /etc")
        .unwrap();
    site.refused(1, &["read-only", "unchanged"]);
    site.node
        .sh("mount -o remount,rw /etc; mount --bind /dev/null $(readlink -f $(command -v nft))")
        .unwrap();
    let output = site.helper(UP);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        output.stderr.contains("install nftables"),
        "{}",
        output.stderr
    );
    assert_eq!(site.content(), BEFORE);
}

#[test]
fn other_users_and_wrong_words_change_nothing() {
    let site = Site::new();
    site.node.sh("chmod 644 /etc/resolv.conf").unwrap();
    let before = site.state();
    let words = [
        "--reuid=65534",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ];
    site.node.sh("mkdir -m 777 /run/open").unwrap();
    for state in ["/var/lib/tidegate-dns", "/run/open"] {
        let command = site.node.command("setpriv").args(words).arg(HELPER);
        let output = command
            .args(UP.split(' '))
            .args(["--state", state])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
        assert!(
            output.stderr.contains("nothing was changed"),
            "{}",
            output.stderr
        );
    }
    for wrong in [
        "",
        "sideways --interface tg0",
        "up --domain demo.internal --resolver 100.64.0.1:53",
        "up --interface tg0 --domain demo.internal",
        "up --interface a/b --domain demo.internal --resolver 100.64.0.1:53",
        "up --interface tg0 --domain example.com --resolver 100.64.0.1:53",
        "up --interface tg0 --domain demo.internal --resolver 100.64.0.1",
        "down --interface tg0 --domain demo.internal",
        "down --interface tg0 --interface tg1",
        "down --interface",
    ] {
        let output = site.helper(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong}: {}", output.stderr);
        assert!(output.stderr.contains("usage:"), "{wrong}");
    }
    let output = site.helper("up --interface tg0 --domain demo.internal --resolver 127.0.0.1:53");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(site.state(), before);
}

/// The system calls that change something, or start or await something that does.
const STEPS: [&str; 17] = [
    "write",
    "ftruncate",
    "fsync",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "fchmod",
    "fchown",
    "mkdir",
    "flock",
    "clone",
    "clone3",
    "vfork",
    "wait4",
    "waitid",
];

/// Kills the helper at the `nth` such call. False when it ended before.
fn killed_at(site: &Site, call: &str, nth: usize, words: &str) -> bool {
    let kill = format!("inject={call}:signal=KILL:when={nth}");
    let traced = [
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "signal=none",
        "-e",
        &kill,
        HELPER,
    ];
    let command = site.node.command("strace").args(traced);
    let output = command.args(words.split(' ')).output().unwrap();
    match output.status.code() {
        Some(0) => false,
        None | Some(137) => true,
        other => panic!("{call} {nth} of {words}: {other:?} {}", output.stderr),
    }
}

/// Kills the helper at each of these calls in turn, and returns how many times it was killed.
fn killed_at_each(site: &Site, call: &str, words: &str, before: &str, after: &str) -> usize {
    for nth in 1..500 {
        if words == DOWN {
            site.up();
        }
        let killed = killed_at(site, call, nth, words);
        let (content, at) = (site.content(), format!("{call} {nth} of {words}"));
        assert!(
            content == BEFORE || content == after,
            "{at} left {content:?}"
        );
        // What follows a crash is a start as often as a stop.
        if nth % 2 == 0 {
            site.up();
            assert_eq!(site.content(), after, "{at}");
        }
        site.down();
        assert_eq!(site.state(), before, "{at}");
        if !killed {
            return nth - 1;
        }
    }
    panic!("{words} calls {call} without end");
}

#[test]
fn killed_at_any_step_it_leaves_before_or_after_and_the_next_run_puts_all_back() {
    let site = Site::new();
    let before = site.state();
    site.up();
    let after = site.content();
    site.down();
    for words in [UP, DOWN] {
        let deaths: Vec<_> = STEPS
            .iter()
            .map(|call| (call, killed_at_each(&site, call, words, &before, &after)))
            .filter(|(_, deaths)| *deaths > 0)
            .collect();
        println!("{words}: killed at {deaths:?}");
        assert!(deaths.len() >= 6, "{words}: killed only at {deaths:?}");
    }
}
