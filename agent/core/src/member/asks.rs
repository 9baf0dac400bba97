//! What the authority is asked and told, and when.

use std::time::Duration;

use rand_core::Rng as _;
use tidegate_proto::api::Heartbeat;
use tidegate_proto::{
    BoundedList, BoundedSet, Certificate, Endpoint, Nonce, PeerRecord, ReadableVersion, Receipt,
    RevocationKind, Sequence, Signed, UnixTime,
};
use tidegate_wg::Mono;

use super::Member;
use crate::backoff::Backoff;
use crate::event::Event;
use crate::file::FileName;
use crate::input::{Answer, Failure, Wish};
use crate::keys::{Drawn, Renewed};
use crate::output::{Ask, AskKind};
use crate::status::{ClockSource, State, Stopped};
use crate::time::{Now, Reason, Timeout};
use crate::want::{Starts, Want};

/// Between two heartbeats, and how much of it varies.
const HEARTBEAT: Duration = Duration::from_secs(20);
const HEARTBEAT_JITTER: u64 = 2_000;

/// Everything that is asked for, and when.
pub(super) struct Asks {
    pub(super) time: Want,
    pub(super) chain: Want,
    pub(super) resync: Want,
    /// Everything anew, because something did not arrive as the authority has signed it.
    pub(super) again: Want,
    pub(super) record: Want,
    pub(super) recovery: Want,
    list: Backoff,
    enroll: Backoff,
    pub(super) plane: Starts,
    pub(super) heartbeat_at: Option<Mono>,
    /// When keys of an earlier genesis retire.
    pub(super) retirement: Option<UnixTime>,
    /// How far off the wall clock was when that was told.
    pub(super) clock_told: Option<i64>,
    /// Whether the stream that opens next was asked for by a resync.
    reopens: bool,
    signed_record: Option<Signed<PeerRecord>>,
    /// Whether a record is to be signed.
    record_due: bool,
}

impl Asks {
    pub(super) fn new() -> Self {
        Self {
            time: Want::new(&[1, 2, 4]),
            chain: Want::new(&[2, 10, 60]),
            resync: Want::new(&[1, 4, 15, 60, 300, 600]),
            again: Want::new(&[2, 4, 15, 60, 300, 600]),
            record: Want::new(&[2, 4, 15, 60]),
            recovery: Want::new(&[2, 5, 15, 60, 600]),
            list: Backoff::new(&[5, 10]),
            enroll: Backoff::new(&[5, 15, 30]),
            plane: Starts::new(&[1, 2, 5, 15, 60]),
            heartbeat_at: None,
            retirement: None,
            clock_told: None,
            reopens: false,
            signed_record: None,
            record_due: false,
        }
    }

    /// A node that was out knows nothing of what happened meanwhile.
    pub(super) fn resync_after_return(&mut self, state: Option<&State>) {
        if matches!(state, Some(State::Stopped(_))) {
            self.resync.want();
        }
    }
}

impl Member {
    /// Everything was tried too often for nothing is tried again at once.
    pub(super) fn stream_opened(&mut self, now: Now) {
        self.stream = true;
        self.asks.recovery.done();
        self.renewal.backoff.cancel();
        self.receipts.hurry();
        for want in [
            &mut self.asks.time,
            &mut self.asks.record,
            &mut self.asks.chain,
        ] {
            want.hurry();
        }
        // A resync that opens a stream, on which the same comes again, would otherwise never pause.
        if !std::mem::take(&mut self.asks.reopens) {
            self.asks.resync.hurry();
            self.asks.again.hurry();
        }
        self.asks.enroll.cancel();
        self.asks.heartbeat_at = Some(now.boot);
    }

    /// Who is refused may be on the list, which is public.
    pub(super) fn stream_refused(&mut self, code: &str) {
        self.stream = false;
        self.asks.list.cancel();
        self.heard_no(code);
    }

    pub(super) fn answered(&mut self, kind: AskKind, answer: &Answer, now: Now) {
        if let Answer::Failed(Failure::Refused { code, .. }) = answer {
            self.heard_no(code);
        }
        match (kind, answer) {
            (AskKind::Recovery, answer) => self.reported(answer, now),
            (AskKind::Receipt, Answer::Done) => self.receipts.taken(),
            (AskKind::Receipt, Answer::Failed(Failure::Refused { .. })) => self.receipts.refused(),
            (AskKind::Record, Answer::Done) => self.asks.record.done(),
            (AskKind::Resync, Answer::Failed(_)) => self.asks.reopens = false,
            (AskKind::Renew | AskKind::Enroll, Answer::Failed(Failure::Refused { detail, .. })) => {
                self.renewal.refused = Some(detail.clone());
            }
            _ => {}
        }
    }

