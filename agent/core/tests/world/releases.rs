//! What an authority lets out: epochs' grants, each in the ledger before it leaves, and rosters.

use tidegate_proto::api::{GrantWithList, RecordWithHint, RosterUpdate};
use tidegate_proto::bound::Release;
use tidegate_proto::policy::Subject;
use tidegate_proto::*;

use super::authority::{Authority, Entry, Epoch, Standing};
use super::{list, set};

impl Authority {
    /// Opens the next epoch when its lead has begun.
    pub fn tick(&mut self) {
        self.epochs.retain(|epoch| epoch.lease_until > self.now);
        let last = self.epochs.last().map(|last| (last.number, last.ends));
        match last {
            Some((_, ends)) if self.now + self.settings.lead < ends => {}
            Some((number, ends)) => self.open(number.next().unwrap(), ends.max(self.now)),
            None => {
                let number = EpochNumber::new(
                    self.ledger
                        .iter()
                        .map(|r| r.epoch.value())
                        .max()
                        .unwrap_or(0)
                        + 1,
                )
                .unwrap();
                self.open(number, self.now);
            }
        }
    }

    pub fn next_tick(&self) -> UnixTime {
        self.epochs
            .last()
            .map_or(self.now, |last| last.ends - self.settings.lead)
    }

    fn open(&mut self, number: EpochNumber, starts: UnixTime) {
        let ends = starts + self.settings.epoch;
        let secret = EpochSecret::generate(&mut self.rng);
        let lease_until = ends + self.settings.offline_tolerance;
        self.epochs.push(Epoch {
            number,
            redraw: 0,
            starts,
            ends,
            lease_until,
            secret,
        });
    }

    /// Starts a new epoch now.
    pub fn rotate(&mut self) {
        let (now, settings) = (self.now, self.settings);
        let last = self.epochs.last_mut().unwrap();
        if last.starts > now {
            last.redraw += 1;
            last.secret = EpochSecret::generate(&mut self.rng);
            (last.starts, last.ends) = (now, now + settings.epoch);
            last.lease_until = last.ends + settings.offline_tolerance;
        } else {
            let number = last.number.next().unwrap();
            self.open(number, now);
        }
    }

    /// Everything that a node may have now, each release in the ledger before it leaves.
    pub fn grants(&mut self, node: NodeId) -> Vec<GrantWithList> {
        let live: Vec<usize> = (0..self.epochs.len())
            .filter(|&at| self.epochs[at].ends > self.now)
            .collect();
        live.into_iter().map(|at| self.grant(node, at)).collect()
    }

    fn grant(&mut self, node: NodeId, at: usize) -> GrantWithList {
        let epoch = &self.epochs[at];
        let entry = &self.entries[&node];
        assert_eq!(
            entry.standing,
            Standing::Allowed,
            "nobody else gets a grant"
        );
        let place = (node, epoch.number, epoch.redraw, entry.serial);
        if !self.granted.contains_key(&place) {
            let context = SealContext {
                network: self.genesis.network,
                node,
                serial: entry.serial,
                epoch: epoch.number,
                redraw: epoch.redraw,
                sealing: entry.keys.sealing.hash(),
            };
            let key = epoch.secret.grant_key(self.genesis.network, epoch.number);
            let grant = EpochGrant {
                network: context.network,
                revision: self.genesis.revision,
                node,
                serial: context.serial,
                epoch: context.epoch,
                redraw: context.redraw,
                key: key.id(),
                starts: epoch.starts,
                ends: epoch.ends,
                lease_until: epoch.lease_until,
                list: self.place,
                sealing: context.sealing,
                sealed: context
                    .seal(&key, &entry.keys.sealing, &mut self.rng)
                    .unwrap(),
            };
            self.ledger.push(Release {
                node,
                epoch: grant.epoch,
                redraw: grant.redraw,
                list: grant.list,
                released_at: self.now,
                lease_until: grant.lease_until,
            });
            self.granted
                .insert(place, Signed::sign(&grant, &[&self.signer]).unwrap());
        }
        GrantWithList {
            grant: self.granted[&place].clone(),
            list: self.list.clone(),
        }
    }

    /// The key that a grant of the epoch opens to.
    pub fn grant_key(&self, epoch: &Epoch) -> GrantKey {
        epoch.secret.grant_key(self.genesis.network, epoch.number)
    }

    pub fn is_in(&self, node: NodeId) -> bool {
        let allowed = self
            .entries
            .get(&node)
            .filter(|entry| entry.standing == Standing::Allowed);
        let certificate = allowed.and_then(|entry| entry.certificate.as_ref());
        certificate.is_some_and(|signed| signed.verify(&self.keyring(), self.now).is_ok())
    }

    /// Who may talk to `node`, in full or as what changed since.
    pub fn roster(&mut self, node: NodeId, since: Option<(Sequence, Vec<NodeId>)>) -> RosterUpdate {
        let version = self.next_version();
        let policy = self.policy.verify(&self.keyring(), self.now).unwrap();
        let document = |entry: &Entry| {
            entry
                .certificate
                .as_ref()
                .unwrap()
                .verify(&self.keyring(), self.now)
                .ok()
        };
        let own = document(&self.entries[&node]).unwrap();
        let peers: Vec<_> = self
            .entries
            .iter()
            .filter(|(peer, entry)| **peer != node && entry.standing == Standing::Allowed)
            .filter_map(|(peer, entry)| Some((*peer, entry, document(entry)?)))
            .filter(|(_, _, certificate)| {
                let subjects = (
                    Subject::new(&own, &self.genesis),
                    Subject::new(certificate, &self.genesis),
                );
                policy.permits(&subjects.0, &subjects.1)
            })
            .collect();
        let removed: Vec<NodeId> = since
            .iter()
            .flat_map(|(_, before)| before.iter().copied())
            .filter(|before| !peers.iter().any(|(peer, ..)| peer == before))
            .collect();
        let roster = Roster {
            network: self.genesis.network,
            revision: self.genesis.revision,
            node,
            version,
            base: since.map(|(base, _)| base),
            entries: list(peers.iter().map(|(peer, _, certificate)| RosterEntry {
                node: *peer,
                certificate: certificate.digest(),
            })),
            removed: set(removed),
        };
        let record = |(_, entry, _): &(NodeId, &Entry, _)| {
            entry.record.clone().map(|record| RecordWithHint {
                record,
                seen_from: None,
            })
        };
        RosterUpdate {
            roster: Signed::sign(&roster, &[&self.signer]).unwrap(),
            certificates: list(
                peers
                    .iter()
                    .map(|(_, entry, _)| entry.certificate.clone().unwrap()),
            ),
            records: list(peers.iter().filter_map(record)),
        }
    }
}
