//! The data directory: what lies where, and who may work in it.
//!
//! ```text
//! authority.toml      settings                authority.db     everything that changes
//! authority.key       signs                   at-rest.key      opens the epoch secrets in the database
//! keys/*.key          further signing keys    genesis/         the chain, one file each revision
//! tls.key, tls.crt    the server's TLS        tls-backup.key   the spare key that genesis pins as well
//! backups/            the database as it was before each change of its schema
//! ```

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tidegate_proto::{Genesis, KeyId, PublicKey, Signed, SigningKey, TrustChain};
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::file::{self, FileError, Secrecy, reason, shown};
use crate::genesis_file::{ChainError, GenesisFileError, follow, read_genesis};
use crate::key_file::{KeyFileError, read_signing_key};
use crate::service::{Authority, OpenError, Options};
use crate::signer::AtRestKey;
use crate::store::Location;
use crate::tls_key::{TlsKey, TlsKeyError};

/// More revisions than any network has.
const MOST_REVISIONS: u64 = 100_000;

/// Why a data directory cannot be worked in.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// There is none.
    #[error(
        "{0} is no data directory of an authority; make one with 'tidegate-authority init --dir {0}', or restore a backup into it"
    )]
    None(String),
    /// Somebody else works in it.
    #[error("{dir} is in use by {what}; stop that first, or wait until it is done")]
    InUse {
        /// The directory.
        dir: String,
        /// What works in it.
        what: &'static str,
    },
    /// A file was not read.
    #[error(transparent)]
    File(#[from] FileError),
    /// No settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A signing key was not read.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// A genesis was not read.
    #[error(transparent)]
    Genesis(#[from] GenesisFileError),
    /// The genesis files are no chain.
    #[error("the genesis files in {dir} do not follow one another: {reason}")]
    Chain {
        /// Their folder.
        dir: String,
        /// What is wrong.
        reason: ChainError,
    },
    /// The TLS key does not serve.
    #[error(transparent)]
    Tls(#[from] TlsKeyError),
    /// The at-rest key is damaged.
    #[error(
        "{0} holds no at-rest key; restore a backup, without this key the epoch secrets in the database are lost"
    )]
    AtRest(String),
}

/// What a process does in the directory that nobody else may do at the same time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Work {
    /// Serving. Backups and successions go on beside it.
    Serve,
    /// Making a backup.
    Backup,
}

impl Work {
    fn lock_file(self) -> &'static str {
        match self {
            Self::Serve => ".serving",
            Self::Backup => ".backing-up",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Serve => "a running server",
            Self::Backup => "a backup that is being made",
        }
    }
}

