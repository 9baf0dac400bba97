//! A process running on a host.

use std::{
    fs::File,
    process::{Child, ExitStatus},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

use crate::{
    LabError,
    space::{locked, text},
    wait_for,
};

const GRACE: Duration = Duration::from_secs(5);
const SHOWN: usize = 16 * 1024;

/// A process on a host. Dropping the handle kills it and its process group.
///
/// When the handle is dropped because a test panicked, what the process wrote goes to standard error first.
pub struct Process {
    host: String,
    line: String,
    id: u32,
    child: Arc<Mutex<Child>>,
    written: File,
}

impl Process {
    pub(crate) fn new(host: &str, line: String, child: Arc<Mutex<Child>>, written: File) -> Self {
        let id = locked(&child).id();
        Self {
            host: host.to_owned(),
            line,
            id,
            child,
            written,
        }
    }

    /// Its process id as the machine, not the host, sees it.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// All that it has written so far.
    pub fn output(&self) -> String {
        text(&self.written)
    }

    /// How it ended, if it did.
    pub fn status(&self) -> Option<ExitStatus> {
        locked(&self.child).try_wait().ok().flatten()
    }

    /// Whether it has not ended.
    pub fn is_running(&self) -> bool {
        self.status().is_none()
    }

    /// Sends a signal to this process alone.
    pub fn signal(&self, signal: Signal) -> Result<(), LabError> {
        let mut child = locked(&self.child);
        // Under the lock nobody reaps it, so the id still means this process.
        match child.try_wait().ok().flatten() {
            Some(status) => Err(self.ended(status)),
            None => {
                kill(self.pid(), signal).map_err(LabError::os(format!("signal {:?}", self.line)))
            }
        }
    }

    /// Waits for it to end by itself; kills it when it takes longer than `within`.
    pub fn wait(&self, within: Duration) -> Result<ExitStatus, LabError> {
        self.finish(within, String::new)
    }

    /// Waits until it has written `text`; fails at once if it ends without. Some programs write in blocks unless told,
    /// such as `iperf3` without `--forceflush`.
    pub fn wait_for_output(&self, within: Duration, text: &str) -> Result<(), LabError> {
        let written = wait_for(within, text, || {
            let ended = self.status();
            match (self.output().contains(text), ended) {
                (true, _) => Some(Ok(())),
                (false, Some(status)) => Some(Err(self.ended(status))),
                (false, None) => None,
            }
        });
        written.map_err(|_| self.silent(within, text))?
    }

    /// Asks it to end (SIGTERM) and says how it ended; one that takes longer than five seconds is killed, which is
    /// an error.
    pub fn stop(self) -> Result<ExitStatus, LabError> {
        self.stop_with(Signal::SIGTERM)
    }

    /// Like [`Process::stop`], asking with a signal of choice.
    pub fn stop_with(self, signal: Signal) -> Result<ExitStatus, LabError> {
        match self.signal(signal) {
            Ok(()) | Err(LabError::Ended { .. }) => self.wait(GRACE),
            Err(error) => Err(error),
        }
    }

    /// Kills it (SIGKILL) and its process group, and reaps it.
    pub fn kill(self) {
        self.end();
    }

    pub(crate) fn finish(
        &self,
        within: Duration,
        other: impl Fn() -> String,
    ) -> Result<ExitStatus, LabError> {
        wait_for(within, &self.line, || self.status()).map_err(|_| {
            self.end();
            self.timed_out(within, other())
        })
    }

    fn end(&self) {
        let mut child = locked(&self.child);
        if let Ok(None) = child.try_wait() {
            let _ = killpg(self.pid(), Signal::SIGKILL);
            let _ = child.wait();
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.id.cast_signed())
    }

    fn ended(&self, status: ExitStatus) -> LabError {
        LabError::Ended {
            host: self.host.clone(),
            command: self.line.clone(),
            status: status.to_string(),
            output: self.output(),
        }
    }

    fn silent(&self, within: Duration, text: &str) -> LabError {
        let (line, host, output) = (&self.line, &self.host, self.output());
        LabError::NotReached {
            what: format!("{line:?} on {host:?} to write {text:?}; it wrote:\n{output}"),
            within,
        }
    }

    fn timed_out(&self, after: Duration, other: String) -> LabError {
        let output = other + &self.output();
        LabError::TimedOut {
            host: self.host.clone(),
            command: self.line.clone(),
            after,
            output,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        if thread::panicking() {
            let output = self.output();
            let cut = output.floor_char_boundary(output.len().saturating_sub(SHOWN));
            eprintln!(
                "--- {:?} on {:?} wrote:\n{}---",
                self.line,
                self.host,
                &output[cut..]
            );
        }
    }
}
