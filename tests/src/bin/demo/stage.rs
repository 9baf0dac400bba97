//! The network: an authority and three hosts.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use tidegate_tests::overlay::{Node, Overlay, Timing, Underlay};
use tidegate_tests::wait_until;

use crate::voice::Voice;

/// How long anything may take on a machine that is busy with something else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long things last here. Epoch and overlap are the shortest that there are; a network that is no demo lives with
/// the defaults, which are minutes.
const TIMING: Timing = Timing {
    epoch: "2s",
    overlap: "500ms",
    lead: "1s",
    offline_tolerance: "5s",
    certificate: "1h",
};

/// Everybody who takes part.
pub(crate) struct Stage {
    pub(crate) overlay: Overlay,
    pub(crate) server: Node,
    pub(crate) backup: Node,
    pub(crate) laptop: Node,
}

impl Stage {
    /// Founds the network and has everybody join. Says how long each took from its admission to its first answered ping.
    pub(crate) fn set(voice: &Voice) -> Result<(Self, Value)> {
        voice.act("1. An authority, and three hosts that join with an invite")?;
        let mut overlay = voice.step(
            "the authority is founded, with epochs of 2 s, and serves",
            || Overlay::timed(Underlay::V4, &TIMING),
        )?;
        let server = voice.step("server joins", || overlay.node("server"))?;
        let (backup, first) = join(voice, &mut overlay, "backup", &server)?;
        let (laptop, second) = join(voice, &mut overlay, "laptop", &server)?;
        let stage = Self {
            overlay,
            server,
            backup,
            laptop,
        };
        Ok((stage, json!({"backup_ms": first, "laptop_ms": second})))
    }
}

/// A node joins; the milliseconds are from its admission to the first ping of `other` that is answered.
fn join(voice: &Voice, overlay: &mut Overlay, name: &str, other: &Node) -> Result<(Node, u64)> {
    let what = format!("{name} joins, and {} answers its ping", other.host().name());
    let (node, took) = voice.step(&what, || {
        let mut node = overlay.host(name)?;
        node.configure("")?;
        node.join(&overlay.invite()?)?;
        let (admitted, address) = (Instant::now(), other.address(0)?);
        node.start()?;
        wait_until(PATIENCE, "the first ping", || node.pings(&address))?;
        Ok((node, admitted.elapsed()))
    })?;
    Ok((node, u64::try_from(took.as_millis())?))
}

/// The settings, for whoever reads the timeline.
pub(crate) fn epochs_as_json() -> Value {
    json!({
        "epoch": TIMING.epoch,
        "overlap": TIMING.overlap,
        "lead": TIMING.lead,
        "offline_tolerance": TIMING.offline_tolerance,
    })
}
