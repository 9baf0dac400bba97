//! Whether the resolver's address is on its link: without it nobody answers there, and what is asked leaves in clear.

use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;

use crate::desired::{LinkId, LinkName};
use crate::netlink::{Netlink, NetlinkError, address};
use crate::observe::find_link;
use crate::watch::{Event, Watch};

/// An address that a link may have, watched.
pub struct Presence {
    link: LinkName,
    address: IpAddr,
    netlink: Netlink,
    watch: Watch,
}

impl Presence {
    /// Starts to watch. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn open(link: LinkName, address: IpAddr) -> Result<Self, NetlinkError> {
        Ok(Self {
            link,
            address,
            watch: Watch::open()?,
            netlink: Netlink::open(NETLINK_ROUTE)?,
        })
    }

    /// Whether the link is up and has the address.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn look(&mut self) -> Result<bool, NetlinkError> {
        let found = find_link(&mut self.netlink, &LinkId::Name(self.link.clone()))?;
        let Some(link) = found.filter(|link| link.up) else {
            return Ok(false);
        };
        let here =
            |told: &address::Told| told.link == link.index && told.address.addr() == self.address;
        let found = |found: &mut bool, message| {
            if let RouteNetlinkMessage::NewAddress(message) = message {
                *found |= address::read(&message).is_some_and(|told| here(&told));
            }
        };
        self.netlink.gather(&address::query(), || false, found)
    }

    /// Waits until it is no longer as it was.
    ///
    /// # Errors
    /// When the kernel cannot be heard or asked any more.
    pub async fn changed(&mut self, was: bool) -> Result<bool, NetlinkError> {
        loop {
            let events = self.watch.next().await?;
            let concerned = |event: &Event| {
                matches!(
                    event,
                    Event::Link { .. } | Event::Address { .. } | Event::Overrun
                )
            };
            if events.iter().any(concerned) {
                let is = self.look()?;
                if is != was {
                    return Ok(is);
                }
            }
        }
    }
}
