//! From the objects that are there to those that are to be there, in an order in which nothing leaks.
//!
//! Guards come first and go last. The firewall stands before forwarding is turned on and until it is off again.
//! New addresses come before old ones go, because a link that loses its last address loses its routes.

use crate::change::{Action, Change, Reason};
use crate::desired::Part;
use crate::observed::{Observed, Route, Target};
use crate::prefix::Family;
use crate::sysctl::SysctlKey;
use crate::undo::Undo;

use super::gateway::resets;
use super::goal::{DeviceGoal, Goal, SysctlGoal};
use super::routes::part_of;

pub(super) fn changes(goal: &Goal, observed: &Observed, forget: &[Undo]) -> Vec<Change> {
    let mut changes = Vec::new();
    changes.extend(add_routes(goal, observed, |route| {
        route.target == Target::Unreachable
    }));
    changes.extend(remove_rules(goal, observed));
    changes.extend(remove_routes(goal, observed));
    changes.extend(replace_table(goal, observed));
    changes.extend(restore_sysctls(observed, forget));
    changes.extend(set_sysctls(goal, observed));
    changes.extend(remove_table(observed, forget));
    changes.extend(configure_device(goal));
    changes.extend(add_routes(goal, observed, |route| {
        route.target != Target::Unreachable
    }));
    changes.extend(add_rules(goal, observed));
    changes.extend(remove_addresses(goal, observed));
    changes.extend(restore_links(observed, forget));
    changes
}

/// What the journal holds although nothing of it is wanted any more.
pub(super) fn unneeded(goal: &Goal, observed: &Observed) -> Vec<Undo> {
    observed
        .made
        .iter()
        .filter(|step| !needed(goal, step) && visible(observed, step))
        .cloned()
        .collect()
}

/// What cannot be looked at cannot be undone now, and is not forgotten.
fn visible(observed: &Observed, step: &Undo) -> bool {
    match step {
        Undo::Table { .. } => observed.abilities.firewall.is_ok(),
        Undo::Sysctl { .. } => observed.abilities.sysctl.is_ok(),
        _ => true,
    }
}

fn needed(goal: &Goal, step: &Undo) -> bool {
    let device = |link: &u32| {
        goal.device
            .as_ref()
            .filter(|device| device.link.index == *link)
    };
    match step {
        // Steps with other marks are kept until they are undone under those.
        Undo::Routes { protocol } => *protocol != goal.marks.protocol || !goal.routes.is_empty(),
        Undo::Rules { protocol } => *protocol != goal.marks.protocol || !goal.rules.is_empty(),
        Undo::Table { name } => *name != goal.marks.nft_table || goal.table.is_some(),
        Undo::Address { link, address } => {
            device(link).is_some_and(|device| device.addresses.contains(address))
        }
        Undo::Mtu { link, .. } | Undo::Up { link } => device(link).is_some(),
        Undo::Queue { link, .. } => device(link).is_some_and(|device| device.queue.is_some()),
        Undo::Sysctl { key, .. } => goal
            .sysctls
            .iter()
            .any(|goal| goal.key == *key || resets(&goal.key, key)),
    }
}

fn change(action: Action, reason: Reason, part: Part) -> Change {
    Change {
        action,
        reason,
        part,
    }
}

fn add_routes(goal: &Goal, observed: &Observed, which: impl Fn(&Route) -> bool) -> Vec<Change> {
    let missing = goal
        .routes
        .iter()
        .filter(|(route, _)| which(route) && !observed.routes.contains(route));
    missing
        .map(|(route, (part, reason))| change(Action::AddRoute(*route), *reason, *part))
        .collect()
}

fn remove_routes(goal: &Goal, observed: &Observed) -> Vec<Change> {
    let unwanted = observed
        .routes
        .iter()
        .filter(|route| !goal.routes.contains_key(route));
    let (guards, open): (Vec<_>, Vec<_>) =
        unwanted.partition(|route| route.target == Target::Unreachable);
    let remove = |route: &Route| {
        change(
            Action::RemoveRoute(*route),
            Reason::Unwanted,
            part_of(route.prefix.family()),
        )
    };
    open.into_iter().chain(guards).map(remove).collect()
}

fn add_rules(goal: &Goal, observed: &Observed) -> Vec<Change> {
    let missing = goal.rules.difference(&observed.rules);
    // The rule that keeps the LAN reachable has the lower number and comes first.
    missing
        .map(|rule| change(Action::AddRule(*rule), Reason::Missing, Part::Exit))
        .collect()
}

fn remove_rules(goal: &Goal, observed: &Observed) -> Vec<Change> {
    let unwanted: Vec<_> = observed.rules.difference(&goal.rules).collect();
    unwanted
        .into_iter()
        .rev()
        .map(|rule| change(Action::RemoveRule(*rule), Reason::Unwanted, Part::Exit))
        .collect()
}

fn replace_table(goal: &Goal, observed: &Observed) -> Option<Change> {
    let (table, part) = goal.table.as_ref()?;
    let reason = match &observed.table {
        Some(view) if *view == table.view() => return None,
        Some(_) => Reason::Differs,
        None => Reason::Missing,
    };
    Some(change(Action::ReplaceTable(table.clone()), reason, *part))
}

