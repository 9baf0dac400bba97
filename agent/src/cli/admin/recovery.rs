//! The recovery of an authority that was restored from a backup.

use clap::Subcommand;
use tidegate::admin::{facts, moment};
use tidegate_proto::Reason;
use tidegate_proto::api::{Override, RecoveryEnd, RecoveryView};

use super::desk::Desk;
use crate::cli::Failure;

/// Commands for recovery.
#[derive(Debug, Subcommand)]
pub(super) enum Recovery {
    /// Show which nodes have reported what they know, and which have not
    Show,
    /// End it before every node has reported, or where it does not end by itself; what only the others know is then forgotten
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
                    "Recovery is over; the authority works again. Nodes that may have been revoked since the backup are suspended: 'tidegate admin nodes --status quarantined'.\n".to_owned()
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
        ("ends", ends(recovery.ends).to_owned()),
    ]);
    for node in recovery.awaited.iter() {
        text.push_str(&format!("  {node}\n"));
    }
    text
}

fn ends(end: RecoveryEnd) -> &'static str {
    match end {
        RecoveryEnd::Reports => "by itself, once every awaited node has reported",
        RecoveryEnd::Override => {
            "only with 'tidegate admin recovery override': fewer than two members of the backup are left to tell what \
             happened since; compare 'tidegate admin nodes' with who should be in, before and after"
        }
    }
}
