//! A new data directory: everything in it appears at once, or nothing does.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tidegate_proto::pem::signing_key_to_pem;
use tidegate_proto::{
    EpochSettings, Genesis, KeyId, OperatorName, PublicKey, Signed, SigningKey, TlsTrust,
};

use crate::clock::Clock;
use crate::config::{Config, Tls};
use crate::data_dir::{DataDir, at_rest_to_text};
use crate::file::{FileError, reason, shown};
use crate::genesis_file::{ChainError, follow};
use crate::new_dir::NewDir;
use crate::new_file::Access;
use crate::service::{Authority, Caller, OpenError, Options, PolicyChangeError};
use crate::signer::{AtRestKey, Signer, SignerError};
use crate::store::Location;
use crate::tls_key::{TlsKey, TlsKeyError};

const STARTER_POLICY: &str = include_str!("policy.toml");
const MEMBERS: &str = "# Members may reach members.
[[rules]]
from = [\"all\"]
to = [\"all\"]
protocol = \"any\"
";
const NOBODY: &str = "# Nobody may reach anybody yet.\n";

/// Why there is no new data directory. Nothing of it is left.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// A file was not read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The genesis files are no chain.
    #[error("the genesis is refused: {0}")]
    Chain(#[from] ChainError),
    /// No genesis.
    #[error("no genesis is given; give the signed file with --genesis")]
    NoGenesis,
    /// A key that this network does not know.
    #[error(
        "the key {0} is not among the genesis' authority keys; give the private key whose .pub file was signed"
    )]
    ForeignKey(KeyId),
    /// Too few of the keys.
    #[error(transparent)]
    Keys(#[from] SignerError),
    /// The TLS key does not serve.
    #[error(transparent)]
    Tls(#[from] TlsKeyError),
    /// The genesis trusts no TLS key at all.
    #[error(
        "the genesis names no TLS key, so no node could recognise this authority; have it signed with --tls-pin, the pin that 'tidegate-authority tls new' prints"
    )]
    NoPin,
    /// The genesis trusts what the systems trust, and there is no such certificate.
    #[error(
        "the genesis has nodes trust their systems' roots; give a certificate from one of those with --tls-key and --tls-certificate"
    )]
    NeedsCertificate,
    /// A key and a certificate that do not belong together, or are damaged.
    #[error("{key} and {certificate} are no TLS key pair: {reason}; give the PEM files of one key")]
    Pair {
        /// The key's file.
        key: String,
        /// The certificate's file.
        certificate: String,
        /// What is wrong.
        reason: String,
    },
    /// The genesis names a policy that must be first.
    #[error(
        "the genesis names the policy that must be in force first, and a new authority starts with another; have the genesis signed without --policy"
    )]
    PolicyNamed,
    /// The database was not made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The policy was refused.
    #[error("the starter policy is refused: {0}")]
    Policy(#[from] PolicyChangeError),
}

/// Where the server's TLS comes from.
pub enum TlsSource {
    /// A key of the authority's own, kept in the directory, with a certificate that it signs itself.
    Own(Box<TlsKey>),
    /// Files that somebody else keeps.
    Files(Tls),
}

/// Who may do everything, and a private key if it was made here.
pub struct FirstOperator {
    /// The operator's name.
    pub name: OperatorName,
    /// The operator's key.
    pub key: PublicKey,
    /// Its private half, which is put into the directory for the operator to fetch.
    pub private: Option<SigningKey>,
}

/// What members may do at first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StarterRules {
    /// Reach each other.
    Members,
    /// Nothing.
    Nobody,
}

/// What a new data directory starts with.
pub struct Installation {
    /// The settings; the TLS files in them are those of `tls`.
    pub config: Config,
    /// The genesis chain, the first revision first.
    pub chain: Vec<Signed<Genesis>>,
    /// The authority's signing keys.
    pub keys: Vec<Arc<SigningKey>>,
    /// The server's TLS.
    pub tls: TlsSource,
    /// The spare TLS key.
    pub spare: Option<TlsKey>,
    /// The first operator.
    pub operator: FirstOperator,
    /// The first rules.
    pub rules: StarterRules,
    /// The root key, where it was made on this machine.
    pub root: Option<SigningKey>,
    /// The key under which epoch secrets rest.
    pub at_rest: AtRestKey,
}

impl Installation {
    /// Checks that all belongs together, makes the directory with everything in it, and gives it its name last.
    pub async fn install(self, dir: &Path, clock: Clock) -> Result<(), InstallError> {
        let genesis = self.checked()?;
        let new = NewDir::prepare(dir)?;
        self.write_keys(&new)?;
        self.write_tls(&new, &genesis)?;
        self.write_genesis(&new)?;
        let policy = self.policy(&genesis.epochs);
        new.add("policy.toml", policy.as_bytes(), Access::Everyone)?;
        new.add(
            DataDir::CONFIG,
            self.config.starter().as_bytes(),
            Access::Everyone,
        )?;
        new.create(DataDir::DATABASE, Access::Owner)?;
        self.fill_database(&new, policy, clock).await?;
        Ok(new.publish()?)
    }

