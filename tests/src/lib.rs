//! # The lab: hosts, networks and links made of Linux namespaces
//!
//! Tests run real programs over real packets on one machine. It takes root, and what `tests/install-tools` installs.
//!
//! ```
//! use std::time::Duration;
//! use tidegate_tests::{Lab, Nat};
//!
//! let lab = Lab::new()?;
//! let (home, internet) = (lab.network("home")?, lab.network("internet")?);
//! lab.router("router", (&home, &["192.168.1.1/24"]), (&internet, &["203.0.113.1/24"]), Nat::Symmetric)?;
//! let (a, b) = (lab.host("a")?, lab.host("b")?);
//! let link = home.attach(&a, &["192.168.1.2/24"])?; // eth0
//! a.route(["default", "via", "192.168.1.1"])?;
//! internet.attach(&b, &["203.0.113.2/24", "2001:db8::2/64"])?;
//!
//! let server = b.spawn("iperf3", ["-s", "--forceflush"])?;
//! server.wait_for_output(Duration::from_secs(5), "Server listening")?;
//! let capture = b.capture("eth0", "tcp port 5201")?;
//! a.run("iperf3", ["-c", "203.0.113.2", "-n", "1M"])?;
//! assert!(capture.count()? > 600);
//! link.lose(0.02)?;
//! link.delay(Duration::from_millis(20))?;
//! # Ok::<(), tidegate_tests::LabError>(())
//! ```
//!
//! * A [`Host`] has its own network, processes, host name and mounts: `/run`, `/etc` and `/var/lib` start out empty but
//!   for what programs need (users, certificates, services). The rest, `/tmp` and `/dev` too, is the machine's.
//! * A [`Network`] is a bridge in a namespace of the lab; a [`Link`] can be cut, healed, unplugged, lossy, slow, counted.
//!   IPv6 addresses are usable at once. No segmentation offload: what travels is never larger than the MTU.
//! * Nothing is done before it works: `attach`, `capture`, `cut` and the rest return when they are in effect.
//! * A [`Process`] has the id that the machine sees. It dies with its handle, and then shows its output if the test
//!   panicked: so end tests by `unwrap`, whose message has the output of a failed command, rather than by `?`.
//! * Code that needs the host's network runs in [`Host::enter`]. Sockets made there stay there and work anywhere.
//! * Nothing in the lab has a name outside of it, so labs never meet, with the same addresses either. All of it ends
//!   with the [`Lab`]; if the test is killed the kernel ends it, as every host hangs on a pipe that only the test holds.
//! * A [`Machine`] is a whole Debian with systemd, booted, on a network of the lab.
//! * Never sleep: [`wait_until`] and [`wait_for`] take a deadline. What must *not* arrive is shown by a [`Counter`] or a
//!   [`Capture`], which have seen all that passed before they are asked, and by something sent later that arrived.
#![forbid(unsafe_code)]

pub mod authority;
mod binary;
mod cable;
mod capture;
mod command;
mod counter;
pub mod cutoff;
mod delay;
mod error;
mod host;
pub mod iperf;
mod lab;
mod link;
mod machine;
mod nat;
mod network;
pub mod overlay;
mod process;
mod recording;
mod space;
mod stranger;
mod supervise;
mod switch;
mod wait;
pub mod wireguard;

pub use crate::{
    binary::{binary, example},
    cable::cable,
    capture::{Capture, Packet},
    command::{Command, Output},
    counter::Counter,
    error::LabError,
    host::Host,
    lab::Lab,
    link::{Direction, Link},
    machine::{Machine, debs},
    nat::{Nat, Router},
    network::Network,
    process::Process,
    recording::Recording,
    stranger::Stranger,
    supervise::supervise,
    wait::{wait_for, wait_until},
};
/// The signals that [`Process::signal`] sends.
pub use nix::sys::signal::Signal;
