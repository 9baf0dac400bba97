//! # The trust core
#![forbid(unsafe_code)]
