//! This host: observe, plan, journal, apply, verify.

mod outcome;
mod scan;

use std::net::IpAddr;
use std::path::Path as FilePath;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_sys::protocols::NETLINK_ROUTE;

use crate::apply::{self, Failure};
use crate::change::Change;
use crate::desired::{Desired, LinkId, LinkName, Marks};
use crate::foreign::ForeignSet;
use crate::journal::{Journal, OnCheckpoint};
use crate::mtu::Path;
use crate::netlink::diag::Destroyed;
use crate::netlink::{Existing, Netlink, NetlinkError};
use crate::observe;
use crate::observed::Observed;
use crate::plan::{Plan, Problem, plan};
use crate::system;
use crate::undo::{Booted, Undo};

pub use outcome::{HostError, Outcome};

/// The journal's name in the state directory.
pub const JOURNAL: &str = "network.journal";

/// One round for each part that may fail, one to settle and one to see that it has.
const ROUNDS: usize = 7;

/// This host's network, and the journal of what we did to it. All calls block, for milliseconds mostly.
pub struct Host {
    marks: Marks,
    boot: String,
    journal: Journal<Booted>,
    netlink: Netlink,
    foreign: Option<ForeignSet>,
    /// A test kills the process between any two changes, so it needs them one by one.
    one_by_one: bool,
}

impl Host {
    /// Opens the journal in the state directory. What a crash left under other marks is undone; what it left under
    /// the present ones is the next [`Host::reconcile`]'s to keep or to undo.
    ///
    /// # Errors
    /// When the journal or the kernel's socket cannot be opened.
    pub fn open(state: &FilePath, marks: Marks) -> Result<Self, HostError> {
        let boot = system::boot_id().map_err(|error| HostError::Boot(error.kind()))?;
        let journal = Journal::open(state, JOURNAL)?;
        let netlink = Netlink::open(NETLINK_ROUTE)?;
        let mut host = Self {
            marks,
            boot,
            journal,
            netlink,
            foreign: None,
            one_by_one: false,
        };
        host.forget_earlier_boots()?;
        for marks in host.former_marks() {
            host.reconcile(&Desired::nothing(marks))?;
        }
        Ok(host)
    }

    /// Has `hook` called at every step of the journal, and makes changes one by one.
    pub fn on_checkpoint(&mut self, hook: OnCheckpoint) {
        self.one_by_one = true;
        self.journal.on_checkpoint(hook);
    }

    /// Lines of the journal that could not be read: their changes may have to be undone by hand.
    #[must_use]
    pub fn damaged_records(&self) -> &[usize] {
        self.journal.damaged()
    }

    /// How our objects are told from everybody else's.
    #[must_use]
    pub const fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Makes the host as wanted.
    ///
    /// A part of the wish that fails is taken back whole and named; the rest is applied.
    ///
    /// # Errors
    /// When nothing can be done at all.
    pub fn reconcile(&mut self, desired: &Desired) -> Result<Outcome, HostError> {
        self.foreign = None;
        self.repair(desired)
    }

    /// As [`Host::reconcile`], for a caller that has told us of all changes to the routes of others since the last time.
    pub(crate) fn repair(&mut self, desired: &Desired) -> Result<Outcome, HostError> {
        desired.check()?;
        self.follow(desired)?;
        let mut outcome = Outcome::default();
        let mut dropped = Vec::new();
        let mut rest = desired.clone();
        for _ in 0..ROUNDS {
            let plan = plan(&rest, &self.observe(&rest)?)?;
            outcome.conflicts.clone_from(&plan.conflicts);
            outcome.problems = dropped.iter().chain(&plan.problems).cloned().collect();
            if plan.changes.is_empty() {
                self.forget(&plan.forget)?;
                outcome.settled = true;
                break;
            }
            let (made, failures) = self.apply(&plan, &rest.marks)?;
            let idle = made.is_empty();
            outcome.changes.extend(made);
            let lost = failures
                .iter()
                .find_map(|failure| Some((failure.costs()?, failure)));
            if let Some((part, failure)) = lost {
                dropped.push(Problem {
                    part,
                    missing: failure.to_string(),
                });
                rest = rest.without(part);
                continue;
            }
            outcome.failures = failures;
            if idle {
                break;
            }
        }
        Ok(outcome)
    }

    /// Takes back everything that we made on this host.
    ///
    /// # Errors
    /// When the kernel or the journal cannot be used.
    pub fn undo(&mut self) -> Result<Outcome, HostError> {
        self.reconcile(&Desired::nothing(self.marks.clone()))
    }

