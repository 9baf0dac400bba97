//! What a state directory holds: nothing, a join under way, or a member.

use tidegate_core::{FileName, Files, Founding};
use tidegate_proto::{Certificate, Signed, SigningKey};

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
        let mut files = Files::new();
        for name in FileName::ALL {
            if let Some(bytes) = directory.read(name.as_str())? {
                files.insert(name, bytes);
            }
        }
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
            let _ = directory.empty();
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
