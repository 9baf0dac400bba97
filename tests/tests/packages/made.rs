//! Where packaging/build has put the packages.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The packages of the version in Cargo.toml.
pub(crate) const NOW: &str = "target/packages/out";
/// The same ones with a higher version.
pub(crate) const NEXT: &str = "target/packages/next";

/// The one package of that name and kind, such as `tidegate` and `deb`.
pub(crate) fn package(folder: &str, name: &str, kind: &str) -> PathBuf {
    let mut found = packages(folder, kind);
    found.retain(|path| {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        // What follows the name is the version, after `_` in a deb and `-` in an rpm.
        file.strip_prefix(name)
            .is_some_and(|rest| rest[1..].starts_with(|c: char| c.is_ascii_digit()))
    });
    assert_eq!(found.len(), 1, "{name} in {folder}: {found:?}");
    found.remove(0)
}

/// All packages of a kind.
pub(crate) fn packages(folder: &str, kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(ROOT).join(folder);
    let entries = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}; run: make test-packages", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == kind))
        .collect();
    found.sort();
    found
}

/// What a command says on both outputs; it must succeed.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

/// A line of shell that must succeed.
pub(crate) fn sh(line: &str) -> String {
    run(Command::new("bash").args(["-euo", "pipefail", "-c", line]))
}
