//! From files to a member: everything is verified again, and a bad file costs what it held.

use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tidegate_proto::{
    Accepted, Authority, Certificate, Document, Genesis, Latest, NodeId, Ordered, SealingSecretKey,
    Signed, SuccessionError, UnixTime, VerifyError, WgSecretKey,
};

use super::asks::Asks;
use super::circle::Circle;
use super::save::Saver;
use super::{Member, Setup};
use crate::clock::{Clock, KeptClock};
use crate::event::{Event, Source};
use crate::file::{FileName, Files};
use crate::floors::Floors;
use crate::grants::{GrantError, Grants, Held, KeptGrant, KeptGrants, Untimed};
use crate::kept::{self, FileError, Kept};
use crate::keys::{KeptKeys, Keys, Pair};
use crate::outbox::Outbox;
use crate::peers::Numbers;
use crate::receipts::Receipts;
use crate::recent::Recent;
use crate::renewal::Renewal;
use crate::roster::{Judge, Roster};
use crate::time::Now;
use crate::trust::{KeptChain, Trust};

/// Why there is no member.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Not a member of any network yet.
    #[error("there is no file '{0}': this host is in no network; join one with `tidegate join`")]
    Missing(FileName),
    /// A file without which nothing can be judged.
    #[error("the file '{0}' cannot be used: {1}")]
    File(FileName, FileError),
    /// A chain that does not hold together.
    #[error("the genesis chain cannot be used: {0}; leave the network and join it again")]
    Chain(#[from] SuccessionError),
    /// Keys that cannot be.
    #[error("the file 'keys' holds no keys that can be used; leave the network and join it again")]
    Keys,
}

/// What a node has when it was just admitted.
pub struct Founding<'a> {
    /// The chain, from the genesis that was pinned to the one in force.
    pub chain: &'a [Signed<Genesis>],
    /// The certificate that the authority gave.
    pub certificate: &'a Signed<Certificate>,
    /// The key of its tunnels.
    pub wireguard: &'a WgSecretKey,
    /// The key for its grants.
    pub sealing: &'a SealingSecretKey,
}

/// How one signed document lies in its file.
#[derive(Deserialize, Serialize)]
#[serde(bound(serialize = "", deserialize = "T: Document"))]
pub(super) struct KeptDocument<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) document: Option<Kept<T>>,
}

impl Founding<'_> {
    /// The files to write before the first [`Member::restore`]. `None` if the sealing key is no key.
    pub fn files(&self) -> Option<Files> {
        let wireguard = WgSecretKey::from_bytes(*self.wireguard.expose());
        let sealing = SealingSecretKey::from_seed(*self.sealing.expose());
        let keys = Keys::new(Pair::new(wireguard, sealing)?);
        let chain = KeptChain {
            revisions: self.chain.iter().cloned().map(Kept).collect(),
            siblings: Vec::new(),
        };
        let certificate = KeptDocument {
            document: Some(Kept(self.certificate.clone())),
        };
        let name = FileName::Certificate;
        let files = [
            (FileName::Genesis, kept::write(FileName::Genesis, &chain)),
            (FileName::Keys, kept::write(FileName::Keys, &keys.keep())),
            (name, kept::write(name, &certificate)),
            // They are there from the beginning: where they are missing later, somebody took them away.
            (
                FileName::Floors,
                kept::write(FileName::Floors, &Floors::default()),
            ),
        ];
        Some(files.into_iter().collect())
    }
}

impl Member {
    /// The member that the files hold, and all that follows from it. Everything in them is verified again; what is refused
    /// is told as an event, and costs what it held.
    pub fn restore(setup: Setup, now: Now) -> Result<Self, RestoreError> {
        let mut member = Self::read(setup, now)?;
        member.settle(now);
        Ok(member)
    }

