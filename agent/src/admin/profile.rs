//! Profiles: the networks that an operator has logged in to, and as whom.
//!
//! ```toml
//! default = "demo"
//!
//! [profiles.demo]
//! urls = ["https://authority.example:7443"]
//! genesis = ['{"payloadType":…}']   # the chain of genesis documents, the trusted one first
//! key = "/home/jane/operator.pem"   # or token = "…"
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidegate_proto::api::SecretText;
use tidegate_proto::{EnvelopeError, Genesis, Origin, Signed, SuccessionError};
use zeroize::Zeroizing;

use super::file::{self, FileError, Secrecy};

/// More than any profile file holds.
const LARGEST: usize = 4 * 1024 * 1024;

/// Why there is no profile.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// No place for the file.
    #[error("neither HOME nor XDG_CONFIG_HOME is set, so there is no place for profiles; set one")]
    NoHome,
    /// The file was not read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It does not read.
    #[error("{path} does not read: {reason}; correct it, or move it away and log in again")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// There is none yet.
    #[error(
        "you have not logged in to any network; run: tidegate admin login URL --genesis FILE --key operator.pem"
    )]
    None,
    /// There is none by this name.
    #[error("there is no profile '{0}'; 'tidegate admin profiles' lists them")]
    Unknown(String),
    /// Several, and none is the default.
    #[error("there are several profiles and none is the default; choose one with --profile")]
    Ambiguous,
    /// A genesis chain in the file that does not hold.
    #[error("the genesis chain of the profile '{name}' does not hold ({reason}); log in again")]
    Chain {
        /// The profile.
        name: String,
        /// What is wrong with it.
        reason: SuccessionError,
    },
    /// A name that would not be a plain word in the file.
    #[error("'{0}' is no name for a profile; use letters, digits and hyphens")]
    Name(String),
}

/// As whom an operator speaks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Credential {
    /// The file of the operator's key, and that of its passphrase if it needs one.
    Key {
        /// The key.
        path: PathBuf,
        /// Its passphrase.
        passphrase: Option<PathBuf>,
    },
    /// An API token.
    Token(SecretText),
}

/// A network and the operator's place in it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Profile {
    /// Where the authority is found, the preferred place first.
    pub urls: Vec<Origin>,
    /// The genesis documents, the one that is trusted first.
    pub genesis: Vec<Signed<Genesis>>,
    /// As whom.
    pub credential: Credential,
}

/// As it stands in the file.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    urls: Vec<Origin>,
    genesis: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    passphrase_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<SecretText>,
}

impl TryFrom<Written> for Profile {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let passphrase = written.passphrase_file;
        let credential = match (written.key, written.token) {
            (Some(path), None) => Credential::Key { path, passphrase },
            (None, Some(token)) if passphrase.is_none() => Credential::Token(token),
            _ => return Err("a profile has either a key or a token".to_owned()),
        };
        let read = |text: &String| Signed::from_json(text.as_bytes());
        let genesis: Result<_, EnvelopeError> = written.genesis.iter().map(read).collect();
        Ok(Self {
            urls: written.urls,
            genesis: genesis.map_err(|error| format!("a genesis is damaged ({error})"))?,
            credential,
        })
    }
}

impl From<Profile> for Written {
    fn from(profile: Profile) -> Self {
        let text = |genesis: &Signed<Genesis>| String::from_utf8_lossy(&genesis.to_json()).into();
        let (key, passphrase_file, token) = match profile.credential {
            Credential::Key { path, passphrase } => (Some(path), passphrase, None),
            Credential::Token(token) => (None, None, Some(token)),
        };
        Self {
            urls: profile.urls,
            genesis: profile.genesis.iter().map(text).collect(),
            key,
            passphrase_file,
            token,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Profiles {
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<String>,
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

/// The file of all profiles, which only its owner may be able to read.
#[derive(Clone, Debug)]
pub struct ProfileFile {
    path: PathBuf,
    held: Profiles,
}

impl ProfileFile {
    /// The file of whoever runs the program: `admin.toml` in `tidegate` in the folder for configuration.
    pub fn of_user() -> Result<Self, ProfileError> {
        let set = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
        Self::open(
            &config
                .ok_or(ProfileError::NoHome)?
                .join("tidegate/admin.toml"),
        )
    }

    /// The file at `path`. One that is not there yet holds nothing.
    pub fn open(path: &Path) -> Result<Self, ProfileError> {
        let held = if path.exists() {
            let text = file::read(path, LARGEST, Secrecy::Secret)?;
            toml::from_str(&text).map_err(|error| ProfileError::Syntax {
                path: path.into(),
                reason: error.message().to_owned(), // without the excerpt, which may hold a token
            })?
        } else {
            Profiles::default()
        };
        Ok(Self {
            path: path.into(),
            held,
        })
    }

    /// The names of all profiles.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.held.profiles.keys().map(String::as_str)
    }

    /// All profiles, in the order of their names.
    pub fn profiles(&self) -> impl Iterator<Item = (&str, &Profile)> {
        self.held
            .profiles
            .iter()
            .map(|(name, profile)| (name.as_str(), profile))
    }

    /// The profile by this name, or the default one, with its name.
    pub fn choose(&self, name: Option<&str>) -> Result<(&str, &Profile), ProfileError> {
        let profiles = &self.held.profiles;
        let only = (profiles.len() == 1)
            .then(|| profiles.keys().next())
            .flatten();
        let chosen = name
            .or(self.held.default.as_deref())
            .or(only.map(String::as_str));
        let chosen = match chosen {
            Some(chosen) => chosen,
            None if profiles.is_empty() => return Err(ProfileError::None),
            None => return Err(ProfileError::Ambiguous),
        };
        let found = profiles.get_key_value(chosen);
        let (name, profile) = found.ok_or_else(|| ProfileError::Unknown(chosen.to_owned()))?;
        Ok((name, profile))
    }

    /// Whether `name` is what is spoken to when none is named.
    pub fn is_default(&self, name: &str) -> bool {
        self.choose(None).is_ok_and(|(default, _)| default == name)
    }

    /// Puts `profile` under `name`, in the place of an earlier one, and writes the file.
    pub fn put(
        &mut self,
        name: &str,
        profile: Profile,
        standing: Standing,
    ) -> Result<(), ProfileError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            return Err(ProfileError::Name(name.to_owned()));
        }
        self.held.profiles.insert(name.to_owned(), profile);
        if standing == Standing::Default {
            self.held.default = Some(name.to_owned());
        }
        let text = toml::to_string(&self.held).map_err(|error| ProfileError::Syntax {
            path: self.path.clone(),
            reason: error.to_string(),
        })?;
        Ok(file::replace(&self.path, &Zeroizing::new(text))?)
    }
}

/// Whether a profile becomes the one that is spoken to when none is named.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It does.
    Default,
    /// As it was.
    Unchanged,
}
