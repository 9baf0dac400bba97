//! Backups beside a running authority, and what comes back out of them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod folder;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use folder::{Folder, PROGRAM, text};
use tidegate_authority::service::{Caller, Event};
use tidegate_authority::store::StoreError;
use tidegate_authority::{Authority, Clock, DataDir, Work};
use tidegate_proto::{Reason, Sequence};

async fn opened(path: &Path) -> Authority {
    let dir = DataDir::open(path).unwrap();
    let config = dir.config(None).unwrap();
    Authority::open(dir.options(&config, Clock::system()).unwrap())
        .await
        .unwrap()
}

/// A folder with an authority in `data` and a passphrase.
fn with_authority() -> Folder {
    let folder = Folder::new();
    folder.done("init --dir data --name demo");
    folder.write("passphrase", b"five random words they say\n", 0o600);
    folder.write("other", b"five other random words\n", 0o600);
    folder
}

const BACKUP: &str = "backup --dir data --out backup --passphrase-file passphrase";
const RESTORE: &str = "restore --dir back --from backup --passphrase-file passphrase";

/// The names of all events in the log.
async fn events(authority: &Authority) -> Vec<String> {
    let (mut names, mut after) = (Vec::new(), Sequence::default());
    loop {
        let page = authority.audit(after, None).await.unwrap();
        let Some(last) = page.last() else {
            return names;
        };
        after = last.record.sequence;
        names.extend(page.iter().map(|one| one.record.event.to_string()));
    }
}

/// Backs up while epochs are begun without a pause.
async fn back_up_while_busy(folder: &Folder, running: &Authority) {
    let stop = Arc::new(AtomicBool::new(false));
    let busy = tokio::spawn({
        let (authority, stop) = (running.clone(), Arc::clone(&stop));
        async move {
            while !stop.load(Ordering::SeqCst) {
                authority.rotate(Caller::system()).await.unwrap();
            }
        }
    });
    let said = folder.done(BACKUP);
    stop.store(true, Ordering::SeqCst);
    busy.await.unwrap();
    assert!(said.contains("try it once"), "{said}");
    let made = Event::BackupMade.to_string();
    assert!(events(running).await.contains(&made));
}

/// Nothing of what is in it can be read, by anybody but its owner or by them.
fn check_sealed(folder: &Folder) {
    assert_eq!(folder.mode("backup"), 0o600);
    let bytes = folder.read("backup");
    for secret in ["authority.key", "tls.key", "root.key", "at-rest.key"] {
        let text = folder.read(&format!("data/{secret}"));
        let middle = &text[text.len() / 2 - 8..text.len() / 2 + 8];
        let found = bytes.windows(16).any(|window| window == middle);
        assert!(!found, "{secret}");
    }
    assert!(!bytes.windows(15).any(|window| window == b"SQLite format 3"));
    assert!(!folder.path("data/.backup.db").exists());
}

/// Every file is back as it was, but for the keys that do not belong there.
fn check_files(folder: &Folder) {
    let back = [
        "authority.key",
        "at-rest.key",
        "tls.key",
        "tls-backup.key",
        "tls.crt",
        "authority.toml",
        "policy.toml",
        "genesis/genesis-1.json",
    ];
    for name in back {
        let (was, is) = (format!("data/{name}"), format!("back/{name}"));
        assert_eq!(folder.read(&was), folder.read(&is), "{name}");
        assert_eq!(folder.mode(&was), folder.mode(&is), "{name}");
    }
    for absent in ["root.key", "operator-first.key", "backup.json"] {
        assert!(!folder.path(&format!("back/{absent}")).exists(), "{absent}");
    }
}

