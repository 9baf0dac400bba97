//! What a host with many foreign routes costs.

use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tidegate_netconfig::{Ending, Keeper};

use super::{Bench, open, with_subnets};

/// What was measured.
#[derive(Debug)]
pub(crate) struct Crowd {
    /// From opening the host to everything in place.
    pub(crate) start: Duration,
    /// Growth of this process's resident memory meanwhile.
    pub(crate) grown_kib: u64,
    /// CPU time that this process used while nothing happened.
    pub(crate) idle_cpu: Duration,
}

/// Adds `routes` foreign routes to a host, keeps it, and watches the cost for the time of `rest`.
pub(crate) fn measure(routes: usize, rest: Duration) -> Crowd {
    let bench = Bench::new();
    let lan = bench.lab.network("lan").unwrap();
    lan.attach(&bench.host, &["192.168.7.1/24"]).unwrap();
    fill(&bench, routes);
    let before = resident_kib();
    let (up, went_up) = mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    thread::scope(|scope| {
        let bench = &bench;
        scope.spawn(move || keep(bench, &up, stopped));
        let start = went_up.recv().unwrap();
        let grown_kib = resident_kib().saturating_sub(before);
        let idle_cpu = cpu_while_idle(rest);
        stop.send(()).unwrap();
        Crowd {
            start,
            grown_kib,
            idle_cpu,
        }
    })
}

/// Routes to hosts here and there, a few of them within a wanted prefix, as a routing daemon would have them.
fn fill(bench: &Bench, routes: usize) {
    let mut batch = String::new();
    for n in 0..routes {
        let first = if n % 100 == 0 { 10 } else { 20 + n / 62_500 };
        batch += &format!(
            "route add {first}.1.{}.{}/32 via 192.168.7.2 proto bird\n",
            n / 250 % 250,
            n % 250
        );
    }
    let path = bench.state().join("batch");
    fs::write(&path, batch).unwrap();
    // Numbers repeat after 62,500 within one first byte; those few are refused.
    let load = format!("ip -force -batch {} 2>/dev/null || true", path.display());
    bench
        .host
        .command("/bin/sh")
        .args(["-c", &load])
        .timeout(Duration::from_secs(120))
        .run()
        .unwrap();
    let count: usize = bench
        .sh("ip route show proto bird | wc -l")
        .trim()
        .parse()
        .unwrap();
    assert!(count * 100 >= routes * 99, "only {count} routes");
}

fn keep(bench: &Bench, up: &mpsc::Sender<Duration>, stopped: tokio::sync::oneshot::Receiver<()>) {
    let state = bench.state();
    let up = up.clone();
    let keep = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let start = Instant::now();
            let keeper = Keeper::start(open(&state).unwrap()).unwrap();
            let outcome = keeper
                .set(with_subnets(&["10.0.0.0/8", "10.77.0.0/16"]))
                .await
                .unwrap();
            assert!(
                outcome.settled && outcome.conflicts.len() == 1,
                "{outcome:?}"
            );
            up.send(start.elapsed()).unwrap();
            stopped.await.unwrap();
            keeper.stop(Ending::Undo).await.unwrap();
        });
    };
    bench.host.enter(keep).unwrap();
}

/// Waits until what the start has caused is done, then measures.
fn cpu_while_idle(rest: Duration) -> Duration {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let before = cpu();
        thread::sleep(rest);
        let used = cpu() - before;
        if used.is_zero() || Instant::now() > deadline {
            return used;
        }
    }
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// User and system time of this process, in ticks of 10 ms.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(10 * ticks)
}
