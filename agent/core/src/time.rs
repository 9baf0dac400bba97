//! The clocks, as values.

use serde::{Deserialize, Serialize};
use tidegate_proto::UnixTime;
use tidegate_wg::Mono;

/// One sample of the clocks, taken once per turn of the shell's loop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Now {
    /// CLOCK_BOOTTIME, the same clock that the data plane's deadlines are on.
    pub boot: Mono,
    /// The host's wall clock. It may be wrong.
    pub unix: UnixTime,
}

/// Which boot of the host this is (`/proc/sys/kernel/random/boot_id`): boot-time instants of another mean nothing.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct BootId(pub String);

/// When [`crate::Member::handle_timeout`] is to be called at the latest, and what for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timeout {
    /// When.
    pub at: Mono,
    /// What for.
    pub reason: Reason,
}

/// What a timeout is for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Reason {
    /// An epoch begins, ends or is not received any more.
    Epoch,
    /// A lease or a certificate ends.
    Deadline,
    /// The authority is to be told that the node is there.
    Heartbeat,
    /// The certificate is to be renewed.
    Renewal,
    /// The authority is to be asked again.
    Retry,
    /// The wall clock is compared with the other one.
    ClockCheck,
    /// Something lies in memory that belongs on the disk.
    Save,
    /// Keys of an earlier genesis retire.
    Succession,
}
