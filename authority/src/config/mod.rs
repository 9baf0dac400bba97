//! The server's settings: one file, `authority.toml` in the data directory unless said otherwise.
//!
//! Every setting has a default. What is unknown is refused, so that a slip of the pen never means "as before".

mod read;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tidegate_proto::{Origin, Span};

pub use read::ConfigError;
use read::{count, span};

use crate::service::Limits;

/// All settings of the server.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the server listens.
    pub listen: SocketAddr,
    /// URLs under which it is reached, beside those that the genesis names. Signed requests name one of them.
    pub urls: Vec<Origin>,
    /// The TLS key and certificate.
    pub tls: Tls,
    /// The door for Prometheus.
    pub metrics: Metrics,
    /// What is logged, and how.
    pub log: Log,
    /// How many and how long.
    pub limits: LimitSettings,
    /// How often.
    pub rates: Rates,
    /// The audit log.
    pub audit: Audit,
}

/// The files of the TLS key pair, PEM. Relative paths start at the folder of the configuration.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The private key; mode 0600.
    pub key: PathBuf,
    /// The certificate, and those that lead to its root.
    pub certificate: PathBuf,
}

/// Prometheus' door.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// An address of its own for `/metrics`, without TLS; none: on the main one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// Logging.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// One line of text or one JSON object for each event.
    pub format: LogFormat,
    /// The least grave event that is logged.
    pub level: LogLevel,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

/// How grave an event is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// The server stops.
    Error,
    /// Somebody should look.
    Warn,
    /// A change that a user can see.
    #[default]
    Info,
    /// What helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

/// Limits on what strangers and nodes can cause.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// A node silent for longer is offline.
    #[serde(deserialize_with = "span::<5_000, 2_592_000_000, _>")]
    #[serde(serialize_with = "read::text")]
    pub offline_after: Span,
    /// A receipt that is out for longer is reported as overdue.
    #[serde(deserialize_with = "span::<1_000, 2_592_000_000, _>")]
    #[serde(serialize_with = "read::text")]
    pub receipt_overdue: Span,
    /// Nodes that may wait for a decision.
    #[serde(deserialize_with = "count::<0, 1_000_000, _>")]
    pub pending: u32,
    /// How long they may wait.
    #[serde(deserialize_with = "span::<60_000, 31_536_000_000, _>")]
    #[serde(serialize_with = "read::text")]
    pub pending_for: Span,
    /// Invites that may stand open.
    #[serde(deserialize_with = "count::<0, 1_000_000, _>")]
    pub invites: u32,
    /// Streams that may be open at once.
    #[serde(deserialize_with = "count::<1, 1_000_000, _>")]
    pub streams: u32,
    /// Connections that may be open at once.
    #[serde(deserialize_with = "count::<1, 1_000_000, _>")]
    pub connections: u32,
}

/// How often one source address may ask, and one who is known.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Requests a second from one address, over time.
    #[serde(deserialize_with = "count::<1, 1_000_000, _>")]
    pub requests_per_second: u32,
    /// Requests that one address may make at once after a pause.
    #[serde(deserialize_with = "count::<1, 1_000_000, _>")]
    pub burst: u32,
    /// Enrolments a minute from one address.
    #[serde(deserialize_with = "count::<1, 1_000_000, _>")]
    pub enrollments_per_minute: u32,
    /// Requests a minute from one address that failed to prove who asks.
    #[serde(deserialize_with = "count::<1, 1_000_000, _>")]
    pub failures_per_minute: u32,
    /// Requests a second of one node that is in, or of one operator or token, from wherever; they do not count for
    /// the address.
    #[serde(deserialize_with = "count::<1, 1_000_000, _>")]
    pub known_per_second: u32,
    /// Requests that one of them may make at once after a pause.
    #[serde(deserialize_with = "count::<1, 1_000_000, _>")]
    pub known_burst: u32,
    /// How often a minute one node may say anew where it is found.
    #[serde(deserialize_with = "count::<1, 1_000_000, _>")]
    pub records_per_minute: u32,
    /// Newcomers without an invite that one address may have wait for a decision in a day.
    #[serde(deserialize_with = "count::<1, 1_000_000, _>")]
    pub waiting_per_day: u32,
}

/// The audit log.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// Events between two signed checkpoints.
    #[serde(deserialize_with = "count::<1, 1_000_000, _>")]
    pub checkpoint_every: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 7443).into(),
            urls: Vec::new(),
            tls: Tls::default(),
            metrics: Metrics::default(),
            log: Log::default(),
            limits: LimitSettings::default(),
            rates: Rates::default(),
            audit: Audit::default(),
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            key: "tls.key".into(),
            certificate: "tls.crt".into(),
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            offline_after: Span::from_secs(90),
            receipt_overdue: Span::from_minutes(1),
            pending: 1000,
            pending_for: Span::from_hours(7 * 24),
            invites: 1000,
            streams: 12_000,
            connections: 20_000,
        }
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            requests_per_second: 20,
            burst: 200,
            enrollments_per_minute: 60,
            failures_per_minute: 30,
            known_per_second: 50,
            known_burst: 1000,
            records_per_minute: 30,
            waiting_per_day: 20,
        }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            checkpoint_every: 256,
        }
    }
}

impl LogLevel {
    /// The level as filters name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Config {
    /// The limits that the service itself keeps.
    pub fn service_limits(&self) -> Limits {
        Limits {
            pending: self.limits.pending,
            pending_for: self.limits.pending_for,
            invites: self.limits.invites,
            offline_after: self.limits.offline_after,
            receipt_overdue: self.limits.receipt_overdue,
            checkpoint_every: self.audit.checkpoint_every,
            ..Limits::default()
        }
    }
}
