//! Names of the kernel settings that we may touch.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::prefix::Family;

/// A setting under `/proc/sys/net`, of the few kinds that we ever touch.
///
/// A name read from a journal is parsed into this type, so that a damaged file cannot make us write elsewhere.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SysctlKey {
    /// `net/ipv4/ip_forward`, which resets several others when it changes.
    IpForward,
    /// A setting of one link, or of `all` or `default`.
    Link {
        /// IPv4 or IPv6.
        family: Family,
        /// The link's name, `all` or `default`.
        link: String,
        /// Which setting.
        leaf: Leaf,
    },
}

/// The per-link settings that we may touch.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub enum Leaf {
    /// Forward what comes in here.
    Forwarding,
    /// Believe ICMP redirects.
    AcceptRedirects,
    /// Believe router advertisements; 2 means even when forwarding.
    AcceptRa,
    /// Let the mark take part in the check of the way back.
    SrcValidMark,
}

impl Leaf {
    const ALL: [Self; 4] = [
        Self::Forwarding,
        Self::AcceptRedirects,
        Self::AcceptRa,
        Self::SrcValidMark,
    ];

    /// The name of the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forwarding => "forwarding",
            Self::AcceptRedirects => "accept_redirects",
            Self::AcceptRa => "accept_ra",
            Self::SrcValidMark => "src_valid_mark",
        }
    }
}

impl SysctlKey {
    /// A setting of a link, of `all` or of `default`.
    #[must_use]
    pub fn link(family: Family, link: &str, leaf: Leaf) -> Self {
        Self::Link {
            family,
            link: link.to_owned(),
            leaf,
        }
    }

    /// The family that the setting belongs to.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::IpForward => Family::V4,
            Self::Link { family, .. } => *family,
        }
    }
}

impl fmt::Display for SysctlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IpForward => f.write_str("net/ipv4/ip_forward"),
            Self::Link { family, link, leaf } => {
                let family = if *family == Family::V4 {
                    "ipv4"
                } else {
                    "ipv6"
                };
                write!(f, "net/{family}/conf/{link}/{}", leaf.as_str())
            }
        }
    }
}

/// A name that is none of ours.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is not a kernel setting that Tidegate changes")]
pub struct UnknownSysctl(String);

impl FromStr for SysctlKey {
    type Err = UnknownSysctl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownSysctl(text.to_owned());
        if text == "net/ipv4/ip_forward" {
            return Ok(Self::IpForward);
        }
        let parts: Vec<&str> = text.split('/').collect();
        let ["net", family, "conf", link, leaf] = parts[..] else {
            return Err(unknown());
        };
        let family = match family {
            "ipv4" => Family::V4,
            "ipv6" => Family::V6,
            _ => return Err(unknown()),
        };
        let leaf = Leaf::ALL
            .into_iter()
            .find(|known| known.as_str() == leaf)
            .ok_or_else(unknown)?;
        if link.is_empty() || link == "." || link == ".." {
            return Err(unknown());
        }
        Ok(Self::link(family, link, leaf))
    }
}

impl TryFrom<String> for SysctlKey {
    type Error = UnknownSysctl;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SysctlKey> for String {
    fn from(key: SysctlKey) -> Self {
        key.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_their_own_spelling() {
        for key in [
            SysctlKey::IpForward,
            SysctlKey::link(Family::V6, "eth0.100", Leaf::AcceptRa),
        ] {
            assert_eq!(key.to_string().parse(), Ok(key));
        }
    }

    #[test]
    fn nothing_else_can_be_named() {
        for text in [
            "kernel/core_pattern",
            "net/ipv4/conf/../forwarding",
            "net/ipv4/conf/a/b/forwarding",
            "",
            "net/ipv4/conf/a/rp_filter",
        ] {
            assert!(text.parse::<SysctlKey>().is_err(), "{text}");
        }
    }
}
