//! What the data thread tells whoever started it.

use std::io;
use std::time::Duration;

use tidegate_wg::Event;

/// Something that happened on the data thread.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// The engine says.
    Engine(Event),
    /// Notices were lost because nobody read them; state should be read anew.
    Lost,
    /// A descriptor gives errors. The thread goes on, and tries again after a pause that grows.
    Fault(Fault),
    /// The thread has ended. It is the last notice.
    Stopped(StopReason),
}

/// Errors of one descriptor that may pass.
#[derive(Debug)]
pub struct Fault {
    /// Which descriptor.
    pub part: Part,
    /// What the kernel said.
    pub error: io::Error,
    /// How long it is left alone.
    pub pause: Duration,
}

/// A descriptor of the data thread.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// The TUN device.
    Tun,
    /// The sockets.
    Udp,
}

/// Why the data thread has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StopReason {
    /// It was told to.
    Asked,
    /// Somebody deleted the interface.
    InterfaceGone,
    /// A bug: it panicked. Nothing flows any more.
    Panicked,
}
