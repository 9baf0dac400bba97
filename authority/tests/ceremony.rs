//! A whole ceremony: keys on machines of their own, the genesis signed on one and verified on another.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod folder;

use folder::{Folder, judge};
use tidegate_proto::{Digest, KeyId, Span, UnixTime, VerifyError};

const NOW: UnixTime = UnixTime::from_millis(1_800_000_000_000);

#[test]
fn root_offline_genesis_signed_verified_elsewhere() {
    let [vault, server, elsewhere] = [Folder::new(), Folder::new(), Folder::new()];
    vault.done("root new --out root.pem");
    server.done("key new --out authority.pem");
    server.carry("authority.pub", &vault);
    let said = vault.done(
        "genesis new --name demo --root root.pem --authority-key authority.pub --ipv4 10.211.0.0/16 --out genesis.json",
    );
    vault.carry("genesis.json", &elsewhere);

    let spoken = said
        .lines()
        .find_map(|line| line.strip_prefix("Hash: "))
        .unwrap();
    let verified = elsewhere.run_with(&["genesis", "verify", "genesis.json", "--hash", spoken]);
    assert!(verified.status.success());
    assert!(folder::text(&verified.stdout).contains("Good: "));

    let chain = elsewhere.chain(&["genesis.json"]);
    let authority = server.key("authority.pem");
    assert_eq!(judge(&chain, &[&authority], NOW), Ok(()));
    let root = vault.key("root.pem");
    let stranger = KeyId::of(&root.public_key());
    assert_eq!(
        judge(&chain, &[&root], NOW),
        Err(VerifyError::UnknownSigner(stranger))
    );

    assert_eq!(vault.names(), ["authority.pub", "genesis.json", "root.pem"]);
    assert_eq!(server.names(), ["authority.pem", "authority.pub"]);
    assert_eq!(
        (vault.mode("root.pem"), server.mode("authority.pem")),
        (0o600, 0o600)
    );
}

#[test]
fn private_files_are_private_whatever_the_umask_says() {
    for umask in ["0000", "0277", "0777"] {
        let folder = Folder::new();
        let script = format!("umask {umask}; exec \"$0\" key new --out authority.pem");
        let status = std::process::Command::new("sh")
            .args(["-c", &script, folder::PROGRAM])
            .current_dir(folder.root())
            .stdout(std::process::Stdio::null())
            .status();
        assert!(status.unwrap().success());
        assert_eq!(folder.mode("authority.pem"), 0o600, "umask {umask}");
    }
}

#[test]
fn two_of_three_authorities_must_sign() {
    let folder = Folder::new();
    folder.done("root new --out root.pem");
    for name in ["a", "b", "c"] {
        folder.done(&format!("key new --out {name}.pem"));
    }
    folder.done(
        "genesis new --name demo --root root.pem --authority-key a.pub --authority-key b.pub --authority-key c.pub --threshold 2 --ipv4 10.211.0.0/16 --out genesis.json",
    );
    let chain = folder.chain(&["genesis.json"]);
    let [a, b, c] = ["a.pem", "b.pem", "c.pem"].map(|name| folder.key(name));
    for pair in [[&a, &b], [&b, &c], [&c, &a]] {
        assert_eq!(judge(&chain, &pair, NOW), Ok(()));
    }
    let alone = VerifyError::Threshold {
        valid: 1,
        threshold: 2,
    };
    assert_eq!(judge(&chain, &[&a], NOW), Err(alone));
    let twice = VerifyError::RepeatedSigner(KeyId::of(&a.public_key()));
    assert_eq!(judge(&chain, &[&a, &a], NOW), Err(twice));
}

#[test]
fn more_than_half_of_the_authorities_must_sign_unless_somebody_says_otherwise() {
    let folder = Folder::new();
    folder.done("root new --out root.pem");
    let mut keys = String::new();
    for (number, threshold) in [(1, 1), (2, 2), (3, 2), (4, 3)] {
        folder.done(&format!("key new --out {number}.pem"));
        keys += &format!(" --authority-key {number}.pub");
        folder.done(&format!(
            "genesis new --name demo --root root.pem{keys} --ipv4 10.211.0.0/16 --out {number}.json"
        ));
        let shown = folder.json(&format!("genesis inspect {number}.json --json"));
        assert_eq!(shown["genesis"]["authority"]["threshold"], threshold);
    }
}

#[test]
fn an_encrypted_root_signs_with_its_passphrase_only() {
    let folder = Folder::new();
    folder.write("passphrase", b"correct horse\nbattery", 0o600);
    folder.write("other", b"wrong horse\n", 0o600);
    folder.done("root new --out root.pem --passphrase-file passphrase");
    folder.done("key new --out authority.pem");
    assert!(folder::text(&folder.read("root.pem")).contains("ENCRYPTED"));
    let new = "genesis new --name demo --root root.pem --authority-key authority.pub --ipv4 10.211.0.0/16 --out genesis.json";
    assert!(folder.refused(new).contains("--passphrase-file"));
    let wrong = folder.refused(&format!("{new} --passphrase-file other"));
    assert!(wrong.contains("the passphrase does not open the key"));
    folder.done(&format!("{new} --passphrase-file passphrase"));
    let succeed = "genesis succeed genesis.json --root root.pem --epoch 10m --out genesis-2.json";
    folder.refused(succeed);
    folder.done(&format!("{succeed} --passphrase-file passphrase"));
    folder.done("genesis verify genesis-2.json --chain genesis.json");
}

