//! What is in the packages, and what they do to a system that has nothing.

use std::{fs, os::unix::fs::MetadataExt, path::Path, process::Command};

use crate::made::{NOW, ROOT, package, packages, run, sh};

const PROGRAMS: [(&str, &[&str]); 2] = [
    (
        "tidegate",
        &[
            "usr/bin/tidegate",
            "usr/bin/tidegate-dns",
            "usr/lib/systemd/system/tidegate.service",
            "usr/lib/systemd/system/tidegate-dns@.service",
            "usr/lib/systemd/system/tidegate-dns-restore.service",
            "usr/lib/systemd/system/sysinit.target.d/tidegate.conf",
            "usr/lib/sysusers.d/tidegate.conf",
            "usr/lib/tmpfiles.d/tidegate.conf",
            "usr/share/polkit-1/rules.d/50-tidegate.rules",
            "usr/share/bash-completion/completions/tidegate",
            "usr/share/fish/vendor_completions.d/tidegate.fish",
            "usr/share/man/man1/tidegate.1.gz",
            "usr/share/man/man1/tidegate-join.1.gz",
            "usr/share/man/man5/tidegate.toml.5.gz",
            "usr/share/man/man8/tidegate-dns.8.gz",
            "usr/share/doc/tidegate/tidegate.cdx.json",
            "etc/tidegate/tidegate.toml",
            "etc/iproute2/rt_protos.d/tidegate.conf",
        ],
    ),
    (
        "tidegate-authority",
        &[
            "usr/bin/tidegate-authority",
            "usr/lib/systemd/system/tidegate-authority.service",
            "usr/lib/systemd/system/tidegate-authority-backup.service",
            "usr/lib/systemd/system/tidegate-authority-backup.timer",
            "usr/lib/tidegate-authority/backup",
            "usr/share/man/man1/tidegate-authority.1.gz",
            "usr/share/man/man1/tidegate-authority-serve.1.gz",
            "usr/share/doc/tidegate-authority/tidegate-authority.cdx.json",
        ],
    ),
];

fn check_files(root: &Path, files: &[&str]) {
    for file in files {
        let found = fs::symlink_metadata(root.join(file));
        let found = found.unwrap_or_else(|error| panic!("{file}: {error}"));
        let program = file.contains("/bin/") || file.ends_with("/backup");
        let mode = if program { 0o755 } else { 0o644 };
        let expected = (mode, 0, 0);
        assert_eq!(
            (found.mode() & 0o7777, found.uid(), found.gid()),
            expected,
            "{file}"
        );
    }
}

#[test]
fn debs_hold_every_file_with_its_mode() {
    for (name, files) in PROGRAMS {
        let root = tempfile::tempdir().unwrap();
        let deb = package(NOW, name, "deb");
        run(Command::new("dpkg-deb")
            .arg("--extract")
            .arg(&deb)
            .arg(root.path()));
        check_files(root.path(), files);
        let doc = root.path().join("usr/share/doc").join(name);
        for file in ["copyright", "libraries.gz", "changelog.Debian.gz"] {
            assert!(doc.join(file).exists(), "{name} lacks {file}");
        }
        let info = run(Command::new("dpkg-deb").arg("--info").arg(&deb));
        assert!(info.contains("libc6 (>= "), "{info}");
    }
}

#[test]
fn rpms_install_into_an_empty_root_and_verify() {
    let root = tempfile::tempdir().unwrap();
    let at = format!("--root={}", root.path().display());
    run(Command::new("rpm").args([&at, "--initdb"]));
    for (name, files) in PROGRAMS {
        let rpm = package(NOW, name, "rpm");
        // There is no shell in an empty root that scripts could run in, and nothing of what is needed.
        run(Command::new("rpm")
            .args([&at, "--install", "--nodeps", "--noscripts"])
            .arg(&rpm));
        check_files(root.path(), files);
        run(Command::new("rpm").args([&at, "--verify", "--nodeps", "--noscripts", name]));
        let changed = root.path().join(files[0]);
        fs::write(&changed, "changed").unwrap();
        let words = [&at, "--verify", "--nodeps", name];
        let verified = Command::new("rpm").args(words).output().unwrap();
        assert!(!verified.status.success(), "a changed program verifies");
    }
}

#[test]
fn rpms_have_the_scripts_that_the_debs_have() {
    for name in ["tidegate", "tidegate-authority"] {
        let said = run(Command::new("rpm")
            .args(["--query", "--scripts", "--package"])
            .arg(package(NOW, name, "rpm")));
        for part in [
            "postinstall scriptlet",
            "preuninstall scriptlet",
            "postuninstall scriptlet",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert!(said.contains(&format!("systemd-sysusers {name}.conf")));
        assert!(said.contains("systemctl --quiet disable"));
        let configs = run(Command::new("rpm")
            .args(["--query", "--configfiles", "--package"])
            .arg(package(NOW, name, "rpm")));
        assert_eq!(
            configs.contains("/etc/tidegate/tidegate.toml"),
            name == "tidegate"
        );
    }
}

#[test]
fn scripts_are_shell() {
    sh(&format!(
        "for script in {ROOT}/packaging/debian/tidegate*/* {ROOT}/packaging/rpm/*.p* {ROOT}/packaging/authority-backup; \
         do sh -n \"$script\"; done"
    ));
}

#[test]
fn symbols_are_apart() {
    for (name, files) in PROGRAMS {
        let root = tempfile::tempdir().unwrap();
        for package in [name.to_owned(), format!("{name}-dbgsym")] {
            run(Command::new("dpkg-deb")
                .arg("--extract")
                .arg(crate::made::package(NOW, &package, "deb"))
                .arg(root.path()));
        }
        let programs = files.iter().filter(|file| file.contains("/bin/"));
        for program in programs.map(|file| root.path().join(file)) {
            let notes = run(Command::new("readelf").arg("--notes").arg(&program));
            let id = notes.split_once("Build ID: ").unwrap().1;
            let id = id.split_whitespace().next().unwrap();
            let symbols = format!("usr/lib/debug/.build-id/{}/{}.debug", &id[..2], &id[2..]);
            let symbols = root.path().join(symbols);
            let sections = run(Command::new("readelf").arg("--sections").arg(&program));
            assert!(!sections.contains(".symtab") && !sections.contains(".debug_line"));
            let sections = run(Command::new("readelf").arg("--sections").arg(&symbols));
            assert!(sections.contains(".debug_line") && sections.contains(".symtab"));
        }
    }
}

/// What packaging/build asks of all that is compiled for shipping, and in continuous integration, finds a path.
#[test]
fn a_build_path_would_be_found() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    fs::write(&program, b"\x7fELF\0/some/where/src/main.rs\0").unwrap();
    let check = |path: &str| {
        let output = Command::new(format!("{ROOT}/packaging/check-paths"))
            .args([path, "/nowhere/cargo"])
            .arg(&program)
            .env("HOME", "/nowhere/home")
            .output();
        output.unwrap().status.success()
    };
    assert!(!check("/some/where") && check("/some/where/else"));
}

#[test]
fn every_package_is_there_in_both_kinds() {
    for (kind, symbols) in [("deb", "dbgsym"), ("rpm", "debuginfo")] {
        for name in ["tidegate", "tidegate-authority"] {
            package(NOW, name, kind);
            package(NOW, &format!("{name}-{symbols}"), kind);
        }
        assert_eq!(packages(NOW, kind).len(), 4);
    }
}
