//! Epochs.

use clap::{Args, Subcommand};
use tidegate::admin::{moment, table};
use tidegate_proto::UnixTime;
use tidegate_proto::api::{EpochView, Epochs};

use super::desk::Desk;
use crate::cli::Failure;

/// Shows the epochs, or starts a new one.
#[derive(Args, Debug)]
pub(super) struct Epoch {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the epochs that count now
    Show,
    /// Start a new epoch at once: every secret that was known before is worth nothing once it has begun
    Rotate,
}

impl Epoch {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), Failure> {
        if let Some(Command::Rotate) = self.command {
            let epoch = desk.operator.rotate().await?;
            let starts = moment(epoch.starts, desk.now());
            return desk.console.show(&epoch, || {
                format!("Epoch {} starts {starts}.\n", epoch.number)
            });
        }
        let epochs = desk.operator.epochs().await?;
        desk.console.show(&epochs, || shown(&epochs, desk.now()))
    }
}

fn shown(epochs: &Epochs, now: UnixTime) -> String {
    let row = |epoch: &EpochView| {
        let current = epoch.starts <= now && now < epoch.ends;
        [
            if current { "*" } else { "" }.to_owned(),
            epoch.number.to_string(),
            epoch.redraw.to_string(),
            moment(epoch.starts, now),
            moment(epoch.ends, now),
            moment(epoch.lease_until, now),
            epoch.released.to_string(),
        ]
    };
    let header = ["", "epoch", "drawing", "starts", "ends", "lease", "nodes"];
    table(
        header,
        epochs.epochs.iter().map(row),
        "There is no epoch yet: nobody has been admitted.",
    )
}
