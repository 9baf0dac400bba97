//! The manual pages and completions that the packages ship, from the same source as `--help`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Command};
use clap_complete::{Shell, generate_to};
use tidegate_authority::shown;

#[derive(Args, Debug)]
pub(super) struct Manual {
    /// Where the folders man, bash, zsh and fish are made
    folder: PathBuf,
}

impl Manual {
    pub(super) fn run(&self, program: Command) -> anyhow::Result<String> {
        write(&self.folder, program).with_context(|| {
            let folder = shown(&self.folder);
            format!("cannot write into {folder}; name a folder that may be written to")
        })?;
        Ok(String::new())
    }
}

fn write(folder: &Path, mut program: Command) -> io::Result<()> {
    let name = program.get_name().to_owned();
    let made = |kind: &str| {
        let path = folder.join(kind);
        fs::create_dir_all(&path).map(|()| path)
    };
    for (kind, shell) in [
        ("bash", Shell::Bash),
        ("zsh", Shell::Zsh),
        ("fish", Shell::Fish),
    ] {
        generate_to(shell, &mut program, &name, made(kind)?)?;
    }
    clap_mangen::generate_to(program, made("man")?)
}
