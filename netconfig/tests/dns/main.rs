//! The fallback for names, on hosts of their own with the real kernel, nft, resolver library and servers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crash;
mod site;

use std::time::Duration;

use tidegate_tests::{Signal, example, wait_until};

use crate::site::{BEFORE, HELPER, Site, UP, UP6};

const SOON: Duration = Duration::from_secs(15);

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
fn names_are_asked_only_while_the_interface_has_the_address() {
    let site = Site::new();
    let before = site.state();
    site.node
        .sh("ip address del 100.64.0.1/16 dev tg0")
        .unwrap();
    let keeper = site.keep();
    let asks = || site.content().contains("nameserver 100.64.0.1");
    let until = |wanted: bool| {
        let there = wait_until(SOON, "resolv.conf to follow", || asks() == wanted);
        assert!(there.is_ok(), "{}: {}", keeper.output(), site.content());
    };
    for (appear, vanish) in [
        (
            "ip address add 100.64.0.1/16 dev tg0",
            "ip address del 100.64.0.1/16 dev tg0",
        ),
        (
            "ip address add 100.64.0.1/16 dev tg0",
            "ip link set tg0 down",
        ),
        ("ip link set tg0 up", "ip link del tg0"),
        (
            "ip tuntap add tg0 mode tun; ip address add 100.64.0.1/16 dev tg0; ip link set tg0 up",
            "true",
        ),
    ] {
        assert!(!asks(), "before {appear}");
        site.node.sh(appear).unwrap();
        until(true);
        site.node.sh(vanish).unwrap();
        until(vanish == "true");
    }
    assert!(keeper.stop_with(Signal::SIGTERM).is_ok());
    assert_eq!(site.state(), before);
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
fn a_file_that_was_not_there_goes_also_after_another_resolver() {
    let site = Site::new();
    site.node.sh("rm /etc/resolv.conf").unwrap();
    site.up();
    assert!(site.helper(UP6).status.success());
    assert!(site.content().contains("nameserver fd12::1"));
    site.down();
    assert!(site.node.sh("test ! -e /etc/resolv.conf").is_ok());
}

#[test]
fn without_a_bus_the_agent_is_told_so_and_changes_nothing() {
    let site = Site::new();
    let before = site.state();
    let keeper = site.node.command(example("split-dns").unwrap());
    let words = [
        "/var/lib",
        "tg0",
        "demo.internal",
        "100.64.0.0/16",
        "100.64.0.1:5300",
    ];
    let output = keeper.args(words).output().unwrap();
    assert!(!output.status.success());
    for word in ["system bus", "DNS is unchanged", "tidegate-dns"] {
        assert!(output.stderr.contains(word), "{}", output.stderr);
    }
    assert_eq!(site.state(), before);
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
