//! What is wanted of the host's name resolution.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::domain::{Domain, reverse_zones};
use crate::prefix::Prefix;

/// As many domains as systemd-resolved takes for one link.
const MOST_DOMAINS: usize = 256;

/// Which names are asked where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SplitDns {
    resolver: SocketAddr,
    domains: BTreeSet<Domain>,
}

/// A wish that no host can fulfil. Nothing was changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WishError {
    /// The resolver is not where the overlay is.
    #[error(
        "the resolver's address {0} lies outside of the network's ranges; nothing was changed: give this node's own overlay address"
    )]
    ResolverOutside(IpAddr),
    /// An address that names no resolver.
    #[error(
        "{0} cannot be a resolver's address and port; nothing was changed: give this node's own overlay address"
    )]
    Unfit(SocketAddr),
    /// The ranges need more reverse zones than a link may have.
    #[error(
        "the network's ranges need {0} reverse zones, and a link may have 255; nothing was changed: use ranges that end on whole octets"
    )]
    TooManyZones(usize),
}

impl SplitDns {
    /// The overlay's domain and the reverse zones of its ranges, all to be asked at `resolver`.
    ///
    /// # Errors
    /// When the resolver lies outside of the ranges, or they need too many zones.
    pub fn new(
        domain: Domain,
        ranges: &BTreeSet<Prefix>,
        resolver: SocketAddr,
    ) -> Result<Self, WishError> {
        check_resolver(resolver)?;
        if !ranges.iter().any(|range| range.holds(resolver.ip())) {
            return Err(WishError::ResolverOutside(resolver.ip()));
        }
        let zones = ranges.iter().flat_map(|range| reverse_zones(*range));
        let domains: BTreeSet<Domain> = zones.chain([domain]).collect();
        if domains.len() > MOST_DOMAINS {
            return Err(WishError::TooManyZones(domains.len() - 1));
        }
        Ok(Self { resolver, domains })
    }

    /// Where to ask.
    #[must_use]
    pub fn resolver(&self) -> SocketAddr {
        self.resolver
    }

    /// Which domains.
    #[must_use]
    pub fn domains(&self) -> &BTreeSet<Domain> {
        &self.domains
    }
}

/// Whether a resolver can be there at all.
pub(super) fn check_resolver(resolver: SocketAddr) -> Result<(), WishError> {
    let (loopback, link_local) = match resolver.ip() {
        IpAddr::V4(ip) => (ip.is_loopback(), ip.is_link_local() || ip.is_broadcast()),
        IpAddr::V6(ip) => (
            ip.is_loopback() || ip.to_ipv4_mapped().is_some(),
            ip.is_unicast_link_local(),
        ),
    };
    let ip = resolver.ip();
    if resolver.port() == 0 || loopback || link_local || ip.is_unspecified() || ip.is_multicast() {
        return Err(WishError::Unfit(resolver));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(ranges: &[&str], resolver: &str) -> Result<SplitDns, WishError> {
        let ranges = ranges.iter().map(|range| range.parse().unwrap()).collect();
        let domain = "demo.internal".parse().unwrap();
        SplitDns::new(domain, &ranges, resolver.parse().unwrap())
    }

    #[test]
    fn the_domain_and_the_zones_of_all_ranges_are_asked() {
        let wish = wish(&["100.64.0.0/16", "fd12::/16"], "100.64.0.1:5300").unwrap();
        let domains: Vec<_> = wish.domains().iter().map(Domain::as_str).collect();
        assert_eq!(
            domains,
            ["2.1.d.f.ip6.arpa", "64.100.in-addr.arpa", "demo.internal"]
        );
    }

    #[test]
    fn a_resolver_outside_of_the_overlay_is_refused() {
        let error = wish(&["100.64.0.0/16"], "192.0.2.1:53").unwrap_err();
        assert_eq!(
            error,
            WishError::ResolverOutside("192.0.2.1".parse().unwrap())
        );
        for unfit in [
            "100.64.0.1:0",
            "127.0.0.1:53",
            "0.0.0.0:53",
            "224.0.0.1:53",
            "[::1]:53",
            "[fe80::1]:53",
            "[::ffff:127.0.0.1]:53",
        ] {
            let error = wish(&["0.0.0.0/0", "::/0"], unfit).unwrap_err();
            assert_eq!(error, WishError::Unfit(unfit.parse().unwrap()), "{unfit}");
        }
    }

    #[test]
    fn more_zones_than_a_link_may_have_are_refused() {
        let error = wish(&["0.0.0.0/1", "128.0.0.0/1"], "100.64.0.1:5300").unwrap_err();
        assert_eq!(error, WishError::TooManyZones(256));
    }
}
