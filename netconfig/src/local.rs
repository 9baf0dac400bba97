//! What this host itself is: its addresses, and its sockets.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::{NETLINK_ROUTE, NETLINK_SOCK_DIAG};

use crate::netlink::diag::{self, Destroyed};
use crate::netlink::{Netlink, NetlinkError, address};
use crate::prefix::Prefix;

/// The addresses of this host's interfaces that others may reach it at: no loopback and no link-local ones, and none
/// that carry `protocol`, the mark of our own.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn addresses(protocol: u8) -> Result<BTreeSet<IpAddr>, NetlinkError> {
    let mut netlink = Netlink::open(NETLINK_ROUTE)?;
    netlink.gather(&address::query(), BTreeSet::new, |found, message| {
        let RouteNetlinkMessage::NewAddress(message) = message else {
            return;
        };
        let told = address::read(&message).filter(|told| told.protocol != protocol);
        if let Some(told) = told.filter(|told| reaches_far(told.address.addr())) {
            found.insert(told.address.addr());
        }
    })
}

/// Destroys the connected sockets of this host whose other end lies in `others`, so that nobody waits for an answer from
/// a node that is out. Says how many the kernel would not give up.
///
/// # Errors
/// When the kernel cannot list sockets.
pub fn destroy_sockets(others: Prefix) -> Result<Destroyed, NetlinkError> {
    diag::destroy(&mut Netlink::open(NETLINK_SOCK_DIAG)?, others)
}

fn reaches_far(address: IpAddr) -> bool {
    let near = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local() || is_mapped(address),
    };
    !near && !address.is_loopback() && !address.is_unspecified() && !address.is_multicast()
}

fn is_mapped(address: Ipv6Addr) -> bool {
    address.to_ipv4_mapped().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_stays_on_its_link_is_not_told_to_others() {
        for near in [
            "127.0.0.1",
            "::1",
            "169.254.1.1",
            "fe80::1",
            "0.0.0.0",
            "224.0.0.1",
        ] {
            assert!(!reaches_far(near.parse().unwrap()), "{near}");
        }
        for far in ["192.0.2.1", "10.0.0.1", "2001:db8::1", "fd00::1"] {
            assert!(reaches_far(far.parse().unwrap()), "{far}");
        }
    }
}