    pub(super) fn ask_what_is_due(&mut self, now: Now) {
        self.sign_record(now);
        self.report_what_is_held(now);
        if self.recent.wish == Wish::Down || self.trust.siblings().is_some() {
            return;
        }
        self.ask_time(now);
        self.renew(now);
        self.beat(now);
        if let Some(receipt) = self.receipts.send(now.boot) {
            self.outbox.ask(Ask::Receipt(receipt));
        }
        let record = self.asks.signed_record.clone();
        if let Some(record) = record.filter(|_| self.asks.record.is_due(now.boot)) {
            self.outbox.ask(Ask::Record(record));
        }
        if self.asks.chain.is_due(now.boot) {
            self.outbox.ask(Ask::Chain);
        }
        let again = self.asks.again.once(now.boot);
        if self.asks.resync.is_due(now.boot) || again {
            self.asks.reopens = true;
            self.outbox.ask(Ask::Resync);
        }
        self.ask_for_the_list(now);
    }

    fn ask_time(&mut self, now: Now) {
        let waits = self.grants.waits_for_time() && !self.clock.is_fresh(now);
        if self.clock.source() != ClockSource::Statement || self.clock.has_gained() || waits {
            self.asks.time.want();
        }
        if self.asks.time.is_due(now.boot) {
            let nonce = Nonce::generate(&mut self.rng);
            self.clock.ask(nonce, now);
            self.outbox.ask(Ask::Time(nonce));
        }
    }

    /// Whoever is out is told nothing by the stream. The list is public, and says why.
    fn ask_for_the_list(&mut self, now: Now) {
        if self.stream {
            self.asks.list.cancel();
        } else if self.asks.list.is_due(now.boot) {
            self.asks.list.attempt(now.boot);
            self.outbox.ask(Ask::List);
        }
    }

    /// Renews at half the certificate's validity, and comes back with new keys after a revocation was taken back.
    fn renew(&mut self, now: Now) {
        match self.out() {
            Some(Stopped::Out {
                kind: RevocationKind::Revoked,
                ..
            }) => {
                if self.asks.enroll.is_due(now.boot) {
                    self.asks.enroll.attempt(now.boot);
                    self.ask_for_certificate(Renewed::Both, now);
                }
            }
            Some(_) => {}
            None => self.renew_when_due(now),
        }
    }

    /// While the certificate lasts, attempts become rare; without one, nothing else can help.
    fn renew_when_due(&mut self, now: Now) {
        let time = self.clock.time(now);
        let due = |own: &Certificate| self.renewal.due(own) <= time;
        if !self.certificate.current().is_none_or(|own| due(own)) || !self.clock.is_known() {
            return;
        }
        let ended = self.own(now).is_none();
        let free = ended && self.asks.enroll.is_due(now.boot);
        if free || self.renewal.is_free(now.boot) {
            self.asks.enroll.attempt(now.boot);
            self.renewal.backoff.attempt(now.boot);
            self.ask_for_certificate(Renewed::Sealing, now);
        }
    }

    /// New keys are on the disk before the authority hears of them.
    fn ask_for_certificate(&mut self, renewed: Renewed, now: Now) {
        let identity = self.identity.public_key();
        let Some((keys, drawn)) = self.keys.next(identity, renewed, &mut self.rng) else {
            return;
        };
        match drawn {
            Drawn::Before if self.saver.is_kept(FileName::Keys) => self.send_keys(Box::new(keys)),
            _ => {
                let token = self.write(FileName::Keys, now);
                self.renewal.keep(token, keys);
            }
        }
    }

    pub(super) fn send_keys(&mut self, keys: Box<tidegate_proto::NodeKeys>) {
        let out = matches!(
            self.out(),
            Some(Stopped::Out {
                kind: RevocationKind::Revoked,
                ..
            })
        );
        self.outbox.ask(if out {
            Ask::Enroll(keys)
        } else {
            Ask::Renew(keys)
        });
    }

