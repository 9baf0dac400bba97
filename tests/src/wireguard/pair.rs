//! Two ends that know each other.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use super::{Endpoint, KeyPair, endpoint::pre_shared_key};
use crate::{Host, Lab, LabError, Link, Network, cable, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);

/// Two hosts, each with keys and addresses for a tunnel to the other.
pub struct Pair {
    /// The first end.
    pub a: Endpoint,
    /// The second end.
    pub b: Endpoint,
    /// The pre-shared key of both, in base64.
    pub psk: String,
    /// Their links, where they are joined by a network.
    pub links: Vec<Link>,
    /// That network.
    pub network: Option<Network>,
}

/// Which end of a pair.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

impl Pair {
    /// Two hosts joined by a network, whose links can lose and be cut.
    pub fn networked(lab: &Lab) -> Result<Self, LabError> {
        let mut pair = Self::apart(lab)?;
        let lan = lab.network("underlay")?;
        for (number, host) in [(1, &pair.a.host), (2, &pair.b.host)] {
            let [v4, v6] = underlay(number);
            pair.links
                .push(lan.attach(host, &[&format!("{v4}/24"), &format!("{v6}/64")])?);
        }
        pair.network = Some(lan);
        Ok(pair)
    }

    /// Two hosts joined by a fast cable.
    pub fn cabled(lab: &Lab) -> Result<Self, LabError> {
        let pair = Self::apart(lab)?;
        let addresses = |number| {
            underlay(number).map(|ip| format!("{ip}/{}", if ip.is_ipv4() { 24 } else { 64 }))
        };
        let (a, b) = (addresses(1), addresses(2));
        let (a, b) = (
            a.each_ref().map(String::as_str),
            b.each_ref().map(String::as_str),
        );
        cable((&pair.a.host, &a), (&pair.b.host, &b))?;
        Ok(pair)
    }

    /// Uses IPv6 below the tunnel.
    pub fn over_ipv6(mut self) -> Self {
        self.a.underlay = underlay(1)[1];
        self.b.underlay = underlay(2)[1];
        self
    }

    fn apart(lab: &Lab) -> Result<Self, LabError> {
        let end = |number: u8, host: Host| -> Result<Endpoint, LabError> {
            Ok(Endpoint {
                host,
                keys: KeyPair::generate()?,
                underlay: underlay(number)[0],
                port: 51820,
                overlay: overlay(number),
                mtu: 1420,
            })
        };
        Ok(Self {
            a: end(1, lab.host("a")?)?,
            b: end(2, lab.host("b")?)?,
            psk: pre_shared_key()?,
            links: Vec::new(),
            network: None,
        })
    }

    /// One end and its peer.
    pub fn seen_from(&self, side: Side) -> (&Endpoint, &Endpoint) {
        match side {
            Side::A => (&self.a, &self.b),
            Side::B => (&self.b, &self.a),
        }
    }

    /// The other end as a peer in our static program's words.
    pub fn peer_of(&self, side: Side) -> String {
        let (_, peer) = self.seen_from(side);
        let [v4, v6] = peer.allowed();
        format!(
            "{}@{},id=1,allowed={v4},allowed={v6},psk={}",
            peer.keys.public,
            peer.socket(),
            self.psk
        )
    }

    /// The same, without saying where it is.
    pub fn silent_peer_of(&self, side: Side) -> String {
        let (_, peer) = self.seen_from(side);
        let [v4, v6] = peer.allowed();
        format!(
            "{},id=1,allowed={v4},allowed={v6},psk={}",
            peer.keys.public, self.psk
        )
    }

    /// Waits until a ping through the tunnel is answered, in this family.
    pub fn await_ping(&self, from: Side, family: usize) -> Result<(), LabError> {
        let (end, peer) = self.seen_from(from);
        let target = peer.overlay[family].to_string();
        wait_until(PATIENCE, "a ping through the tunnel", || {
            end.host
                .run("ping", ["-c", "1", "-W", "1", &target])
                .is_ok()
        })
    }
}

fn underlay(number: u8) -> [IpAddr; 2] {
    let v6 = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into());
    [Ipv4Addr::new(10, 0, 0, number).into(), v6.into()]
}

fn overlay(number: u8) -> [IpAddr; 2] {
    let v6 = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number.into());
    [Ipv4Addr::new(10, 77, 0, number).into(), v6.into()]
}