    /// The genesis in force, if keys and TLS are what it names.
    fn checked(&self) -> Result<Genesis, InstallError> {
        let (last, earlier) = self.chain.split_last().ok_or(InstallError::NoGenesis)?;
        let chain = follow(earlier, last, None)?;
        let genesis = chain.genesis();
        let keys = &genesis.authority.keys;
        let foreign = |key: &&Arc<SigningKey>| !keys.contains(&key.public_key());
        if let Some(key) = self.keys.iter().find(foreign) {
            return Err(InstallError::ForeignKey(KeyId::of(&key.public_key())));
        }
        Signer::new(&self.keys, genesis)?;
        if genesis.policy.is_some() {
            return Err(InstallError::PolicyNamed);
        }
        self.check_tls(genesis)?;
        Ok((**genesis).clone())
    }

    fn check_tls(&self, genesis: &Genesis) -> Result<(), InstallError> {
        match (&genesis.tls, &self.tls) {
            (TlsTrust::Pins(pins), _) if pins.is_empty() => return Err(InstallError::NoPin),
            (TlsTrust::SystemRoots, TlsSource::Own(_)) => {
                return Err(InstallError::NeedsCertificate);
            }
            (_, TlsSource::Own(key)) => key.check(genesis)?,
            (_, TlsSource::Files(files)) => {
                check_pair(files)?;
                if matches!(genesis.tls, TlsTrust::Pins(_)) {
                    TlsKey::read(&files.key)?.check(genesis)?;
                }
            }
        }
        match &self.spare {
            Some(spare) => Ok(spare.check(genesis)?),
            None => Ok(()),
        }
    }

    fn write_keys(&self, new: &NewDir) -> Result<(), InstallError> {
        new.add_folder(DataDir::KEYS)?;
        let secret = |name: &str, key: &SigningKey| {
            new.add(name, signing_key_to_pem(key).as_bytes(), Access::Owner)
        };
        for (at, key) in self.keys.iter().enumerate() {
            match at {
                0 => secret(DataDir::KEY, key)?,
                _ => secret(&DataDir::further_key(&key.public_key()), key)?,
            }
        }
        if let Some(root) = &self.root {
            secret(DataDir::ROOT, root)?;
        }
        if let Some(private) = &self.operator.private {
            secret(DataDir::OPERATOR, private)?;
        }
        let at_rest = at_rest_to_text(&self.at_rest);
        Ok(new.add(DataDir::AT_REST, at_rest.as_bytes(), Access::Owner)?)
    }

    fn write_tls(&self, new: &NewDir, genesis: &Genesis) -> Result<(), InstallError> {
        if let TlsSource::Own(key) = &self.tls {
            new.add("tls.key", key.to_pem().as_bytes(), Access::Owner)?;
            let certificate = key.self_signed(&genesis.urls)?;
            new.add("tls.crt", certificate.as_bytes(), Access::Everyone)?;
        }
        if let Some(spare) = &self.spare {
            new.add("tls-backup.key", spare.to_pem().as_bytes(), Access::Owner)?;
        }
        Ok(())
    }

    fn write_genesis(&self, new: &NewDir) -> Result<(), InstallError> {
        new.add_folder(DataDir::GENESIS)?;
        for (at, genesis) in self.chain.iter().enumerate() {
            let name = DataDir::genesis_name(at as u64 + 1);
            new.add(&name, &genesis.to_json(), Access::Everyone)?;
        }
        Ok(())
    }

    /// The text of the first policy.
    fn policy(&self, epochs: &EpochSettings) -> String {
        let rules = match self.rules {
            StarterRules::Members => MEMBERS,
            StarterRules::Nobody => NOBODY,
        };
        let epochs = format!(
            "epoch = \"{}\"\noverlap = \"{}\"\nlead = \"{}\"\noffline_tolerance = \"{}\"\ncertificate = \"{}\"\n",
            epochs.epoch, epochs.overlap, epochs.lead, epochs.offline_tolerance, epochs.certificate
        );
        STARTER_POLICY
            .replace("{epochs}", &epochs)
            .replace("{rules}", rules)
            .replace("{operator}", self.operator.name.as_str())
            .replace("{key}", &self.operator.key.to_string())
    }

    /// The database, with genesis, policy and the first, empty list.
    async fn fill_database(
        self,
        new: &NewDir,
        policy: String,
        clock: Clock,
    ) -> Result<(), InstallError> {
        let options = Options {
            location: Location::File(new.temporary().join(DataDir::DATABASE)),
            keys: self.keys,
            at_rest: self.at_rest,
            genesis: self.chain,
            limits: self.config.service_limits(),
            clock,
        };
        let authority = Authority::open(options).await?;
        let put = authority.put_policy(policy, None, Caller::system()).await;
        authority.close().await;
        put?;
        Ok(())
    }
}

/// Refuses a key and a certificate that a server could not use together.
fn check_pair(files: &Tls) -> Result<(), InstallError> {
    let refused = |reason: String| InstallError::Pair {
        key: shown(&files.key),
        certificate: shown(&files.certificate),
        reason,
    };
    let open = |path: &Path| {
        let opened = File::open(path).map(BufReader::new);
        opened.map_err(|error: io::Error| FileError::Unreadable {
            path: shown(path),
            reason: reason(&error),
        })
    };
    let key = PrivateKeyDer::from_pem_reader(open(&files.key)?)
        .map_err(|error| refused(error.to_string()))?;
    let chain = CertificateDer::pem_reader_iter(open(&files.certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| refused(error.to_string()))?;
    if chain.is_empty() {
        return Err(refused("there is no certificate in it".to_owned()));
    }
    CertifiedKey::from_der(chain, key, &default_provider())
        .map_err(|error| refused(error.to_string()))?;
    Ok(())
}
