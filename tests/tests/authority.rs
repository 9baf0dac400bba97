//! A network from its first invite to the end of a revocation, over HTTPS, with the real programs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;
use tidegate::client::{ClientError, Resumed, Session, SessionEvent};
use tidegate_proto::api::{Enrolled, GrantWithList, StreamEvent};
use tidegate_proto::{EpochGrant, RevocationList, Signed, Verified};
use tidegate_tests::authority::{Installation, Joined, Member};
use tidegate_tests::wait_for;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(30);

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Waits for what the stream has to bring.
async fn until<T>(session: &mut Session, mut wanted: impl FnMut(StreamEvent) -> Option<T>) -> T {
    let found = async {
        loop {
            match session.next().await {
                SessionEvent::Event(event) => {
                    if let Some(found) = wanted(*event) {
                        return found;
                    }
                }
                SessionEvent::Open(_) => {}
                SessionEvent::Lost { error, .. } => panic!("the stream was lost: {error}"),
            }
        }
    };
    timeout(SOON, found).await.expect("the stream brings it")
}

fn opened(joined: &Joined, grant: &GrantWithList) -> Verified<EpochGrant> {
    let client = joined.client.client();
    let grant = grant
        .grant
        .verify(&client.site().keyring, client.clock().now())
        .unwrap();
    let key = grant
        .seal_context()
        .open(&grant.sealed, joined.member.sealing());
    key.unwrap();
    grant
}

async fn newest_grant(session: &mut Session, joined: &Joined, after: u64) -> Verified<EpochGrant> {
    until(session, |event| match event {
        StreamEvent::Grant(grant) => {
            Some(opened(joined, &grant)).filter(|grant| grant.epoch.value() > after)
        }
        _ => None,
    })
    .await
}

/// The next list on which somebody is.
async fn list_with(session: &mut Session, joined: &Joined, out: &Member) -> Signed<RevocationList> {
    let client = joined.client.client();
    let (keyring, identity) = (client.site().keyring, out.keys().identity);
    until(session, |event| {
        let StreamEvent::List(list) = event else {
            return None;
        };
        let verified = list.verify(&keyring, client.clock().now()).unwrap();
        let is_out = verified
            .entries
            .iter()
            .any(|entry| entry.identity == identity);
        is_out.then_some(list)
    })
    .await
}

