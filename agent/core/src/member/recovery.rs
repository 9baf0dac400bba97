//! What an authority is told that was restored from a backup (THREATS B7): everything that it signed and this node holds.

use tidegate_proto::api::Recovery;
use tidegate_proto::{BoundedList, Certificate, Signed};

use super::Member;
use crate::event::Event;
use crate::input::{Answer, Failure};
use crate::output::Ask;
use crate::time::Now;

/// The authority recovers, and issues nothing.
const RECOVERING: &str = "recovering";
/// It does not know who this is. A node that joined after the backup is told so.
const UNKNOWN: [&str; 2] = ["key-unknown", "not-enrolled"];

/// Certificates, successions and grants in one report.
const MOST_PEERS: usize = 1000;
const MOST_SUCCESSIONS: usize = 64;
const MOST_GRANTS: usize = 8;

impl Member {
    /// The authority says no: perhaps because it has forgotten what this node knows.
    pub(super) fn heard_no(&mut self, code: &str) {
        let recovers = code == RECOVERING;
        if recovers || UNKNOWN.contains(&code) {
            if recovers && !self.asks.recovery.is_wanted() {
                self.outbox.tell(Event::AuthorityRecovers);
            }
            self.asks.recovery.want();
        }
    }

    /// The report was taken: it is not said again before long. Or it is not wanted after all.
    pub(super) fn reported(&mut self, answer: &Answer, now: Now) {
        match answer {
            Answer::Done => self.asks.recovery.rest(now.boot),
            Answer::Failed(Failure::Refused { code, .. }) if code == "not-recovering" => {
                self.asks.recovery.rest(now.boot);
            }
            Answer::Failed(_) => {}
        }
    }

    /// Also while the user wants the network down: others wait for it.
    pub(super) fn report_what_is_held(&mut self, now: Now) {
        if self.asks.recovery.is_due(now.boot)
            && let Some(report) = self.report()
        {
            self.outbox.ask(Ask::Recovery(Box::new(report)));
        }
    }

    /// Everything that is held of what the authority has signed. Nothing without a list, which is what matters most.
    fn report(&self) -> Option<Recovery> {
        let list = self.list.current()?.signed().clone();
        let own = self.certificate.current();
        let grants = self.grants.iter().rev().take(MOST_GRANTS);
        let grants = grants.map(|(_, held)| held.grant.signed().clone());
        let policy = self.policy.current();
        Some(Recovery {
            keys: self
                .keys
                .public(self.identity.public_key(), own.map(|own| &**own))?,
            list,
            certificate: own.map(|own| own.signed().clone()),
            grants: BoundedList::new(grants.collect()).ok()?,
            genesis: BoundedList::new(self.trust.successions(MOST_SUCCESSIONS)).ok()?,
            policy: policy.map(|policy| policy.signed().clone()),
            peers: BoundedList::new(self.newest_peers()).ok()?,
        })
    }

    /// The certificates that were issued last.
    fn newest_peers(&self) -> Vec<Signed<Certificate>> {
        let mut peers: Vec<_> = self.roster.peers().map(|(_, known)| known).collect();
        peers.sort_by_key(|known| std::cmp::Reverse(known.certificate.serial));
        let peers = peers.into_iter().take(MOST_PEERS);
        peers
            .map(|known| known.certificate.signed().clone())
            .collect()
    }
}
