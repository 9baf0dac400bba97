//! Nebula between the two ends.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tidegate_tests::Process;
use tidegate_tests::wireguard::{Endpoint, Pair, Side};

/// Both daemons, with the files they read.
pub(crate) struct Nebula {
    daemons: [Process; 2],
    _files: TempDir,
}

impl Nebula {
    pub(crate) fn start(rivals: &Path, pair: &Pair) -> Result<Self> {
        let files = TempDir::new()?;
        let sign = |args: &[&str]| -> Result<()> {
            let program = rivals.join("nebula-cert");
            let status = Command::new(program)
                .args(args)
                .current_dir(files.path())
                .status()?;
            ensure!(status.success(), "nebula-cert {args:?} failed");
            Ok(())
        };
        sign(&["ca", "-name", "bench"])?;
        let start = |side, name: &str| -> Result<Process> {
            let (end, peer) = pair.seen_from(side);
            sign(&[
                "sign",
                "-name",
                name,
                "-ip",
                &format!("{}/24", end.overlay[0]),
            ])?;
            let config = files.path().join(format!("{name}.yml"));
            std::fs::write(&config, yaml(files.path(), name, end, peer))?;
            let program = rivals.join("nebula");
            let config = config.to_str().context("a path that is no text")?;
            Ok(end.host.spawn(program, ["-config", config])?)
        };
        let daemons = [start(Side::A, "a")?, start(Side::B, "b")?];
        Ok(Self {
            daemons,
            _files: files,
        })
    }

    pub(crate) fn processes(&self) -> [&Process; 2] {
        self.daemons.each_ref()
    }
}

fn yaml(files: &Path, name: &str, end: &Endpoint, peer: &Endpoint) -> String {
    let files = files.display();
    let (overlay, socket, port, device) =
        (peer.overlay[0], peer.socket(), end.port, Endpoint::DEVICE);
    format!(
        "pki: {{ca: {files}/ca.crt, cert: {files}/{name}.crt, key: {files}/{name}.key}}\n\
         static_host_map: {{\"{overlay}\": [\"{socket}\"]}}\n\
         lighthouse: {{am_lighthouse: false, hosts: []}}\n\
         listen: {{host: 0.0.0.0, port: {port}, batch: 64, read_buffer: 33554432, write_buffer: 33554432}}\n\
         tun: {{dev: {device}, mtu: 1420, tx_queue: 500}}\n\
         cipher: aes\n\
         logging: {{level: warning, format: text}}\n\
         firewall: {{outbound: [{{port: any, proto: any, host: any}}], inbound: [{{port: any, proto: any, host: any}}]}}\n"
    )
}
