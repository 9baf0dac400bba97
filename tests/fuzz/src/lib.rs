//! # Fuzz targets
//!
//! Every decoder of something that a stranger can send is a function here, `fn(&[u8])`, which panics where a
//! promise is broken. `src/bin` has one libFuzzer program for each, `corpus` the inputs worth keeping.

pub mod wg;
