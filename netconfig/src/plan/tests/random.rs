//! For random wishes and hosts, the plan leads to the wish, settles, and touches nothing foreign.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use proptest::prelude::*;

use crate::desired::{Data, Desired, Exit, Gateway, Marks, Overlap, RouteKind, Wanted};
use crate::observed::{Foreign, Observed, Route, Rule, Target};
use crate::plan::goal::Goal;
use crate::plan::plan;
use crate::prefix::{Family, Prefix};

use super::model::{LAN, TUNNEL, apply, desired, host, make};

fn any_prefix() -> impl Strategy<Value = Prefix> {
    // Few bits, so that collisions are frequent.
    let v4 = (0_u8..4, 0_u8..4, 9_u8..=24).prop_map(|(b, c, length)| {
        Prefix::around(std::net::Ipv4Addr::new(10, b * 64, c, 0).into(), length).unwrap()
    });
    let v6 = (0_u16..4, 32_u8..=64).prop_map(|(b, length)| {
        Prefix::around(
            std::net::Ipv6Addr::new(0xfd99, 0, b, 0, 0, 0, 0, 0).into(),
            length,
        )
        .unwrap()
    });
    prop_oneof![v4, v6]
}

fn any_desired() -> impl Strategy<Value = Desired> {
    let wanted = (1_u32..4, any::<bool>()).prop_map(|(metric, allow)| Wanted {
        kind: RouteKind::Subnet,
        metric,
        overlap: if allow {
            Overlap::Allow
        } else {
            Overlap::Refuse
        },
    });
    let routes = prop::collection::btree_map(any_prefix(), wanted, 0..6);
    let addresses = prop::collection::btree_set(0_u8..4, 0..3);
    let families = prop::collection::btree_set(prop::sample::select(Family::BOTH.to_vec()), 1..3);
    let networks = prop::collection::btree_set(any_prefix(), 1..3);
    let exit = prop::option::of(families.prop_map(|families| Exit { families }));
    let gateway = prop::option::of(
        (networks, any::<bool>()).prop_map(|(networks, masquerade)| Gateway {
            networks,
            masquerade,
        }),
    );
    (
        routes,
        addresses,
        exit,
        gateway,
        any::<bool>(),
        any::<bool>(),
        1280_u32..1500,
    )
        .prop_map(|(routes, addresses, exit, gateway, flowing, device, mtu)| {
            let mut wish = desired();
            wish.routes.extend(routes);
            let tunnel = wish.device.as_mut().unwrap();
            tunnel.mtu = mtu;
            tunnel.addresses = addresses
                .iter()
                .map(|n| match n % 2 {
                    0 => std::net::IpAddr::from([100, 64, 0, *n]),
                    _ => std::net::IpAddr::from([0xfd00, 1, 0, 0, 0, 0, 0, u16::from(*n)]),
                })
                .collect();
            wish.device = wish.device.filter(|_| device);
            let data = if flowing {
                Data::Flowing
            } else {
                Data::Stopped
            };
            Desired {
                data,
                exit,
                gateway,
                ..wish
            }
        })
}

fn any_route() -> impl Strategy<Value = Route> {
    let target = prop_oneof![
        Just(Target::Link(TUNNEL)),
        Just(Target::Link(LAN)),
        Just(Target::Unreachable)
    ];
    (any_prefix(), 1_u32..4, target).prop_map(|(prefix, metric, target)| Route {
        prefix,
        table: 254,
        metric,
        target,
    })
}

