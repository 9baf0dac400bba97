//! New keys, and keys from files.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use getrandom::SysRng;
use rand_core::{TryRng, UnwrapErr};
use tidegate_authority::{Access, NewFile, publish, read_passphrase, read_signing_key, shown};
use tidegate_proto::pem::{
    Passphrase, public_key_to_pem, signing_key_to_encrypted_pem, signing_key_to_pem,
};
use tidegate_proto::{KeyId, SigningKey};

/// Commands for the root key.
#[derive(Debug, Subcommand)]
pub(super) enum Root {
    /// Make a root key
    ///
    /// The file is PKCS#8 PEM with mode 0600. Without a passphrase, whoever reads it owns the network.
    New {
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        passphrase: PassphraseFile,
    },
}

/// Commands for authority keys.
#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Make an authority key: the private file, and beside it the public one ending in .pub
    ///
    /// The private file is PKCS#8 PEM with mode 0600 and stays on the authority. The public one goes to the
    /// machine that holds the root key.
    New {
        /// The private file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// The passphrase of the root key.
#[derive(Args, Debug)]
pub(super) struct PassphraseFile {
    /// File whose first line is the passphrase of the root key; mode 0600
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseFile {
    fn read(&self) -> anyhow::Result<Option<Passphrase>> {
        let path = self.passphrase_file.as_deref();
        Ok(path.map(read_passphrase).transpose()?)
    }

    /// The key in `root`, with this passphrase if there is one.
    pub(super) fn open(&self, root: &Path) -> anyhow::Result<SigningKey> {
        Ok(read_signing_key(root, self.read()?.as_ref())?)
    }
}

impl Root {
    pub(super) fn run(self) -> anyhow::Result<String> {
        let Self::New { out, passphrase } = self;
        let passphrase = passphrase.read()?;
        let mut rng = random()?;
        let key = SigningKey::generate(&mut rng);
        let pem = match &passphrase {
            Some(passphrase) => signing_key_to_encrypted_pem(&key, passphrase, &mut rng),
            None => signing_key_to_pem(&key),
        };
        publish(&[NewFile::prepare(&out, pem.as_bytes(), Access::Owner)?])?;
        let protection = match passphrase {
            Some(_) => "protected by your passphrase",
            None => "not protected by a passphrase",
        };
        Ok(format!(
            "Wrote the root key {} to {} ({protection}).\n\
             Next: keep it on a machine without a network, and a copy in a safe. Whoever has it owns the network; \
             if it is lost, the network can never change its keys.\n",
            KeyId::of(&key.public_key()),
            shown(&out),
        ))
    }
}

impl Key {
    pub(super) fn run(self) -> anyhow::Result<String> {
        let Self::New { out } = self;
        let public = out.with_extension("pub");
        if public == out {
            bail!(
                "the public key would get the same name; choose one for --out that does not end in .pub"
            );
        }
        let key = SigningKey::generate(&mut random()?);
        let pem = signing_key_to_pem(&key);
        let public_pem = public_key_to_pem(&key.public_key());
        // The private file first: should the power fail in between, the public one can be made again from it.
        publish(&[
            NewFile::prepare(&out, pem.as_bytes(), Access::Owner)?,
            NewFile::prepare(&public, public_pem.as_bytes(), Access::Everyone)?,
        ])?;
        Ok(format!(
            "Wrote the authority key {} to {} and its public half to {}.\n\
             Next: take {} to the machine that holds the root key, and check this key id there.\n",
            KeyId::of(&key.public_key()),
            shown(&out),
            shown(&public),
            shown(&public),
        ))
    }
}

/// The system's generator, once it has answered.
pub(super) fn random() -> anyhow::Result<UnwrapErr<SysRng>> {
    SysRng
        .try_fill_bytes(&mut [0; 32])
        .context("the system gives no random numbers; no key can be made here")?;
    Ok(UnwrapErr(SysRng))
}
