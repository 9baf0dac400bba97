//! What a host may lack: one clear error says what is missing and what still works, and nothing is half done.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use support::{Bench, desired, open, prefix, wanted, with_exit, with_gateway};
use tidegate_netconfig::desired::RouteKind;
use tidegate_netconfig::error::DesiredError;
use tidegate_netconfig::preflight::{TunError, check_tun};
use tidegate_netconfig::{Desired, Family, Host, HostError, Part};

const STATE: &str = "TIDEGATE_TEST_STATE";
const TUN: &str = "TIDEGATE_TEST_TUN";

/// Not a test of its own but the small program that the others run with fewer rights: without its variables it does
/// nothing.
#[test]
fn child() {
    if let Ok(path) = env::var(TUN) {
        println!("{}", check_tun(&PathBuf::from(path)).unwrap_err());
    }
    if let Ok(state) = env::var(STATE) {
        let mut host = open(&PathBuf::from(state)).unwrap();
        assert_eq!(
            host.observe(&desired()).unwrap().device,
            Ok(2),
            "looking still works"
        );
        println!("{}", host.reconcile(&desired()).unwrap_err());
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let destroyed = host.destroy_sockets("127.0.0.1".parse().unwrap()).unwrap();
        assert!(destroyed.sockets == 0 && destroyed.refused > 0);
        println!("sockets: {}", destroyed.reason.unwrap());
    }
}

fn child_with(bench: &Bench, rights: &[&str], name: &str, value: &str) -> String {
    let program = env::current_exe().unwrap();
    let command = bench
        .host
        .command("setpriv")
        .args(rights)
        .arg(program)
        .args(["child", "--exact", "--nocapture"]);
    command.env(name, value).run().unwrap()
}

#[test]
fn without_cap_net_admin_nothing_is_changed() {
    let bench = Bench::new();
    let before = bench.snapshot();
    let rights = ["--bounding-set", "-net_admin", "--inh-caps", "-net_admin"];
    let said = child_with(&bench, &rights, STATE, bench.state().to_str().unwrap());
    assert!(said.contains("sockets: Operation not permitted"), "{said}");
    assert!(
        said.contains("CAP_NET_ADMIN is missing, nothing was changed"),
        "{said}"
    );
    bench.becomes(&before);
    assert_eq!(
        std::fs::read(bench.state().join("network.journal")).unwrap(),
        b"",
        "nothing was journaled either"
    );
}

