//! Figures: a thousand routes, and a host with a hundred thousand foreign ones. Needs root.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use support::{Bench, crowd, desired, with_subnets};

fn main() {
    println!("| what | median | worst | runs |");
    println!("| --- | ---: | ---: | ---: |");
    let (mut add, mut remove): (Vec<_>, Vec<_>) = (0..7).map(|_| thousand_routes()).unzip();
    print_line("add 1,000 routes with their guards", &mut add);
    print_line("withdraw them", &mut remove);
    let crowds: Vec<_> = (0..3)
        .map(|_| crowd::measure(100_000, Duration::from_secs(5)))
        .collect();
    print_line(
        "start with 100,000 foreign routes",
        &mut crowds.iter().map(|crowd| crowd.start).collect::<Vec<_>>(),
    );
    let worst = |figure: fn(&crowd::Crowd) -> u64| crowds.iter().map(figure).max().unwrap();
    println!(
        "\nresident growth with 100,000 foreign routes: at most {} KiB",
        worst(|crowd| crowd.grown_kib)
    );
    let idle = crowds.iter().map(|crowd| crowd.idle_cpu).max().unwrap();
    println!("CPU time in 5 s at rest: at most {idle:?}");
}

fn thousand_routes() -> (Duration, Duration) {
    let bench = Bench::new();
    bench.apply(&desired());
    let subnets: Vec<String> = (0..500)
        .flat_map(|n| {
            [
                format!("10.{}.{}.0/24", n / 250, n % 250),
                format!("fd10:{n:x}::/48"),
            ]
        })
        .collect();
    let many = with_subnets(&subnets.iter().map(String::as_str).collect::<Vec<_>>());
    bench.agent(|host| {
        let start = Instant::now();
        assert!(host.reconcile(&many).unwrap().settled);
        let added = start.elapsed();
        let start = Instant::now();
        assert!(host.reconcile(&desired()).unwrap().settled);
        (added, start.elapsed())
    })
}

fn print_line(what: &str, times: &mut [Duration]) {
    times.sort();
    let worst = times.last().unwrap();
    println!(
        "| {what} | {:.1?} | {worst:.1?} | {} |",
        times[times.len() / 2],
        times.len()
    );
}
