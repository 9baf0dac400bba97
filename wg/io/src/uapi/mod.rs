//! The socket that `wg show` asks: `/var/run/wireguard/NAME.sock`.
//!
//! Read only. What configures peers is signed documents, so `set` is refused, and no key but the public
//! ones of peers is ever here to be told. Requests are bounded in size and time, one at a time.

mod answer;
mod socket;

pub use answer::{DeviceStatus, PeerStatus};
pub use socket::{STATUS_DIRECTORY, StatusSocket, StatusSocketError};