/// It gives nothing out before its recovery is over, and no number again after it.
async fn check_recovery(restored: &Authority, running: &Authority) {
    assert!(restored.recovery().await.unwrap().is_some());
    let refused = restored.rotate(Caller::system()).await.unwrap_err();
    let recovering = StoreError::Recovering.to_string();
    assert!(refused.to_string().contains(&recovering), "{refused}");
    let logged = events(restored).await;
    for event in [Event::Restored, Event::LedgerGap] {
        assert!(logged.contains(&event.to_string()), "{event}");
    }
    let reason: Reason = "there were no nodes".parse().unwrap();
    let ended = restored.override_recovery(reason, Caller::system());
    ended.await.unwrap();
    restored.tick().await.unwrap();
    let last = async |authority: &Authority| {
        let epochs = authority.epochs().await.unwrap();
        epochs.last().map(|epoch| epoch.number)
    };
    let (before, after) = (last(running).await, last(restored).await);
    assert!(after > before, "no epoch comes again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_beside_a_running_authority_comes_back_whole_and_recovering() {
    let folder = with_authority();
    let data = DataDir::open(&folder.path("data")).unwrap();
    let serving = data.lock(Work::Serve).unwrap();
    let running = opened(&folder.path("data")).await;
    running.tick().await.unwrap();
    back_up_while_busy(&folder, &running).await;
    check_sealed(&folder);
    let said = folder.done(RESTORE);
    let warning = "Never let the authority that it was copied from run again";
    assert!(said.contains(warning), "{said}");
    check_files(&folder);
    let restored = opened(&folder.path("back")).await;
    check_recovery(&restored, &running).await;
    running.close().await;
    restored.close().await;
    drop(serving);
    for dir in ["data", "back"] {
        let verified = folder.done(&format!("audit verify --dir {dir}"));
        assert!(verified.starts_with("Good: "), "{verified}");
    }
}

#[test]
fn what_is_not_right_is_said_and_nothing_is_written() {
    let folder = with_authority();
    folder.done(BACKUP);
    folder.write("short", b"short\n", 0o600);
    folder.write("empty", b"\n", 0o600);
    folder.write("cut", &folder.read("backup")[..100_000], 0o600);
    folder.write("front", &folder.read("backup")[..20], 0o600);
    let mut flipped = folder.read("backup");
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    folder.write("flipped", &flipped, 0o600);
    std::fs::create_dir(folder.path("taken")).unwrap();
    folder.write("taken/file", b"mine", 0o644);
    let cases = [
        (BACKUP, "exists already"),
        (
            "backup --dir data --out new --passphrase-file short",
            "choose a longer one",
        ),
        (
            "backup --dir data --out new --passphrase-file empty",
            "is empty",
        ),
        (
            "backup --dir data --out new --passphrase-file missing",
            "no such file",
        ),
        (
            "backup --dir nowhere --out new --passphrase-file passphrase",
            "no data directory",
        ),
        (
            "backup --dir taken --out new --passphrase-file passphrase",
            "no data directory",
        ),
        (
            "backup --dir data --out nowhere/new --passphrase-file passphrase",
            "no such file or directory",
        ),
        (
            "restore --dir back --from backup --passphrase-file other",
            "the passphrase does not open it",
        ),
        (
            "restore --dir back --from cut --passphrase-file passphrase",
            "damaged or cut off",
        ),
        (
            "restore --dir back --from flipped --passphrase-file passphrase",
            "damaged or cut off",
        ),
        (
            "restore --dir back --from front --passphrase-file passphrase",
            "no backup that this version can read",
        ),
        (
            "restore --dir back --from data/authority.db --passphrase-file passphrase",
            "no backup that this version can read",
        ),
        (
            "restore --dir back --from missing --passphrase-file passphrase",
            "no such file",
        ),
        (
            "restore --dir taken --from backup --passphrase-file passphrase",
            "exists already",
        ),
        (
            "restore --dir data --from backup --passphrase-file passphrase",
            "exists already",
        ),
    ];
    for (command, expected) in cases {
        let line = folder.refused(command);
        assert!(line.contains(expected), "{command}: {line}");
    }
    assert!(!folder.path("back").exists());
    assert_eq!(leftovers(folder.root()), [""; 0]);
}

/// Hidden files and folders.
fn leftovers(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
}

#[test]
fn without_a_terminal_there_has_to_be_a_passphrase_file() {
    let folder = with_authority();
    let output = Command::new("setsid")
        .args([
            "--wait", PROGRAM, "backup", "--dir", "data", "--out", "backup",
        ])
        .current_dir(folder.root())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let line = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(line.contains("--passphrase-file"), "{line}");
    assert!(!folder.path("backup").exists());
}

#[test]
fn a_passphrase_can_be_typed_and_is_not_shown() {
    let folder = with_authority();
    let command = format!("stty rows 24 cols 500; {PROGRAM} backup --dir data --out backup");
    let mut script = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .current_dir(folder.root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keyboard = script.stdin.take().unwrap();
    let mut screen = script.stdout.take().unwrap();
    let mut seen = Vec::new();
    for question in ["Passphrase of the backup: ", "Once more: "] {
        read_until(&mut screen, question, &mut seen);
        std::io::Write::write_all(&mut keyboard, b"five random words they say\n").unwrap();
    }
    std::io::Read::read_to_end(&mut screen, &mut seen).unwrap();
    assert!(
        script.wait().unwrap().success(),
        "{}",
        String::from_utf8_lossy(&seen)
    );
    assert!(
        !String::from_utf8_lossy(&seen).contains("random words"),
        "it was shown"
    );
    folder.done(RESTORE);
}

fn read_until(screen: &mut impl std::io::Read, text: &str, seen: &mut Vec<u8>) {
    let mut byte = [0];
    while !seen.ends_with(text.as_bytes()) {
        screen.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
}

#[test]
fn two_backups_at_once_do_not_meet() {
    let folder = with_authority();
    let dir = DataDir::open(&folder.path("data")).unwrap();
    let lock = dir.lock(Work::Backup).unwrap();
    let line = folder.refused(BACKUP);
    assert!(line.contains("a backup that is being made"), "{line}");
    drop(lock);
    folder.done(BACKUP);
}

#[test]
fn a_full_disk_leaves_no_backup_and_no_directory() {
    let folder = with_authority();
    folder.done(BACKUP);
    std::fs::create_dir(folder.path("mounted")).unwrap();
    let commands = [
        "backup --dir data --out mounted/backup --passphrase-file passphrase",
        "restore --dir mounted/back --from backup --passphrase-file passphrase",
    ];
    for command in commands {
        for size in ["32k", "128k"] {
            let script = format!(
                "mount -t tmpfs -o size={size},mode=700 none mounted; status=0; \
                 \"$0\" {command} || status=$?; ls -A mounted; exit $status"
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
            assert_eq!(output.status.code(), Some(1), "{command}, {size}: {line}");
            assert!(
                line.contains("no space left") || line.contains("disk is full"),
                "{command}, {size}: {line}"
            );
            assert_eq!(text(&output.stdout), "", "{command}, {size} left something");
        }
    }
}

#[tokio::test]
async fn a_killed_backup_or_restore_leaves_nothing_or_all() {
    let folder = with_authority();
    folder.done("backup --dir data --out good --passphrase-file passphrase");
    let commands = [
        "backup --dir data --out made --passphrase-file passphrase",
        "restore --dir made --from good --passphrase-file passphrase",
    ];
    for command in commands {
        for round in 0..16 {
            let mut process = Command::new(PROGRAM)
                .args(command.split_whitespace())
                .current_dir(folder.root())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(round * 40)); // where it is killed is chance
            process.kill().unwrap();
            process.wait().unwrap();
            let made = folder.path("made");
            if made.is_dir() {
                opened(&made).await.close().await;
                std::fs::remove_dir_all(made).unwrap();
            } else if made.is_file() {
                folder.done("restore --dir again --from made --passphrase-file passphrase");
                std::fs::remove_dir_all(folder.path("again")).unwrap();
                std::fs::remove_file(made).unwrap();
            }
        }
        folder.done(command);
        assert_eq!(leftovers(folder.root()), [""; 0]);
        assert!(!folder.path("data/.backup.db").exists());
        if folder.path("made").is_file() {
            std::fs::remove_file(folder.path("made")).unwrap();
        }
    }
}

#[test]
fn an_export_is_checked_with_the_genesis_alone() {
    let folder = with_authority();
    folder.done("audit export --dir data --out export.jsonl");
    folder.write(
        "genesis.json",
        &folder.read("data/genesis/genesis-1.json"),
        0o644,
    );
    assert!(
        folder
            .done("audit verify --file export.jsonl --genesis genesis.json")
            .starts_with("Good: ")
    );
    assert!(
        folder
            .done("audit verify --file export.jsonl --dir data")
            .starts_with("Good: ")
    );
    let mut changed = folder.read("export.jsonl");
    let at = changed.len() - 30;
    changed[at] ^= 1;
    folder.write("changed.jsonl", &changed, 0o600);
    let line = folder.refused("audit verify --file changed.jsonl --genesis genesis.json");
    assert!(
        line.contains("is not what the authority recorded: line "),
        "{line}"
    );
    folder.misused("audit verify");
    let line = folder.refused("audit verify --file export.jsonl");
    assert!(line.contains("--genesis"), "{line}");
    let line = folder.refused("audit export --dir data --out export.jsonl");
    assert!(line.contains("exists already"), "{line}");
}
