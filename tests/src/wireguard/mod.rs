//! WireGuard programs on lab hosts: our own static one, and others to compare and interoperate with.

mod endpoint;
mod other;
mod ours;
mod pair;

pub use endpoint::{Endpoint, KeyPair};
pub use other::{OtherWireGuard, Program};
pub use ours::OwnWireGuard;
pub use pair::{Pair, Side};
