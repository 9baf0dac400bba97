//! `backup` and `restore`.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use tidegate_authority::backup::{Manifest, create, restore};
use tidegate_authority::service::{Actor, Entry, Event};
use tidegate_authority::store::upkeep;
use tidegate_authority::{Authority, Clock, DataDir, shown};
use tidegate_proto::UnixTime;

use super::keys::random;
use super::passphrase::BackupPassphrase;
use super::runtime;

#[derive(Args, Debug)]
pub(super) struct Backup {
    /// The data directory; its server may be running
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    passphrase: BackupPassphrase,
}

#[derive(Args, Debug)]
pub(super) struct Restore {
    /// The data directory to make; nothing may be there, or an empty folder
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The backup
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    #[command(flatten)]
    passphrase: BackupPassphrase,
}

impl Backup {
    pub(super) fn run(self, now: UnixTime) -> anyhow::Result<String> {
        let dir = DataDir::open(&self.dir)?;
        let passphrase = self.passphrase.new_one()?;
        let mut rng = random()?;
        let runtime = runtime()?;
        let made = runtime.block_on(create(&dir, &self.out, &passphrase, &mut rng, now))?;
        let mut text = format!(
            "Wrote a backup of {} ({}) at {} to {}.\n",
            made.name,
            made.network,
            made.at,
            shown(&self.out)
        );
        if let Err(error) = runtime.block_on(record(&dir, &made)) {
            writeln!(text, "The audit log does not mention it: {error:#}")?;
        }
        text.push_str(
            "It holds all keys of the authority; without its passphrase nobody can read it, you neither. The root key \
             and operators' keys are not in it.\nNext: keep it on another machine, and try it once: \
             tidegate-authority restore --dir NEW-DIR --from FILE\n",
        );
        Ok(text)
    }
}

/// Mentions the backup in the audit log, unless that would change the schema under a server.
async fn record(dir: &DataDir, made: &Manifest) -> anyhow::Result<()> {
    if made.schema != upkeep::newest_schema() {
        anyhow::bail!("the database still has the schema of an earlier version");
    }
    let config = dir.config(None)?;
    let authority = Authority::open(dir.options(&config, Clock::system())?).await?;
    let entry = Entry::new(Event::BackupMade, &Actor::System, "backup").time("at", made.at);
    let logged = authority.log(entry).await;
    authority.close().await;
    Ok(logged?)
}

impl Restore {
    pub(super) fn run(self) -> anyhow::Result<String> {
        let passphrase = self.passphrase.known()?;
        let restored = restore(&self.from, &self.dir, &passphrase, Clock::system());
        let restored = runtime()?.block_on(restored)?;
        let dir = shown(&self.dir);
        let made = restored.manifest;
        Ok(format!(
            "Restored {name} ({network}) as it was at {at} to {dir}.\n\
             Never let the authority that it was copied from run again: two of them contradict each other.\n\
             It is recovering: it issues nothing until every node that was in has reported what it knows, such as who \
             was revoked after the backup. {awaited} of them are awaited; they report by themselves.\n\
             Next: tidegate-authority serve --dir {dir}\n\
             Then, should nodes be gone for good: tidegate admin recovery override --reason REASON, which is recorded.\n",
            name = made.name,
            network = made.network,
            at = made.at,
            awaited = restored.awaited,
        ))
    }
}