    /// Like [`Self::restore`], but nothing follows from it before the first [`Self::handle`] or [`Self::handle_timeout`]: so
    /// that a newer list, which the shell gets in between, has its effect before the data plane knows anybody.
    pub fn read(setup: Setup, now: Now) -> Result<Self, RestoreError> {
        let kept: KeptChain = needed(&setup.files, FileName::Genesis)?;
        let trust = Trust::restored(kept)?.ok_or(RestoreError::Missing(FileName::Genesis))?;
        let keys: KeptKeys = needed(&setup.files, FileName::Keys)?;
        let keys = Keys::open(&keys).ok_or(RestoreError::Keys)?;
        let files = setup.files.clone();
        let mut member = Self::blank(setup, trust, keys);
        let Some(floors) = member.readable(&files, FileName::Floors) else {
            member.refuse_all(&files, now);
            return Ok(member);
        };
        member.floors = floors;
        member.restore_clock(&files, now);
        member.restore_documents(&files, now);
        member.restore_grants(&files, now);
        Ok(member)
    }

    fn blank(setup: Setup, trust: Trust, keys: Keys) -> Self {
        let mut rng = ChaCha20Rng::from_seed(setup.seed);
        let jitter = rng.next_u32().to_le_bytes()[0];
        Self {
            node: NodeId::of(&setup.identity.public_key()),
            identity: setup.identity,
            program: setup.program,
            choices: setup.choices,
            rng,
            clock: Clock::new(setup.boot),
            trust,
            keys,
            certificate: Latest::new(),
            ended: None,
            list: Latest::new(),
            list_stored: None,
            policy: Latest::new(),
            roster: Roster::default(),
            grants: Grants::default(),
            recent: Recent::default(),
            floors: Floors::default(),
            numbers: Numbers::default(),
            circle: Circle::default(),
            plane: None,
            ordered: None,
            receipts: Receipts::new(),
            renewal: Renewal::new(jitter),
            asks: Asks::new(),
            saver: Saver::default(),
            stream: false,
            endpoints: Vec::new(),
            host: None,
            state: None,
            outbox: Outbox::default(),
            timeout: None,
        }
    }

    /// What the file holds, if it is there and sound.
    fn readable<T: DeserializeOwned>(&mut self, files: &Files, name: FileName) -> Option<T> {
        let bytes = files.get(&name)?;
        match kept::read(name, bytes) {
            Ok(content) => Some(content),
            Err(error) => {
                self.refuse_file(name, error);
                None
            }
        }
    }

    fn refuse_file(&mut self, name: FileName, why: impl ToString) {
        self.outbox.tell(Event::Refused {
            what: "state",
            source: Source::File(name),
            why: why.to_string(),
        });
    }

    /// Without the floors nothing can be told from a rolled-back copy: all but who we are comes anew from the authority.
    fn refuse_all(&mut self, files: &Files, now: Now) {
        if !files.contains_key(&FileName::Floors) {
            let why = "it is missing, so that older documents could be passed off as the latest; all of them are asked for again";
            self.refuse_file(FileName::Floors, why);
        }
        self.restore_clock(files, now);
        self.restore_certificate(files, now);
        self.saver.now(FileName::Floors, now);
    }

    fn restore_clock(&mut self, files: &Files, now: Now) {
        let boot = self.clock.keep().boot().clone();
        if let Some(kept) = self.readable::<KeptClock>(files, FileName::Clock) {
            self.clock = Clock::restored(boot, &kept, now);
        }
        if let Some(kept) = self.readable(files, FileName::Recent) {
            self.recent = Recent::restored(kept);
            self.guard_what_is_accepted(now);
        }
    }

    fn restore_documents(&mut self, files: &Files, now: Now) {
        self.restore_certificate(files, now);
        self.list = self.restored(files, FileName::List, now).0;
        let place = self
            .list
            .current()
            .map(|list| (list.place(), list.digest()));
        if let Some((place, digest)) = place {
            self.list_stored = Some(place);
            // Nothing is in the data plane yet, so the list is already applied.
            self.receipts.open(place, digest, None);
            self.receipts.stored(place);
        }
        self.policy = self.restored(files, FileName::Policy, now).0;
        self.restore_roster(files, now);
    }

    fn restore_certificate(&mut self, files: &Files, now: Now) {
        let (certificate, ended): (Latest<Certificate>, _) =
            self.restored(files, FileName::Certificate, now);
        (self.certificate, self.ended) = (certificate, ended);
        let identity = self.identity.public_key();
        let Some(own) = self.certificate.current() else {
            return;
        };
        if own.identity != identity || !self.keys.hold(own) {
            self.certificate = self.floors.latest(FileName::Certificate);
            return self.refuse_file(FileName::Certificate, VerifyError::ForeignAuthor);
        }
        self.keys.take_up(own);
    }

