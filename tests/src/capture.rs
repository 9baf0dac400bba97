//! What went over a device, and when.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::{Host, LabError, Process, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);
/// For how long nothing is seen when all has been read.
const SILENCE: Duration = Duration::from_millis(200);
/// Magic number of a capture with nanoseconds, in this machine's byte order.
const NANOSECONDS: u32 = 0xa1b2_3c4d;
const FILE_HEADER: usize = 24;
const PACKET_HEADER: usize = 16;

/// A running capture.
pub struct Capture {
    process: Process,
    files: TempDir,
}

/// One captured packet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Captured {
    /// Nanoseconds since 1970.
    pub time: u64,
    /// Its length on the wire.
    pub length: usize,
    /// Its first bytes.
    pub bytes: Vec<u8>,
}

impl Capture {
    /// Starts capturing on a device of the host what the filter (in tcpdump's words) lets through.
    pub fn start(host: &Host, device: &str, filter: &str) -> Result<Self, LabError> {
        let files = TempDir::new().map_err(LabError::os("make a directory"))?;
        let path = files.path().join("packets");
        let process = host
            .command("tcpdump")
            .args([
                "-Z",
                "root",
                "-n",
                "-U",
                "--immediate-mode",
                "--time-stamp-precision=nano",
            ])
            .args(["-B", "65536", "-s", "96", "-i", device, "-w"])
            .arg(path)
            .arg(filter)
            .spawn()?;
        process.wait_for_output(PATIENCE, "listening on")?;
        Ok(Self { process, files })
    }

    /// Ends it once nothing more is seen, and returns what it saw, in order of time. Fails if it missed anything.
    pub fn stop(self) -> Result<Vec<Captured>, LabError> {
        self.await_silence()?;
        self.process.signal(Signal::SIGINT)?;
        self.process.wait(PATIENCE)?;
        let output = self.process.output();
        let failed = |status: &str| LabError::Failed {
            host: "capture".to_owned(),
            command: "tcpdump".to_owned(),
            status: status.to_owned(),
            output: output.clone(),
        };
        if !output.contains("\n0 packets dropped by kernel") {
            return Err(failed("packets missed"));
        }
        let file = std::fs::read(self.files.path().join("packets"))
            .map_err(LabError::os("read a capture"))?;
        let mut packets = parse(&file).ok_or_else(|| failed("a capture that cannot be read"))?;
        packets.sort_by_key(|packet| packet.time);
        Ok(packets)
    }

    /// What tcpdump has not read yet when it is told to end would be lost.
    fn await_silence(&self) -> Result<(), LabError> {
        let path = self.files.path().join("packets");
        let length = || std::fs::metadata(&path).map_or(0, |file| file.len());
        let (mut last, mut since) = (length(), Instant::now());
        wait_until(PATIENCE, "the captured device to be silent", || {
            if length() != last {
                (last, since) = (length(), Instant::now());
            }
            since.elapsed() > SILENCE
        })
    }
}

fn parse(file: &[u8]) -> Option<Vec<Captured>> {
    if word(file, 0)? != NANOSECONDS {
        return None;
    }
    let mut packets = Vec::new();
    let mut at = FILE_HEADER;
    while at < file.len() {
        let (seconds, nanoseconds) = (word(file, at)?, word(file, at + 4)?);
        let kept = word(file, at + 8)? as usize;
        let start = at + PACKET_HEADER;
        packets.push(Captured {
            time: u64::from(seconds) * 1_000_000_000 + u64::from(nanoseconds),
            length: word(file, at + 12)? as usize,
            bytes: file.get(start..start + kept)?.to_vec(),
        });
        at = start + kept;
    }
    Some(packets)
}

fn word(file: &[u8], at: usize) -> Option<u32> {
    let bytes = file.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}
