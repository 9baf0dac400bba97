//! Looking at the host: only at what concerns us.

use std::collections::BTreeMap;
use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;

use crate::desired::{Desired, LinkId, Marks};
use crate::foreign::ForeignSet;
use crate::mtu::Path;
use crate::netlink::{Netlink, NetlinkError, address, link, route, rule};
use crate::observed::{Abilities, Link, MAIN_TABLE, Observed};
use crate::prefix::Family;
use crate::system;
use crate::undo::Undo;

/// Looks at everything that a plan for `desired` needs.
pub(crate) fn observe(
    netlink: &mut Netlink,
    desired: &Desired,
    made: Vec<Undo>,
    foreign: &ForeignSet,
) -> Result<Observed, NetlinkError> {
    let mut observed = Observed {
        made,
        ..Observed::default()
    };
    observe_links(netlink, desired, &mut observed)?;
    observe_addresses(netlink, &desired.marks, &mut observed)?;
    observed.foreign.extend(foreign.entries().iter().cloned());
    for family in families() {
        observe_family(netlink, &desired.marks, family, &mut observed)?;
    }
    observe_settings(desired, &mut observed);
    Ok(observed)
}

/// The families that the kernel knows.
pub(crate) fn families() -> impl Iterator<Item = Family> {
    let ipv6 = system::has_ipv6();
    Family::BOTH
        .into_iter()
        .filter(move |family| *family == Family::V4 || ipv6)
}

/// Reads the main table, all of it or one link's part, and keeps what touches the wanted prefixes.
pub(crate) fn scan(
    netlink: &mut Netlink,
    foreign: &ForeignSet,
    marks: &Marks,
    link: Option<u32>,
) -> Result<ForeignSet, NetlinkError> {
    let mut found = ForeignSet::new(foreign.wanted().iter().copied());
    let wanted: Vec<Family> = families()
        .filter(|family| concerns(foreign, *family))
        .collect();
    for family in wanted {
        let query = route::Query {
            table: Some(MAIN_TABLE),
            link,
            ..route::Query::default()
        };
        let so_far = found;
        let scanned = netlink.gather(
            &query.message(family),
            || so_far.clone(),
            |found, message| {
                let RouteNetlinkMessage::NewRoute(message) = message else {
                    return;
                };
                let told = route::Told::read(&message);
                if let Some(told) = told.filter(|told| foreign_in_main(told, marks)) {
                    found.add(told.foreign());
                }
            },
        );
        found = match scanned {
            Err(error) if error.is(libc::ENODEV) => so_far, // the link is gone, and its routes with it
            scanned => scanned?,
        };
    }
    Ok(found)
}

fn concerns(foreign: &ForeignSet, family: Family) -> bool {
    foreign
        .wanted()
        .iter()
        .any(|prefix| prefix.family() == family)
}

/// Whether a route is somebody else's and takes part in the host's ordinary decisions.
pub(crate) fn foreign_in_main(told: &route::Told, marks: &Marks) -> bool {
    told.table == MAIN_TABLE && told.protocol != marks.protocol
}

fn observe_links(
    netlink: &mut Netlink,
    desired: &Desired,
    observed: &mut Observed,
) -> Result<(), NetlinkError> {
    let known = observed
        .made
        .iter()
        .filter_map(Undo::link)
        .collect::<std::collections::BTreeSet<u32>>();
    for index in known {
        // In another network namespace the number may be any link's; we only ever touch tunnels.
        if let Some(told) = find_link(netlink, &LinkId::Index(index))?.filter(|told| told.tunnel) {
            observed.links.insert(index, told.into());
        }
    }
    let Some(device) = &desired.device else {
        return Ok(());
    };
    observed.device = match find_link(netlink, &device.link)? {
        None => Err(format!(
            "there is no link {}: the part that makes the tunnel device has not or no longer",
            device.link
        )),
        Some(told) if !told.tunnel => Err(format!(
            "the name {} is taken by a link of kind {}: rename that link or choose another name",
            told.name, told.kind
        )),
        Some(told) => {
            let index = told.index;
            observed.links.insert(index, told.into());
            Ok(index)
        }
    };
    Ok(())
}

