//! Everything without a better route goes through the overlay: policy rules, a table of its own, marks.

use crate::change::Reason;
use crate::desired::{Data, Desired, GUARD_METRIC, Part};
use crate::firewall::Filter;
use crate::observed::{MAIN_TABLE, Observed, Route, Rule, Target};
use crate::prefix::{Family, Prefix};
use crate::sysctl::{Leaf, SysctlKey};

use super::gateway;
use super::goal::{Goal, SysctlGoal};

/// Below this metric comes only the guard.
const METRIC: u32 = 1;

pub(super) fn add(goal: &mut Goal, desired: &Desired, observed: &Observed) -> Vec<Filter> {
    let Some(exit) = &desired.exit else {
        return Vec::new();
    };
    for family in &exit.families {
        add_routes(goal, desired, *family);
        goal.rules.extend(rules(desired, *family));
    }
    if exit.families.contains(&Family::V4) {
        // With a strict check of the way back, answers to our marked packets would be dropped.
        let key = SysctlKey::link(Family::V4, "all", Leaf::SrcValidMark);
        if gateway::ours_to_set(&key, "0", observed) {
            goal.sysctls.push(SysctlGoal {
                key,
                to: "1",
                along: Vec::new(),
                part: Part::Exit,
            });
        }
    }
    filters(goal, desired)
}

fn add_routes(goal: &mut Goal, desired: &Desired, family: Family) {
    let route = Route {
        prefix: Prefix::all(family),
        table: desired.marks.table,
        metric: GUARD_METRIC,
        target: Target::Unreachable,
    };
    goal.routes.insert(route, (Part::Guard, Reason::Guard));
    if let (Data::Flowing, Some(device)) = (desired.data, goal.flows(family)) {
        let route = Route {
            metric: METRIC,
            target: Target::Link(device.link.index),
            ..route
        };
        goal.routes.insert(route, (Part::Exit, Reason::Missing));
    }
}

/// First the main table, but not its default route; then ours. Marked packets skip both.
fn rules(desired: &Desired, family: Family) -> [Rule; 2] {
    let marks = &desired.marks;
    let main = Rule {
        family,
        priority: marks.priority,
        unless_mark: marks.fwmark,
        table: MAIN_TABLE,
        suppress: Some(0),
    };
    [
        main,
        Rule {
            priority: marks.priority + 1,
            table: marks.table,
            suppress: None,
            ..main
        },
    ]
}

fn filters(goal: &Goal, desired: &Desired) -> Vec<Filter> {
    let mark = desired.marks.fwmark;
    let mut filters = vec![Filter::SaveMark(mark), Filter::RestoreMark(mark)];
    if let (Some(goal), Some(device)) = (&goal.device, &desired.device) {
        let shield = |address: &std::net::IpAddr| Filter::Shield {
            device: goal.link.name.clone(),
            address: *address,
        };
        filters.extend(device.addresses.iter().map(shield));
    }
    filters
}
