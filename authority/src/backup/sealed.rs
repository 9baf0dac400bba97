//! The encrypted stream.

use std::fmt;
use std::io::{self, Read, Write};

use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{Key, Tag, XChaCha20Poly1305, XNonce};
use rand_core::CryptoRng;
use scrypt::{Params, scrypt};
use tidegate_proto::pem::Passphrase;
use zeroize::Zeroizing;

const MAGIC: [u8; 16] = *b"tidegate backup1";
const SALT: usize = 32;
const CHECK: usize = 16;
const HEAD: usize = MAGIC.len() + SALT + CHECK;
const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;
/// 128 MiB and a good part of a second for every passphrase that is tried.
const LOG_N: u8 = 17;

/// Why a backup does not open.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SealError {
    /// Another kind of file, or of a later version.
    #[error("this is no backup that this version can read; check the path, or use a newer version")]
    Magic,
    /// Another passphrase.
    #[error(
        "the passphrase does not open it; use the one that it was made with, it is nowhere else"
    )]
    Passphrase,
    /// Changed, damaged or incomplete.
    #[error(
        "it is damaged or cut off after {0} bytes; copy it again from where it was made, or take another one"
    )]
    Damaged(u64),
}

/// The front of a backup: all that is needed to try a passphrase.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head([u8; HEAD]);

/// The key of one backup. Erased when dropped.
struct ChunkKey(Zeroizing<[u8; 32]>);

impl Head {
    /// Reads the front of a backup.
    pub fn read(file: &mut impl Read) -> Result<Self, SealError> {
        let mut head = [0; HEAD];
        file.read_exact(&mut head).map_err(|_| SealError::Magic)?;
        if head[..MAGIC.len()] == MAGIC {
            Ok(Self(head))
        } else {
            Err(SealError::Magic)
        }
    }

    fn salt(&self) -> &[u8] {
        &self.0[MAGIC.len()..MAGIC.len() + SALT]
    }

    fn check(&self) -> &[u8] {
        &self.0[MAGIC.len() + SALT..]
    }
}

/// The key and the check that follow from a passphrase.
fn derive(passphrase: &Passphrase, salt: &[u8]) -> (ChunkKey, [u8; CHECK]) {
    let mut derived = Zeroizing::new([0; 32 + CHECK]);
    let params = Params::new(LOG_N, 8, 1).expect("the parameters are sound constants");
    scrypt(passphrase.expose(), salt, &params, &mut *derived)
        .expect("the length is a sound constant");
    let mut key = Zeroizing::new([0; 32]);
    let mut check = [0; CHECK];
    key.copy_from_slice(&derived[..32]);
    check.copy_from_slice(&derived[32..]);
    (ChunkKey(key), check)
}

/// The cipher over the chunks of one file.
struct Chunks {
    cipher: XChaCha20Poly1305,
    head: Head,
    number: u64,
}

impl Chunks {
    fn new(key: &ChunkKey, head: Head) -> Self {
        let key = Key::from(*key.0);
        Self {
            cipher: XChaCha20Poly1305::new(&key),
            head,
            number: 0,
        }
    }

    fn nonce(&self, last: bool) -> XNonce {
        let mut nonce = [0; 24];
        nonce[..8].copy_from_slice(&self.number.to_be_bytes());
        nonce[8] = u8::from(last);
        nonce.into()
    }

    fn seal(&mut self, chunk: &mut [u8], last: bool) -> io::Result<Tag> {
        let tag = self
            .cipher
            .encrypt_inout_detached(&self.nonce(last), &self.head.0, chunk.into())
            .map_err(|_| io::Error::other("the cipher failed"))?;
        self.number += 1; // 2^64 chunks are never written
        Ok(tag)
    }

    fn open(&mut self, chunk: &mut [u8], tag: [u8; TAG], last: bool) -> Option<()> {
        self.cipher
            .decrypt_inout_detached(&self.nonce(last), &self.head.0, chunk.into(), &tag.into())
            .ok()?;
        self.number += 1;
        Some(())
    }
}

