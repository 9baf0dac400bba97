//! Network prefixes.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::{NetError, excerpt, is_mapped};
use crate::bytes::text_serde;

/// A network prefix in its canonical form.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Prefix(pub(super) IpNet);

impl Prefix {
    /// The prefix that holds just this address.
    pub fn host(address: IpAddr) -> Self {
        Self(address.into())
    }

    /// The address part.
    pub fn address(&self) -> IpAddr {
        self.0.network()
    }

    /// The number of fixed bits.
    pub fn length(&self) -> u8 {
        self.0.prefix_len()
    }

    /// Whether its addresses are IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.address().is_ipv4()
    }

    /// Whether `address` lies within.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Whether all of `other` lies within.
    pub fn contains_prefix(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }

    /// The part that two prefixes share: the longer one, or nothing.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let (short, long) = if self.length() <= other.length() {
            (self, other)
        } else {
            (other, self)
        };
        short.0.contains(&long.0).then_some(*long)
    }

    /// Whether the two share an address.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.intersection(other).is_some()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Prefix {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let prefix: Option<IpNet> = text.parse().ok();
        let canonical =
            |p: &IpNet| p.trunc() == *p && !is_mapped(p.network()) && p.to_string() == text;
        prefix
            .filter(canonical)
            .map(Self)
            .ok_or_else(|| NetError::Prefix(excerpt(text)))
    }
}

text_serde!(Prefix);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_one_text() {
        for good in [
            "10.0.0.0/8",
            "0.0.0.0/0",
            "fd00::/48",
            "::/0",
            "192.0.2.1/32",
        ] {
            assert_eq!(good.parse::<Prefix>().unwrap().to_string(), good);
        }
        for bad in [
            "10.0.0.1/8",
            "10.0.0.0/08",
            "10.0.0.0",
            "10.0.0.0/33",
            "FD00::/48",
            "fd00:0::/48",
            "::ffff:10.0.0.0/104",
            "",
        ] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn prefixes_share_the_longer_one_or_nothing() {
        let prefix = |text: &str| text.parse::<Prefix>().unwrap();
        assert_eq!(
            prefix("10.0.0.0/8").intersection(&prefix("10.1.0.0/16")),
            Some(prefix("10.1.0.0/16"))
        );
        assert_eq!(
            prefix("10.1.0.0/16").intersection(&prefix("10.2.0.0/16")),
            None
        );
        assert!(!prefix("0.0.0.0/0").overlaps(&prefix("::/0")));
    }
}
