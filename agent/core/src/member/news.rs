//! What the authority sends: verified, held against what is in force, and put in force.

use tidegate_proto::api::{GrantWithList, RecordWithHint, RosterUpdate, StreamEvent};
use tidegate_proto::policy::Policy;
use tidegate_proto::{
    Accepted, Certificate, EpochGrant, Genesis, Ordered as _, RevocationList, Signed, Standing,
    SuccessionError, UnixTime, VerifyError,
};

use super::Member;
use crate::event::{Event, Source};
use crate::file::FileName;
use crate::grants::{GrantError, Held};
use crate::roster::{Judge, RosterRefusal};
use crate::time::Now;

impl Member {
    pub(super) fn take_news(&mut self, event: StreamEvent, now: Now) {
        match event {
            StreamEvent::Genesis(genesis) => self.take_genesis(&genesis, now),
            StreamEvent::List(list) => drop(self.take_list(&list, now)),
            StreamEvent::Certificate(certificate) => self.take_certificate(&certificate, now),
            StreamEvent::Policy(policy) => self.take_policy(&policy, now),
            StreamEvent::Roster(update) => self.take_roster(&update, now),
            StreamEvent::Record(record) => self.take_record(&record, now),
            StreamEvent::Grant(grant) => self.take_grant(&grant, now),
        }
    }

    fn refuse(&mut self, what: &'static str, why: impl ToString) {
        self.outbox.tell(Event::Refused {
            what,
            source: Source::Network,
            why: why.to_string(),
        });
    }

    /// Signed by keys that are not known here: the chain may have gone on. Whatever else is wrong with it, the stream goes
    /// on behind it, so the right one has to be asked for; unless it was right, and only not of this time.
    fn refuse_document(&mut self, what: &'static str, error: &VerifyError) {
        if !matches!(
            error,
            VerifyError::Rollback { .. }
                | VerifyError::Expired(_)
                | VerifyError::NotYetValid(_)
                | VerifyError::KeysRetired(_)
        ) {
            self.asks.again.want();
        }
        if matches!(
            error,
            VerifyError::UnknownSigner(_) | VerifyError::OtherRevision(_)
        ) {
            self.asks.chain.want();
        }
        self.refuse(what, error);
    }

    pub(super) fn take_chain(&mut self, chain: &[Signed<Genesis>], now: Now) {
        self.asks.chain.done();
        for genesis in chain {
            self.take_genesis(genesis, now);
        }
    }

    fn take_genesis(&mut self, genesis: &Signed<Genesis>, now: Now) {
        let before = self.trust.siblings();
        match self.trust.succeed(genesis) {
            Ok(Accepted::Known) => {}
            Ok(Accepted::New) => self.succeeded(now),
            Err(SuccessionError::Siblings(_)) if before.is_none() => {
                self.outbox.tell(Event::Siblings);
                self.saver.now(FileName::Genesis, now);
                self.judge_again(now);
            }
            Err(error) => {
                if matches!(error, SuccessionError::Gap { .. }) {
                    self.asks.chain.want();
                }
                self.refuse("genesis", error);
            }
        }
    }

    fn succeeded(&mut self, now: Now) {
        let revision = self.genesis().revision;
        self.outbox.tell(Event::Genesis(revision.sequence()));
        self.saver.now(FileName::Genesis, now);
        self.judge_again(now);
        self.asks.resync.want();
    }

    /// Everything that was signed is judged again, under the keys that count now (THREATS S3).
    pub(super) fn judge_again(&mut self, now: Now) {
        let (keyring, time) = (self.keyring(), self.clock.time(now));
        let retired = || SuccessionError::Refused(VerifyError::KeysRetired(time));
        macro_rules! again {
            ($latest:expr) => {
                $latest.judge_again(|document| {
                    let keyring = keyring.as_ref().ok_or_else(retired)?;
                    document
                        .judge_again(keyring, time)
                        .map_err(SuccessionError::from)
                })
            };
        }
        let judged = [
            again!(self.certificate),
            again!(self.list),
            again!(self.policy),
        ];
        let roster = self.roster.judge_again(keyring.as_ref(), time);
        let grants = self.grants.judge_again(keyring.as_ref(), time);
        if judged.iter().any(Result::is_err) || roster || grants {
            self.asks.resync.want();
        }
        if self.list.current().is_none() {
            self.receipts.cancel();
        }
        self.circle.outdate();
    }

