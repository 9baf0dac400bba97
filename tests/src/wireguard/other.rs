//! Other WireGuard programs on a host.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::Endpoint;
use crate::{LabError, Process, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);

/// Which other program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Program {
    /// The reference implementation in Go.
    WireGuardGo(PathBuf),
    /// The program that comes with the boringtun library.
    BoringTun(PathBuf),
}

/// Another WireGuard program, configured by `wg`.
pub struct OtherWireGuard {
    process: Process,
}

impl OtherWireGuard {
    /// Starts the program at this end with one peer. The peer's address may be left for it to tell.
    pub fn start(
        program: &Program,
        end: &Endpoint,
        peer: &Endpoint,
        psk: Option<&str>,
        knows_address: bool,
    ) -> Result<Self, LabError> {
        let process = program.spawn(end)?;
        let other = Self { process };
        let device = Endpoint::DEVICE;
        wait_until(PATIENCE, "the interface to be served", || {
            end.host.run("wg", ["show", device]).is_ok()
        })?;
        let allowed = peer.allowed().join(",");
        let mut words = vec!["set".to_owned(), device.to_owned()];
        words.extend(["listen-port".to_owned(), end.port.to_string()]);
        words.extend(["private-key".to_owned(), "/run/private".to_owned()]);
        words.extend([
            "peer".to_owned(),
            peer.keys.public.clone(),
            "allowed-ips".to_owned(),
            allowed,
        ]);
        write_secret(end, "/run/private", &end.keys.private)?;
        if let Some(psk) = psk {
            write_secret(end, "/run/psk", psk)?;
            words.extend(["preshared-key".to_owned(), "/run/psk".to_owned()]);
        }
        if knows_address {
            words.extend(["endpoint".to_owned(), peer.socket().to_string()]);
        }
        end.host.run("wg", words)?;
        end.configure_device()?;
        Ok(other)
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

impl Program {
    fn spawn(&self, end: &Endpoint) -> Result<Process, LabError> {
        let (path, flags): (&Path, &[&str]) = match self {
            Self::WireGuardGo(path) => (path, &["--foreground", Endpoint::DEVICE]),
            Self::BoringTun(path) => (
                path,
                &[
                    "--foreground",
                    "--disable-drop-privileges",
                    Endpoint::DEVICE,
                ],
            ),
        };
        end.host
            .command(path)
            .args(flags)
            .env("LOG_LEVEL", "error")
            .spawn()
    }
}

fn write_secret(end: &Endpoint, path: &str, secret: &str) -> Result<(), LabError> {
    let tee = end.host.command("tee").arg(path).input(secret);
    tee.run().map(drop)
}
