//! `/etc/tidegate/tidegate.toml`: what the host's owner decides, and no document can.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde::Deserialize;
use tidegate_netconfig::Prefix;
use tidegate_netconfig::desired::LinkName;
use tidegate_proto::Endpoint;

/// Where the file is unless `--config` says otherwise.
pub const CONFIG: &str = "/etc/tidegate/tidegate.toml";
/// Where the state is unless `--state-dir` says otherwise.
pub const STATE: &str = "/var/lib/tidegate";
/// Where the daemon is spoken to unless `--socket` says otherwise.
pub const SOCKET: &str = "/run/tidegate/tidegate.sock";

/// The most that a configuration file holds.
const LARGEST: u64 = 64 * 1024;
/// The most endpoints that a node announces for itself.
pub const MOST_ENDPOINTS: usize = 8;

/// Why the configuration cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error(
        "cannot read {path}: {reason}; check the path and its mode, or give another with --config"
    )]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// It says something that is not understood.
    #[error("{path}: {reason}; put it right, nothing of the file was applied")]
    Invalid {
        /// The file.
        path: String,
        /// What is wrong, and where.
        reason: String,
    },
}

/// The configuration. What is left out has the value of [`Config::default`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The tunnel's interface.
    pub interface: LinkName,
    /// The UDP port; 0 lets the kernel choose one at each start.
    pub port: u16,
    /// The largest packet in the tunnel.
    pub mtu: u16,
    /// Addresses and ports under which others reach this host, besides those of its interfaces.
    pub endpoints: Vec<Endpoint>,
    /// Whether the addresses of this host's interfaces are announced to its peers.
    pub announce_interfaces: bool,
    /// Whether networks behind other nodes are reached through them.
    pub accept_routes: bool,
    /// Accepted networks that may cover what this host reaches without them.
    pub allow_overlap: BTreeSet<Prefix>,
    /// Networks that this host forwards to, out of those that its certificate allows.
    pub serve_routes: BTreeSet<Prefix>,
    /// Whether the served networks see this host's address instead of the overlay's. If not, hosts in them may begin what
    /// the policy names their addresses for; they need a route to the overlay through this host.
    pub masquerade: bool,
    /// Whether the overlay's names are resolved on this host.
    pub dns: bool,
    /// The resolver's port on the overlay addresses.
    pub dns_port: u16,
    /// Where metrics are served; nowhere if absent.
    pub metrics: Option<SocketAddr>,
    /// What is logged: error, warn, info, debug, trace, or directives by module.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// For people.
    Text,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interface: default_interface(),
            port: 51_820,
            mtu: 1420,
            endpoints: Vec::new(),
            announce_interfaces: true,
            accept_routes: false,
            allow_overlap: BTreeSet::new(),
            serve_routes: BTreeSet::new(),
            masquerade: true,
            dns: false,
            dns_port: 5_300,
            metrics: None,
            log: "info".to_owned(),
            log_format: LogFormat::default(),
        }
    }
}

#[expect(clippy::expect_used, reason = "the name is fixed and fits")]
fn default_interface() -> LinkName {
    LinkName::new("tidegate").expect("a link can have this name")
}

impl Config {
    /// Reads the file. Only [`CONFIG`] itself may be missing, which means the defaults.
    ///
    /// # Errors
    /// When it cannot be read, or says something that is not understood.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        match read(path) {
            Ok(text) => Self::parse(&text, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound && path == Path::new(CONFIG) => {
                Ok(Self::default())
            }
            Err(error) => Err(ConfigError::Unreadable {
                path: path.display().to_string(),
                reason: error.to_string(),
            }),
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let invalid = |(line, reason): (Option<usize>, String)| ConfigError::Invalid {
            path: place(path, line),
            reason,
        };
        let config: Self = toml::from_str(text).map_err(|error| invalid(placed(text, &error)))?;
        let checked = config.check();
        checked.map_err(|(key, reason)| invalid((line_of(text, key), reason.to_owned())))?;
        Ok(config)
    }

