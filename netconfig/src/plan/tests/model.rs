//! A model of the kernel, as far as a plan can change it.

use ipnet::IpNet;

use crate::change::Action;
use crate::desired::{Data, Desired, Device, LinkId, LinkName, Marks, Overlap, RouteKind, Wanted};
use crate::observed::{Link, Observed, Route, Target};
use crate::plan::gateway::resets;
use crate::plan::{Plan, plan};
use crate::prefix::{Family, Prefix};
use crate::sysctl::{Leaf, SysctlKey};
use crate::undo::Undo;

pub(super) const TUNNEL: u32 = 7;
pub(super) const LAN: u32 = 2;

/// Makes a change as the kernel would; panics where the kernel would refuse.
pub(super) fn make(host: &mut Observed, action: &Action, marks: &Marks) {
    for undo in action.undo(marks) {
        if !host.made.iter().any(|made| made.key() == undo.key()) {
            host.made.push(undo);
        }
    }
    let link =
        |host: &mut Observed, index: u32| -> *mut Link { host.links.get_mut(&index).unwrap() };
    let _ = link;
    match action.clone() {
        Action::SetSysctl { key, to, .. } => set_sysctl(host, &key, to),
        Action::SetMtu { link, was, to } => {
            let link = host.links.get_mut(&link).unwrap();
            assert_eq!(link.mtu, was);
            link.mtu = to;
        }
        Action::SetQueue { link, was, to } => {
            let link = host.links.get_mut(&link).unwrap();
            assert_eq!(link.queue, was);
            link.queue = to;
        }
        Action::SetUp { link } => host.links.get_mut(&link).unwrap().up = true,
        Action::SetDown { link } => {
            host.links.get_mut(&link).unwrap().up = false;
            host.routes
                .retain(|route| route.target != Target::Link(link));
        }
        Action::AddAddress { link, address } => {
            assert_eq!(
                host.links
                    .get_mut(&link)
                    .unwrap()
                    .addresses
                    .insert(address, true),
                None
            );
        }
        Action::RemoveAddress { link, address } => {
            assert_eq!(
                host.links
                    .get_mut(&link)
                    .unwrap()
                    .addresses
                    .remove(&address),
                Some(true),
                "foreign address"
            );
        }
        Action::AddRoute(route) => add_route(host, route),
        Action::RemoveRoute(route) => assert!(host.routes.remove(&route)),
        Action::AddRule(rule) => assert!(host.rules.insert(rule)),
        Action::RemoveRule(rule) => assert!(host.rules.remove(&rule)),
        Action::ReplaceTable(table) => host.table = Some(table.view()),
        Action::RemoveTable { .. } => assert!(host.table.take().is_some()),
    }
}

fn add_route(host: &mut Observed, route: Route) {
    if let Target::Link(link) = route.target {
        assert!(
            host.links[&link].up,
            "the kernel refuses routes to a link that is down"
        );
    }
    let same = |other: &Route| {
        (other.prefix, other.table, other.metric) == (route.prefix, route.table, route.metric)
    };
    assert!(
        !host.routes.iter().any(same),
        "the kernel refuses a second route of the same key"
    );
    host.routes.insert(route);
}

/// `was` is not compared: a plan does not foresee what the kernel resets along.
fn set_sysctl(host: &mut Observed, key: &SysctlKey, to: String) {
    let reset: Vec<_> = host
        .sysctls
        .keys()
        .filter(|other| resets(key, other))
        .cloned()
        .collect();
    let changed = host.sysctls.insert(key.clone(), to.clone()).unwrap() != to;
    for other in reset.into_iter().filter(|_| changed) {
        let redirects = matches!(
            &other,
            SysctlKey::Link {
                leaf: Leaf::AcceptRedirects,
                ..
            }
        );
        let value = if redirects == (to == "1") { "0" } else { "1" };
        host.sysctls.insert(other, value.to_owned());
    }
}

/// Plans, applies to the model, and forgets; gives the plan.
pub(super) fn apply(host: &mut Observed, desired: &Desired) -> Plan {
    let plan = plan(desired, host).unwrap();
    for change in &plan.changes {
        make(host, &change.action, &desired.marks);
    }
    host.made.retain(|made| !plan.forget.contains(made));
    plan
}

pub(super) fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

pub(super) fn wanted(kind: RouteKind) -> Wanted {
    Wanted {
        kind,
        metric: 500,
        overlap: Overlap::Refuse,
    }
}

/// A host with a tunnel device that nobody has touched.
pub(super) fn host() -> Observed {
    let link = Link {
        index: TUNNEL,
        name: LinkName::new("tg0").unwrap(),
        up: false,
        mtu: 1500,
        queue: 500,
        addresses: std::collections::BTreeMap::new(),
    };
    let mut host = Observed {
        links: [(TUNNEL, link)].into(),
        device: Ok(TUNNEL),
        ..Observed::default()
    };
    for family in Family::BOTH {
        for link in ["all", "default", "eth0", "tg0"] {
            host.sysctls
                .insert(SysctlKey::link(family, link, Leaf::Forwarding), "0".into());
        }
    }
    host.sysctls
        .remove(&SysctlKey::link(Family::V4, "all", Leaf::Forwarding));
    host.sysctls.insert(SysctlKey::IpForward, "0".into());
    host.sysctls.insert(
        SysctlKey::link(Family::V4, "all", Leaf::AcceptRedirects),
        "1".into(),
    );
    host.sysctls.insert(
        SysctlKey::link(Family::V4, "all", Leaf::SrcValidMark),
        "0".into(),
    );
    host.sysctls.insert(
        SysctlKey::link(Family::V6, "eth0", Leaf::AcceptRa),
        "1".into(),
    );
    host
}

/// The wish for one address of each family and the overlay's two ranges.
pub(super) fn desired() -> Desired {
    let ranges = [prefix("100.64.0.0/10"), prefix("fd00:1::/48")];
    let device = Device {
        link: LinkId::Name(LinkName::new("tg0").unwrap()),
        addresses: ["100.64.0.5".parse().unwrap(), "fd00:1::5".parse().unwrap()].into(),
        mtu: 1420,
        queue: Some(1000),
    };
    Desired {
        device: Some(device),
        ranges: ranges.into(),
        routes: ranges
            .map(|range| (range, wanted(RouteKind::Overlay)))
            .into(),
        data: Data::Flowing,
        ..Desired::nothing(Marks::default())
    }
}

pub(super) fn host_net(text: &str) -> IpNet {
    IpNet::from(text.parse::<std::net::IpAddr>().unwrap())
}

pub(super) fn is_sysctl(undo: &Undo) -> bool {
    matches!(undo, Undo::Sysctl { .. })
}
