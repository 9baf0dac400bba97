//! # Engines in virtual time
//!
//! A [`World`] holds engines and a network between them that loses, delays, reorders and duplicates. It jumps
//! from event to event, so an hour takes a second, and a seed decides everything but the keys that
//! boringtun draws.
//!
//! boringtun reads the clocks of the operating system. Its own feature for tests freezes only the one that
//! it measures spans with, while the timestamps in its initiations go on following the wall clock; a
//! tunnel made later in virtual time would then look older than one made before, and the guard against
//! replays would be right to refuse it. So the clock is replaced underneath: this crate defines
//! `clock_gettime`, and what is tested is the boringtun that ships.

pub mod clock;
mod node;
mod world;

pub use node::Node;
pub use world::{Link, World, address, inner, peer};
