//! What the engine tells the control thread.

use crate::key::{Epoch, PeerId};
use std::net::SocketAddr;
use std::time::Duration;

/// Something that happened; the control thread reads them one by one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Both ends have a new session of this epoch; again after every renewal, every two minutes.
    Connected {
        /// With whom.
        peer: PeerId,
        /// In which epoch.
        epoch: Epoch,
    },
    /// Nobody answered the handshakes of a minute and a half.
    Unreachable {
        /// Who did not answer.
        peer: PeerId,
        /// In which epoch we asked.
        epoch: Epoch,
    },
    /// The peer speaks from another address now.
    Roamed {
        /// Who moved.
        peer: PeerId,
        /// The address that authenticated packets come from.
        endpoint: SocketAddr,
    },
    /// The deadline of an epoch has passed and its tunnels are gone.
    Expired {
        /// Which epoch.
        epoch: Epoch,
    },
    /// A ping came back.
    Pong {
        /// From whom.
        peer: PeerId,
        /// The token of the [`crate::Ping`].
        token: u64,
        /// From seal to open.
        round_trip: Duration,
    },
    /// Events were lost because nobody read them; state should be read anew.
    Overflow,
}
