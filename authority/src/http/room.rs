//! Room for large bodies: what is taken in of them at once stays small, and no place takes all of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::gate::Place;
use super::problem::Refusal;

/// Large bodies that are taken in at once.
const ROOMS: usize = 4;
/// How long one may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// All the room there is.
pub(super) struct Rooms {
    all: Arc<Semaphore>,
    /// Whose turn it is at each place that has somebody there: one after the other.
    turns: Mutex<HashMap<Place, Arc<Semaphore>>>,
    /// How long one may wait.
    patience: Duration,
}

/// Room for one large body.
pub(super) struct Room {
    _turn: OwnedSemaphorePermit,
    _room: OwnedSemaphorePermit,
}

impl Rooms {
    pub(super) fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(ROOMS)),
            turns: Mutex::default(),
            patience: PATIENCE,
        }
    }

    /// Waits for room for one from `place`, but not for long.
    pub(super) async fn enter(&self, place: Place) -> Result<Room, Refusal> {
        let turn = self.turn(place);
        let entered = timeout(self.patience, async {
            let _turn = turn.acquire_owned().await?;
            let _room = Arc::clone(&self.all).acquire_owned().await?;
            Ok::<_, tokio::sync::AcquireError>(Room { _turn, _room })
        });
        match entered.await {
            Ok(Ok(room)) => Ok(room),
            _ => Err(Refusal::busy(
                "others are sending large bodies, and only a few are taken in at once; send it again",
                5,
            )),
        }
    }

    fn turn(&self, place: Place) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1); // nobody is there any more
        let turn = turns
            .entry(place)
            .or_insert_with(|| Arc::new(Semaphore::new(1)));
        Arc::clone(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(last: u8) -> Place {
        Place::of([192, 0, 2, last].into())
    }

    /// Room for which nobody waits.
    fn rooms() -> Rooms {
        Rooms {
            patience: Duration::ZERO,
            ..Rooms::new()
        }
    }

    #[tokio::test]
    async fn one_place_does_not_take_all_the_room() {
        let rooms = rooms();
        let first = rooms.enter(place(1)).await.unwrap();
        let (refused, other) = tokio::join!(rooms.enter(place(1)), rooms.enter(place(2)));
        let refused = refused.err().unwrap();
        assert!(refused.is_own_failure(), "{refused:?}");
        assert!(other.is_ok());
        drop(first);
        assert!(rooms.enter(place(1)).await.is_ok());
        assert!(rooms.enter(place(3)).await.is_ok());
        assert!(
            rooms.turns.lock().unwrap().len() <= 3,
            "who left is forgotten"
        );
    }

    #[tokio::test]
    async fn who_waits_for_too_long_is_told_to_come_back() {
        let rooms = rooms();
        let mut taken = Vec::new();
        for last in 0..ROOMS as u8 {
            taken.push(rooms.enter(place(last)).await.unwrap());
        }
        assert!(rooms.enter(place(9)).await.is_err());
        taken.pop();
        assert!(rooms.enter(place(9)).await.is_ok());
    }
}
