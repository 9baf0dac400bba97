//! The HTTP API: it translates, calls the service, and translates back.
//!
//! Three doors lead in: for anybody, for nodes, for operators. A handler gets at a request only through one of them
//! ([`door`]), and its route is described from the handler's own types ([`route`]), so that the OpenAPI document says
//! what the code does. Whatever is refused is refused with problem details and a stable code ([`problem`]).

mod answer;
mod app;
mod audit;
mod body;
mod certificates;
mod door;
mod enrollment;
mod epochs;
mod events;
mod gate;
mod genesis;
mod grants;
mod health;
mod invites;
mod metrics;
mod nodes;
mod openapi;
mod operators;
mod param;
mod policy;
mod presence;
mod problem;
mod recovery;
mod revocations;
mod room;
mod roster;
mod route;
mod router;
mod schema;
mod stream;
mod time;
mod tokens;
mod trace;

pub use app::App;
pub use door::Source;
pub(crate) use gate::Place;
pub use metrics::Metrics;
pub(crate) use router::metrics_router;
pub use router::router;
