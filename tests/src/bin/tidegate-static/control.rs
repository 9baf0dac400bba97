//! The control socket: one line of words, one line of JSON.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tidegate_wg::{Command, Epoch, PeerId};
use tidegate_wg_io::{Control, boottime, now};

use crate::peers::Roll;
use crate::report;

/// Answers whoever connects.
#[derive(Clone)]
pub(crate) struct Console {
    control: Control,
    roll: Arc<Roll>,
    frozen: Arc<AtomicBool>,
}

impl Console {
    pub(crate) fn start(
        path: &Path,
        control: Control,
        roll: Arc<Roll>,
        frozen: Arc<AtomicBool>,
    ) -> Result<()> {
        let listener = UnixListener::bind(path)?;
        let console = Self {
            control,
            roll,
            frozen,
        };
        std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || {
                for client in listener.incoming().flatten() {
                    let console = console.clone();
                    std::thread::spawn(move || console.serve(client));
                }
            })?;
        Ok(())
    }

    fn serve(&self, client: UnixStream) -> std::io::Result<()> {
        let mut writer = client.try_clone()?;
        for line in BufReader::new(client).lines() {
            let answer = self
                .answer(&line?)
                .unwrap_or_else(|error| json!({"error": format!("{error:#}")}));
            writeln!(writer, "{answer}")?;
            if self.frozen.load(Ordering::Acquire) {
                freeze();
            }
        }
        Ok(())
    }

    fn answer(&self, line: &str) -> Result<Value> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let began = boottime();
        match words[..] {
            ["stats"] => {
                return Ok(report::stats(
                    &self.control.status()?,
                    &self.control.io_status()?,
                ));
            }
            ["io"] => return Ok(report::io(&self.control.io_status()?)),
            ["add-peer", spec] => {
                self.roll.add(&self.control, spec.parse()?)?;
            }
            ["add-idle", count] => self.roll.add_idle(&self.control, count.parse()?)?,
            ["add-bare", number] => self.roll.add_bare(&self.control, number.parse()?)?,
            ["remove-bare", number] => self.roll.remove_bare(&self.control, number.parse()?)?,
            ["remove-peer", id] => self.roll.remove(&self.control, peer(id)?)?,
            ["connect", id] => self.control.apply(Command::Connect(peer(id)?))?,
            ["set-endpoint", id, to] => {
                self.roll
                    .set_endpoint(&self.control, peer(id)?, to.parse()?)?
            }
            ["end-epoch", epoch, millis] => self.end_epoch(epoch.parse()?, millis.parse()?)?,
            ["end-peer", id, millis] => self.end_peer(peer(id)?, millis.parse()?)?,
            ["freeze"] => self.frozen.store(true, Ordering::Release),
            ["quit"] => std::process::exit(0),
            _ => bail!("what is {line:?}?"),
        }
        let done = now();
        Ok(json!({
            "took_us": done.mono.since(began).as_micros() as u64,
            "done_unix_ns": done.unix.as_nanos() as u64,
        }))
    }

    fn end_epoch(&self, epoch: u64, millis: u64) -> Result<()> {
        let deadline = boottime() + Duration::from_millis(millis);
        let command = Command::SetEpochDeadline(Epoch(epoch), deadline);
        Ok(self.control.apply(command)?)
    }

    fn end_peer(&self, peer: PeerId, millis: u64) -> Result<()> {
        let deadline = boottime() + Duration::from_millis(millis);
        Ok(self
            .control
            .apply(Command::SetPeerDeadline(peer, deadline))?)
    }
}

/// Stops the calling thread for good: what a control thread that hangs looks like from outside.
pub(crate) fn freeze() -> ! {
    loop {
        std::thread::park();
    }
}

fn peer(text: &str) -> Result<PeerId> {
    Ok(PeerId(text.parse().context("a peer is a number")?))
}
