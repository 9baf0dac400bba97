//! Joining a network: from an invite, or from a genesis that was handed over, to a membership on the disk.
//!
//! What is needed to go on is written before the authority is asked, so that no crash costs an admission; and when the
//! authority refuses, nothing stays.

use std::sync::Arc;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use tidegate_proto::api::{Enroll, Enrolled};
use tidegate_proto::{
    Authority, BoundedError, BoundedSet, Certificate, Genesis, Invite, InviteToken, Keyring,
    NetworkId, NodeKeys, NodeName, Origin, Place, Prefix, SealingSecretKey, Signed, SigningKey,
    SuccessionError, VerifyError, WgSecretKey,
};

use crate::client::{
    Client, ClientError, Clock, GenesisChain, GenesisChainError, NodeClient, Site, Timeouts,
};
use crate::exit::Exit;
use crate::state::{Membership, Pending, StateDirectory, StateError};

/// What leads to the network.
pub enum Guide {
    /// An invite, which admits at once.
    Invite(Box<Invite>),
    /// A genesis that was handed over by a trusted way, and where to ask.
    Genesis(Box<Signed<Genesis>>, Option<Origin>),
}

/// What is asked for.
pub struct Wanted {
    /// The name in the network.
    pub name: NodeName,
    /// Networks behind this host that it would route for.
    pub routes: Vec<Prefix>,
}

/// What came of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Joined {
    /// The node is in, under this name in this network.
    Admitted {
        /// The node's name.
        name: String,
        /// The network's name.
        network: String,
    },
    /// An operator has to decide.
    Pending {
        /// The network's name.
        network: String,
    },
}

/// Why this host is in no network. Nothing of the attempt is left, unless the error says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// What leads to the network is not what it claims to be.
    #[error(transparent)]
    Chain(#[from] GenesisChainError),
    /// The genesis cannot be trusted.
    #[error("this genesis cannot be used: {0}; ask for the network's genesis again")]
    Genesis(#[from] SuccessionError),
    /// The authority cannot be asked, or says no.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The authority's challenge.
    #[error("the authority's challenge cannot be answered ({0}); it may not be the authority")]
    Challenge(String),
    /// The certificate is not signed as it has to be.
    #[error("the certificate that the authority gave is refused: {0}; it may not be the authority")]
    Certificate(#[from] VerifyError),
    /// The certificate is another node's.
    #[error(
        "the certificate that the authority gave is another node's; it may not be the authority"
    )]
    Foreign,
    /// The node is admitted, which is not on the disk yet. What it takes to go on is.
    #[error("{0}. The node is admitted all the same: when there is room, run: tidegate run")]
    Unfinished(StateError),
    /// Too many networks.
    #[error("at most 32 networks can be offered: {0}")]
    Routes(#[from] BoundedError),
}

impl JoinError {
    /// The exit code that says the same.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::State(error) | Self::Unfinished(error) => error.exit(),
            Self::Chain(GenesisChainError::Client(error)) | Self::Client(error) => {
                client_exit(error)
            }
            Self::Chain(_)
            | Self::Genesis(_)
            | Self::Challenge(_)
            | Self::Certificate(_)
            | Self::Foreign => Exit::Untrusted,
            Self::Routes(_) => Exit::Usage,
        }
    }
}

fn client_exit(error: &ClientError) -> Exit {
    match error {
        ClientError::Refused(_) => Exit::Refused,
        ClientError::Untrusted { .. } | ClientError::Time { .. } => Exit::Untrusted,
        ClientError::Malformed { .. } | ClientError::TooLarge { .. } => Exit::Failed,
        _ => Exit::Unreachable,
    }
}

