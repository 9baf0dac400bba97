//! # Host network configuration
//!
//! Desired state → observed state → plan → apply → verify, and undo. It knows neither WireGuard nor
//! certificates.
//!
//! ## Contract
//!
//! * The plan is a pure function; each of its changes says why.
//! * Each change is journaled before it is made, so that the next start undoes what a crash left.
//! * Only what Tidegate made is ever removed.
//!
//! The crate is still empty: the trust core comes first.
#![forbid(unsafe_code)]