prop_compose! {
    fn any_host()(
        routes in prop::collection::vec(any_route(), 0..8),
        foreign in prop::collection::btree_set((any_prefix(), any::<bool>()), 0..6),
        addresses in prop::collection::btree_map(0_u8..6, any::<bool>(), 0..4),
        forwarding in prop::collection::vec(any::<bool>(), 16),
        rule in any::<bool>(),
        up in any::<bool>(),
        tampered in any::<bool>(),
    ) -> Observed {
        let mut host = host();
        let mut keys = BTreeSet::new();
        host.routes = routes.into_iter().filter(|r| keys.insert((r.prefix, r.metric))).collect();
        host.foreign = foreign
            .into_iter()
            .map(|(prefix, direct)| Foreign { prefix, link: Some(LAN), direct, metric: 100 })
            .collect();
        let link = host.links.get_mut(&TUNNEL).unwrap();
        link.up = up;
        link.addresses = addresses
            .into_iter()
            .map(|(n, ours)| (IpNet::from(std::net::IpAddr::from([100, 64, 0, n])), ours))
            .collect();
        for (value, on) in host.sysctls.values_mut().zip(forwarding) {
            *value = u8::from(on).to_string();
        }
        if rule {
            let stale = Rule { family: Family::V4, priority: 9, unless_mark: 5, table: 7, suppress: None };
            host.rules.insert(stale);
        }
        host.table = tampered.then(crate::firewall::TableView::default);
        host
    }
}

/// What no plan may change, unless the journal says that we did.
fn foreign_part(host: &Observed) -> (BTreeSet<Foreign>, BTreeMap<IpNet, bool>) {
    let mut addresses = host.links[&TUNNEL].addresses.clone();
    addresses.retain(|_, ours| !*ours);
    (host.foreign.clone(), addresses)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_plan_reaches_the_wish_and_settles(wish in any_desired(), mut host in any_host()) {
        let foreign = foreign_part(&host);
        let tampered = host.table.clone();
        apply(&mut host, &wish);
        let goal = Goal::of(&wish, &host);
        prop_assert_eq!(&host.routes, &goal.routes.keys().copied().collect::<BTreeSet<_>>());
        prop_assert_eq!(&host.rules, &goal.rules);
        let table = goal.table.as_ref().map(|(table, _)| table.view());
        let foreign_table = tampered.filter(|_| table.is_none());
        prop_assert_eq!(&host.table, &table.or(foreign_table));
        for sysctl in &goal.sysctls {
            prop_assert_eq!(&host.sysctls[&sysctl.key], sysctl.to);
        }
        if let Some(device) = &goal.device {
            let link = &host.links[&TUNNEL];
            prop_assert!(link.up && link.mtu == device.mtu);
            prop_assert!(device.addresses.iter().all(|address| link.addresses.contains_key(address)));
        }
        prop_assert_eq!(foreign_part(&host), foreign);
        let again = plan(&wish, &host).unwrap();
        prop_assert_eq!((again.changes, again.forget), (vec![], vec![]));
    }

    #[test]
    fn undo_restores_whatever_was_there(first in any_desired(), second in any_desired(), mut host in any_host()) {
        // Leftovers of ours are not part of what was there before us.
        host.routes.clear();
        host.rules.clear();
        host.table = None;
        host.links.get_mut(&TUNNEL).unwrap().addresses.retain(|_, ours| !*ours);
        let before = host.clone();
        apply(&mut host, &first);
        apply(&mut host, &second);
        apply(&mut host, &Desired::nothing(Marks::default()));
        prop_assert_eq!(host, before);
    }

    #[test]
    fn a_crash_after_any_change_and_another_in_its_undo_are_undone(wish in any_desired(), mut host in any_host(), share in 0_usize..=100) {
        host.routes.clear();
        host.rules.clear();
        host.table = None;
        host.links.get_mut(&TUNNEL).unwrap().addresses.retain(|_, ours| !*ours);
        let before = host.clone();
        for wish in [&wish, &Desired::nothing(Marks::default())] {
            let changes = plan(wish, &host).unwrap().changes;
            let cut = changes.len() * share / 100;
            for change in &changes[..cut] {
                make(&mut host, &change.action, &wish.marks);
            }
        }
        apply(&mut host, &Desired::nothing(Marks::default()));
        prop_assert_eq!(host, before);
    }
}
