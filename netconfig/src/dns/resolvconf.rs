//! Our record among those of `resolvconf`, which puts the host's servers together.

use std::net::IpAddr;

use super::facts::Resolvconf;
use super::program::{Bench, ProgramError};
use crate::desired::LinkName;

/// The record's name: both kinds of `resolvconf` put those of tunnels first.
pub(super) fn record(link: &LinkName) -> String {
    format!("tun.{link}")
}

/// Hands in the record.
pub(super) fn apply(
    bench: &mut Bench,
    kind: Resolvconf,
    record: &str,
    resolver: IpAddr,
) -> Result<(), ProgramError> {
    let servers = format!("nameserver {resolver}\n");
    match kind {
        Resolvconf::Openresolv => bench.run("resolvconf", &["-m", "0", "-a", record], &servers),
        Resolvconf::Debian => bench.run("resolvconf", &["-a", record], &servers),
        Resolvconf::Absent => Ok(()),
    }
}

/// Takes the record back, if it is there.
pub(super) fn undo(bench: &mut Bench, kind: Resolvconf, record: &str) -> Result<(), ProgramError> {
    match kind {
        Resolvconf::Openresolv => bench.run("resolvconf", &["-f", "-d", record], ""),
        Resolvconf::Debian => bench.run("resolvconf", &["-d", record], ""),
        // It was removed meanwhile, and its records with it.
        Resolvconf::Absent => Ok(()),
    }
}
