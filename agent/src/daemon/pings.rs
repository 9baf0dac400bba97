//! Pings inside the tunnels that wait for their answer.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// Pings under way; the engine remembers no more either.
const MOST: usize = 64;

/// Who waits for which pong. Not on any packet's way.
#[derive(Debug, Default)]
pub(crate) struct Pings(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<Duration>>,
}

impl Pings {
    /// A token for a ping, and where its round trip will come; `None` while too many are under way.
    pub(crate) fn begin(&self) -> Option<(u64, oneshot::Receiver<Duration>)> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.waiting.retain(|_, waiter| !waiter.is_closed());
        if table.waiting.len() >= MOST {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        table.last += 1;
        let token = table.last;
        table.waiting.insert(token, sender);
        Some((token, receiver))
    }

    /// A pong came.
    pub(crate) fn answer(&self, token: u64, round_trip: Duration) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiter) = table.waiting.remove(&token) {
            let _ = waiter.send(round_trip); // it has stopped waiting
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_wait_any_more_makes_room() {
        let pings = Pings::default();
        let waiting: Vec<_> = std::iter::from_fn(|| pings.begin()).collect();
        assert_eq!(waiting.len(), MOST);
        drop(waiting);
        assert!(pings.begin().is_some());
    }
}
