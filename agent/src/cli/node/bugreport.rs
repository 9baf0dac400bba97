//! `bugreport`: everything that helps to find a fault, and no secret.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use tidegate::config::{CONFIG, Config};
use tidegate::local::{Reply, Request};

use super::{Talk, doctor};
use crate::cli::{Failure, print};

/// Prints a report to attach to a question. It holds names, addresses and public keys, and no secret.
#[derive(Args, Debug)]
pub(crate) struct Bugreport {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
    #[command(flatten)]
    talk: Talk,
}

impl Bugreport {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = Config::load(&self.config);
        let report = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "kernel": kernel(),
            "config": config.as_ref().map_or_else(ToString::to_string, |config| format!("{config:?}")),
            "doctor": doctor::examine(&config.unwrap_or_default(), &self.talk),
            "status": self.asked(&Request::Status { measure: true }),
            "health": self.asked(&Request::Health {}),
            "metrics": self.asked(&Request::Metrics {}),
        });
        let mut text = serde_json::to_string_pretty(&report).map_err(Failure::new)?;
        text.push('\n');
        print(&text)
    }

    /// The answer, or why there is none: a report about a daemon that is down helps as well.
    fn asked(&self, request: &Request) -> Value {
        match self.talk.ask(request) {
            Ok(Reply::Status(status)) => json!(status),
            Ok(Reply::Health(health)) => json!(health),
            Ok(Reply::Metrics(text)) => json!(text.lines().collect::<Vec<_>>()),
            Ok(_) => Value::Null,
            Err(failure) => json!({ "failed": failure.message }),
        }
    }
}

fn kernel() -> String {
    let name = rustix::system::uname();
    format!(
        "{} {} {}",
        name.sysname().to_string_lossy(),
        name.release().to_string_lossy(),
        name.machine().to_string_lossy()
    )
}
