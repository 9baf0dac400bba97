//! Looking, before anything is tried, whether the tunnel device can be made at all.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Where the kernel hands out tunnel devices.
pub const TUN: &str = "/dev/net/tun";

/// Why tunnel devices cannot be made. All else of the host works as before.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TunError {
    /// The file is not there.
    #[error(
        "{0} is missing, so no tunnel device can be made: load the module with `modprobe tun`, or give the container that device"
    )]
    Missing(PathBuf),
    /// Something else is there.
    #[error(
        "{0} is not a character device, so no tunnel device can be made: make it with `mknod {0} c 10 200`"
    )]
    NotDevice(PathBuf),
    /// It may not be opened.
    #[error(
        "{path} belongs to user {user} and group {group} with mode {mode:03o}, and this process may not open it: correct its mode or add the service's user to the group"
    )]
    Forbidden {
        /// The file.
        path: PathBuf,
        /// Its owner.
        user: u32,
        /// Its group.
        group: u32,
        /// Its permissions.
        mode: u32,
    },
    /// The kernel has no driver behind it, or something rarer.
    #[error(
        "{path} cannot be opened ({error}), so no tunnel device can be made: load the module with `modprobe tun`"
    )]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        error: io::ErrorKind,
    },
}

/// Whether the tunnel driver at `path`, usually [`TUN`], can be used by this process.
///
/// # Errors
/// Why not, and what to do.
pub fn check_tun(path: &Path) -> Result<(), TunError> {
    let owned = || path.to_owned();
    let unusable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => TunError::Missing(owned()),
        error => TunError::Unusable {
            path: owned(),
            error,
        },
    };
    let data = fs::metadata(path).map_err(unusable)?;
    if !data.file_type().is_char_device() {
        return Err(TunError::NotDevice(owned()));
    }
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let mode = data.mode() & 0o777;
            Err(TunError::Forbidden {
                path: owned(),
                user: data.uid(),
                group: data.gid(),
                mode,
            })
        }
        Err(error) => Err(unusable(error)),
    }
}
