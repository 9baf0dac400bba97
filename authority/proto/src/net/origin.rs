//! Where an authority is found.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{NetError, excerpt, is_mapped};
use crate::bytes::text_serde;

/// The origin of an authority: `https://` with a host in lower case and, unless it is 443, a port.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Origin(Box<str>);

impl Origin {
    /// The greatest length in bytes.
    pub const LONGEST: usize = 280;
    const SCHEME: &'static str = "https://";

    /// The origin as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Host and port, as a `Host` header has them.
    pub fn authority(&self) -> &str {
        &self.0[Self::SCHEME.len()..]
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Origin {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let authority = text
            .strip_prefix(Self::SCHEME)
            .filter(|_| text.len() <= Self::LONGEST);
        if authority.is_some_and(is_authority) {
            Ok(Self(text.into()))
        } else {
            Err(NetError::Origin(excerpt(text)))
        }
    }
}

text_serde!(Origin);

/// Whether `text` is `host` or `host:port` in its one canonical form.
fn is_authority(text: &str) -> bool {
    if is_host(text) {
        return true;
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let number = port.parse::<u16>().ok().filter(|&n| n != 0 && n != 443);
    is_host(host) && number.is_some_and(|n| n.to_string() == port)
}

fn is_host(text: &str) -> bool {
    if let Some(v6) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        return v6
            .parse::<Ipv6Addr>()
            .is_ok_and(|a| a.to_string() == v6 && !is_mapped(a.into()));
    }
    if ends_in_number(text) {
        return text.parse::<Ipv4Addr>().is_ok();
    }
    let label = |l: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        l.len() <= 63
            && l.starts_with(plain)
            && l.ends_with(plain)
            && l.chars().all(|c| plain(c) || c == '-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// Whether the last label is a number, decimal or hexadecimal, so that a URL's reader takes the host for IPv4.
fn ends_in_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last
        .strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    hexadecimal || (!last.is_empty() && last.bytes().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_one_text_and_no_path() {
        for good in [
            "https://a.example",
            "https://a.example:7443",
            "https://127.0.0.1:7443",
            "https://[::1]:7443",
            "https://localhost",
            "https://authority1:7443",
            "https://0xyz.example",
            "https://1.2.3.example",
        ] {
            assert!(good.parse::<Origin>().is_ok(), "{good}");
        }
        for bad in [
            "http://a.example",
            "https://A.example",
            "https://a.example/",
            "https://a.example:443",
            "https://a.example:",
            "https://a.example:07",
            "https://u@a.example",
            "https://a..example",
            "https://1.2.3",
            "https://a.1",
            "https://0x7f",
            "https://127.0x1",
            "https://0x",
            "https://[::1",
            "https://",
            "https://a.example?x",
            "https://a.example:70000",
            "https://-a.example",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }
}
