//! `init`: a new data directory.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use tidegate_authority::ceremony::{AuthorityKeys, CeilingChanges, EpochChanges, Founding};
use tidegate_authority::config::{Config, Tls};
use tidegate_authority::installation::{FirstOperator, Installation, StarterRules, TlsSource};
use tidegate_authority::signer::AtRestKey;
use tidegate_authority::{
    Clock, DataDir, Fingerprint, TlsKey, follow, read_genesis, read_public_key, read_signing_key,
    shown,
};
use tidegate_proto::{
    BoundedSet, EpochCeilings, Genesis, Ipv4Range, KeyId, NetworkName, OperatorName, Origin,
    Revision, Signed, SigningKey, TlsTrust, UnixTime,
};

use super::keys::random;
use super::runtime;

/// The overlay's range unless somebody says otherwise.
const RANGE: &str = "10.211.0.0/16";

#[derive(Args, Debug)]
pub(super) struct Init {
    /// The data directory to make; nothing may be there, or an empty folder
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Found a network of this name on this machine, root key included: a-z, 0-9 and -, at most 32
    #[arg(long, required_unless_present = "genesis", conflicts_with = "genesis")]
    name: Option<NetworkName>,
    /// Install this genesis, signed elsewhere; with successions, give every revision, the first first
    #[arg(long, value_name = "FILE", requires = "key")]
    genesis: Vec<PathBuf>,
    /// This authority's private key, whose public half the genesis names; give it again for each further key
    #[arg(long, value_name = "FILE", requires = "genesis")]
    key: Vec<PathBuf>,
    /// Where the server listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7443")]
    listen: SocketAddr,
    /// Where nodes and operators find it [default: https:// and the address it listens on]
    #[arg(long, value_name = "URL", conflicts_with = "genesis")]
    url: Vec<Origin>,
    /// The overlay's IPv4 range [default: 10.211.0.0/16]
    #[arg(long, value_name = "RANGE", conflicts_with = "genesis")]
    ipv4: Vec<Ipv4Range>,
    /// The TLS key whose pin the genesis names, as 'tls new' makes it
    #[arg(long, value_name = "FILE", requires = "genesis")]
    tls_key: Option<PathBuf>,
    /// The spare TLS key, whose pin the genesis names as well
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_spare: Option<PathBuf>,
    /// A certificate over the TLS key, made elsewhere; both files then stay where they are
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The first operator's name
    #[arg(long, value_name = "NAME", default_value = "first")]
    operator: OperatorName,
    /// The first operator's public key [default: a new one is made]
    #[arg(long, value_name = "FILE")]
    operator_key: Option<PathBuf>,
    /// Start with a policy under which nobody reaches anybody
    #[arg(long)]
    deny_all: bool,
}

impl Init {
    pub(super) fn run(self, now: UnixTime) -> anyhow::Result<String> {
        let dir = self.dir.clone();
        let founded_here = self.name.is_some();
        let installation = match &self.name {
            Some(name) => self.founded_here(name.clone(), now)?,
            None => self.founded_elsewhere()?,
        };
        let genesis = installation.chain.last().cloned();
        let own_operator = installation.operator.private.is_some();
        runtime()?.block_on(installation.install(&dir, Clock::system()))?;
        let genesis = genesis.context("there is no genesis")?; // refused before
        let chain = follow(&[], &genesis, None)?;
        report(&dir, chain.genesis(), &genesis, founded_here, own_operator)
    }

    /// Root key, authority key, genesis and TLS keys, all made here.
    fn founded_here(&self, name: NetworkName, now: UnixTime) -> anyhow::Result<Installation> {
        let mut rng = random()?;
        let root = SigningKey::generate(&mut rng);
        let key = Arc::new(SigningKey::generate(&mut rng));
        let (tls, spare) = (TlsKey::generate()?, TlsKey::generate()?);
        let pins = BoundedSet::new(vec![tls.pin(), spare.pin()]);
        let ipv4 = match self.ipv4.as_slice() {
            [] => vec![RANGE.parse().context("the range that is built in")?],
            ranges => ranges.to_vec(),
        };
        let founding = Founding {
            name,
            authority: AuthorityKeys::new(vec![key.public_key()])?
                .with_threshold(1, Revision::FIRST)?,
            ipv4,
            ipv6: None,
            ceilings: CeilingChanges::default().applied_to(EpochCeilings::default()),
            epochs: EpochChanges::default().founding(),
            anchors: Vec::new(),
            policy: None,
            urls: self.urls()?,
            tls: TlsTrust::Pins(pins.unwrap_or_default()), // two fit
        };
        let genesis = founding.sign(&root, &mut rng, now)?;
        Ok(Installation {
            chain: vec![genesis],
            keys: vec![key],
            tls: TlsSource::Own(Box::new(tls)),
            spare: Some(spare),
            root: Some(root),
            ..self.rest(Vec::new(), Tls::default())?
        })
    }

