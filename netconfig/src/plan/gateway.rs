//! Forwarding from the overlay to networks that this host reaches.

use crate::desired::{Desired, Gateway, LinkName, Part};
use crate::firewall::Filter;
use crate::observed::Observed;
use crate::prefix::{Family, Prefix};
use crate::sysctl::{Leaf, SysctlKey};
use crate::undo::Undo;

use super::goal::{Goal, SysctlGoal};

pub(super) fn add(goal: &mut Goal, desired: &Desired, observed: &Observed) -> Vec<Filter> {
    let (Some(gateway), Some(device)) = (&desired.gateway, &goal.device) else {
        return Vec::new();
    };
    let name = device.link.name.clone();
    let mut filters = serve(gateway, &name);
    for family in gateway.families() {
        let switch = switch(family);
        if family == Family::V6 {
            goal.sysctls.extend(keep_advertisements(observed));
        }
        if ours_to_set(&switch, "0", observed) {
            let along = along(&switch, observed);
            goal.sysctls.push(SysctlGoal {
                key: switch,
                to: "1",
                along,
                part: Part::Gateway,
            });
            filters.push(Filter::Isolate {
                device: name.clone(),
                family,
            });
        } else {
            let key = SysctlKey::link(family, name.as_str(), Leaf::Forwarding);
            if ours_to_set(&key, "0", observed) {
                goal.sysctls.push(SysctlGoal {
                    key,
                    to: "1",
                    along: Vec::new(),
                    part: Part::Gateway,
                });
            }
        }
    }
    filters.extend(masquerade(gateway, desired, &name));
    filters
}

/// Whether a setting is to be changed: it says `from` now, or did before we changed it.
pub(super) fn ours_to_set(key: &SysctlKey, from: &str, observed: &Observed) -> bool {
    let journaled = |undo: &Undo| matches!(undo, Undo::Sysctl { key: changed, was } if changed == key && was == from);
    match observed.sysctls.get(key) {
        Some(value) => value == from || observed.made.iter().any(journaled),
        None => false,
    }
}

/// The setting that turns forwarding on for a family, and resets others.
pub(super) fn switch(family: Family) -> SysctlKey {
    match family {
        Family::V4 => SysctlKey::IpForward,
        Family::V6 => SysctlKey::link(Family::V6, "all", Leaf::Forwarding),
    }
}

/// What the kernel resets when the switch changes: forwarding of every link and, for IPv4, the default for redirects.
pub(super) fn resets(switch: &SysctlKey, key: &SysctlKey) -> bool {
    let SysctlKey::Link { family, link, leaf } = key else {
        return false;
    };
    let forwarding = *leaf == Leaf::Forwarding && (link != "all");
    let redirects = *leaf == Leaf::AcceptRedirects && link == "all" && *family == Family::V4;
    *switch == self::switch(*family) && (forwarding || redirects)
}

fn along(switch: &SysctlKey, observed: &Observed) -> Vec<SysctlKey> {
    observed
        .sysctls
        .keys()
        .filter(|key| resets(switch, key))
        .cloned()
        .collect()
}

/// A forwarding host ignores router advertisements, and would lose its own default route, unless told to go on.
fn keep_advertisements(observed: &Observed) -> impl Iterator<Item = SysctlGoal> {
    let links = observed.sysctls.keys().filter(|key| {
        matches!(
            key,
            SysctlKey::Link {
                leaf: Leaf::AcceptRa,
                ..
            }
        )
    });
    let ours = links.filter(|key| ours_to_set(key, "1", observed));
    ours.map(|key| SysctlGoal {
        key: key.clone(),
        to: "2",
        along: Vec::new(),
        part: Part::Gateway,
    })
}

fn serve(gateway: &Gateway, device: &LinkName) -> Vec<Filter> {
    let serve = |network| Filter::Serve {
        device: device.clone(),
        network,
    };
    let mut filters: Vec<_> = gateway.networks.iter().copied().map(serve).collect();
    filters.push(Filter::ServeOnly {
        device: device.clone(),
    });
    filters.extend(admit(gateway, device));
    filters.push(Filter::AnswersOnly {
        device: device.clone(),
    });
    filters
}

/// Networks that are hidden behind this host's address begin nothing, nor does everybody else that an exit leads to.
fn admit(gateway: &Gateway, device: &LinkName) -> impl Iterator<Item = Filter> {
    let open = |network: &&Prefix| !gateway.masquerade && network.length() > 0;
    let networks = gateway.networks.iter().filter(open);
    networks.map(|network| Filter::Admit {
        device: device.clone(),
        network: *network,
    })
}

fn masquerade(gateway: &Gateway, desired: &Desired, device: &LinkName) -> Vec<Filter> {
    let mut filters = Vec::new();
    for to in gateway.networks.iter().filter(|_| gateway.masquerade) {
        for from in desired
            .ranges
            .iter()
            .filter(|range| range.family() == to.family())
        {
            filters.push(Filter::Masquerade {
                device: device.clone(),
                from: *from,
                to: *to,
            });
        }
    }
    filters
}
