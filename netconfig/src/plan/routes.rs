//! Which routes may be there: conflicts, and the guards behind the routes.

use crate::change::Reason;
use crate::desired::{Data, Desired, GUARD_METRIC, Overlap, Part, Wanted};
use crate::observed::{Foreign, MAIN_TABLE, Observed, Route, Target};
use crate::prefix::{Family, Prefix};

use super::Conflict;
use super::goal::Goal;

pub(super) fn add(goal: &mut Goal, desired: &Desired, observed: &Observed) {
    for (prefix, wanted) in &desired.routes {
        let existing: Vec<&Foreign> = conflicts(goal, *prefix, wanted, observed).collect();
        if !existing
            .iter()
            .any(|foreign| hidden_by_guard(foreign, *prefix))
        {
            let guard = Route {
                prefix: *prefix,
                table: MAIN_TABLE,
                metric: GUARD_METRIC,
                target: Target::Unreachable,
            };
            goal.routes.insert(guard, (Part::Guard, Reason::Guard));
        }
        if let Some(existing) = existing.first() {
            let existing = (*existing).clone();
            goal.conflicts.push(Conflict {
                wanted: *prefix,
                existing,
            });
        } else if let (Data::Flowing, Some(device)) = (desired.data, goal.flows(prefix.family())) {
            let target = Target::Link(device.link.index);
            let route = Route {
                prefix: *prefix,
                table: MAIN_TABLE,
                metric: wanted.metric,
                target,
            };
            goal.routes
                .insert(route, (part_of(prefix.family()), Reason::Missing));
        }
    }
}

pub(super) const fn part_of(family: Family) -> Part {
    match family {
        Family::V4 => Part::Device,
        Family::V6 => Part::Ipv6,
    }
}

/// Direct routes that share an address with the wanted prefix, and any as specific as it or more.
fn conflicts<'a>(
    goal: &Goal,
    wanted: Prefix,
    how: &Wanted,
    observed: &'a Observed,
) -> impl Iterator<Item = &'a Foreign> + use<'a> {
    let own = goal.device.as_ref().map(|device| device.link.index);
    let refuse = how.overlap == Overlap::Refuse;
    observed.foreign.iter().filter(move |foreign| {
        let ours = own.is_some() && foreign.link == own;
        let collides =
            wanted.covers(foreign.prefix) || (foreign.direct && foreign.prefix.covers(wanted));
        refuse && !ours && collides
    })
}

/// A guard may stand unless it would cut a piece out of what the host reaches directly. Everything more specific
/// than the guard, and everything equal with a lower metric, wins over it.
fn hidden_by_guard(foreign: &Foreign, wanted: Prefix) -> bool {
    let wider = foreign.prefix.covers(wanted) && foreign.prefix != wanted;
    wider || (foreign.prefix == wanted && foreign.metric >= GUARD_METRIC)
}
