//! # Packet IO
//!
//! The thin shell around `tidegate-wg`: a TUN device with vnet headers, UDP sockets with segmentation
//! and receive offload, and the thread that owns both. The only crate that may hold unsafe code, each
//! block with the reason why it is sound.
#![allow(unsafe_code)]

mod clock;
mod error;
mod inbox;
mod segmentation;
mod sockopt;
mod tun;
mod uapi;
mod udp;
mod wake;

pub use clock::{boottime, unix_time};
pub use error::{ControlError, StartError};
pub use tun::{Link, Offload, TunConfig, VNET_HEADER};
pub use uapi::{DeviceStatus, PeerStatus, STATUS_DIRECTORY, StatusSocket, StatusSocketError};
pub use udp::{Families, UdpConfig, UdpCounters};
