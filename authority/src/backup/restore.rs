//! Putting a backup back, into a directory that appears whole or not at all.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use tidegate_proto::UnixTime;
use tidegate_proto::pem::Passphrase;

use super::archive::{Archive, ArchiveError, EntryName};
use super::sealed::{Head, SealedReader};
use super::{BackupError, MANIFEST, Manifest};
use crate::clock::Clock;
use crate::data_dir::DataDir;
use crate::file::{FileError, reason, shown};
use crate::new_dir::NewDir;
use crate::new_file::Access;
use crate::service::{Actor, Authority, Entry, Event};
use crate::store::{StoreError, upkeep};

/// More than any file but the database has.
const LARGEST_FILE: u64 = 4 * 1024 * 1024;
/// What no authority can do without.
const NEEDED: [&str; 4] = [
    DataDir::DATABASE,
    DataDir::AT_REST,
    DataDir::CONFIG,
    "genesis/genesis-1.json",
];

/// What was restored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Restored {
    /// The backup's own word on what it is of.
    pub manifest: Manifest,
    /// How many nodes must report, unless a sovereign decides otherwise.
    pub awaited: usize,
}

/// Makes the data directory `dir` out of the backup in `from`. The authority in it begins its recovery.
pub async fn restore(
    from: &Path,
    dir: &Path,
    passphrase: &Passphrase,
    clock: Clock,
) -> Result<Restored, BackupError> {
    let sealed_error = |reason| BackupError::Sealed {
        path: shown(from),
        reason,
    };
    let archive_error = |reason| BackupError::Archive {
        path: shown(from),
        reason,
    };
    let new = NewDir::prepare(dir)?;
    let file = File::open(from).map_err(|error| unreadable(from, &error))?;
    let mut file = BufReader::new(file);
    let head = Head::read(&mut file).map_err(sealed_error)?;
    let sealed = SealedReader::open(file, head, passphrase).map_err(sealed_error)?;
    let manifest = match unpack(Archive::new(sealed), &new) {
        Ok(manifest) => manifest,
        Err(Unpacking::Archive(reason)) => return Err(archive_error(reason)),
        Err(Unpacking::File(error)) => return Err(error.into()),
    };
    let awaited = begin_recovery(&new, &manifest, clock).await?;
    new.publish()?;
    Ok(Restored { manifest, awaited })
}

enum Unpacking {
    Archive(ArchiveError),
    File(FileError),
}

impl From<ArchiveError> for Unpacking {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

impl From<FileError> for Unpacking {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

/// Writes every entry into the new directory. What it needs must have been there.
fn unpack<R: Read>(mut archive: Archive<R>, new: &NewDir) -> Result<Manifest, Unpacking> {
    let manifest = match archive.next_entry()? {
        Some((name, size, contents)) if name.as_str() == MANIFEST => read_manifest(size, contents)?,
        _ => return Err(ArchiveError::Missing(MANIFEST).into()),
    };
    let (mut folders, mut names) = (BTreeSet::new(), BTreeSet::new());
    while let Some((name, size, contents)) = archive.next_entry()? {
        if size > LARGEST_FILE && name.as_str() != DataDir::DATABASE {
            let name = name.to_string();
            return Err(ArchiveError::TooLarge { name, size }.into());
        }
        if let Some(folder) = name.folder()
            && folders.insert(folder.to_owned())
        {
            new.add_folder(folder)?;
        }
        write(new, &name, contents)?;
        names.insert(name.as_str().to_owned());
    }
    match NEEDED.into_iter().find(|needed| !names.contains(*needed)) {
        Some(missing) => Err(ArchiveError::Missing(missing).into()),
        None => Ok(manifest),
    }
}

fn write(new: &NewDir, name: &EntryName, mut contents: impl Read) -> Result<(), Unpacking> {
    let public = name.folder() == Some(DataDir::GENESIS)
        || [DataDir::CONFIG, "policy.toml", "tls.crt"].contains(&name.as_str());
    let access = if public {
        Access::Everyone
    } else {
        Access::Owner
    };
    let mut file = new.create(name.as_str(), access)?;
    let mut buffer = zeroize::Zeroizing::new(vec![0; 64 * 1024]);
    loop {
        let read = contents
            .read(&mut buffer)
            .map_err(|error| ArchiveError::Stream(error.to_string()))?;
        if read == 0 {
            return Ok(());
        }
        io::Write::write_all(&mut file, &buffer[..read])
            .map_err(|error| new.unwritable(name.as_str(), &error))?;
    }
}

fn read_manifest(size: u64, contents: impl Read) -> Result<Manifest, ArchiveError> {
    const LONGEST: usize = 16 * 1024;
    if size > LONGEST as u64 {
        let name = MANIFEST.to_owned();
        return Err(ArchiveError::TooLarge { name, size });
    }
    let mut bytes = Vec::new();
    contents
        .take(size)
        .read_to_end(&mut bytes)
        .map_err(|error| ArchiveError::Stream(error.to_string()))?;
    tidegate_proto::strict::read(&bytes, LONGEST)
        .map_err(|error| ArchiveError::Manifest(error.to_string()))
}

/// Turns the copy into an authority in recovery, and writes so into its audit log. Returns how many nodes it awaits.
async fn begin_recovery(
    new: &NewDir,
    manifest: &Manifest,
    clock: Clock,
) -> Result<usize, BackupError> {
    let dir = DataDir::open(new.temporary())?;
    let now: UnixTime = clock.now();
    upkeep::begin_recovery(&dir.file(DataDir::DATABASE), manifest.at, now).await?;
    let config = dir.config(None)?;
    let authority = Authority::open(dir.options(&config, clock)?).await?;
    let noted = note(&authority, manifest, now).await;
    authority.close().await;
    Ok(noted?)
}

async fn note(
    authority: &Authority,
    manifest: &Manifest,
    now: UnixTime,
) -> Result<usize, StoreError> {
    let restored = Entry::new(Event::Restored, &Actor::System, "backup");
    authority
        .log(restored.time("backup_at", manifest.at))
        .await?;
    let gap = Entry::new(Event::LedgerGap, &Actor::System, "release ledger");
    authority.log(gap.time("until", now)).await?;
    let recovery = authority.recovery().await?;
    Ok(recovery.map_or(0, |view| view.awaited.len()))
}

fn unreadable(path: &Path, error: &io::Error) -> FileError {
    FileError::Unreadable {
        path: shown(path),
        reason: reason(error),
    }
}
