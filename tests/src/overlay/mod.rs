//! A whole network in the lab: an authority, and nodes that join it with the real programs.
//!
//! ```no_run
//! # fn example() -> anyhow::Result<()> {
//! use tidegate_tests::overlay::{Overlay, Underlay};
//!
//! let mut overlay = Overlay::new(Underlay::V4)?;
//! let a = overlay.node("a")?;
//! let b = overlay.node("b")?;
//! a.await_ping(&b)?;
//! overlay.admin(["revoke", "b", "--reason", "lost"])?;
//! # Ok(())
//! # }
//! ```
//!
//! Each node is a host of its own with its own state, socket and interface; the authority is one more host. All are on
//! one bridge, whose links can be cut, lose packets and be counted like any other of the lab.

mod ceremony;
mod node;
mod site;
mod thief;
mod timing;
mod traffic;
mod wall_clock;

pub use node::{Ended, Held, Node};
pub use site::{Overlay, Underlay};
pub use thief::{Loot, Mark, Thief};
pub use timing::Timing;
pub use traffic::{Passing, Pings, Tally, unix_ms};

use std::time::Duration;

/// How long anything may take on a machine that is busy with something else.
pub const PATIENCE: Duration = Duration::from_secs(60);
