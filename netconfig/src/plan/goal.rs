//! The objects that are to be on this host: the wish, less what the host cannot have.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::change::Reason;
use crate::desired::{Desired, Device, Marks, Part};
use crate::firewall::Table;
use crate::observed::{Ipv6, Link, Observed, Route, Rule};
use crate::prefix::Family;
use crate::sysctl::SysctlKey;
use crate::undo::Undo;

use super::{Conflict, Problem, exit, gateway, routes};

/// Every object of ours that is to be there.
#[derive(Clone, Debug)]
pub(super) struct Goal {
    pub(super) marks: Marks,
    pub(super) device: Option<DeviceGoal>,
    pub(super) routes: BTreeMap<Route, (Part, Reason)>,
    pub(super) rules: BTreeSet<Rule>,
    pub(super) table: Option<(Table, Part)>,
    pub(super) sysctls: Vec<SysctlGoal>,
    pub(super) conflicts: Vec<Conflict>,
    pub(super) problems: Vec<Problem>,
}

#[derive(Clone, Debug)]
pub(super) struct DeviceGoal {
    pub(super) link: Link,
    pub(super) addresses: BTreeSet<IpNet>,
    pub(super) mtu: u32,
    pub(super) queue: Option<u32>,
}

/// A kernel setting, and those that the kernel changes along with it.
#[derive(Clone, Debug)]
pub(super) struct SysctlGoal {
    pub(super) key: SysctlKey,
    pub(super) to: &'static str,
    pub(super) along: Vec<SysctlKey>,
    pub(super) part: Part,
}

impl Goal {
    pub(super) fn of(desired: &Desired, observed: &Observed) -> Self {
        let mut goal = Self {
            marks: desired.marks.clone(),
            device: None,
            routes: BTreeMap::new(),
            rules: BTreeSet::new(),
            table: None,
            sysctls: Vec::new(),
            conflicts: Vec::new(),
            problems: Vec::new(),
        };
        let desired = goal.possible(desired, observed);
        goal.device = desired
            .device
            .as_ref()
            .and_then(|device| DeviceGoal::of(device, observed));
        routes::add(&mut goal, &desired, observed);
        let mut filters = Vec::new();
        filters.extend(exit::add(&mut goal, &desired, observed));
        filters.extend(gateway::add(&mut goal, &desired, observed));
        if !filters.is_empty() {
            let part = if desired.gateway.is_some() {
                Part::Gateway
            } else {
                Part::Exit
            };
            goal.table = Some((
                Table {
                    name: desired.marks.nft_table.clone(),
                    rules: filters,
                },
                part,
            ));
        }
        goal
    }

    /// The wish without the parts for which the host lacks something; each is named.
    fn possible(&mut self, desired: &Desired, observed: &Observed) -> Desired {
        let abilities = &observed.abilities;
        let mut rest = desired.clone();
        if let (true, Err(missing)) = (desired.device.is_some(), &observed.device) {
            rest = self.leave_out(Part::Device, missing, rest.without(Part::Device));
        }
        match &abilities.ipv6 {
            Ipv6::NotOnDevice(missing) if desired.has_ipv6() => {
                rest = self.leave_out(Part::Ipv6, missing, rest.without(Part::Ipv6));
            }
            Ipv6::Absent(missing) if desired.has_ipv6() => {
                rest = self.leave_out(Part::Ipv6, missing, rest.without_any_ipv6());
            }
            _ => {}
        }
        let occupied = foreign_table(desired, observed);
        let needs = [&occupied, &abilities.firewall, &abilities.sysctl];
        let missing = needs.into_iter().find_map(|able| able.as_ref().err());
        for (part, wanted) in [
            (Part::Exit, desired.exit.is_some()),
            (Part::Gateway, desired.gateway.is_some()),
        ] {
            if let (true, Some(missing)) = (wanted, missing) {
                rest = self.leave_out(part, missing, rest.without(part));
            }
        }
        self.tell_leftovers(&rest, observed);
        rest
    }

    /// What we made and cannot take back now, because the host lacks what that needs.
    fn tell_leftovers(&mut self, rest: &Desired, observed: &Observed) {
        if rest.exit.is_some() || rest.gateway.is_some() {
            return;
        }
        let made = |which: fn(&Undo) -> bool| observed.made.iter().any(which);
        let abilities = &observed.abilities;
        for (made, able, what) in [
            (
                made(|step| matches!(step, Undo::Table { .. })),
                &abilities.firewall,
                "our firewall table",
            ),
            (
                made(|step| matches!(step, Undo::Sysctl { .. })),
                &abilities.sysctl,
                "kernel settings that we changed",
            ),
        ] {
            if let (true, Err(missing)) = (made, able) {
                let missing = format!("{what} cannot be taken back yet: {missing}");
                self.problems.push(Problem {
                    part: Part::Gateway,
                    missing,
                });
            }
        }
    }

    fn leave_out(&mut self, part: Part, missing: &str, rest: Desired) -> Desired {
        self.problems.push(Problem {
            part,
            missing: missing.to_owned(),
        });
        rest
    }

    /// Whether packets of a family can go to the device.
    pub(super) fn flows(&self, family: Family) -> Option<&DeviceGoal> {
        let has = |device: &&DeviceGoal| {
            device
                .addresses
                .iter()
                .any(|address| Family::of(address.addr()) == family)
        };
        self.device
            .as_ref()
            .filter(|device| family == Family::V4 || has(device))
    }
}

/// A table under our name that the journal does not know is somebody else's.
fn foreign_table(desired: &Desired, observed: &Observed) -> Result<(), String> {
    let name = &desired.marks.nft_table;
    let known = observed
        .made
        .iter()
        .any(|step| matches!(step, Undo::Table { name: made } if made == name));
    if observed.table.is_none() || known {
        return Ok(());
    }
    Err(format!(
        "a firewall table inet {name} is there that is not ours: remove it or choose another name"
    ))
}

impl DeviceGoal {
    fn of(device: &Device, observed: &Observed) -> Option<Self> {
        let link = observed.links.get(observed.device.as_ref().ok()?)?;
        Some(Self {
            link: link.clone(),
            addresses: device.addresses.iter().copied().map(IpNet::from).collect(),
            mtu: device.mtu,
            queue: device.queue,
        })
    }
}
