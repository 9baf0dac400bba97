//! Load from iperf3.

use std::{net::IpAddr, time::Duration};

use serde_json::Value;

use crate::{Host, LabError, Process, wait_for};

const PATIENCE: Duration = Duration::from_secs(20);

/// What to send.
#[derive(Clone, Debug)]
pub struct Load {
    /// How long, in seconds.
    pub seconds: u32,
    /// How many connections.
    pub streams: u32,
    /// Both directions at once.
    pub both_ways: bool,
    /// UDP datagrams of this length instead of TCP.
    pub datagrams: Option<u16>,
    /// At most this many bits per second, each connection; as fast as it goes otherwise.
    pub rate: Option<u64>,
    /// Seconds between two figures of the course.
    pub interval: f64,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            seconds: 2,
            streams: 1,
            both_ways: false,
            datagrams: None,
            rate: None,
            interval: 1.0,
        }
    }
}

/// What arrived.
#[derive(Clone, Debug, Default)]
pub struct Arrived {
    /// Bytes of all connections and directions.
    pub bytes: f64,
    /// Bits per second of all connections and directions.
    pub rate: f64,
    /// TCP segments sent again.
    pub retransmits: u64,
    /// Datagrams lost, in percent.
    pub lost_percent: f64,
    /// Bytes of each interval, as the sender saw it.
    pub course: Vec<f64>,
}

/// A server that takes load on `host` until it is dropped.
pub fn serve(host: &Host) -> Result<Process, LabError> {
    let server = host.spawn("iperf3", ["-s", "--forceflush"])?;
    server.wait_for_output(PATIENCE, "Server listening")?;
    Ok(server)
}

impl Load {
    /// Sends from `host` to the server at `to`, and returns what arrived there.
    ///
    /// A server that is still busy with its last client turns the next one away before anything is sent; then it is
    /// asked again.
    pub fn send(&self, host: &Host, to: IpAddr) -> Result<Arrived, LabError> {
        let patience = PATIENCE + Duration::from_secs(self.seconds.into());
        let once = || {
            host.command("iperf3")
                .args(self.args(to))
                .timeout(patience)
                .output()
        };
        let output = wait_for(PATIENCE, "the server to take a client", || match once() {
            Ok(output) if was_turned_away(&output.text()) => None,
            result => Some(result),
        })??;
        let text = output.text();
        Arrived::parse(&text).ok_or_else(|| LabError::Failed {
            host: host.name().to_owned(),
            command: "iperf3".to_owned(),
            status: output.status.to_string(),
            output: text,
        })
    }

    /// Starts sending and returns at once.
    pub fn start(&self, host: &Host, to: IpAddr) -> Result<Process, LabError> {
        host.spawn("iperf3", self.args(to))
    }

    fn args(&self, to: IpAddr) -> Vec<String> {
        let mut args = format!(
            "-J -c {to} -t {} -P {} -i {}",
            self.seconds, self.streams, self.interval
        );
        if self.both_ways {
            args += " --bidir";
        }
        match (self.datagrams, self.rate) {
            (Some(length), rate) => args += &format!(" -u -l {length} -b {}", rate.unwrap_or(0)),
            (None, Some(rate)) => args += &format!(" -b {rate}"),
            (None, None) => {}
        }
        args.split(' ').map(str::to_owned).collect()
    }
}

fn was_turned_away(text: &str) -> bool {
    let report: Value = serde_json::from_str(text).unwrap_or_default();
    report.get("error").is_some() && report["start"]["connected"] == Value::Array(Vec::new())
}

impl Arrived {
    /// Reads the client's JSON.
    pub fn parse(text: &str) -> Option<Self> {
        let report: Value = serde_json::from_str(text).ok()?;
        let end = report.get("end")?;
        let mut arrived = Self::default();
        for part in ["sum_received", "sum_received_bidir_reverse"] {
            arrived.bytes += end[part]["bytes"].as_f64().unwrap_or(0.0);
            arrived.rate += end[part]["bits_per_second"].as_f64().unwrap_or(0.0);
        }
        end["sum_received"]["bytes"].as_f64()?;
        arrived.retransmits = end["sum_sent"]["retransmits"].as_u64().unwrap_or(0);
        arrived.lost_percent = end["sum_received"]["lost_percent"].as_f64().unwrap_or(0.0);
        let intervals = report["intervals"].as_array()?;
        let bytes = |interval: &Value| interval["sum"]["bytes"].as_f64().unwrap_or(0.0);
        arrived.course = intervals.iter().map(bytes).collect();
        Some(arrived)
    }
}
