//! A command to be run on a host.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{Seek, Write},
    process::{self, ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use crate::{
    LabError, Process,
    space::{Depth, Space, bytes, text},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A program with its arguments, to be started on one host.
#[must_use = "a command does nothing until it is run or spawned"]
pub struct Command {
    space: Arc<Space>,
    depth: Depth,
    command: process::Command,
    input: Vec<u8>,
    patience: Duration,
}

/// How a command ended and what it wrote.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Output {
    /// The exit status.
    pub status: ExitStatus,
    /// Standard output, as it is.
    pub stdout: Vec<u8>,
    /// Standard error, as text.
    pub stderr: String,
}

impl Command {
    pub(crate) fn new(space: &Arc<Space>, depth: Depth, program: impl AsRef<OsStr>) -> Self {
        let mut command = process::Command::new(program);
        // Tests read what programs write, so it must not depend on who runs them.
        command.env("LC_ALL", "C.UTF-8");
        Self {
            space: Arc::clone(space),
            depth,
            command,
            input: Vec::new(),
            patience: PATIENCE,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives standard input, which is empty otherwise.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Sets after how long [`Command::run`] and [`Command::output`] kill it: 20 seconds unless told.
    pub fn timeout(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs to the end and returns standard output; anything but exit code 0 is an error that carries all output.
    pub fn run(self) -> Result<String, LabError> {
        let (host, command) = (self.space.name().to_owned(), self.line());
        let output = self.output()?;
        if output.status.success() {
            return Ok(output.text());
        }
        let status = output.status.to_string();
        Err(LabError::Failed {
            host,
            command,
            status,
            output: output.text() + &output.stderr,
        })
    }

    /// Runs to the end and returns status and output, whatever they are.
    pub fn output(self) -> Result<Output, LabError> {
        let stdout = unnamed_file()?;
        let patience = self.patience;
        let process = self.launch(Some(&stdout))?;
        let status = process.finish(patience, || text(&stdout))?;
        Ok(Output {
            status,
            stdout: bytes(&stdout),
            stderr: process.output(),
        })
    }

    /// Starts it and returns a handle, which [`Process::output`] asks for what it wrote to either output.
    pub fn spawn(self) -> Result<Process, LabError> {
        self.launch(None)
    }

    /// Starts it. Standard output joins standard error in one file unless it gets its own.
    pub(crate) fn launch(mut self, stdout: Option<&File>) -> Result<Process, LabError> {
        let line = self.line();
        let written = unnamed_file()?;
        self.command
            .stdin(self.stdin()?)
            .stdout(share(stdout.unwrap_or(&written))?)
            .stderr(share(&written)?);
        let child = self.space.start(self.depth, self.command)?;
        Ok(Process::new(self.space.name(), line, child, written))
    }

    fn stdin(&self) -> Result<Stdio, LabError> {
        if self.input.is_empty() {
            return Ok(Stdio::null());
        }
        let mut file = unnamed_file()?;
        file.write_all(&self.input)
            .and_then(|()| file.rewind())
            .map_err(LabError::os("write standard input"))?;
        Ok(file.into())
    }

    fn line(&self) -> String {
        let words: Vec<OsString> = [self.command.get_program()]
            .into_iter()
            .chain(self.command.get_args())
            .map(OsStr::to_owned)
            .collect();
        words.join(OsStr::new(" ")).to_string_lossy().into_owned()
    }
}

impl Output {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// A file without a name, which is gone when its last user is, however that ends.
pub(crate) fn unnamed_file() -> Result<File, LabError> {
    tempfile::tempfile().map_err(LabError::os("create an unnamed file"))
}

fn share(file: &File) -> Result<Stdio, LabError> {
    file.try_clone()
        .map(Stdio::from)
        .map_err(LabError::os("share an unnamed file"))
}