/// Encrypts what is written to it. [`SealedWriter::finish`] writes the last chunk; without it the file does not open.
pub struct SealedWriter<W> {
    file: W,
    chunks: Chunks,
    buffer: Zeroizing<Vec<u8>>,
}

impl<W: Write> SealedWriter<W> {
    /// Begins a backup that `passphrase` opens.
    pub fn begin(
        mut file: W,
        passphrase: &Passphrase,
        rng: &mut impl CryptoRng,
    ) -> io::Result<Self> {
        let mut head = [0; HEAD];
        head[..MAGIC.len()].copy_from_slice(&MAGIC);
        rng.fill_bytes(&mut head[MAGIC.len()..MAGIC.len() + SALT]);
        let (key, check) = derive(passphrase, &head[MAGIC.len()..MAGIC.len() + SALT]);
        head[MAGIC.len() + SALT..].copy_from_slice(&check);
        file.write_all(&head)?;
        Ok(Self {
            file,
            chunks: Chunks::new(&key, Head(head)),
            buffer: Zeroizing::new(Vec::with_capacity(CHUNK)),
        })
    }

    fn write_chunk(&mut self, last: bool) -> io::Result<()> {
        let tag = self.chunks.seal(&mut self.buffer, last)?;
        self.file.write_all(&self.buffer)?;
        self.file.write_all(&tag)?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the last chunk.
    pub fn finish(mut self) -> io::Result<()> {
        self.write_chunk(true)?;
        self.file.flush()
    }
}

impl<W: Write> Write for SealedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() == CHUNK {
            self.write_chunk(false)?;
        }
        let taken = bytes.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // a chunk that is not full may not be the last
    }
}

/// Decrypts a backup. Nothing leaves it that was not authenticated; the end is only reached behind the last chunk.
pub struct SealedReader<R> {
    file: R,
    chunks: Chunks,
    plain: Zeroizing<Vec<u8>>,
    at: usize,
    /// The chunk's bytes that were read ahead, to see whether it is the last.
    ahead: Vec<u8>,
    read: u64,
    ended: bool,
}

impl<R: Read> SealedReader<R> {
    /// Opens the backup whose `head` was read from `file`.
    pub fn open(file: R, head: Head, passphrase: &Passphrase) -> Result<Self, SealError> {
        let (key, check) = derive(passphrase, head.salt());
        if check != head.check() {
            return Err(SealError::Passphrase);
        }
        Ok(Self::with_key(file, head, &key.0))
    }

    /// Opens a backup of which the key is known.
    pub fn with_key(file: R, head: Head, key: &[u8; 32]) -> Self {
        Self {
            file,
            chunks: Chunks::new(&ChunkKey(Zeroizing::new(*key)), head),
            plain: Zeroizing::new(Vec::new()),
            at: 0,
            ahead: Vec::new(),
            read: HEAD as u64,
            ended: false,
        }
    }

    /// Reads on until there is one byte more than a chunk, or the file ends.
    fn read_ahead(&mut self) -> io::Result<()> {
        let wanted = CHUNK + TAG + 1 - self.ahead.len();
        let mut rest = (&mut self.file).take(wanted as u64);
        rest.read_to_end(&mut self.ahead)?;
        Ok(())
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        self.read_ahead()?;
        let last = self.ahead.len() <= CHUNK + TAG;
        let rest = self.ahead.split_off(self.ahead.len().min(CHUNK + TAG));
        let sealed = std::mem::replace(&mut self.ahead, rest);
        let damaged = || io::Error::other(SealError::Damaged(self.read));
        let (chunk, tag) = sealed.split_last_chunk::<TAG>().ok_or_else(damaged)?;
        self.plain.clear();
        self.plain.extend_from_slice(chunk);
        if self.chunks.open(&mut self.plain, *tag, last).is_none() {
            self.plain.clear();
            return Err(damaged());
        }
        self.read += sealed.len() as u64;
        (self.at, self.ended) = (0, last);
        Ok(())
    }
}

impl<R: Read> Read for SealedReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.plain.len() && !self.ended {
            self.next_chunk()?;
        }
        let taken = into.len().min(self.plain.len() - self.at);
        into[..taken].copy_from_slice(&self.plain[self.at..self.at + taken]);
        self.at += taken;
        Ok(taken)
    }
}

