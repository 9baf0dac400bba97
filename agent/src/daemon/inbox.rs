//! Everything that the loop is told, in one queue.

use tidegate_core::Input;
use tokio::sync::{mpsc, oneshot};

use super::carrier::Challenged;
use crate::local::{Reply, Request};

/// Messages that may wait. Whoever sends more waits; the loop itself never does.
pub(super) const MESSAGES: usize = 1024;

/// One thing for the loop.
pub(super) enum Message {
    /// For core.
    Core(Input),
    /// Somebody asks on the local socket.
    Request(Request, oneshot::Sender<Reply>),
    /// The authority wants a proof that the node holds its keys.
    Challenge(Box<Challenged>),
    /// The data plane did not keep up with its orders, and nothing of it runs any more.
    PlaneDropped,
    /// Addresses of the host have changed.
    Underlay,
    /// Read the configuration again.
    Reload,
    /// End.
    Stop,
}

/// Where messages are put.
pub(super) type Inbox = mpsc::Sender<Message>;
