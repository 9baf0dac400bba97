//! What is in a backup: named entries, one after the other.

use std::fmt;
use std::io::{self, Read, Write};

/// The most entries of a backup.
const MOST_ENTRIES: usize = 100_000;
/// Longer than any name.
const LONGEST_NAME: usize = 100;

/// Why a stream is no archive.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A name that would lead elsewhere, or is none.
    #[error("an entry has a name that no file of an authority has")]
    Name,
    /// An entry that is larger than any of its name.
    #[error("{name} in it has {size} bytes, more than any such file")]
    TooLarge {
        /// The entry.
        name: String,
        /// Its size.
        size: u64,
    },
    /// Too many entries.
    #[error("it has more than {MOST_ENTRIES} entries")]
    TooMany,
    /// Something behind the end.
    #[error("there is something behind its end")]
    Trailing,
    /// Something that must be in it.
    #[error("{0} is missing in it")]
    Missing(&'static str),
    /// The manifest does not read.
    #[error("its manifest does not read: {0}")]
    Manifest(String),
    /// The stream ended or failed.
    #[error("{0}")]
    Stream(String),
}

/// The name of an entry: a file in the data directory, or in one folder of it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct EntryName(String);

impl EntryName {
    /// `text`, if it is such a name.
    pub fn new(text: &str) -> Result<Self, ArchiveError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
        let part =
            |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(plain);
        let sound = match text.split_once('/') {
            None => part(text),
            Some((folder, file)) => part(folder) && part(file),
        };
        if sound && text.len() <= LONGEST_NAME {
            Ok(Self(text.to_owned()))
        } else {
            Err(ArchiveError::Name)
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder of the file, if it is not the data directory itself.
    pub fn folder(&self) -> Option<&str> {
        self.0.split_once('/').map(|(folder, _)| folder)
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Writes an entry of `size` bytes out of `contents`, which must have exactly as many.
pub(super) fn write_entry(
    stream: &mut impl Write,
    name: &EntryName,
    size: u64,
    contents: impl Read,
) -> io::Result<()> {
    let text = name.as_str().as_bytes();
    stream.write_all(&[u8::try_from(text.len()).unwrap_or(u8::MAX)])?; // at most LONGEST_NAME
    stream.write_all(text)?;
    stream.write_all(&size.to_be_bytes())?;
    let copied = io::copy(&mut contents.take(size), stream)?;
    if copied == size {
        Ok(())
    } else {
        Err(io::Error::other(
            "a file became shorter while it was read; try again",
        ))
    }
}

/// Ends an archive.
pub(super) fn write_end(stream: &mut impl Write) -> io::Result<()> {
    stream.write_all(&[0])
}

/// Reads an archive, entry by entry.
#[derive(Debug)]
pub struct Archive<R> {
    stream: R,
    /// What is left of the entry that was given out last.
    left: u64,
    entries: usize,
}

impl<R: Read> Archive<R> {
    /// The archive in `stream`.
    pub fn new(stream: R) -> Self {
        Self {
            stream,
            left: 0,
            entries: 0,
        }
    }

    /// The next entry's name, size and contents, or the end, behind which there is nothing.
    pub fn next_entry(&mut self) -> Result<Option<(EntryName, u64, impl Read + '_)>, ArchiveError> {
        io::copy(&mut (&mut self.stream).take(self.left), &mut io::sink()).map_err(stream)?;
        let length = self.array::<1>()?[0];
        if length == 0 {
            return match self.stream.read(&mut [0]).map_err(stream)? {
                0 => Ok(None),
                _ => Err(ArchiveError::Trailing),
            };
        }
        self.entries += 1;
        if self.entries > MOST_ENTRIES {
            return Err(ArchiveError::TooMany);
        }
        let mut name = vec![0; usize::from(length)];
        self.stream.read_exact(&mut name).map_err(stream)?;
        let name = String::from_utf8(name).map_err(|_| ArchiveError::Name)?;
        let name = EntryName::new(&name)?;
        let size = u64::from_be_bytes(self.array()?);
        self.left = size;
        let contents = Contents {
            stream: &mut self.stream,
            left: &mut self.left,
        };
        Ok(Some((name, size, contents)))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ArchiveError> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).map_err(stream)?;
        Ok(bytes)
    }
}

fn stream(error: io::Error) -> ArchiveError {
    ArchiveError::Stream(match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
        _ => error.to_string(),
    })
}

/// The bytes of one entry.
struct Contents<'a, R> {
    stream: &'a mut R,
    left: &'a mut u64,
}

impl<R: Read> Read for Contents<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(*self.left)
            .unwrap_or(usize::MAX)
            .min(into.len());
        let read = self.stream.read(&mut into[..most])?;
        if read == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng as _, SeedableRng as _};

    fn entries(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
        let mut archive = Archive::new(bytes);
        let mut found = Vec::new();
        while let Some((name, _, mut contents)) = archive.next_entry()? {
            let mut all = Vec::new();
            contents.read_to_end(&mut all).map_err(stream)?;
            found.push((name.to_string(), all));
        }
        Ok(found)
    }

    fn written() -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, contents) in [
            ("authority.key", &b"key"[..]),
            ("genesis/genesis-1.json", b""),
        ] {
            let name = EntryName::new(name).unwrap();
            write_entry(&mut bytes, &name, contents.len() as u64, contents).unwrap();
        }
        write_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn entries_come_back_in_their_order() {
        let found = entries(&written()).unwrap();
        assert_eq!(found[0], ("authority.key".to_owned(), b"key".to_vec()));
        assert_eq!(found[1], ("genesis/genesis-1.json".to_owned(), Vec::new()));
    }

    #[test]
    fn an_entry_that_nobody_reads_is_passed_over() {
        let bytes = written();
        let mut archive = Archive::new(bytes.as_slice());
        let mut names = Vec::new();
        while let Some((name, _, _)) = archive.next_entry().unwrap() {
            names.push(name.to_string());
        }
        assert_eq!(names.len(), 2);
    }

    #[test]
    fn what_is_cut_off_or_goes_on_is_no_archive() {
        let bytes = written();
        for length in 0..bytes.len() {
            assert!(entries(&bytes[..length]).is_err(), "{length}");
        }
        assert_eq!(
            entries(&[&bytes[..], b"x"].concat()),
            Err(ArchiveError::Trailing)
        );
    }

    #[test]
    fn no_bytes_make_it_panic_or_lead_out_of_the_directory() {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let sound = written();
        for round in 0..50_000 {
            let mut bytes = match round % 3 {
                0 => vec![0; (rng.next_u32() % 200) as usize],
                _ => sound.clone(),
            };
            if round % 3 == 0 {
                rng.fill_bytes(&mut bytes);
            }
            for _ in 0..rng.next_u32() % 4 {
                let at = rng.next_u64() as usize % bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = rng.next_u32() as u8;
                }
            }
            bytes.truncate(rng.next_u64() as usize % (sound.len() + 50));
            for (name, _) in entries(&bytes).unwrap_or_default() {
                assert!(EntryName::new(&name).is_ok(), "{name}");
            }
        }
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        for name in [
            "",
            "/",
            "..",
            "../key",
            "a/../b",
            "a/b/c",
            "/etc/passwd",
            ".hidden",
            "a/.b",
            "A",
            "a b",
            "a\0",
            "ä",
        ] {
            assert_eq!(EntryName::new(name), Err(ArchiveError::Name), "{name}");
        }
        assert!(EntryName::new(&"a".repeat(101)).is_err());
    }
}
