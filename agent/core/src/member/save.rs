//! What lies in memory and belongs on the disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tidegate_wg::Mono;
use zeroize::Zeroizing;

use super::Member;
use super::restore::KeptDocument;
use crate::event::Event;
use crate::file::FileName;
use crate::floors::Marks;
use crate::kept::{self, Kept};
use crate::output::{Store, Token};
use crate::status::ClockSource;
use crate::time::Now;

/// What changes often and can come again is gathered for so long.
const SOON: Duration = Duration::from_secs(1);
/// What is only convenient is gathered for so long.
const LATE: Duration = Duration::from_secs(30);
/// Between two writings of the time.
const CLOCK: Duration = Duration::from_secs(60);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(5);

/// Which files are to be written, and which are being.
#[derive(Default)]
pub(super) struct Saver {
    due: BTreeMap<FileName, Mono>,
    writing: Marks,
}

impl Saver {
    pub(super) fn now(&mut self, name: FileName, now: Now) {
        self.at(name, now.boot);
    }

    pub(super) fn soon(&mut self, name: FileName, now: Now) {
        self.at(name, now.boot + SOON);
    }

    pub(super) fn late(&mut self, name: FileName, now: Now) {
        self.at(name, now.boot + LATE);
    }

    /// The first word of the authority at once, since a restart needs it; later ones now and then.
    pub(super) fn clock(&mut self, before: ClockSource, now: Now) {
        match before {
            ClockSource::Statement => self.time_passes(now),
            _ => self.now(FileName::Clock, now),
        }
    }

    /// The floor under the time follows it.
    pub(super) fn time_passes(&mut self, now: Now) {
        self.at(FileName::Clock, now.boot + CLOCK);
    }

    fn at(&mut self, name: FileName, at: Mono) {
        let due = self.due.entry(name).or_insert(at);
        *due = at.min(*due);
    }

    pub(super) fn next(&self) -> Option<Mono> {
        self.due.values().min().copied()
    }

    /// Whether the file is on the disk as it is in memory.
    pub(super) fn is_kept(&self, name: FileName) -> bool {
        let writing = self.writing.values().any(|(writing, _)| *writing == name);
        !writing && !self.due.contains_key(&name)
    }

    fn take_due(&mut self, now: Mono) -> Vec<FileName> {
        let due: Vec<_> = self
            .due
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(name, _)| *name)
            .collect();
        self.due.retain(|_, at| *at > now);
        due
    }
}

impl Member {
    pub(super) fn save_what_is_due(&mut self, now: Now) {
        for name in self.saver.take_due(now.boot) {
            self.write(name, now);
        }
    }

    /// Writes a file as it is now.
    pub(super) fn write(&mut self, name: FileName, now: Now) -> Token {
        match name {
            FileName::Clock => self.clock.raise_floor(now),
            // What a lease was measured with is on the disk before the lease is.
            FileName::Grants => {
                self.write(FileName::Clock, now);
            }
            _ => {}
        }
        let token = self.outbox.token();
        let mark = self.mark(name);
        self.saver.due.remove(&name);
        self.saver.writing.insert(token, (name, mark));
        if name == FileName::Keys {
            self.renewal.keep_with(token);
        }
        let bytes = Arc::new(self.content(name));
        self.outbox.store(Store { token, name, bytes });
        token
    }

    fn content(&self, name: FileName) -> Zeroizing<Vec<u8>> {
        match name {
            FileName::Genesis => kept::write(name, self.trust.keep()),
            FileName::Keys => kept::write(name, &self.keys.keep()),
            FileName::Certificate => document(name, self.certificate.current().map(|d| d.signed())),
            FileName::List => document(name, self.list.current().map(|d| d.signed())),
            FileName::Policy => document(name, self.policy.current().map(|d| d.signed())),
            FileName::Roster => kept::write(name, &self.roster.keep()),
            FileName::Grants => kept::write(name, &self.grants.keep()),
            FileName::Clock => kept::write(name, &self.clock.keep()),
            FileName::Floors => kept::write(name, &self.floors),
            FileName::Recent => kept::write(name, &self.recent.keep()),
        }
    }

    /// A file is on the disk: now what it says may be relied on, and its place is one that is never gone behind.
    pub(super) fn stored(&mut self, token: Token, now: Now) {
        let Some((name, mark)) = self.saver.writing.remove(&token) else {
            return;
        };
        if let Some(mark) = mark {
            self.floors.raise(name, mark);
            self.saver.soon(FileName::Floors, now);
            self.list_stored(name, mark);
        }
        if name == FileName::Grants {
            self.floors.retired = self.floors.retired.max(self.grants.retired());
        }
        if let Some(keys) = self.renewal.kept(token) {
            self.send_keys(keys);
        }
    }

    fn list_stored(&mut self, name: FileName, (order, _): crate::floors::Mark) {
        if name != FileName::List {
            return;
        }
        let place = tidegate_proto::ListPlace {
            revision: order.revision,
            sequence: order.sequence,
        };
        self.list_stored = self.list_stored.max(Some(place));
        self.receipts.stored(place);
    }

    pub(super) fn not_stored(&mut self, token: Token, now: Now) {
        let Some((name, _)) = self.saver.writing.remove(&token) else {
            return;
        };
        self.outbox.tell(Event::NotStored(name));
        self.saver.at(name, now.boot + AGAIN);
    }
}

fn document<T>(name: FileName, signed: Option<&tidegate_proto::Signed<T>>) -> Zeroizing<Vec<u8>>
where
    KeptDocument<T>: Serialize,
{
    let document = signed.cloned().map(Kept);
    kept::write(name, &KeptDocument { document })
}
