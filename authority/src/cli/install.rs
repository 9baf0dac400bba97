//! `genesis install`: a succession for an authority that is there.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use tidegate_authority::signer::Signer;
use tidegate_authority::{
    Access, DataDir, Fingerprint, NewFile, TlsKey, publish, read_genesis, read_signing_key, shown,
};
use tidegate_proto::pem::signing_key_to_pem;
use tidegate_proto::{Accepted, Genesis, KeyId, SigningKey, TlsTrust};

#[derive(Args, Debug)]
pub(super) struct Install {
    /// The succession, as 'genesis succeed' has signed it
    #[arg(value_name = "GENESIS")]
    genesis: PathBuf,
    /// The data directory; its server may be running
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// A private key of this authority that the succession names newly; give it again for each further key
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
}

impl Install {
    pub(super) fn run(self) -> anyhow::Result<String> {
        let dir = DataDir::open(&self.dir)?;
        let succession = read_genesis(&self.genesis)?;
        let mut chain = dir.chain()?;
        if chain.succeed(&succession)? == Accepted::Known {
            bail!(
                "{} is in {} already; there is nothing to do",
                shown(&self.genesis),
                shown(&self.dir)
            );
        }
        let genesis = chain.genesis();
        let mut keys = dir.keys()?;
        let mut files = self.new_keys(&dir, genesis, &mut keys)?;
        Signer::new(&keys, genesis)?;
        if matches!(genesis.tls, TlsTrust::Pins(_)) {
            TlsKey::read(&dir.config(None)?.tls.key)?.check(genesis)?;
        }
        let revision = genesis.revision;
        let path = dir.genesis_file(revision.value());
        // The keys first: whoever finds the succession finds them too.
        files.push(NewFile::prepare(
            &path,
            &succession.to_json(),
            Access::Everyone,
        )?);
        publish(&files)?;
        Ok(format!(
            "Installed revision {revision} of {name} in {dir}.\nHash: {hash}\nA running server puts it in force within \
             seconds, a stopped one when it starts. Then remove the keys that sign no longer, after any overlap.\n",
            name = genesis.name,
            dir = shown(&self.dir),
            hash = Fingerprint(succession.digest()),
        ))
    }

    /// Files for the keys that the directory has not yet; they join `keys`.
    fn new_keys(
        &self,
        dir: &DataDir,
        genesis: &Genesis,
        keys: &mut Vec<Arc<SigningKey>>,
    ) -> anyhow::Result<Vec<NewFile>> {
        let mut files = Vec::new();
        for path in &self.key {
            let key = Arc::new(read_signing_key(path, None)?);
            let public = key.public_key();
            if !genesis.authority.keys.contains(&public) {
                bail!(
                    "the key {} in {} is not among the succession's authority keys; give the private key whose .pub \
                     file was signed",
                    KeyId::of(&public),
                    shown(path)
                );
            }
            if !keys.iter().any(|known| known.public_key() == public) {
                files.push(key_file(dir, &key)?);
                keys.push(key);
            }
        }
        Ok(files)
    }
}

fn key_file(dir: &DataDir, key: &SigningKey) -> anyhow::Result<NewFile> {
    let path = dir.file(&DataDir::further_key(&key.public_key()));
    let pem = signing_key_to_pem(key);
    Ok(NewFile::prepare(&path, pem.as_bytes(), Access::Owner)?)
}
