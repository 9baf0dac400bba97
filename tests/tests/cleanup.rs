//! Nothing of a lab stays behind, however it ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tidegate_tests::{Host, Lab, wait_until};

const SOON: Duration = Duration::from_secs(20);
const TWO_HOSTS: &str = env!("CARGO_BIN_EXE_two-hosts");

fn network_of(process: impl std::fmt::Display) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{process}/ns/net")).ok()
}

/// How many processes are in one of these network namespaces.
fn inhabitants(networks: &BTreeSet<PathBuf>) -> usize {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let networks_of = processes.filter_map(|entry| network_of(entry.file_name().to_str()?));
    networks_of
        .filter(|network| networks.contains(network))
        .count()
}

/// Devices whose other ends are in other namespaces, and which therefore vanish when those really end.
struct Witness {
    _lab: Lab,
    host: Host,
}

impl Witness {
    fn of(processes: &[u32]) -> Self {
        let lab = Lab::new().unwrap();
        let host = lab.host("witness").unwrap();
        for process in processes {
            // From the machine's point of view, where the id means something.
            let (here, there) = (host.id(), process);
            nsenter(
                here,
                &[
                    "ip",
                    "link",
                    "add",
                    &format!("w{there}"),
                    "type",
                    "veth",
                    "peer",
                    "w",
                    "netns",
                    &there.to_string(),
                ],
            );
        }
        Self { _lab: lab, host }
    }

    fn sees(&self) -> usize {
        self.host
            .sh("ls /sys/class/net")
            .unwrap()
            .lines()
            .filter(|device| device.starts_with('w'))
            .count()
    }
}

fn nsenter(process: u32, command: &[&str]) {
    let status = Command::new("nsenter")
        .args(["-n", "-t", &process.to_string()])
        .args(command)
        .status()
        .unwrap();
    assert!(status.success());
}

struct TwoHosts {
    child: Child,
    hosts: Vec<u32>,
}

impl TwoHosts {
    fn start() -> Self {
        let mut child = Command::new(TWO_HOSTS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let hosts = lines
            .take_while(|line| line != "ready")
            .map(|line| line.split_once(' ').unwrap().1.parse().unwrap())
            .collect();
        Self { child, hosts }
    }
}

impl Drop for TwoHosts {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn after_a_killed_test_nothing_is_left() {
    let mut lab = TwoHosts::start();
    let networks: BTreeSet<PathBuf> = lab.hosts.iter().filter_map(network_of).collect();
    let witness = Witness::of(&lab.hosts);
    // Of each host: the first process, what keeps it alive, and "sleep".
    assert_eq!(
        (networks.len(), inhabitants(&networks), witness.sees()),
        (2, 6, 2)
    );
    lab.child.kill().unwrap();
    lab.child.wait().unwrap();
    wait_until(SOON, "all processes to end", || inhabitants(&networks) == 0).unwrap();
    wait_until(SOON, "all namespaces to end", || witness.sees() == 0).unwrap();
}

#[test]
fn after_a_panic_nothing_is_left() {
    let mut networks = BTreeSet::new();
    let mut witness = None;
    let panicked = panic::catch_unwind(AssertUnwindSafe(|| {
        let lab = Lab::new().unwrap();
        let host = lab.host("a").unwrap();
        let link = lab
            .network("lan")
            .unwrap()
            .attach(&host, &["10.0.0.1/24"])
            .unwrap();
        link.delay(Duration::from_secs(1)).unwrap();
        let _capture = host.capture("eth0", "").unwrap();
        let _sleeper = host.spawn("sleep", ["infinity"]).unwrap();
        networks.extend(network_of(host.id()));
        witness = Some(Witness::of(&[host.id()]));
        assert_eq!(
            (inhabitants(&networks), witness.as_ref().unwrap().sees()),
            (4, 1)
        );
        panic!("on purpose");
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"on purpose"));
    assert_eq!(inhabitants(&networks), 0);
    let witness = witness.unwrap();
    wait_until(SOON, "the namespace to end", || witness.sees() == 0).unwrap();
}

#[test]
fn without_root_the_lab_says_so() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // The build directory may be closed to others.
    let program = directory.path().join("two-hosts");
    fs::copy(Path::new(TWO_HOSTS), &program).unwrap();
    let output = Command::new(program)
        .uid(65_534)
        .gid(65_534)
        .current_dir("/")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("run the tests as root"));
}
