//! What the server's process takes.

use std::fs;
use std::time::Duration;

use anyhow::Context;

/// A process that is looked at.
pub(crate) struct Gauge(u32);

/// Clock ticks a second, as the kernel counts them for programs on every architecture that Linux has.
const TICKS: f64 = 100.0;

impl Gauge {
    pub(crate) fn of(process: u32) -> Self {
        Self(process)
    }

    /// Memory in megabytes, shared libraries included.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line
            .and_then(|line| line.split_whitespace().next())
            .context("VmRSS")?;
        Ok(kilobytes.parse::<u64>()? / 1000)
    }

    /// Seconds of processor that it has used.
    pub(crate) fn used(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        let (_, fields) = stat.rsplit_once(") ").context("stat")?; // the name may hold blanks
        let fields: Vec<_> = fields.split(' ').collect();
        let ticks = |at: usize| {
            fields
                .get(at)
                .and_then(|field| field.parse::<f64>().ok())
                .context("stat")
        };
        Ok((ticks(11)? + ticks(12)?) / TICKS)
    }

    /// How much of one core it takes while nobody asks for anything, in percent.
    pub(crate) async fn idle(&self, span: Duration) -> anyhow::Result<f64> {
        let before = self.used()?;
        tokio::time::sleep(span).await; // this is what is measured
        Ok((self.used()? - before) / span.as_secs_f64() * 100.0)
    }
}
