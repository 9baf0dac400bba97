//! The tunnels that exist: one for each peer and epoch with traffic, none for the idle.

use crate::peer::{Place, Spread};
use crate::time::Mono;
use crate::tunnel::Tunnel;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::time::Duration;

/// A handshake that we started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) tries: u32,
    pub(crate) next: Mono,
}

/// A tunnel and what the engine knows about it.
pub(crate) struct Live {
    pub(crate) tunnel: Tunnel,
    pub(crate) peer: Place,
    /// Place of its epoch.
    pub(crate) span: usize,
    /// The 24 bits that its session indices start with.
    pub(crate) index: u32,
    pub(crate) attempt: Option<Attempt>,
    /// Keepalives still to be sent until the far end has confirmed that it knows the session.
    pub(crate) confirms: u8,
    /// The session that we answered with and that no packet has come in yet.
    pub(crate) unseen: Option<u32>,
    pub(crate) used: Mono,
    pub(crate) ticked: Mono,
}

impl Live {
    /// Counts an initiation that leaves now, and plans the next; tells how many left before.
    pub(crate) fn plan(&mut self, now: Mono) -> u32 {
        let tries = self.attempt.map_or(0, |attempt| attempt.tries);
        self.attempt = Some(Attempt {
            tries: tries.saturating_add(1),
            next: now + patience(tries),
        });
        tries
    }
}

/// How long to wait for an answer. An answer is good as long as only one newer initiation has left, so the
/// later waits also cover slow paths.
fn patience(tries: u32) -> Duration {
    match tries {
        0..8 => Duration::from_millis(250),
        8..14 => Duration::from_secs(1),
        _ => Duration::from_secs(5),
    }
}

/// Finds tunnels by place and by index.
#[derive(Default)]
pub(crate) struct LiveTable {
    places: Vec<Option<Live>>,
    free: Vec<Place>,
    by_index: HashMap<u32, Place, BuildHasherDefault<Spread>>,
}

impl LiveTable {
    pub(crate) fn insert(&mut self, live: Live) -> Place {
        let place = self.free.pop().unwrap_or(self.places.len() as Place);
        self.by_index.insert(live.index, place);
        if place as usize == self.places.len() {
            self.places.push(Some(live));
        } else {
            self.places[place as usize] = Some(live);
        }
        place
    }

    pub(crate) fn remove(&mut self, place: Place) -> Option<Live> {
        let live = self.places.get_mut(place as usize)?.take()?;
        self.by_index.remove(&live.index);
        self.free.push(place);
        Some(live)
    }

    pub(crate) fn at(&self, place: Place) -> Option<&Live> {
        self.places.get(place as usize)?.as_ref()
    }

    pub(crate) fn at_mut(&mut self, place: Place) -> Option<&mut Live> {
        self.places.get_mut(place as usize)?.as_mut()
    }

    /// The tunnel whose sessions have this index.
    pub(crate) fn place_of_index(&self, session: u32) -> Option<Place> {
        self.by_index.get(&(session >> 8)).copied()
    }

    pub(crate) fn has_index(&self, index: u32) -> bool {
        self.by_index.contains_key(&index)
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Every place, taken or not.
    pub(crate) fn places(&self) -> std::ops::Range<Place> {
        0..self.places.len() as Place
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Live> {
        self.places.iter().flatten()
    }
}
