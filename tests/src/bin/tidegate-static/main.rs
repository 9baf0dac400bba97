//! # One engine from flags
//!
//! Brings up one data plane with a fixed configuration, for tests and benchmarks. It decides nothing: peers, keys,
//! epochs and policy come from flags, and from a control socket that takes one line and answers one line of JSON.
//!
//! Epoch 0 uses the peer's pre-shared key as it is, so that other WireGuard programs can be peers; epoch `n` mixes
//! its number in. With `--epoch-millis` all instances that were given the same `--epoch-origin` rotate together.
#![forbid(unsafe_code)]

mod args;
mod control;
mod epochs;
mod peers;
mod report;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use clap::Parser;
use tidegate_wg::Epoch;
use tidegate_wg_io::{Control, DataPlane, Notice, STATUS_DIRECTORY, StatusSocket};

use crate::args::Args;
use crate::control::Console;
use crate::epochs::Rotation;
use crate::peers::Roll;

fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();
    let roll = Arc::new(Roll::new(&args)?);
    let (plane, mut notices) = DataPlane::start(args.data_plane()?)?;
    let control = plane.control();
    roll.install(&control, Epoch(args.epoch), args.first_deadline())?;
    let _status = open_status_socket(&args, &control, &roll);
    let frozen = Arc::new(AtomicBool::new(false));
    Rotation::start(
        &args,
        control.clone(),
        Arc::clone(&roll),
        Arc::clone(&frozen),
    )?;
    if let Some(path) = &args.control {
        Console::start(path, control, roll, Arc::clone(&frozen))
            .context("cannot listen for control")?;
    }
    println!("ready");
    while let Some(notice) = notices.blocking_recv() {
        if frozen.load(Ordering::Acquire) {
            control::freeze();
        }
        println!("{}", report::notice(&notice));
        if matches!(notice, Notice::Stopped(_)) {
            break;
        }
    }
    Ok(())
}

/// Goes on without where the directory cannot be written.
fn open_status_socket(args: &Args, control: &Control, roll: &Arc<Roll>) -> Option<StatusSocket> {
    let (control, roll, fwmark) = (control.clone(), Arc::clone(roll), args.fwmark);
    let status = move || roll.device_status(&control, fwmark);
    StatusSocket::open(STATUS_DIRECTORY.as_ref(), &args.tun, status)
        .inspect_err(|error| tracing::warn!(%error, "going on without"))
        .ok()
}
