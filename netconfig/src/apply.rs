//! Making changes, each after its undo step is on the disk.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags};

use crate::change::{Action, Change};
use crate::desired::{Marks, Part};
use crate::firewall;
use crate::netlink::{Existing, Netlink, NetlinkError, address, link, route, rule};
use crate::system;

/// Why a change could not be made.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ChangeError {
    /// The kernel refused it.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// A kernel setting could not be written.
    #[error("{0}")]
    Sysctl(std::io::ErrorKind),
    /// The firewall refused it.
    #[error("{0}")]
    Firewall(String),
}

/// A change that could not be made.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("cannot {change}: {error}")]
pub struct Failure {
    /// The change.
    pub change: Change,
    /// Why not.
    pub error: ChangeError,
}

impl Failure {
    /// The part of the wish that cannot be had without this change. A single route can be missed, and what could
    /// not be removed does not keep anything else from working.
    pub(crate) fn costs(&self) -> Option<Part> {
        match (&self.change.action, self.change.part) {
            (Action::AddRoute(_), Part::Exit) => Some(Part::Exit),
            (
                Action::AddRoute(_)
                | Action::RemoveRoute(_)
                | Action::RemoveRule(_)
                | Action::RemoveAddress { .. }
                | Action::RemoveTable { .. }
                | Action::SetDown { .. },
                _,
            )
            | (_, Part::Guard) => None,
            (_, part) => {
                Some(part).filter(|_| self.change.reason != crate::change::Reason::Restore)
            }
        }
    }
}

/// Whether two changes can be sent to the kernel at once.
pub(crate) const fn in_bulk(change: &Change) -> bool {
    matches!(change.action, Action::AddRoute(_) | Action::RemoveRoute(_))
}

/// Makes changes that can be sent at once; gives the failures.
pub(crate) fn make_in_bulk(
    netlink: &mut Netlink,
    changes: &[Change],
    marks: &Marks,
) -> Result<Vec<Failure>, NetlinkError> {
    let requests: Vec<_> = changes
        .iter()
        .filter_map(|change| request(&change.action, marks))
        .collect();
    let answers = netlink.request(&requests)?;
    let judged = changes
        .iter()
        .zip(answers)
        .filter_map(|(change, answer)| judge(change, answer.map_err(Into::into)));
    Ok(judged.collect())
}

/// Makes one change.
pub(crate) fn make(
    netlink: &mut Netlink,
    change: &Change,
    marks: &Marks,
) -> Result<Option<Failure>, NetlinkError> {
    let result = match &change.action {
        Action::SetSysctl { key, to, .. } => {
            system::write_sysctl(key, to).map_err(|error| ChangeError::Sysctl(error.kind()))
        }
        Action::ReplaceTable(table) => {
            system::change_table(&table.to_json()).map_err(ChangeError::Firewall)
        }
        Action::RemoveTable { name } => {
            system::change_table(&firewall::removal(name)).map_err(ChangeError::Firewall)
        }
        action => match request(action, marks) {
            Some((message, existing)) => match netlink.request_one(message, existing) {
                Err(error @ NetlinkError::Socket(_)) => return Err(error),
                answer => answer.map_err(Into::into),
            },
            None => Ok(()),
        },
    };
    Ok(judge(change, result))
}

/// What is gone already counts as removed.
fn judge(change: &Change, result: Result<(), ChangeError>) -> Option<Failure> {
    let error = result.err()?;
    let gone = |error: &ChangeError| match error {
        ChangeError::Netlink(error) => {
            [libc::ESRCH, libc::ENOENT, libc::ENODEV, libc::EADDRNOTAVAIL]
                .into_iter()
                .any(|errno| error.is(errno))
        }
        ChangeError::Sysctl(kind) => *kind == std::io::ErrorKind::NotFound,
        ChangeError::Firewall(_) => false,
    };
    let removal = matches!(
        change.action,
        Action::RemoveRoute(_)
            | Action::RemoveRule(_)
            | Action::RemoveAddress { .. }
            | Action::SetDown { .. }
    );
    let restore = change.reason == crate::change::Reason::Restore;
    ((!removal && !restore) || !gone(&error)).then(|| Failure {
        change: change.clone(),
        error,
    })
}

fn request(action: &Action, marks: &Marks) -> Option<(RouteNetlinkMessage, Existing)> {
    use RouteNetlinkMessage as M;
    let protocol = marks.protocol;
    Some(match action {
        Action::SetMtu { link, to, .. } => (
            link::set(*link, LinkAttribute::Mtu(*to)),
            Existing::Irrelevant,
        ),
        Action::SetQueue { link, to, .. } => (
            link::set(*link, LinkAttribute::TxQueueLen(*to)),
            Existing::Irrelevant,
        ),
        Action::SetUp { link } => (link::switch(*link, LinkFlags::Up), Existing::Irrelevant),
        Action::SetDown { link } => (
            link::switch(*link, LinkFlags::empty()),
            Existing::Irrelevant,
        ),
        Action::AddAddress { link, address } => (
            M::NewAddress(address::message(*link, *address, protocol)),
            Existing::Refuse,
        ),
        Action::RemoveAddress { link, address } => (
            M::DelAddress(address::message(*link, *address, protocol)),
            Existing::Irrelevant,
        ),
        Action::AddRoute(route) => (
            M::NewRoute(route::message(route, protocol)),
            Existing::Refuse,
        ),
        Action::RemoveRoute(route) => (
            M::DelRoute(route::message(route, protocol)),
            Existing::Irrelevant,
        ),
        Action::AddRule(rule) => (M::NewRule(rule::message(rule, protocol)), Existing::Refuse),
        Action::RemoveRule(rule) => (
            M::DelRule(rule::message(rule, protocol)),
            Existing::Irrelevant,
        ),
        Action::SetSysctl { .. } | Action::ReplaceTable(_) | Action::RemoveTable { .. } => {
            return None;
        }
    })
}
