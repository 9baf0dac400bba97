//! What a state directory holds: nothing, a join under way, or a member.

use tidegate_core::{FileName, Files, Founding};
use tidegate_proto::{Certificate, Signed, SigningKey};
use zeroize::Zeroizing;

use super::pending::{PENDING, Pending};
use super::{StateDirectory, StateError, identity};

/// How far this host is with being in a network.
pub enum Membership {
    /// In none.
    None,
    /// It has asked, and is not admitted yet.
    Pending(SigningKey, Box<Pending>),
    /// In one: core's files.
    Member(SigningKey, Files),
}

impl Membership {
    /// What the directory holds.
    ///
    /// # Errors
    /// When a file cannot be read. What core's files hold is judged by core.
    pub fn load(directory: &StateDirectory) -> Result<Self, StateError> {
        let Some(identity) = identity::load(directory)? else {
            return Ok(Self::None);
        };
        if let Some(pending) = Pending::load(directory)? {
            return Ok(Self::Pending(identity, Box::new(pending)));
        }
        let files = files(directory)?;
        if files.contains_key(&FileName::Genesis) {
            Ok(Self::Member(identity, files))
        } else {
            Ok(Self::None)
        }
    }

    /// Whether there is none. A directory whose membership cannot be read has one.
    ///
    /// # Errors
    /// When there is one.
    pub fn check_none(directory: &StateDirectory) -> Result<(), StateError> {
        match Self::load(directory)? {
            Self::None => Ok(()),
            Self::Pending(..) | Self::Member(..) => Err(StateError::Joined),
        }
    }

    /// Writes down a join before the authority is asked: from here on it can be gone on with.
    ///
    /// # Errors
    /// When the system refuses; then nothing is there.
    pub fn begin(
        directory: &StateDirectory,
        identity: &SigningKey,
        pending: &Pending,
    ) -> Result<(), StateError> {
        let written = pending
            .store(directory)
            .and_then(|()| identity::store(directory, identity));
        written.inspect_err(|_| {
            // What is left without an identity is no membership.
            let _ = directory.forget_membership();
        })
    }

    /// Turns a join into a membership.
    ///
    /// # Errors
    /// When the system refuses; then it is still a join, which the next attempt goes on with.
    pub fn complete(
        directory: &StateDirectory,
        pending: &Pending,
        certificate: &Signed<Certificate>,
    ) -> Result<(), StateError> {
        let founding = Founding {
            chain: &pending.chain,
            certificate,
            wireguard: &pending.wireguard,
            sealing: &pending.sealing,
        };
        let path = directory.path().join(PENDING);
        let files = founding
            .files()
            .ok_or_else(|| StateError::damaged(&path, "its sealing key is no key"))?;
        for (name, bytes) in &files {
            directory.replace(name.as_str(), bytes)?;
        }
        directory.remove(PENDING)
    }
}

/// Core's files. One that is too long to be read comes as an empty one, which core refuses like any other that is not
/// sound: it costs what it held, and not the start.
fn files(directory: &StateDirectory) -> Result<Files, StateError> {
    let mut files = Files::new();
    for name in FileName::ALL {
        match directory.read(name.as_str()) {
            Ok(Some(bytes)) => drop(files.insert(name, bytes)),
            Ok(None) => {}
            Err(error @ StateError::Damaged { .. }) => {
                tracing::error!(%name, %error, "a file is passed over");
                files.insert(name, Zeroizing::default());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_file_that_grew_too_long_does_not_keep_the_node_from_starting() {
        let folder = tempfile::tempdir().unwrap();
        let directory = StateDirectory::open(&folder.path().join("state")).unwrap();
        identity::store(&directory, &SigningKey::from_seed(&[1; 32])).unwrap();
        for name in ["genesis", "roster"] {
            directory.replace(name, b"content").unwrap();
        }
        let roster = File::options()
            .write(true)
            .open(directory.path().join("roster"))
            .unwrap();
        roster.set_len(1 << 30).unwrap();
        let Membership::Member(_, files) = Membership::load(&directory).unwrap() else {
            panic!("it is a member");
        };
        assert!(files[&FileName::Roster].is_empty());
        assert_eq!(**files[&FileName::Genesis], *b"content");
    }
}
