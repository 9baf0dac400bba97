//! # Host network configuration
//!
//! ```text
//! Desired ─┐
//!          ├─ plan (pure) ─→ changes, each with its reason ─→ journal ─→ apply ─→ verify
//! Observed ┘
//! ```
//!
//! The crate knows neither WireGuard nor certificates: it gets addresses, prefixes and wishes.
//!
//! ## Contract
//!
//! * [`plan()`] is a pure function; each of its changes says why.
//! * Each change is journaled before it is made, so that the next start undoes what a crash left.
//! * Only what Tidegate made is ever removed.
#![forbid(unsafe_code)]

mod apply;
pub mod change;
pub mod desired;
mod digest;
pub mod error;
pub mod firewall;
mod foreign;
pub mod host;
pub mod journal;
pub mod keeper;
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
