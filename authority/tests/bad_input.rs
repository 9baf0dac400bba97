//! Everything that is wrong is refused in one line that says what, why and what to do; nothing is written.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod folder;

use std::os::unix::fs::symlink;

use folder::{Folder, text};

const NEW: &str = "genesis new --name demo --root root.pem --authority-key authority.pub --ipv4 10.211.0.0/16 --out genesis.json";

/// `NEW` with one part of it replaced.
fn new_with(part: &str, other: &str) -> String {
    assert!(NEW.contains(part));
    NEW.replace(part, other)
}

#[test]
fn a_key_of_the_wrong_kind() {
    let folder = Folder::with_keys();
    folder.write("rubbish", b"hello", 0o600);
    folder.write("binary", &[0xff; 200], 0o600);
    folder.write("empty", b"", 0o600);
    let cases = [
        (
            "--root root.pem",
            "--root authority.pub",
            "authority.pub is open to others",
        ),
        ("--root root.pem", "--root rubbish", "not a PEM key file"),
        ("--root root.pem", "--root binary", "not a PEM key file"),
        ("--root root.pem", "--root empty", "not a PEM key file"),
        ("authority.pub", "authority.pem", "give the .pub file"),
        ("authority.pub", "rubbish", "not a PEM key file"),
    ];
    for (part, other, why) in cases {
        let line = folder.refused(&new_with(part, other));
        assert!(line.contains(why), "{line}");
    }
    folder.chmod("authority.pub", 0o600);
    let line = folder.refused(&new_with("--root root.pem", "--root authority.pub"));
    assert!(line.contains("give the .pem file"), "{line}");
}

#[test]
fn a_key_or_a_passphrase_that_others_can_read() {
    let folder = Folder::with_keys();
    folder.write("passphrase", b"correct horse\n", 0o600);
    for mode in [0o644, 0o640, 0o604, 0o660, 0o606] {
        folder.chmod("root.pem", mode);
        let line = folder.refused(NEW);
        let remedy = format!("(mode {mode:04o}); run: chmod 600 root.pem");
        assert!(line.contains(&remedy), "{line}");
    }
    folder.chmod("root.pem", 0o400);
    for mode in [0o644, 0o640, 0o604] {
        folder.chmod("passphrase", mode);
        for command in [NEW, "root new --out second.pem"] {
            let line = folder.refused(&format!("{command} --passphrase-file passphrase"));
            assert!(line.contains("run: chmod 600 passphrase"), "{line}");
        }
    }
    folder.done(NEW);
}

#[test]
fn a_passphrase_that_is_empty_or_too_long() {
    let folder = Folder::new();
    folder.write("empty", b"\nsecond line", 0o600);
    folder.write("long", &[b'a'; 9000], 0o600);
    for (name, why) in [
        ("empty", "the first line of empty is empty"),
        ("long", "more than"),
    ] {
        let line = folder.refused(&format!("root new --out root.pem --passphrase-file {name}"));
        assert!(line.contains(why), "{line}");
    }
}

#[test]
fn a_passphrase_for_a_key_that_has_none() {
    let folder = Folder::with_keys();
    folder.write("passphrase", b"correct horse\n", 0o600);
    let line = folder.refused(&format!("{NEW} --passphrase-file passphrase"));
    assert!(
        line.contains("root.pem is not protected by a passphrase"),
        "{line}"
    );
    folder.done(NEW);
}

#[test]
fn a_file_that_is_none() {
    let folder = Folder::with_keys();
    let cases = [
        ("--root root.pem", "--root missing.pem", "no such file"),
        ("--root root.pem", "--root .", "is not a regular file"),
        ("authority.pub", "/dev/zero", "is not a regular file"),
        ("authority.pub", "root.pem/key.pub", "not a directory"),
    ];
    for (part, other, why) in cases {
        let line = folder.refused(&new_with(part, other));
        assert!(line.contains(why), "{line}");
    }
    let line = folder.refused("genesis verify missing.json");
    assert!(
        line.contains("cannot read missing.json: no such file"),
        "{line}"
    );
}

