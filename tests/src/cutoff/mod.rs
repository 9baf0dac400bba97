//! How long a node that is put out is still heard: seen where its packets arrive, and told by those who take part.
//!
//! Everything runs on one machine and reads one clock, so moments from different places can be compared. A [`Tap`] sees
//! what comes out of the tunnel at both ends, the agents' own logs say when a list came into force, and the authority's
//! audit log holds what each receipt says.

mod desk;
mod moment;
mod tap;
mod told;

pub use desk::{Desk, Receipt, Revoked};
pub use moment::Moment;
pub use tap::{Heard, Tap};
pub use told::in_force;
