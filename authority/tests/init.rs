//! A whole authority by one command, or after a ceremony; and what happens when that cannot be.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod folder;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use folder::{Folder, PROGRAM, text};
use tidegate_authority::{Authority, Clock, DataDir, DataDirError, TlsKey, Work};
use tidegate_proto::TlsTrust;
use tidegate_proto::policy::OperatorRole;

/// The authority in a data directory.
async fn opened(path: &Path) -> Authority {
    let dir = DataDir::open(path).unwrap();
    let config = dir.config(None).unwrap();
    dir.tls_key(&config).unwrap();
    Authority::open(dir.options(&config, Clock::system()).unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn one_command_makes_an_authority_that_opens() {
    let folder = Folder::new();
    let said = folder.done("init --dir data --name demo --listen 127.0.0.1:7443");
    for expected in [
        "root key is still on this machine",
        "shred -u data/root.key",
        "serve --dir data",
        "operator-first.key",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    for (name, mode) in [
        ("data", 0o700),
        ("data/root.key", 0o600),
        ("data/authority.key", 0o600),
        ("data/at-rest.key", 0o600),
        ("data/tls.key", 0o600),
        ("data/tls-backup.key", 0o600),
        ("data/operator-first.key", 0o600),
        ("data/authority.db", 0o600),
        ("data/keys", 0o700),
        ("data/authority.toml", 0o644),
    ] {
        assert_eq!(folder.mode(name), mode, "{name}");
    }
    let authority = opened(&folder.path("data")).await;
    let chain = folder.chain(&["data/genesis/genesis-1.json"]);
    let genesis = chain.genesis();
    assert_eq!(authority.genesis().digest(), genesis.digest());
    assert_eq!(genesis.root, folder.key("data/root.key").public_key());
    assert_eq!(genesis.urls[0].as_str(), "https://127.0.0.1:7443");
    let TlsTrust::Pins(pins) = &genesis.tls else {
        panic!("no pins")
    };
    for key in ["data/tls.key", "data/tls-backup.key"] {
        assert!(
            pins.contains(&TlsKey::read(&folder.path(key)).unwrap().pin()),
            "{key}"
        );
    }
    let policy = authority.policy_document().await.unwrap();
    assert_eq!((policy.rules.len(), policy.operators.len()), (1, 1));
    assert_eq!(policy.operators[0].role, OperatorRole::Sovereign);
    assert_eq!(
        policy.operators[0].key,
        folder.key("data/operator-first.key").public_key()
    );
    assert_eq!(policy.epochs, genesis.epochs);
    let starter = text(&folder.read("data/policy.toml"));
    assert_eq!(
        authority.check_policy(&starter).await.unwrap().policy.rules,
        policy.rules
    );
    authority.close().await;
}

#[tokio::test]
async fn a_network_can_start_closed_and_with_an_operator_of_elsewhere() {
    let folder = Folder::new();
    folder.done("key new --out jane.pem");
    folder.done("init --dir data --name demo --url https://authority.example.org --ipv4 10.77.0.0/16 --deny-all --operator jane --operator-key jane.pub");
    let authority = opened(&folder.path("data")).await;
    let policy = authority.policy_document().await.unwrap();
    assert!(policy.rules.is_empty());
    assert_eq!(policy.operators[0].name.as_str(), "jane");
    assert_eq!(policy.operators[0].key, folder.key("jane.pem").public_key());
    assert!(!folder.path("data/operator-first.key").exists());
    authority.close().await;
}

/// Everything that an offline ceremony makes: in one folder here, on machines of their own in life.
fn ceremony(folder: &Folder, keys: usize) -> String {
    let pins: Vec<String> = ["tls.pem", "tls-spare.pem"]
        .iter()
        .map(|file| {
            folder.done(&format!("tls new --out {file}"));
            folder.done(&format!("tls pin {file}")).trim().to_owned()
        })
        .collect();
    let mut command = format!(
        "genesis new --name demo --root root.pem --ipv4 10.211.0.0/16 --url https://127.0.0.1:7443 --tls-pin {} --tls-pin {} --out genesis.json",
        pins[0], pins[1]
    );
    folder.done("root new --out root.pem");
    for at in 0..keys {
        folder.done(&format!("key new --out authority-{at}.pem"));
        command += &format!(" --authority-key authority-{at}.pub");
    }
    folder.done(&command);
    "init --dir data --genesis genesis.json --tls-key tls.pem --tls-spare tls-spare.pem".to_owned()
}

#[tokio::test]
async fn after_a_ceremony_the_keys_are_installed_and_the_root_is_not_there() {
    let folder = Folder::new();
    let init = ceremony(&folder, 1);
    let said = folder.done(&format!("{init} --key authority-0.pem"));
    assert!(!said.contains("root key"), "{said}");
    assert!(!folder.path("data/root.key").exists());
    let authority = opened(&folder.path("data")).await;
    assert_eq!(
        authority.genesis().digest(),
        folder.chain(&["genesis.json"]).genesis().digest()
    );
    authority.close().await;
}

#[tokio::test]
async fn a_succession_is_put_in_force_beside_a_running_authority_and_by_the_next_start() {
    let folder = Folder::new();
    let init = ceremony(&folder, 1);
    folder.done(&format!("{init} --key authority-0.pem"));
    folder.done("key new --out next.pem");
    folder.done("genesis succeed genesis.json --root root.pem --authority-key next.pub --out genesis-2.json");
    let line = folder.refused("genesis install genesis-2.json --dir data");
    assert!(line.contains("0 of the 1 authority keys"), "{line}");
    let line = folder.refused("genesis install genesis-2.json --dir data --key authority-0.pem");
    assert!(
        line.contains("not among the succession's authority keys"),
        "{line}"
    );

    let dir = DataDir::open(&folder.path("data")).unwrap();
    let authority = opened(dir.path()).await;
    let watcher = tokio::spawn({
        let (dir, authority) = (dir.clone(), authority.clone());
        async move { dir.watch(&authority).await }
    });
    folder.done("genesis install genesis-2.json --dir data --key next.pem");
    let second = tokio::time::timeout(Duration::from_secs(60), async {
        while authority.revision().value() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    second.await.unwrap();
    watcher.abort();
    authority.tick().await.unwrap();
    let list = authority.revocation_list().await.unwrap();
    list.verify(&authority.keyring(), authority.clock().now())
        .unwrap();
    authority.close().await;
    assert!(
        folder
            .refused("genesis install genesis-2.json --dir data")
            .contains("already")
    );

    // The third comes while the authority is down; the keys stay.
    folder.done(
        "genesis succeed genesis-2.json --root root.pem --max-lease 72h --out genesis-3.json",
    );
    folder.done("genesis install genesis-3.json --dir data");
    std::fs::remove_file(folder.path("data/authority.key")).unwrap();
    let authority = opened(dir.path()).await;
    assert_eq!(authority.revision().value(), 3);
    let policy = authority.policy().await.unwrap();
    let policy = policy
        .verify(&authority.keyring(), authority.clock().now())
        .unwrap();
    assert_eq!(policy.revision.value(), 3, "the policy was signed again");
    authority.close().await;
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let folder = Folder::new();
    let init = ceremony(&folder, 2);
    folder.done("key new --out stranger.pem");
    folder.done("tls new --out other-tls.pem");
    folder.done("genesis new --name bare --root root.pem --authority-key stranger.pub --ipv4 10.1.0.0/16 --out bare.json");
    folder.done("genesis new --name roots --root root.pem --authority-key stranger.pub --ipv4 10.1.0.0/16 --url https://a.example.org --tls-system-roots --out roots.json");
    folder.write("open.pem", &folder.read("authority-0.pem"), 0o644);
    folder.write("certificate.pem", b"nothing", 0o644);
    let both = "--key authority-0.pem --key authority-1.pem";
    let cases = [
        (
            format!("{init} --key authority-0.pem"),
            "1 of the 2 authority keys that must sign",
        ),
        (
            format!("{init} {both} --key stranger.pem"),
            "not among the genesis' authority keys",
        ),
        (
            format!("{init} --key open.pem --key authority-1.pem"),
            "open to others",
        ),
        (
            format!("init --dir data --genesis genesis.json {both}"),
            "give it with --tls-key",
        ),
        (
            format!("init --dir data --genesis genesis.json {both} --tls-key other-tls.pem"),
            "nodes would refuse to connect",
        ),
        (
            format!("init --dir data --genesis genesis.json {both} --tls-key root.pem"),
            "nodes would refuse to connect",
        ),
        (
            format!(
                "init --dir data --genesis genesis.json {both} --tls-key tls.pem --tls-spare other-tls.pem"
            ),
            "nodes would refuse",
        ),
        (
            format!(
                "init --dir data --genesis genesis.json {both} --tls-key tls.pem --tls-certificate certificate.pem"
            ),
            "no TLS key pair",
        ),
        (
            format!("init --dir data --genesis missing.json {both}"),
            "no such file",
        ),
        (
            "init --dir data --genesis bare.json --key stranger.pem --tls-key tls.pem".into(),
            "names no TLS key",
        ),
        (
            "init --dir data --genesis roots.json --key stranger.pem --tls-key tls.pem".into(),
            "systems' roots",
        ),
        (
            "init --dir data --name demo --listen 0.0.0.0:7443".into(),
            "say with --url",
        ),
        (
            "init --dir data --name demo --ipv4 8.8.8.0/24".into(),
            "8.8.8.0/24",
        ),
        (
            "init --dir nowhere/data --name demo".into(),
            "no such file or directory",
        ),
        ("init --dir root.pem --name demo".into(), "exists already"),
    ];
    for (command, expected) in cases {
        let line = folder.refused(&command);
        assert!(line.contains(expected), "{command}: {line}");
        assert!(!folder.path("data").exists(), "{command}");
        assert!(
            leftovers(&folder).is_empty(),
            "{command}: {:?}",
            leftovers(&folder)
        );
    }
    for misuse in [
        "init --dir data",
        "init --name demo",
        "init --dir data --name demo --genesis genesis.json",
        "init --dir data --genesis genesis.json",
    ] {
        folder.misused(misuse);
    }
}

/// Hidden folders that were left behind.
fn leftovers(folder: &Folder) -> Vec<String> {
    let names = std::fs::read_dir(folder.root()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
}

#[test]
fn an_empty_folder_is_filled_and_any_other_is_left_alone() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("empty")).unwrap();
    folder.done("init --dir empty --name demo");
    let before = folder.read("empty/authority.key");
    let line = folder.refused("init --dir empty --name demo");
    assert!(line.contains("exists already"), "{line}");
    assert_eq!(folder.read("empty/authority.key"), before);
}

#[tokio::test]
async fn a_killed_init_leaves_nothing_or_all() {
    let folder = Folder::new();
    let mut made = 0;
    for round in 0..24 {
        let mut process = Command::new(PROGRAM)
            .args(["init", "--dir", "data", "--name", "demo"])
            .current_dir(folder.root())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(round * 4)); // where it is killed is chance
        process.kill().unwrap();
        process.wait().unwrap();
        if folder.path("data").exists() {
            opened(&folder.path("data")).await.close().await;
            std::fs::remove_dir_all(folder.path("data")).unwrap();
            made += 1;
        }
    }
    folder.done("init --dir data --name demo");
    assert_eq!(
        leftovers(&folder),
        [""; 0],
        "the next one removes what killed ones left ({made} of 24 got through)"
    );
    opened(&folder.path("data")).await.close().await;
}

#[test]
fn a_full_disk_leaves_nothing() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("mounted")).unwrap();
    for size in ["16k", "64k", "200k"] {
        let script = format!(
            "mount -t tmpfs -o size={size},mode=700 none mounted; status=0; \
             \"$0\" init --dir mounted/data --name demo || status=$?; ls -A mounted; exit $status"
        );
        let output = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-euc",
                &script,
                PROGRAM,
            ])
            .current_dir(folder.root())
            .output()
            .unwrap();
        let line = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{size}: {line}");
        assert!(
            line.contains("no space left") || line.contains("disk is full"),
            "{size}: {line}"
        );
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert_eq!(text(&output.stdout), "", "{size} left something");
    }
}

#[test]
fn one_at_a_time_works_in_a_directory() {
    let folder = Folder::new();
    folder.done("init --dir data --name demo");
    let dir = DataDir::open(&folder.path("data")).unwrap();
    let serving = dir.lock(Work::Serve).unwrap();
    let again = dir.lock(Work::Serve).unwrap_err();
    assert!(
        again.to_string().contains("in use by a running server"),
        "{again}"
    );
    dir.lock(Work::Backup).unwrap();
    drop(serving);
    dir.lock(Work::Serve).unwrap();
}

#[test]
fn a_directory_that_others_can_read_is_refused() {
    let folder = Folder::new();
    folder.done("init --dir data --name demo");
    folder.chmod("data", 0o750);
    let refused = DataDir::open(&folder.path("data")).unwrap_err();
    assert!(matches!(refused, DataDirError::File(_)), "{refused}");
    assert!(refused.to_string().contains("open to others"), "{refused}");
    assert!(matches!(
        DataDir::open(folder.root()),
        Err(DataDirError::None(_))
    ));
    assert!(matches!(
        DataDir::open(&folder.path("missing")),
        Err(DataDirError::None(_))
    ));
}
