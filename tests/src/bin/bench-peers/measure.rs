//! Loads, and what is measured under them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tidegate_tests::iperf::{Load, serve};
use tidegate_tests::wireguard::{OwnWireGuard, Pair};
use tidegate_tests::{Process, Stranger, wait_until};

use crate::contender::Contender;

/// Clock ticks per second in /proc.
const TICKS: f64 = 100.0;
const PINGS: u32 = 1000;

/// One load.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    kind: Kind,
}

enum Kind {
    Load {
        load: Load,
        family: usize,
    },
    /// The load, while this many spoofed handshakes a second arrive at the server's end.
    Flooded {
        load: Load,
        handshakes: u32,
    },
    Ping,
    /// Nothing: what the daemons keep in memory after all loads.
    Memory,
    /// Nothing, with this many more peers.
    Idle {
        peers: u64,
    },
}

/// A tunnel that is up.
pub(crate) struct Tunnel<'a> {
    pub(crate) pair: &'a Pair,
    pub(crate) daemons: [&'a Process; 2],
    /// The first end, where it is ours.
    pub(crate) own: Option<&'a OwnWireGuard>,
}

/// All that was measured: by load and figure, by contender, one value each round.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    values: BTreeMap<(&'static str, &'static str), BTreeMap<&'static str, Vec<f64>>>,
}

impl Scenario {
    pub(crate) fn all(contender: &Contender) -> Vec<Self> {
        let load = |name, family, load| Self {
            name,
            kind: Kind::Load { load, family },
        };
        let tcp = |streams, both_ways| Load {
            streams,
            both_ways,
            ..Load::default()
        };
        let udp = |length| Load {
            datagrams: Some(length),
            ..Load::default()
        };
        let mut all = vec![
            load("1 stream", 0, tcp(1, false)),
            load("8 streams", 0, tcp(8, false)),
        ];
        if contender.is_full() {
            all.push(load("1 both ways", 0, tcp(1, true)));
            all.push(load("8 both ways", 0, tcp(8, true)));
            all.push(load("IPv6 1 stream", 1, tcp(1, false)));
            // The longest datagram that the tunnel carries whole, just under 1,400 bytes.
            all.push(load("UDP 1392 B", 0, udp(1392)));
            all.push(load("UDP 64 B", 0, udp(64)));
        }
        let other = |name, kind| Self { name, kind };
        all.push(other("ping", Kind::Ping));
        if contender.is_own() {
            let load = tcp(8, false);
            let handshakes = 20_000;
            all.push(other("8 flooded", Kind::Flooded { load, handshakes }));
        }
        all.push(other("memory", Kind::Memory));
        if contender.is_own() {
            // Last, because it changes what is measured.
            all.push(other("10000 idle", Kind::Idle { peers: 10_000 }));
        }
        all
    }

    pub(crate) fn run(
        &self,
        who: &'static str,
        tunnel: &Tunnel<'_>,
        seconds: u32,
        sheet: &mut Sheet,
    ) -> Result<()> {
        match &self.kind {
            Kind::Ping => tunnel.ping(who, self.name, sheet),
            Kind::Memory => tunnel.memory(who, self.name, sheet),
            Kind::Idle { peers } => tunnel.idle(*peers, who, self.name, sheet),
            Kind::Flooded { load, handshakes } => {
                let load = Load {
                    seconds,
                    ..load.clone()
                };
                let _flood =
                    Stranger(&tunnel.pair.a.host).initiations(&tunnel.pair.b, *handshakes)?;
                tunnel.load(&load, tunnel.pair.b.overlay[0], who, self.name, sheet)
            }
            Kind::Load { load, family } => {
                let load = Load {
                    seconds,
                    ..load.clone()
                };
                tunnel.load(&load, tunnel.pair.b.overlay[*family], who, self.name, sheet)
            }
        }
    }
}

