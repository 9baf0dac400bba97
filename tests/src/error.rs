//! What can go wrong in the lab.

use std::{fmt, io, time::Duration};

/// Why the lab could not do what was asked.
///
/// `Debug` reads like `Display`, so that an `unwrap` in a test shows a whole command's output line by line.
#[derive(Clone, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// The caller may not create namespaces.
    #[error(
        "the lab makes network and mount namespaces, which only root may do: run the tests as root"
    )]
    NotRoot,
    /// A program that the lab runs is not installed.
    #[error(
        "the program {0:?} is not installed: run tests/install-tools as root, which installs all that tests need"
    )]
    MissingProgram(String),
    /// A name that does not fit or is taken.
    #[error("{name:?} cannot name a {what}: {why}")]
    Name {
        /// What was to be named.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A value that no rule of the lab can express.
    #[error("{what} is {value}, but must be {must}")]
    Value {
        /// What was to be set.
        what: &'static str,
        /// The value given.
        value: String,
        /// What would have been accepted.
        must: &'static str,
    },
    /// The operating system refused.
    #[error("{what}: {detail}")]
    Os {
        /// What was attempted.
        what: String,
        /// The system's own words.
        detail: String,
    },
    /// A host's namespaces could not be furnished.
    #[error("host {host:?} could not be set up; its set-up said:\n{log}")]
    Setup {
        /// The host's name.
        host: String,
        /// What the set-up script wrote.
        log: String,
    },
    /// A command ended with anything but success.
    #[error("{command:?} on {host:?} ended with {status}; it wrote:\n{output}")]
    Failed {
        /// The host's name.
        host: String,
        /// The command line.
        command: String,
        /// The exit status.
        status: String,
        /// Standard output and standard error.
        output: String,
    },
    /// A command was still running when its time was up, and was killed.
    #[error(
        "{command:?} on {host:?} was still running after {after:?} and was killed; it wrote:\n{output}"
    )]
    TimedOut {
        /// The host's name.
        host: String,
        /// The command line.
        command: String,
        /// The time it was given.
        after: Duration,
        /// Standard output and standard error.
        output: String,
    },
    /// The process has ended already, so nothing can be sent to it.
    #[error("{command:?} on {host:?} has already ended with {status}; it wrote:\n{output}")]
    Ended {
        /// The host's name.
        host: String,
        /// The command line.
        command: String,
        /// The exit status.
        status: String,
        /// Standard output and standard error.
        output: String,
    },
    /// The lab was dropped while a handle to one of its hosts was kept.
    #[error(
        "host {0:?} is gone, because its lab was dropped: keep the Lab for as long as its hosts are used"
    )]
    Gone(String),
    /// A capture missed packets, so nothing can be concluded from it.
    #[error(
        "the capture of {what} missed {lost} packets: narrow its filter, or count with Link::count"
    )]
    Incomplete {
        /// What was captured.
        what: String,
        /// How many packets are missing.
        lost: u64,
    },
    /// A program of this workspace could not be built.
    #[error("the program {name:?} of this workspace could not be built; cargo said:\n{output}")]
    Build {
        /// The program.
        name: String,
        /// What cargo wrote.
        output: String,
    },
    /// What was awaited did not come about.
    #[error("waited {within:?} in vain for: {what}")]
    NotReached {
        /// What was awaited.
        what: String,
        /// How long.
        within: Duration,
    },
}

impl fmt::Debug for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl LabError {
    /// Names what was attempted when the operating system refused.
    pub(crate) fn os<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |error| Self::Os {
            what,
            detail: error.into().to_string(),
        }
    }
}
