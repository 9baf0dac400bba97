//! Addresses.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol,
};

use crate::prefix::Family;

use super::route::family;

/// What a message says of an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Told {
    pub(crate) link: u32,
    pub(crate) address: IpNet,
    pub(crate) protocol: u8,
}

/// The message that describes one of our addresses.
pub(crate) fn message(link: u32, address: IpNet, protocol: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(Family::of(address.addr()));
    message.header.prefix_len = address.prefix_len();
    message.header.index = link;
    message.attributes = vec![
        AddressAttribute::Local(address.addr()),
        AddressAttribute::Address(address.addr()),
        AddressAttribute::Protocol(AddressProtocol::from(protocol)),
    ];
    if address.addr().is_ipv6() {
        // The overlay gives out addresses; nobody else can have this one.
        message.header.flags = AddressHeaderFlags::Nodad;
        message.attributes.push(AddressAttribute::Flags(
            AddressFlags::Nodad | AddressFlags::Noprefixroute,
        ));
    }
    message
}

/// A request for all addresses.
pub(crate) fn query() -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetAddress(AddressMessage::default())
}

/// Reads a message.
pub(crate) fn read(message: &AddressMessage) -> Option<Told> {
    let mut address: Option<IpAddr> = None;
    let mut local: Option<IpAddr> = None;
    let mut protocol = 0;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(found) => address = Some(*found),
            AddressAttribute::Local(found) => local = Some(*found),
            AddressAttribute::Protocol(made_by) => protocol = u8::from(*made_by),
            _ => {}
        }
    }
    let address = IpNet::new(local.or(address)?, message.header.prefix_len).ok()?;
    Some(Told {
        link: message.header.index,
        address,
        protocol,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_addresses_survive_their_own_message() {
        for address in ["100.64.0.5/32", "fd00::5/128"] {
            let address: IpNet = address.parse().unwrap();
            assert_eq!(
                read(&message(7, address, 116)),
                Some(Told {
                    link: 7,
                    address,
                    protocol: 116
                })
            );
        }
    }
}