fn finish(child: Child) -> (Option<i32>, String, String) {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_admitted_renewed_granted_revoked_confirmed_and_reinstated() {
    let installation = Installation::new("").unwrap();
    let server = installation.serve().unwrap();
    installation.login().unwrap();

    // Two come with an invite, and one without, who has to be approved.
    let invite = installation
        .invite(&["--role", "member", "--tag", "eu", "--uses", "2"])
        .unwrap();
    let mut alice = Member::new().unwrap().join("alice", &invite).await.unwrap();
    let mut bob = Member::new().unwrap().join("bob", &invite).await.unwrap();
    assert!(alice.certificate.tags.contains(&"eu".parse().unwrap()));
    let used_up = Member::new().unwrap().join("late", &invite).await;
    let error = used_up.err().unwrap();
    let refused = error
        .downcast_ref::<ClientError>()
        .and_then(ClientError::code);
    assert_eq!(refused, Some("invite-exhausted"), "{error}");
    let client = installation.client().unwrap();
    let carol = Member::new().unwrap();
    let pending = carol.enroll(&client, "carol", None).await.unwrap();
    assert_eq!(pending, Ok(Enrolled::Pending));
    let waiting = json(
        &installation
            .admin(["nodes", "--status", "pending", "--json"])
            .unwrap(),
    );
    assert_eq!(
        (waiting.as_array().unwrap().len(), &waiting[0]["name"]),
        (1, &"carol".into())
    );
    installation
        .admin(["approve", "carol", "--role", "member"])
        .unwrap();
    let asked = client
        .as_node(carol.identity().clone())
        .enrolled()
        .await
        .unwrap();
    let Enrolled::Admitted(certificate) = asked else {
        panic!("carol is not in")
    };
    let carol = carol.joined(client.clone(), &certificate).unwrap();

    // Everybody gets a key to the epoch, and a new one when it is rotated.
    let (mut for_alice, mut for_bob) = (alice.client.session(), bob.client.session());
    let first = newest_grant(&mut for_alice, &alice, 0).await;
    newest_grant(&mut for_bob, &bob, 0).await;
    let before = alice.certificate.serial;
    let same_keys = alice.member.clone();
    alice.renew(same_keys).await.unwrap().unwrap();
    assert!(alice.certificate.serial > before);
    installation.admin(["epoch", "rotate"]).unwrap();
    let second = newest_grant(&mut for_alice, &alice, first.epoch.value()).await;
    assert!(second.epoch > first.epoch);
    newest_grant(&mut for_bob, &bob, first.epoch.value()).await;
    alice.heartbeat(Default::default()).await.unwrap();

    // Carol is revoked, and the command waits until both have confirmed.
    let mut revoke = installation.admin_command("first").unwrap();
    let revoke = revoke
        .args(["revoke", "carol", "--reason", "laptop lost", "--wait"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let list = list_with(&mut for_alice, &alice, &carol.member).await;
    alice.confirm(&list).await.unwrap();
    assert_eq!(list_with(&mut for_bob, &bob, &carol.member).await, list);
    bob.confirm(&list).await.unwrap();
    let (code, out, progress) = finish(revoke);
    assert_eq!(code, Some(0), "{progress}");
    assert!(out.contains("all 2 nodes"), "{out}");
    assert!(
        progress.contains("2 nodes have confirmed; the last has stopped by"),
        "{progress}"
    );
    let refused = carol.client.grants().await.unwrap_err();
    assert_eq!(refused.code(), Some("not-a-member"));
    let all = json(&installation.admin(["revocations", "--json"]).unwrap());
    let sequence = all["revocations"][0]["list"].to_string();
    let report = json(
        &installation
            .admin(["revocations", &sequence, "--json"])
            .unwrap(),
    );
    assert_eq!(report["status"]["confirmed"].as_array().unwrap().len(), 2);
    assert_eq!(report["status"].get("bound"), None);

    // She comes back with new keys only.
    installation
        .admin(["reinstate", "carol", "--reason", "found"])
        .unwrap();
    let invite = installation.invite(&["--role", "member"]).unwrap();
    let token = || Some(invite.token.clone());
    let old = carol
        .member
        .enroll(&client, "carol", token())
        .await
        .unwrap();
    assert_eq!(old.unwrap_err().code(), Some("new-keys-needed"));
    let renewed = carol.member.with_new_keys().unwrap();
    let back = renewed.enroll(&client, "carol", token()).await.unwrap();
    assert!(matches!(back, Ok(Enrolled::Admitted(_))), "{back:?}");

    // All of it stands in the audit log, which verifies.
    let export = installation.folder().join("export.jsonl");
    let said = installation.admin_as("first", |command| {
        command.args(["audit", "export", "--out"]).arg(&export);
    });
    let said = said.unwrap();
    assert!(
        said.code == Some(0) && said.err.contains("verified: "),
        "{said:?}"
    );
    let log = std::fs::read_to_string(&export).unwrap();
    for event in ["node.admitted", "node.revoked", "node.reinstated"] {
        assert!(log.contains(event), "no {event} in {log}");
    }
    assert!(server.stop().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_after_a_restart_of_the_authority() {
    let installation = Installation::new("").unwrap();
    let server = installation.serve().unwrap();
    installation.login().unwrap();
    let invite = installation.invite(&["--role", "member"]).unwrap();
    let member = Member::new().unwrap().join("alice", &invite).await.unwrap();
    let mut session = member.client.session();
    newest_grant(&mut session, &member, 0).await;
    assert!(server.stop().unwrap().success());
    let lost = timeout(SOON, async {
        loop {
            if let SessionEvent::Lost { error, .. } = session.next().await {
                return error;
            }
        }
    });
    lost.await.unwrap();
    let _server = installation.serve().unwrap();
    let opened = timeout(SOON, async {
        loop {
            if let SessionEvent::Open(resumed) = session.next().await {
                return resumed;
            }
        }
    });
    assert_eq!(
        opened.await.unwrap(),
        Resumed::No,
        "another authority's ids mean nothing"
    );
    newest_grant(&mut session, &member, 0).await;
}

#[test]
fn the_command_line_says_what_went_wrong_and_ends_accordingly() {
    let installation = Installation::new("").unwrap();
    let server = installation.serve().unwrap();
    let first = |arguments: &[&str]| {
        installation
            .admin_as("first", |c| {
                c.args(arguments);
            })
            .unwrap()
    };
    let failed = |said: tidegate_tests::authority::Said, code: i32, text: &str| {
        assert_eq!(said.code, Some(code), "{said:?}");
        assert!(said.err.contains(text) && said.out.is_empty(), "{said:?}");
        assert_eq!(said.err.trim_end().lines().count(), 1, "{said:?}");
    };
    failed(first(&["nodes"]), 1, "tidegate admin login URL");
    failed(
        first(&["nodes", "--status", "odd"]),
        2,
        "a status is one of",
    );
    installation.login().unwrap();
    failed(first(&["show", "nobody"]), 3, "[no-such-node]");
    failed(
        first(&["nodes", "--profile", "other"]),
        1,
        "there is no profile 'other'",
    );
    failed(
        first(&["revoke", "nobody", "--reason", "x"]),
        3,
        "[no-such-node]",
    );

    // A token does what its role may, and no more.
    let token = installation
        .admin(["tokens", "new", "dashboard", "--role", "viewer"])
        .unwrap();
    let token_file = installation.file("token", &token).unwrap();
    let login = installation.admin_as("viewer", |command| {
        command
            .arg("login")
            .arg(installation.origin().as_str())
            .arg("--token");
        command.arg("--genesis").arg(installation.genesis());
        command.stdin(std::fs::File::open(&token_file).unwrap());
    });
    assert_eq!(login.unwrap().code, Some(0));
    let viewer = |arguments: &[&str]| {
        installation
            .admin_as("viewer", |c| {
                c.args(arguments);
            })
            .unwrap()
    };
    assert_eq!(viewer(&["nodes"]).code, Some(0));
    failed(viewer(&["epoch", "rotate"]), 3, "[forbidden]");
    failed(viewer(&["invite", "new"]), 3, "[forbidden]");
    let tokens = json(&installation.admin(["tokens", "list", "--json"]).unwrap());
    let id = tokens["tokens"][0]["id"].as_str().unwrap().to_owned();
    installation.admin(["tokens", "revoke", &id]).unwrap();
    assert_eq!(viewer(&["nodes"]).code, Some(3));

    // Profiles hold secrets.
    let profile = installation.home("first").join("tidegate/admin.toml");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    assert_eq!(mode(&profile), 0o600);
    std::fs::set_permissions(&profile, open).unwrap();
    failed(first(&["nodes"]), 1, "run: chmod 600");
    std::fs::set_permissions(
        &profile,
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();

    server.stop().unwrap();
    failed(first(&["nodes"]), 4, "cannot be reached");
}

fn mode(path: &std::path::Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777
}

#[test]
fn operators_manage_policy_operators_invites_and_follow_events() {
    let installation = Installation::new("").unwrap();
    let _server = installation.serve().unwrap();
    installation.login().unwrap();
    let mut following = installation.admin_command("first").unwrap();
    let log = installation.file("events", "").unwrap();
    let mut following = following
        .args(["events", "--follow", "--json"])
        .stdout(std::fs::File::options().append(true).open(&log).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();

    // The policy: what is not sound changes nothing, and what was made from an older version neither.
    let policy = installation.admin(["policy", "get"]).unwrap();
    let broken = installation
        .file(
            "broken.toml",
            &format!("{policy}\n[[rules]]\nfrom = [\"nobody:x\"]\n"),
        )
        .unwrap();
    let said = installation
        .admin_as("first", |c| {
            c.args(["policy", "check"]).arg(&broken);
        })
        .unwrap();
    assert_eq!(said.code, Some(3), "{said:?}");
    let open = installation
        .file(
            "open.toml",
            &format!(
                "{policy}\n[[rules]]\nfrom = [\"all\"]\nto = [\"all\"]\nprotocol = \"icmp\"\n"
            ),
        )
        .unwrap();
    let version = || {
        json(&installation.admin(["policy", "get", "--json"]).unwrap())["version"]
            .as_u64()
            .unwrap()
    };
    let before = version();
    let put = |base: u64| {
        installation.admin_as("first", |c| {
            c.args(["policy", "put"])
                .arg(&open)
                .args(["--base", &base.to_string()]);
        })
    };
    let stale = put(before + 7).unwrap();
    assert!(
        stale.code == Some(3) && stale.err.contains("[policy-changed]"),
        "{stale:?}"
    );
    assert_eq!(put(before).unwrap().code, Some(0));
    assert!(version() > before);

    // Operators: the last sovereign stays.
    let key = installation.file("jane.pem", "").unwrap();
    std::fs::remove_file(&key).unwrap();
    let made = std::process::Command::new("openssl")
        .args(["genpkey", "-algorithm", "ed25519", "-out"])
        .arg(&key)
        .output()
        .unwrap();
    assert!(made.status.success());
    let public = installation.folder().join("jane.pub");
    let made = std::process::Command::new("openssl")
        .args(["pkey", "-pubout", "-in"])
        .arg(&key)
        .arg("-out")
        .arg(&public)
        .output()
        .unwrap();
    assert!(made.status.success());
    let add = installation.admin_as("first", |c| {
        c.args(["operators", "add", "jane", "--role", "operator", "--key"])
            .arg(&public);
    });
    assert_eq!(add.unwrap().code, Some(0));
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let login = installation.admin_as("jane", |c| {
        c.arg("login")
            .arg(installation.origin().as_str())
            .arg("--key")
            .arg(&key);
        c.arg("--genesis").arg(installation.genesis());
    });
    assert_eq!(login.unwrap().code, Some(0));
    let last = installation
        .admin_as("first", |c| {
            c.args(["operators", "remove", "first"]);
        })
        .unwrap();
    assert!(
        last.code == Some(3) && last.err.contains("[last-sovereign]"),
        "{last:?}"
    );
    installation.admin(["operators", "remove", "jane"]).unwrap();
    let gone = installation
        .admin_as("jane", |c| {
            c.arg("nodes");
        })
        .unwrap();
    assert_eq!(gone.code, Some(3), "{gone:?}");

    // Invites are listed without their tokens, and taken back.
    let invite = installation
        .invite(&["--role", "member", "--expires", "2h"])
        .unwrap();
    let invites = installation.admin(["invite", "list", "--json"]).unwrap();
    assert!(!invites.contains(&*invite.expose()));
    let id = json(&invites)["invites"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    installation.admin(["invite", "revoke", &id]).unwrap();
    let shown = installation.admin(["invite", "list"]).unwrap();
    assert!(shown.contains("revoked"), "{shown}");

    let told = |what: &str| std::fs::read_to_string(&log).unwrap().contains(what);
    wait_for(SOON, "the policy in the events", || {
        told("\"policy\"").then_some(())
    })
    .unwrap();
    let tail = installation.admin(["audit", "tail", "-n", "5"]).unwrap();
    assert_eq!(tail.lines().count(), 5, "{tail}");
    following.kill().unwrap();
    following.wait().unwrap();
}
