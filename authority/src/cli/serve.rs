//! `serve`: the service itself.

use std::path::PathBuf;

use clap::Args;
use tidegate_authority::DataDir;
use tidegate_authority::server;

/// What to serve.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// The data directory
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The settings, if not authority.toml in the data directory
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<String> {
        let dir = DataDir::open(&self.dir)?;
        super::runtime()?.block_on(server::serve(dir, self.config))?;
        Ok(String::new())
    }
}
