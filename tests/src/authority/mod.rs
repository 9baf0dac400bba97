//! A real authority on this machine, and those who speak to it: operators by the real command line, nodes by the real
//! client.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use tidegate_tests::authority::{Installation, Member};
//!
//! let installation = Installation::new("")?; // what is added to authority.toml
//! let server = installation.serve()?;
//! installation.login()?;
//! let invite = installation.invite(&["--role", "member"])?;
//! let member = Member::new()?.join("a", &invite).await?;
//! let said = installation.admin(["revoke", "a", "--reason", "lost", "--wait"])?;
//! server.stop()?;
//! # Ok(())
//! # }
//! ```
//!
//! Each has a loopback address of its own, drawn at random, so that any number of them stand side by side.

pub mod durability;
mod installation;
mod member;
mod server;

pub use installation::{Installation, Said};
pub use member::{Joined, Member};
pub use server::Server;
