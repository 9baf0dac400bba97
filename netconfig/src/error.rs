//! Errors, by who is to blame.

use crate::prefix::Prefix;

/// The wish itself cannot be fulfilled on any host. Nothing was changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DesiredError {
    /// Not a name that a link can have.
    #[error("{0:?} cannot be a link's name: use 1 to 15 letters, digits, dots or dashes")]
    LinkName(String),
    /// An address outside of the network's ranges.
    #[error(
        "address {0} lies outside of the network's ranges; nothing was changed: check the certificate's addresses"
    )]
    AddressOutside(std::net::IpAddr),
    /// An overlay route outside of the network's ranges.
    #[error(
        "overlay prefix {0} lies outside of the network's ranges; nothing was changed: check the policy's prefixes"
    )]
    PrefixOutside(Prefix),
    /// A subnet route that would take addresses from the overlay.
    #[error(
        "subnet route {subnet} overlaps the overlay's {range}; nothing was changed: withdraw that route"
    )]
    SubnetInside {
        /// The route.
        subnet: Prefix,
        /// The range that it would take from.
        range: Prefix,
    },
    /// A default route among the subnet routes.
    #[error(
        "{0} is a default route, which only an exit may have; nothing was changed: ask for an exit node instead"
    )]
    DefaultRoute(Prefix),
    /// A metric that the guards or the kernel's default need.
    #[error("metric {metric} of {prefix} is not between 1 and {max}; nothing was changed", max = crate::desired::MAX_METRIC)]
    Metric {
        /// The route.
        prefix: Prefix,
        /// What was asked.
        metric: u32,
    },
    /// An MTU that IP does not allow.
    #[error("MTU {mtu} is not between {least} and 65535; nothing was changed")]
    Mtu {
        /// What was asked.
        mtu: u32,
        /// The least that the address families in use allow.
        least: u32,
    },
    /// Marks that would collide with the kernel's or be no marks.
    #[error("{0}; nothing was changed: correct the marks")]
    Marks(&'static str),
}
