//! The user whose state directory it is, and working as that user.
//!
//! The service has a user of its own, to whom its state directory belongs. Whatever root did in there by a path, that
//! user could lead astray with a link. So root does nothing there: a thread becomes the owner first.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use rustix::fs::OFlags;
use rustix::process::{Gid, Uid, geteuid};

use crate::privileges::{RightsError, become_user, drop_all_but_net_admin};

/// The user that the service's systemd unit has.
const SERVICE: &str = "tidegate";

/// A user that is not root, for whom root works.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Owner {
    user: u32,
    group: u32,
}

impl Owner {
    /// The owner of a directory, if we are root and it is not root's.
    #[must_use]
    pub fn of(directory: &Path) -> Option<Self> {
        let found = fs::metadata(directory).ok()?;
        let (user, group) = (found.uid(), found.gid());
        (geteuid().is_root() && user != 0).then_some(Self { user, group })
    }

    /// The service's user, if we are root and there is one.
    #[must_use]
    pub fn service() -> Option<Self> {
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self::named(&users, SERVICE).filter(|_| geteuid().is_root())
    }

    fn named(users: &str, name: &str) -> Option<Self> {
        users.lines().find_map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            let (user, group) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
            (fields.first() == Some(&name)).then_some(Self { user, group })
        })
    }

    /// Makes a folder that is not there yet, in one of root's, and gives it to the owner.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn make_folder(self, path: &Path, mode: u32) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            DirBuilder::new()
                .mode(0o755)
                .recursive(true)
                .create(parent)?;
        }
        DirBuilder::new().mode(mode).create(path)?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let folder = File::options()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)?;
        fchown(folder, Some(self.user), Some(self.group)).inspect_err(|_| {
            let _ = fs::remove_dir(path); // the next try begins where this one did
        })
    }

    /// Becomes the owner for good, with the right to configure the network if that was there. Of this process, only
    /// the calling thread and those that it starts do.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn become_it(self, directory: &Path) -> Result<(), RightsError> {
        become_user(Uid::from_raw(self.user), Gid::from_raw(self.group)).map_err(|error| {
            RightsError::NotOwner {
                path: directory.display().to_string(),
                user: self.user,
                error,
            }
        })
    }
}

/// Works in a directory as its owner, in a thread of its own if that is not us. Of all rights it has the one to
/// configure the network, if that is there.
///
/// # Errors
/// When the kernel does not let us become the owner; then nothing was done.
pub fn as_owner<T: Send>(
    directory: &Path,
    work: impl FnOnce() -> T + Send,
) -> Result<T, RightsError> {
    let Some(owner) = Owner::of(directory) else {
        return Ok(work());
    };
    let as_it = || {
        owner.become_it(directory)?;
        drop_all_but_net_admin()?;
        Ok(work())
    };
    thread::scope(|scope| scope.spawn(as_it).join()).unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{StateDirectory, StateError};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    const STRANGER: Owner = Owner {
        user: 4242,
        group: 4243,
    };

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\ntidegate-dns:x:7:7::/:/bin/false\ntidegate:x:997:996::/:/bin/false\n";
        let found = Owner::named(users, SERVICE);
        let expected = Owner {
            user: 997,
            group: 996,
        };
        assert_eq!(found, Some(expected));
        assert_eq!(Owner::named("", SERVICE), None);
    }

    /// A directory of the stranger's, and beside it a file of root's.
    fn site() -> (tempfile::TempDir, PathBuf, PathBuf) {
        assert!(geteuid().is_root(), "run the tests as root");
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let (state, victim) = (folder.path().join("state"), folder.path().join("victim"));
        STRANGER.make_folder(&state, 0o700).unwrap();
        fs::write(&victim, "root's").unwrap();
        (folder, state, victim)
    }

    #[test]
    fn root_works_as_the_owner_and_stays_root() {
        let (_folder, state, _) = site();
        let owner = Owner::of(&state);
        assert_eq!(owner, Some(STRANGER));
        as_owner(&state, || {
            let directory = StateDirectory::open(&state).unwrap();
            directory.replace("list", b"content").unwrap();
        })
        .unwrap();
        for name in ["list", "lock"] {
            let made = fs::metadata(state.join(name)).unwrap();
            assert_eq!((made.uid(), made.gid()), (4242, 4243), "{name}");
        }
        assert!(geteuid().is_root());
        let foreign = StateDirectory::open(&state).unwrap_err();
        assert!(matches!(foreign, StateError::Foreign { owner: 4242, .. }));
    }

    #[test]
    fn links_of_the_owners_lead_root_nowhere() {
        let (folder, state, victim) = site();
        let missing = folder.path().join("nologin");
        let open = || as_owner(&state, || StateDirectory::open(&state).map(drop)).unwrap();
        for target in [&victim, &missing] {
            symlink(target, state.join("lock")).unwrap();
            assert!(open().is_err(), "{}", target.display());
            fs::remove_file(state.join("lock")).unwrap();
        }
        symlink(&victim, state.join("pending.new")).unwrap();
        symlink(&victim, state.join("identity.key")).unwrap();
        as_owner(&state, || {
            let directory = StateDirectory::open(&state).unwrap();
            assert!(!directory.has("pending.new"));
            symlink(&victim, state.join("pending.new")).unwrap();
            directory.replace("pending", b"content").unwrap();
            directory.read("identity.key").unwrap_err();
            directory.empty().unwrap();
        })
        .unwrap();
        let left: Vec<_> = fs::read_dir(&state).unwrap().collect();
        assert_eq!(left.len(), 1, "the lock: {left:?}");
        let found = fs::metadata(&victim).unwrap();
        assert_eq!((found.uid(), found.nlink(), found.len()), (0, 1, 6));
        assert!(!missing.exists());
    }

    #[test]
    fn what_is_done_as_the_owner_has_the_owners_rights() {
        let (_folder, state, victim) = site();
        let written = as_owner(&state, || fs::write(&victim, "the stranger's")).unwrap();
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
