//! Handles by which other threads command the data thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tidegate_wg::{Command, PeerId, Status};

use crate::counters::IoStatus;
use crate::error::ControlError;
use crate::wake::Wake;

/// Orders that may wait. Whoever gives one waits for the answer, so these are as many as threads.
pub(crate) const ORDERS: usize = 64;
/// How long to wait for an answer; the data thread answers within a batch, a fraction of a millisecond.
const PATIENCE: Duration = Duration::from_secs(5);

/// Commands the data thread. A clone is another handle to the same thread.
///
/// Every call blocks until the data thread has answered, usually well below a millisecond, and at most five
/// seconds; from asynchronous code call it where blocking is allowed (tokio's `spawn_blocking`).
#[derive(Clone, Debug)]
pub struct Control {
    orders: SyncSender<Order>,
    stop: Arc<AtomicBool>,
    wake: Wake,
}

/// What the data thread is asked to do, and where the answer goes.
pub(crate) enum Order {
    Apply(Vec<Command>, SyncSender<Result<(), ControlError>>),
    Status(SyncSender<Status>),
    Io(SyncSender<IoStatus>),
}

impl Control {
    pub(crate) fn new(orders: SyncSender<Order>, stop: Arc<AtomicBool>, wake: Wake) -> Self {
        Self { orders, stop, wake }
    }

    /// Carries out one command. When this returns it is in force for every packet.
    pub fn apply(&self, command: Command) -> Result<(), ControlError> {
        self.apply_all(vec![command])
    }

    /// Carries out commands in order with no packet between them, up to the first that is refused.
    pub fn apply_all(&self, commands: Vec<Command>) -> Result<(), ControlError> {
        self.ask(|answer| Order::Apply(commands, answer))?
    }

    /// Forgets a peer. When this returns, nothing is sealed, opened or written for it any more, and
    /// nothing that was sealed for it is still in a buffer of ours. What the kernel was handed before that is
    /// on its way.
    pub fn remove_peer(&self, peer: PeerId) -> Result<(), ControlError> {
        self.apply(Command::RemovePeer(peer))
    }

    /// Reads out peers, epochs and counters. Its cost grows with the number of peers.
    pub fn status(&self) -> Result<Status, ControlError> {
        self.ask(Order::Status)
    }

    /// Reads out what the descriptors did, and which offloads are in use.
    pub fn io_status(&self) -> Result<IoStatus, ControlError> {
        self.ask(Order::Io)
    }

    /// Asks the thread to end, and does not wait for it.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake.ring();
    }

    fn ask<T>(&self, order: impl FnOnce(SyncSender<T>) -> Order) -> Result<T, ControlError> {
        let (sender, answer) = sync_channel(1);
        self.orders
            .try_send(order(sender))
            .map_err(|refusal| match refusal {
                TrySendError::Full(_) => ControlError::TimedOut,
                TrySendError::Disconnected(_) => ControlError::Stopped,
            })?;
        self.wake.ring();
        answer.recv_timeout(PATIENCE).map_err(|error| match error {
            RecvTimeoutError::Timeout => ControlError::TimedOut,
            RecvTimeoutError::Disconnected => ControlError::Stopped,
        })
    }
}
