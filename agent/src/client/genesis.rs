//! The genesis chain: from what was handed over by a trusted way to what is in force.

use tidegate_proto::{
    Accepted, BoundedList, EnvelopeError, Genesis, GenesisHash, Invite, Origin, Signed,
    SuccessionError, TrustChain,
};
use tokio::time::timeout;

use super::answer::Answer;
use super::connection::{Connection, Lost};
use super::request::Ask;
use super::tls::{self, Counterpart};
use super::{ClientError, Identity, Site, Timeouts};

/// More revisions than any network reaches.
const MOST_REVISIONS: usize = 1000;
/// More bytes than they have.
const LARGEST: usize = 16 * 1024 * 1024;

/// Why there is no chain of trust to the genesis in force.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisChainError {
    /// It was not fetched.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It does not contain what is trusted.
    #[error(
        "{origin} knows no genesis {want}; the invite may be for another network, or what answers there is not its authority"
    )]
    NotContained {
        /// Who was asked.
        origin: Origin,
        /// The hash that is trusted.
        want: GenesisHash,
    },
    /// It does not hold together.
    #[error("the genesis chain is refused: {0}")]
    Succession(#[from] SuccessionError),
    /// It does not read.
    #[error("a genesis of the chain cannot be read: {0}")]
    Envelope(#[from] EnvelopeError),
}

/// The chain of trust, with the documents that it was followed along.
#[derive(Clone, Debug)]
pub struct GenesisChain {
    documents: Vec<Signed<Genesis>>,
    trust: TrustChain,
}

impl GenesisChain {
    /// Starts at a genesis that was handed over by a trusted way.
    pub fn trusting(genesis: Signed<Genesis>) -> Result<Self, SuccessionError> {
        Ok(Self {
            trust: TrustChain::trusting(&genesis)?,
            documents: vec![genesis],
        })
    }

    /// The chain along `documents`, of which the first is trusted. `None` if there are none.
    pub fn along(documents: &[Signed<Genesis>]) -> Option<Result<Self, SuccessionError>> {
        let (first, later) = documents.split_first()?;
        Some(Self::trusting(first.clone()).and_then(|mut chain| {
            for document in later {
                chain.succeed(document)?;
            }
            Ok(chain)
        }))
    }

    /// Out of what an authority at `origin` offers: from the document with the hash that is trusted to the last.
    pub fn pinned(
        offered: &[Signed<Genesis>],
        want: GenesisHash,
        origin: &Origin,
    ) -> Result<Self, GenesisChainError> {
        let mut later = offered
            .iter()
            .skip_while(|document| document.digest() != want);
        let first = later
            .next()
            .ok_or_else(|| GenesisChainError::NotContained {
                origin: origin.clone(),
                want,
            })?;
        let mut chain = Self {
            trust: TrustChain::pinned(first, want)?,
            documents: vec![first.clone()],
        };
        for document in later {
            chain.succeed(document)?;
        }
        Ok(chain)
    }

    /// Puts the next document in force. One that is known already changes nothing.
    pub fn succeed(&mut self, document: &Signed<Genesis>) -> Result<Accepted, SuccessionError> {
        let accepted = self.trust.succeed(document)?;
        if accepted == Accepted::New {
            self.documents.push(document.clone());
        }
        Ok(accepted)
    }

    /// Puts everything in force that follows, out of what an authority offers. Says whether anything was new.
    pub fn catch_up(&mut self, offered: &[Signed<Genesis>]) -> Result<Accepted, SuccessionError> {
        let known = self.trust.genesis().digest();
        let later = offered
            .iter()
            .skip_while(|document| document.digest() != known)
            .skip(1);
        let mut outcome = Accepted::Known;
        for document in later {
            if self.succeed(document)? == Accepted::New {
                outcome = Accepted::New;
            }
        }
        Ok(outcome)
    }

    /// The documents, the trusted one first.
    pub fn documents(&self) -> &[Signed<Genesis>] {
        &self.documents
    }

    /// What is trusted.
    pub fn trust(&self) -> &TrustChain {
        &self.trust
    }

    /// The authority as the genesis in force describes it.
    pub fn site(&self) -> Result<Site, SuccessionError> {
        Site::of(&self.trust)
    }

    /// Fetches what follows from one of `urls` or the genesis' own, whatever its TLS key is now: the documents prove
    /// themselves.
    pub async fn refresh(
        &mut self,
        urls: &[Origin],
        timeouts: Timeouts,
    ) -> Result<Accepted, GenesisChainError> {
        let known = self.trust.genesis().urls.to_vec();
        let mut last = Err(ClientError::NoUrl.into());
        for origin in urls.iter().chain(&known) {
            match fetch_from_anybody(origin, timeouts).await {
                Ok(offered) => return Ok(self.catch_up(&offered)?),
                Err(error) => last = Err(error.into()),
            }
        }
        last
    }
}

/// Follows an invite to the genesis in force, and so to the authority. The invite's hash is what is trusted; who
/// answers at its URL need not have the TLS key that the invite knew, because the documents prove themselves.
pub async fn join(
    invite: &Invite,
    timeouts: Timeouts,
) -> Result<(GenesisChain, Site), GenesisChainError> {
    let offered = fetch_from_anybody(&invite.url, timeouts).await?;
    let chain = GenesisChain::pinned(&offered, invite.genesis, &invite.url)?;
    let site = chain.site()?.preferring(&invite.url);
    Ok((chain, site))
}

/// What answers at `origin` may be anybody.
async fn fetch_from_anybody(
    origin: &Origin,
    timeouts: Timeouts,
) -> Result<Vec<Signed<Genesis>>, ClientError> {
    let fetched = async {
        let config = tls::config(&Counterpart::Anybody)?;
        let mut connection = Connection::open(origin, config, timeouts.connect).await?;
        let request = Ask::get("/v1/genesis").public(origin)?;
        let response = connection.ask(request).await.map_err(|lost| {
            let (Lost::Unsent(reason) | Lost::Unanswered(reason)) = lost;
            ClientError::Unreachable {
                origin: origin.clone(),
                reason,
            }
        })?;
        read_chain(&Answer::read(origin, response, LARGEST).await?.accepted()?)
    };
    let late = |_| ClientError::Unreachable {
        origin: origin.clone(),
        reason: "no answer in time".to_owned(),
    };
    timeout(timeouts.answer, fetched).await.map_err(late)?
}

fn read_chain(answer: &Answer) -> Result<Vec<Signed<Genesis>>, ClientError> {
    let chain: BoundedList<Signed<Genesis>, MOST_REVISIONS> = answer.parse()?;
    Ok(chain.to_vec())
}

impl super::Client {
    /// The whole genesis chain, as the authority offers it. Nothing about it has been verified.
    pub async fn genesis_chain(&self) -> Result<Vec<Signed<Genesis>>, ClientError> {
        let ask = Ask::get("/v1/genesis");
        read_chain(&self.answer(&Identity::Nobody, &ask, LARGEST).await?)
    }
}
