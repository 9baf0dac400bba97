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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::journal::codec::decode;
    use crate::prefix::Family;
    use crate::sysctl::Leaf;

    fn line(body: &str) -> Vec<u8> {
        format!("{:08x} {body}\n", crc32fast::hash(body.as_bytes())).into_bytes()
    }

    fn read(step: &str) -> Vec<Undo> {
        let body = format!(r#"+{{"boot":"b","step":{step}}}"#);
        decode::<Booted>(&line(&body))
            .pending
            .iter()
            .map(|booted| booted.step.clone())
            .collect()
    }

    #[test]
    fn every_step_survives_the_journal() {
        let key = SysctlKey::link(Family::V6, "eth0", Leaf::AcceptRa);
        for step in [
            Undo::Routes { protocol: 116 },
            Undo::Rules { protocol: 116 },
            Undo::Table {
                name: "tidegate".into(),
            },
            Undo::Address {
                link: 7,
                address: "100.64.0.5/32".parse().unwrap(),
            },
            Undo::Mtu { link: 7, was: 1500 },
            Undo::Queue { link: 7, was: 500 },
            Undo::Up { link: 7 },
            Undo::Sysctl {
                key,
                was: "1".into(),
            },
        ] {
            assert_eq!(read(&serde_json::to_string(&step).unwrap()), [step]);
        }
    }

    #[test]
    fn steps_that_name_anything_else_are_not_steps() {
        for step in [
            r#"{"undo":"sysctl","key":"kernel/core_pattern","was":"|/bin/sh"}"#,
            r#"{"undo":"sysctl","key":"net/ipv4/conf/../../../kernel/panic","was":"1"}"#,
            r#"{"undo":"shell","command":"rm"}"#,
            r#"{"undo":"up","link":7,"more":1}"#,
            r#"{"undo":"up","link":-1}"#,
        ] {
            assert_eq!(read(step), [], "{step}");
        }
    }

    proptest! {
        #[test]
        fn well_summed_nonsense_never_panics(body in "[+-]?\\PC{0,80}", step in "[\\[\\]{}\":,a-z0-9/]{0,80}") {
            let _ = decode::<Booted>(&line(&body));
            read(&step);
        }
    }
}