    /// Takes a revocation list. Whoever is on it loses its tunnels before anything else happens.
    pub(super) fn take_list(
        &mut self,
        list: &Signed<RevocationList>,
        now: Now,
    ) -> Result<Accepted, VerifyError> {
        let accepted = self.accept_list(list, now);
        match &accepted {
            Ok(Accepted::New) => self.list_in_force(now),
            Ok(Accepted::Known) => {}
            Err(error) => self.refuse_document("revocation list", error),
        }
        accepted
    }

    fn accept_list(
        &mut self,
        list: &Signed<RevocationList>,
        now: Now,
    ) -> Result<Accepted, VerifyError> {
        let keyring = self
            .keyring()
            .ok_or(VerifyError::KeysRetired(self.clock.time(now)))?;
        let verified = list.verify(&keyring, self.clock.time(now))?;
        self.list.accept(verified)
    }

    fn list_in_force(&mut self, now: Now) {
        let before = self.circle.len();
        self.circle.outdate();
        self.steer_plane(now);
        let Some((place, digest)) = self
            .list
            .current()
            .map(|list| (list.place(), list.digest()))
        else {
            return;
        };
        let removed = before.saturating_sub(self.circle.len());
        self.asks.again.hurry(); // who sends this is heard, so there is no use in waiting long
        self.outbox.tell(Event::List { place, removed });
        self.receipts.open(place, digest, self.ordered);
        self.saver.now(FileName::List, now);
        self.saver.now(FileName::Recent, now);
    }

    fn take_policy(&mut self, policy: &Signed<Policy>, now: Now) {
        match self.accept_policy(policy, now) {
            Ok(Accepted::Known) => {}
            Ok(Accepted::New) => {
                let version = self.policy.current().map(|policy| policy.version);
                self.outbox.tell(Event::Policy(version.unwrap_or_default()));
                self.circle.outdate();
                self.saver.now(FileName::Policy, now);
            }
            Err(error) => self.refuse_document("policy", &error),
        }
    }

    fn accept_policy(
        &mut self,
        policy: &Signed<Policy>,
        now: Now,
    ) -> Result<Accepted, VerifyError> {
        let keyring = self
            .keyring()
            .ok_or(VerifyError::KeysRetired(self.clock.time(now)))?;
        let verified = policy.verify(&keyring, self.clock.time(now))?;
        self.policy.accept(verified)
    }

    fn take_roster(&mut self, update: &RosterUpdate, now: Now) {
        let Some(keyring) = self.keyring() else {
            return self.refuse("roster", "nothing is trusted");
        };
        let judge = Judge {
            keyring: &keyring,
            node: self.node,
            time: self.clock.time(now),
        };
        let first = self.roster.version().is_none();
        match self.roster.take(update, &judge) {
            Ok(taken) => {
                for (node, why) in &taken.left_out {
                    self.refuse("peer", format!("{node}: {why}"));
                }
                if taken.wants_full {
                    self.asks.resync.want();
                } else {
                    self.asks.resync.done();
                }
                self.circle.outdate();
                match first {
                    true => self.saver.now(FileName::Roster, now), // without it a restart knows nobody
                    false => self.saver.soon(FileName::Roster, now),
                }
            }
            Err(error) => self.roster_refused(&error),
        }
    }

    fn roster_refused(&mut self, error: &RosterRefusal) {
        match error {
            RosterRefusal::Verify(error) => self.refuse_document("roster", error),
            RosterRefusal::Apply(_) | RosterRefusal::NoBase | RosterRefusal::TooMany => {
                self.asks.resync.want();
                self.refuse("roster", error);
            }
            RosterRefusal::OtherNode => self.refuse("roster", error),
        }
    }

    fn take_record(&mut self, record: &RecordWithHint, now: Now) {
        match self.roster.take_record(record, self.clock.time(now)) {
            Ok(true) => {
                self.circle.outdate();
                self.saver.soon(FileName::Roster, now);
            }
            Ok(false) => {}
            Err(error) => self.refuse("peer record", error),
        }
    }