#[test]
fn every_option_reaches_the_genesis() {
    let folder = Folder::with_keys();
    let pins = [Digest::of(b"in use"), Digest::of(b"spare")];
    let [anchor, policy] = [
        folder.key("authority.pem").public_key(),
        folder.key("root.pem").public_key(),
    ];
    let policy = Digest::of(policy.as_bytes());
    folder.done(&format!(
        "genesis new --name demo-2 --root root.pem --authority-key authority.pub --threshold 1 \
         --ipv4 10.211.0.0/16 --ipv4 100.64.0.0/16 --ipv6 fd00:1:2::/48 \
         --url https://a.example.org --url https://b.example.org:7443 --tls-pin {} --tls-pin {} \
         --anchor {anchor}@192.0.2.7:51820 --anchor {anchor}@[2001:db8::7]:51820 --policy {policy} \
         --epoch 10m --overlap 20s --lead 1m --offline-tolerance 2h --certificate 12h \
         --max-epoch 1h --max-overlap 1m --max-lead 10m --max-lease 4h --max-certificate 2d --out genesis.json",
        pins[0], pins[1]
    ));
    let chain = folder.chain(&["genesis.json"]);
    let genesis = chain.genesis();
    let (epochs, ceilings) = (genesis.epochs, genesis.ceilings);
    assert_eq!(genesis.name.as_str(), "demo-2");
    assert_eq!(genesis.ipv4.len(), 2);
    assert_eq!(genesis.ipv6.to_string(), "fd00:1:2::/48");
    assert_eq!(genesis.urls[1].as_str(), "https://b.example.org:7443");
    assert_eq!(
        (genesis.anchors.len(), genesis.anchors[0].endpoints.len()),
        (1, 2)
    );
    assert_eq!(genesis.policy, Some(policy));
    let span = |text: &str| text.parse::<Span>().unwrap();
    assert_eq!(
        [
            epochs.epoch,
            epochs.overlap,
            epochs.lead,
            epochs.offline_tolerance,
            epochs.certificate
        ],
        ["10m", "20s", "1m", "2h", "12h"].map(span)
    );
    assert_eq!(
        [
            ceilings.epoch,
            ceilings.overlap,
            ceilings.lead,
            ceilings.lease,
            ceilings.certificate
        ],
        ["1h", "1m", "10m", "4h", "2d"].map(span)
    );
    let page = folder.done("genesis inspect genesis.json");
    let pins = pins.map(|pin| pin.to_string());
    let anchors = format!("{anchor} at 192.0.2.7:51820, [2001:db8::7]:51820");
    for part in [
        "demo-2",
        "10.211.0.0/16",
        "100.64.0.0/16",
        "fd00:1:2::/48",
        "https://a.example.org",
        &pins[0],
        &pins[1],
        &anchors,
        &policy.to_string(),
        "epoch 10m, overlap 20s",
        "epoch 1h, overlap 1m",
        "131m after a revocation",
        "up to 250m",
        "1 of 1 must sign",
        "ed25519-x25519-xwing-v1",
        &chain.genesis().network.to_string(),
        &chain.genesis().digest().to_string(),
    ] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
}

#[test]
fn a_lead_goes_with_its_epoch() {
    let folder = Folder::with_keys();
    folder.done(
        "genesis new --name demo --root root.pem --authority-key authority.pub --ipv4 10.211.0.0/16 --epoch 5s --overlap 1s --out genesis.json",
    );
    let chain = folder.chain(&["genesis.json"]);
    assert_eq!(chain.genesis().epochs.lead, Span::from_secs(1));
}

#[test]
fn two_networks_of_one_root_share_neither_id_nor_addresses() {
    let folder = Folder::with_network();
    folder.done(
        "genesis new --name demo --root root.pem --authority-key authority.pub --ipv4 10.211.0.0/16 --out other.json",
    );
    let [one, other] = ["genesis.json", "other.json"].map(|name| folder.chain(&[name]));
    assert_ne!(one.network(), other.network());
    assert_ne!(one.genesis().ipv6, other.genesis().ipv6);
}

#[test]
fn a_verdict_in_json_says_what_it_rests_on() {
    let folder = Folder::with_network();
    let hash = folder.chain(&["genesis.json"]).genesis().digest();
    let verdict = folder.json("genesis verify genesis.json --json");
    assert_eq!(
        (&verdict["revision"], &verdict["trusted"]),
        (&1.into(), &false.into())
    );
    let verdict = folder.json(&format!("genesis verify genesis.json --json --hash {hash}"));
    assert_eq!(verdict["hash"], hash.to_string());
    assert_eq!(verdict["trusted"], true);
}

#[test]
fn nothing_prints_a_secret() {
    let folder = Folder::with_network();
    let shown = [
        folder.done("key new --out new.pem"),
        folder.done("genesis inspect genesis.json"),
        folder.done("genesis inspect genesis.json --json"),
        folder.done("genesis succeed genesis.json --root root.pem --authority-key new.pub --out genesis-2.json"),
        folder.refused("genesis new --name demo --root root.pem --authority-key new.pem --ipv4 10.0.0.0/8 --out g"),
    ];
    for name in ["root.pem", "authority.pem", "new.pem"] {
        let pem = folder::text(&folder.read(name));
        let secret = pem.lines().nth(1).unwrap();
        assert!(
            shown.iter().all(|text| !text.contains(&secret[20..])),
            "{name}"
        );
    }
}

#[test]
fn help_is_there_for_every_command() {
    let folder = Folder::new();
    for command in [
        "",
        "root",
        "root new",
        "key",
        "key new",
        "genesis",
        "genesis new",
        "genesis verify",
        "genesis inspect",
        "genesis succeed",
    ] {
        assert!(folder.done(&format!("{command} --help")).contains("Usage:"));
    }
}