#[test]
fn an_address_range_that_cannot_be() {
    let folder = Folder::with_keys();
    let range = "--ipv4 10.211.0.0/16";
    let cases = [
        ("--ipv4 10.211.0.1/16", "no bit set behind its length"),
        ("--ipv4 10.211.0.0", "is no network prefix"),
        ("--ipv4 10.211.0.0/33", "is no network prefix"),
        ("--ipv4 8.8.8.0/24", "cannot be the overlay's IPv4 range"),
        ("--ipv4 10.0.0.0/31", "cannot be the overlay's IPv4 range"),
        ("--ipv4 fd00::/48", "cannot be the overlay's IPv4 range"),
        (
            "--ipv4 10.211.0.0/16 --ipv4 10.211.8.0/24",
            "10.211.0.0/16 and 10.211.8.0/24 overlap",
        ),
        (
            "--ipv4 10.211.0.0/16 --ipv4 10.211.0.0/16",
            "overlap; choose ranges",
        ),
        (
            "--ipv4 10.211.0.0/16 --ipv6 fe80::/48",
            "take a /48 inside fd00::/8",
        ),
        (
            "--ipv4 10.211.0.0/16 --ipv6 fd00::/64",
            "take a /48 inside fd00::/8",
        ),
        (
            "--ipv4 10.1.0.0/16 --ipv4 10.2.0.0/16 --ipv4 10.3.0.0/16 --ipv4 10.4.0.0/16 --ipv4 10.5.0.0/16",
            "at most 4",
        ),
    ];
    for (other, why) in cases {
        let line = folder.refused(&new_with(range, other));
        assert!(line.contains(why), "{line}");
    }
}

#[test]
fn a_threshold_that_cannot_be_met() {
    let folder = Folder::with_keys();
    for threshold in [0, 2, 4_294_967_295_u32] {
        let line = folder.refused(&format!("{NEW} --threshold {threshold}"));
        assert!(line.contains("cannot be met by 1 distinct keys"), "{line}");
    }
    folder.refused(&format!("{NEW} --threshold 4294967296"));
    folder.refused(&format!("{NEW} --threshold many"));
}

#[test]
fn one_key_in_two_places() {
    let folder = Folder::with_keys();
    folder.write("copy.pub", &folder.read("authority.pub"), 0o644);
    for threshold in ["", "--threshold 1", "--threshold 2"] {
        let line = folder.refused(&format!("{NEW} --authority-key copy.pub {threshold}"));
        assert!(
            line.contains("is given twice, and a key counts once"),
            "{line}"
        );
    }
    let line = folder.refused(&new_with("root.pem", "authority.pem"));
    assert!(
        line.contains("the root key is also an authority key"),
        "{line}"
    );
}

#[test]
fn settings_above_their_ceilings() {
    let folder = Folder::with_keys();
    let cases = [
        (
            "--epoch 5h",
            "the epoch is 5h; the genesis ceiling allows at most 4h",
        ),
        ("--epoch 1s", "it must be at least 2s"),
        (
            "--overlap 11m --epoch 1h",
            "the overlap is 11m; the genesis ceiling",
        ),
        ("--overlap 8m", "half an epoch allows"),
        ("--lead 16m", "one epoch allows"),
        (
            "--lead 2h --epoch 3h",
            "the lead is 2h; the genesis ceiling",
        ),
        (
            "--offline-tolerance 48h",
            "the lease (epoch and offline tolerance)",
        ),
        (
            "--certificate 8d",
            "the certificate validity is 8d; the genesis ceiling",
        ),
        (
            "--max-certificate 1h",
            "the certificate validity is 1d; the genesis ceiling",
        ),
        ("--epoch 15", "is no length of time"),
    ];
    for (options, why) in cases {
        let line = folder.refused(&format!("{NEW} {options}"));
        assert!(line.contains(why), "{line}");
    }
    folder.done(&format!("{NEW} --epoch 5h --max-epoch 5h"));
}

#[test]
fn whereabouts_that_cannot_be() {
    let folder = Folder::with_keys();
    let key = folder.key("authority.pem").public_key();
    let url = "--url https://a.example.org";
    let pin = |byte| {
        format!(
            "--tls-pin {}",
            tidegate_proto::TlsPin::from_bytes([byte; 32])
        )
    };
    let (one, two, three) = (pin(1), pin(2), pin(3));
    let anchors: String = (1..6)
        .map(|n| format!("--anchor {key}@192.0.2.{n}:51820 "))
        .collect();
    let cases = [
        (
            url.to_owned(),
            "give its pin with --tls-pin, or --tls-system-roots",
        ),
        (format!("{url} {url} {one}"), "is given twice"),
        (
            format!("{url} {one} {one}"),
            "the two TLS pins are the same",
        ),
        (
            format!("{url} {one} {two} {three}"),
            "more than two TLS pins",
        ),
        (format!("{one}="), "base64"),
        (
            "--url http://a.example.org".to_owned(),
            "is no authority URL",
        ),
        (
            "--anchor 192.0.2.7:51820".to_owned(),
            "write it like KEY@192.0.2.7:51820",
        ),
        (
            "--anchor AAAA@192.0.2.7:51820".to_owned(),
            "identity key in base64",
        ),
        (format!("--anchor {key}@192.0.2.7"), "is no endpoint"),
        (
            format!("--anchor {key}@192.0.2.7:1 --anchor {key}@192.0.2.7:1"),
            "is given twice",
        ),
        (anchors, "at most four endpoints"),
        ("--policy rubbish".to_owned(), "base64"),
    ];
    for (options, why) in cases {
        let line = folder.refused(&format!("{NEW} {options}"));
        assert!(line.contains(why), "{options}: {line}");
    }
    let line = folder.refused(&new_with("--name demo", "--name De_mo"));
    assert!(line.contains("a network name has"), "{line}");
}

