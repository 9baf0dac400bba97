//! `ping`: a round trip inside the tunnel, answered by the other daemon.

use std::time::Duration;

use clap::Args;
use tidegate::exit::Exit;
use tidegate::local::{PingView, Reply, Request};

use super::{Talk, odd};
use crate::cli::Failure;

/// Pings a node.
#[derive(Args, Debug)]
pub(crate) struct Ping {
    /// Its name or overlay address
    node: String,
    /// How often
    #[arg(short = 'c', long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
    #[command(flatten)]
    talk: Talk,
}

impl Ping {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut answered = 0;
        for turn in 0..self.count {
            if turn > 0 {
                std::thread::sleep(Duration::from_millis(500));
            }
            let node = self.node.clone();
            let Reply::Ping(ping) = self.talk.ask(&Request::Ping { node })? else {
                return Err(odd());
            };
            answered += u32::from(ping.round_trip_us.is_some());
            self.talk.show(&ping, || line(&ping))?;
        }
        if answered == 0 {
            return Err(Failure {
                exit: Exit::NoAnswer,
                message: format!(
                    "{} does not answer; see `tidegate status` for its endpoint, and whether its daemon runs",
                    self.node
                ),
            });
        }
        Ok(())
    }
}

fn line(ping: &PingView) -> String {
    let by = ping
        .endpoint
        .map_or_else(|| "no endpoint".to_owned(), |endpoint| endpoint.to_string());
    match ping.round_trip_us {
        Some(micros) => format!(
            "{} ({}) by {by}: {:.2} ms\n",
            ping.name,
            ping.address,
            micros as f64 / 1000.0
        ),
        None => format!("{} ({}) by {by}: no answer\n", ping.name, ping.address),
    }
}
