//! One step of a plan, and why it is made.

use std::fmt;

use ipnet::IpNet;

use crate::desired::{Marks, Part};
use crate::firewall::Table;
use crate::observed::{Route, Rule};
use crate::sysctl::SysctlKey;
use crate::undo::Undo;

/// A step with its reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// What is done.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// The part of the wish that it serves.
    pub part: Part,
}

/// What can be done to the host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Write a kernel setting.
    SetSysctl {
        /// Which.
        key: SysctlKey,
        /// What it says now.
        was: String,
        /// What it is to say.
        to: String,
        /// Settings that the kernel changes along with it, and what they say now.
        along: Vec<(SysctlKey, String)>,
    },
    /// Set the device's largest packet.
    SetMtu {
        /// Which link.
        link: u32,
        /// What it is now.
        was: u32,
        /// What it is to be.
        to: u32,
    },
    /// Set the device's queue length.
    SetQueue {
        /// Which link.
        link: u32,
        /// What it is now.
        was: u32,
        /// What it is to be.
        to: u32,
    },
    /// Bring the device up.
    SetUp {
        /// Which link.
        link: u32,
    },
    /// Take the device down.
    SetDown {
        /// Which link.
        link: u32,
    },
    /// Give the device an address.
    AddAddress {
        /// Which link.
        link: u32,
        /// The address with the length of its range.
        address: IpNet,
    },
    /// Take an address away.
    RemoveAddress {
        /// Which link.
        link: u32,
        /// The address with the length of its range.
        address: IpNet,
    },
    /// Add a route.
    AddRoute(Route),
    /// Remove a route of ours.
    RemoveRoute(Route),
    /// Add a policy rule.
    AddRule(Rule),
    /// Remove a policy rule of ours.
    RemoveRule(Rule),
    /// Put our firewall table in place, whole, in one transaction.
    ReplaceTable(Table),
    /// Remove our firewall table.
    RemoveTable {
        /// Its name.
        name: String,
    },
}

/// Why a step is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// It is wanted and not there.
    Missing,
    /// It is there and differs from what is wanted.
    Differs,
    /// It is ours and not wanted any more.
    Unwanted,
    /// Nothing meant for the overlay may leave in clear.
    Guard,
    /// It is put back to what it was before us.
    Restore,
    /// A host that forwards needs it.
    Forwarding,
}

impl Action {
    /// How to undo the change, oldest first. What carries our mark shares one step.
    #[must_use]
    pub fn undo(&self, marks: &Marks) -> Vec<Undo> {
        let sysctl = |(key, was): (&SysctlKey, &String)| Undo::Sysctl {
            key: key.clone(),
            was: was.clone(),
        };
        let step = match self {
            Self::SetSysctl {
                key, was, along, ..
            } => {
                return along
                    .iter()
                    .map(|(key, was)| (key, was))
                    .chain([(key, was)])
                    .map(sysctl)
                    .collect();
            }
            Self::SetMtu { link, was, .. } => Undo::Mtu {
                link: *link,
                was: *was,
            },
            Self::SetQueue { link, was, .. } => Undo::Queue {
                link: *link,
                was: *was,
            },
            Self::SetUp { link } => Undo::Up { link: *link },
            Self::AddAddress { link, address } => Undo::Address {
                link: *link,
                address: *address,
            },
            Self::AddRoute(_) => Undo::Routes {
                protocol: marks.protocol,
            },
            Self::AddRule(_) => Undo::Rules {
                protocol: marks.protocol,
            },
            Self::ReplaceTable(table) => Undo::Table {
                name: table.name.clone(),
            },
            Self::SetDown { .. }
            | Self::RemoveAddress { .. }
            | Self::RemoveRoute(_)
            | Self::RemoveRule(_)
            | Self::RemoveTable { .. } => return Vec::new(),
        };
        vec![step]
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetSysctl { key, was, to, .. } => write!(f, "set {key} from {was} to {to}"),
            Self::SetMtu { link, was, to } => {
                write!(f, "set the MTU of link {link} from {was} to {to}")
            }
            Self::SetQueue { link, was, to } => {
                write!(f, "set the queue of link {link} from {was} to {to}")
            }
            Self::SetUp { link } => write!(f, "bring link {link} up"),
            Self::SetDown { link } => write!(f, "take link {link} down"),
            Self::AddAddress { link, address } => write!(f, "add address {address} to link {link}"),
            Self::RemoveAddress { link, address } => {
                write!(f, "remove address {address} from link {link}")
            }
            Self::AddRoute(route) => write!(f, "add {route}"),
            Self::RemoveRoute(route) => write!(f, "remove {route}"),
            Self::AddRule(rule) => write!(f, "add {rule}"),
            Self::RemoveRule(rule) => write!(f, "remove {rule}"),
            Self::ReplaceTable(table) => write!(f, "put firewall table {} in place", table.name),
            Self::RemoveTable { name } => write!(f, "remove firewall table {name}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "it is wanted and not there",
            Self::Differs => "it differs from what is wanted",
            Self::Unwanted => "it is ours and not wanted any more",
            Self::Guard => "nothing meant for the overlay may leave in clear",
            Self::Restore => "it is put back as it was before us",
            Self::Forwarding => "forwarding needs it",
        })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.action, self.reason)
    }
}