impl<W> fmt::Debug for SealedWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedWriter")
    }
}

impl<R> fmt::Debug for SealedReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedReader")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use getrandom::SysRng;
    use rand_core::UnwrapErr;

    const KEY: [u8; 32] = [7; 32];

    /// A backup of `plain` under a known key: the front and the chunks.
    fn sealed(plain: &[u8]) -> (Head, Vec<u8>) {
        let mut head = [9; HEAD];
        head[..MAGIC.len()].copy_from_slice(&MAGIC);
        let mut file = Vec::new();
        let mut writer = SealedWriter {
            file: &mut file,
            chunks: Chunks::new(&ChunkKey(Zeroizing::new(KEY)), Head(head)),
            buffer: Zeroizing::new(Vec::new()),
        };
        writer.write_all(plain).unwrap();
        writer.finish().unwrap();
        (Head(head), file)
    }

    fn opened(head: Head, file: &[u8]) -> Option<Vec<u8>> {
        let mut plain = Vec::new();
        let mut reader = SealedReader::with_key(file, head, &KEY);
        reader.read_to_end(&mut plain).ok().map(|_| plain)
    }

    fn plain(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at / 7) as u8).collect()
    }

    #[test]
    fn every_length_comes_back() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5] {
            let (head, file) = sealed(&plain(length));
            assert_eq!(opened(head, &file), Some(plain(length)), "{length}");
        }
    }

    #[test]
    fn what_is_cut_off_moved_repeated_or_changed_does_not_open() {
        let (head, file) = sealed(&plain(3 * CHUNK + 5));
        let chunk = CHUNK + TAG;
        for length in [
            0,
            1,
            TAG,
            chunk - 1,
            chunk,
            2 * chunk,
            3 * chunk,
            file.len() - 1,
        ] {
            assert_eq!(opened(head, &file[..length]), None, "cut at {length}");
        }
        let swapped = [&file[chunk..2 * chunk], &file[..chunk], &file[2 * chunk..]].concat();
        let repeated = [&file[..chunk], &file[..]].concat();
        let without = [&file[..chunk], &file[2 * chunk..]].concat();
        let longer = [&file[..], &[0]].concat();
        let twice = [&file[..], &file[..]].concat();
        for changed in [swapped, repeated, without, longer, twice] {
            assert_eq!(opened(head, &changed), None);
        }
        for at in (0..file.len()).step_by(4999).chain([file.len() - 1]) {
            let mut flipped = file.clone();
            flipped[at] ^= 1;
            assert_eq!(opened(head, &flipped), None, "byte {at}");
        }
        for at in 0..HEAD {
            let mut other = head;
            other.0[at] ^= 1;
            assert_eq!(opened(other, &file), None, "byte {at} of the head");
        }
    }

    #[test]
    fn only_its_passphrase_opens_it() {
        let passphrase = |text: &str| Passphrase::from_first_line(text.as_bytes()).unwrap();
        let mut file = Vec::new();
        let mut writer =
            SealedWriter::begin(&mut file, &passphrase("right"), &mut UnwrapErr(SysRng)).unwrap();
        writer.write_all(b"secret").unwrap();
        writer.finish().unwrap();
        assert!(!file.windows(6).any(|window| window == b"secret"));
        let mut rest = file.as_slice();
        let head = Head::read(&mut rest).unwrap();
        let refused = SealedReader::open(rest, head, &passphrase("wrong"));
        assert_eq!(refused.err(), Some(SealError::Passphrase));
        let mut plain = Vec::new();
        let mut reader = SealedReader::open(rest, head, &passphrase("right")).unwrap();
        reader.read_to_end(&mut plain).unwrap();
        assert_eq!(plain, b"secret");
    }

    #[test]
    fn another_file_is_no_backup() {
        for other in [
            &b""[..],
            b"tidegate backup1",
            &[0; 200],
            b"SQLite format 3\0",
        ] {
            assert_eq!(Head::read(&mut &other[..]), Err(SealError::Magic));
        }
    }
}
