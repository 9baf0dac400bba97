//! Traffic whose course is known afterwards to the millisecond.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::{Host, LabError, Process};

const PATIENCE: Duration = Duration::from_secs(20);

/// A ping of the kernel that goes on until it is dropped, or a number of times.
pub struct Pings {
    process: Process,
}

/// What became of a number of pings.
#[derive(Clone, Debug)]
pub struct Tally {
    /// How many were sent.
    pub sent: u32,
    /// Those that were never answered.
    pub lost: Vec<u32>,
    /// When each of the others was answered, in milliseconds since 1970.
    pub answered: Vec<(u32, u64)>,
}

/// Packets that pass a device, and when; it may go down meanwhile.
pub struct Passing {
    recorder: Process,
}

/// The time in milliseconds since 1970, by the machine's own clock.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Pings {
    /// Pings an address again and again, so many seconds apart, until this is dropped.
    pub fn start(host: &Host, address: &str, apart: &str) -> Result<Self, LabError> {
        let process = host.spawn("ping", ["-D", "-n", "-i", apart, address])?;
        Ok(Self { process })
    }

    /// Pings an address a number of times. [`Self::finish`] tells what became of them.
    pub fn count(host: &Host, address: &str, apart: &str, count: u32) -> Result<Self, LabError> {
        let count = count.to_string();
        let arguments = ["-D", "-n", "-W", "5", "-i", apart, "-c", &count, address];
        let process = host.spawn("ping", arguments)?;
        Ok(Self { process })
    }

    /// When the last answer so far came, in milliseconds since 1970.
    pub fn last_ms(&self) -> Option<u64> {
        answers(&self.process.output()).map(|(_, at)| at).max()
    }

    /// How many answers came so far.
    pub fn answered(&self) -> usize {
        answers(&self.process.output()).count()
    }

    /// Waits until all were sent, and tells what became of them.
    pub fn finish(self, within: Duration) -> Result<Tally> {
        self.process.wait(within)?;
        let output = self.process.output();
        let words = output
            .lines()
            .find_map(|line| line.split_once(" packets transmitted"));
        let sent: u32 = words.context("no summary")?.0.trim().parse()?;
        let mut answered: Vec<_> = answers(&output).collect();
        answered.sort_unstable();
        let came = |sequence: &u32| {
            let found = answered.binary_search_by_key(sequence, |(sequence, _)| *sequence);
            found.is_ok()
        };
        let lost = (1..=sent).filter(|sequence| !came(sequence)).collect();
        Ok(Tally {
            sent,
            lost,
            answered,
        })
    }
}

/// Lines like `[1700000000.123456] 64 bytes from 10.0.0.1: icmp_seq=7 ttl=64 time=0.5 ms`; duplicates are no answers.
fn answers(output: &str) -> impl Iterator<Item = (u32, u64)> {
    output.lines().filter_map(|line| {
        let (at, rest) = line.strip_prefix('[')?.split_once(']')?;
        let (_, behind) = rest.split_once("icmp_seq=")?;
        let (sequence, end) = behind.split_once(' ')?;
        let is_answer = end.contains("time=") && !end.contains("DUP");
        is_answer.then_some((sequence.parse().ok()?, millis(at)?))
    })
}

impl Passing {
    /// Records from now on what passes a device of the host and matches a `tcpdump` filter.
    pub fn start(host: &Host, device: &str, filter: &str) -> Result<Self, LabError> {
        let options = ["-p", "-n", "-tt", "-l", "--immediate-mode", "-Z", "root"];
        let recorder = host
            .command("tcpdump")
            .args(options)
            .args(["-i", device, filter])
            .spawn()?;
        recorder.wait_for_output(PATIENCE, "listening on")?;
        Ok(Self { recorder })
    }

    /// When packets passed so far, in milliseconds since 1970.
    pub fn times_ms(&self) -> Vec<u64> {
        let output = self.recorder.output();
        let stamp = |line: &str| millis(line.split_once(' ')?.0);
        output.lines().filter_map(stamp).collect()
    }

    /// When the last one passed so far.
    pub fn last_ms(&self) -> Option<u64> {
        self.times_ms().into_iter().max()
    }
}

/// Milliseconds of a time like `1700000000.123456`.
fn millis(text: &str) -> Option<u64> {
    let (seconds, parts) = text.split_once('.')?;
    let micros: u64 = parts.get(..6)?.parse().ok()?;
    Some(seconds.parse::<u64>().ok()? * 1000 + micros / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_of_a_ping_count_each_with_its_time() {
        let output = "PING 10.0.0.1 (10.0.0.1) 56(84) bytes of data.\n\
                      [1700000000.123456] 64 bytes from 10.0.0.1: icmp_seq=1 ttl=64 time=0.5 ms\n\
                      [1700000000.223456] 64 bytes from 10.0.0.1: icmp_seq=1 ttl=64 time=0.5 ms (DUP!)\n\
                      [1700000001.5] From 10.0.0.9 icmp_seq=2 Destination Host Unreachable\n\
                      ping: sendmsg: No route to host\n";
        let found: Vec<_> = answers(output).collect();
        assert_eq!(found, [(1, 1_700_000_000_123)]);
        assert_eq!(millis("1700000000.000999"), Some(1_700_000_000_000));
        assert_eq!(millis("tcpdump:"), None);
    }
}
