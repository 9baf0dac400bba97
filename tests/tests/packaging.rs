//! What packages bring along besides programs: units, users, folders, alerts, dashboards.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "packages/metrics.rs"]
mod metrics;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tidegate_tests::debs;

const PACKAGING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging");

fn packaging(path: &str) -> PathBuf {
    Path::new(PACKAGING).join(path)
}

/// Standard output and error of a command that must succeed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

/// The figure of `systemd-analyze security`: 0 is confined in every way, 10 not at all.
fn exposure(unit: &str) -> f64 {
    let said = run(Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(packaging("systemd").join(unit)));
    let line = said
        .lines()
        .find_map(|line| line.split_once("exposure level for "))
        .unwrap()
        .1;
    println!("{line}");
    let figure = line.split_once(": ").unwrap().1;
    figure.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn units_are_confined() {
    assert!(exposure("tidegate.service") <= 2.0);
    assert!(exposure("tidegate-authority.service") <= 1.5);
    assert!(exposure("tidegate-authority-backup.service") <= 1.5);
    // Root's helper, which edits /etc/resolv.conf.
    assert!(exposure("tidegate-dns@.service") <= 3.5);
    assert!(exposure("tidegate-dns-restore.service") <= 3.5);
}

#[test]
fn users_and_folders_are_made_in_an_empty_system() {
    let system = tempfile::tempdir().unwrap();
    fs::create_dir(system.path().join("etc")).unwrap();
    let root = format!("--root={}", system.path().display());
    for name in ["tidegate", "tidegate-authority"] {
        let file = format!("{name}.conf");
        run(Command::new("systemd-sysusers")
            .arg(&root)
            .arg(packaging("sysusers").join(&file)));
        run(Command::new("systemd-tmpfiles")
            .args([&root, "--create"])
            .arg(packaging("tmpfiles").join(&file)));
    }
    let users = fs::read_to_string(system.path().join("etc/passwd")).unwrap();
    let groups = fs::read_to_string(system.path().join("etc/group")).unwrap();
    let number = |text: &str, name: &str| -> u32 {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))
            .unwrap();
        line.split(':').nth(2).unwrap().parse().unwrap()
    };
    let (agent, group) = (number(&users, "tidegate"), number(&groups, "tidegate"));
    let authority = number(&users, "tidegate-authority");
    let authority_group = number(&groups, "tidegate-authority");
    for (folder, expected) in [
        ("run/wireguard", (0o755, agent, 0)),
        ("var/lib/tidegate", (0o700, agent, group)),
        (
            "var/lib/tidegate-authority",
            (0o700, authority, authority_group),
        ),
        (
            "var/backups/tidegate-authority",
            (0o700, authority, authority_group),
        ),
    ] {
        use std::os::unix::fs::MetadataExt;
        let found = fs::metadata(system.path().join(folder)).unwrap();
        let found = (found.mode() & 0o7777, found.uid(), found.gid());
        assert_eq!(found, expected, "{folder}");
    }
}

/// Debian's, taken out of its package: to install it would start a server.
fn promtool(folder: &Path) -> PathBuf {
    let package = debs(&["prometheus"]).unwrap().remove(0);
    let unpack = format!(
        "dpkg-deb --fsys-tarfile {} | tar -x -C {} ./usr/bin/promtool",
        package.display(),
        folder.display()
    );
    run(Command::new("sh").args(["-ec", &unpack]));
    folder.join("usr/bin/promtool")
}

#[test]
fn prometheus_takes_the_alerts_and_raises_them_when_it_should() {
    let folder = tempfile::tempdir().unwrap();
    let promtool = promtool(folder.path());
    let monitoring = packaging("monitoring");
    let promtool = |words: &[&str]| {
        let said = run(Command::new(&promtool).args(words).current_dir(&monitoring));
        assert!(said.contains("SUCCESS"), "{said}");
    };
    promtool(&["check", "rules", "agent.rules.yml", "authority.rules.yml"]);
    promtool(&["check", "config", "--syntax-only", "prometheus.yml"]);
    promtool(&["test", "rules", "rules.test.yml"]);
}

#[test]
fn every_metric_in_alerts_and_dashboards_exists() {
    for program in ["agent", "authority"] {
        let list = packaging("..").join(program).join("METRICS.md");
        let list = metrics::names(&fs::read_to_string(list).unwrap());
        assert!(list.len() >= 30, "{program} documents {list:?}");
        assert_eq!(metrics::missing(program, &list), [""; 0], "{program}");
    }
}

/// What packaging/inventory says, with the folder of texts that libraries lack.
fn licences(package: &str, folder: &Path) -> std::process::Output {
    let script = "import pathlib, sys; file, package, folder = sys.argv[1:]; \
                  inventory = {'__file__': file, '__name__': 'inventory'}; exec(open(file).read(), inventory); \
                  inventory['LICENCES'] = pathlib.Path(folder); inventory['licences'](package)";
    let mut python = Command::new("python3");
    let python = python.args(["-c", script]);
    let inventory = python.arg(packaging("inventory")).arg(package).arg(folder);
    inventory.output().unwrap()
}

#[test]
fn every_library_comes_with_the_text_of_its_licence() {
    for (package, libraries) in [
        ("tidegate", ["boringtun ", "ring ", "rust-std "]),
        (
            "tidegate-authority",
            ["crc-catalog ", "asn1-rs-impl ", "sqlite "],
        ),
    ] {
        let output = licences(package, &packaging("licences"));
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success());
        let (_, texts) = said.split_once("Their texts:").unwrap();
        for library in libraries {
            assert!(texts.contains(library), "{package} {library}");
        }
    }
    let empty = tempfile::tempdir().unwrap();
    let output = licences("tidegate", empty.path());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("boringtun 0.7.1 comes without"), "{said}");
}

/// cargo-deb would go on, and make packages that do not say which libraries they need.
#[test]
fn no_deb_is_made_without_the_program_that_finds_what_it_needs() {
    let programs = tempfile::tempdir().unwrap();
    let dirname = run(Command::new("sh").args(["-c", "command -v dirname"]));
    std::os::unix::fs::symlink(dirname.trim(), programs.path().join("dirname")).unwrap();
    let mut build = Command::new("/bin/bash");
    let build = build
        .arg(packaging("build"))
        .arg("deb")
        .env("PATH", programs.path());
    let output = build.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("apt install dpkg-dev"), "{said}");
}

#[test]
fn dashboards_are_whole() {
    for program in ["agent", "authority"] {
        let file = packaging("monitoring").join(format!("{program}.dashboard.json"));
        let board: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        let panels = board["panels"].as_array().unwrap();
        let numbers: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
        assert!(panels.len() >= 15 && numbers.len() == panels.len());
        for panel in panels {
            let place = &panel["gridPos"];
            let right = place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap();
            assert!(right <= 24, "{}", panel["title"]);
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty() && panel["title"].is_string());
        }
    }
}
