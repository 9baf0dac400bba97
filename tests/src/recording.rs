//! When packets passed a device at full speed.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::{Host, LabError, Process, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);
/// For how long nothing is written when all has been read.
const SILENCE: Duration = Duration::from_millis(200);
/// Magic number of a capture with nanoseconds, in this machine's byte order.
const NANOSECONDS: u32 = 0xa1b2_3c4d;
const FILE_HEADER: usize = 24;
const PACKET_HEADER: usize = 16;

/// Records when packets pass a device, and no more of them, so that it keeps up with a flow at full speed.
///
/// Unlike a [`Capture`](crate::Capture) it can begin in the middle of traffic, and is read once, when that has ended.
pub struct Recording {
    recorder: Process,
    files: TempDir,
}

impl Recording {
    /// Starts recording on a device of the host what the filter (in tcpdump's words) lets through.
    pub fn start(host: &Host, device: &str, filter: &str) -> Result<Self, LabError> {
        let files = TempDir::new().map_err(LabError::os("make a directory"))?;
        let recorder = host
            .command("tcpdump")
            .args([
                "-Z",
                "root",
                "-U",
                "--immediate-mode",
                "--time-stamp-precision=nano",
            ])
            .args(["-B", "65536", "-s", "64", "-i", device, "-w"])
            .args([files.path().join("packets").as_os_str(), filter.as_ref()])
            .spawn()?;
        recorder.wait_for_output(PATIENCE, "listening on")?;
        Ok(Self { recorder, files })
    }

    /// Ends once nothing more is written, and returns when each packet passed, in nanoseconds since 1970, in order.
    ///
    /// Fails if it missed any.
    pub fn stop(self) -> Result<Vec<u64>, LabError> {
        self.await_silence()?;
        self.recorder.signal(Signal::SIGINT)?;
        self.recorder.wait(PATIENCE)?;
        let output = self.recorder.output();
        let failed = |status: &str| LabError::Failed {
            host: "a lab host".to_owned(),
            command: "tcpdump".to_owned(),
            status: status.to_owned(),
            output: output.clone(),
        };
        if !output.contains("\n0 packets dropped by kernel") {
            return Err(failed("packets missed"));
        }
        let file = std::fs::read(self.files.path().join("packets"));
        let file = file.map_err(LabError::os("read a recording"))?;
        let mut times = times(&file).ok_or_else(|| failed("a recording that cannot be read"))?;
        times.sort_unstable();
        Ok(times)
    }

    /// What the recorder has not read yet when it is told to end would be lost.
    fn await_silence(&self) -> Result<(), LabError> {
        let path = self.files.path().join("packets");
        let length = || std::fs::metadata(&path).map_or(0, |file| file.len());
        let (mut last, mut since) = (length(), Instant::now());
        wait_until(PATIENCE, "the recorded device to be silent", || {
            let now = length();
            if now != last {
                (last, since) = (now, Instant::now());
            }
            since.elapsed() > SILENCE
        })
    }
}

fn times(file: &[u8]) -> Option<Vec<u64>> {
    if word(file, 0)? != NANOSECONDS {
        return None;
    }
    let mut times = Vec::new();
    let mut at = FILE_HEADER;
    while at < file.len() {
        let (seconds, nanoseconds) = (word(file, at)?, word(file, at + 4)?);
        times.push(u64::from(seconds) * 1_000_000_000 + u64::from(nanoseconds));
        at += PACKET_HEADER + word(file, at + 8)? as usize;
    }
    Some(times)
}

fn word(file: &[u8], at: usize) -> Option<u32> {
    let bytes = file.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_every_packet_is_read_and_a_cut_file_is_refused() {
        let mut file = NANOSECONDS.to_ne_bytes().to_vec();
        file.resize(FILE_HEADER, 0);
        for words in [[1_u32, 2, 3, 9], [4, 5, 1, 1]] {
            file.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
            file.resize(file.len() + words[2] as usize, 0);
        }
        assert_eq!(times(&file), Some(vec![1_000_000_002, 4_000_000_005]));
        assert_eq!(times(&file[..file.len() - 10]), None);
        assert_eq!(times(b"no capture"), None);
    }
}
