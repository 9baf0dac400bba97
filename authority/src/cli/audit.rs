//! The audit log: out of the database, and checked without it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{ArgGroup, Args, Subcommand};
use tidegate_authority::service::verify_log;
use tidegate_authority::store::{Location, Store, upkeep};
use tidegate_authority::{
    Access, Authority, Clock, DataDir, NewFile, publish, read_genesis, shown,
};
use tidegate_proto::audit::{Summary, Verifier};
use tidegate_proto::{Genesis, Signed};

use super::runtime;

/// Commands for the audit log.
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Check that nothing in the audit log was changed, moved or left out
    Verify(Verify),
    /// Write the audit log to a file that others can check
    Export(Export),
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args(["dir", "file"]))]
pub(super) struct Verify {
    /// The data directory whose log, or whose genesis, is meant
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// An export, in place of the log in the database
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The genesis chain that the export is checked against, the first revision first, if there is no --dir
    #[arg(long, value_name = "GENESIS", num_args = 1.., requires = "file", conflicts_with = "dir")]
    genesis: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(super) struct Export {
    /// The data directory; its server may be running
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The file to write, JSON lines
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Audit {
    pub(super) fn run(self) -> anyhow::Result<String> {
        match self {
            Self::Verify(verify) => verify.run(),
            Self::Export(export) => export.run(),
        }
    }
}

impl Verify {
    fn run(self) -> anyhow::Result<String> {
        let summary = match (&self.file, &self.dir) {
            (Some(file), dir) => verify_export(file, &self.chain(dir.as_deref())?)?,
            (None, Some(dir)) => runtime()?.block_on(verify_database(dir))?,
            (None, None) => bail!("say what to check with --dir or --file"),
        };
        Ok(format!(
            "Good: {} records up to {}, in one unbroken chain.\nThe authority has signed all up to {} ({} \
             checkpoints, the last under genesis revision {}).\n{}",
            summary.records,
            summary.last,
            summary.covered,
            summary.checkpoints,
            summary.revision,
            warning(&summary)
        ))
    }

    fn chain(&self, dir: Option<&Path>) -> anyhow::Result<Vec<Signed<Genesis>>> {
        let chain = match dir {
            Some(dir) => DataDir::open(dir)?.genesis()?,
            None => self
                .genesis
                .iter()
                .map(|path| read_genesis(path))
                .collect::<Result<_, _>>()?,
        };
        if chain.is_empty() {
            bail!(
                "an export is checked against the network's genesis; give its files with --genesis, or --dir"
            );
        }
        Ok(chain)
    }
}

/// What the last signature is not worth.
fn warning(summary: &Summary) -> String {
    if !summary.is_superseded() {
        return String::new();
    }
    format!(
        "Warning: the network is at genesis revision {}. Whoever holds keys of revision {} could have written this log; \
         have it exported again, and compare.\n",
        summary.newest, summary.revision
    )
}

fn verify_export(path: &Path, chain: &[Signed<Genesis>]) -> anyhow::Result<Summary> {
    let mut verifier = Verifier::of_export(chain)?;
    let mut file =
        File::open(path).with_context(|| format!("cannot read {}; check the path", shown(path)))?;
    let mut piece = vec![0; 64 * 1024];
    let summary = loop {
        let read = file
            .read(&mut piece)
            .with_context(|| format!("cannot read {}", shown(path)))?;
        match read {
            0 => break verifier.finish(),
            read => verifier
                .push(&piece[..read])
                .with_context(|| unsound(path))?,
        }
    };
    summary.with_context(|| unsound(path))
}

fn unsound(path: &Path) -> String {
    format!("{} is not what the authority recorded", shown(path))
}

async fn verify_database(dir: &Path) -> anyhow::Result<Summary> {
    let dir = DataDir::open(dir)?;
    let database = dir.file(DataDir::DATABASE);
    refuse_older(&database).await?;
    let store = Store::open(&Location::File(database), Clock::system()).await?;
    let summary = verify_log(&store, &dir.genesis()?).await;
    store.close().await;
    Ok(summary?)
}

/// Only the server changes the schema.
async fn refuse_older(database: &Path) -> anyhow::Result<()> {
    if upkeep::schema_of(database).await? != upkeep::newest_schema() {
        bail!(
            "the database still has the schema of an earlier version; start the server once, or use that version"
        );
    }
    Ok(())
}

impl Export {
    fn run(self) -> anyhow::Result<String> {
        let dir = DataDir::open(&self.dir)?;
        let runtime = runtime()?;
        runtime.block_on(refuse_older(&dir.file(DataDir::DATABASE)))?;
        let config = dir.config(None)?;
        let authority =
            runtime.block_on(Authority::open(dir.options(&config, Clock::system())?))?;
        let mut export = runtime.block_on(authority.export_audit())?;
        let size = export.checkpoint().size;
        let file = NewFile::prepare_with(&self.out, Access::Owner, |mut file| {
            let failed = |error| std::io::Error::other(format!("{error}"));
            while let Some(lines) = runtime.block_on(export.next()).map_err(failed)? {
                std::io::Write::write_all(&mut file, &lines)?;
            }
            Ok(())
        })?;
        publish(&[file])?;
        runtime.block_on(authority.close());
        Ok(format!(
            "Wrote the audit log up to record {size} to {out}.\nNext: tidegate-authority audit verify --file {out} \
             --genesis GENESIS..., on any machine\n",
            out = shown(&self.out)
        ))
    }
}