/// Removed only if the journal knows it: a table of that name may be somebody else's.
fn remove_table(observed: &Observed, forget: &[Undo]) -> Option<Change> {
    let name = forget.iter().find_map(|step| match step {
        Undo::Table { name } => Some(name.clone()),
        _ => None,
    })?;
    observed.table.is_some().then(|| {
        change(
            Action::RemoveTable { name },
            Reason::Unwanted,
            Part::Gateway,
        )
    })
}

fn set_sysctls(goal: &Goal, observed: &Observed) -> Vec<Change> {
    goal.sysctls
        .iter()
        .filter_map(|goal| set_sysctl(goal, observed))
        .collect()
}

fn set_sysctl(goal: &SysctlGoal, observed: &Observed) -> Option<Change> {
    let was = observed
        .sysctls
        .get(&goal.key)
        .filter(|value| *value != goal.to)?
        .clone();
    let along = goal
        .along
        .iter()
        .filter_map(|key| Some((key.clone(), observed.sysctls.get(key)?.clone())));
    let action = Action::SetSysctl {
        key: goal.key.clone(),
        was,
        to: goal.to.to_owned(),
        along: along.collect(),
    };
    Some(change(action, Reason::Forwarding, goal.part))
}

/// Newest first. What the kernel resets along with another setting is written after that one in any case.
fn restore_sysctls(observed: &Observed, forget: &[Undo]) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut switched: Vec<&SysctlKey> = Vec::new();
    for step in forget.iter().rev() {
        let Undo::Sysctl { key, was } = step else {
            continue;
        };
        let Some(now) = observed.sysctls.get(key) else {
            continue;
        };
        if now == was && !switched.iter().any(|switch| resets(switch, key)) {
            continue;
        }
        switched.push(key);
        let action = Action::SetSysctl {
            key: key.clone(),
            was: now.clone(),
            to: was.clone(),
            along: Vec::new(),
        };
        changes.push(change(action, Reason::Restore, Part::Gateway));
    }
    changes
}

fn configure_device(goal: &Goal) -> Vec<Change> {
    let Some(device) = &goal.device else {
        return Vec::new();
    };
    let (index, link) = (device.link.index, &device.link);
    let mtu = (link.mtu != device.mtu).then_some(Action::SetMtu {
        link: index,
        was: link.mtu,
        to: device.mtu,
    });
    let queue = device.queue.filter(|queue| *queue != link.queue);
    let queue = queue.map(|to| Action::SetQueue {
        link: index,
        was: link.queue,
        to,
    });
    let up = (!link.up).then_some(Action::SetUp { link: index });
    let differs = mtu
        .into_iter()
        .chain(queue)
        .map(|action| (action, Reason::Differs));
    let settings = differs.chain(up.map(|action| (action, Reason::Missing)));
    let settings = settings.map(|(action, reason)| change(action, reason, Part::Device));
    settings.chain(add_addresses(device)).collect()
}

fn add_addresses(device: &DeviceGoal) -> impl Iterator<Item = Change> {
    let missing = device
        .addresses
        .iter()
        .filter(|address| !device.link.addresses.contains_key(address));
    missing.map(|address| {
        let action = Action::AddAddress {
            link: device.link.index,
            address: *address,
        };
        change(action, Reason::Missing, part_of(Family::of(address.addr())))
    })
}

/// Our addresses that are not wanted, on whatever link.
fn remove_addresses(goal: &Goal, observed: &Observed) -> Vec<Change> {
    let mut changes = Vec::new();
    for link in observed.links.values() {
        let device = goal
            .device
            .as_ref()
            .filter(|device| device.link.index == link.index);
        let wanted = |address| device.is_some_and(|device| device.addresses.contains(address));
        for (address, _) in link
            .addresses
            .iter()
            .filter(|(address, ours)| **ours && !wanted(address))
        {
            let action = Action::RemoveAddress {
                link: link.index,
                address: *address,
            };
            changes.push(change(action, Reason::Unwanted, Part::Device));
        }
    }
    changes
}

fn restore_links(observed: &Observed, forget: &[Undo]) -> Vec<Change> {
    let restored = forget
        .iter()
        .rev()
        .filter_map(|step| restore_link(observed, step));
    restored
        .map(|action| change(action, Reason::Restore, Part::Device))
        .collect()
}

fn restore_link(observed: &Observed, step: &Undo) -> Option<Action> {
    let at = |link: &u32| observed.links.get(link);
    match step {
        Undo::Mtu { link, was } => {
            let now = at(link)?.mtu;
            (now != *was).then_some(Action::SetMtu {
                link: *link,
                was: now,
                to: *was,
            })
        }
        Undo::Queue { link, was } => {
            let now = at(link)?.queue;
            (now != *was).then_some(Action::SetQueue {
                link: *link,
                was: now,
                to: *was,
            })
        }
        Undo::Up { link } => at(link)?.up.then_some(Action::SetDown { link: *link }),
        _ => None,
    }
}
