//! `tidegate admin` against a real authority: what it manages, what it says, and how it ends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tidegate_tests::authority::{Installation, Said};
use tidegate_tests::wait_for;

const SOON: Duration = Duration::from_secs(30);

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn said(installation: &Installation, user: &str, arguments: &[&str]) -> Said {
    let said = installation.admin_as(user, |command| {
        command.args(arguments);
    });
    said.unwrap()
}

/// It ends with `code`, and says `text` in its only line.
#[track_caller]
fn failed(said: Said, code: i32, text: &str) {
    assert_eq!(said.code, Some(code), "{said:?}");
    assert!(said.err.contains(text) && said.out.is_empty(), "{said:?}");
    assert_eq!(said.err.trim_end().lines().count(), 1, "{said:?}");
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_command_says_in_one_line_what_went_wrong_and_ends_accordingly() {
    let installation = Installation::new("").unwrap();
    let server = installation.serve().unwrap();
    let first = |arguments: &[&str]| said(&installation, "first", arguments);
    failed(first(&["nodes"]), 1, "tidegate admin login URL");
    let odd = first(&["nodes", "--status", "odd"]);
    failed(odd, 2, "a status is one of");
    installation.login().unwrap();
    failed(first(&["show", "nobody"]), 3, "[no-such-node]");
    let other = first(&["nodes", "--profile", "other"]);
    failed(other, 1, "there is no profile 'other'");
    let revoke = first(&["revoke", "nobody", "--reason", "x"]);
    failed(revoke, 3, "[no-such-node]");
    server.stop().unwrap();
    failed(first(&["nodes"]), 4, "cannot be reached");
}

#[test]
fn a_token_does_what_its_role_may_and_no_more() {
    let installation = Installation::new("").unwrap();
    let _server = installation.serve().unwrap();
    installation.login().unwrap();
    let token = installation.admin(["tokens", "new", "dashboard", "--role", "viewer"]);
    let token_file = installation.file("token", &token.unwrap()).unwrap();
    let login = installation.admin_as("viewer", |command| {
        command.args(["login", installation.origin().as_str(), "--token"]);
        command.arg("--genesis").arg(installation.genesis());
        command.stdin(std::fs::File::open(&token_file).unwrap());
    });
    assert_eq!(login.unwrap().code, Some(0));
    let viewer = |arguments: &[&str]| said(&installation, "viewer", arguments);
    assert_eq!(viewer(&["nodes"]).code, Some(0));
    failed(viewer(&["epoch", "rotate"]), 3, "[forbidden]");
    failed(viewer(&["invite", "new"]), 3, "[forbidden]");
    let tokens = json(&installation.admin(["tokens", "list", "--json"]).unwrap());
    let id = tokens["tokens"][0]["id"].as_str().unwrap();
    installation.admin(["tokens", "revoke", id]).unwrap();
    assert_eq!(viewer(&["nodes"]).code, Some(3));
}

#[test]
fn a_profile_that_others_can_read_is_refused() {
    let installation = Installation::new("").unwrap();
    let _server = installation.serve().unwrap();
    installation.login().unwrap();
    let profile = installation.home("first").join("tidegate/admin.toml");
    let mode = std::fs::metadata(&profile).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    set_mode(&profile, 0o644);
    let refused = said(&installation, "first", &["nodes"]);
    failed(refused, 1, "run: chmod 600");
}

/// What is not sound changes nothing, and what was made from an older version neither.
#[test]
fn a_policy_is_checked_and_changed_by_its_version() {
    let installation = Installation::new("").unwrap();
    let _server = installation.serve().unwrap();
    installation.login().unwrap();
    let policy = installation.admin(["policy", "get"]).unwrap();
    let file = |name: &str, rule: &str| {
        let text = format!("{policy}\n[[rules]]\n{rule}\n");
        let path = installation.file(name, &text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let broken = file("broken.toml", "from = [\"nobody:x\"]");
    let open = file(
        "open.toml",
        "from = [\"all\"]\nto = [\"all\"]\nprotocol = \"icmp\"",
    );
    let check = said(&installation, "first", &["policy", "check", &broken]);
    assert_eq!(check.code, Some(3), "{check:?}");
    let version = || {
        let policy = installation.admin(["policy", "get", "--json"]).unwrap();
        json(&policy)["version"].as_u64().unwrap()
    };
    let before = version();
    let put = |base: u64| {
        let base = base.to_string();
        said(
            &installation,
            "first",
            &["policy", "put", &open, "--base", &base],
        )
    };
    failed(put(before + 7), 3, "[policy-changed]");
    assert_eq!(version(), before);
    assert_eq!(put(before).code, Some(0));
    assert!(version() > before);
}

/// A key pair as other programs make it: the private and the public file.
fn key_pair(installation: &Installation, name: &str) -> (PathBuf, PathBuf) {
    let path = |end: &str| installation.folder().join(format!("{name}.{end}"));
    let (key, public) = (path("pem"), path("pub"));
    let openssl = |arguments: &[&str]| {
        let made = Command::new("openssl").args(arguments).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    };
    let (key_text, public_text) = (key.to_str().unwrap(), public.to_str().unwrap());
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", key_text]);
    openssl(&["pkey", "-pubout", "-in", key_text, "-out", public_text]);
    set_mode(&key, 0o600);
    (key, public)
}

#[test]
fn operators_are_added_and_removed_and_the_last_sovereign_stays() {
    let installation = Installation::new("").unwrap();
    let _server = installation.serve().unwrap();
    installation.login().unwrap();
    let (key, public) = key_pair(&installation, "jane");
    let add = ["operators", "add", "jane", "--role", "operator", "--key"];
    let add = installation.admin_as("first", |command| {
        command.args(add).arg(&public);
    });
    assert_eq!(add.unwrap().code, Some(0));
    let login = installation.admin_as("jane", |command| {
        command.args(["login", installation.origin().as_str(), "--key"]);
        command
            .arg(&key)
            .arg("--genesis")
            .arg(installation.genesis());
    });
    assert_eq!(login.unwrap().code, Some(0));
    let last = said(&installation, "first", &["operators", "remove", "first"]);
    failed(last, 3, "[last-sovereign]");
    assert_eq!(said(&installation, "jane", &["nodes"]).code, Some(0));
    installation.admin(["operators", "remove", "jane"]).unwrap();
    let gone = said(&installation, "jane", &["nodes"]);
    assert_eq!(gone.code, Some(3), "{gone:?}");
}

#[test]
fn invites_are_listed_without_their_tokens_and_taken_back() {
    let installation = Installation::new("").unwrap();
    let _server = installation.serve().unwrap();
    installation.login().unwrap();
    let invite = installation
        .invite(&["--role", "member", "--expires", "2h"])
        .unwrap();
    let invites = installation.admin(["invite", "list", "--json"]).unwrap();
    assert!(!invites.contains(&*invite.expose()));
    let invites = json(&invites);
    let id = invites["invites"][0]["id"].as_str().unwrap();
    installation.admin(["invite", "revoke", id]).unwrap();
    let shown = installation.admin(["invite", "list"]).unwrap();
    assert!(shown.contains("revoked"), "{shown}");
}

/// `events --follow`, which ends with the test.
struct Following(Child);

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_followed_as_they_come() {
    let installation = Installation::new("").unwrap();
    let _server = installation.serve().unwrap();
    installation.login().unwrap();
    let log = installation.file("events", "").unwrap();
    let mut follow = installation.admin_command("first").unwrap();
    let follow = follow
        .args(["events", "--follow", "--json"])
        .stdout(std::fs::File::options().append(true).open(&log).unwrap())
        .stderr(Stdio::null())
        .spawn();
    let _following = Following(follow.unwrap());
    let client = installation.client().unwrap();
    let open = "tidegate_streams{kind=\"operator\"} 1";
    let opened = async {
        while !client.metrics().await.unwrap().contains(open) {
            tokio::time::sleep(Duration::from_millis(200)).await; // until the next question
        }
    };
    tokio::time::timeout(SOON, opened).await.expect("a stream");
    installation.admin(["epoch", "rotate"]).unwrap();
    let told = || {
        std::fs::read_to_string(&log)
            .unwrap()
            .contains("epoch.rotated")
    };
    wait_for(SOON, "the rotation in the events", || told().then_some(())).unwrap();
    let tail = installation.admin(["audit", "tail", "-n", "3"]).unwrap();
    assert_eq!(tail.lines().count(), 3, "{tail}");
}
