//! Domains that belong to an overlay, and to nobody else.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::prefix::Prefix;

/// What every overlay domain ends in; the public name system promises never to use it.
const SUFFIX: &str = ".internal";

/// A domain of the overlay: `NETWORK.internal` or a reverse zone. It cannot name anybody else's.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Domain(String);

/// Why a text is no domain of an overlay.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DomainError {
    /// Not in the part of the name space that overlays use.
    #[error("{0:?} is not NETWORK.internal; Tidegate answers for no other names")]
    Foreign(String),
    /// Not a name at all.
    #[error(
        "{0:?} is not a domain: use letters, digits and inner dashes, at most 63 between dots and 200 in all"
    )]
    Malformed(String),
}

impl Domain {
    /// The domain, in lower case and without a final dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        // Node names go in front of it, and 253 is the limit of all together.
        if name.len() > 200 || !name.split('.').all(is_label) {
            return Err(DomainError::Malformed(text.to_owned()));
        }
        if !name.ends_with(SUFFIX) {
            return Err(DomainError::Foreign(text.to_owned()));
        }
        Ok(Self(name))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// The reverse zones that cover a prefix and nothing else: one, or as many as its length needs (at most 128).
///
/// A prefix of length 0 has none, since everybody's zones lie under it.
#[must_use]
pub fn reverse_zones(prefix: Prefix) -> Vec<Domain> {
    let (bits, width, step, root) = match prefix.address() {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32, 8, "in-addr.arpa"),
        IpAddr::V6(address) => (address.to_bits(), 128, 4, "ip6.arpa"),
    };
    let length = u32::from(prefix.length());
    let labels = length.div_ceil(step);
    if labels == 0 {
        return Vec::new();
    }
    let fixed = labels * step;
    let label = |at: u32, bits: u128| {
        let digit = bits >> (width - (at + 1) * step) & ((1 << step) - 1);
        if step == 4 {
            format!("{digit:x}.")
        } else {
            format!("{digit}.")
        }
    };
    (0..1_u128 << (fixed - length))
        .map(|n| bits | n << (width - fixed))
        .map(|bits| (0..labels).rev().map(|at| label(at, bits)).collect())
        .map(|labels: String| Domain(labels + root))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(prefix: &str) -> Vec<String> {
        let zones = reverse_zones(prefix.parse().unwrap());
        zones.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn whole_labels_need_one_zone() {
        assert_eq!(zones("10.0.0.0/8"), ["10.in-addr.arpa"]);
        assert_eq!(zones("100.64.3.0/24"), ["3.64.100.in-addr.arpa"]);
        assert_eq!(zones("192.0.2.7/32"), ["7.2.0.192.in-addr.arpa"]);
        assert_eq!(zones("fd12:3456::/32"), ["6.5.4.3.2.1.d.f.ip6.arpa"]);
    }

    #[test]
    fn lengths_between_labels_need_several() {
        let zones_of_ten = zones("100.64.0.0/10");
        assert_eq!(zones_of_ten.len(), 64);
        assert_eq!(zones_of_ten[0], "64.100.in-addr.arpa");
        assert_eq!(zones_of_ten[63], "127.100.in-addr.arpa");
        assert_eq!(
            zones("fd00::/7").as_slice(),
            ["c.f.ip6.arpa", "d.f.ip6.arpa"]
        );
    }

    #[test]
    fn zones_are_never_more_than_128_and_never_everybodys() {
        for length in 0..=32 {
            let count = zones(&format!("0.0.0.0/{length}")).len();
            assert!(count <= 128 && (count > 0) == (length > 0));
        }
        for length in 0..=128 {
            assert!(zones(&format!("::/{length}")).len() <= 8);
        }
    }

    #[test]
    fn a_domain_is_read_in_any_case() {
        let domain: Domain = "Demo.INTERNAL.".parse().unwrap();
        assert_eq!(domain.as_str(), "demo.internal");
        assert!("eu.demo.internal".parse::<Domain>().is_ok());
    }

    #[test]
    fn nobody_elses_domain_can_be_named() {
        for foreign in [
            "com",
            "example.com",
            "internal",
            "demo.internal.com",
            "arpa",
        ] {
            let error = foreign.parse::<Domain>().unwrap_err();
            assert_eq!(error, DomainError::Foreign(foreign.to_owned()));
        }
        let long = format!("{}.internal", "a".repeat(64));
        let longer = format!("{}internal", "abc.".repeat(60));
        for bad in [
            "",
            ".",
            ".internal",
            "a..internal",
            "-a.internal",
            "a b.internal",
            "a\nb.internal",
            &long,
            &longer,
        ] {
            let error = bad.parse::<Domain>().unwrap_err();
            assert_eq!(error, DomainError::Malformed(bad.to_owned()));
        }
    }
}
