//! The machines themselves.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
};

use tidegate_tests::{Lab, Machine, wait_until};

use crate::site::SOON;

#[test]
fn two_machines_on_one_network_reach_each_other() {
    let lab = Lab::new().unwrap();
    let lan = lab.network("lan").unwrap();
    let a = Machine::boot("a", &lan, &[]).unwrap();
    let b = Machine::boot("b", &lan, &[]).unwrap();
    for (machine, address) in [(&a, "10.0.0.1/24"), (&b, "10.0.0.2/24")] {
        machine
            .sh(&format!(
                "ip address add {address} dev host0; ip link set host0 up; hostname >/root/name"
            ))
            .unwrap();
    }
    let reached = || {
        a.command("ping")
            .args(["-c1", "-W1", "10.0.0.2"])
            .run()
            .is_ok()
    };
    wait_until(SOON, "a to reach b", reached).unwrap();
    assert_eq!(a.sh("cat /root/name").unwrap(), "a\n");
    assert_eq!(
        b.sh("cat /root/name; systemctl is-system-running").unwrap(),
        "b\nrunning\n"
    );
}

#[test]
fn nothing_of_a_machine_is_left_when_its_keeper_is_killed() {
    let boot = concat!(env!("CARGO_MANIFEST_DIR"), "/debian/boot");
    let mut script = std::process::Command::new(boot)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = script.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let first = format!("/proc/{}", line.trim().strip_prefix("ready ").unwrap());
    let name = format!("tg-{}", script.id());
    let groups = format!("find /sys/fs/cgroup -maxdepth 2 -name {name}");
    let groups = || shell(&groups);
    assert!(Path::new(&first).exists() && groups().contains(&name));
    script.kill().unwrap();
    script.wait().unwrap();
    wait_until(SOON, "the machine to end", || !Path::new(&first).exists()).unwrap();
    // What is on disk goes when the next machine is made.
    wait_until(SOON, "the rest to be removed", || {
        let lab = Lab::new().unwrap();
        drop(Machine::boot("next", &lab.network("lan").unwrap(), &[]).unwrap());
        groups().is_empty()
            && shell(&format!(
                "find /var/cache ${{XDG_CACHE_HOME:-/var/cache}} -path '*/machines/{name}'"
            ))
            .is_empty()
    })
    .unwrap();
}

fn shell(line: &str) -> String {
    let output = std::process::Command::new("/bin/sh")
        .args(["-c", line])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
