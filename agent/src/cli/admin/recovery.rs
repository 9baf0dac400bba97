//! The recovery of an authority that was restored from a backup.

use clap::Subcommand;
use tidegate::admin::{facts, moment};
use tidegate_proto::Reason;
use tidegate_proto::api::{Override, RecoveryView};

use super::desk::Desk;
use crate::cli::Failure;

/// Commands for recovery.
#[derive(Debug, Subcommand)]
pub(super) enum Recovery {
    /// Show which nodes have reported what they know, and which have not
    Show,
    /// End it before every node has reported; what only the others know is then forgotten
    Override {
        /// Why that is right, for the audit log
        #[arg(long)]
        reason: Reason,
    },
}

impl Recovery {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), Failure> {
        match self {
            Self::Show => {
                let recovery = desk.operator.recovery().await?;
                desk.console.show(&recovery, || shown(&recovery, desk))
            }
            Self::Override { reason } => {
                desk.operator.end_recovery(&Override { reason }).await?;
                desk.console.show(&"over", || {
                    "Recovery is over; the authority works again.\n".to_owned()
                })
            }
        }
    }
}

fn shown(recovery: &RecoveryView, desk: &Desk) -> String {
    let now = desk.now();
    let mut text = facts([
        (
            "backup",
            format!(
                "{} ({})",
                recovery.backup_at,
                moment(recovery.backup_at, now)
            ),
        ),
        (
            "restored",
            format!("{} ({})", recovery.since, moment(recovery.since, now)),
        ),
        ("reported", recovery.reported.to_string()),
        ("awaited", recovery.awaited.len().to_string()),
    ]);
    for node in recovery.awaited.iter() {
        text.push_str(&format!("  {node}\n"));
    }
    text
}