/// Joins. Without an admission the daemon goes on asking.
///
/// # Errors
/// When there is a membership already, or there is to be none; then the directory is as it was.
pub async fn join(
    directory: &StateDirectory,
    guide: Guide,
    wanted: Wanted,
) -> Result<Joined, JoinError> {
    Membership::check_none(directory)?;
    let attempt = Attempt::prepare(guide, wanted).await?;
    let network = attempt.network.clone();
    Membership::begin(directory, &attempt.identity, &attempt.pending)?;
    match attempt.enroll().await {
        Ok(Enrolled::Admitted(certificate)) => {
            let name = attempt
                .name_in(&certificate)
                .inspect_err(|_| drop(directory.forget_membership()))?;
            Membership::complete(directory, &attempt.pending, &certificate)
                .map_err(JoinError::Unfinished)?;
            Ok(Joined::Admitted { name, network })
        }
        Ok(Enrolled::Pending) => Ok(Joined::Pending { network }),
        // It may have been taken: the daemon finds out.
        Err(JoinError::Client(ClientError::Unanswered { .. })) => Ok(Joined::Pending { network }),
        Err(error) => {
            directory.forget_membership()?;
            Err(error)
        }
    }
}

struct Attempt {
    identity: Arc<SigningKey>,
    pending: Pending,
    node: NodeClient,
    keyring: Keyring<Authority>,
    id: NetworkId,
    network: String,
}

impl Attempt {
    async fn prepare(guide: Guide, wanted: Wanted) -> Result<Self, JoinError> {
        let (chain, site, url, token) = follow(guide).await?;
        let mut rng = UnwrapErr(SysRng);
        let identity = Arc::new(SigningKey::generate(&mut rng));
        let network = chain.trust().genesis().name.to_string();
        let (id, keyring) = (site.network, site.keyring.clone());
        let pending = Pending {
            url,
            tls: site.tls.clone(),
            chain: chain.documents().to_vec(),
            wireguard: WgSecretKey::generate(&mut rng),
            sealing: SealingSecretKey::generate(&mut rng),
            name: wanted.name,
            routes: wanted.routes,
            token,
        };
        let client = Client::new(site, Arc::new(Clock::system()), Timeouts::default())?;
        Ok(Self {
            node: client.as_node(Arc::clone(&identity)),
            identity,
            pending,
            keyring,
            id,
            network,
        })
    }

    /// The name that the certificate gives, if it is ours and the authority's.
    fn name_in(&self, certificate: &Signed<Certificate>) -> Result<String, JoinError> {
        let now = self.node.client().clock().now();
        let verified = certificate.verify(&self.keyring, now)?;
        if verified.identity == self.identity.public_key() {
            Ok(verified.name.to_string())
        } else {
            Err(JoinError::Foreign)
        }
    }

    async fn enroll(&self) -> Result<Enrolled, JoinError> {
        let pending = &self.pending;
        let challenge_error =
            |error: &dyn std::fmt::Display| JoinError::Challenge(error.to_string());
        let sealing = pending.sealing.public_key();
        let keys = NodeKeys {
            identity: self.identity.public_key(),
            wireguard: pending.wireguard.public_key(),
            sealing: sealing.map_err(|error| challenge_error(&error))?,
        };
        let (challenge, origin) = self.node.challenge(&keys).await?;
        let place = Place {
            network: self.id,
            origin: &origin,
        };
        let answer = keys
            .answer(place, &challenge, &pending.wireguard, &pending.sealing)
            .map_err(|error| challenge_error(&error))?;
        let enroll = Enroll {
            keys,
            challenge: challenge.nonce,
            answer,
            name: pending.name.clone(),
            routes: BoundedSet::new(pending.routes.clone())?,
            token: pending.token.clone(),
        };
        Ok(self.node.enroll(&enroll).await?)
    }
}

async fn follow(
    guide: Guide,
) -> Result<(GenesisChain, Site, Origin, Option<InviteToken>), JoinError> {
    match guide {
        Guide::Invite(invite) => {
            let (chain, site) = crate::client::join(&invite, Timeouts::default()).await?;
            Ok((chain, site, invite.url, Some(invite.token)))
        }
        Guide::Genesis(genesis, url) => {
            let mut chain = GenesisChain::trusting(*genesis)?;
            chain.refresh(url.as_slice(), Timeouts::default()).await?;
            let site = chain.site()?;
            let site = match &url {
                Some(url) => site.preferring(url),
                None => site,
            };
            let url = site.urls.first().cloned().ok_or(ClientError::NoUrl)?;
            Ok((chain, site, url, None))
        }
    }
}
