//! The audit log.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use tidegate_proto::Sequence;
use tidegate_proto::audit::{Chained, Fact, Summary, Verifier};

use super::desk::Desk;
use crate::cli::Failure;

/// How often it is asked what is new.
const PAUSE: Duration = Duration::from_secs(1);
/// The most that one question brings.
const PAGE: u32 = 500;

/// Commands for the audit log.
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Show the last records, and follow what comes
    Tail(Tail),
    /// Fetch the whole log as JSON lines, and verify its chain as it comes
    Export(Export),
}

/// The last records.
#[derive(Args, Debug)]
pub(super) struct Tail {
    /// How many records to begin with, at most 500
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    lines: u32,
    /// Go on until interrupted
    #[arg(long, short)]
    follow: bool,
}

/// The whole log.
#[derive(Args, Debug)]
pub(super) struct Export {
    /// The file to write, which must not be there yet; otherwise standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Audit {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), Failure> {
        match self {
            Self::Tail(tail) => tail.run(desk).await,
            Self::Export(export) => export.run(desk).await,
        }
    }
}

impl Tail {
    async fn run(self, desk: &Desk) -> Result<(), Failure> {
        let end = desk.operator.audit_end(self.lines).await?;
        let mut last = Sequence::default();
        for record in end.records.iter() {
            last = record.record.sequence;
            desk.console.show(record, || line(record))?;
        }
        if self.follow {
            follow(desk, last).await
        } else {
            Ok(())
        }
    }
}

/// Shows what comes behind `after`, until something goes wrong.
async fn follow(desk: &Desk, mut after: Sequence) -> Result<(), Failure> {
    loop {
        tokio::time::sleep(PAUSE).await;
        let page = desk.operator.audit(after, PAGE).await?;
        for record in page.records.iter() {
            after = record.record.sequence;
            desk.console.show(record, || line(record))?;
        }
    }
}

/// One record in one line.
pub(super) fn line(chained: &Chained) -> String {
    let record = &chained.record;
    let mut text = format!(
        "{:>6}  {}  {}  {} → {}",
        record.sequence, record.at, record.event, record.actor, record.object
    );
    for (name, fact) in &record.detail {
        match fact {
            Fact::Number(number) => text.push_str(&format!("  {name}={number}")),
            Fact::Text(said) => text.push_str(&format!("  {name}={said}")),
        }
    }
    text.push('\n');
    text
}

impl Export {
    /// What does not verify is not passed off as an export: the error names the first bad record.
    async fn run(self, desk: &Desk) -> Result<(), Failure> {
        let chain = desk.whole_chain().await?;
        let mut verifier = Verifier::of_export(&chain).map_err(Failure::new)?;
        let mut out = self.open()?;
        let mut download = desk.operator.audit_export().await?;
        while let Some(piece) = download.next().await? {
            verifier.push(&piece).map_err(bad)?;
            out.write_all(&piece).map_err(unwritten)?;
        }
        out.flush().map_err(unwritten)?;
        let found = verifier.finish().map_err(bad)?;
        desk.console.progress(&summary(&found));
        desk.console.end_progress();
        Ok(())
    }

    fn open(&self) -> Result<Box<dyn Write>, Failure> {
        let Some(path) = &self.out else {
            return Ok(Box::new(BufWriter::new(std::io::stdout())));
        };
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        let file = file.map_err(|error| {
            Failure::new(format!(
                "cannot write {}: {error}; choose another name",
                path.display()
            ))
        })?;
        Ok(Box::new(BufWriter::new(file)))
    }
}

fn bad(error: impl std::fmt::Display) -> Failure {
    Failure::new(format!(
        "the audit log does not verify: {error}; keep what was fetched, and find out who changed it"
    ))
}

fn unwritten(error: std::io::Error) -> Failure {
    Failure::new(format!(
        "the export cannot be written: {error}; make room and try again"
    ))
}

fn summary(found: &Summary) -> String {
    let (records, last, checkpoints) = (found.records, found.last, found.checkpoints);
    format!("verified: {records} records up to {last}, {checkpoints} signed checkpoints")
}
