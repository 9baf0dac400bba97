//! The log: one line of JSON per event on standard error, with a level that changes while the daemon runs.

use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::LogFormat;

/// A text that is no filter for the log.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} is no log level; write error, warn, info, debug or trace, or directives like info,tidegate=debug"
)]
pub struct LevelError(String);

static HANDLE: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts to log. Only the first call in a process counts.
pub fn start(directives: &str, format: LogFormat) {
    let filter = EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::new(filter);
    let registry = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry.with(lines).try_init(),
    };
    if started.is_ok() {
        let _ = HANDLE.set(handle);
    }
}

/// Changes what is logged from now on.
///
/// # Errors
/// When the text is no filter.
pub fn change(directives: &str) -> Result<(), LevelError> {
    let filter = parse(directives)?;
    if let Some(handle) = HANDLE.get() {
        // It fails only when the subscriber is gone, and then nobody logs.
        let _ = handle.reload(filter);
    }
    Ok(())
}

/// Whether the text is a filter.
pub(crate) fn check(directives: &str) -> Result<(), &'static str> {
    match parse(directives) {
        Ok(_) => Ok(()),
        Err(_) => Err("log is no log level, nor directives like info,tidegate=debug"),
    }
}

fn parse(directives: &str) -> Result<EnvFilter, LevelError> {
    let refused = || LevelError(directives.chars().take(64).collect());
    if directives.is_empty() || directives.len() > 512 {
        return Err(refused());
    }
    EnvFilter::try_new(directives).map_err(|_| refused())
}