    /// The latest document of a kind, and when it ended if that is why it does not count.
    fn restored<T>(
        &mut self,
        files: &Files,
        name: FileName,
        now: Now,
    ) -> (Latest<T>, Option<UnixTime>)
    where
        T: Ordered + Document<Signer = Authority>,
    {
        let mut latest = self.floors.latest(name);
        let kept = self.readable::<KeptDocument<T>>(files, name);
        let Some(Kept(signed)) = kept.and_then(|kept| kept.document) else {
            return (latest, None);
        };
        match self.verified(&mut latest, &signed, now) {
            Ok(_) => (latest, None),
            Err(error) => {
                let ended = match &error {
                    VerifyError::Expired(at) => Some(*at),
                    _ => None,
                };
                self.refuse_file(name, error);
                (latest, ended)
            }
        }
    }

    fn verified<T>(
        &self,
        latest: &mut Latest<T>,
        signed: &Signed<T>,
        now: Now,
    ) -> Result<Accepted, VerifyError>
    where
        T: Ordered + Document<Signer = Authority>,
    {
        let time = self.clock.time(now);
        let keyring = self.keyring().ok_or(VerifyError::KeysRetired(time))?;
        latest.accept(signed.verify(&keyring, time)?)
    }

    fn restore_roster(&mut self, files: &Files, now: Now) {
        let floor = self.floors.of(FileName::Roster);
        self.roster.resume(self.floors.latest(FileName::Roster));
        let (kept, keyring) = (self.readable(files, FileName::Roster), self.keyring());
        let Some((kept, keyring)) = kept.zip(keyring) else {
            return;
        };
        let judge = Judge {
            keyring: &keyring,
            node: self.node,
            time: self.clock.time(now),
        };
        if let Err(error) = self.roster.restore(kept, floor, &judge) {
            self.refuse_file(FileName::Roster, error);
        }
    }

    fn restore_grants(&mut self, files: &Files, now: Now) {
        self.grants = Grants::after(self.floors.retired);
        let Some(kept) = self.readable::<KeptGrants>(files, FileName::Grants) else {
            return;
        };
        let (grants, retired, ended) = kept.into_parts();
        self.grants = Grants::after(self.floors.retired.max(retired));
        self.grants.note_ended(ended);
        for kept in grants {
            match self.restored_grant(kept, now) {
                Ok(held) => self.grants.hold(held),
                // Its lease ended while nobody was here to erase it.
                Err(GrantError::Verify(VerifyError::Expired(at))) => {
                    self.grants.note_ended(Some(at))
                }
                Err(error) => self.refuse_file(FileName::Grants, error),
            }
        }
        if self.policy.current().is_some_and(|policy| policy.trust_rtc) {
            self.clock.trust_real_time_clock(now);
        }
        self.grants.time(&self.clock, Untimed::Too);
    }

    fn restored_grant(&self, kept: KeptGrant, now: Now) -> Result<Held, GrantError> {
        let time = self.clock.time(now);
        let keyring = self.keyring().ok_or(VerifyError::KeysRetired(time))?;
        let grant = kept.grant.0.verify(&keyring, time)?;
        if grant.node != self.node {
            return Err(GrantError::OtherNode);
        }
        self.grants.judge(&grant)?;
        let begun = Some(grant.starts).filter(|starts| *starts <= time);
        let mut held = Held::new(grant, tidegate_proto::GrantKey::from_bytes(*kept.key.0))?;
        held.active_since = begun;
        Ok(held)
    }

    /// The key that the node signs with.
    pub fn identity(&self) -> Arc<tidegate_proto::SigningKey> {
        Arc::clone(&self.identity)
    }
}

fn needed<T: DeserializeOwned>(files: &Files, name: FileName) -> Result<T, RestoreError> {
    let bytes = files.get(&name).ok_or(RestoreError::Missing(name))?;
    kept::read(name, bytes).map_err(|error| RestoreError::File(name, error))
}
