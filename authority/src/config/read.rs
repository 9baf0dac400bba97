//! Reading the file, with errors that name the line and the setting.

use std::fmt::Display;
use std::path::Path;
use std::str::{self, FromStr};

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::Serializer;
use tidegate_proto::Span;

use super::Config;
use crate::file::{self, FileError, Secrecy, shown};

/// More than any configuration holds.
const LONGEST: usize = 256 * 1024;
/// The settings that every new data directory starts with.
const STARTER: &str = include_str!("starter.toml");

/// Why there is no configuration.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file was not read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something in it cannot be.
    #[error(
        "{path}, line {line}, {key}: {reason}; correct it, or take the line out to have the default"
    )]
    Setting {
        /// The file.
        path: String,
        /// The line, counted from one.
        line: usize,
        /// The setting or the section.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Config {
    /// Reads the settings in this file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let bytes = file::read(path, LONGEST, Secrecy::Public)?;
        let text = str::from_utf8(&bytes).map_err(|error| ConfigError::Setting {
            path: shown(path),
            line: line_of(&bytes, error.valid_up_to()),
            key: "text".to_owned(),
            reason: "this is not UTF-8".to_owned(),
        })?;
        Self::parse(text, path)
    }

    /// The settings in `text`, which stands in `path`.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            ConfigError::Setting {
                path: shown(path),
                line: line_of(text.as_bytes(), at),
                key: key_at(text, at),
                reason: error.message().trim().replace('\n', "; "),
            }
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.tls.key = folder.join(&config.tls.key);
        config.tls.certificate = folder.join(&config.tls.certificate);
        Ok(config)
    }

    /// The text of a new configuration: what is given here, and every other setting as a comment with its default.
    pub fn starter(&self) -> String {
        let quoted =
            |path: &Path| toml::Value::from(path.to_string_lossy().into_owned()).to_string();
        STARTER
            .replace("{listen}", &self.listen.to_string())
            .replace("{key}", &quoted(&self.tls.key))
            .replace("{certificate}", &quoted(&self.tls.certificate))
    }
}

fn line_of(text: &[u8], at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

/// What stands before the equals sign in the line at `at`, or the whole line.
fn key_at(text: &str, at: usize) -> String {
    let line = text
        .lines()
        .nth(line_of(text.as_bytes(), at) - 1)
        .unwrap_or_default();
    let key = line.split('=').next().unwrap_or(line).trim();
    key.chars().take(64).collect()
}

/// A span like `"15m"`, of at least `LEAST` and at most `MOST` milliseconds.
pub(super) fn span<'de, const LEAST: u64, const MOST: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Span, D::Error> {
    let text = String::deserialize(deserializer)?;
    let span = Span::from_str(&text).map_err(D::Error::custom)?;
    if (LEAST..=MOST).contains(&span.as_millis()) {
        return Ok(span);
    }
    let (least, most) = (Span::from_millis(LEAST), Span::from_millis(MOST));
    Err(D::Error::custom(format_args!(
        "{span} is not between {least} and {most}"
    )))
}

/// A number of at least `LEAST` and at most `MOST`.
pub(super) fn count<'de, const LEAST: u32, const MOST: u32, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<u32, D::Error> {
    let number = i64::deserialize(deserializer)?;
    let fits = u32::try_from(number)
        .ok()
        .filter(|count| (LEAST..=MOST).contains(count));
    fits.ok_or_else(|| D::Error::custom(format_args!("{number} is not between {LEAST} and {MOST}")))
}

/// The value as it is written in the file.
pub(super) fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("authority.toml"))
    }

    fn refused(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    /// The starter with every comment that is a setting made one.
    fn in_full(starter: &str) -> String {
        let setting = |line: &str| {
            let text = line.strip_prefix('#').unwrap_or_default();
            let key = text.split(" = ").next().unwrap_or_default();
            let plain = |c: char| c.is_ascii_lowercase() || c == '_';
            !key.is_empty() && key.len() < text.len() && key.chars().all(plain)
        };
        let line = |line: &str| {
            if setting(line) {
                line[1..].to_owned()
            } else {
                line.to_owned()
            }
        };
        starter.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(parse(""), Ok(Config::default()));
    }

    #[test]
    fn the_starter_names_every_setting_with_its_default() {
        let starter = Config::default().starter();
        assert_eq!(parse(&starter), Ok(Config::default()));
        let full = in_full(&starter);
        let expected = Config {
            metrics: super::super::Metrics {
                listen: Some("127.0.0.1:7444".parse().unwrap()),
            },
            ..Config::default()
        };
        assert_eq!(parse(&full), Ok(expected.clone()));
        let written: toml::Table = toml::from_str(&full).unwrap();
        let known = toml::Table::try_from(&expected).unwrap();
        assert_eq!(keys(&written), keys(&known));
    }

    fn keys(table: &toml::Table) -> Vec<String> {
        let inner = |(key, value): (&String, &toml::Value)| match value {
            toml::Value::Table(inner) => keys(inner)
                .iter()
                .map(|name| format!("{key}.{name}"))
                .collect(),
            _ => vec![key.clone()],
        };
        let mut names: Vec<String> = table.iter().flat_map(inner).collect();
        names.sort();
        names
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_line_and_its_name() {
        let cases = [
            ("listen = \"127.0.0.1\"", "line 1, listen: "),
            (
                "\n\nlisten_on = \"127.0.0.1:1\"",
                "line 3, listen_on: unknown field",
            ),
            (
                "[limits]\npending = -1",
                "line 2, pending: -1 is not between 0 and 1000000",
            ),
            (
                "[limits]\noffline_after = \"1s\"",
                "line 2, offline_after: 1s is not between 5s and 30d",
            ),
            (
                "[limits]\noffline_after = 90",
                "line 2, offline_after: invalid type",
            ),
            ("[log]\nformat = \"xml\"", "line 2, format: unknown variant"),
            ("[log\n", "line 1, [log: "),
            ("[rates]\nburst = 0", "line 2, burst: 0 is not between"),
            ("urls = [\"http://a\"]", "line 1, urls: "),
            (
                "listen = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"",
                "line 2, listen: duplicate key",
            ),
        ];
        for (text, expected) in cases {
            let line = refused(text);
            assert!(line.contains(expected), "{text}: {line}");
            assert!(
                line.starts_with("authority.toml, ") && line.contains("take the line out"),
                "{line}"
            );
        }
    }

    #[test]
    fn tls_files_lie_beside_the_configuration() {
        let config = Config::parse(
            "[tls]\nkey = \"/etc/ssl/key.pem\"",
            Path::new("/var/lib/a/authority.toml"),
        );
        let tls = config.unwrap().tls;
        assert_eq!(tls.key, Path::new("/etc/ssl/key.pem"));
        assert_eq!(tls.certificate, Path::new("/var/lib/a/tls.crt"));
    }
}
