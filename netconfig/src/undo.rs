//! How to undo what we do to the kernel's network: the steps in our journal.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::journal::Step;
use crate::sysctl::SysctlKey;

/// One undo step. Routes, rules and the firewall table carry our mark, so one step covers all of them.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "snake_case", deny_unknown_fields)]
pub enum Undo {
    /// Remove the routes with our protocol number.
    Routes {
        /// The number.
        protocol: u8,
    },
    /// Remove the policy rules with our protocol number.
    Rules {
        /// The number.
        protocol: u8,
    },
    /// Remove our firewall table.
    Table {
        /// Its name, in family inet.
        name: String,
    },
    /// Take an address away.
    Address {
        /// From which link.
        link: u32,
        /// The address with its range's length.
        address: IpNet,
    },
    /// Put the largest packet back.
    Mtu {
        /// Of which link.
        link: u32,
        /// What it was before us.
        was: u32,
    },
    /// Put the queue length back.
    Queue {
        /// Of which link.
        link: u32,
        /// What it was before us.
        was: u32,
    },
    /// Take the link down, which we brought up.
    Up {
        /// Which link.
        link: u32,
    },
    /// Put a kernel setting back.
    Sysctl {
        /// Which.
        key: SysctlKey,
        /// What it said before us.
        was: String,
    },
}

/// An undo step and the boot it belongs to: nothing that we do to the kernel outlives a boot.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Booted {
    /// The kernel's boot id.
    pub boot: String,
    /// The step.
    pub step: Undo,
}

impl Undo {
    /// Names what the step restores.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Routes { protocol } => format!("routes {protocol}"),
            Self::Rules { protocol } => format!("rules {protocol}"),
            Self::Table { name } => format!("table {name}"),
            Self::Address { link, address } => format!("address {link} {address}"),
            Self::Mtu { link, .. } => format!("mtu {link}"),
            Self::Queue { link, .. } => format!("queue {link}"),
            Self::Up { link } => format!("up {link}"),
            Self::Sysctl { key, .. } => format!("sysctl {key}"),
        }
    }

    /// The link that the step is about.
    #[must_use]
    pub const fn link(&self) -> Option<u32> {
        match self {
            Self::Address { link, .. }
            | Self::Mtu { link, .. }
            | Self::Queue { link, .. }
            | Self::Up { link } => Some(*link),
            Self::Routes { .. } | Self::Rules { .. } | Self::Table { .. } | Self::Sysctl { .. } => {
                None
            }
        }
    }
}

impl Booted {
    pub(crate) fn key_of(boot: &str, step: &Undo) -> String {
        format!("{boot} {}", step.key())
    }
}

impl Step for Booted {
    fn key(&self) -> String {
        Self::key_of(&self.boot, &self.step)
    }
}
