//! TLS keys and their pins.

use std::path::PathBuf;

use clap::Subcommand;
use tidegate_authority::{Access, NewFile, TlsKey, publish, shown};

/// Commands for TLS keys.
#[derive(Debug, Subcommand)]
pub(super) enum Tls {
    /// Make a TLS key for an authority, and print the pin that the genesis is to name
    ///
    /// The file is PKCS#8 PEM with mode 0600 and stays on the authority. Make a second one as a spare: nodes that
    /// know both pins can still connect when the first has to be replaced.
    New {
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Print the pin of a TLS key, by which nodes recognise it
    Pin {
        /// The private key
        #[arg(value_name = "FILE")]
        key: PathBuf,
    },
}

impl Tls {
    pub(super) fn run(self) -> anyhow::Result<String> {
        match self {
            Self::New { out } => {
                let key = TlsKey::generate()?;
                publish(&[NewFile::prepare(
                    &out,
                    key.to_pem().as_bytes(),
                    Access::Owner,
                )?])?;
                Ok(format!(
                    "Wrote a TLS key to {}.\nPin: {pin}\nNext: have the genesis signed with --tls-pin {pin}\n",
                    shown(&out),
                    pin = key.pin(),
                ))
            }
            Self::Pin { key } => Ok(format!("{}\n", TlsKey::read(&key)?.pin())),
        }
    }
}