    /// What no type can say; the key, and what is wrong with it.
    fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if !(1280..=65_475).contains(&self.mtu) {
            return Err(("mtu", "mtu must be from 1280 to 65475"));
        }
        if self.endpoints.len() > MOST_ENDPOINTS {
            return Err(("endpoints", "more than 8 endpoints"));
        }
        if self.dns_port == 0 {
            return Err(("dns_port", "dns_port cannot be 0"));
        }
        let open = |address: SocketAddr| is_unspecified(address.ip());
        if self.metrics.is_some_and(open) {
            return Err((
                "metrics",
                "metrics would be open to everybody; name one address",
            ));
        }
        crate::logs::check(&self.log).map_err(|reason| ("log", reason))
    }
}

/// File and line, as compilers and editors write them.
fn place(path: &Path, line: Option<usize>) -> String {
    let path = path.display();
    line.map_or_else(|| path.to_string(), |line| format!("{path}:{line}"))
}

/// The line that sets `key`.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let sets = |line: &str| {
        line.split('=')
            .next()
            .is_some_and(|name| name.trim() == key)
    };
    text.lines().position(sets).map(|before| before + 1)
}

fn is_unspecified(ip: IpAddr) -> bool {
    ip.to_canonical().is_unspecified()
}

fn read(path: &Path) -> io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(LARGEST)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// The error, and the line that it is about.
fn placed(text: &str, error: &toml::de::Error) -> (Option<usize>, String) {
    let message = error.message().replace('\n', " ");
    let before = error.span().and_then(|span| text.get(..span.start));
    let Some(number) = before.map(|before| before.matches('\n').count()) else {
        return (None, message);
    };
    let line = text.lines().nth(number).unwrap_or_default().trim();
    (Some(number + 1), format!("{message} ({line})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("tidegate.toml"))
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(parse("").unwrap(), Config::default());
    }

    #[test]
    fn every_key_is_read() {
        let text = r#"
            interface = "tg1"
            port = 7000
            mtu = 1380
            endpoints = ["192.0.2.7:7000"]
            announce_interfaces = false
            accept_routes = true
            allow_overlap = ["10.1.0.0/16"]
            serve_routes = ["10.2.0.0/16"]
            masquerade = false
            dns = true
            dns_port = 5353
            metrics = "127.0.0.1:9477"
            log = "warn,tidegate=debug"
            log_format = "text"
        "#;
        let config = parse(text).unwrap();
        assert_eq!(config.interface.as_str(), "tg1");
        assert!(config.dns && config.accept_routes && !config.announce_interfaces);
        assert_eq!(config.log_format, LogFormat::Text);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (text, word) in [
            ("colour = \"red\"", "colour"),
            ("mtu = 100", "mtu"),
            ("metrics = \"0.0.0.0:9477\"", "metrics"),
            ("metrics = \"[::ffff:0.0.0.0]:9477\"", "metrics"),
            ("interface = \"a name that is too long\"", "name"),
            ("log = \"\"", "log"),
            ("dns_port = 0", "dns_port"),
            ("port = 70000", "port"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_file_and_line() {
        for (text, line) in [
            ("# ours\nport = 1\ncolour = 2\n", 3),
            ("port = 1\nmtu = 100\n", 2),
            ("\n\nport = \"x\"\n", 3),
            ("port = 1\nport = 2\n", 2),
            ("dns = true\ndns_port=0\n", 2),
            ("metrics\n", 1),
        ] {
            let error = parse(text).unwrap_err().to_string();
            let place = format!("tidegate.toml:{line}: ");
            assert!(error.starts_with(&place), "{text:?}: {error}");
        }
    }

    #[test]
    fn only_the_usual_file_may_be_missing() {
        let error = Config::load(Path::new("/nowhere/tidegate.toml")).unwrap_err();
        assert!(matches!(error, ConfigError::Unreadable { .. }));
    }
}
