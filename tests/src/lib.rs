//! # The lab
//!
//! Hosts, networks and links on one machine, made of Linux namespaces, so that tests can run real programs over
//! real packets. It needs root and the programs that `tests/install-tools` installs.
//!
//! ```no_run
//! use std::time::Duration;
//! use tidegate_tests::{Lab, wait_until};
//!
//! let lab = Lab::new()?;
//! let (a, b) = (lab.host("a")?, lab.host("b")?);
//! let lan = lab.network("lan")?;
//! let link = lan.attach(&a, &["10.0.0.1/24", "fd00::1/64"])?;
//! lan.attach(&b, &["10.0.0.2/24", "fd00::2/64"])?;
//!
//! let server = b.spawn("iperf3", ["-s"])?;
//! server.wait_for_output(Duration::from_secs(5), "Server listening")?;
//! a.run("iperf3", ["-c", "10.0.0.2", "-t", "1"])?;
//! link.cut()?;
//! wait_until(Duration::from_secs(5), "b to be out of reach", || a.run("ping", ["-c1", "-W1", "10.0.0.2"]).is_err())?;
//! # Ok::<(), tidegate_tests::LabError>(())
//! ```
#![forbid(unsafe_code)]

mod cable;
mod capture;
mod command;
mod error;
mod host;
pub mod iperf;
mod lab;
mod link;
mod network;
mod process;
mod space;
mod stranger;
mod wait;
pub mod wireguard;

pub use crate::{
    cable::cable,
    capture::{Capture, Captured},
    command::{Command, Output},
    error::LabError,
    host::Host,
    lab::Lab,
    link::{Direction, Link},
    network::Network,
    process::Process,
    stranger::Stranger,
    wait::{wait_for, wait_until},
};
/// The signals that [`Process::signal`] sends.
pub use nix::sys::signal::Signal;
