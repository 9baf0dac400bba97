//! The difference between what is wanted and what is there: a pure function.

mod diff;
mod exit;
mod gateway;
mod goal;
mod routes;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::change::Change;
use crate::desired::{Desired, Part};
use crate::error::DesiredError;
use crate::observed::{Foreign, Observed};
use crate::prefix::Prefix;
use crate::undo::Undo;

/// What to do, in this order, and what cannot be done.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// The changes, ordered; empty when the host is as wanted.
    pub changes: Vec<Change>,
    /// Undo steps that are of no use once the changes are made.
    pub forget: Vec<Undo>,
    /// Routes that are left out because the host reaches those addresses without us.
    pub conflicts: Vec<Conflict>,
    /// Wishes that this host cannot fulfil now, each left out whole.
    pub problems: Vec<Problem>,
}

/// A route that is left out, and what it collides with.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub struct Conflict {
    /// The wanted route.
    pub wanted: Prefix,
    /// What the host has already.
    pub existing: Foreign,
}

/// A wish that is left out whole, because the host lacks what it needs.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub struct Problem {
    /// Which part of the wish.
    pub part: Part,
    /// What is missing, and what to do.
    pub missing: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.existing.direct {
            "is directly connected"
        } else {
            "is routed already"
        };
        write!(
            f,
            "route {} is not installed: {} {how}",
            self.wanted, self.existing.prefix
        )?;
        if let Some(link) = self.existing.link {
            write!(f, " on link {link}")?;
        }
        write!(
            f,
            "; to prefer the overlay all the same, allow overlap for {}",
            self.wanted
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is left out: {}; everything else works",
            self.part, self.missing
        )
    }
}

/// Computes what to change so that the host becomes as wanted.
///
/// # Errors
/// When the wish contradicts itself; see [`DesiredError`].
pub fn plan(desired: &Desired, observed: &Observed) -> Result<Plan, DesiredError> {
    desired.check()?;
    let goal = goal::Goal::of(desired, observed);
    let forget = diff::unneeded(&goal, observed);
    let changes = diff::changes(&goal, observed, &forget);
    Ok(Plan {
        changes,
        forget,
        conflicts: goal.conflicts,
        problems: goal.problems,
    })
}
