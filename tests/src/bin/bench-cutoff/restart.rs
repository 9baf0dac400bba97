//! An agent is killed, started again, and talks.

use std::time::Duration;

use anyhow::{Context, Result};
use tidegate_tests::overlay::Node;
use tidegate_tests::{Recording, wait_until};

use crate::sheet::{Figure, Sheet};

const PATIENCE: Duration = Duration::from_secs(60);

/// Pings run a hundred times a second; the longest gap between two answers is how long there was no traffic.
pub(crate) fn run(killed: &mut Node, other: &Node, sheet: &mut Sheet) -> Result<()> {
    let address = killed.address(0)?;
    wait_until(PATIENCE, "a ping", || other.pings(&address))?;
    let answers = Recording::start(other.host(), "tidegate", &format!("src {address} and icmp"))?;
    let pings = other.host().spawn("ping", ["-q", "-i", "0.01", &address])?;
    let received = || other.status().ok()?["plane"]["received_bytes"].as_u64();
    let more = |than: Option<u64>| {
        wait_until(PATIENCE, "answered pings", || {
            received() > than.map(|bytes| bytes + 10 * 84)
        })
    };
    more(received())?;
    killed.kill();
    killed.start()?;
    more(received())?;
    drop(pings);
    let times = answers.stop()?;
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    let longest = gaps.max().context("no ping was answered")?;
    sheet.add(Figure::Restart, longest as f64 / 1e6);
    Ok(())
}
