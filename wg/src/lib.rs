//! # The WireGuard engine
//!
//! Packets in, packets out: peers with opaque ids, one boringtun tunnel per (peer, epoch), routes and
//! a stateful filter. It knows neither certificates nor documents, only keys and deadlines.
//!
//! ## Contract
//!
//! * No clock, no socket, no file; no lock and no allocation per packet.
//! * Every tunnel has a deadline, looked at before a batch is sealed, opened or written.
//! * No policy, no packet.
//!
//! The crate is still empty: the trust core comes first.
#![forbid(unsafe_code)]
