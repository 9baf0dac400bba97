//! What came of trying to make the host as wanted.

use crate::apply::Failure;
use crate::change::Change;
use crate::desired::Part;
use crate::error::DesiredError;
use crate::journal::JournalError;
use crate::netlink::NetlinkError;
use crate::plan::{Conflict, Problem};

/// Why the host could not be configured at all.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The wish contradicts itself.
    #[error(transparent)]
    Desired(#[from] DesiredError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The kernel cannot be asked.
    #[error("the kernel's network configuration cannot be read or written: {0}")]
    Netlink(#[from] NetlinkError),
    /// The process lacks a right.
    #[error(
        "CAP_NET_ADMIN is missing, nothing was changed: run the service with that capability; looking still works"
    )]
    NotPermitted,
    /// The task that keeps the host has ended.
    #[error("the host's network is not kept any more: restart the service")]
    Stopped,
    /// Something that we made is still there.
    #[error("not all of the host's network is as it was: {0}; see to that first")]
    Left(String),
    /// The kernel does not say which boot this is.
    #[error("cannot read /proc/sys/kernel/random/boot_id ({0}), nothing was changed: mount /proc")]
    Boot(std::io::ErrorKind),
}

/// What [`Host::reconcile`] did and could not do.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Outcome {
    /// What was changed, in order.
    pub changes: Vec<Change>,
    /// Routes that are left out because the host reaches those addresses without us.
    pub conflicts: Vec<Conflict>,
    /// Parts of the wish that this host cannot fulfil now, each left out whole.
    pub problems: Vec<Problem>,
    /// Single changes that failed and are missed by nothing else.
    pub failures: Vec<Failure>,
    /// Whether a last look showed everything in place.
    pub settled: bool,
}

impl Outcome {
    /// Everything that a person should know, one line each.
    pub fn complaints(&self) -> impl Iterator<Item = String> {
        let conflicts = self.conflicts.iter().map(ToString::to_string);
        let problems = self.problems.iter().map(ToString::to_string);
        conflicts
            .chain(problems)
            .chain(self.failures.iter().map(ToString::to_string))
    }

    /// Whether everything that was ever made on this host is taken back, if nothing was wished.
    ///
    /// # Errors
    /// When something is left, for the next try to take back.
    pub fn check_undone(&self) -> Result<(), HostError> {
        if self.settled && self.problems.is_empty() {
            return Ok(());
        }
        let complaints: Vec<String> = self.complaints().collect();
        Err(HostError::Left(complaints.join("; ")))
    }

    /// Whether a part of the wish is left out.
    #[must_use]
    pub fn lacks(&self, part: Part) -> bool {
        self.problems.iter().any(|problem| problem.part == part)
    }
}
