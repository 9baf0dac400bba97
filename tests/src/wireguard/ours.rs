//! The static test program on a host.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::Endpoint;
use crate::{LabError, Process, wait_for};

const PATIENCE: Duration = Duration::from_secs(20);

/// A running static program.
pub struct OwnWireGuard {
    process: Process,
    control: PathBuf,
    _files: TempDir,
}

impl OwnWireGuard {
    /// Starts `program` at this end, knowing `peers` (their specification in the program's words), with more flags.
    pub fn start(
        program: &Path,
        end: &Endpoint,
        peers: &[String],
        flags: &[&str],
    ) -> Result<Self, LabError> {
        let files = TempDir::new().map_err(LabError::os("make a directory"))?;
        let (key, control) = (files.path().join("key"), files.path().join("control"));
        std::fs::write(&key, &end.keys.private).map_err(LabError::os("write a key"))?;
        let [v4, v6] = end.overlay;
        let process = end
            .host
            .command(program)
            .args(["--tun", Endpoint::DEVICE])
            .args(["--mtu", &end.mtu.to_string()])
            .args(["--listen", &end.port.to_string()])
            .args(["--address", &v4.to_string(), "--address", &v6.to_string()])
            .args([
                Path::new("--private-key-file"),
                &key,
                Path::new("--control"),
                &control,
            ])
            .args(peers.iter().flat_map(|peer| ["--peer", peer]))
            .args(flags)
            .spawn()?;
        process.wait_for_output(PATIENCE, "ready\n")?;
        end.configure_device()?;
        Ok(Self {
            process,
            control,
            _files: files,
        })
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Gives one line to the control socket and returns the answer.
    pub fn ask(&self, line: &str) -> Result<Value, LabError> {
        let failed = || LabError::os(format!("ask {line:?}"));
        let mut stream = wait_for(PATIENCE, "the control socket", || {
            UnixStream::connect(&self.control).ok()
        })?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed())?;
        stream
            .write_all(format!("{line}\n").as_bytes())
            .map_err(failed())?;
        let mut answer = String::new();
        BufReader::new(stream)
            .read_line(&mut answer)
            .map_err(failed())?;
        let value: Value = serde_json::from_str(&answer).unwrap_or_default();
        match value.get("error") {
            Some(error) => Err(LabError::Failed {
                host: "control".to_owned(),
                command: line.to_owned(),
                status: error.to_string(),
                output: self.process.output(),
            }),
            None => Ok(value),
        }
    }

    /// The counters.
    pub fn stats(&self) -> Result<Value, LabError> {
        self.ask("stats")
    }

    /// How often packets were dropped for this reason.
    pub fn discarded(&self, reason: &str) -> Result<u64, LabError> {
        Ok(self.stats()?["discards"][reason].as_u64().unwrap_or(0))
    }
}
