//! Where an authority is, and how it is recognised.

use tidegate_proto::{
    Authority, Keyring, NetworkId, Origin, SuccessionError, TlsTrust, TrustChain,
};

/// One network's authority, as its genesis describes it.
#[derive(Clone, Debug)]
pub struct Site {
    /// The network.
    pub network: NetworkId,
    /// Where the authority is found, the preferred place first.
    pub urls: Vec<Origin>,
    /// How its TLS key is recognised.
    pub tls: TlsTrust,
    /// The keys that sign for it.
    pub keyring: Keyring<Authority>,
}

impl Site {
    /// The authority of the genesis that is in force in `chain`.
    pub fn of(chain: &TrustChain) -> Result<Self, SuccessionError> {
        let genesis = chain.genesis();
        Ok(Self {
            network: chain.network(),
            urls: genesis.urls.to_vec(),
            tls: genesis.tls.clone(),
            keyring: chain.keyring()?,
        })
    }

    /// The same authority, sought at `url` first.
    #[must_use]
    pub fn preferring(mut self, url: &Origin) -> Self {
        self.urls.retain(|known| known != url);
        self.urls.insert(0, url.clone());
        self
    }
}
