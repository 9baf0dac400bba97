//! Making a backup, beside a running server.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rand_core::CryptoRng;
use tidegate_proto::UnixTime;
use tidegate_proto::pem::Passphrase;

use super::archive::{EntryName, write_end, write_entry};
use super::sealed::SealedWriter;
use super::{BackupError, MANIFEST, Manifest};
use crate::data_dir::{DataDir, DataDirError, Work};
use crate::file::{FileError, reason, shown};
use crate::new_file::{Access, NewFile, publish};
use crate::store::upkeep;

/// The copy of the database while a backup is being made.
const SNAPSHOT: &str = ".backup.db";
/// What there is once at most.
const SINGLE: [&str; 8] = [
    DataDir::AT_REST,
    DataDir::KEY,
    DataDir::CONFIG,
    "policy.toml",
    "tls.key",
    "tls.crt",
    "tls-backup.key",
    "token.pepper",
];
/// The folders whose files belong to it.
const FOLDERS: [&str; 2] = [DataDir::KEYS, DataDir::GENESIS];

/// Writes all of `dir` as it is at one moment into the new file `out`, which only `passphrase` opens.
pub async fn create(
    dir: &DataDir,
    out: &Path,
    passphrase: &Passphrase,
    rng: &mut impl CryptoRng,
    now: UnixTime,
) -> Result<Manifest, BackupError> {
    let _alone = dir.lock(Work::Backup)?;
    let genesis = dir.chain()?;
    let genesis = genesis.genesis();
    let manifest = Manifest {
        network: genesis.network,
        name: genesis.name.clone(),
        revision: genesis.revision,
        at: now,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        schema: upkeep::schema_of(&dir.file(DataDir::DATABASE)).await?,
    };
    let snapshot = Snapshot::take(dir).await?;
    let mut entries = vec![(entry_name(DataDir::DATABASE)?, snapshot.0.clone())];
    entries.extend(files(dir)?); // after the database: what it refers to is there
    let json = serde_json::to_vec(&manifest)
        .map_err(|error| DataDirError::from(unreadable(out, &io::Error::other(error))))?;
    let file = NewFile::prepare_with(out, Access::Owner, |file| {
        let mut sealed = SealedWriter::begin(file, passphrase, rng)?;
        let name = EntryName::new(MANIFEST).map_err(io::Error::other)?;
        write_entry(&mut sealed, &name, json.len() as u64, json.as_slice())?;
        for (name, path) in &entries {
            write_file(&mut sealed, name, path)?;
        }
        write_end(&mut sealed)?;
        sealed.finish()
    })?;
    publish(&[file])?;
    Ok(manifest)
}

fn write_file(stream: &mut impl Write, name: &EntryName, path: &Path) -> io::Result<()> {
    let named = |error: io::Error| {
        io::Error::other(format!(
            "{} cannot be read: {}",
            shown(path),
            reason(&error)
        ))
    };
    let file = File::open(path).map_err(named)?;
    let size = file.metadata().map_err(named)?.len();
    write_entry(stream, name, size, file)
}

/// Every file that belongs to a backup but the database.
fn files(dir: &DataDir) -> Result<Vec<(EntryName, PathBuf)>, BackupError> {
    let mut found = Vec::new();
    for name in SINGLE {
        let path = dir.file(name);
        if path.exists() {
            found.push((entry_name(name)?, path));
        }
    }
    for folder in FOLDERS {
        let path = dir.file(folder);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unreadable(&path, &error).into()),
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            if let Ok(name) = EntryName::new(&format!("{folder}/{file}")) {
                found.push((name, path)); // anything else is not the authority's
            }
        }
    }
    Ok(found)
}

fn entry_name(name: &str) -> Result<EntryName, BackupError> {
    EntryName::new(name).map_err(|reason| BackupError::Archive {
        path: name.to_owned(),
        reason,
    })
}

/// A copy of the database; gone with the value, or with the next backup if the process was killed.
struct Snapshot(PathBuf);

impl Snapshot {
    async fn take(dir: &DataDir) -> Result<Self, BackupError> {
        let path = dir.file(SNAPSHOT);
        if path.exists() {
            fs::remove_file(&path).map_err(|error| unreadable(&path, &error))?;
        }
        let snapshot = Self(path);
        upkeep::snapshot(&dir.file(DataDir::DATABASE), &snapshot.0).await?;
        Ok(snapshot)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0); // the next backup tries again
    }
}

fn unreadable(path: &Path, error: &io::Error) -> FileError {
    FileError::Unreadable {
        path: shown(path),
        reason: reason(error),
    }
}
