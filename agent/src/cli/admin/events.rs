//! Everything that changes.

use std::time::Duration;

use clap::Args;
use tidegate::client::ClientError;
use tidegate_proto::UnixTime;
use tidegate_proto::api::Change;

use super::desk::Desk;
use crate::cli::Failure;

/// How long it waits before it opens a stream again.
const PAUSE: Duration = Duration::from_secs(2);

/// Waits for the next change, or follows them all.
#[derive(Args, Debug)]
pub(super) struct Events {
    /// Go on until interrupted, across breaks
    #[arg(long)]
    follow: bool,
}

impl Events {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), Failure> {
        let mut last = None;
        loop {
            let broken = match self.read(desk, &mut last).await {
                Ok(()) => return Ok(()),
                Err(Trouble::Stream(error)) if self.follow && is_passing(&error) => error,
                Err(Trouble::Stream(error)) => return Err(error.into()),
                Err(Trouble::Console(failure)) => return Err(failure),
            };
            desk.console.progress(&format!("{broken}; trying again"));
            desk.console.end_progress();
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Reads one stream to its end, and remembers the place.
    async fn read(&self, desk: &Desk, last: &mut Option<String>) -> Result<(), Trouble> {
        let mut stream = desk.operator.events(last.clone()).await?;
        loop {
            let change = stream.next::<Change>().await?;
            *last = stream.last().map(str::to_owned);
            let shown = desk.console.show(&change, || line(&change, desk.now()));
            shown.map_err(Trouble::Console)?;
            if !self.follow {
                return Ok(());
            }
        }
    }
}

enum Trouble {
    Stream(ClientError),
    Console(Failure),
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        Self::Stream(error)
    }
}

fn is_passing(error: &ClientError) -> bool {
    use ClientError::{Stream, Unanswered, Unreachable};
    matches!(
        error,
        Stream { .. } | Unreachable { .. } | Unanswered { .. }
    )
}

fn line(change: &Change, now: UnixTime) -> String {
    let what = match change {
        Change::Genesis { digest } => format!("a succession of genesis is in force, {digest}"),
        Change::List { sequence } => format!("revocation list {sequence}"),
        Change::Policy { version } => format!("policy version {version}"),
        Change::Node {
            name,
            status,
            reason,
            ..
        } if reason.as_str().is_empty() => {
            format!("{name} is {status}")
        }
        Change::Node {
            name,
            status,
            reason,
            ..
        } => format!("{name} is {status}: {reason}"),
        Change::Record { node } => format!("{node} is found elsewhere"),
        Change::Grants { epoch, nodes } => format!("grants of epoch {epoch} for {nodes} nodes"),
        Change::Audit(chained) => {
            let record = &chained.record;
            format!("{} {} → {}", record.event, record.actor, record.object)
        }
        Change::CutOff { list, after } => {
            format!("the revocation of list {list} is complete after {after}")
        }
    };
    format!("{now}  {:8}  {what}\n", change.name())
}
