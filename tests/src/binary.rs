//! The project's own programs, for tests of other crates.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::SystemTime,
};

use crate::{LabError, space::locked};

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
static BUILDING: Mutex<()> = Mutex::new(());

/// The path of a program of this workspace, such as `tidegate`, built from the sources as they are now.
///
/// It lies beside the running test, in the same profile. If it is missing or older than one of its sources, cargo
/// builds it first, since `cargo test` builds the programs of no package but the tested one.
pub fn binary(name: &str) -> Result<PathBuf, LabError> {
    fresh("--bin", "", name)
}

/// Like [`binary`], for an example, such as `split-dns`.
pub fn example(name: &str) -> Result<PathBuf, LabError> {
    fresh("--example", "examples", name)
}

fn fresh(kind: &str, place: &str, name: &str) -> Result<PathBuf, LabError> {
    let directory = programs().map_err(LabError::os("find the test's own directory"))?;
    let path = directory.join(place).join(name);
    let _one_at_a_time = locked(&BUILDING);
    if !is_fresh(&path) {
        build(kind, name, &directory)?;
    }
    Ok(path)
}

/// Where cargo puts programs: the test itself is in a subdirectory of it.
fn programs() -> io::Result<PathBuf> {
    let test = env::current_exe()?;
    let directory = test.parent().unwrap_or(Path::new("/"));
    let above = directory
        .parent()
        .filter(|_| directory.ends_with("deps") || directory.ends_with("examples"));
    Ok(above.unwrap_or(directory).to_owned())
}

/// Whether the program is at least as new as every source that cargo noted beside it.
fn is_fresh(path: &Path) -> bool {
    let Ok(built) = modified(path) else {
        return false;
    };
    let Ok(note) = fs::read_to_string(path.with_added_extension("d")) else {
        return false;
    };
    let sources = note.split_once(": ").map_or("", |(_, sources)| sources);
    // A blank in a path is written with a backslash.
    let escaped = sources.trim_end().replace("\\ ", "\0");
    escaped.split(' ').all(|source| {
        modified(Path::new(&source.replace('\0', " "))).is_ok_and(|changed| changed <= built)
    })
}

fn modified(path: &Path) -> io::Result<SystemTime> {
    fs::metadata(path)?.modified()
}

fn build(kind: &str, name: &str, directory: &Path) -> Result<(), LabError> {
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let output = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .args([
            "build",
            "--locked",
            kind,
            name,
            "--profile",
            profile,
            "--target-dir",
        ])
        .arg(directory.join(".."))
        .current_dir(WORKSPACE)
        .output()
        .map_err(LabError::os("run cargo"))?;
    if output.status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(LabError::Build {
        name: name.to_owned(),
        output,
    })
}

#[cfg(test)]
mod tests {
    use std::{fs::File, time::Duration};

    use super::*;

    /// A program built at second 100 from a source that was changed at `changed`.
    fn freshness(changed: Option<u64>) -> bool {
        let directory = tempfile::tempdir().unwrap();
        let [program, note, source] =
            ["program", "program.d", "a source.rs"].map(|name| directory.path().join(name));
        let at = |path: &Path, second| {
            let file = File::create(path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(second))
                .unwrap();
        };
        at(&program, 100);
        if let Some(second) = changed {
            at(&source, second);
        }
        let escaped = source.to_string_lossy().replace(' ', "\\ ");
        fs::write(
            note,
            format!("{}: {escaped} {escaped}\n", program.display()),
        )
        .unwrap();
        is_fresh(&program)
    }

    #[test]
    fn a_program_is_fresh_unless_a_source_is_newer_or_gone() {
        assert!(freshness(Some(99)) && freshness(Some(100)));
        assert!(!freshness(Some(101)) && !freshness(None));
        assert!(!is_fresh(Path::new("/no/such/program")));
    }
}
