use std::collections::BTreeSet;

use crate::change::{Action, Reason};
use crate::desired::{Data, Desired, Exit, GUARD_METRIC, Gateway, Marks, Overlap, Part, RouteKind};
use crate::observed::{Foreign, Ipv6, Observed, Route, Rule, Target};
use crate::plan::plan;
use crate::prefix::Family;
use crate::sysctl::{Leaf, SysctlKey};
use crate::undo::Undo;

use super::model::{LAN, TUNNEL, apply, desired, host, host_net, is_sysctl, prefix, wanted};

fn told(host: &Observed, desired: &Desired) -> Vec<String> {
    plan(desired, host)
        .unwrap()
        .changes
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn up() -> Observed {
    let mut host = host();
    apply(&mut host, &desired());
    host
}

fn foreign(text: &str, direct: bool) -> Foreign {
    Foreign {
        prefix: prefix(text),
        link: Some(LAN),
        direct,
        metric: 100,
    }
}

fn to_link(text: &str, metric: u32) -> Route {
    Route {
        prefix: prefix(text),
        table: 254,
        metric,
        target: Target::Link(TUNNEL),
    }
}

fn guard(text: &str) -> Route {
    Route {
        prefix: prefix(text),
        table: 254,
        metric: GUARD_METRIC,
        target: Target::Unreachable,
    }
}

#[test]
fn bring_up_guards_first_then_device_then_routes() {
    let expected = [
        "add unreachable route 100.64.0.0/10 (table 254, metric 4000000000): nothing meant for the overlay may leave in clear",
        "add unreachable route fd00:1::/48 (table 254, metric 4000000000): nothing meant for the overlay may leave in clear",
        "set the MTU of link 7 from 1500 to 1420: it differs from what is wanted",
        "set the queue of link 7 from 500 to 1000: it differs from what is wanted",
        "bring link 7 up: it is wanted and not there",
        "add address 100.64.0.5/32 to link 7: it is wanted and not there",
        "add address fd00:1::5/128 to link 7: it is wanted and not there",
        "add route 100.64.0.0/10 to link 7 (table 254, metric 500): it is wanted and not there",
        "add route fd00:1::/48 to link 7 (table 254, metric 500): it is wanted and not there",
    ];
    assert_eq!(told(&host(), &desired()), expected);
}

#[test]
fn a_second_application_changes_nothing() {
    let mut host = up();
    let again = apply(&mut host, &desired());
    assert_eq!((again.changes, again.forget), (vec![], vec![]));
}

#[test]
fn a_new_address_comes_before_the_old_one_goes() {
    let mut wish = desired();
    wish.device.as_mut().unwrap().addresses =
        ["100.64.0.6".parse().unwrap(), "fd00:1::5".parse().unwrap()].into();
    let expected = [
        "add address 100.64.0.6/32 to link 7: it is wanted and not there",
        "remove address 100.64.0.5/32 from link 7: it is ours and not wanted any more",
    ];
    assert_eq!(told(&up(), &wish), expected);
}

#[test]
fn a_withdrawn_route_takes_its_guard_along_last() {
    let mut wish = desired();
    wish.routes.remove(&prefix("fd00:1::/48"));
    let changes = plan(&wish, &up()).unwrap().changes;
    let actions: Vec<_> = changes.into_iter().map(|change| change.action).collect();
    let expected = [
        Action::RemoveRoute(to_link("fd00:1::/48", 500)),
        Action::RemoveRoute(guard("fd00:1::/48")),
    ];
    assert_eq!(actions, expected);
}

#[test]
fn a_changed_metric_replaces_the_route() {
    let mut wish = desired();
    wish.routes
        .get_mut(&prefix("100.64.0.0/10"))
        .unwrap()
        .metric = 10;
    let actions: Vec<_> = plan(&wish, &up())
        .unwrap()
        .changes
        .into_iter()
        .map(|change| change.action)
        .collect();
    let expected = [
        Action::RemoveRoute(to_link("100.64.0.0/10", 500)),
        Action::AddRoute(to_link("100.64.0.0/10", 10)),
    ];
    assert_eq!(actions, expected);
}

#[test]
fn stopped_data_leaves_only_the_guards() {
    let mut host = up();
    let stopped = Desired {
        data: Data::Stopped,
        ..desired()
    };
    let plan = apply(&mut host, &stopped);
    assert!(
        plan.changes
            .iter()
            .all(|change| matches!(change.action, Action::RemoveRoute(_)))
    );
    assert_eq!(
        host.routes,
        BTreeSet::from([guard("100.64.0.0/10"), guard("fd00:1::/48")])
    );
}

#[test]
fn guards_stay_when_the_device_is_gone() {
    let mut host = up();
    host.links.clear();
    host.device = Err("link tg0 is gone".into());
    host.routes
        .retain(|route| route.target == Target::Unreachable);
    let plan = apply(&mut host, &desired());
    assert_eq!(plan.changes, []);
    assert_eq!(plan.problems[0].part, Part::Device);
    assert_eq!(host.routes.len(), 2);
}

#[test]
fn what_others_took_away_is_put_back() {
    let mut host = up();
    let link = host.links.get_mut(&TUNNEL).unwrap();
    link.addresses.clear();
    link.mtu = 9000;
    host.routes.remove(&to_link("100.64.0.0/10", 500));
    let expected = [
        "set the MTU of link 7 from 9000 to 1420: it differs from what is wanted",
        "add address 100.64.0.5/32 to link 7: it is wanted and not there",
        "add address fd00:1::5/128 to link 7: it is wanted and not there",
        "add route 100.64.0.0/10 to link 7 (table 254, metric 500): it is wanted and not there",
    ];
    assert_eq!(told(&host, &desired()), expected);
}

#[test]
fn foreign_addresses_on_our_device_are_left_alone() {
    let mut host = up();
    host.links
        .get_mut(&TUNNEL)
        .unwrap()
        .addresses
        .insert(host_net("10.5.5.5"), false);
    assert_eq!(told(&host, &desired()), [""; 0]);
}

#[test]
fn conflicts_leave_one_route_out_and_name_both() {
    let conflicting = [
        (foreign("10.1.0.0/16", true), "directly connected, the same"),
        (foreign("10.0.0.0/8", true), "directly connected, wider"),
        (foreign("10.1.2.0/24", true), "directly connected, narrower"),
        (
            foreign("10.1.2.0/24", false),
            "more specific through a router",
        ),
        (foreign("10.1.0.0/16", false), "the same through a router"),
    ];
    for (existing, what) in conflicting {
        let mut host = host();
        host.foreign.insert(existing.clone());
        let mut wish = desired();
        wish.routes
            .insert(prefix("10.1.0.0/16"), wanted(RouteKind::Subnet));
        let plan = apply(&mut host, &wish);
        assert_eq!(plan.conflicts.len(), 1, "{what}");
        let text = plan.conflicts[0].to_string();
        assert!(
            text.contains("10.1.0.0/16") && text.contains(&existing.prefix.to_string()),
            "{text}"
        );
        assert!(text.contains("allow overlap for 10.1.0.0/16"), "{text}");
        assert!(
            !host.routes.contains(&to_link("10.1.0.0/16", 500)),
            "{what}"
        );
        assert!(
            host.routes.contains(&to_link("100.64.0.0/10", 500)),
            "other routes go in: {what}"
        );
    }
}

#[test]
fn a_wider_route_through_a_router_or_an_allowed_overlap_is_no_conflict() {
    let mut wish = desired();
    wish.routes
        .insert(prefix("10.1.0.0/16"), wanted(RouteKind::Subnet));
    let mut roomy = host();
    roomy.foreign.insert(foreign("10.0.0.0/8", false));
    assert_eq!(apply(&mut roomy, &wish).conflicts, []);
    let mut tight = host();
    tight.foreign.insert(foreign("10.1.0.0/16", true));
    wish.routes.get_mut(&prefix("10.1.0.0/16")).unwrap().overlap = Overlap::Allow;
    assert_eq!(apply(&mut tight, &wish).conflicts, []);
    assert!(tight.routes.contains(&to_link("10.1.0.0/16", 500)));
}

#[test]
fn a_guard_stays_behind_a_conflict_unless_it_would_hide_a_direct_network() {
    let overlay = "100.64.0.0/10";
    for (existing, guarded) in [
        ("100.64.9.0/24", true),
        ("100.64.0.0/10", true),
        ("100.0.0.0/8", false),
    ] {
        let mut host = host();
        host.foreign.insert(foreign(existing, true));
        apply(&mut host, &desired());
        assert_eq!(host.routes.contains(&guard(overlay)), guarded, "{existing}");
        assert!(!host.routes.contains(&to_link(overlay, 500)), "{existing}");
    }
}

#[test]
fn a_new_lan_withdraws_the_route_and_its_end_restores_it() {
    let mut host = up();
    let lan = foreign("100.64.0.0/24", true);
    host.foreign.insert(lan.clone());
    let expected = [
        "remove route 100.64.0.0/10 to link 7 (table 254, metric 500): it is ours and not wanted any more",
    ];
    assert_eq!(told(&host, &desired()), expected);
    apply(&mut host, &desired());
    host.foreign.remove(&lan);
    let expected =
        ["add route 100.64.0.0/10 to link 7 (table 254, metric 500): it is wanted and not there"];
    assert_eq!(told(&host, &desired()), expected);
}

fn with_exit() -> Desired {
    Desired {
        exit: Some(Exit {
            families: Family::BOTH.into(),
        }),
        ..desired()
    }
}

#[test]
fn an_exit_has_its_own_table_behind_rules_that_spare_the_lan_and_the_tunnel() {
    let mut host = up();
    let plan = apply(&mut host, &with_exit());
    let marks = Marks::default();
    let first = Rule {
        family: Family::V4,
        priority: 5210,
        unless_mark: marks.fwmark,
        table: 254,
        suppress: Some(0),
    };
    let second = Rule {
        priority: 5211,
        table: marks.table,
        suppress: None,
        ..first
    };
    assert!(host.rules.contains(&first) && host.rules.contains(&second) && host.rules.len() == 4);
    let last_route = plan
        .changes
        .iter()
        .rposition(|change| matches!(change.action, Action::AddRoute(_)));
    let first_rule = plan
        .changes
        .iter()
        .position(|change| matches!(change.action, Action::AddRule(_)));
    assert!(
        last_route < first_rule,
        "the rules come when the table is complete"
    );
    assert_eq!(
        host.sysctls[&SysctlKey::link(Family::V4, "all", Leaf::SrcValidMark)],
        "1"
    );
    assert!(host.table.is_some());
}

#[test]
fn an_exit_that_stops_sends_nothing_in_clear() {
    let mut host = up();
    apply(&mut host, &with_exit());
    apply(
        &mut host,
        &Desired {
            data: Data::Stopped,
            ..with_exit()
        },
    );
    let left: Vec<_> = host
        .routes
        .iter()
        .filter(|route| route.table == 51_820)
        .collect();
    assert!(left.len() == 2 && left.iter().all(|route| route.target == Target::Unreachable));
    assert_eq!(host.rules.len(), 4);
}

#[test]
fn an_exit_given_up_leaves_the_overlay_alone() {
    let mut host = up();
    let before = host.clone();
    apply(&mut host, &with_exit());
    let plan = apply(&mut host, &desired());
    assert_eq!(host, before);
    assert!(
        matches!(plan.changes[0].action, Action::RemoveRule(_)),
        "rules go first"
    );
}

fn with_gateway() -> Desired {
    let networks = [prefix("192.168.1.0/24"), prefix("2001:db8::/64")].into();
    Desired {
        gateway: Some(Gateway {
            networks,
            masquerade: true,
        }),
        ..desired()
    }
}

#[test]
fn a_gateway_journals_every_setting_that_the_kernel_changes_along() {
    let mut host = up();
    let plan = apply(&mut host, &with_gateway());
    let journaled: BTreeSet<_> = host
        .made
        .iter()
        .filter(|made| is_sysctl(made))
        .map(Undo::key)
        .collect();
    for key in [
        "net/ipv4/ip_forward",
        "net/ipv4/conf/all/accept_redirects",
        "net/ipv4/conf/default/forwarding",
        "net/ipv4/conf/eth0/forwarding",
        "net/ipv4/conf/tg0/forwarding",
        "net/ipv6/conf/all/forwarding",
        "net/ipv6/conf/default/forwarding",
        "net/ipv6/conf/eth0/forwarding",
        "net/ipv6/conf/eth0/accept_ra",
    ] {
        assert!(journaled.contains(&format!("sysctl {key}")), "{key}");
    }
    let position = |wanted: &str| {
        plan.changes
            .iter()
            .position(|change| change.action.to_string().contains(wanted))
    };
    assert!(
        position("firewall") < position("ip_forward"),
        "closed before it forwards"
    );
    assert!(
        position("accept_ra") < position("ipv6/conf/all/forwarding"),
        "or the default route is lost"
    );
}

#[test]
fn a_gateway_given_up_puts_every_setting_back() {
    let mut host = up();
    host.sysctls.insert(
        SysctlKey::link(Family::V4, "eth0", Leaf::Forwarding),
        "1".into(),
    );
    let before = host.clone();
    apply(&mut host, &with_gateway());
    assert_ne!(host.sysctls, before.sysctls);
    let plan = apply(&mut host, &desired());
    assert_eq!(host, before);
    let restored = plan
        .changes
        .iter()
        .filter(|change| change.reason == Reason::Restore)
        .count();
    assert!(restored >= 8, "{restored}");
}

#[test]
fn forwarding_that_was_on_is_neither_taken_over_nor_turned_off() {
    let mut host = up();
    host.sysctls.insert(SysctlKey::IpForward, "1".into());
    host.sysctls.insert(
        SysctlKey::link(Family::V4, "tg0", Leaf::Forwarding),
        "1".into(),
    );
    let mut wish = with_gateway();
    wish.gateway.as_mut().unwrap().networks = [prefix("192.168.1.0/24")].into();
    let plan = apply(&mut host, &wish);
    assert!(
        !plan
            .changes
            .iter()
            .any(|change| matches!(change.action, Action::SetSysctl { .. }))
    );
    let view = host.table.as_ref().unwrap();
    assert!(
        !view
            .rules
            .iter()
            .any(|(_, comment)| comment.starts_with("no other")),
        "others' forwarding goes on"
    );
    apply(&mut host, &Desired::nothing(Marks::default()));
    assert_eq!(host.sysctls[&SysctlKey::IpForward], "1");
}

#[test]
fn a_tampered_firewall_table_is_replaced_whole() {
    let mut host = up();
    apply(&mut host, &with_gateway());
    host.table.as_mut().unwrap().rules.pop();
    let changes = plan(&with_gateway(), &host).unwrap().changes;
    assert!(
        matches!(&changes[..], [only] if matches!(only.action, Action::ReplaceTable(_)) && only.reason == Reason::Differs)
    );
}

#[test]
fn a_foreign_table_of_our_name_is_not_removed() {
    let mut host = host();
    host.table = Some(crate::firewall::TableView::default());
    assert_eq!(told(&host, &Desired::nothing(Marks::default())), [""; 0]);
    let plan = apply(&mut host, &with_gateway());
    assert!(
        plan.problems[0]
            .to_string()
            .contains("a firewall table inet tidegate is there")
    );
    assert_eq!(host.table, Some(crate::firewall::TableView::default()));
}

#[test]
fn parts_that_the_host_cannot_do_are_left_out_whole() {
    let mut wish = with_gateway();
    wish.exit = with_exit().exit;
    for (part, lame) in [
        (Part::Gateway, "nft is not installed"),
        (Part::Ipv6, "IPv6 is disabled"),
        (Part::Device, "tg0 is a bridge"),
    ] {
        let mut host = host();
        match part {
            Part::Gateway => host.abilities.firewall = Err(lame.into()),
            Part::Ipv6 => host.abilities.ipv6 = Ipv6::NotOnDevice(lame.into()),
            _ => host.device = Err(lame.into()),
        }
        let plan = apply(&mut host, &wish);
        let problem = plan
            .problems
            .iter()
            .find(|problem| problem.part == part)
            .unwrap();
        assert!(
            problem.to_string().contains(lame)
                && problem.to_string().contains("everything else works")
        );
        assert!(
            apply(&mut host, &wish).changes.is_empty(),
            "it settles without {part}"
        );
    }
}

#[test]
fn ipv6_missing_on_the_device_alone_is_guarded_all_the_same() {
    let mut host = host();
    host.abilities.ipv6 = Ipv6::NotOnDevice("IPv6 is disabled on tg0".into());
    apply(&mut host, &with_exit());
    let ipv6 = |route: &&Route| route.prefix.family() == Family::V6;
    let routes: Vec<_> = host.routes.iter().filter(ipv6).collect();
    assert!(
        routes.len() == 2
            && routes
                .iter()
                .all(|route| route.target == Target::Unreachable),
        "{routes:?}"
    );
    host.abilities.ipv6 = Ipv6::Absent("this kernel has no IPv6".into());
    apply(&mut host, &with_exit());
    assert_eq!(
        host.routes.iter().filter(ipv6).count(),
        0,
        "there is nothing to leave by"
    );
}

#[test]
fn without_a_firewall_neither_exit_nor_gateway_leaves_a_trace() {
    let mut plain = host();
    apply(&mut plain, &desired());
    let mut host = host();
    host.abilities.firewall = Err("nft is not installed".into());
    apply(
        &mut host,
        &Desired {
            exit: with_exit().exit,
            ..with_gateway()
        },
    );
    host.abilities.firewall = Ok(());
    assert_eq!(host, plain);
}

#[test]
fn what_cannot_be_looked_at_is_not_forgotten() {
    let before = host();
    let mut host = host();
    apply(&mut host, &with_gateway());
    let (table, sysctls) = (host.table.take(), std::mem::take(&mut host.sysctls));
    host.abilities.firewall = Err("nft is not installed".into());
    host.abilities.sysctl = Err("/proc/sys is not there".into());
    let blind = apply(&mut host, &Desired::nothing(Marks::default()));
    let told: Vec<String> = blind.problems.iter().map(ToString::to_string).collect();
    assert!(
        told.len() == 2 && told[0].contains("nft is not installed"),
        "{told:?}"
    );
    (host.table, host.sysctls, host.abilities) = (table, sysctls, before.abilities.clone());
    apply(&mut host, &Desired::nothing(Marks::default()));
    assert_eq!(host, before);
}

#[test]
fn nothing_wanted_leaves_nothing() {
    let before = host();
    let mut host = host();
    apply(
        &mut host,
        &Desired {
            exit: with_exit().exit,
            ..with_gateway()
        },
    );
    assert_ne!(host, before);
    apply(&mut host, &Desired::nothing(Marks::default()));
    assert_eq!(host, before);
}

#[test]
fn a_device_that_was_up_stays_up() {
    let mut host = host();
    host.links.get_mut(&TUNNEL).unwrap().up = true;
    let before = host.clone();
    apply(&mut host, &desired());
    apply(&mut host, &Desired::nothing(Marks::default()));
    assert_eq!(host, before);
}

#[test]
fn a_wish_that_contradicts_itself_changes_nothing() {
    let wish = Desired {
        ranges: BTreeSet::new(),
        ..desired()
    };
    assert!(plan(&wish, &host()).is_err());
}
