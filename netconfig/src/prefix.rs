//! An address range with no host bits set.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, in the order in which they are configured.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// A network prefix in its only spelling: host bits are zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(from = "IpNet", into = "IpNet")]
pub struct Prefix(IpNet);

impl Prefix {
    /// The prefix that holds exactly this address.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        Self(IpNet::from(address))
    }

    /// The prefix of this length around an address; `None` when the length does not fit the family.
    #[must_use]
    pub fn around(address: IpAddr, length: u8) -> Option<Self> {
        IpNet::new(address, length).ok().map(Self::from)
    }

    /// Every address of a family.
    #[must_use]
    pub fn all(family: Family) -> Self {
        Self(match family {
            Family::V4 => IpNet::V4(ipnet::Ipv4Net::default()),
            Family::V6 => IpNet::V6(ipnet::Ipv6Net::default()),
        })
    }

    /// IPv4 or IPv6.
    #[must_use]
    pub fn family(self) -> Family {
        Family::of(self.0.addr())
    }

    /// The first address.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.0.addr()
    }

    /// The number of leading bits that are fixed.
    #[must_use]
    pub fn length(self) -> u8 {
        self.0.prefix_len()
    }

    /// Whether `other` lies within this prefix (or is the same).
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }

    /// Whether an address lies within this prefix.
    #[must_use]
    pub fn holds(self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Whether the two share an address.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.covers(other) || other.covers(self)
    }
}

impl From<IpNet> for Prefix {
    fn from(net: IpNet) -> Self {
        Self(net.trunc())
    }
}

impl From<Prefix> for IpNet {
    fn from(prefix: Prefix) -> Self {
        prefix.0
    }
}

impl FromStr for Prefix {
    type Err = ipnet::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<IpNet>().map(Self::from)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_dropped() {
        let prefix: Prefix = "10.1.2.3/16".parse().unwrap();
        assert_eq!(prefix.to_string(), "10.1.0.0/16");
    }

    #[test]
    fn overlap_is_symmetric_and_stays_in_its_family() {
        let wide: Prefix = "10.0.0.0/8".parse().unwrap();
        let narrow: Prefix = "10.9.0.0/16".parse().unwrap();
        assert!(wide.overlaps(narrow) && narrow.overlaps(wide));
        assert!(!Prefix::all(Family::V6).overlaps(wide));
    }
}
