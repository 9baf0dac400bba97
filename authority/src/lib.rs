//! # The authority
//!
//! Ceremonies that make and check keys and genesis documents offline; the online service that admits,
//! signs and revokes joins them here.
#![forbid(unsafe_code)]