    /// A grant comes with its list, which is applied first. An older list than the one in force does no harm, and does not
    /// count either.
    fn take_grant(&mut self, with_list: &GrantWithList, now: Now) {
        match self.take_list(&with_list.list, now) {
            Ok(_) | Err(VerifyError::Rollback { .. }) => {}
            Err(_) => return,
        }
        match self.open_grant(&with_list.grant, now) {
            Ok(Some(held)) => {
                let opened = held.grant.sealing;
                self.grants.hold(held);
                if self.keys.forget_previous(&opened) {
                    self.saver.now(FileName::Keys, now);
                }
                self.saver.now(FileName::Grants, now);
            }
            Ok(None) => {}
            Err(GrantError::Verify(error)) => self.refuse_document("grant", &error),
            Err(error) => self.refuse("grant", error),
        }
    }

    fn open_grant(&self, grant: &Signed<EpochGrant>, now: Now) -> Result<Option<Held>, GrantError> {
        let time = self.clock.time(now);
        let keyring = self.keyring().ok_or(VerifyError::KeysRetired(time))?;
        let grant = grant.verify(&keyring, time)?;
        if grant.node != self.node {
            return Err(GrantError::OtherNode);
        }
        if !self.grants.judge(&grant)? {
            return Ok(None);
        }
        let identity = self.identity.public_key();
        let list = self.list.current();
        if list.is_some_and(|list| list.standing(&identity, grant.serial) != Standing::Clear) {
            return Err(GrantError::Revoked);
        }
        let other = tidegate_proto::SealError::OtherKey;
        let secret = self.keys.opening(&grant.sealing).ok_or(other)?;
        let key = grant.seal_context().open(&grant.sealed, secret)?;
        Held::new(grant, key).map(Some)
    }

    pub(super) fn take_certificate(&mut self, certificate: &Signed<Certificate>, now: Now) {
        match self.accept_certificate(certificate, now) {
            Ok(Accepted::Known) => self.renewal.done(),
            Ok(Accepted::New) => self.certified(now),
            Err(error) => self.refuse_document("certificate", &error),
        }
    }

    fn accept_certificate(
        &mut self,
        certificate: &Signed<Certificate>,
        now: Now,
    ) -> Result<Accepted, VerifyError> {
        let time = self.clock.time(now);
        let keyring = self.keyring().ok_or(VerifyError::KeysRetired(time))?;
        let verified = certificate.verify(&keyring, time)?;
        if verified.identity != self.identity.public_key() || !self.keys.hold(&verified) {
            return Err(VerifyError::ForeignAuthor);
        }
        self.certificate.accept(verified)
    }

    fn certified(&mut self, now: Now) {
        let Some(own) = self.certificate.current() else {
            return;
        };
        let (serial, not_after) = (own.serial, own.not_after);
        // The keys first: a certificate without them is worth nothing after a crash.
        if self.keys.take_up(own) {
            self.saver.now(FileName::Keys, now);
        }
        self.ended = None;
        self.renewal.done();
        self.outbox.tell(Event::Certified { serial, not_after });
        self.saver.now(FileName::Certificate, now);
        self.circle.outdate();
        self.asks.heartbeat_at = Some(now.boot);
        self.asks.resync_after_return(self.state.as_ref());
    }

    pub(super) fn take_time(
        &mut self,
        statement: &Signed<tidegate_proto::TimeStatement>,
        now: Now,
    ) {
        let (before, time): (_, UnixTime) = (self.clock.source(), self.clock.time(now));
        let Some(keyring) = self.keyring() else {
            return self.refuse("time statement", "nothing is trusted");
        };
        match statement.verify(&keyring, time) {
            Ok(statement) if self.clock.take(&statement, now) => self.timed(before, now),
            Ok(_) => self.refuse("time statement", "nobody here asked for it, or long ago"),
            Err(error) => self.refuse_document("time statement", &error),
        }
    }

    fn timed(&mut self, before: crate::status::ClockSource, now: Now) {
        self.asks.time.done();
        if before != self.clock.source() {
            self.circle.outdate();
        }
        self.saver.clock(before, now);
    }

    /// The place that a kind's file holds when it is written now.
    pub(super) fn mark(&self, name: FileName) -> Option<crate::floors::Mark> {
        match name {
            FileName::Genesis => Some((self.genesis().order(), self.genesis().digest())),
            FileName::Certificate => self.certificate.current().map(|c| (c.order(), c.digest())),
            FileName::List => self.list.current().map(|l| (l.order(), l.digest())),
            FileName::Policy => self.policy.current().map(|p| (p.order(), p.digest())),
            FileName::Roster => self.roster.latest().floor(),
            _ => None,
        }
    }
}
