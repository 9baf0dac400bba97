//! What the host's network looks like, as far as it concerns us.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::desired::LinkName;
use crate::firewall::TableView;
use crate::prefix::{Family, Prefix};
use crate::sysctl::SysctlKey;
use crate::undo::Undo;

/// The main routing table.
pub const MAIN_TABLE: u32 = 254;

/// What was seen.
///
/// It is bounded: of the routes that others made, at most a few per wanted prefix are here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Observed {
    /// The links that we configure or have configured, by number.
    pub links: BTreeMap<u32, Link>,
    /// The number of the wanted device, or why there is none.
    pub device: Result<u32, String>,
    /// Routes with our protocol number.
    pub routes: BTreeSet<Route>,
    /// Policy rules with our protocol number.
    pub rules: BTreeSet<Rule>,
    /// Routes of others in the main table that touch a wanted prefix. The host's own addresses do not count: they are
    /// found before any of these.
    pub foreign: BTreeSet<Foreign>,
    /// Kernel settings that the plan may need; a missing one does not exist on this host.
    pub sysctls: BTreeMap<SysctlKey, String>,
    /// Our nftables table, if it is there.
    pub table: Option<TableView>,
    /// What the journal says we changed, oldest first.
    pub made: Vec<Undo>,
    /// What this host lets us do.
    pub abilities: Abilities,
}

impl Default for Observed {
    fn default() -> Self {
        Self {
            links: BTreeMap::new(),
            device: Err("no device was looked for".to_owned()),
            routes: BTreeSet::new(),
            rules: BTreeSet::new(),
            foreign: BTreeSet::new(),
            sysctls: BTreeMap::new(),
            table: None,
            made: Vec::new(),
            abilities: Abilities::default(),
        }
    }
}

/// What this host lets us do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Abilities {
    /// What of IPv6 there is.
    pub ipv6: Ipv6,
    /// The firewall can be changed.
    pub firewall: Result<(), String>,
    /// Kernel settings can be changed.
    pub sysctl: Result<(), String>,
}

/// What of IPv6 a host has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ipv6 {
    /// All of it.
    Works,
    /// The device cannot have it, for this reason; other links can, so the guards are needed all the more.
    NotOnDevice(String),
    /// No link has it, for this reason.
    Absent(String),
}

impl Default for Abilities {
    fn default() -> Self {
        Self {
            ipv6: Ipv6::Works,
            firewall: Ok(()),
            sysctl: Ok(()),
        }
    }
}

/// A link that we configure.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its present name.
    pub name: LinkName,
    /// Whether it is up.
    pub up: bool,
    /// Its largest packet.
    pub mtu: u32,
    /// Packets that may wait.
    pub queue: u32,
    /// Its addresses; `true` for ours.
    pub addresses: BTreeMap<IpNet, bool>,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
pub enum Target {
    /// Out of the link with this number.
    Link(u32),
    /// Nowhere: the sender gets an error.
    Unreachable,
}

/// A route of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Route {
    /// Which packets.
    pub prefix: Prefix,
    /// In which table.
    pub table: u32,
    /// Lower wins.
    pub metric: u32,
    /// Where to.
    pub target: Target,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target {
            Target::Link(link) => write!(f, "route {} to link {link}", self.prefix)?,
            Target::Unreachable => write!(f, "unreachable route {}", self.prefix)?,
        }
        write!(f, " (table {}, metric {})", self.table, self.metric)
    }
}

/// A policy rule of ours: packets without a mark look into a table.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Rule {
    /// IPv4 or IPv6.
    pub family: Family,
    /// Lower comes first.
    pub priority: u32,
    /// Packets with this mark are left alone.
    pub unless_mark: u32,
    /// The table to look into.
    pub table: u32,
    /// Ignore what it finds if the prefix is this short or shorter.
    pub suppress: Option<u32>,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rule {}: unless marked {:#x} look up table {}",
            self.family, self.priority, self.unless_mark, self.table
        )
    }
}

/// Something of others that a wanted route may collide with.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub struct Foreign {
    /// Which addresses.
    pub prefix: Prefix,
    /// On which link, if it names one.
    pub link: Option<u32>,
    /// Whether the host reaches them without a router.
    pub direct: bool,
    /// Its priority among routes of the same prefix.
    pub metric: u32,
}
