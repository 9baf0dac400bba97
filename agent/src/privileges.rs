//! Giving up every right but the one to configure the network.
//!
//! Users and capabilities belong to threads: this is done before any other thread exists, so that all inherit it, or in
//! a thread that does nothing else.

use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
    set_keep_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

use crate::exit::Exit;

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
    /// Another user's files, as whom we cannot work.
    #[error(
        "cannot work as user {user}, who owns {path}: {error}; nothing was done: run it as that user, or as root with the capabilities SETUID and SETGID"
    )]
    NotOwner {
        /// The directory.
        path: String,
        /// Whose it is.
        user: u32,
        /// What the system said.
        error: Errno,
    },
}

impl RightsError {
    /// The exit code that says the same.
    #[must_use]
    pub fn exit(&self) -> Exit {
        Exit::Rights
    }
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
    if drop_all_but_net_admin()? {
        Ok(())
    } else {
        Err(RightsError::NoNetAdmin)
    }
}

/// Gives up everything but CAP_NET_ADMIN for good, and tells whether that is there.
pub(crate) fn drop_all_but_net_admin() -> Result<bool, RightsError> {
    let had = capabilities(None).map_err(RightsError::Refused)?;
    empty_bounding_set(had)?;
    let kept = had.permitted & KEPT;
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: kept,
    };
    set_capabilities(None, sets).map_err(RightsError::Refused)?;
    let there = kept == KEPT;
    if there {
        configure_capability_in_ambient_set(KEPT, true).map_err(RightsError::Refused)?;
    }
    set_no_new_privs(true).map_err(RightsError::Refused)?;
    Ok(there)
}

/// Becomes another user for good. Of root's rights stays what it takes to drop the rest, and to configure the network.
pub(crate) fn become_user(user: Uid, group: Gid) -> rustix::io::Result<()> {
    let had = capabilities(None)?;
    set_keep_capabilities(true)?;
    set_thread_groups(&[group])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    let kept = had.permitted & (KEPT | CapabilitySet::SETPCAP);
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets)
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