#[test]
fn an_output_that_exists_stays_as_it_is() {
    let folder = Folder::with_network();
    folder.write("key.pub", b"mine", 0o644);
    symlink("nowhere", folder.path("link.pem")).unwrap();
    for command in [
        "root new --out root.pem",
        "key new --out authority.pem",
        "key new --out key.pem",
        "key new --out link.pem",
        NEW,
        "genesis succeed genesis.json --root root.pem --epoch 10m --out genesis.json",
        "genesis succeed genesis.json --root root.pem --epoch 10m --out authority.pub",
    ] {
        let line = folder.refused(command);
        assert!(
            line.contains("exists already and is never replaced"),
            "{line}"
        );
    }
    let line = folder.refused("key new --out second.pub");
    assert!(line.contains("does not end in .pub"), "{line}");
    assert!(!folder.path("nowhere").exists());
}

#[test]
fn a_genesis_that_is_none() {
    let folder = Folder::with_network();
    let genesis = text(&folder.read("genesis.json"));
    let mut flipped = folder.read("genesis.json");
    let payload = genesis.find("\"payload\":\"").unwrap() + 40;
    flipped[payload] = if flipped[payload] == b'A' { b'B' } else { b'A' };
    let files: [(&str, Vec<u8>); 8] = [
        ("empty", Vec::new()),
        ("rubbish", b"hello".to_vec()),
        ("cut-off", genesis.as_bytes()[..genesis.len() / 2].to_vec()),
        ("flipped", flipped),
        ("longer", format!("{genesis} x").into_bytes()),
        (
            "unknown-member",
            genesis.replacen('{', "{\"extra\":1,", 1).into_bytes(),
        ),
        (
            "other-kind",
            genesis
                .replace("vnd.tidegate.genesis.", "vnd.tidegate.policy.")
                .into_bytes(),
        ),
        (
            "newer-version",
            genesis.replace(".v1+json", ".v2+json").into_bytes(),
        ),
    ];
    folder.write("huge", &[b' '; 200_000], 0o644);
    for (name, bytes) in &files {
        folder.write(name, bytes, 0o644);
        for command in [
            "verify",
            "inspect",
            "succeed --root root.pem --epoch 10m --out next.json",
        ] {
            let (command, options) = command.split_once(' ').unwrap_or((command, ""));
            folder.refused(&format!("genesis {command} {name} {options}"));
        }
    }
    let line = folder.refused("genesis verify huge");
    assert!(line.contains("more than 131072 bytes"), "{line}");
    assert!(
        folder
            .refused("genesis verify newer-version")
            .contains("version 2")
    );
    assert!(
        folder
            .refused("genesis verify other-kind")
            .contains("where a genesis is needed")
    );
}

#[test]
fn a_genesis_of_another_network_or_of_another_hash() {
    let [ours, theirs] = [Folder::with_network(), Folder::with_network()];
    let hash = ours.chain(&["genesis.json"]).genesis().digest();
    theirs.done("genesis succeed genesis.json --root root.pem --epoch 10m --out genesis-2.json");
    ours.write("theirs.json", &theirs.read("genesis.json"), 0o644);
    ours.write("theirs-2.json", &theirs.read("genesis-2.json"), 0o644);
    let line = ours.refused(&format!("genesis verify theirs.json --hash {hash}"));
    assert!(line.contains("the trusted hash is"), "{line}");
    let line = ours.refused("genesis verify theirs-2.json --chain genesis.json");
    assert!(line.contains("may not sign this"), "{line}");
    let line = ours.refused("genesis verify theirs.json --hash 12ab");
    assert!(line.contains("this is no genesis hash"), "{line}");
}

#[test]
fn a_command_line_that_makes_no_sense() {
    let folder = Folder::with_network();
    for command in [
        "root new",
        "key new",
        "genesis verify",
        "genesis new --name demo",
        "root new --out a.pem --out b.pem",
        "key new --out a.pem --colour red",
        "found",
        "genesis succeed genesis.json --root root.pem --out g --no-policy --policy AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ] {
        assert!(folder.misused(command).contains("--help"), "{command}");
    }
    let line = folder.misused(&format!("{NEW} --tls-system-roots --tls-pin {:A<43}=", ""));
    assert!(line.contains("cannot be used with"), "{line}");
    assert_eq!(folder.run("").status.code(), Some(2));
}

#[test]
fn a_file_name_cannot_play_tricks_with_a_terminal() {
    let folder = Folder::new();
    let output = folder.run_with(&["genesis", "verify", "a\u{1b}[2J\nb"]);
    let line = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        !line.contains('\u{1b}') && line.matches('\n').count() == 1,
        "{line:?}"
    );
}
