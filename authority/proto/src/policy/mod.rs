//! Who may talk to whom, who may decide, and how long things last.
//!
//! A policy is a signed document ([`Policy`]). People write it as TOML ([`PolicyFile`]). Its evaluation
//! ([`Policy::permits`], [`Policy::rules_for`]) is pure, and the same code serves the authority's rosters and
//! the agents' filters.
//!
//! What no rule permits is forbidden; an empty policy permits nothing. "Everybody" is the word `all`, never
//! an empty list.

mod class;
mod evaluate;
mod file;
mod model;
mod render;
mod selector;

pub use class::Class;
pub use evaluate::{Access, NodeRules, Subject};
pub use file::{PolicyFile, PolicyFileError};
pub use model::{
    Condition, Consequence, Group, MembershipRule, Operator, OperatorRole, Policy, PolicyError,
    PortRange, Protocol, Rule,
};
pub use selector::{Selector, SelectorError};
