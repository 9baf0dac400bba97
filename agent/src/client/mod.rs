//! The client of the authority.
//!
//! ```text
//! Invite ── join ──▶ GenesisChain ── site ──▶ Client ─┬─ as_node(key) ──────▶ NodeClient ── session ──▶ Session
//!                                                     └─ as_operator(cred) ─▶ OperatorClient
//! ```
//!
//! * A [`Client`] knows one network's authority: its URLs, how its TLS key is recognised, and the keys that sign for it.
//!   It keeps connections, and goes on with the next URL where one does not answer. Clones share all of it.
//! * [`NodeClient`] and [`OperatorClient`] have one method per route. What they send is signed for exactly one place
//!   and purpose; what they receive is read strictly and within bounds. Documents come as `Signed`: whoever asked has to
//!   verify them.
//! * A clock that is off corrects itself: the refusal carries a time statement bound to the request's nonce, which is
//!   verified before it moves anything. This machine's clock is never touched.
//! * [`Session`] follows the stream and comes back by itself, for ever. Events of a kind that it does not know, from a later
//!   authority, are passed over and counted; a malformed one of a kind that it knows ends the stream.
//!
//! A request that may have been carried out although no answer came is not sent again, unless repeating it changes
//! nothing: [`ClientError::Unanswered`].

mod answer;
mod clock;
mod connection;
mod download;
mod error;
mod exchange;
mod genesis;
mod identity;
mod idle;
mod node;
mod operator;
mod public;
mod request;
mod session;
mod site;
mod stream;
mod tls;
mod unknown;

pub use clock::Clock;
pub use download::Download;
pub use error::{ClientError, StreamEnd};
pub use exchange::{Client, Timeouts};
pub use genesis::{GenesisChain, GenesisChainError, join};
pub use identity::Identity;
pub use node::NodeClient;
pub use operator::{NodeFilter, NodeRef, OperatorClient};
pub use session::{Session, SessionEvent};
pub use site::Site;
pub use stream::{EventStream, Resumed, StreamItem};
pub use unknown::Unknown;
