//! Seeing what passes.

use std::{
    fs::File,
    time::{Duration, SystemTime},
};

use crate::{Host, LabError, Process, Signal, command::unnamed_file, space::bytes, wait_for};

const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough for the recorder to answer, short enough to ask again when it was just about to.
const ANSWER: Duration = Duration::from_millis(500);
/// Enough for a frame of any ordinary device. The kernel's buffer has slots of this size, so more would mean fewer.
const KEPT: &str = "2048";
/// What passed before the filter was in place is received and never captured. So often the same numbers in a row mean
/// that there is nothing else that the recorder has yet to read.
const STILL: u32 = 5;
const FILE_HEADER: usize = 24;
const PACKET_HEADER: usize = 16;

/// Records the packets of one device that pass a filter, from the moment it exists until it is dropped.
pub struct Capture {
    recorder: Process,
    file: File,
    /// The kernel hands the recorder each packet of `lo` twice, which keeps one of them.
    copies: u64,
    what: String,
}

/// A recorded packet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Packet {
    /// When it passed.
    pub at: SystemTime,
    /// Its first 2,048 bytes, from the link layer on; a TUN device has none, so there it starts with the IP header.
    pub data: Vec<u8>,
    /// How long it was altogether.
    pub length: usize,
}

/// What the recorder says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Tally {
    captured: u64,
    received: u64,
    dropped: u64,
}

impl Host {
    /// Records what passes `device` and matches a `tcpdump` filter, sent and received, from now on.
    pub fn capture(&self, device: &str, filter: &str) -> Result<Capture, LabError> {
        let file = unnamed_file()?;
        let recorder = self
            .command("tcpdump")
            .args([
                "-i",
                device,
                "-p",
                "--immediate-mode",
                "-s",
                KEPT,
                "-B",
                "32768",
            ])
            .args(["-U", "-Z", "root", "-w", "-", filter])
            .launch(Some(&file))?;
        // It says this once the filter is in place.
        recorder.wait_for_output(PATIENCE, "listening on")?;
        let what = format!("{filter:?} on {device} of {:?}", self.name());
        Ok(Capture {
            recorder,
            file,
            copies: if device == "lo" { 2 } else { 1 },
            what,
        })
    }
}

impl Capture {
    /// How many packets have passed; every one that passed before this call counts.
    pub fn count(&self) -> Result<usize, LabError> {
        Ok(self.packets()?.len())
    }

    /// The packets that have passed; every one that passed before this call is there.
    ///
    /// Fails if the recorder could not keep up, rather than return less than passed.
    pub fn packets(&self) -> Result<Vec<Packet>, LabError> {
        let what = format!("the recorder of {} to catch up", self.what);
        let (mut last, mut still) = (None, 0);
        let tally = wait_for(PATIENCE, &what, || {
            let tally = self.tally()?;
            still = if last == Some(tally) { still + 1 } else { 0 };
            last = Some(tally);
            let all = tally.captured * self.copies == tally.received;
            (tally.dropped > 0 || all || still >= STILL).then_some(tally)
        })?;
        if tally.dropped > 0 {
            return Err(LabError::Incomplete {
                what: self.what.clone(),
                lost: tally.dropped,
            });
        }
        Ok(parse(&bytes(&self.file)))
    }

    /// Asks the recorder for its numbers, which it appends to its output.
    fn tally(&self) -> Option<Tally> {
        let before = tallies(&self.recorder.output()).count();
        self.recorder.signal(Signal::SIGUSR1).ok()?;
        wait_for(ANSWER, "an answer", || {
            tallies(&self.recorder.output()).nth(before)
        })
        .ok()
    }
}

/// The complete lines like "tcpdump: 4 packets captured, 8 packets received by filter, 0 packets dropped by kernel".
fn tallies(output: &str) -> impl Iterator<Item = Tally> {
    output
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
            let tally = Tally {
                captured: numbers.next()?,
                received: numbers.next()?,
                dropped: numbers.next()?,
            };
            line.contains("received by filter").then_some(tally)
        })
}

/// Reads a capture file; a packet that is still being written is left out.
fn parse(file: &[u8]) -> Vec<Packet> {
    let mut packets = Vec::new();
    let mut rest = file.get(FILE_HEADER..).unwrap_or_default();
    while let Some((header, tail)) = rest.split_at_checked(PACKET_HEADER) {
        let word = |at: usize| {
            u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let Some((data, tail)) = tail.split_at_checked(word(8) as usize) else {
            break;
        };
        let since = Duration::from_secs(word(0).into()) + Duration::from_micros(word(4).into());
        packets.push(Packet {
            at: SystemTime::UNIX_EPOCH + since,
            data: data.to_vec(),
            length: word(12) as usize,
        });
        rest = tail;
    }
    packets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_lines_are_tallies() {
        let output = "tcpdump: listening on eth0\n\
                      tcpdump: 4 packets captured, 8 packets received by filter, 1 packet dropped by kernel\n\
                      tcpdump: 5 packets captured, 9 packets received by filter, 2";
        let tally = Tally {
            captured: 4,
            received: 8,
            dropped: 1,
        };
        assert_eq!(tallies(output).collect::<Vec<_>>(), [tally]);
    }

    #[test]
    fn a_packet_still_being_written_is_left_out() {
        let mut file = vec![0; FILE_HEADER];
        for word in [1_u32, 2, 3, 9] {
            file.extend(word.to_ne_bytes());
        }
        file.extend(b"abc");
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_000_002);
        let whole = [Packet {
            at,
            data: b"abc".to_vec(),
            length: 9,
        }];
        assert_eq!(parse(&file), whole);
        assert_eq!(parse(&file[..file.len() - 1]), []);
        assert_eq!(
            parse(&[file.clone(), vec![0; PACKET_HEADER - 1]].concat()),
            whole
        );
        assert_eq!(parse(&[]), []);
    }
}
