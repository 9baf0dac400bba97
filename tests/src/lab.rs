//! The lab: hosts, and the switch that joins them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{
    Host, LabError, Network,
    space::{Space, locked},
};

/// The longest host name that fits every tool.
const NAME_LIMIT: usize = 63;

/// A set of hosts and networks. Dropping it ends all that runs in them and takes all of it away.
pub struct Lab {
    switch: Arc<Space>,
    ports: Arc<AtomicU32>,
    bridges: AtomicU32,
    hosts: Mutex<BTreeMap<String, Host>>,
}

impl Lab {
    /// An empty lab.
    pub fn new() -> Result<Self, LabError> {
        let switch = Arc::new(Space::new("switch")?);
        // The switch only passes frames on; it must not talk itself.
        switch
            .enter(crate::space::Depth::Files, || {
                std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")
            })?
            .map_err(LabError::os("silence the switch"))?;
        Ok(Self {
            switch,
            ports: Arc::default(),
            bridges: AtomicU32::new(0),
            hosts: Mutex::default(),
        })
    }

    /// A new host, which has no link but `lo` yet. Its name is a host name, and unique in this lab.
    pub fn host(&self, name: &str) -> Result<Host, LabError> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let refused = |why| {
            Err(LabError::Name {
                what: "host",
                name: name.to_owned(),
                why,
            })
        };
        if name.is_empty()
            || name.len() > NAME_LIMIT
            || !name.bytes().all(fits)
            || name.starts_with('-')
        {
            return refused("it takes 1 to 63 small letters, digits and inner dashes");
        }
        let mut hosts = locked(&self.hosts);
        if hosts.contains_key(name) {
            return refused("this lab has a host of this name");
        }
        let host = Host::new(name)?;
        hosts.insert(name.to_owned(), host.clone());
        Ok(host)
    }

    /// A new network: an Ethernet switch of its own. The name is for messages only.
    pub fn network(&self, name: &str) -> Result<Network, LabError> {
        let bridge = format!("net{}", self.bridges.fetch_add(1, Ordering::Relaxed));
        Network::new(name, bridge, &self.switch, &self.ports)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for host in locked(&self.hosts).values() {
            host.space.close();
        }
        self.switch.close();
    }
}
