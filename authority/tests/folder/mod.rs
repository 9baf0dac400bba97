//! A folder in which the program runs, and what it did there.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test program uses some of it"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use tidegate_authority::{follow, read_genesis, read_signing_key};
use tidegate_proto::{
    Keyring, Nonce, Signed, SigningKey, TimeStatement, TrustChain, UnixTime, VerifyError,
};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_tidegate-authority");

/// A temporary folder; gone with the value.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A folder with root.pem, authority.pem, authority.pub and a genesis of them.
    pub(crate) fn with_network() -> Self {
        let folder = Self::with_keys();
        folder.done(
            "genesis new --name demo --root root.pem --authority-key authority.pub --ipv4 10.211.0.0/16 --out genesis.json",
        );
        folder
    }

    pub(crate) fn with_keys() -> Self {
        let folder = Self::new();
        folder.done("root new --out root.pem");
        folder.done("key new --out authority.pem");
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8], mode: u32) {
        fs::write(self.path(name), bytes).unwrap();
        self.chmod(name, mode);
    }

    pub(crate) fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn mode(&self, name: &str) -> u32 {
        self.path(name).metadata().unwrap().permissions().mode() & 0o7777
    }

    /// Takes a file to another folder.
    pub(crate) fn carry(&self, name: &str, to: &Self) {
        fs::copy(self.path(name), to.path(name)).unwrap();
    }

    /// Every file here with its bytes.
    pub(crate) fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        fs::read_dir(self.root())
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().unwrap().is_file())
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read(entry.path()).unwrap())
            })
            .collect()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.contents().into_keys().collect()
    }

    /// Runs the program here, its arguments parted by blanks.
    pub(crate) fn run(&self, arguments: &str) -> Output {
        self.run_with(&arguments.split_whitespace().collect::<Vec<_>>())
    }

    pub(crate) fn run_with(&self, arguments: &[&str]) -> Output {
        Command::new(PROGRAM)
            .args(arguments)
            .current_dir(self.root())
            .output()
            .unwrap()
    }

    /// Runs what must succeed quietly; what it prints.
    pub(crate) fn done(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let said = text(&output.stderr);
        assert_eq!(
            (output.status.code(), said.as_str()),
            (Some(0), ""),
            "{arguments}"
        );
        text(&output.stdout)
    }

    /// Runs what must be refused in one line and change nothing; the line.
    pub(crate) fn refused(&self, arguments: &str) -> String {
        self.ends(arguments, 1)
    }

    /// Runs what makes no sense as a command line; the line that says so.
    pub(crate) fn misused(&self, arguments: &str) -> String {
        self.ends(arguments, 2)
    }

    fn ends(&self, arguments: &str, code: i32) -> String {
        let before = self.contents();
        let output = self.run(arguments);
        let line = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments}: {line}");
        assert_eq!(line.matches('\n').count(), 1, "{arguments}: {line}");
        assert!(
            line.ends_with('\n') && line.starts_with("tidegate-authority: "),
            "{line}"
        );
        assert_eq!(text(&output.stdout), "", "{arguments}");
        assert_eq!(self.contents(), before, "{arguments} changed something");
        line
    }

    pub(crate) fn key(&self, name: &str) -> SigningKey {
        read_signing_key(&self.path(name), None).unwrap()
    }

    /// The chain of these genesis files.
    pub(crate) fn chain(&self, names: &[&str]) -> TrustChain {
        let all: Vec<_> = names
            .iter()
            .map(|name| read_genesis(&self.path(name)).unwrap())
            .collect();
        let (last, earlier) = all.split_last().unwrap();
        follow(earlier, last, None).unwrap()
    }

    pub(crate) fn json(&self, arguments: &str) -> serde_json::Value {
        serde_json::from_str(&self.done(arguments)).unwrap()
    }
}

/// Whether a document that `keys` sign counts under `chain` at `now`.
pub(crate) fn judge(
    chain: &TrustChain,
    keys: &[&SigningKey],
    now: UnixTime,
) -> Result<(), VerifyError> {
    let statement = TimeStatement {
        network: chain.network(),
        nonce: Nonce::generate(&mut rand_core::UnwrapErr(getrandom::SysRng)),
        at: now,
    };
    let keyring: Keyring<_> = chain.keyring().unwrap();
    let signed = Signed::sign(&statement, keys).unwrap();
    signed.verify(&keyring, now).map(|_| ())
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
