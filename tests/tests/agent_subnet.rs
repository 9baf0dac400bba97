//! A network behind a node: who in it may begin, by the policy, and who may not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use tidegate_tests::overlay::{BEHIND, LAN, Node, Overlay, Underlay};
use tidegate_tests::{Capture, Host, wait_until};

const SOON: Duration = Duration::from_secs(20);

/// A server of the overlay, a router, and a printer in the network behind it.
struct Site {
    overlay: Overlay,
    server: Node,
    router: Node,
    printer: Host,
    /// The server's address.
    address: String,
}

#[test]
fn hosts_behind_a_router_begin_only_what_the_policy_names_them_for() {
    let site = Site::new();
    site.without_the_route_it_leaves_in_clear();
    site.the_route_leads_around_the_network();
    site.every_node_is_nobody_behind_one();
    site.the_printer_may_begin();
    site.the_server_may_begin();
    site.nothing_leaves_in_clear_once_the_router_is_out();
}

#[test]
fn leaving_is_over_only_when_everything_is_undone() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let router = router(&mut overlay);
    let ours = || {
        router
            .host()
            .sh("nft list ruleset; cat /proc/sys/net/ipv4/ip_forward")
    };
    wait_until(SOON, "the table and forwarding", || {
        ours().is_ok_and(|ours| ours.contains("table inet tidegate") && ours.ends_with("1\n"))
    })
    .unwrap();
    let state = router.state();
    let journal = || state.join("network.journal").exists();
    let leave = || {
        let words = ["leave", "--state-dir", state.to_str().unwrap()];
        router.try_cli(words).unwrap()
    };
    let nft = router.host().sh("readlink -f $(command -v nft)").unwrap();
    let hide = format!("mount --bind /dev/null {nft}");
    router.host().sh(&hide).unwrap();

    let by_daemon = leave();
    assert_eq!(by_daemon.code, Some(1), "{by_daemon:?}");
    for words in ["the keys are erased", "firewall table", "tidegate leave"] {
        assert!(by_daemon.err.contains(words), "{words} in {by_daemon:?}");
    }
    assert!(journal() && !state.join("identity.key").exists());
    let ended = || router.daemon().is_some_and(|daemon| !daemon.is_running());
    wait_until(SOON, "the daemon to end", ended).unwrap();
    let alone = leave();
    assert_eq!(alone.code, Some(1), "{alone:?}");
    assert!(alone.err.contains("nothing is erased"), "{alone:?}");
    assert!(journal());

    router.host().sh(&format!("umount {nft}")).unwrap();
    let done = leave();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(ours().unwrap(), "0\n");
    assert!(!journal());
    assert_eq!(leave().code, Some(6));
}

impl Site {
    fn new() -> Self {
        let mut overlay = Overlay::new(Underlay::V4).unwrap();
        let server = overlay.node("server").unwrap();
        let router = router(&mut overlay);
        let printer = overlay.behind(&router, "printer").unwrap();
        let address = server.address(0).unwrap();
        Self {
            overlay,
            server,
            router,
            printer,
            address,
        }
    }

    /// The server has another way for what is meant for the network: its default route.
    fn without_the_route_it_leaves_in_clear(&self) {
        let way_out = "ip route add default via 10.0.0.250";
        self.server.host().sh(way_out).unwrap();
        let clear = self.in_clear();
        assert!(!self.answers());
        assert!(clear.count().unwrap() > 0);
    }

    /// The router tells its address in the network too, over which the server must not try it once that is routed.
    fn the_route_leads_around_the_network(&self) {
        let tried = |address: &str| {
            let status = self.server.status().unwrap();
            let candidates = status["peers"][0]["candidates"].to_string();
            candidates.contains(&format!("\"{address}:"))
        };
        let inside = || tried("192.168.7.1");
        wait_until(SOON, "the router to be tried in its network", inside).unwrap();
        self.server.configure("accept_routes = true\n").unwrap();
        self.server.cli(["reload"]).unwrap();
        wait_until(SOON, "the route to be taken", || {
            let route = self.server.host().sh(&format!("ip route get {BEHIND}"));
            route.is_ok_and(|route| route.contains("dev tidegate"))
        })
        .unwrap();
        assert!(!inside() && tried("10.0.0.2"));
        self.router.await_ping(&self.server).unwrap();
    }

