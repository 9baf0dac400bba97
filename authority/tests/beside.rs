//! What is done beside a running server, with the real programs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod folder;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use folder::{Folder, PROGRAM};
use tidegate_proto::KeyId;

/// Longer than anything here takes, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server, which ends with the test.
struct Server {
    process: Child,
    log: BufReader<ChildStderr>,
}

impl Server {
    fn start(folder: &Folder, dir: &str) -> Self {
        let mut process = Command::new(PROGRAM)
            .args(["serve", "--dir", dir])
            .current_dir(folder.root())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        Self { process, log }
    }

    /// Reads the log until a line holds `text`; the lines up to it.
    fn says(&mut self, text: &str) -> String {
        let mut seen = String::new();
        while !seen.lines().last().is_some_and(|line| line.contains(text)) {
            assert!(
                self.log.read_line(&mut seen).unwrap() > 0,
                "the server ended: {seen}"
            );
        }
        seen
    }

    fn stop(mut self) {
        let process = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &process])
                .status()
                .unwrap()
                .success()
        );
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Exports the log until it holds `event`.
fn export_with(folder: &Folder, event: &str) -> String {
    let begun = Instant::now();
    loop {
        folder.done("audit export --dir data --out export.jsonl");
        let export = String::from_utf8(folder.read("export.jsonl")).unwrap();
        std::fs::remove_file(folder.path("export.jsonl")).unwrap();
        if export.contains(event) {
            return export;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "the server did not take the succession on"
        );
    }
}

#[test]
fn backup_succession_and_export_go_on_beside_a_server_and_a_second_one_does_not() {
    let folder = Folder::new();
    folder.write("passphrase", b"five random words they say\n", 0o600);
    folder.done("init --dir data --name demo --listen 127.0.0.1:0 --url https://127.0.0.1:7443");
    let mut server = Server::start(&folder, "data");
    server.says("listening");
    let line = folder.refused("serve --dir data");
    assert!(line.contains("in use by a running server"), "{line}");
    folder.done("backup --dir data --out backup --passphrase-file passphrase");
    folder.done("audit export --dir data --out before.jsonl");

    let root = "--root data/root.key";
    folder.done("key new --out next.pem");
    folder.done(&format!("genesis succeed data/genesis/genesis-1.json {root} --authority-key next.pub --overlap-for 1h --out genesis-2.json"));
    folder.done("genesis install genesis-2.json --dir data --key next.pem");
    let export = export_with(&folder, "genesis.succeeded");
    let next = KeyId::of(&folder.key("next.pem").public_key());
    let rotated = export.lines().find(|line| line.contains("keys.rotated"));
    let rotated = rotated.expect("other keys sign");
    assert!(
        rotated.contains(&format!("\"added\":\"{next}\"")),
        "{rotated}"
    );
    server.stop();
    check_logs(&folder);

    folder.done("restore --dir back --from backup --passphrase-file passphrase");
    let mut restored = Server::start(&folder, "back");
    let log = restored.says("listening");
    assert!(
        log.contains("nothing is issued until a sovereign ends the recovery"),
        "{log}"
    );
    restored.stop();
}

/// The log is good, and so is the export of before the succession, for which only replaced keys vouch.
fn check_logs(folder: &Folder) {
    let verified = folder.done("audit verify --dir data");
    assert!(verified.starts_with("Good: ") && !verified.contains("Warning"));
    let verified = folder.done("audit verify --dir data --file before.jsonl");
    assert!(verified.starts_with("Good: "), "{verified}");
    let warning = "Warning: the network is at genesis revision 2.";
    assert!(verified.contains(warning), "{verified}");
}
