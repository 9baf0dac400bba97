//! # The core of a node
//!
//! A state machine that takes verified documents, time and events in, and gives desired peers, routes,
//! filter rules, epoch commands and receipts out.
//!
//! ## Contract
//!
//! * No clock, no socket, no file: `Now` and seeds are arguments, effects are values.
//! * The revocation list is the last check of every way in (grant, roster, introduction, cache, gossip).
//! * Order of every document kind is (genesis revision, sequence), and it never goes back.
//! * A receipt is asked for only after the data plane has confirmed and the list is stored.
//!
//! The crate is still empty: the service of the authority comes first.
#![forbid(unsafe_code)]
