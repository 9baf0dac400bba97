//! A network that hosts attach to.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use crate::{
    Command, Host, LabError, Link,
    space::{Depth, Space},
    wait_until,
};

/// What the kernel writes for a bridge port that forwards.
const FORWARDING: &str = "3";
const CARRIER: Duration = Duration::from_secs(10);
/// What a real network card would never hand to the other end: packets larger than the link's MTU.
const OFFLOADS: [&str; 8] = [
    "tso",
    "off",
    "gro",
    "off",
    "tx-udp-segmentation",
    "off",
    "tx-gso-list",
    "off",
];

/// An Ethernet network: a bridge in a namespace that holds nothing else.
#[derive(Clone)]
pub struct Network {
    name: String,
    pub(crate) bridge: String,
    pub(crate) switch: Arc<Space>,
    ports: Arc<AtomicU32>,
}

impl Network {
    pub(crate) fn new(
        name: &str,
        bridge: String,
        switch: &Arc<Space>,
        ports: &Arc<AtomicU32>,
    ) -> Result<Self, LabError> {
        let network = Self {
            name: name.to_owned(),
            bridge,
            switch: Arc::clone(switch),
            ports: Arc::clone(ports),
        };
        let bridge = &network.bridge;
        network.ip(&format!(
            "link add name {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set {bridge} up\n"
        ))?;
        Ok(network)
    }

    /// The name it was made with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Plugs a host in: it gets its next device (`eth0`, `eth1`, …) with these addresses, such as `10.0.0.1/24` or
    /// `fd00::1/64`. The link passes packets when this returns.
    pub fn attach(&self, host: &Host, addresses: &[&str]) -> Result<Link, LabError> {
        let port = format!("port{}", self.ports.fetch_add(1, Ordering::Relaxed));
        let device = host.next_device();
        let (bridge, id) = (&self.bridge, host.space.id());
        self.ip(&format!(
            "link add name {port} type veth peer name {device} netns {id}\nlink set {port} master {bridge} up\n"
        ))?;
        on(&self.switch, "ethtool")
            .args(["-K", &port])
            .args(OFFLOADS)
            .run()?;
        on(&host.space, "ethtool")
            .args(["-K", &device])
            .args(OFFLOADS)
            .run()?;
        let added: String = addresses
            .iter()
            .map(|address| format!("address add {address} dev {device}\n"))
            .collect();
        on(&host.space, "ip")
            .args(["-batch", "-"])
            .input(added + &format!("link set {device} up\n"))
            .run()?;
        self.await_forwarding(&port)?;
        Ok(Link::new(self, host, device, port))
    }

    fn await_forwarding(&self, port: &str) -> Result<(), LabError> {
        let path = format!("/sys/class/net/{port}/brport/state");
        self.switch.enter(Depth::Files, || {
            wait_until(
                CARRIER,
                &format!("{port} of network {:?} to forward", self.name),
                || fs::read_to_string(&path).is_ok_and(|state| state.trim() == FORWARDING),
            )
        })?
    }

    fn ip(&self, batch: &str) -> Result<(), LabError> {
        on(&self.switch, "ip")
            .args(["-batch", "-"])
            .input(batch)
            .run()
            .map(drop)
    }
}

/// A command of the lab's own: in the network of `space`, but with the machine's files and process ids.
pub(crate) fn on(space: &Arc<Space>, program: &str) -> Command {
    Command::new(space, Depth::Network, program)
}
