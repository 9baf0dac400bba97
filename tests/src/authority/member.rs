//! A node's side of the conversation, without a data plane.

use std::sync::Arc;

use anyhow::{Context, bail};
use getrandom::SysRng;
use rand_core::UnwrapErr;
use tidegate::client::{Client, ClientError, Clock, NodeClient, Timeouts, join};
use tidegate_proto::api::{Enroll, Enrolled, Heartbeat, Renew};
use tidegate_proto::{
    Answer, BoundedList, BoundedSet, Certificate, Challenge, Digest, Endpoint, Invite, InviteToken,
    ListPlace, NodeId, NodeKeys, NodeName, Nonce, Origin, PeerRecord, Place, Receipt,
    RevocationList, SealingSecretKey, Sequence, Signed, SigningKey, Verified, WgSecretKey,
};

/// The keys of a node.
#[derive(Clone)]
pub struct Member {
    identity: Arc<SigningKey>,
    wireguard: Arc<WgSecretKey>,
    sealing: Arc<SealingSecretKey>,
    keys: NodeKeys,
}

/// A node that is in.
pub struct Joined {
    /// Its keys.
    pub member: Member,
    /// Its way to the authority.
    pub client: NodeClient,
    /// Its certificate.
    pub certificate: Verified<Certificate>,
    receipts: u64,
}

impl Member {
    /// A node with new keys.
    pub fn new() -> anyhow::Result<Self> {
        Self::with_identity(Arc::new(SigningKey::generate(&mut UnwrapErr(SysRng))))
    }

    /// The same identity with new WireGuard and sealing keys.
    pub fn with_new_keys(&self) -> anyhow::Result<Self> {
        Self::with_identity(Arc::clone(&self.identity))
    }

    /// The same identity and WireGuard key with a new sealing key, as a node has it at each renewal.
    pub fn with_new_sealing_key(&self) -> anyhow::Result<Self> {
        let sealing = SealingSecretKey::generate(&mut UnwrapErr(SysRng));
        let keys = NodeKeys {
            sealing: sealing.public_key()?,
            ..self.keys.clone()
        };
        Ok(Self {
            sealing: Arc::new(sealing),
            keys,
            ..self.clone()
        })
    }

    fn with_identity(identity: Arc<SigningKey>) -> anyhow::Result<Self> {
        let mut rng = UnwrapErr(SysRng);
        let wireguard = WgSecretKey::generate(&mut rng);
        let sealing = SealingSecretKey::generate(&mut rng);
        let keys = NodeKeys {
            identity: identity.public_key(),
            wireguard: wireguard.public_key(),
            sealing: sealing.public_key()?,
        };
        Ok(Self {
            identity,
            wireguard: Arc::new(wireguard),
            sealing: Arc::new(sealing),
            keys,
        })
    }

    /// The node's id.
    pub fn id(&self) -> NodeId {
        NodeId::of(&self.keys.identity)
    }

    /// The public halves.
    pub fn keys(&self) -> &NodeKeys {
        &self.keys
    }

    /// What grants are opened with.
    pub fn sealing(&self) -> &SealingSecretKey {
        &self.sealing
    }

    /// What it signs with.
    pub fn identity(&self) -> &Arc<SigningKey> {
        &self.identity
    }

    fn answer(
        &self,
        client: &Client,
        challenge: &Challenge,
        origin: &Origin,
    ) -> anyhow::Result<Answer> {
        let place = Place {
            network: client.site().network,
            origin,
        };
        Ok(self
            .keys
            .answer(place, challenge, &self.wireguard, &self.sealing)?)
    }

    /// Enrols, with an invite's token or without. The inner error is what the authority said to the enrolment.
    pub async fn enroll(
        &self,
        client: &Client,
        name: &str,
        token: Option<InviteToken>,
    ) -> anyhow::Result<Result<Enrolled, ClientError>> {
        let node = client.as_node(Arc::clone(&self.identity));
        let (challenge, origin) = node.challenge(&self.keys).await?;
        let request = Enroll {
            keys: self.keys.clone(),
            challenge: challenge.nonce,
            answer: self.answer(client, &challenge, &origin)?,
            name: name.parse::<NodeName>()?,
            routes: BoundedSet::default(),
            token,
        };
        Ok(node.enroll(&request).await)
    }

