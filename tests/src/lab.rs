//! The lab: hosts, and the switch that joins them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use crate::{Host, LabError, Network, space::locked, switch::Switch};

/// The longest host name that fits every tool.
const NAME_LIMIT: usize = 63;

/// A set of hosts and networks. Dropping it ends all that runs in them and takes all of it away.
pub struct Lab {
    switch: Arc<Switch>,
    hosts: Mutex<BTreeMap<String, Host>>,
}

impl Lab {
    /// An empty lab.
    pub fn new() -> Result<Self, LabError> {
        Ok(Self {
            switch: Arc::new(Switch::new()?),
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

    /// The host of this name, if the lab has it.
    pub fn find(&self, name: &str) -> Option<Host> {
        locked(&self.hosts).get(name).cloned()
    }

    /// A new network: an Ethernet switch of its own. The name is for messages only.
    pub fn network(&self, name: &str) -> Result<Network, LabError> {
        Network::new(name, &self.switch)
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
