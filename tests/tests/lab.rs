//! What hosts keep to themselves, and how processes run on them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env, fs, panic, thread,
    time::{Duration, Instant},
};

use tidegate_tests::{Lab, LabError, Process, Signal, binary, wait_for, wait_until};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn every_host_has_its_own_files() {
    let lab = Lab::new().unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    let mark = format!("lab-mark-{}", std::process::id());
    for directory in ["/etc", "/run", "/var/lib"] {
        let path = format!("{directory}/{mark}");
        a.enter(|| fs::write(&path, "a")).unwrap().unwrap();
        assert_eq!(a.run("cat", [&path]).unwrap(), "a");
        assert!(!b.enter(|| fs::exists(&path)).unwrap().unwrap());
        assert!(!fs::exists(&path).unwrap());
    }
    a.run("mount", ["-t", "tmpfs", &mark, "/mnt"]).unwrap();
    assert!(a.sh("cat /proc/mounts").unwrap().contains(&mark));
    assert!(!b.sh("cat /proc/mounts").unwrap().contains(&mark));
    assert!(!fs::read_to_string("/proc/mounts").unwrap().contains(&mark));
}

#[test]
fn a_host_has_users_and_a_name_but_not_the_machines_configuration() {
    let lab = Lab::new().unwrap();
    let host = lab.host("alpha").unwrap();
    assert_eq!(
        host.sh("cat /proc/sys/kernel/hostname /etc/hostname")
            .unwrap(),
        "alpha\nalpha\n"
    );
    assert!(
        host.run("getent", ["hosts", "alpha"])
            .unwrap()
            .starts_with("127.0.1.1")
    );
    assert_eq!(host.run("id", ["-u", "nobody"]).unwrap(), "65534\n");
    assert_eq!(host.run("cat", ["/etc/resolv.conf"]).unwrap(), "");
    assert_eq!(
        host.sh("ls /var/lib; ls -d /etc/systemd /etc/ssh 2>/dev/null || true")
            .unwrap(),
        ""
    );
    assert_eq!(host.sh("ls /sys/class/net").unwrap(), "lo\n");
}

#[test]
fn labs_with_the_same_names_and_addresses_do_not_meet() {
    let labs = [(); 2].map(|()| {
        let lab = Lab::new().unwrap();
        let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
        let lan = lab.network("lan").unwrap();
        let link = lan.attach(&a, &["10.0.0.1/24"]).unwrap();
        lan.attach(&b, &["10.0.0.2/24"]).unwrap();
        (lab, a, link)
    });
    let [(_one, a, link), (_other, other_a, other_link)] = labs;
    let counter = other_link.count("").unwrap();
    let reaches =
        |host: &tidegate_tests::Host| host.run("ping", ["-c1", "-W1", "10.0.0.2"]).is_ok();
    assert!(reaches(&other_a));
    let before = counter.packets(tidegate_tests::Direction::In).unwrap();
    assert!(before > 0);
    let capture = other_a.capture("eth0", "icmp").unwrap();
    assert!(reaches(&a));
    assert_eq!(capture.count(), Ok(0));
    link.cut().unwrap();
    assert!(!reaches(&a) && reaches(&other_a));
    assert_eq!(capture.count(), Ok(2));
}

#[test]
fn names_are_host_names_and_unique() {
    let lab = Lab::new().unwrap();
    lab.host("a-1").unwrap();
    for name in ["a-1", "", "A", "a b", "a/b", "-a", &"a".repeat(64)] {
        assert!(
            matches!(lab.host(name), Err(LabError::Name { .. })),
            "{name:?}"
        );
    }
}

#[test]
fn a_host_does_not_outlive_its_lab() {
    let lab = Lab::new().unwrap();
    let host = lab.host("a").unwrap();
    let sleeper = host.spawn("sleep", ["infinity"]).unwrap();
    assert!(sleeper.is_running());
    drop(lab);
    assert!(!sleeper.is_running());
    assert_eq!(host.run("true", [""; 0]), Err(LabError::Gone("a".into())));
}

/// The state letter of a process, from the machine's point of view.
fn state(process: &Process) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

#[test]
fn signals_reach_a_process_by_its_id() {
    let lab = Lab::new().unwrap();
    let host = lab.host("a").unwrap();
    let sleeper = host.spawn("sleep", ["infinity"]).unwrap();
    let command = format!("/proc/{}/cmdline", sleeper.id());
    wait_until(SOON, "the program to run under this id", || {
        fs::read(&command).is_ok_and(|command| command == b"sleep\0infinity\0")
    })
    .unwrap();
    sleeper.signal(Signal::SIGSTOP).unwrap();
    wait_until(SOON, "the process to stop", || state(&sleeper) == Some('T')).unwrap();
    sleeper.signal(Signal::SIGCONT).unwrap();
    wait_until(SOON, "the process to go on", || {
        state(&sleeper) == Some('S')
    })
    .unwrap();
    sleeper.signal(Signal::SIGTERM).unwrap();
    let status = sleeper.wait(SOON).unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(15)
    );
    assert!(matches!(
        sleeper.signal(Signal::SIGTERM),
        Err(LabError::Ended { .. })
    ));
}