    fn beat(&mut self, now: Now) {
        if self.taking_part(now).is_none() || self.asks.heartbeat_at.is_some_and(|at| now.boot < at)
        {
            return;
        }
        let jitter = Duration::from_millis(self.rng.next_u64() % HEARTBEAT_JITTER);
        self.asks.heartbeat_at = Some(now.boot + HEARTBEAT - jitter);
        let nonce = Nonce::generate(&mut self.rng);
        self.clock.ask(nonce, now);
        let seen = self.recent.take_seen().into_iter().take(1000).collect();
        let heartbeat = Heartbeat {
            program: self.program.clone(),
            nonce,
            list: self
                .list
                .current()
                .map(|list| list.place())
                .unwrap_or_default(),
            policy: self
                .policy
                .current()
                .map(|policy| policy.version)
                .unwrap_or_default(),
            roster: self.roster.version().unwrap_or_default(),
            record: None,
            peers_seen: BoundedSet::new(seen).unwrap_or_default(),
        };
        self.outbox.ask(Ask::Heartbeat(Box::new(heartbeat)));
    }

    /// One more than any sequence before, also where the last one was lost with its file.
    fn following(&self, last: Sequence, now: Now) -> Option<Sequence> {
        let by_time = Sequence::new(self.clock.time(now).as_millis()).unwrap_or_default();
        Some(last.next()?.max(by_time))
    }

    /// Signs the receipt for the list in force, once all is confirmed that it says (THREATS B3).
    pub(super) fn sign_receipt(&mut self, now: Now) {
        let Some((place, list_digest)) = self.receipts.ready() else {
            return;
        };
        let which = (place, list_digest);
        if self.taking_part(now).is_none() || !self.clock.is_known() {
            return; // it is signed when the node takes part again
        }
        let Some(sequence) = self.following(self.floors.receipt, now) else {
            return;
        };
        let receipt = Receipt {
            network: self.trust.chain().network(),
            node: self.node,
            sequence,
            list: place,
            list_digest,
            applied_at: self.clock.time(now),
        };
        let Ok(signed) = Signed::sign(&receipt, &[&self.identity]) else {
            return;
        };
        self.floors.receipt = sequence;
        self.saver.soon(FileName::Floors, now);
        self.receipts.sign(which, signed);
        self.outbox.tell(Event::Receipt(place));
    }

    /// Notes where this host may be reached.
    pub(super) fn found_at(&mut self, endpoints: Vec<Endpoint>) {
        if self.endpoints != endpoints {
            // This host may have left, or come into, a network that is behind a peer.
            self.circle.outdate();
            self.asks.record_due = true;
        }
        self.asks.record_due |= self.asks.signed_record.is_none();
        self.endpoints = endpoints;
    }

    /// Tells where this host may be reached, if that has changed. A record that is dated by a clock that is wrong would be
    /// refused, so it waits for the authority's time.
    pub(super) fn sign_record(&mut self, now: Now) {
        if !self.asks.record_due || self.clock.source() != ClockSource::Statement {
            return;
        }
        let Some(sequence) = self.following(self.floors.record, now) else {
            return;
        };
        let first = self.endpoints.iter().take(16).cloned().collect();
        let record = PeerRecord {
            network: self.trust.chain().network(),
            node: self.node,
            sequence,
            issued_at: self.clock.time(now),
            endpoints: BoundedList::new(first).unwrap_or_default(),
            services: BoundedSet::default(),
            capabilities: BoundedSet::default(),
            reads: BoundedSet::new(ReadableVersion::all()).unwrap_or_default(),
        };
        let Ok(signed) = Signed::sign(&record, &[&self.identity]) else {
            return;
        };
        self.floors.record = sequence;
        self.saver.soon(FileName::Floors, now);
        self.asks.signed_record = Some(signed);
        self.asks.record_due = false;
        self.asks.record.done();
        self.asks.record.want();
    }

    /// When something is to be asked again.
    pub(super) fn asks_due(&self, now: Now, time: UnixTime) -> Vec<Timeout> {
        let of = |reason| move |at| Timeout { at, reason };
        let asks = &self.asks;
        let wants = [
            &asks.time,
            &asks.chain,
            &asks.resync,
            &asks.again,
            &asks.record,
            &asks.recovery,
        ];
        let mut due: Vec<_> = wants.iter().filter_map(|want| want.next()).collect();
        due.extend(self.receipts.next());
        due.extend(asks.plane.next().filter(|_| self.plane.is_none()));
        due.extend(asks.list.next().into_iter().chain(asks.enroll.next()));
        due.extend(self.renewal.backoff.next());
        let mut due: Vec<_> = due.into_iter().map(of(Reason::Retry)).collect();
        let renewal = self.certificate.current().map(|own| self.renewal.due(own));
        let renewal = renewal.filter(|at| *at > time);
        due.extend(renewal.map(|at| of(Reason::Renewal)(self.clock.when(at, now))));
        let beats = self.taking_part(now).is_some();
        let heartbeat = asks.heartbeat_at.filter(|_| beats);
        due.extend(heartbeat.map(of(Reason::Heartbeat)));
        due
    }
}