    /// Looks at the host as far as `desired` is concerned.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn observe(&mut self, desired: &Desired) -> Result<Observed, HostError> {
        let made = self.made();
        let none = ForeignSet::default();
        let foreign = self.foreign.as_ref().unwrap_or(&none);
        Ok(observe::observe(&mut self.netlink, desired, made, foreign)?)
    }

    /// Destroys the connected sockets of this host whose other end is `address`, so that nobody waits for an answer
    /// from a node that is out. Says how many the kernel would not give up.
    ///
    /// # Errors
    /// When the kernel cannot list sockets.
    pub fn destroy_sockets(&mut self, address: IpAddr) -> Result<Destroyed, HostError> {
        Ok(crate::local::destroy_sockets(crate::Prefix::host(address))?)
    }

    pub(crate) const fn port(&self) -> u32 {
        self.netlink.port()
    }

    /// The device's number and name, if it is there and a tunnel.
    pub(crate) fn find_device(&mut self, id: &LinkId) -> Option<(u32, LinkName)> {
        let told = observe::find_link(&mut self.netlink, id).ok()??;
        told.tunnel.then_some((told.index, told.name))
    }

    /// The way that the tunnel's own packets to `endpoint` take, or `None` if there is none.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn path_to(&mut self, endpoint: IpAddr) -> Result<Option<Path>, HostError> {
        Ok(observe::find_path(
            &mut self.netlink,
            endpoint,
            self.marks.fwmark,
        )?)
    }

    pub(crate) const fn foreign(&mut self) -> Option<&mut ForeignSet> {
        self.foreign.as_mut()
    }

    /// Journals everything, then changes it. Gives what was made, and what could not be.
    fn apply(
        &mut self,
        plan: &Plan,
        marks: &Marks,
    ) -> Result<(Vec<Change>, Vec<Failure>), HostError> {
        self.check_permission()?;
        let boot = self.boot.clone();
        let booted = |step| Booted {
            boot: boot.clone(),
            step,
        };
        self.journal.record(
            plan.changes
                .iter()
                .flat_map(|change| change.action.undo(marks))
                .map(booted),
        )?;
        let (mut made, mut failures) = (Vec::new(), Vec::new());
        for group in plan
            .changes
            .chunk_by(|one, other| apply::in_bulk(one) && apply::in_bulk(other))
        {
            let failed = self.make(group, marks)?;
            made.extend(
                group
                    .iter()
                    .filter(|change| !failed.iter().any(|failure| failure.change == **change))
                    .cloned(),
            );
            let lost = failed.iter().any(|failure| failure.costs().is_some());
            failures.extend(failed);
            if lost {
                break;
            }
        }
        if failures.is_empty() {
            self.forget(&plan.forget)?;
        }
        Ok((made, failures))
    }

    fn make(&mut self, group: &[Change], marks: &Marks) -> Result<Vec<Failure>, HostError> {
        let mut failures = Vec::new();
        if group.len() > 1 && !self.one_by_one {
            failures = apply::make_in_bulk(&mut self.netlink, group, marks)?;
        } else {
            for change in group {
                failures.extend(apply::make(&mut self.netlink, change, marks)?);
                self.journal.changed();
            }
        }
        Ok(failures)
    }

    /// Asks the kernel for the impossible: it looks at our rights before it looks at the request.
    fn check_permission(&mut self) -> Result<(), HostError> {
        let nonsense = RouteNetlinkMessage::DelAddress(AddressMessage::default());
        match self.netlink.request_one(nonsense, Existing::Irrelevant) {
            Err(error) if error.is(libc::EPERM) => Err(HostError::NotPermitted),
            Err(error @ NetlinkError::Socket(_)) => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn made(&self) -> Vec<Undo> {
        self.journal
            .pending()
            .iter()
            .map(|booted| booted.step.clone())
            .collect()
    }

    fn forget(&mut self, steps: &[Undo]) -> Result<(), HostError> {
        let keys: Vec<String> = steps
            .iter()
            .map(|step| Booted::key_of(&self.boot, step))
            .collect();
        Ok(self.journal.forget(keys.iter().map(String::as_str))?)
    }

    /// Nothing that we do to the kernel outlives a boot.
    fn forget_earlier_boots(&mut self) -> Result<(), HostError> {
        use crate::journal::Step;
        let old: Vec<_> = self
            .journal
            .pending()
            .iter()
            .filter(|step| step.boot != self.boot)
            .map(Step::key)
            .collect();
        Ok(self.journal.forget(old.iter().map(String::as_str))?)
    }

    fn former_marks(&self) -> Vec<Marks> {
        let former = |step: &Undo| match step {
            Undo::Routes { protocol } | Undo::Rules { protocol }
                if *protocol != self.marks.protocol =>
            {
                Some(Marks {
                    protocol: *protocol,
                    ..self.marks.clone()
                })
            }
            Undo::Table { name } if *name != self.marks.nft_table => Some(Marks {
                nft_table: name.clone(),
                ..self.marks.clone()
            }),
            _ => None,
        };
        self.made().iter().filter_map(former).collect()
    }
}
