//! The authority's API against its own description: schemathesis asks whatever the description allows, and much that
//! it does not, as every kind of caller. No answer is a server error, and none is other than described.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tidegate_proto::pem::signing_key_to_pem;
use tidegate_tests::authority::durability::UNLIMITED;
use tidegate_tests::authority::{Installation, Member};

/// Seconds for each caller.
const SECONDS: &str = "35";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance";

struct Schemathesis<'a> {
    program: PathBuf,
    installation: &'a Installation,
}

/// As whom it asks.
enum Caller<'a> {
    Key(&'a Path),
    Token(&'a str),
}

impl<'a> Schemathesis<'a> {
    fn install(installation: &'a Installation) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemathesis");
        let into = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis");
        let done = Command::new(folder.join("install"))
            .arg(&into)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        Self {
            program: into.join("bin/schemathesis"),
            installation,
        }
    }

    fn ask_as(&self, name: &str, caller: &Caller<'_>) -> Result<(), String> {
        let origin = self.installation.origin().as_str();
        let mut command = Command::new(&self.program);
        command
            .args([
                "run",
                "--tls-verify",
                "false",
                "--checks",
                CHECKS,
                "--no-color",
            ])
            .args([
                "--phases",
                "examples,coverage,fuzzing",
                "--max-time",
                SECONDS,
                "--request-timeout",
                "20",
                "--request-retries",
                "2",
            ])
            .args([
                "--exclude-path",
                "/v1/stream",
                "--exclude-path",
                "/v1/events",
                "--warnings",
                "off",
            ])
            .arg(format!("{origin}/openapi.json"))
            .current_dir(self.installation.folder())
            .env(
                "SCHEMATHESIS_HOOKS",
                Path::new(env!("CARGO_MANIFEST_DIR")).join("schemathesis/hooks.py"),
            )
            .env("PYTHONWARNINGS", "ignore");
        match caller {
            Caller::Token(token) => command
                .arg("-H")
                .arg(format!("Authorization: Bearer {token}")),
            Caller::Key(path) => command
                .env("TIDEGATE_KEY", path)
                .env("TIDEGATE_ORIGIN", origin)
                .env(
                    "TIDEGATE_NETWORK",
                    self.installation
                        .chain()
                        .unwrap()
                        .trust()
                        .network()
                        .to_string(),
                ),
        };
        let output: Output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let summary = said.lines().rev().take(12).collect::<Vec<_>>();
        println!(
            "--- {name}\n{}",
            summary.into_iter().rev().collect::<Vec<_>>().join("\n")
        );
        if output.status.success() {
            return Ok(());
        }
        Err(format!(
            "as {name}:\n{said}\n{}",
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}

#[test]
fn every_answer_is_as_described_and_none_is_a_server_error() {
    let installation = Installation::new(UNLIMITED).unwrap();
    let _server = installation.serve().unwrap();
    installation.login().unwrap();
    let invite = installation.invite(&["--role", "member"]).unwrap();
    let member = Member::new().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime
        .block_on(member.clone().join("alice", &invite))
        .unwrap();
    let node_key = installation
        .file("node.pem", &signing_key_to_pem(member.identity()))
        .unwrap();
    let tokens = ["viewer", "operator", "admin", "sovereign"].map(|role| {
        let token = installation
            .admin(["tokens", "new", role, "--role", role])
            .unwrap();
        (role, token.trim().to_owned())
    });
    let schemathesis = Schemathesis::install(&installation);
    let mut broken = Vec::new();
    broken.extend(schemathesis.ask_as("a node", &Caller::Key(&node_key)).err());
    for (role, token) in &tokens {
        broken.extend(schemathesis.ask_as(role, &Caller::Token(token)).err());
    }
    let first = installation.operator_key();
    broken.extend(
        schemathesis
            .ask_as("the first operator", &Caller::Key(&first))
            .err(),
    );
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
