//! Names: how the overlay's domain is asked at Tidegate's resolver, and all others where they were asked before.
//!
//! Nothing here happens unasked. The caller observes [`Facts`], lets [`choose`] pick a [`Mechanism`] from them,
//! and uses that one:
//!
//! | mechanism | who | what |
//! | --- | --- | --- |
//! | [`Mechanism::Resolved`] | the agent, [`ResolvedNames`] | per-link servers and routing-only domains in systemd-resolved |
//! | [`Mechanism::Resolvconf`] | root, [`Fallback`] | a record given to `resolvconf` |
//! | [`Mechanism::Block`] | root, [`Fallback`] | a marked block at the top of `/etc/resolv.conf` |
//!
//! Only systemd-resolved can ask another port than 53. The other two redirect port 53 of the resolver's address
//! to its real port, in an nftables table of their own, and they know no domains: the C library asks our
//! resolver first about every name. The resolver therefore **refuses** (response code REFUSED) names outside the
//! overlay, upon which the library goes on to the servers that it asked before. (The C library asks three servers
//! at most, so a fourth, once the third, is not asked meanwhile. A library that asks all servers at once, as musl
//! does, may believe another one that says that there is no such name: such a host needs systemd-resolved.)
//!
//! Whatever is changed is in a [`Journal`](crate::Journal) before, and undoing leaves the host as it was.

mod block;
mod domain;
mod facts;
mod fallback;
mod observe;
mod presence;
mod program;
mod redirect;
mod resolv_conf;
mod resolvconf;
mod resolved;
mod wish;

pub use domain::{Domain, DomainError, reverse_zones};
pub use facts::{Facts, Manager, Mechanism, Refusal, ResolvConf, Resolvconf, Resolved, choose};
pub use fallback::{Fallback, FallbackError, Outcome};
pub use observe::observe;
pub use presence::Presence;
pub use program::ProgramError;
pub use resolv_conf::ResolvConfError;
pub use resolved::{ResolvedError, ResolvedNames};
pub use wish::{SplitDns, WishError};
