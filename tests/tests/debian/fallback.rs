//! The overlay's names where systemd-resolved is not installed.

use std::path::Path;

use tidegate_tests::{binary, debs, wait_until};

use crate::site::{SOON, Site, UP};

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
    check_not_taken(&site);
    site.sh("dpkg --purge openresolv");

    check_reboot(&mut site);
}

/// With a local resolver in front, resolvconf lists no other server, so ours would never be asked.
fn check_not_taken(site: &Site) {
    site.sh("echo nameserver 127.0.0.1 | resolvconf -a lo.local");
    let before = site.file_state();
    let helper = site.machine.command("/usr/bin/tidegate-dns");
    let output = helper.args(UP).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    assert!(
        output.stderr.contains("does not list 100.64.0.1"),
        "{}",
        output.stderr
    );
    assert_eq!(site.file_state(), before);
}

fn start(site: &Site) {
    site.sh("systemctl start tidegate-dns@tg0");
    let found = wait_until(SOON, "names to be found", || site.finds_both());
    assert!(found.is_ok(), "{}", site.log("tidegate-dns@tg0"));
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
    let wanted =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd/sysinit.target.conf");
    site.sh("mkdir -p /etc/systemd/system/sysinit.target.d");
    site.machine
        .copy(
            &wanted,
            "/etc/systemd/system/sysinit.target.d/tidegate.conf",
        )
        .unwrap();
    site.sh("systemctl daemon-reload");
    let before = site.file_state();
    start(site);
    // As a power cut: nothing is told to end.
    site.machine.reboot_at_once().unwrap();
    assert_eq!(site.file_state(), before);
    site.connect();
    start(site);
    site.sh("systemctl stop tidegate-dns@tg0");
    assert_eq!(site.file_state(), before);
    site.machine.reboot().unwrap();
    assert_eq!(site.file_state(), before);
}
