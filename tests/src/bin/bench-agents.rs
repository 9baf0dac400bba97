//! What many agents on one machine cost, and how fast all of them cut one off: `make bench-agents`.
#![forbid(unsafe_code)]

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use tidegate_tests::crowd::Crowd;
use tidegate_tests::overlay::Node;

/// Ticks of the kernel's CPU accounting in a second, on every Linux that we know.
const TICKS: f64 = 100.0;

/// Measures agents.
#[derive(Parser)]
struct Arguments {
    /// How many
    #[arg(long, default_value_t = 50)]
    nodes: usize,
    /// For how many seconds they are left alone
    #[arg(long, default_value_t = 60)]
    idle: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut crowd = Crowd::new(arguments.nodes)?;
    let mut table = Table::default();
    let joined = crowd.joined.iter().map(Duration::as_secs_f64).collect();
    table.row("invite to data, several at a time", joined, "s", "");
    let pairs = Crowd::pairs(&crowd.nodes)?;
    let all = arguments.nodes * (arguments.nodes - 1);
    table.fact("pairs that reach each other", format!("{pairs} of {all}"));

    let idle = idle(&crowd.nodes, Duration::from_secs(arguments.idle))?;
    table.row("idle CPU, in tunnel with all others", idle, "%", "0.5");
    let resident = each(&crowd.nodes, resident)?;
    table.row("resident memory", resident, "MB", "25");

    let cut = crowd.revoke_last()?;
    let last = cut.last_answers.iter().map(Duration::as_secs_f64).collect();
    table.row("order to last answer to a revoked one", last, "s", "1");
    print!("{}", table.0);
    Ok(())
}

/// What was measured, a line each.
#[derive(Default)]
struct Table(String);

impl Table {
    fn row(&mut self, what: &str, mut values: Vec<f64>, unit: &str, promised: &str) {
        values.sort_by(f64::total_cmp);
        let (middle, most) = (values.get(values.len() / 2), values.last());
        let show = |value: Option<&f64>| format!("{:.3}", value.copied().unwrap_or(f64::NAN));
        let mut text = format!("p50 {} max {} {unit}", show(middle), show(most));
        if !promised.is_empty() {
            text.push_str(&format!(" (promised: at most {promised} {unit})"));
        }
        self.fact(what, text);
    }

    fn fact(&mut self, what: &str, text: String) {
        self.0.push_str(&format!("{what:<40} {text}\n"));
    }
}

fn each(nodes: &[Node], measure: impl Fn(u32) -> Result<f64>) -> Result<Vec<f64>> {
    let process = |node: &Node| {
        node.daemon()
            .context("a daemon has ended")
            .map(|one| one.id())
    };
    nodes.iter().map(|node| measure(process(node)?)).collect()
}

/// Of each, the percentage of one core that it used while nobody wanted anything of it.
fn idle(nodes: &[Node], span: Duration) -> Result<Vec<f64>> {
    let (before, begin) = (each(nodes, ticks)?, Instant::now());
    thread::sleep(span); // what is measured is what happens meanwhile
    let after = each(nodes, ticks)?;
    let seconds = begin.elapsed().as_secs_f64();
    let used = before
        .iter()
        .zip(&after)
        .map(|(before, after)| after - before);
    Ok(used.map(|ticks| ticks / TICKS / seconds * 100.0).collect())
}

/// The ticks that a process has used so far.
fn ticks(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // Behind the name, which may hold blanks: user and system time are the 12th and 13th field.
    let (_, fields) = stat.rsplit_once(')').context("no name in /proc/PID/stat")?;
    let used = fields.split_whitespace().skip(11).take(2);
    used.map(|field| Ok(field.parse::<f64>()?)).sum()
}

/// The resident memory of a process in megabytes.
fn resident(process: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    let kilobytes: f64 = kilobytes.context("no VmRSS")?.parse()?;
    Ok(kilobytes * 1024.0 / 1e6)
}
