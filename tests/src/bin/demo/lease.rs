//! The authority dies, and whoever has no news stops on time.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tidegate_proto::{Span, bound};
use tidegate_tests::cutoff::{Heard, Moment, Tap};
use tidegate_tests::overlay::Node;
use tidegate_tests::{wait_for, wait_until};

use crate::stage::{PATIENCE, Stage};
use crate::voice::Voice;

/// What happened at the end of the lease.
pub(crate) struct Timeline {
    /// When the authority was killed.
    killed: Moment,
    /// When the lease of the first of both ended.
    lease: Moment,
    heard: Heard,
    /// How long the way back took.
    back: Duration,
}

/// Both who are left talk all the time.
pub(crate) fn show(voice: &Voice, stage: &mut Stage) -> Result<Timeline> {
    voice.act("5. The authority dies. Who is in stays in, until the lease ends")?;
    let address = stage.backup.address(0)?;
    let tap = Tap::start(&stage.backup, &stage.server)?;
    let ping = stage
        .server
        .host()
        .spawn("ping", ["-q", "-i", "0.02", &address])?;
    await_grant(stage)?;
    stage.overlay.kill_authority();
    let killed = Moment::now();
    let lease = lease(&stage.server)?.min(lease(&stage.backup)?);
    voice.note(&format!(
        "{killed}  the authority is killed; the lease says: no packet after {lease}"
    ))?;
    voice.step("server and backup talk on by themselves, and stop", || {
        [&stage.server, &stage.backup]
            .into_iter()
            .try_for_each(|node| node.await_state("lease-ended", PATIENCE))
    })?;
    let heard = tap.stop()?;
    drop(ping);
    voice.note(&format!(
        "{}  last packet, {}",
        heard.last(),
        beside(heard.last(), lease)
    ))?;
    let said = stage.server.try_cli(["status"])?;
    voice.command(
        "server",
        "tidegate status",
        said.out.lines().next().unwrap_or_default(),
    )?;
    let back = back(voice, stage, &address)?;
    Ok(Timeline {
        killed,
        lease,
        heard,
        back,
    })
}

/// Waits until both have just got the key to the same epoch, so that none is under way.
fn await_grant(stage: &Stage) -> Result<()> {
    let before = newest(&stage.server).context("server has no key to any epoch")?;
    wait_until(PATIENCE, "the key to another epoch", || {
        let (server, backup) = (newest(&stage.server), newest(&stage.backup));
        server > Some(before) && server == backup
    })?;
    Ok(())
}

fn newest(node: &Node) -> Option<u64> {
    let status = node.status().ok()?;
    let epochs = status["epochs"].as_array()?;
    epochs
        .iter()
        .filter_map(|epoch| epoch["number"].as_u64())
        .max()
}

/// When a node must have stopped.
fn lease(node: &Node) -> Result<Moment> {
    let last = wait_for(PATIENCE, "a lease", || {
        let status = node.status().ok()?;
        let epochs = status["epochs"].as_array()?;
        epochs
            .iter()
            .filter_map(|epoch| epoch["lease_until_ms"].as_u64())
            .max()
    })?;
    Ok(Moment::from_millis(last))
}

fn back(voice: &Voice, stage: &mut Stage, address: &str) -> Result<Duration> {
    stage.overlay.start_authority()?;
    let began = Instant::now();
    voice.step(
        "the authority is started again, and both find it by themselves",
        || {
            Ok(wait_until(
                PATIENCE,
                "traffic after the authority's return",
                || stage.server.pings(address),
            )?)
        },
    )?;
    Ok(began.elapsed())
}

fn beside(moment: Moment, lease: Moment) -> String {
    let millis = moment.millis_after(lease);
    if millis <= 0.0 {
        format!("{:.0} ms before the lease's end", -millis)
    } else {
        format!("{millis:.0} ms after the lease's end")
    }
}

impl Timeline {
    pub(crate) fn in_words(&self) -> String {
        format!(
            "the last packet was {}",
            beside(self.heard.last(), self.lease)
        )
    }

    pub(crate) fn as_json(&self) -> Value {
        let left = self.lease.millis_after(self.killed);
        let length = Span::from_millis(left.max(0.0) as u64);
        json!({
            "authority_killed_at_ms": self.killed.as_millis(),
            "lease_until_ms": self.lease.as_millis(),
            "lease_left_ms": left,
            "last_packet_after_lease_ms": self.heard.last().millis_after(self.lease),
            "allowance_ms": bound::clock_allowance(length).as_millis(),
            "packets": self.heard.packets,
            "back_ms": u64::try_from(self.back.as_millis()).unwrap_or(u64::MAX),
        })
    }
}