    /// Joins with an invite, from nothing but the invite.
    pub async fn join(self, name: &str, invite: &Invite) -> anyhow::Result<Joined> {
        let (_, site) = join(invite, Timeouts::default()).await?;
        let client = Client::new(site, Arc::new(Clock::system()), Timeouts::default())?;
        let enrolled = self
            .enroll(&client, name, Some(invite.token.clone()))
            .await??;
        match enrolled {
            Enrolled::Admitted(certificate) => self.joined(client, &certificate),
            Enrolled::Pending => bail!("the invite did not admit"),
        }
    }

    /// What it is with its certificate.
    pub fn joined(
        self,
        client: Client,
        certificate: &Signed<Certificate>,
    ) -> anyhow::Result<Joined> {
        let certificate = certificate.verify(&client.site().keyring, client.clock().now())?;
        Ok(Joined {
            client: client.as_node(Arc::clone(&self.identity)),
            certificate,
            member: self,
            receipts: 0,
        })
    }
}

impl Joined {
    /// Renews its certificate, with the keys of `member`.
    pub async fn renew(&mut self, member: Member) -> anyhow::Result<Result<(), ClientError>> {
        let client = self.client.client().clone();
        let (challenge, origin) = self.client.renewal_challenge(&member.keys).await?;
        let renew = Renew {
            keys: member.keys.clone(),
            challenge: challenge.nonce,
            answer: member.answer(&client, &challenge, &origin)?,
        };
        let certificate = match self.client.renew(&renew).await {
            Ok(certificate) => certificate,
            Err(error) => return Ok(Err(error)),
        };
        self.certificate = certificate.verify(&client.site().keyring, client.clock().now())?;
        self.member = member;
        Ok(Ok(()))
    }

    /// Says that it is there.
    pub async fn heartbeat(&self, list: ListPlace) -> anyhow::Result<()> {
        let heartbeat = Heartbeat {
            program: "test".parse()?,
            nonce: Nonce::generate(&mut UnwrapErr(SysRng)),
            list,
            policy: Sequence::default(),
            roster: Sequence::default(),
            record: None,
            peers_seen: BoundedSet::default(),
        };
        self.client.heartbeat(&heartbeat).await?;
        Ok(())
    }

    /// Says for the first time where it is found.
    pub async fn put_record(&self, endpoint: Endpoint) -> anyhow::Result<()> {
        let client = self.client.client();
        let record = PeerRecord {
            network: client.site().network,
            node: self.member.id(),
            sequence: Sequence::new(1).context("a sequence")?,
            issued_at: client.clock().now(),
            endpoints: BoundedList::new(vec![endpoint])?,
            services: BoundedSet::default(),
            capabilities: BoundedSet::default(),
            reads: BoundedSet::default(),
        };
        let record = Signed::sign(&record, &[&*self.member.identity])?;
        Ok(self.client.put_record(&record).await?)
    }

    /// Confirms that it has applied `list`.
    pub async fn confirm(&mut self, list: &Signed<RevocationList>) -> anyhow::Result<()> {
        let client = self.client.client();
        let verified = list.verify(&client.site().keyring, client.clock().now())?;
        self.confirm_as(verified.place(), list.digest()).await
    }

    /// Confirms whatever it is told to.
    pub async fn confirm_as(&mut self, list: ListPlace, digest: Digest) -> anyhow::Result<()> {
        self.receipts += 1;
        let client = self.client.client();
        let receipt = Receipt {
            network: client.site().network,
            node: self.member.id(),
            sequence: Sequence::new(self.receipts).context("a sequence")?,
            list,
            list_digest: digest,
            applied_at: client.clock().now(),
        };
        let receipt = Signed::sign(&receipt, &[&*self.member.identity])?;
        Ok(self.client.put_receipt(&receipt).await?)
    }
}
