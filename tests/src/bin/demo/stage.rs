//! The network: an authority and three hosts.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use tidegate_tests::overlay::{Node, Overlay, Underlay};
use tidegate_tests::wait_until;

use crate::voice::Voice;

/// How long anything may take on a machine that is busy with something else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long things last here. Epoch and overlap are the shortest that there are; a network that is no demo lives with
/// the defaults, which are minutes.
const EPOCHS: [(&str, &str); 4] = [
    ("epoch", "2s"),
    ("overlap", "500ms"),
    ("lead", "1s"),
    ("offline_tolerance", "5s"),
];

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
        let mut overlay = voice.step("the authority is founded, and serves", || {
            Overlay::new(Underlay::V4)
        })?;
        voice.step(
            "its policy: epochs of 2 s, so that there is something to see",
            || shorten(&overlay),
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

/// Puts a policy with short epochs in force before anybody is admitted.
fn shorten(overlay: &Overlay) -> Result<()> {
    let policy = overlay.admin(["policy", "get"])?;
    let lines = policy.lines().map(|line| {
        let setting = EPOCHS
            .iter()
            .find(|(key, _)| line.starts_with(&format!("{key} = ")));
        match setting {
            Some((key, value)) => format!("{key} = \"{value}\"\n"),
            None => format!("{line}\n"),
        }
    });
    let file = overlay.folder().join("policy.toml");
    fs::write(&file, lines.collect::<String>())?;
    overlay.admin(["policy".as_ref(), "put".as_ref(), file.as_os_str()])?;
    // Nobody has a key to the first epoch yet, which was opened under the defaults.
    overlay.admin(["epoch", "rotate"])?;
    Ok(())
}

/// The settings, for whoever reads the timeline.
pub(crate) fn epochs_as_json() -> Value {
    EPOCHS
        .iter()
        .map(|(key, value)| ((*key).to_owned(), Value::from(*value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
