//! Names of nodes, answered on this node's own overlay addresses.
//!
//! `NODE.NETWORK.internal` has an address of each family, and each address its name. Whatever lies outside of the
//! network's domain and ranges is refused (REFUSED), never answered with "no such name": resolvers that ask us first
//! then go on to the servers they asked before. Nothing is forwarded, nothing is cached, nothing is remembered of
//! who asks.
//!
//! [`message`] reads and writes the wire form, in which a [`name`] is labels; [`zone`] knows the names of nodes, and [`server`] has
//! the sockets.

pub mod message;
pub mod name;
pub mod server;
pub mod zone;
