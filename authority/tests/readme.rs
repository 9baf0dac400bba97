//! The README's ceremony works as it stands there.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod folder;

use std::path::Path;
use std::process::Command;

use folder::{Folder, PROGRAM, text};

const README: &str = include_str!("../../README.md");

/// The shell commands of one section, in order.
fn commands(heading: &str) -> String {
    let (_, rest) = README.split_once(heading).unwrap();
    let section = rest
        .split_once("\n## ")
        .map_or(rest, |(section, _)| section);
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split_once("```").unwrap().0)
        .collect()
}

#[test]
fn the_ceremony_in_the_readme() {
    let folder = Folder::new();
    let script = commands("## Hold a ceremony\n");
    assert_eq!(script.matches("tidegate-authority ").count(), 9, "{script}");
    let programs = Path::new(PROGRAM).parent().unwrap().display();
    let output = Command::new("sh")
        .args(["-euc", &script])
        .env(
            "PATH",
            format!("{programs}:{}", std::env::var("PATH").unwrap()),
        )
        .current_dir(folder.root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    assert_eq!(text(&output.stdout).matches("Good: ").count(), 2);
    for private in ["vault/root.pem", "server/authority.pem", "vault/passphrase"] {
        assert_eq!(folder.mode(private), 0o600, "{private}");
    }
    let chain = folder.chain(&["elsewhere/genesis.json", "elsewhere/genesis-2.json"]);
    assert!(chain.genesis().authority.previous_until.is_some());
}
