//! The daemon: `tidegate run`.
//!
//! ```text
//!   signals ─┐                                     ┌─▶ plane    (thread)  wg-io: removal first, confirmed
//!   socket  ─┼─▶ inbox ─▶ loop: Member::handle ────┼─▶ disk     (thread)  files, synced, confirmed
//!   clocks  ─┘      ▲     (one task)               ├─▶ network  (task)    netconfig's keeper
//!                   └──── confirmations, news ─────┴─▶ session  (tasks)   the authority
//! ```
//!
//! Every queue is bounded. The loop never waits: what finds no room is answered as a failure, which core knows how to
//! live with. Whoever reports to the loop may wait for it.

mod allowed;
mod carrier;
mod choices;
mod clock;
mod counters;
mod endpoints;
mod error;
mod flows;
mod health;
mod inbox;
mod metrics;
mod network;
mod observer;
mod orders;
mod page;
mod parts;
mod pending;
mod pings;
mod plane;
mod resolver;
mod run;
mod session;
mod signals;
mod store;
mod systemd;
mod traffic;
mod turn;
mod view;
mod wishes;

pub use error::DaemonError;
pub use run::{Options, run};
