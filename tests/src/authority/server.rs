//! The server's process.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tidegate::client::{Clock, Timeouts};

use super::Installation;
use crate::{binary, wait_for};

const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(30);
const SHOWN: usize = 8 * 1024;

/// A running `tidegate-authority serve`. It is killed with its handle, and shows its log if the test panicked.
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    pub(super) fn start(installation: &Installation) -> anyhow::Result<Self> {
        let log = installation.folder().join("serve.log");
        let out = File::options().create(true).append(true).open(&log)?;
        let child = Command::new(binary("tidegate-authority")?)
            .args(["serve", "--dir"])
            .arg(installation.dir())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .context("serve")?;
        let mut server = Self { child, log };
        server.wait_until_ready(installation)?;
        Ok(server)
    }

    fn wait_until_ready(&mut self, installation: &Installation) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let timeouts = Timeouts {
            answer: Duration::from_secs(2),
            ..Timeouts::default()
        };
        let site = installation.chain()?.site()?;
        let asking = move || {
            runtime.block_on(async {
                let clock = Arc::new(Clock::system());
                let client = tidegate::client::Client::new(site.clone(), clock, timeouts).ok()?;
                client.readiness().await.ok()
            })
        };
        // On a thread of its own, because the test may be in a runtime already.
        let (sender, ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let found = wait_for(START, "the authority to be ready", asking);
            let _ = sender.send(found.is_ok()); // the test may have given up
        });
        let found = loop {
            match ready.recv_timeout(Duration::from_millis(50)) {
                Ok(found) => break found,
                Err(_) if self.child.try_wait()?.is_some() => {
                    bail!("serve ended:\n{}", self.output())
                }
                Err(_) => {}
            }
        };
        let _ = thread.join(); // it has answered
        ensure!(found, "serve is not ready:\n{}", self.output());
        Ok(())
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has logged, in earlier runs too.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to end, and says how it did.
    pub fn stop(mut self) -> anyhow::Result<ExitStatus> {
        kill(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGTERM,
        )?;
        let child = &mut self.child;
        Ok(wait_for(STOP, "serve to end", || {
            child.try_wait().ok().flatten()
        })?)
    }

    /// Ends it as a power failure would, without any chance to tidy up.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
        if std::thread::panicking() {
            let output = self.output();
            let from = output.len().saturating_sub(SHOWN);
            eprintln!("--- serve\n{}", output.get(from..).unwrap_or(&output));
        }
    }
}
