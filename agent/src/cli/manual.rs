//! The manual pages and completions that the packages ship, from the same source as `--help`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::{Shell, generate_to};

use super::Failure;

#[derive(Args, Debug)]
pub(super) struct Manual {
    /// Where the folders man, bash, zsh and fish are made
    folder: PathBuf,
}

impl Manual {
    pub(super) fn run(&self, program: Command) -> Result<(), Failure> {
        write(&self.folder, program).map_err(|error| {
            let folder = self.folder.display();
            Failure::new(format!(
                "cannot write into {folder}: {error}; name a folder that may be written to"
            ))
        })
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