    /// What a ceremony elsewhere has signed, with the keys that were made for it.
    fn founded_elsewhere(&self) -> anyhow::Result<Installation> {
        let chain = self.genesis.iter().map(|path| read_genesis(path));
        let chain: Vec<Signed<Genesis>> = chain.collect::<Result<_, _>>()?;
        let keys = self.key.iter().map(|path| read_signing_key(path, None));
        let keys = keys
            .map(|key| key.map(Arc::new))
            .collect::<Result<_, _>>()?;
        let Some(key) = &self.tls_key else {
            bail!(
                "nodes recognise this authority by the TLS key whose pin was signed; give it with --tls-key"
            );
        };
        let (tls, files) = match &self.tls_certificate {
            None => (TlsSource::Own(Box::new(TlsKey::read(key)?)), Tls::default()),
            Some(certificate) => {
                let files = Tls {
                    key: std::path::absolute(key)?,
                    certificate: std::path::absolute(certificate)?,
                };
                (TlsSource::Files(files.clone()), files)
            }
        };
        let spare = self.tls_spare.as_deref().map(TlsKey::read).transpose()?;
        Ok(Installation {
            chain,
            tls,
            spare,
            ..self.rest(keys, files)?
        })
    }

    /// What both ways have in common.
    fn rest(&self, keys: Vec<Arc<SigningKey>>, files: Tls) -> anyhow::Result<Installation> {
        let mut rng = random()?;
        let (key, private) = match &self.operator_key {
            Some(path) => (read_public_key(path)?, None),
            None => {
                let key = SigningKey::generate(&mut rng);
                (key.public_key(), Some(key))
            }
        };
        Ok(Installation {
            config: Config {
                listen: self.listen,
                tls: files.clone(),
                ..Config::default()
            },
            chain: Vec::new(),
            keys,
            tls: TlsSource::Files(files),
            spare: None,
            operator: FirstOperator {
                name: self.operator.clone(),
                key,
                private,
            },
            rules: match self.deny_all {
                true => StarterRules::Nobody,
                false => StarterRules::Members,
            },
            root: None,
            at_rest: AtRestKey::generate(&mut rng),
        })
    }

    fn urls(&self) -> anyhow::Result<Vec<Origin>> {
        if !self.url.is_empty() {
            return Ok(self.url.clone());
        }
        if self.listen.ip().is_unspecified() {
            bail!(
                "nobody can reach {}; say with --url where nodes find this authority",
                self.listen
            );
        }
        Ok(vec![
            format!("https://{}", self.listen)
                .trim_end_matches(":443")
                .parse()?,
        ])
    }
}

fn report(
    dir: &Path,
    genesis: &Genesis,
    signed: &Signed<Genesis>,
    founded_here: bool,
    own_operator: bool,
) -> anyhow::Result<String> {
    let dir_shown = shown(dir);
    let file = |name: &str| shown(&dir.join(name));
    let root = founded_here.then(|| of_root(&file(DataDir::ROOT)));
    let operator_file = own_operator.then(|| file(DataDir::OPERATOR));
    let operator = operator_file.as_deref().map(of_operator);
    let url = genesis.urls.first().map_or("URL", Origin::as_str);
    Ok(format!(
        "Made the authority of {name} ({network}) in {dir_shown}.\n\
         Authority keys: {ids}\nHash: {hash}\n{root}{operator}\
         Next: tidegate-authority serve --dir {dir_shown}\n\
         Then: tidegate admin login {url} --genesis {genesis_file} --key {operator_file}\n\
         The settings are in {config}, the policy that is in force in {policy}.\n",
        name = genesis.name,
        network = genesis.network,
        ids = key_ids(genesis),
        hash = Fingerprint(signed.digest()),
        root = root.unwrap_or_default(),
        operator = operator.unwrap_or_default(),
        genesis_file = shown(&dir.join(DataDir::genesis_name(genesis.revision.value()))),
        operator_file = operator_file.as_deref().unwrap_or("KEY"),
        config = file(DataDir::CONFIG),
        policy = file("policy.toml"),
    ))
}

fn of_root(root: &str) -> String {
    format!(
        "The root key is still on this machine. Whoever gets it owns the network, and nothing that runs here needs \
         it:\n  copy {root} to a medium that stays offline, and a copy of that to a safe,\n  read it there (openssl \
         pkey -noout -in root.key), then: shred -u {root}\n"
    )
}

fn of_operator(key: &str) -> String {
    format!(
        "The first operator, a sovereign, signs with {key}: move it to that person's machine.\n"
    )
}

fn key_ids(genesis: &Genesis) -> String {
    let ids = genesis
        .authority
        .keys
        .iter()
        .map(|key| KeyId::of(key).to_string());
    ids.collect::<Vec<_>>().join(", ")
}