#[test]
fn a_process_stops_when_asked_and_dies_with_its_handle() {
    let lab = Lab::new().unwrap();
    let host = lab.host("a").unwrap();
    let polite = host
        .spawn(
            "sh",
            [
                "-c",
                "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done",
            ],
        )
        .unwrap();
    polite.wait_for_output(SOON, "up").unwrap();
    assert_eq!(polite.stop().unwrap().code(), Some(7));

    let family = host
        .spawn("sh", ["-c", "sleep 1001 & echo up; sleep 1002"])
        .unwrap();
    family.wait_for_output(SOON, "up").unwrap();
    let sleepers = || host.sh("pgrep -x sleep || true").unwrap().lines().count();
    wait_until(SOON, "both to sleep", || sleepers() == 2).unwrap();
    drop(family);
    wait_until(SOON, "both to be gone", || sleepers() == 0).unwrap();
}

#[test]
fn a_failed_command_says_what_it_wrote() {
    let lab = Lab::new().unwrap();
    let host = lab.host("a").unwrap();
    let error = host.sh("echo out; echo err >&2; exit 3").unwrap_err();
    let LabError::Failed {
        host: at,
        status,
        output,
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(
        (at.as_str(), status.as_str(), output.as_str()),
        ("a", "exit status: 3", "out\nerr\n")
    );
    let output = host
        .command("sh")
        .args(["-c", "cat; exit 4"])
        .input("in")
        .output()
        .unwrap();
    assert_eq!(
        (output.status.code(), output.text().as_str()),
        (Some(4), "in")
    );
    let missing = host.run("no-such-program", [""; 0]).unwrap_err();
    assert_eq!(missing, LabError::MissingProgram("no-such-program".into()));
    assert!(missing.to_string().contains("tests/install-tools"));
}

#[test]
fn a_command_that_takes_too_long_is_killed() {
    let lab = Lab::new().unwrap();
    let host = lab.host("a").unwrap();
    let started = Instant::now();
    let command = host
        .command("sh")
        .args(["-c", "echo so far; sleep 1003"])
        .timeout(Duration::from_millis(300));
    let error = command.run().unwrap_err();
    assert!(
        matches!(&error, LabError::TimedOut { output, .. } if output == "so far\n"),
        "{error}"
    );
    assert!((Duration::from_millis(300)..SOON).contains(&started.elapsed()));
    wait_until(SOON, "it to be gone", || {
        host.sh("pgrep -x sleep || true").unwrap().is_empty()
    })
    .unwrap();
}

#[test]
fn output_that_will_not_come_is_not_awaited() {
    let lab = Lab::new().unwrap();
    let host = lab.host("a").unwrap();
    let silent = host.spawn("sh", ["-c", "echo nothing like it"]).unwrap();
    assert!(matches!(
        silent.wait_for_output(Duration::from_secs(3600), "hello"),
        Err(LabError::Ended { .. })
    ));
    let slow = host.spawn("sleep", ["infinity"]).unwrap();
    let error = slow
        .wait_for_output(Duration::from_millis(50), "hello")
        .unwrap_err();
    assert!(
        matches!(&error, LabError::NotReached { what, .. } if what.contains("hello")),
        "{error}"
    );
    assert!(slow.is_running());
}

#[test]
fn orphans_are_reaped() {
    let lab = Lab::new().unwrap();
    let host = lab.host("a").unwrap();
    host.sh("(sleep 0.05 &) ; true").unwrap();
    wait_until(SOON, "the orphan to end", || {
        !host.sh("ps -eo comm").unwrap().contains("sleep")
    })
    .unwrap();
}

#[test]
fn code_runs_inside_a_host_and_comes_back() {
    let lab = Lab::new().unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    lab.network("lan")
        .unwrap()
        .attach(&a, &["10.0.0.1/24"])
        .unwrap();
    let devices = || fs::read_dir("/sys/class/net").unwrap().count();
    let here = devices();
    assert_eq!(a.enter(devices), Ok(2));
    assert_eq!(
        b.enter(
            || thread::spawn(|| fs::read_dir("/sys/class/net").unwrap().count())
                .join()
                .unwrap()
        ),
        Ok(1)
    );
    assert_eq!(a.enter(|| b.enter(devices)), Ok(Ok(1)));
    assert_eq!(devices(), here);
    let panicked = panic::catch_unwind(|| a.enter(|| panic!("inside"))).unwrap_err();
    assert_eq!(panicked.downcast_ref(), Some(&"inside"));
}

#[test]
fn kernel_parameters_belong_to_one_host() {
    let lab = Lab::new().unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    a.sysctl("net.ipv4.ip_forward", "1").unwrap();
    let forwards =
        |host: &tidegate_tests::Host| host.run("cat", ["/proc/sys/net/ipv4/ip_forward"]).unwrap();
    assert_eq!(
        (forwards(&a).as_str(), forwards(&b).as_str()),
        ("1\n", "0\n")
    );
    assert!(a.sysctl("net.ipv4.no_such_thing", "1").is_err());
}

#[test]
fn waiting_ends_with_the_condition_or_the_deadline() {
    let mut left = 3;
    let countdown = wait_for(SOON, "the countdown", || {
        left -= 1;
        (left == 0).then_some("lift-off")
    });
    assert_eq!(countdown, Ok("lift-off"));
    let error = wait_until(Duration::from_millis(20), "pigs to fly", || false).unwrap_err();
    assert!(error.to_string().contains("pigs to fly"));
}

#[test]
fn a_program_of_the_workspace_is_found_and_fresh() {
    let expected = fs::canonicalize(env!("CARGO_BIN_EXE_two-hosts")).unwrap();
    assert_eq!(
        fs::canonicalize(binary("two-hosts").unwrap()).unwrap(),
        expected
    );
    assert!(matches!(
        binary("no-such-program"),
        Err(LabError::Build { .. })
    ));
}
