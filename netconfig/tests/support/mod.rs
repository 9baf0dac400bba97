//! What the namespace tests share.
#![allow(dead_code, reason = "each test file uses its part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod crowd;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate_netconfig::desired::{
    Data, Device, Exit, Gateway, LinkId, LinkName, Marks, Overlap, RouteKind, Wanted,
};
use tidegate_netconfig::{Desired, Family, Host, HostError, Outcome, Prefix};
use tidegate_tests::{Host as LabHost, Lab, wait_until};

pub(crate) const TUNNEL: &str = "tg0";

/// A host of a lab with a tunnel device and a state directory.
pub(crate) struct Bench {
    pub(crate) lab: Lab,
    pub(crate) host: LabHost,
    pub(crate) tunnel: Option<tun_rs::SyncDevice>,
    state: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let lab = Lab::new().unwrap();
        let host = lab.host("host").unwrap();
        let tunnel = Some(make_tunnel(&host));
        Self {
            lab,
            host,
            tunnel,
            state: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.state.path().to_owned()
    }

    /// Works on the host as the agent would, from a fresh start.
    pub(crate) fn agent<T: Send>(&self, work: impl FnOnce(&mut Host) -> T + Send) -> T {
        let state = self.state();
        self.host
            .enter(move || work(&mut open(&state).unwrap()))
            .unwrap()
    }

    pub(crate) fn apply(&self, desired: &Desired) -> Outcome {
        self.agent(|host| host.reconcile(desired)).unwrap()
    }

    pub(crate) fn undo(&self) -> Outcome {
        self.agent(Host::undo).unwrap()
    }

    pub(crate) fn sh(&self, line: &str) -> String {
        self.host.sh(line).unwrap()
    }

    /// The host comes to look like this. The kernel adds its own routes for IPv6 addresses in the background.
    pub(crate) fn becomes(&self, expected: &str) {
        let _ = wait_until(
            Duration::from_secs(5),
            "the host to look as expected",
            || self.snapshot() == expected,
        );
        assert_same(expected, &self.snapshot());
    }

    /// Everything that a person could compare.
    pub(crate) fn snapshot(&self) -> String {
        snapshot(&self.host)
    }
}

pub(crate) fn open(state: &Path) -> Result<Host, HostError> {
    Host::open(state, Marks::default())
}

/// A device that was up once, because the first time gives it a queue discipline for good; and without a link-local
/// address, which comes at a time of its own.
pub(crate) fn make_tunnel(host: &LabHost) -> tun_rs::SyncDevice {
    let make = || {
        tun_rs::DeviceBuilder::new()
            .name(TUNNEL)
            .enable(false)
            .build_sync()
            .unwrap()
    };
    let tunnel = host.enter(make).unwrap();
    host.sh(
        "ip link set tg0 up; ip link set tg0 down; sysctl -w net.ipv6.conf.tg0.addr_gen_mode=1",
    )
    .unwrap();
    tunnel
}

pub(crate) fn snapshot(host: &LabHost) -> String {
    host.sh(
        "ip -d addr | sed 's/ tentative//'; for f in -4 -6; do echo $f; ip -d $f route show table all | grep -v '^multicast'; ip -d $f rule; done; \
         nft list ruleset; sysctl -a 2>/dev/null | grep -E '^net.ipv[46].(conf|ip_forward)'",
    )
    .unwrap()
}

pub(crate) fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

pub(crate) fn wanted(kind: RouteKind) -> Wanted {
    Wanted {
        kind,
        metric: 500,
        overlap: Overlap::Refuse,
    }
}

pub(crate) fn device(addresses: &[&str]) -> Device {
    let addresses: BTreeSet<IpAddr> = addresses
        .iter()
        .map(|address| address.parse().unwrap())
        .collect();
    Device {
        link: LinkId::Name(LinkName::new(TUNNEL).unwrap()),
        addresses,
        mtu: 1420,
        queue: Some(700),
    }
}

/// An overlay of both families, up.
pub(crate) fn desired() -> Desired {
    let ranges = [prefix("100.64.0.0/10"), prefix("fd00:64::/48")];
    Desired {
        device: Some(device(&["100.64.0.5", "fd00:64::5"])),
        ranges: ranges.into(),
        routes: ranges
            .map(|range| (range, wanted(RouteKind::Overlay)))
            .into(),
        data: Data::Flowing,
        ..Desired::nothing(Marks::default())
    }
}

pub(crate) fn with_subnets(prefixes: &[&str]) -> Desired {
    let mut desired = desired();
    let subnets: BTreeMap<_, _> = prefixes
        .iter()
        .map(|text| (prefix(text), wanted(RouteKind::Subnet)))
        .collect();
    desired.routes.extend(subnets);
    desired
}

pub(crate) fn with_exit(families: &[Family]) -> Desired {
    let families = families.iter().copied().collect();
    Desired {
        exit: Some(Exit { families }),
        ..desired()
    }
}

pub(crate) fn with_gateway(networks: &[&str]) -> Desired {
    let networks = networks.iter().map(|text| prefix(text)).collect();
    Desired {
        gateway: Some(Gateway {
            networks,
            masquerade: true,
        }),
        ..desired()
    }
}

/// Byte for byte, but only the difference is shown.
fn assert_same(expected: &str, seen: &str) {
    let without = |one: &str, other: &str| -> Vec<String> {
        let other: BTreeSet<&str> = other.lines().collect();
        one.lines()
            .filter(|line| !other.contains(line))
            .map(str::to_owned)
            .collect()
    };
    let (gone, new) = (without(expected, seen), without(seen, expected));
    assert!(expected == seen, "gone: {gone:#?}\nnew: {new:#?}");
}
