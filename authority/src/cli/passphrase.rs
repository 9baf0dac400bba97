//! The passphrase of a backup: from a file, or from a person at a terminal.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tidegate_authority::read_passphrase;
use tidegate_proto::pem::Passphrase;
use zeroize::Zeroizing;

const TERMINAL: &str = "/dev/tty";
/// Fewer characters are guessed.
const SHORTEST: usize = 12;

/// Where the passphrase comes from.
#[derive(Args, Debug)]
pub(super) struct BackupPassphrase {
    /// File whose first line is the passphrase of the backup; mode 0600 [default: asked for at the terminal]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl BackupPassphrase {
    /// A passphrase for a new backup.
    pub(super) fn new_one(&self) -> anyhow::Result<Passphrase> {
        let passphrase = match &self.passphrase_file {
            Some(path) => read_passphrase(path)?,
            None => {
                let first = ask("Passphrase of the backup: ")?;
                let second = ask("Once more: ")?;
                if first.expose() != second.expose() {
                    bail!("the two passphrases differ; nothing was written, try again");
                }
                first
            }
        };
        if passphrase.expose().len() < SHORTEST {
            bail!(
                "a passphrase of fewer than {SHORTEST} characters is guessed; choose a longer one, like five random words"
            );
        }
        Ok(passphrase)
    }

    /// The passphrase of a backup that is there.
    pub(super) fn known(&self) -> anyhow::Result<Passphrase> {
        match &self.passphrase_file {
            Some(path) => Ok(read_passphrase(path)?),
            None => ask("Passphrase of the backup: "),
        }
    }
}

/// A terminal that does not show what is typed, until it is dropped.
struct Silent<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silent<'a> {
    fn on(terminal: &'a File) -> rustix::io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes &= !LocalModes::ECHO;
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

fn ask(question: &str) -> anyhow::Result<Passphrase> {
    let opened = File::options().read(true).write(true).open(TERMINAL);
    let terminal = opened.context(
        "there is no terminal to ask for the passphrase at; write it into the first line of a file with mode 0600 and give that with --passphrase-file",
    )?;
    let silent = Silent::on(&terminal).context("the terminal would show the passphrase")?;
    (&terminal).write_all(question.as_bytes())?;
    let mut line = Zeroizing::new(Vec::with_capacity(1024));
    BufReader::new(&terminal).read_until(b'\n', &mut line)?;
    drop(silent);
    (&terminal).write_all(b"\n")?;
    Passphrase::from_first_line(&line).context("no passphrase was given; nothing was done")
}
