//! Rotation by the wall clock, as an agent would drive it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use tidegate_wg::Epoch;
use tidegate_wg_io::Control;

use crate::args::Args;
use crate::control::freeze;
use crate::peers::Roll;

/// The thread that installs, activates and retires epochs.
pub(crate) struct Rotation {
    control: Control,
    roll: Arc<Roll>,
    frozen: Arc<AtomicBool>,
    origin: Duration,
    period: Duration,
    last: u64,
}

impl Rotation {
    pub(crate) fn start(
        args: &Args,
        control: Control,
        roll: Arc<Roll>,
        frozen: Arc<AtomicBool>,
    ) -> Result<()> {
        let Some(period) = args.epoch_millis.map(Duration::from_millis) else {
            return Ok(());
        };
        let origin = Duration::from_millis(args.epoch_origin + args.skew_millis);
        let rotation = Self {
            control,
            roll,
            frozen,
            origin,
            period,
            last: args.epochs,
        };
        std::thread::Builder::new()
            .name("epochs".to_owned())
            .spawn(move || {
                if let Err(error) = rotation.run() {
                    println!(
                        "{}",
                        serde_json::json!({"rotation_failed": error.to_string()})
                    );
                }
            })?;
        Ok(())
    }

    fn run(&self) -> Result<()> {
        for number in 1..=self.last {
            let due = self.origin + self.period * u32::try_from(number - 1)?;
            let deadline = tidegate_wg::Mono::NEVER;
            self.sleep_until(due.saturating_sub(self.period / 4));
            self.roll
                .install_epoch(&self.control, Epoch(number), deadline)?;
            self.sleep_until(due);
            self.roll.activate(&self.control, Epoch(number))?;
            self.sleep_until(due + self.period / 2);
            self.report(number)?;
            self.roll.retire(&self.control, Epoch(number - 1))?;
        }
        Ok(())
    }

    /// A rotation has failed for a peer that is in use and does not send in the new epoch when the old one ends.
    fn report(&self, number: u64) -> Result<()> {
        let peers = self.control.status()?.peers;
        let behind = peers
            .iter()
            .filter(|peer| peer.traffic.sent_packets > 0)
            .filter(|peer| peer.epoch != Some(Epoch(number)))
            .count();
        let line = serde_json::json!({"rotated": number, "behind": behind});
        println!("{line}");
        Ok(())
    }

    fn sleep_until(&self, due: Duration) {
        let unix = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        std::thread::sleep(due.saturating_sub(unix));
        if self.frozen.load(Ordering::Acquire) {
            freeze();
        }
    }
}
