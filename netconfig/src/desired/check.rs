//! Whether a wish makes sense.

use std::net::IpAddr;

use crate::error::DesiredError;
use crate::prefix::Prefix;

use super::{Desired, Device, MAX_METRIC, Marks, RouteKind, Wanted};

impl Desired {
    /// Whether the wish makes sense, on whatever host.
    ///
    /// # Errors
    /// The first contradiction found.
    pub fn check(&self) -> Result<(), DesiredError> {
        self.marks.check()?;
        if let Some(device) = &self.device {
            self.check_device(device)?;
        }
        self.routes
            .iter()
            .try_for_each(|(prefix, wanted)| self.check_route(*prefix, wanted))
    }

    fn check_device(&self, device: &Device) -> Result<(), DesiredError> {
        let outside = |address: &&IpAddr| !self.ranges.iter().any(|range| range.holds(**address));
        if let Some(address) = device.addresses.iter().find(outside) {
            return Err(DesiredError::AddressOutside(*address));
        }
        let least = if device.addresses.iter().any(IpAddr::is_ipv6) {
            1280
        } else {
            576
        };
        let fits = (least..=65_535).contains(&device.mtu);
        if fits {
            Ok(())
        } else {
            Err(DesiredError::Mtu {
                mtu: device.mtu,
                least,
            })
        }
    }

    fn check_route(&self, prefix: Prefix, wanted: &Wanted) -> Result<(), DesiredError> {
        let within = self.ranges.iter().any(|range| range.covers(prefix));
        let touched = self.ranges.iter().find(|range| range.overlaps(prefix));
        match (wanted.kind, touched) {
            _ if prefix.length() == 0 => return Err(DesiredError::DefaultRoute(prefix)),
            (RouteKind::Overlay, _) if !within => return Err(DesiredError::PrefixOutside(prefix)),
            (RouteKind::Subnet, Some(range)) => {
                return Err(DesiredError::SubnetInside {
                    subnet: prefix,
                    range: *range,
                });
            }
            _ => {}
        }
        let fits = (1..=MAX_METRIC).contains(&wanted.metric);
        if fits {
            Ok(())
        } else {
            Err(DesiredError::Metric {
                prefix,
                metric: wanted.metric,
            })
        }
    }
}

impl Marks {
    fn check(&self) -> Result<(), DesiredError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let wrong = if self.protocol <= 4 {
            "a protocol number up to 4 is the kernel's"
        } else if matches!(self.table, 0 | 253..=255) {
            "routing tables 0 and 253 to 255 are the kernel's"
        } else if self.fwmark == 0 {
            "a firewall mark of 0 is no mark"
        } else if !(1..32_765).contains(&self.priority) {
            "the rules must come after priority 0 and before 32766"
        } else if !(1..=64).contains(&self.nft_table.len()) || !self.nft_table.bytes().all(plain) {
            "the firewall table's name must be 1 to 64 letters, digits, dashes or underscores"
        } else {
            return Ok(());
        };
        Err(DesiredError::Marks(wrong))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::desired::{GUARD_METRIC, LinkId, LinkName, Overlap};
    use crate::prefix::Family;

    fn desired() -> Desired {
        let link = LinkId::Name(LinkName::new("tg0").unwrap());
        let addresses = BTreeSet::from(["100.64.0.1".parse().unwrap()]);
        Desired {
            device: Some(Device {
                link,
                addresses,
                mtu: 1420,
                queue: None,
            }),
            ranges: BTreeSet::from(["100.64.0.0/10".parse().unwrap()]),
            ..Desired::nothing(Marks::default())
        }
    }

    fn with_route(prefix: &str, kind: RouteKind, metric: u32) -> Desired {
        let wanted = Wanted {
            kind,
            metric,
            overlap: Overlap::Refuse,
        };
        Desired {
            routes: BTreeMap::from([(prefix.parse().unwrap(), wanted)]),
            ..desired()
        }
    }

    #[test]
    fn a_sound_wish_passes() {
        assert_eq!(desired().check(), Ok(()));
        assert_eq!(
            with_route("100.64.0.0/10", RouteKind::Overlay, 500).check(),
            Ok(())
        );
        assert_eq!(
            with_route("10.0.0.0/8", RouteKind::Subnet, 500).check(),
            Ok(())
        );
    }

    #[test]
    fn what_lies_outside_of_the_overlay_is_refused() {
        let prefix = "8.8.8.0/24";
        let refused = with_route(prefix, RouteKind::Overlay, 500).check();
        assert_eq!(
            refused,
            Err(DesiredError::PrefixOutside(prefix.parse().unwrap()))
        );
        let mut outside = desired();
        outside.ranges.clear();
        assert_eq!(
            outside.check(),
            Err(DesiredError::AddressOutside("100.64.0.1".parse().unwrap()))
        );
    }

    #[test]
    fn a_subnet_route_takes_nothing_from_the_overlay() {
        for prefix in ["100.64.7.0/24", "100.0.0.0/8"] {
            let refused = with_route(prefix, RouteKind::Subnet, 500).check();
            assert!(
                matches!(refused, Err(DesiredError::SubnetInside { .. })),
                "{prefix}"
            );
        }
        let refused = with_route("0.0.0.0/0", RouteKind::Subnet, 500).check();
        assert_eq!(
            refused,
            Err(DesiredError::DefaultRoute(Prefix::all(Family::V4)))
        );
    }

    #[test]
    fn metrics_and_mtus_have_bounds() {
        for metric in [0, GUARD_METRIC] {
            let refused = with_route("10.0.0.0/8", RouteKind::Subnet, metric).check();
            assert!(
                matches!(refused, Err(DesiredError::Metric { .. })),
                "{metric}"
            );
        }
        let mut small = desired();
        small.device.as_mut().unwrap().mtu = 500;
        assert_eq!(
            small.check(),
            Err(DesiredError::Mtu {
                mtu: 500,
                least: 576
            })
        );
    }

    #[test]
    fn marks_of_the_kernel_are_not_ours() {
        for marks in [
            Marks {
                protocol: 2,
                ..Marks::default()
            },
            Marks {
                table: 254,
                ..Marks::default()
            },
            Marks {
                fwmark: 0,
                ..Marks::default()
            },
            Marks {
                priority: 32_766,
                ..Marks::default()
            },
            Marks {
                nft_table: "x; flush".into(),
                ..Marks::default()
            },
        ] {
            assert!(matches!(
                Desired::nothing(marks).check(),
                Err(DesiredError::Marks(_))
            ));
        }
    }

    #[test]
    fn link_names_are_the_kernels() {
        for name in ["", ".", "..", "a/b", "a b", "sixteen-letters-", "colon:0"] {
            assert!(LinkName::new(name).is_err(), "{name:?}");
        }
        assert_eq!(LinkName::new("eth0.100").unwrap().as_str(), "eth0.100");
    }
}
