//! A booted Debian: the overlay's names with systemd-resolved, with both kinds of resolvconf, and with neither.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fallback;
mod machine;
mod resolved;
mod site;