impl Tunnel<'_> {
    fn load(
        &self,
        load: &Load,
        to: IpAddr,
        who: &'static str,
        name: &'static str,
        sheet: &mut Sheet,
    ) -> Result<()> {
        let _server = serve(&self.pair.b.host)?;
        let before = self.cpu()?;
        let arrived = load.send(&self.pair.a.host, to)?;
        let cpu = self.cpu()? - before;
        sheet.add(name, "Gbit/s", who, arrived.rate / 1e9);
        sheet.add(name, "CPU s/GB", who, cpu / (arrived.bytes / 1e9));
        if load.datagrams.is_some() {
            let datagrams = arrived.rate / 8.0 / f64::from(load.datagrams.unwrap_or(1));
            sheet.add(name, "kpps", who, datagrams / 1e3);
        }
        Ok(())
    }

    fn ping(&self, who: &'static str, name: &'static str, sheet: &mut Sheet) -> Result<()> {
        let target = self.pair.b.overlay[0].to_string();
        let text = self
            .pair
            .a
            .host
            .run("ping", ["-c", &PINGS.to_string(), "-i", "0.002", &target])?;
        let mut times: Vec<f64> = text
            .lines()
            .filter_map(|line| line.split("time=").nth(1)?.split(' ').next()?.parse().ok())
            .collect();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied();
        sheet.add(
            name,
            "p50 us",
            who,
            at(0.5).context("no ping was answered")? * 1e3,
        );
        sheet.add(
            name,
            "p99 us",
            who,
            at(0.99).context("no ping was answered")? * 1e3,
        );
        Ok(())
    }

    fn idle(
        &self,
        peers: u64,
        who: &'static str,
        name: &'static str,
        sheet: &mut Sheet,
    ) -> Result<()> {
        let own = self.own.context("only ours takes peers by the thousand")?;
        own.ask(&format!("add-idle {peers}"))?;
        let (before, began) = (self.cpu()?, Instant::now());
        let span = Duration::from_secs(10);
        wait_until(span * 2, "an idle while", || began.elapsed() >= span)?;
        let share = (self.cpu()? - before) / began.elapsed().as_secs_f64();
        sheet.add(name, "% of a core", who, share * 100.0);
        for (figure, command) in [("add us", "add-bare"), ("remove us", "remove-bare")] {
            for number in 0..100 {
                let answer = own.ask(&format!("{command} {number}"))?;
                let took = answer["took_us"].as_f64().context("no duration")?;
                sheet.add(name, figure, who, took);
            }
        }
        let [first, _] = self.daemons;
        sheet.add(name, "RSS MB", who, memory_of(first, "VmRSS:")?);
        Ok(())
    }

    /// The larger of both ends, after all loads.
    fn memory(&self, who: &'static str, name: &'static str, sheet: &mut Sheet) -> Result<()> {
        for (figure, key) in [("RSS MB", "VmRSS:"), ("RssAnon MB", "RssAnon:")] {
            let mut largest = 0.0;
            for daemon in self.daemons {
                largest = f64::max(largest, memory_of(daemon, key)?);
            }
            sheet.add(name, figure, who, largest);
        }
        Ok(())
    }

    /// CPU seconds of both daemons so far.
    fn cpu(&self) -> Result<f64> {
        let mut seconds = 0.0;
        for daemon in self.daemons {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.id()))?;
            let (_, rest) = stat.rsplit_once(')').context("no process name")?;
            let fields: Vec<&str> = rest.split_whitespace().collect();
            seconds += (fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / TICKS;
        }
        Ok(seconds)
    }
}

/// A figure of /proc/PID/status in megabytes.
fn memory_of(process: &Process, key: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix(key));
    let kilobytes: f64 = kilobytes
        .context("no memory figure")?
        .replace("kB", "")
        .trim()
        .parse()?;
    Ok(kilobytes / 1024.0)
}

impl Sheet {
    fn add(&mut self, load: &'static str, figure: &'static str, who: &'static str, value: f64) {
        let row = self.values.entry((load, figure)).or_default();
        row.entry(who).or_default().push(value);
    }

    pub(crate) fn median(&self, load: &str, figure: &str, who: &str) -> Option<f64> {
        let row = self
            .values
            .iter()
            .find(|((l, f), _)| *l == load && *f == figure)?
            .1;
        let mut values = row.get(who)?.clone();
        values.sort_by(f64::total_cmp);
        Some(values[values.len() / 2])
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.values.keys().copied()
    }

    pub(crate) fn rounds(&self, load: &str, figure: &str, who: &str) -> &[f64] {
        let row = self
            .values
            .iter()
            .find(|((l, f), _)| *l == load && *f == figure);
        row.and_then(|(_, row)| row.get(who))
            .map_or(&[], Vec::as_slice)
    }
}
