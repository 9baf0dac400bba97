//! A network behind a node: who in it may begin, by the policy, and who may not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use tidegate_tests::Host;
use tidegate_tests::overlay::{BEHIND, LAN, Node, Overlay, Underlay};
use tidegate_tests::wait_until;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn hosts_behind_a_router_begin_only_what_the_policy_names_them_for() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let server = overlay
        .node_with("server", "accept_routes = true\n")
        .unwrap();
    let router = router(&mut overlay);
    let printer = overlay.behind(&router, "printer").unwrap();
    let address = server.address(0).unwrap();

    router.await_ping(&server).unwrap();
    the_router_itself_is_a_node_like_any_other(&server, &router, &address);
    let reaches = |host: &Host| host.run("ping", ["-c", "1", "-W", "1", &address]).is_ok();
    assert!(
        !reaches(&printer),
        "'all' is every node, not what is behind"
    );

    rules(
        &overlay,
        &[("all", "all"), (&format!("cidr:{LAN}"), "node:server")],
    );
    wait_until(SOON, "the printer to reach the server", || {
        reaches(&printer)
    })
    .unwrap();
    let answered = |from: &Node| from.pings(BEHIND);
    assert!(!answered(&server), "nobody may begin with the printer");

    rules(
        &overlay,
        &[("all", "all"), ("node:server", &format!("cidr:{LAN}"))],
    );
    wait_until(SOON, "the server to reach the printer", || {
        answered(&server)
    })
    .unwrap();
    assert!(!reaches(&printer), "and not the other way round any more");
    router.await_ping(&server).unwrap();
}

fn router(overlay: &mut Overlay) -> Node {
    let mut router = overlay.host("router").unwrap();
    router
        .configure(&format!("serve_routes = [\"{LAN}\"]\nmasquerade = false\n"))
        .unwrap();
    let (genesis, state) = (overlay.dir().join("genesis/genesis-1.json"), router.state());
    let asked = router.try_run([
        "join",
        "--genesis",
        genesis.to_str().unwrap(),
        "--name",
        "router",
        "--route",
        LAN,
        "--no-start",
        "--state-dir",
        state.to_str().unwrap(),
    ]);
    assert_eq!(asked.unwrap().code, Some(0));
    router.spawn_pending().unwrap();
    let role = ["approve", "router", "--role", "member", "--route", LAN];
    overlay.admin(role).unwrap();
    router.await_state("up", SOON).unwrap();
    router
}

fn the_router_itself_is_a_node_like_any_other(server: &Node, router: &Node, address: &str) {
    wait_until(SOON, "the route to be taken", || {
        let route = server.host().sh("ip route get 192.168.7.5");
        route.is_ok_and(|route| route.contains("dev tidegate"))
    })
    .unwrap();
    wait_until(SOON, "the router to reach the server", || {
        router.pings(address)
    })
    .unwrap();
}

/// Puts a policy in force that has these rules instead of its own.
fn rules(overlay: &Overlay, rules: &[(&str, &str)]) {
    let policy = overlay.admin(["policy", "get"]).unwrap();
    let kept: String = policy
        .split_inclusive("\n\n")
        .filter(|section| !section.contains("[[rules]]"))
        .collect();
    let rule = |(from, to): &(&str, &str)| {
        format!("\n[[rules]]\nfrom = [\"{from}\"]\nto = [\"{to}\"]\nprotocol = \"any\"\n")
    };
    let text = kept + &rules.iter().map(rule).collect::<String>();
    let file = overlay.folder().join("policy.toml");
    std::fs::write(&file, text).unwrap();
    let put = ["policy", "put", file.to_str().unwrap()];
    overlay.admin(put).unwrap();
}
