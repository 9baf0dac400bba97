//! A network from its first invite to the end of a revocation, over HTTPS, with the real programs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;
use tidegate::client::{Client, ClientError, Resumed, Session, SessionEvent};
use tidegate_proto::api::{Enrolled, GrantWithList, StreamEvent};
use tidegate_proto::{EpochGrant, Invite, RevocationList, Signed, Verified};
use tidegate_tests::authority::{Installation, Joined, Member};
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

/// The grant, if it is for the certificate in force; the node can open it then.
fn opened(joined: &Joined, grant: &GrantWithList) -> Option<Verified<EpochGrant>> {
    let client = joined.client.client();
    let grant = grant
        .grant
        .verify(&client.site().keyring, client.clock().now())
        .unwrap();
    if grant.serial != joined.certificate.serial {
        return None;
    }
    let sealing = joined.member.sealing();
    grant.seal_context().open(&grant.sealed, sealing).unwrap();
    Some(grant)
}

async fn newest_grant(session: &mut Session, joined: &Joined, after: u64) -> Verified<EpochGrant> {
    until(session, |event| match event {
        StreamEvent::Grant(grant) => {
            opened(joined, &grant).filter(|grant| grant.epoch.value() > after)
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

/// A member and its stream.
struct Follower {
    joined: Joined,
    session: Session,
    /// The newest epoch that it has a key to.
    epoch: u64,
}

impl Follower {
    async fn new(joined: Joined) -> Self {
        let mut session = joined.client.session();
        let grant = newest_grant(&mut session, &joined, 0).await;
        Self {
            joined,
            session,
            epoch: grant.epoch.value(),
        }
    }

    async fn is_granted_the_next(&mut self) {
        let grant = newest_grant(&mut self.session, &self.joined, self.epoch).await;
        self.epoch = grant.epoch.value();
    }

    /// Waits for the list that puts `out` out, and confirms it.
    async fn confirms(&mut self, out: &Member) {
        let list = list_with(&mut self.session, &self.joined, out).await;
        self.joined.confirm(&list).await.unwrap();
    }
}

/// Comes with the invite's last use, and with none left.
async fn join_by_invite(installation: &Installation) -> (Joined, Joined) {
    let invite = installation
        .invite(&["--role", "member", "--tag", "eu", "--uses", "2"])
        .unwrap();
    let alice = Member::new().unwrap().join("alice", &invite).await.unwrap();
    let bob = Member::new().unwrap().join("bob", &invite).await.unwrap();
    assert!(alice.certificate.tags.contains(&"eu".parse().unwrap()));
    let used_up = Member::new().unwrap().join("late", &invite).await;
    let error = used_up.err().unwrap();
    let refused = error
        .downcast_ref::<ClientError>()
        .and_then(ClientError::code);
    assert_eq!(refused, Some("invite-exhausted"), "{error}");
    (alice, bob)
}

/// Comes without an invite, and is approved.
async fn join_by_approval(installation: &Installation, client: &Client) -> Joined {
    let carol = Member::new().unwrap();
    let pending = carol.enroll(client, "carol", None).await.unwrap();
    assert_eq!(pending, Ok(Enrolled::Pending));
    let waiting = installation.admin(["nodes", "--status", "pending", "--json"]);
    let waiting = json(&waiting.unwrap());
    assert_eq!(waiting.as_array().unwrap().len(), 1);
    assert_eq!(waiting[0]["name"], "carol");
    installation
        .admin(["approve", "carol", "--role", "member"])
        .unwrap();
    let asked = client.as_node(carol.identity().clone()).enrolled().await;
    let Enrolled::Admitted(certificate) = asked.unwrap() else {
        panic!("carol is not in")
    };
    carol.joined(client.clone(), &certificate).unwrap()
}

/// What is young is sent again; new keys need a certificate of their own, and put the one before on the list.
async fn renew(follower: &mut Follower) {
    let before = follower.joined.certificate.clone();
    let same = follower.joined.member.clone();
    follower.joined.renew(same.clone()).await.unwrap().unwrap();
    assert_eq!(follower.joined.certificate.serial, before.serial);

    let fresh = same.with_new_keys().unwrap();
    follower.joined.renew(fresh.clone()).await.unwrap().unwrap();
    let after = &follower.joined.certificate;
    assert!(after.serial > before.serial, "a serial only rises");
    assert_eq!(after.wireguard, fresh.keys().wireguard);
    assert_eq!(
        (&after.name, after.ipv4, after.ipv6),
        (&before.name, before.ipv4, before.ipv6)
    );
    let list = list_with(&mut follower.session, &follower.joined, &same).await;
    let keyring = follower.joined.client.client().site().keyring;
    let now = follower.joined.client.client().clock().now();
    let list = list.verify(&keyring, now).unwrap();
    assert_eq!(list.entries[0].serials_up_to, before.serial);
    newest_grant(&mut follower.session, &follower.joined, 0).await;

    let again = fresh.with_new_keys().unwrap();
    let refused = follower.joined.renew(again).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Some("key-changed-already"), "{refused}");
}

/// Revokes carol by the command line, which waits until both others have confirmed.
async fn revoke(installation: &Installation, carol: &Joined, others: [&mut Follower; 2]) {
    let mut revoke = installation.admin_command("first").unwrap();
    let revoke = revoke
        .args(["revoke", "carol", "--reason", "laptop lost", "--wait"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for other in others {
        other.confirms(&carol.member).await;
    }
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
    let report = installation.admin(["revocations", &sequence, "--json"]);
    let report = json(&report.unwrap());
    assert_eq!(report["status"]["confirmed"].as_array().unwrap().len(), 2);
    assert_eq!(report["status"].get("bound"), None);
}

/// Who was revoked comes back with new keys only.
async fn reinstate(installation: &Installation, client: &Client, carol: &Member) {
    installation
        .admin(["reinstate", "carol", "--reason", "found"])
        .unwrap();
    let invite: Invite = installation.invite(&["--role", "member"]).unwrap();
    let token = || Some(invite.token.clone());
    let old = carol.enroll(client, "carol", token()).await.unwrap();
    assert_eq!(old.unwrap_err().code(), Some("new-keys-needed"));
    let renewed = carol.with_new_keys().unwrap();
    let back = renewed.enroll(client, "carol", token()).await.unwrap();
    assert!(matches!(back, Ok(Enrolled::Admitted(_))), "{back:?}");
}

/// All of it stands in the audit log, which verifies.
fn check_log(installation: &Installation) {
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
    let events = [
        "node.admitted",
        "node.key-changed",
        "certificate.renewed",
        "node.revoked",
        "node.reinstated",
    ];
    for event in events {
        assert!(log.contains(event), "no {event} in {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_admitted_renewed_granted_revoked_confirmed_and_reinstated() {
    let installation = Installation::new("").unwrap();
    let server = installation.serve().unwrap();
    installation.login().unwrap();
    let client = installation.client().unwrap();
    let (alice, bob) = join_by_invite(&installation).await;
    let carol = join_by_approval(&installation, &client).await;
    let (mut alice, mut bob) = (Follower::new(alice).await, Follower::new(bob).await);
    renew(&mut alice).await;
    installation.admin(["epoch", "rotate"]).unwrap();
    alice.is_granted_the_next().await;
    bob.is_granted_the_next().await;
    alice.joined.heartbeat(Default::default()).await.unwrap();
    revoke(&installation, &carol, [&mut alice, &mut bob]).await;
    reinstate(&installation, &client, &carol.member).await;
    check_log(&installation);
    assert!(server.stop().unwrap().success());
}

/// The policy, with certificates that are short, and so young for six seconds only.
fn with_short_certificates(policy: &str) -> String {
    let (before, line) = policy
        .split_once("certificate = \"")
        .expect("the starter policy says it");
    let (_, after) = line.split_once('"').unwrap();
    format!("{before}certificate = \"10m\"{after}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_under_the_same_keys_once_it_is_not_young() {
    let installation = Installation::new("").unwrap();
    let _server = installation.serve().unwrap();
    installation.login().unwrap();
    let policy = installation.admin(["policy", "get"]).unwrap();
    let short = with_short_certificates(&policy);
    let short = installation.file("short.toml", &short).unwrap();
    let put = installation.admin_as("first", |command| {
        command.args(["policy", "put"]).arg(&short);
    });
    assert_eq!(put.unwrap().code, Some(0));
    let invite = installation.invite(&["--role", "member"]).unwrap();
    let mut alice = Member::new().unwrap().join("alice", &invite).await.unwrap();
    let (first, keys) = (alice.certificate.clone(), alice.member.clone());
    let renewed = async {
        while alice.certificate.serial == first.serial {
            alice.renew(keys.clone()).await.unwrap().unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await; // until the next question
        }
    };
    timeout(SOON, renewed).await.expect("a new certificate");
    let second = &alice.certificate;
    assert!(second.serial > first.serial && second.not_after > first.not_after);
    assert_eq!(
        (second.wireguard, second.ipv4),
        (first.wireguard, first.ipv4)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_after_a_restart_of_the_authority() {
    let installation = Installation::new("").unwrap();
    let server = installation.serve().unwrap();
    installation.login().unwrap();
    let invite = installation.invite(&["--role", "member"]).unwrap();
    let member = Member::new().unwrap().join("alice", &invite).await.unwrap();
    let mut follower = Follower::new(member).await;
    assert!(server.stop().unwrap().success());
    let session = &mut follower.session;
    let lost = timeout(SOON, async {
        while !matches!(session.next().await, SessionEvent::Lost { .. }) {}
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
        Resumed::Yes,
        "what happened meanwhile lies in the database"
    );
    installation.admin(["epoch", "rotate"]).unwrap();
    follower.is_granted_the_next().await;
}
