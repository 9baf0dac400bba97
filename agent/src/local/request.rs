//! Questions and answers.

use serde::{Deserialize, Serialize};

use super::view::{HealthView, PingView, StatusView};
use crate::exit::Exit;

/// What is asked of the daemon.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How it stands with everything.
    Status {
        /// Whether to measure the latency of peers that are connected.
        measure: bool,
    },
    /// How it stands with what can go wrong.
    Health {},
    /// The counters, in Prometheus' text form.
    Metrics {},
    /// A ping inside the tunnel.
    Ping {
        /// The name or an address of the peer.
        node: String,
    },
    /// Be in the network.
    Up {},
    /// Be out of it, and undo everything on the host.
    Down {},
    /// Be out of it for good: undo everything on the host, erase the identity, and end.
    Leave {},
    /// Read the configuration again.
    Reload {},
    /// Log more or less from now on.
    Log {
        /// A level, or directives by module.
        level: String,
    },
}

impl Request {
    /// Reads a question: one object, and nothing that is taken for one.
    ///
    /// # Errors
    /// When it is not understood.
    pub fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        use serde::de::Error;
        if line.first() == Some(&b'{') {
            serde_json::from_slice(line)
        } else {
            Err(serde_json::Error::custom("not an object"))
        }
    }

    /// Whether it changes anything.
    #[must_use]
    pub fn changes(&self) -> bool {
        match self {
            Self::Status { .. } | Self::Health {} | Self::Metrics {} | Self::Ping { .. } => false,
            Self::Up {} | Self::Down {} | Self::Leave {} | Self::Reload {} | Self::Log { .. } => {
                true
            }
        }
    }
}

/// What the daemon answers.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It is done.
    Done,
    /// How it stands.
    Status(Box<StatusView>),
    /// How it stands with what can go wrong.
    Health(HealthView),
    /// The counters.
    Metrics(String),
    /// What became of the ping.
    Ping(PingView),
    /// It is not done.
    Refused(Refusal),
}

/// Why something is not done, and the code that the command line ends with.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Refusal {
    /// The exit code.
    pub exit: Exit,
    /// What happened, why, and what to do next.
    pub message: String,
}

impl Refusal {
    /// A refusal with this code.
    pub fn new(exit: Exit, message: impl ToString) -> Self {
        Self {
            exit,
            message: message.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_not_understood_is_refused() {
        for text in [
            "{}",
            r#"{"do":"explode"}"#,
            r#"{"do":"up","please":true}"#,
            r#"{"do":"ping"}"#,
            r#"["up"]"#,
        ] {
            assert!(Request::parse(text.as_bytes()).is_err(), "{text}");
        }
        let up = Request::parse(br#"{"do":"up"}"#).unwrap();
        assert!(up.changes());
    }
}