#[test]
fn a_tunnel_device_that_cannot_be_made_says_who_owns_it() {
    let bench = Bench::new();
    let missing = bench.state().join("missing");
    assert_eq!(check_tun(&missing), Err(TunError::Missing(missing.clone())));
    assert!(
        check_tun(&missing)
            .unwrap_err()
            .to_string()
            .contains("modprobe tun")
    );
    let plain = bench.state().join("plain");
    std::fs::write(&plain, "").unwrap();
    assert_eq!(check_tun(&plain), Err(TunError::NotDevice(plain)));
    std::fs::set_permissions(bench.state(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let node = bench.state().join("tun");
    bench.sh(&format!(
        "mknod -m 640 {0} c 10 200; chown 12:34 {0}",
        node.display()
    ));
    assert_eq!(check_tun(&node), Ok(()));
    let program = bench.state().join("program");
    std::fs::copy(env::current_exe().unwrap(), &program).unwrap();
    let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let command = bench
        .host
        .command("setpriv")
        .args(nobody)
        .arg(program)
        .args(["child", "--exact", "--nocapture"]);
    let said = command.env(TUN, node.to_str().unwrap()).run().unwrap();
    assert!(
        said.contains("belongs to user 12 and group 34 with mode 640"),
        "{said}"
    );
}

#[test]
fn a_read_only_proc_sys_costs_exit_and_gateway_only() {
    let bench = Bench::new();
    bench.sh("mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys");
    let mut wish = with_gateway(&["192.168.7.0/24"]);
    wish.exit = with_exit(&Family::BOTH).exit;
    let outcome = bench.apply(&wish);
    assert!(
        outcome.lacks(Part::Gateway) && outcome.lacks(Part::Exit) && outcome.settled,
        "{outcome:?}"
    );
    let said = outcome.problems[0].to_string();
    assert!(
        said.contains("/proc/sys") && said.contains("everything else works"),
        "{said}"
    );
    as_with(&bench, &desired());
}

#[test]
fn a_missing_nft_costs_exit_and_gateway_only() {
    let bench = Bench::new();
    bench.sh("mount -t tmpfs none /usr/sbin");
    let mut wish = with_gateway(&["192.168.7.0/24"]);
    wish.exit = with_exit(&Family::BOTH).exit;
    let outcome = bench.apply(&wish);
    bench.host.run("/bin/umount", ["/usr/sbin"]).unwrap();
    assert!(
        outcome.lacks(Part::Gateway) && outcome.lacks(Part::Exit) && outcome.settled,
        "{outcome:?}"
    );
    let said = outcome.problems[0].to_string();
    assert!(
        said.contains("install the package nftables") && said.contains("everything else works"),
        "{said}"
    );
    as_with(&bench, &desired());
}

/// The host looks as if this had been the wish.
fn as_with(bench: &Bench, desired: &Desired) {
    let got = bench.snapshot();
    bench.undo();
    bench.apply(desired);
    bench.becomes(&got);
}

#[test]
fn a_taken_name_leaves_the_other_link_alone() {
    let mut bench = Bench::new();
    drop(bench.tunnel.take());
    tidegate_tests::wait_until(
        std::time::Duration::from_secs(5),
        "the device to go",
        || bench.host.sh("ip link show tg0").is_err(),
    )
    .unwrap();
    bench.sh("ip link add tg0 type veth peer name other; ip link set tg0 up; ip link set other up");
    let link = bench.sh("ip -d addr show tg0 | sed 's/ tentative//'");
    let outcome = bench.apply(&desired());
    assert!(outcome.lacks(Part::Device));
    let said = outcome.problems[0].to_string();
    assert!(
        said.contains(
            "tg0 is taken by a link of kind veth: rename that link or choose another name"
        ),
        "{said}"
    );
    assert_eq!(bench.sh("ip -d addr show tg0 | sed 's/ tentative//'"), link);
    assert!(
        bench.sh("ip route").contains("unreachable 100.64.0.0/10"),
        "the guards stand all the same"
    );
}

#[test]
fn a_prefix_outside_of_the_overlay_changes_nothing() {
    let bench = Bench::new();
    let before = bench.snapshot();
    let mut wish = desired();
    wish.routes
        .insert(prefix("8.8.8.0/24"), wanted(RouteKind::Overlay));
    let refused = bench.agent(move |host| host.reconcile(&wish)).unwrap_err();
    assert_eq!(
        refused,
        HostError::Desired(DesiredError::PrefixOutside(prefix("8.8.8.0/24")))
    );
    assert!(refused.to_string().contains("nothing was changed"));
    bench.becomes(&before);
}

#[test]
fn disabled_ipv6_costs_ipv6_only() {
    let bench = Bench::new();
    bench.sh("sysctl -w net.ipv6.conf.all.disable_ipv6=1");
    let mut wish = with_gateway(&["192.168.7.0/24", "2001:db8:7::/64"]);
    wish.exit = with_exit(&Family::BOTH).exit;
    let outcome = bench.apply(&wish);
    assert!(
        outcome.settled && outcome.problems.len() == 1 && outcome.lacks(Part::Ipv6),
        "{outcome:?}"
    );
    let said = outcome.problems[0].to_string();
    assert!(
        said.contains("net.ipv6.conf.all.disable_ipv6") && said.contains("everything else works"),
        "{said}"
    );
    assert!(bench.sh("ip route").contains("100.64.0.0/10 dev tg0"));
    assert!(bench.sh("ip rule").contains("5211:") && !bench.sh("ip -6 rule").contains("5211:"));
    bench.undo();
}

#[test]
fn ipv6_disabled_on_the_device_alone_leaves_guards_for_what_other_links_would_carry() {
    let bench = Bench::new();
    let lan = bench.lab.network("lan").unwrap();
    lan.attach(&bench.host, &["2001:db8:7::1/64"]).unwrap();
    bench.sh(
        "ip -6 route add default via 2001:db8:7::2; sysctl -w net.ipv6.conf.tg0.disable_ipv6=1",
    );
    assert!(
        bench.sh("ip route get fd00:64::9").contains("dev eth0"),
        "it would leave in clear"
    );
    let outcome = bench.apply(&desired());
    assert!(outcome.settled && outcome.lacks(Part::Ipv6), "{outcome:?}");
    let said = outcome.problems[0].to_string();
    assert!(said.contains("net.ipv6.conf.tg0.disable_ipv6"), "{said}");
    bench.host.sh("ip route get fd00:64::9").unwrap_err();
    assert!(bench.sh("ip route").contains("100.64.0.0/10 dev tg0"));
}

#[test]
fn a_refusal_in_the_middle_takes_its_part_back_whole() {
    let bench = Bench::new();
    // Somebody has a route where the exit's has to go: the kernel refuses a twin.
    bench.sh("ip route add default dev lo table 51820 metric 1");
    let outcome = bench.apply(&with_exit(&[Family::V4]));
    assert!(outcome.settled && outcome.lacks(Part::Exit), "{outcome:?}");
    let said = outcome.problems[0].to_string();
    assert!(said.contains("cannot add route 0.0.0.0/0"), "{said}");
    let (rules, tables) = (bench.sh("ip rule"), bench.sh("nft list tables"));
    assert!(
        !rules.contains("5210:") && !tables.contains("tidegate"),
        "{rules}{tables}"
    );
    assert_eq!(
        bench
            .sh("sysctl -n net.ipv4.conf.all.src_valid_mark")
            .trim(),
        "0"
    );
    let left = "default dev lo scope link metric 1";
    assert_eq!(
        bench.sh("ip route show table 51820").trim(),
        left,
        "only the other's route is there"
    );
    assert!(
        bench.sh("ip route").contains("100.64.0.0/10 dev tg0"),
        "everything else works"
    );
    bench.undo();
    assert_eq!(bench.sh("ip route show table 51820").trim(), left);
}

#[test]
fn a_route_that_somebody_else_has_is_reported_and_left() {
    let bench = Bench::new();
    let lan = bench.lab.network("lan").unwrap();
    lan.attach(&bench.host, &["192.168.7.1/24"]).unwrap();
    bench.sh("ip route add 10.5.0.0/16 dev eth0 metric 500");
    let mut wish = desired();
    let allowed = tidegate_netconfig::desired::Overlap::Allow;
    let route = tidegate_netconfig::desired::Wanted {
        overlap: allowed,
        ..wanted(RouteKind::Subnet)
    };
    wish.routes.insert(prefix("10.5.0.0/16"), route);
    let outcome = bench.apply(&wish);
    assert_eq!(outcome.failures.len(), 1, "{outcome:?}");
    assert!(
        outcome.failures[0].to_string().contains("10.5.0.0/16"),
        "{}",
        outcome.failures[0]
    );
    let routes = bench.sh("ip route");
    assert!(
        routes.contains("10.5.0.0/16 dev eth0") && routes.contains("100.64.0.0/10 dev tg0"),
        "{routes}"
    );
    bench.undo();
    assert!(bench.sh("ip route").contains("10.5.0.0/16 dev eth0"));
}

#[test]
fn a_state_directory_that_cannot_be_written_stops_before_any_change() {
    let bench = Bench::new();
    let before = bench.snapshot();
    let nowhere = bench.state().join("missing");
    let refused = bench
        .host
        .enter(move || open(&nowhere).err().unwrap())
        .unwrap();
    assert!(
        refused
            .to_string()
            .contains("make the state directory writable"),
        "{refused}"
    );
    bench.becomes(&before);
}

#[test]
fn a_damaged_journal_still_leads_back_by_our_marks() {
    let bench = Bench::new();
    let before = bench.snapshot();
    bench.apply(&with_exit(&Family::BOTH));
    let path = bench.state().join("network.journal");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let damaged = bench.agent(|host| host.damaged_records().to_vec());
    assert_eq!(damaged, [1]);
    bench.agent(Host::undo).unwrap();
    let after = bench.snapshot();
    let ours = |text: &str| {
        text.lines()
            .filter(|line| line.contains("proto 116") || line.contains("5210"))
            .count()
    };
    assert_eq!((ours(&after), ours(&before)), (0, 0), "{after}");
}
