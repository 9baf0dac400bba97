//! # Packet IO
//!
//! The thin shell around [`tidegate_wg`]: a TUN device with vnet headers, UDP sockets with segmentation and
//! receive offload, and the one thread that owns both and the engine. The only crate that may hold unsafe code,
//! each block with the reason why it is sound.
//!
//! ## Model
//!
//! ```text
//! application ─ kernel ─ TUN ─▶ 64 KiB frame ─▶ Engine: route, filter, seal ─▶ Outbox ─▶ sendmsg(UDP_SEGMENT)
//! application ─ kernel ─ TUN ◀─ Merger ◀─ Engine: open, check, filter ◀─ Inbox ◀─ recvmmsg(UDP_GRO)
//! ```
//!
//! [`DataPlane::start`] makes the descriptors and the thread. Everybody else has a [`Control`], whose calls
//! return when the data thread has done what they say, and one has the receiver of [`Notice`]s. Each turn
//! of the thread carries out orders, drains the sockets, takes up to four frames from the TUN, and flushes;
//! it sleeps only where a whole turn found nothing.
//!
//! ## Contract
//!
//! * No lock, no allocation and no waiting for another thread per packet. A full queue drops and counts.
//! * Between turns every buffer is empty. So when [`Control::remove_peer`] returns, nothing that was sealed
//!   or opened for that peer is anywhere in this process.
//! * The clocks are read after every receive and before anything is sealed or opened. What then cannot be
//!   sent or written within [`LONGEST_HOLD`], because the process was frozen meanwhile, is dropped.
//! * Where the kernel refuses an offload, the thread does without and says so: once in the log, and in
//!   [`IoStatus::offloads`].
//! * The thread never ends silently: [`Notice::Stopped`] says why.
#![allow(unsafe_code)]

mod clock;
mod control;
mod counters;
mod data_plane;
mod error;
mod herald;
mod inbox;
mod inlet;
mod notice;
mod outbox;
mod plane;
mod rest;
mod segmentation;
mod sockopt;
mod tun;
mod uapi;
mod udp;
mod wake;

pub use clock::{boottime, now};
pub use control::Control;
pub use counters::{IoStatus, Offloads, TunCounters};
pub use data_plane::{Config, DataPlane};
pub use error::{ControlError, StartError};
pub use notice::{Fault, Notice, Part, StopReason};
pub use tun::{Link, Offload, TunConfig};
pub use uapi::{DeviceStatus, PeerStatus, STATUS_DIRECTORY, StatusSocket, StatusSocketError};
pub use udp::{Families, UdpConfig, UdpCounters};

/// How long a packet may be between the look at its deadlines and the system call that lets it out. A healthy
/// thread needs well under a millisecond; a thread that was stopped in between must not go on where it was.
pub const LONGEST_HOLD: std::time::Duration = std::time::Duration::from_millis(50);