    fn every_node_is_nobody_behind_one(&self) {
        assert!(!self.reaches(), "'all' is every node, not what is behind");
        assert!(!self.answers(), "nor may anybody begin with that");
    }

    fn the_printer_may_begin(&self) {
        self.rule(&format!("cidr:{LAN}"), "node:server");
        wait_until(SOON, "the printer to reach the server", || self.reaches()).unwrap();
        assert!(!self.answers(), "nobody may begin with the printer");
    }

    fn the_server_may_begin(&self) {
        self.rule("node:server", &format!("cidr:{LAN}"));
        wait_until(SOON, "the server to reach the printer", || self.answers()).unwrap();
        assert!(!self.reaches(), "and not the other way round any more");
        self.router.await_ping(&self.server).unwrap();
    }

    /// What was meant for the network is stopped at the server, also once its settings were read anew.
    fn nothing_leaves_in_clear_once_the_router_is_out(&self) {
        let clear = self.in_clear();
        let out = ["revoke", "router", "--reason", "stolen"];
        self.overlay.admin(out).unwrap();
        wait_until(SOON, "the router to be out", || {
            let status = self.server.status().unwrap();
            status["peers"].as_array().is_some_and(Vec::is_empty)
        })
        .unwrap();
        assert!(!self.answers());
        self.server.cli(["reload"]).unwrap();
        let unguarded = || {
            let routes = self.server.host().sh(&format!("ip route show {LAN}"));
            !routes.unwrap().contains("unreachable")
        };
        let gone = wait_until(Duration::from_secs(1), "the guard to go", unguarded);
        assert!(gone.is_err() && !self.answers());
        assert_eq!(clear.count().unwrap(), 0, "it leaves in clear");
    }

    /// Packets for the network behind the router on the server's way out, seen from now on.
    fn in_clear(&self) -> Capture {
        let filter = format!("net {LAN}");
        self.server.host().capture("eth0", &filter).unwrap()
    }

    /// Whether the server answers the printer.
    fn reaches(&self) -> bool {
        let ping = ["-c", "1", "-W", "1", &self.address];
        self.printer.run("ping", ping).is_ok()
    }

    /// Whether the printer answers the server.
    fn answers(&self) -> bool {
        self.server.pings(BEHIND)
    }

    /// Puts a policy in force by which every node may begin with every other, and besides `from` with `to`.
    fn rule(&self, from: &str, to: &str) {
        let policy = self.overlay.admin(["policy", "get"]).unwrap();
        let sections = policy.split_inclusive("\n\n");
        let kept = sections.filter(|section| !section.contains("[[rules]]"));
        let rule = |(from, to)| {
            format!("\n[[rules]]\nfrom = [\"{from}\"]\nto = [\"{to}\"]\nprotocol = \"any\"\n")
        };
        let text = kept.collect::<String>() + &rule(("all", "all")) + &rule((from, to));
        let file = self.overlay.folder().join("policy.toml");
        std::fs::write(&file, text).unwrap();
        let put = ["policy", "put", file.to_str().unwrap()];
        self.overlay.admin(put).unwrap();
    }
}

/// A node whose owner asks for the route, and whose operator approves it.
fn router(overlay: &mut Overlay) -> Node {
    let mut router = overlay.host("router").unwrap();
    router
        .configure(&format!("serve_routes = [\"{LAN}\"]\nmasquerade = false\n"))
        .unwrap();
    router.ask(&overlay.genesis(), &["--route", LAN]).unwrap();
    router.spawn_pending().unwrap();
    let role = ["approve", "router", "--role", "member", "--route", LAN];
    overlay.admin(role).unwrap();
    router.await_state("up", SOON).unwrap();
    router
}
