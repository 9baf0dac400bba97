//! # Packet IO
//!
//! The thin shell around `tidegate-wg`: a TUN device with vnet headers, UDP sockets with segmentation
//! and receive offload, and the thread that owns both. The only crate that may hold unsafe code, each
//! block with the reason why it is sound.
//!
//! The crate is still empty: the engine comes first.
#![allow(unsafe_code)]
