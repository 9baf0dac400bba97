//! A network that hosts attach to.

use std::sync::Arc;

use crate::{
    Host, LabError, Link,
    switch::{Switch, on},
};

/// What a real network card never hands to the other end: packets larger than the link's MTU.
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

/// An Ethernet network: a bridge that only its links lead to. A clone is another handle to the same network.
#[derive(Clone)]
pub struct Network {
    name: String,
    pub(crate) bridge: String,
    pub(crate) switch: Arc<Switch>,
}

impl Network {
    pub(crate) fn new(name: &str, switch: &Arc<Switch>) -> Result<Self, LabError> {
        Ok(Self {
            name: name.to_owned(),
            bridge: switch.bridge()?,
            switch: Arc::clone(switch),
        })
    }

    /// The name it was made with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Plugs a host in: it gets its next device (`eth0`, `eth1`, …) with these addresses, such as `10.0.0.1/24` or
    /// `fd00::1/64`; any family or none will do. The link passes packets when this returns.
    pub fn attach(&self, host: &Host, addresses: &[&str]) -> Result<Link, LabError> {
        let (port, device) = (self.switch.unique("port"), host.next_device());
        let id = host.space.id();
        self.switch.ip(&format!(
            "link add name {port} type veth peer name {device} netns {id}\n"
        ))?;
        on(&self.switch.space, "ethtool")
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
        self.switch.join(&port, &self.bridge)?;
        self.switch.await_forwarding(&port)?;
        Ok(Link::new(self, host, device, port))
    }
}
