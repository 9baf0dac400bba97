//! An authority that lies: its words are refused and reported, and everything goes on as it last was right.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use tidegate_tests::liar::{Liar, Lie};
use tidegate_tests::overlay::{Node, Overlay, Underlay};
use tidegate_tests::{Host, wait_until};

const SOON: Duration = Duration::from_secs(30);

fn await_stream(node: &Node, open: bool) {
    wait_until(SOON, "the stream", || {
        node.status().unwrap()["authority"]["stream"] == open
    })
    .unwrap();
}

fn refusals(node: &Node) -> u64 {
    node.status().unwrap()["refused"]["count"]
        .as_u64()
        .unwrap_or(0)
}

fn has_peer(node: &Node, name: &str) -> bool {
    let status = node.status().unwrap();
    let peers = status["peers"].as_array().unwrap();
    peers.iter().any(|peer| peer["name"] == name)
}

/// What must not change by anything that a liar says.
fn accepted(node: &Node) -> [serde_json::Value; 4] {
    let status = node.status().unwrap();
    let of = |name: &str| status[name].clone();
    [
        of("revision"),
        of("policy"),
        of("certificate"),
        status["list"]["sequence"].clone(),
    ]
}

/// A policy that says the same as the one in force, under another version.
fn put_policy(overlay: &Overlay) {
    let text = overlay.admin(["policy", "get"]).unwrap();
    let path = overlay.folder().join("policy.toml");
    std::fs::write(&path, format!("{text}\n# again\n")).unwrap();
    overlay
        .admin(["policy", "put", path.to_str().unwrap()])
        .unwrap();
}

#[test]
fn what_is_changed_on_its_way_is_refused_and_asked_for_again() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let a = overlay.node("a").unwrap();
    let (b, c) = (overlay.node("b").unwrap(), overlay.node("c").unwrap());
    a.await_ping(&b).unwrap();
    a.await_ping(&c).unwrap();
    let address = b.address(0).unwrap();
    let liar = Liar::between(&a, &overlay).unwrap();
    await_stream(&a, true);
    assert_eq!(refusals(&a), 0, "an honest one in between changes nothing");

    let before = accepted(&a);
    liar.lie(Lie::Signatures).unwrap();
    overlay.admin(["revoke", "c", "--reason", "lost"]).unwrap();
    wait_until(SOON, "the list to be refused", || {
        let log = a.daemon().unwrap().output();
        log.contains("a revocation list was refused")
    })
    .unwrap();
    assert_eq!(accepted(&a), before);
    reported(&a, "does not verify");
    liar.lie(Lie::Payloads).unwrap();
    put_policy(&overlay);
    let count = refusals(&a);
    wait_until(SOON, "more to be refused", || refusals(&a) > count).unwrap();
    assert_eq!(accepted(&a), before);
    assert!(a.pings(&address), "nodes talk as before");
    liar.lie(Lie::Bytes).unwrap();
    overlay.admin(["epoch", "rotate"]).unwrap();
    await_stream(&a, false);
    assert_eq!(accepted(&a), before);
    assert!(a.pings(&address), "nodes talk as before");
    let connections = liar.connections();
    assert!(
        connections < 100,
        "{connections} connections: it does not give up"
    );

    // The same connections, from now on as they should be: nobody has to restart anything.
    liar.lie(Lie::None).unwrap();
    healed(&a, &b);
    drop(liar);
    await_stream(&a, true);
}

/// The revocation that was refused in its wrong form is applied in its right one, and confirmed.
fn healed(a: &Node, b: &Node) {
    wait_until(SOON, "the revocation", || !has_peer(a, "c")).unwrap();
    wait_until(SOON, "the receipt", || {
        a.status().unwrap()["list"]["confirmed"] == true
    })
    .unwrap();
    a.await_ping(b).unwrap();
}

/// The refusal is where people look for it.
fn reported(node: &Node, why: &str) {
    let status = node.cli(["status"]).unwrap();
    assert!(
        status.contains("refused    ") && status.contains(why),
        "{status}"
    );
    let doctor = node.try_cli(["doctor"]).unwrap().out;
    assert!(doctor.contains("was refused"), "{doctor}");
}

#[test]
fn another_authority_in_the_place_of_ours_is_believed_nothing() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let a = overlay.node("a").unwrap();
    let b = overlay.node("b").unwrap();
    a.await_ping(&b).unwrap();
    let address = b.address(0).unwrap();
    let before = accepted(&a);
    overlay.kill_authority();
    await_stream(&a, false);

    let other = impostor(&overlay);
    wait_until(SOON, "the agent to speak with it, and to say so", || {
        let authority = a.status().unwrap()["authority"].clone();
        let trouble = authority["trouble"].as_str().unwrap_or_default();
        let heard = !trouble.is_empty() && !trouble.contains("cannot be reached");
        heard && authority["stream"] == false
    })
    .unwrap();
    println!("{}", a.status().unwrap()["authority"]["trouble"]);
    assert_eq!(accepted(&a), before);
    assert!(a.pings(&address), "nodes talk as before");
    let status = a.cli(["status"]).unwrap();
    assert!(status.starts_with("up: a in demo"), "{status}");
    other.kill();

    overlay.start_authority().unwrap();
    await_stream(&a, true);
    assert_eq!(accepted(&a), before);
}

/// An authority with the same name, address and TLS key, and signing keys of its own.
fn impostor(overlay: &Overlay) -> tidegate_tests::Process {
    let program = tidegate_tests::binary("tidegate-authority").unwrap();
    let (folder, listen) = (overlay.folder().display(), overlay.listen());
    let host: &Host = overlay.authority();
    host.sh(&format!(
        "cd {folder}
         head -c 24 /dev/random | base64 > passphrase; chmod 600 passphrase
         {program} root new --out other-root.pem --passphrase-file passphrase
         {program} key new --out other-key.pem
         key=$(sed -n 's/^key = \"\\(.*\\)\"/authority\\/\\1/p' authority/authority.toml)
         pin=$(openssl pkey -in $key -pubout -outform der | openssl dgst -sha256 -binary | base64)
         {program} genesis new --name demo --ipv4 10.211.0.0/16 --root other-root.pem --passphrase-file passphrase \
            --authority-key other-key.pub --url https://{listen} --tls-pin \"$pin\" --out other-genesis.json
         {program} init --dir other --genesis other-genesis.json --key other-key.pem --tls-key $key --listen {listen}
         sed -i 's/^#level = .*/level = \"debug\"/' other/authority.toml",
        program = program.display(),
    ))
    .unwrap();
    let dir = overlay.folder().join("other");
    let arguments = ["serve".as_ref(), "--dir".as_ref(), dir.as_os_str()];
    host.spawn(program, arguments).unwrap()
}
