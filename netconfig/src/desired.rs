//! What the caller wants the host's network to look like.

mod check;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::error::DesiredError;
use crate::prefix::{Family, Prefix};

/// Everything wanted. [`Desired::nothing`] is the wish to undo all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Desired {
    /// How our objects are told from everybody else's.
    pub marks: Marks,
    /// The tunnel device, made by somebody else, and its settings. Without one, routes are only guarded.
    pub device: Option<Device>,
    /// The network's address ranges: addresses and overlay routes lie inside, subnet routes outside.
    pub ranges: BTreeSet<Prefix>,
    /// What is to be reached through the device.
    pub routes: BTreeMap<Prefix, Wanted>,
    /// Whether packets may flow.
    pub data: Data,
    /// Whether everything that has no better route leaves through the overlay.
    pub exit: Option<Exit>,
    /// Whether this host forwards overlay packets to networks that it reaches. Only with the owner's local opt-in.
    pub gateway: Option<Gateway>,
}

/// How our objects are told from everybody else's. Two networks on one host need different marks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Marks {
    /// Protocol number of our routes, rules and addresses; packaged as `tidegate` in `rt_protos.d`.
    pub protocol: u8,
    /// The routing table of the exit's default routes.
    pub table: u32,
    /// The firewall mark that the tunnel's own UDP sockets carry.
    pub fwmark: u32,
    /// Priority of our first policy rule; the next one is used too.
    pub priority: u32,
    /// Name of our nftables table (family inet).
    pub nft_table: String,
}

impl Default for Marks {
    fn default() -> Self {
        Self {
            protocol: 116,
            table: 51_820,
            fwmark: 0x7469,
            priority: 5_210,
            nft_table: "tidegate".to_owned(),
        }
    }
}

/// A link's name as the kernel accepts it.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LinkName(String);

impl LinkName {
    /// Checks a name.
    ///
    /// # Errors
    /// When the kernel would refuse it as a link's name.
    pub fn new(name: impl Into<String>) -> Result<Self, DesiredError> {
        let name = name.into();
        let known = (1..=15).contains(&name.len()) && name != "." && name != "..";
        let plain = name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':');
        if known && plain {
            Ok(Self(name))
        } else {
            Err(DesiredError::LinkName(name))
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for LinkName {
    type Error = DesiredError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(name)
    }
}

impl From<LinkName> for String {
    fn from(name: LinkName) -> Self {
        name.0
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which link is the tunnel device. By index a device is followed through a change of its name.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub enum LinkId {
    /// By name, whatever its index.
    Name(LinkName),
    /// By index, whatever its name.
    Index(u32),
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Index(index) => write!(f, "number {index}"),
        }
    }
}

/// Settings of the tunnel device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Device {
    /// Which one.
    pub link: LinkId,
    /// Our overlay addresses. IPv6 routes lead to the device only if it has an IPv6 address. Each is set with its full length, so that the kernel makes no route by itself and
    /// removing one never takes another along.
    pub addresses: BTreeSet<IpAddr>,
    /// Largest packet.
    pub mtu: u32,
    /// Packets that may wait; `None` leaves the device's.
    pub queue: Option<u32>,
}

/// What a route is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RouteKind {
    /// A part of the overlay itself.
    Overlay,
    /// A network behind a subnet router.
    Subnet,
}

/// Whether a route may cover what the host already reaches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Overlap {
    /// No: it is left out and named in the result.
    Refuse,
    /// Yes: the operator said so.
    Allow,
}

/// A wanted route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Wanted {
    /// What it is for.
    pub kind: RouteKind,
    /// Lower wins; from 1 to [`MAX_METRIC`].
    pub metric: u32,
    /// Whether it may cover what the host already reaches.
    pub overlap: Overlap,
}

/// The largest metric of a wanted route; the guard behind it has a larger one.
pub const MAX_METRIC: u32 = GUARD_METRIC - 1;

/// The metric of the `unreachable` routes that stand behind every route of ours.
pub const GUARD_METRIC: u32 = 4_000_000_000;

