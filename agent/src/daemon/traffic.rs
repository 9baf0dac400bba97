//! Which peers are in use: looked up now and then, so that a restart shakes hands with them at once.

use std::collections::HashMap;
use std::time::Duration;

use tidegate_core::{Input, PlaneReport};
use tidegate_wg::{PeerId, Status};
use tokio::sync::watch;

use super::inbox::{Inbox, Message};
use super::plane::Running;

/// How often. The look copies all peers' counters.
const EVERY: Duration = Duration::from_secs(10);

/// Tells the loop of all peers whose counters have moved, at once: what is urgent waits in the same queue.
pub(super) async fn watch(plane: watch::Receiver<Option<Running>>, inbox: Inbox) {
    let mut before = HashMap::new();
    let mut beat = tokio::time::interval(EVERY);
    loop {
        beat.tick().await;
        let Some(running) = plane.borrow().clone() else {
            before.clear();
            continue;
        };
        let looked = tokio::task::spawn_blocking(move || running.control.status().ok()).await;
        let Ok(Some(status)) = looked else {
            continue;
        };
        let moved = moved(&mut before, &status);
        if moved.is_empty() {
            continue;
        }
        let used = Input::Plane(PlaneReport::Used(moved));
        if inbox.send(Message::Core(used)).await.is_err() {
            return;
        }
    }
}

fn moved(before: &mut HashMap<PeerId, u64>, status: &Status) -> Vec<PeerId> {
    let received = status
        .peers
        .iter()
        .map(|peer| (peer.id, peer.traffic.received_packets));
    let now: HashMap<PeerId, u64> = received.collect();
    let moved = now
        .iter()
        .filter(|(peer, count)| **count > before.get(peer).copied().unwrap_or(0))
        .map(|(peer, _)| *peer)
        .collect();
    *before = now;
    moved
}