/// Holds a directory for some work until it is dropped, or the process ends in any way.
#[derive(Debug)]
pub struct WorkLock(#[expect(dead_code, reason = "held, not read")] File);

/// The folder in which one authority keeps all it has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// The settings' file in it.
    pub const CONFIG: &'static str = "authority.toml";
    /// The database in it.
    pub const DATABASE: &'static str = "authority.db";
    /// The first signing key in it.
    pub const KEY: &'static str = "authority.key";
    /// Further signing keys in it.
    pub const KEYS: &'static str = "keys";
    /// The genesis files in it.
    pub const GENESIS: &'static str = "genesis";
    /// The key under which epoch secrets rest.
    pub const AT_REST: &'static str = "at-rest.key";
    /// Copies of the database that were made unasked.
    pub const BACKUPS: &'static str = "backups";
    /// The root key, where it was made on this machine and was not moved away yet.
    pub const ROOT: &'static str = "root.key";
    /// The key of the first operator, until it was fetched.
    pub const OPERATOR: &'static str = "operator-first.key";

    /// The data directory at `path`, which only its owner can use.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let none = || DataDirError::None(shown(path));
        let metadata = path.metadata().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => none(),
            _ => unreadable(path, &error).into(),
        })?;
        if !metadata.is_dir() || !path.join(Self::DATABASE).exists() {
            return Err(none());
        }
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            let path = shown(path);
            return Err(FileError::OpenToOthers { path, mode }.into());
        }
        Ok(Self(path.into()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Holds the directory for `work`. Refused at once if somebody does that already.
    pub fn lock(&self, work: Work) -> Result<WorkLock, DataDirError> {
        let path = self.file(work.lock_file());
        let opened = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let file = opened.map_err(|error| unreadable(&path, &error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(WorkLock(file)),
            Err(Errno::WOULDBLOCK) => Err(DataDirError::InUse {
                dir: shown(&self.0),
                what: work.name(),
            }),
            Err(errno) => Err(unreadable(&path, &errno.into()).into()),
        }
    }

    /// The settings, from the directory itself or from another file.
    pub fn config(&self, elsewhere: Option<&Path>) -> Result<Config, DataDirError> {
        let own = self.file(Self::CONFIG);
        Ok(Config::read(elsewhere.unwrap_or(&own))?)
    }

    /// The signing keys: `authority.key`, if it is there, and all in `keys/`.
    pub fn keys(&self) -> Result<Vec<Arc<SigningKey>>, DataDirError> {
        let first = self.file(Self::KEY);
        let mut paths = Vec::from_iter(first.exists().then_some(first));
        let folder = self.file(Self::KEYS);
        match fs::read_dir(&folder) {
            Ok(entries) => {
                let further = entries.flatten().map(|entry| entry.path());
                let mut further: Vec<_> = further
                    .filter(|path| path.extension().is_some_and(|ending| ending == "key"))
                    .collect();
                further.sort();
                paths.extend(further);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&folder, &error).into()),
        }
        let key = |path: PathBuf| Ok(Arc::new(read_signing_key(&path, None)?));
        paths.into_iter().map(key).collect()
    }

    /// The name of a further signing key in it.
    pub fn further_key(key: &PublicKey) -> String {
        let digits = |byte: &u8| format!("{byte:02x}");
        let id: String = KeyId::of(key)
            .as_bytes()
            .iter()
            .take(8)
            .map(digits)
            .collect();
        format!("{}/{id}.key", Self::KEYS)
    }

    /// The name of a genesis revision in it.
    pub fn genesis_name(revision: u64) -> String {
        format!("{}/genesis-{revision}.json", Self::GENESIS)
    }

    /// The file of a genesis revision in it.
    pub fn genesis_file(&self, revision: u64) -> PathBuf {
        self.file(&Self::genesis_name(revision))
    }

    /// The genesis chain, the first revision first.
    pub fn genesis(&self) -> Result<Vec<Signed<Genesis>>, DataDirError> {
        let mut chain = Vec::new();
        for revision in 1..MOST_REVISIONS {
            let path = self.genesis_file(revision);
            if !path.exists() {
                break;
            }
            chain.push(read_genesis(&path)?);
        }
        Ok(chain)
    }

    /// The genesis chain, followed.
    pub fn chain(&self) -> Result<TrustChain, DataDirError> {
        let all = self.genesis()?;
        let Some((last, earlier)) = all.split_last() else {
            return Err(unreadable(&self.genesis_file(1), &io::ErrorKind::NotFound.into()).into());
        };
        follow(earlier, last, None).map_err(|reason| DataDirError::Chain {
            dir: shown(&self.file(Self::GENESIS)),
            reason,
        })
    }

    /// The TLS key that `config` names, if nodes recognise it.
    pub fn tls_key(&self, config: &Config) -> Result<TlsKey, DataDirError> {
        let key = TlsKey::read(&config.tls.key)?;
        key.check(self.chain()?.genesis())?;
        Ok(key)
    }

    fn at_rest(&self) -> Result<AtRestKey, DataDirError> {
        const LONGEST: usize = 64;
        let path = self.file(Self::AT_REST);
        let text = file::read(&path, LONGEST, Secrecy::Secret)?;
        let key = str::from_utf8(&text).ok().and_then(at_rest_from_text);
        key.ok_or_else(|| DataDirError::AtRest(shown(&path)))
    }

    /// All that an authority is opened with.
    pub fn options(&self, config: &Config, clock: Clock) -> Result<Options, DataDirError> {
        Ok(Options {
            location: Location::File(self.file(Self::DATABASE)),
            keys: self.keys()?,
            at_rest: self.at_rest()?,
            genesis: self.genesis()?,
            clock,
            limits: config.service_limits(),
        })
    }
}

/// How often a running authority looks for a succession.
const LOOK: Duration = Duration::from_secs(2);

impl DataDir {
    /// Has `authority` take on successions as they are installed here, for as long as this is awaited.
    pub async fn watch(&self, authority: &Authority) {
        let mut refused = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let have = authority.revision().value();
            if refused == Some(have) || !self.genesis_file(have + 1).exists() {
                continue;
            }
            if let Err(error) = self.reload(authority).await {
                tracing::error!(%error, revision = have + 1, "a genesis succession was not put in force");
                refused = Some(have); // said once; a reload by hand tries again
            }
        }
    }

    /// Has `authority` take on the successions and signing keys that are here. True if there was a succession.
    pub async fn reload(&self, authority: &Authority) -> Result<bool, ReloadError> {
        Ok(authority.adopt(self.genesis()?, self.keys()?).await?)
    }
}

/// Why a running authority did not take on what is in its directory. It goes on as before.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReloadError {
    /// A file was not read.
    #[error(transparent)]
    Dir(#[from] DataDirError),
    /// The succession does not serve.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// The at-rest key as its file holds it.
pub(crate) fn at_rest_to_text(key: &AtRestKey) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(48));
    STANDARD.encode_string(key.expose(), &mut text);
    text.push('\n');
    text
}

fn at_rest_from_text(text: &str) -> Option<AtRestKey> {
    let bytes = Zeroizing::new(STANDARD.decode(text.trim_end()).ok()?);
    Some(AtRestKey::from_bytes(bytes.as_slice().try_into().ok()?))
}

fn unreadable(path: &Path, error: &io::Error) -> FileError {
    FileError::Unreadable {
        path: shown(path),
        reason: reason(error),
    }
}
