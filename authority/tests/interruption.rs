//! A write that cannot be finished leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod folder;

use std::process::{Command, Output};

use folder::{Folder, PROGRAM, text};

const WRITERS: [&str; 4] = [
    "root new --out DIR/root2.pem",
    "key new --out DIR/key.pem",
    "genesis new --name demo --root root.pem --authority-key authority.pub --ipv4 10.211.0.0/16 --out DIR/new.json",
    "genesis succeed genesis.json --root root.pem --epoch 10m --out DIR/next.json",
];

fn shell(folder: &Folder, script: &str) -> Output {
    Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-euc",
            script,
            PROGRAM,
        ])
        .current_dir(folder.root())
        .output()
        .unwrap()
}

/// Runs each writer on a small file system of its own that `prepare` has made unfit.
fn refused_on(prepare: &str, why: &str) {
    let folder = Folder::with_network();
    std::fs::create_dir(folder.path("mounted")).unwrap();
    for writer in WRITERS {
        let command = writer.replace("DIR", "mounted");
        let script = format!(
            "mount -t tmpfs -o size=64k,mode=700 none mounted; {prepare}; \
             status=0; \"$0\" {command} || status=$?; ls -A mounted | grep -vx filler || true; exit $status"
        );
        let output = shell(&folder, &script);
        let line = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {line}");
        assert!(
            line.contains(why) && line.contains("nothing was written"),
            "{line}"
        );
        assert_eq!(text(&output.stdout), "", "{command} left something");
    }
}

#[test]
fn a_full_disk() {
    let fill = "head -c 65536 /dev/zero >mounted/filler";
    refused_on(fill, "no space left on device");
}

#[test]
fn a_disk_that_is_full_after_the_first_of_two_files() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("mounted")).unwrap();
    let script = "mount -t tmpfs -o size=64k,mode=700 none mounted; head -c 61440 /dev/zero >mounted/filler; \
                  status=0; \"$0\" key new --out mounted/key.pem || status=$?; ls -A mounted; exit $status";
    let output = shell(&folder, script);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("key.pub"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(text(&output.stdout), "filler\n");
}

#[test]
fn a_folder_that_may_not_be_written_to() {
    refused_on("mount -o remount,ro mounted", "read-only file system");
}

#[test]
fn a_folder_that_is_not_there() {
    let folder = Folder::with_network();
    for (place, why) in [
        ("missing", "no such file or directory"),
        ("root.pem", "not a directory"),
    ] {
        for writer in WRITERS {
            let line = folder.refused(&writer.replace("DIR", place));
            assert!(line.contains(why), "{line}");
        }
    }
}

#[test]
fn a_process_that_is_killed_while_it_writes() {
    let folder = Folder::with_network();
    let before = folder.contents();
    for writer in WRITERS {
        // The first byte beyond the limit kills the process by a signal that it does not handle.
        let script = format!(
            "ulimit -c 0; ulimit -f 0; exec \"$0\" {}",
            writer.replace("DIR", ".")
        );
        let status = Command::new("sh")
            .args(["-c", &script, PROGRAM])
            .current_dir(folder.root())
            .status()
            .unwrap();
        assert_eq!(status.code(), None, "{writer} was not killed");
        assert_eq!(folder.contents(), before, "{writer}");
    }
}
