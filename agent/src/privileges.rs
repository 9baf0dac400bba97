//! Giving up every right but the one to configure the network.
//!
//! Capabilities belong to threads: this is done before any other thread exists, so that all inherit it.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

/// What the daemon keeps.
const KEPT: CapabilitySet = CapabilitySet::NET_ADMIN;

/// Why the rights cannot be had or given up.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RightsError {
    /// Without it no interface can be made.
    #[error(
        "CAP_NET_ADMIN is missing, so nothing was started: run `tidegate run` as root or by its systemd unit"
    )]
    NoNetAdmin,
    /// The kernel does not do it.
    #[error("cannot give up rights: {0}; nothing was started")]
    Refused(Errno),
}

/// Whether this process may configure the network.
#[must_use]
pub fn has_net_admin() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(KEPT))
}

/// Keeps CAP_NET_ADMIN, for this process and the programs it starts, and gives up the rest for good.
///
/// # Errors
/// When CAP_NET_ADMIN is not there to be kept, or the kernel refuses.
pub fn drop_to_net_admin() -> Result<(), RightsError> {
    let had = capabilities(None).map_err(RightsError::Refused)?;
    if !had.permitted.contains(KEPT) {
        return Err(RightsError::NoNetAdmin);
    }
    empty_bounding_set(had)?;
    let kept = CapabilitySets {
        effective: KEPT,
        permitted: KEPT,
        inheritable: KEPT,
    };
    set_capabilities(None, kept).map_err(RightsError::Refused)?;
    configure_capability_in_ambient_set(KEPT, true).map_err(RightsError::Refused)?;
    set_no_new_privs(true).map_err(RightsError::Refused)
}

/// Takes away what a program with more rights could bring back. Without CAP_SETPCAP it stays as whoever
/// started us left it; no_new_privs holds all the same.
fn empty_bounding_set(had: CapabilitySets) -> Result<(), RightsError> {
    if !had.effective.contains(CapabilitySet::SETPCAP) {
        return Ok(());
    }
    for capability in CapabilitySet::all().iter().filter(|one| *one != KEPT) {
        // A kernel older than we are does not know the newest ones.
        if capability_is_in_bounding_set(capability) == Ok(true) {
            remove_capability_from_bounding_set(capability).map_err(RightsError::Refused)?;
        }
    }
    Ok(())
}
