//! The log: JSON objects or lines of text on standard error.

use std::io;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{Log, LogFormat, LogLevel};

/// Why there is no log.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LogError {
    /// Another one was set up in this process.
    #[error("a log was set up already")]
    Twice,
}

/// Changes the log while it is written.
pub(super) struct Logging(reload::Handle<LevelFilter, Registry>);

impl Logging {
    /// Goes by another level from now on.
    pub(super) fn reload(&self, log: &Log) {
        if self.0.reload(level(log.level)).is_err() {
            tracing::warn!("the log's level cannot be changed");
        }
    }
}

/// Sets up the log of this process.
pub(super) fn start(log: &Log) -> Result<Logging, LogError> {
    let (filter, handle) = reload::Layer::new(level(log.level));
    let lines = match log.format {
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(io::stderr)
            .boxed(),
        LogFormat::Text => fmt::layer()
            .with_ansi(false)
            .with_writer(io::stderr)
            .boxed(),
    };
    let started = tracing_subscriber::registry().with(filter).with(lines);
    started.try_init().map_err(|_| LogError::Twice)?;
    Ok(Logging(handle))
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
