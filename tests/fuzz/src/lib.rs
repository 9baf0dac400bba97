//! # Fuzz targets
//!
//! Every decoder of something that a stranger can send is a function here, `fn(&[u8])`, which panics where a
//! promise is broken: bytes are refused or understood, never a crash; what was understood is written again
//! as the same bytes; and a refusal is one short printable line.
//!
//! ## Layout
//!
//! * `src/AREA/`: the decoder functions of one part and its list `TARGETS`. A module of an area stands on its own,
//!   so that the part's own tests include it by path and replay the corpus without libFuzzer.
//! * `src/bin/AREA_NAME.rs`: one libFuzzer program for each entry of `TARGETS`, under the same name.
//! * `corpus/AREA_NAME/`: inputs worth keeping: sound ones from the test fixtures, and whatever once broke a promise.
//! * `examples/seeds.rs`: writes the sound ones again after a change of the fixtures.
//!
//! ## Use
//!
//! `make fuzz` runs every target for `FUZZ_SECONDS` each, `make fuzz TARGET=proto_invite` runs one. What libFuzzer
//! finds on its way stays in `target/found`; a crash is kept in `artifacts`, and belongs into `corpus` with its fix.
//!
//! A new target is a function, a line in `TARGETS`, a program of four lines and a folder with one sound input.

pub mod core;
pub mod agent;
pub mod netconfig;
pub mod proto;
pub mod wg;
