//! Running the programs that the fallback needs, so that a crash of ours cannot leave one running unnoticed.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may take. `resolvconf` waits up to ten seconds for its own lock.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a running program is looked at.
const PAUSE: Duration = Duration::from_millis(2);
/// How much of a program's complaint is passed on.
const SHOWN: u64 = 2_000;
/// Where programs are looked for, whatever the caller's environment says.
pub(super) const SEARCH: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Why a program could not be run to its end.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// The state directory cannot be used.
    #[error(
        "cannot {what} {path}: {error}; nothing was changed: run as root with a writable state directory"
    )]
    State {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system answered.
        error: io::ErrorKind,
    },
    /// Others could write what root believes.
    #[error(
        "the state directory {0} can be written by others than its user; nothing was changed: chown it to root and chmod it 0700"
    )]
    Unsafe(PathBuf),
    /// The program is not installed or cannot be started.
    #[error("cannot start {program}: {error}; install it and try again")]
    Start {
        /// Which.
        program: &'static str,
        /// What the system answered.
        error: io::ErrorKind,
    },
    /// The program says no.
    #[error("{program} failed ({said}); see what it lacks and try again")]
    Failed {
        /// Which.
        program: &'static str,
        /// Its own words.
        said: String,
    },
    /// The program did not end.
    #[error("{0} did not end within 30 seconds and was killed; try again")]
    Hung(&'static str),
}

/// A place to run programs from: a private directory with a file that is locked and is every program's input.
///
/// A program shares the lock through its input. If we are killed, it holds the lock until it has ended, and
/// the next of us waits for that: so nobody undoes what is still being done.
pub(super) struct Bench {
    input: File,
    output: File,
    directory: PathBuf,
}

impl Bench {
    /// Takes the directory, making it if need be. It must be private.
    pub(super) fn open(directory: &Path) -> Result<Self, ProgramError> {
        let failed = |what| state_error(what, directory);
        match fs::DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed("create")(error));
            }
            _ => {}
        }
        let data = fs::symlink_metadata(directory).map_err(failed("look at"))?;
        let own = data.uid() == rustix::process::geteuid().as_raw();
        if !data.is_dir() || !own || data.mode() & 0o022 != 0 {
            return Err(ProgramError::Unsafe(directory.to_owned()));
        }
        let bench = Self {
            input: private(&directory.join("input"))?,
            output: private(&directory.join("output"))?,
            directory: directory.to_owned(),
        };
        bench.lock();
        Ok(bench)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The names of the files in it.
    pub(super) fn files(&self) -> Result<Vec<String>, ProgramError> {
        let entries =
            fs::read_dir(&self.directory).map_err(state_error("list", &self.directory))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.collect())
    }

    /// Runs a program to its end.
    pub(super) fn run(
        &mut self,
        program: &'static str,
        args: &[&str],
        input: &str,
    ) -> Result<(), ProgramError> {
        let files = self
            .prepare(input)
            .map_err(state_error("write in", &self.directory))?;
        let start = |error: io::Error| ProgramError::Start {
            program,
            error: error.kind(),
        };
        let mut child = Command::new(program)
            .args(args)
            .env_clear()
            .env("PATH", SEARCH.join(":"))
            .env("LC_ALL", "C")
            .stdin(files.0)
            .stdout(files.1)
            .stderr(files.2)
            .spawn()
            .map_err(start)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match child.try_wait().map_err(start)? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    let said = format!("{status}: {}", self.said());
                    return Err(ProgramError::Failed { program, said });
                }
                None if Instant::now() > deadline => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(ProgramError::Hung(program));
                }
                None => thread::sleep(PAUSE),
            }
        }
    }

    /// Waits for a program of a predecessor that was killed. One that never ends cannot stop us for ever.
    fn lock(&self) {
        let deadline = Instant::now() + PATIENCE;
        while let Err(fs::TryLockError::WouldBlock) = self.input.try_lock() {
            if Instant::now() > deadline {
                tracing::warn!(directory = %self.directory.display(), "a program of an earlier run has not ended");
                return;
            }
            thread::sleep(PAUSE);
        }
    }

    fn prepare(&mut self, input: &str) -> io::Result<(Stdio, Stdio, Stdio)> {
        self.input.set_len(0)?;
        self.input.rewind()?;
        self.input.write_all(input.as_bytes())?;
        self.input.rewind()?;
        self.output.set_len(0)?;
        self.output.rewind()?;
        let output = || self.output.try_clone().map(Stdio::from);
        Ok((self.input.try_clone()?.into(), output()?, output()?))
    }

    fn said(&mut self) -> String {
        let mut said = Vec::new();
        // What cannot be read is only missing from a message.
        let _ = self.output.rewind();
        let _ = (&self.output).take(SHOWN).read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().map(str::trim).collect();
        lines.join(" ").trim().to_owned()
    }
}

/// Whether a program is installed.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let places = SEARCH.iter().map(|place| Path::new(place).join(program));
    places.into_iter().find(|path| {
        fs::metadata(path).is_ok_and(|data| data.is_file() && data.mode() & 0o111 != 0)
    })
}

fn private(path: &Path) -> Result<File, ProgramError> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(state_error("open", path))
}

fn state_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ProgramError {
    move |error| ProgramError::State {
        what,
        path: path.to_owned(),
        error: error.kind(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_program_gets_its_input_and_its_complaint_is_passed_on() {
        let directory = tempfile::tempdir().unwrap();
        let mut bench = Bench::open(&directory.path().join("state")).unwrap();
        assert_eq!(
            bench.run("sh", &["-c", "test \"$(cat)\" = hello"], "hello"),
            Ok(())
        );
        let error = bench.run("sh", &["-c", "echo bad >&2; cat >&2; exit 3"], "luck");
        let said = "exit status: 3: bad luck".to_owned();
        assert_eq!(
            error,
            Err(ProgramError::Failed {
                program: "sh",
                said
            })
        );
        let error = bench.run("no-such-program", &[], "").unwrap_err();
        assert!(matches!(
            error,
            ProgramError::Start {
                error: io::ErrorKind::NotFound,
                ..
            }
        ));
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o770)).unwrap();
        let error = Bench::open(path).err();
        assert_eq!(error, Some(ProgramError::Unsafe(path.to_owned())));
    }

    #[test]
    fn what_a_killed_predecessor_started_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let mut bench = Bench::open(&path).unwrap();
        let files = bench.prepare("").unwrap();
        let go = directory.path().join("go");
        // As if we had been killed now: the program goes on, and holds the lock through its input alone.
        let mut program = Command::new("sh")
            .args(["-c", "until [ -e \"$0\" ]; do sleep 0.01; done; echo done"])
            .arg(&go)
            .stdin(files.0)
            .stdout(files.1)
            .spawn()
            .unwrap();
        drop((files.2, bench));
        assert!(private(&path.join("input")).unwrap().try_lock().is_err());
        let next = thread::spawn(move || Bench::open(&path).unwrap().said());
        File::create(go).unwrap();
        assert_eq!(next.join().unwrap(), "done");
        program.wait().unwrap();
    }
}