pub(crate) fn find_link(
    netlink: &mut Netlink,
    id: &LinkId,
) -> Result<Option<link::Told>, NetlinkError> {
    match netlink.find(link::query(id))? {
        Some(RouteNetlinkMessage::NewLink(message)) => Ok(link::read(&message)),
        _ => Ok(None),
    }
}

/// Where packets with our mark to an address go, and how large they may be there.
pub(crate) fn find_path(
    netlink: &mut Netlink,
    endpoint: IpAddr,
    mark: u32,
) -> Result<Option<Path>, NetlinkError> {
    let found = match netlink.find(route::lookup(endpoint, mark)) {
        Ok(Some(RouteNetlinkMessage::NewRoute(message))) => route::read_lookup(&message),
        Ok(_) => None,
        Err(NetlinkError::Refused(_)) => None, // unreachable, prohibited, or no route at all
        Err(error) => return Err(error),
    };
    let Some((link, source, mtu)) = found else {
        return Ok(None);
    };
    let mtu = match mtu {
        Some(mtu) => Some(mtu),
        None => find_link(netlink, &LinkId::Index(link))?.map(|told| told.mtu),
    };
    Ok(mtu.map(|mtu| Path { link, source, mtu }))
}

impl From<link::Told> for Link {
    fn from(told: link::Told) -> Self {
        let link::Told {
            index,
            name,
            up,
            mtu,
            queue,
            ..
        } = told;
        Self {
            index,
            name,
            up,
            mtu,
            queue,
            addresses: BTreeMap::new(),
        }
    }
}

fn observe_addresses(
    netlink: &mut Netlink,
    marks: &Marks,
    observed: &mut Observed,
) -> Result<(), NetlinkError> {
    let addresses = netlink.gather(&address::query(), Vec::new, |addresses, message| {
        if let RouteNetlinkMessage::NewAddress(message) = message {
            addresses.extend(address::read(&message));
        }
    })?;
    for told in addresses {
        let step = Undo::Address {
            link: told.link,
            address: told.address,
        };
        let ours = told.protocol == marks.protocol || observed.made.contains(&step);
        if let Some(link) = observed.links.get_mut(&told.link) {
            link.addresses.insert(told.address, ours);
        }
    }
    Ok(())
}

fn observe_family(
    netlink: &mut Netlink,
    marks: &Marks,
    family: Family,
    observed: &mut Observed,
) -> Result<(), NetlinkError> {
    let query = route::Query {
        protocol: marks.protocol,
        ..route::Query::default()
    };
    let routes = netlink.gather(&query.message(family), Vec::new, |routes, message| {
        if let RouteNetlinkMessage::NewRoute(message) = message {
            let told = route::Told::read(&message).filter(|told| told.protocol == marks.protocol);
            routes.extend(told.and_then(|told| told.ours()));
        }
    })?;
    observed.routes.extend(routes);
    let rules = netlink.gather(&rule::query(family), Vec::new, |rules, message| {
        if let RouteNetlinkMessage::NewRule(message) = message {
            rules.extend(rule::read(&message, marks.protocol));
        }
    })?;
    observed.rules.extend(rules);
    Ok(())
}

/// Looks at kernel settings and the firewall only where the wish or the journal asks for them.
fn observe_settings(desired: &Desired, observed: &mut Observed) {
    let wants = desired.exit.is_some() || desired.gateway.is_some();
    let made = |which: fn(&Undo) -> bool| observed.made.iter().any(which);
    let sysctls = wants || made(|step| matches!(step, Undo::Sysctl { .. }));
    let table = wants || made(|step| matches!(step, Undo::Table { .. }));
    let mut abilities = Abilities::default();
    if sysctls {
        observed.sysctls = system::read_sysctls();
        abilities.sysctl = system::sysctl_ability();
    }
    if table {
        match system::list_table(&desired.marks.nft_table) {
            Ok(view) => observed.table = view,
            Err(missing) => abilities.firewall = Err(missing),
        }
    }
    let device = observed
        .device
        .as_ref()
        .ok()
        .and_then(|index| observed.links.get(index));
    abilities.ipv6 = system::ipv6_ability(device.map(|link| link.name.as_str()));
    observed.abilities = abilities;
}
