//! How a command ends when it does not end well.

use std::process::ExitCode;

/// What the exit code tells a script; the program's help lists them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It did not work.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it should, in one line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Failure {
    /// The code to end with.
    pub(crate) exit: Exit,
    /// What happened, why, and what to do next.
    pub(crate) message: String,
}

impl Failure {
    /// It did not work.
    pub(crate) fn new(error: impl std::fmt::Display) -> Self {
        Self {
            exit: Exit::Failed,
            message: error.to_string(),
        }
    }
}