/// Whether packets may flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Data {
    /// Routes lead to the device, with `unreachable` ones behind them.
    Flowing,
    /// Only the `unreachable` routes are there: nothing meant for the overlay leaves in clear.
    Stopped,
}

/// The wish to send everything without a better route through the overlay.
///
/// Everything with a better route than a default one in the main table, such as the LAN, goes there as before. So do
/// packets with our mark: the tunnel's own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Exit {
    /// For which families; one that is left out goes on as before.
    pub families: BTreeSet<Family>,
}

/// The wish to forward overlay packets to networks that this host reaches.
///
/// Connections start in the overlay; towards it only their answers pass. Networks that do not see this host's address
/// instead of the overlay's may begin too: who in them may, and what, is for the tunnel to say. Where forwarding was off
/// before, other links of the host still do not forward to each other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Gateway {
    /// The networks served; a default route makes this host an exit node.
    pub networks: BTreeSet<Prefix>,
    /// Whether the networks see this host's address instead of the overlay's, and begin nothing.
    pub masquerade: bool,
}

/// The parts of a wish; each is applied whole or not at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub enum Part {
    /// The device with its addresses, and the routes to it.
    Device,
    /// The IPv6 addresses and routes.
    Ipv6,
    /// The exit's default routes.
    Exit,
    /// Forwarding for others.
    Gateway,
    /// The `unreachable` routes behind all others.
    Guard,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Device => "the tunnel device and its routes",
            Self::Ipv6 => "IPv6 in the overlay",
            Self::Exit => "the exit node",
            Self::Gateway => "forwarding to other networks",
            Self::Guard => "the routes that keep overlay packets from leaving in clear",
        })
    }
}

impl Desired {
    /// Nothing of ours on the host.
    #[must_use]
    pub fn nothing(marks: Marks) -> Self {
        Self {
            marks,
            device: None,
            ranges: BTreeSet::new(),
            routes: BTreeMap::new(),
            data: Data::Stopped,
            exit: None,
            gateway: None,
        }
    }

    /// The wish without one of its parts. The guards stay: they are what protects when the rest does not work.
    #[must_use]
    pub fn without(&self, part: Part) -> Self {
        let mut rest = self.clone();
        match part {
            Part::Device => rest.device = None,
            Part::Ipv6 => rest.drop_ipv6_addresses(),
            Part::Exit => rest.exit = None,
            Part::Gateway => rest.gateway = None,
            Part::Guard => {}
        }
        rest
    }

    /// The wish without anything of IPv6, for a host that has none: nothing can leave in clear either.
    #[must_use]
    pub(crate) fn without_any_ipv6(&self) -> Self {
        let mut rest = self.without(Part::Ipv6);
        rest.routes
            .retain(|prefix, _| prefix.family() == Family::V4);
        if let Some(exit) = &mut rest.exit {
            exit.families.remove(&Family::V6);
        }
        rest
    }

    /// Without an address of its own the device gets no IPv6 routes, only guards.
    fn drop_ipv6_addresses(&mut self) {
        if let Some(device) = &mut self.device {
            device.addresses.retain(IpAddr::is_ipv4);
        }
        if let Some(gateway) = &mut self.gateway {
            gateway
                .networks
                .retain(|prefix| prefix.family() == Family::V4);
        }
    }

    /// Whether any of it is IPv6.
    #[must_use]
    pub fn has_ipv6(&self) -> bool {
        self.device
            .iter()
            .flat_map(|device| &device.addresses)
            .any(IpAddr::is_ipv6)
            || self
                .routes
                .keys()
                .any(|prefix| prefix.family() == Family::V6)
            || self
                .exit
                .iter()
                .any(|exit| exit.families.contains(&Family::V6))
            || self
                .gateway
                .iter()
                .any(|gateway| gateway.families().any(|family| family == Family::V6))
    }
}

impl Gateway {
    /// The families of the networks served.
    pub fn families(&self) -> impl Iterator<Item = Family> {
        Family::BOTH.into_iter().filter(|family| {
            self.networks
                .iter()
                .any(|network| network.family() == *family)
        })
    }
}
