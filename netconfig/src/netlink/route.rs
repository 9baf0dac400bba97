//! Routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteProtocol,
    RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::observed::{Foreign, Route, Target};
use crate::prefix::{Family, Prefix};

/// What a message says of a route, whoever made it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Told {
    pub(crate) prefix: Prefix,
    pub(crate) table: u32,
    pub(crate) metric: u32,
    pub(crate) protocol: u8,
    pub(crate) link: Option<u32>,
    pub(crate) direct: bool,
    pub(crate) kind: RouteType,
}

pub(crate) const fn family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

/// The message that describes one of our routes.
pub(crate) fn message(route: &Route, protocol: u8) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: family(route.prefix.family()),
        destination_prefix_length: route.prefix.length(),
        table: u8::try_from(route.table).unwrap_or(0),
        protocol: RouteProtocol::from(protocol),
        scope: RouteScope::Universe,
        kind: RouteType::Unreachable,
        ..RouteHeader::default()
    };
    message.attributes = vec![
        RouteAttribute::Destination(RouteAddress::from(route.prefix.address())),
        RouteAttribute::Priority(route.metric),
        RouteAttribute::Table(route.table),
    ];
    if let Target::Link(link) = route.target {
        message.header.kind = RouteType::Unicast;
        message.header.scope = RouteScope::Link;
        message.attributes.push(RouteAttribute::Oif(link));
    }
    message
}

/// A request for all routes of a family that match; the kernel filters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Query {
    pub(crate) protocol: u8,
    pub(crate) table: Option<u32>,
    pub(crate) link: Option<u32>,
}

impl Query {
    pub(crate) fn message(self, of: Family) -> RouteNetlinkMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = family(of);
        message.header.protocol = RouteProtocol::from(self.protocol);
        message.header.kind = RouteType::Unspec;
        message.header.scope = RouteScope::Universe;
        if let Some(table) = self.table {
            message.header.table = u8::try_from(table).unwrap_or(0);
            message.attributes.push(RouteAttribute::Table(table));
        }
        message
            .attributes
            .extend(self.link.map(RouteAttribute::Oif));
        RouteNetlinkMessage::GetRoute(message)
    }
}

/// A request for the route that a packet with this mark would take.
pub(crate) fn lookup(to: IpAddr, mark: u32) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(Family::of(to));
    message.header.destination_prefix_length = Prefix::host(to).length();
    message.attributes = vec![
        RouteAttribute::Destination(RouteAddress::from(to)),
        RouteAttribute::Mark(mark),
    ];
    RouteNetlinkMessage::GetRoute(message)
}

/// Reads the answer to a lookup: link, source address, and the MTU if the route has one of its own.
pub(crate) fn read_lookup(message: &RouteMessage) -> Option<(u32, Option<IpAddr>, Option<u32>)> {
    let (mut link, mut source, mut mtu) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(found) => link = Some(*found),
            RouteAttribute::PrefSource(RouteAddress::Inet(found)) => {
                source = Some(IpAddr::V4(*found))
            }
            RouteAttribute::PrefSource(RouteAddress::Inet6(found)) => {
                source = Some(IpAddr::V6(*found))
            }
            RouteAttribute::Metrics(metrics) => {
                mtu = metrics.iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(mtu) => Some(*mtu),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    Some((link?, source, mtu.filter(|mtu| *mtu > 0)))
}

impl Told {
    /// Reads a message; `None` for families and forms that no wanted route can touch.
    pub(crate) fn read(message: &RouteMessage) -> Option<Self> {
        let zero: IpAddr = match message.header.address_family {
            AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
            AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
            _ => return None,
        };
        let mut address = zero;
        let mut told = Self {
            prefix: Prefix::host(zero),
            table: u32::from(message.header.table),
            metric: 0,
            protocol: message.header.protocol.into(),
            link: None,
            direct: message.header.kind == RouteType::Unicast,
            kind: message.header.kind,
        };
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(RouteAddress::Inet(to)) => address = IpAddr::V4(*to),
                RouteAttribute::Destination(RouteAddress::Inet6(to)) => address = IpAddr::V6(*to),
                RouteAttribute::Table(table) => told.table = *table,
                RouteAttribute::Priority(metric) => told.metric = *metric,
                RouteAttribute::Oif(link) => told.link = Some(*link),
                RouteAttribute::Gateway(_)
                | RouteAttribute::Via(_)
                | RouteAttribute::MultiPath(_) => told.direct = false,
                _ => {}
            }
        }
        told.prefix = Prefix::around(address, message.header.destination_prefix_length)?;
        Some(told)
    }

    /// The route as one of ours, if it has such a form.
    pub(crate) fn ours(&self) -> Option<Route> {
        let target = match (self.kind, self.link) {
            (RouteType::Unreachable, _) => Target::Unreachable,
            (RouteType::Unicast, Some(link)) if self.direct => Target::Link(link),
            _ => return None,
        };
        Some(Route {
            prefix: self.prefix,
            table: self.table,
            metric: self.metric,
            target,
        })
    }

    /// The route as somebody else's.
    pub(crate) fn foreign(&self) -> Foreign {
        Foreign {
            prefix: self.prefix,
            link: self.link,
            direct: self.direct,
            metric: self.metric,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_routes_survive_their_own_message() {
        for target in [Target::Link(7), Target::Unreachable] {
            for (prefix, table) in [
                ("10.1.0.0/16", 254),
                ("fd00::/48", 51_820),
                ("0.0.0.0/0", 51_820),
            ] {
                let route = Route {
                    prefix: prefix.parse().unwrap(),
                    table,
                    metric: 500,
                    target,
                };
                let told = Told::read(&message(&route, 116)).unwrap();
                assert_eq!((told.ours(), told.protocol), (Some(route), 116));
            }
        }
    }

    #[test]
    fn a_route_through_a_router_is_not_direct() {
        let route = Route {
            prefix: "10.1.0.0/16".parse().unwrap(),
            table: 254,
            metric: 5,
            target: Target::Link(7),
        };
        let mut message = message(&route, 4);
        message
            .attributes
            .push(RouteAttribute::Gateway(RouteAddress::Inet(
                Ipv4Addr::LOCALHOST,
            )));
        let told = Told::read(&message).unwrap();
        assert!(!told.direct && told.ours().is_none());
    }
}
