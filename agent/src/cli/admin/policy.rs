//! The policy.

use std::io::Read;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use tidegate::admin::{list, read_text};
use tidegate_proto::Sequence;
use tidegate_proto::api::{LARGEST_POLICY_FILE, PolicyProposal};

use super::desk::Desk;
use crate::cli::Failure;

/// Commands for the policy.
#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// Print the policy in force, as a file; its version goes to standard error
    Get,
    /// Put a policy in force
    Put(File),
    /// Say what a policy would do, without putting it in force
    Check(File),
}

/// A policy file.
#[derive(Args, Debug)]
pub(super) struct File {
    /// The policy file; - is standard input
    file: PathBuf,
    /// Refuse if another version than this is in force meanwhile
    #[arg(long, value_name = "VERSION")]
    base: Option<u64>,
}

impl Policy {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), Failure> {
        match self {
            Self::Get => get(desk).await,
            Self::Put(file) => put(desk, &file.proposal()?).await,
            Self::Check(file) => check(desk, &file.proposal()?).await,
        }
    }
}

impl File {
    fn proposal(&self) -> Result<PolicyProposal, Failure> {
        let no_version = || Failure::usage("a version is at most 2^53 - 1");
        let base = self
            .base
            .map(|base| Sequence::new(base).ok_or_else(no_version))
            .transpose()?;
        let file = if self.file.as_os_str() == "-" {
            let mut text = String::new();
            let most = LARGEST_POLICY_FILE as u64 + 1;
            std::io::stdin()
                .take(most)
                .read_to_string(&mut text)
                .map_err(Failure::new)?;
            text
        } else {
            read_text(&self.file, LARGEST_POLICY_FILE).map_err(Failure::new)?
        };
        Ok(PolicyProposal { base, file })
    }
}

async fn get(desk: &Desk) -> Result<(), Failure> {
    let policy = desk.operator.policy().await?;
    desk.console
        .progress(&format!("version {}", policy.version));
    desk.console.end_progress();
    desk.console.show(&policy, || policy.file.clone())
}

async fn put(desk: &Desk, proposal: &PolicyProposal) -> Result<(), Failure> {
    let policy = desk.operator.put_policy(proposal).await?;
    desk.console.show(&policy, || {
        format!("Policy version {} is in force.\n", policy.version)
    })
}

async fn check(desk: &Desk, proposal: &PolicyProposal) -> Result<(), Failure> {
    let report = desk.operator.check_policy(proposal).await?;
    desk.console.show(&report, || {
        let (rules, operators) = (report.rules, report.operators);
        let sound = format!("The policy is sound: {rules} rules, {operators} operators.\n");
        if report.isolated.is_empty() {
            return sound;
        }
        let isolated = list(report.isolated.iter());
        format!("{sound}It would leave these nodes without any peer: {isolated}\n")
    })
}
