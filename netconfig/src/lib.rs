//! # Host network configuration
//!
//! ```text
//! Desired ─┐
//!          ├─ plan (pure) ─→ changes, each with its reason ─→ journal ─→ apply ─→ look again
//! Observed ┘
//! ```
//!
//! [`Host`] does this once, [`Keeper`] keeps doing it: it hears of changes to links, addresses, routes and rules, and
//! repairs what is ours. The crate knows neither WireGuard nor certificates: it gets addresses, prefixes and wishes,
//! and a tunnel device that somebody else made.
//!
//! ## Contract
//!
//! * **Do no harm.** A route that would cover what the host reaches directly, or more precisely, is left out and named;
//!   everything else goes in. Only what carries our mark (routes, rules, addresses by protocol number, one firewall
//!   table by name) or stands in the journal is ever removed.
//! * **Undo.** How to undo each change is on the disk before it is made. After a crash at any point the next
//!   [`Host::reconcile`] or [`Host::undo`] leads to what is wanted or to what was there before. Undoing is planning
//!   for [`Desired::nothing`].
//! * **Nothing leaves in clear.** Behind every route stands an `unreachable` one of a higher metric. It holds when
//!   packets are stopped, when the device is gone and when the process has died, until the wish is given up.
//! * **Whole or not at all.** A [`Part`] of the wish for which the host lacks something is left out whole, with one
//!   message that says what is missing.
//! * **A full routing table costs nothing.** Dumps are filtered by the kernel and streamed; an event is judged by
//!   itself, and only what touches a wanted prefix is remembered.
//!
//! ## Limits
//!
//! * Forwarding is turned on for the host as a whole; where it was off, our firewall table keeps other links from
//!   forwarding to each other. A foreign firewall that drops forwarded packets still drops them.
//! * Changes that others make to the firewall and to kernel settings cause no event; they are put right whenever
//!   anything else is.
//! * Our packets to peers skip an exit's default route by their mark, not routes to subnets: do not accept a subnet
//!   that holds the endpoint of the peer that leads there.
#![forbid(unsafe_code)]

mod apply;
pub mod change;
pub mod desired;
mod digest;
pub mod dns;
pub mod error;
pub mod firewall;
mod foreign;
pub mod host;
pub mod journal;
pub mod keeper;
pub mod local;
pub mod mtu;
mod netlink;
mod observe;
pub mod observed;
pub mod plan;
pub mod prefix;
pub mod preflight;
pub mod sysctl;
mod system;
pub mod undo;
pub mod watch;

pub use apply::{ChangeError, Failure};
pub use change::{Action, Change, Reason};
pub use desired::{Desired, Part};
pub use host::{Host, HostError, Outcome};
pub use journal::Journal;
pub use keeper::{Ending, Keeper, Notice};
pub use netlink::diag::Destroyed;
pub use netlink::{Errno, NetlinkError};
pub use observed::Observed;
pub use plan::{Plan, plan};
pub use prefix::{Family, Prefix};
