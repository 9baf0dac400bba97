//! The packages themselves, and two booted Debians that they are installed on. `make test-packages` makes them first.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod authority;
mod contents;
mod hosts;
mod lint;
mod made;
mod metrics;
mod node;
mod tryout;
