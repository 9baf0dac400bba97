//! From what counts to what the data plane and the host are to know.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidegate_proto::{Certificate, Endpoint, EpochNumber, NodeId, Standing, UnixTime, Verified};
use tidegate_wg::{Event as PlaneEvent, Mono, PeerId};

use super::Member;
use super::circle::Peer;
use crate::event::Event;
use crate::file::FileName;
use crate::grants::Held;
use crate::host::{HostWish, Traffic};
use crate::input::Wish;
use crate::output::Token;
use crate::peers::{addresses_of, is_out};
use crate::plane::{Plane, Secrets, Wanted, WantedEpoch};
use crate::time::Now;

impl Member {
    /// The certificate in force, if this node may take part at all: it is up, trusted, certified, and not on the list.
    pub(super) fn taking_part(&self, now: Now) -> Option<&Verified<Certificate>> {
        let list = self.list.current()?;
        let own = self.own(now)?;
        let up = self.recent.wish == Wish::Up && self.keyring().is_some();
        (up && !is_out(list, own) && self.keys.wireguard_public() == own.wireguard).then_some(own)
    }

    /// When an epoch ends here, if it may be used at all: with a list on the disk that is new enough (THREATS B2), while
    /// lease and certificate last.
    pub(super) fn usable_until(&self, held: &Held, now: Now) -> Option<Mono> {
        let own = self.taking_part(now)?;
        let list = self.list.current()?;
        let place = held.grant.list;
        let durable =
            self.list_stored.is_some_and(|stored| stored >= place) && list.place() >= place;
        let clear = list.standing(&own.identity, held.grant.serial) == Standing::Clear;
        let lease = held.deadline(&self.clock)?;
        let certificate = self.clock.shortened(self.clock.deadline(own.not_after)?);
        let until = lease.min(certificate);
        (durable && clear && until > now.boot).then_some(until)
    }

    /// The epochs that may be used now, with their ends.
    pub(super) fn usable(&self, now: Now) -> Vec<(EpochNumber, &Held, Mono)> {
        let usable = |(epoch, held)| Some((epoch, held, self.usable_until(held, now)?));
        self.grants.iter().filter_map(usable).collect()
    }

    /// Tells the data plane what is new. What ends comes first.
    pub(super) fn steer_plane(&mut self, now: Now) {
        self.draw_circle(now);
        let Some(wanted) = self.wanted(now) else {
            return self.stop_plane();
        };
        let key = self.keys.wireguard_public();
        if self.plane.as_ref().is_none_or(|plane| plane.key() != key) {
            if !self.asks.plane.try_begin(now.boot) {
                return;
            }
            let token = self.outbox.token();
            self.outbox
                .start(Plane::start(token, self.keys.wireguard(), &wanted));
            self.plane = Some(Plane::started(token, key, &wanted));
            self.ordered = Some(token);
        }
        let plane = self.plane.as_ref();
        let Some(told) = plane.map(Plane::told).filter(|told| **told != wanted) else {
            return;
        };
        // Whom to shake hands with matters only at the first epoch, and costs a look at every peer.
        let lately = match told.active {
            None => self.lately(now),
            Some(_) => BTreeSet::new(),
        };
        let secrets = Secrets {
            network: self.trust.chain().network(),
            own: self.keys.wireguard(),
            grants: self
                .grants
                .iter()
                .map(|(epoch, held)| (epoch, &held.key))
                .collect(),
        };
        let Some(plane) = &mut self.plane else {
            return;
        };
        let before = (plane.told().active, plane.told().epochs.clone());
        let commands = plane.change(wanted, &secrets, &lately, now.boot);
        if !commands.is_empty() {
            self.ordered = Some(self.outbox.apply(commands));
        }
        self.tell_epochs(&before);
    }

    fn tell_epochs(&mut self, before: &(Option<EpochNumber>, BTreeMap<EpochNumber, WantedEpoch>)) {
        let Some(told) = self.plane.as_ref().map(Plane::told) else {
            return;
        };
        for epoch in told
            .epochs
            .keys()
            .filter(|epoch| !before.1.contains_key(epoch))
        {
            if let Some(held) = self.grants.at(*epoch) {
                let lease_until = held.grant.lease_until;
                self.outbox.tell(Event::Granted {
                    epoch: *epoch,
                    lease_until,
                });
            }
        }
        if let Some(active) = told.active.filter(|_| told.active != before.0) {
            self.outbox.tell(Event::Switched(active));
        }
        for epoch in before
            .1
            .keys()
            .filter(|epoch| !told.epochs.contains_key(epoch))
        {
            self.outbox.tell(Event::Retired(*epoch));
        }
    }

    /// What the data plane knows, if it runs.
    pub(super) fn running(&self) -> Option<&Wanted> {
        let runs = self.plane.as_ref().filter(|plane| plane.runs());
        runs.map(Plane::told)
    }

    /// What the data plane is to know; `None`: there is to be none.
    fn wanted(&self, now: Now) -> Option<Wanted> {
        let own = self
            .certificate
            .current()
            .filter(|_| self.recent.wish == Wish::Up)?;
        let usable = self.usable(now);
        let time = self.clock.time(now);
        Some(Wanted {
            addresses: addresses_of(own).to_vec(),
            mtu: self.choices.mtu,
            keepalive: self.choices.keepalive,
            peers: self.circle.wanted(),
            epochs: usable
                .iter()
                .map(|(epoch, held, until)| (*epoch, self.wanted_epoch(held, *until, now)))
                .collect(),
            active: self.active(&usable, time),
            routes: self.circle.routes(),
            rules: self.circle.rules(),
        })
    }

    /// Peers to shake hands with at once, where this node was restarted.
    fn lately(&self, now: Now) -> BTreeSet<PeerId> {
        let time = self.clock.time(now);
        let lately = |(node, _): &(&NodeId, &Peer)| self.recent.lately(**node, time);
        self.circle
            .peers()
            .filter(lately)
            .map(|(_, peer)| peer.id)
            .collect()
    }

    /// Handshakes ahead of the switch are spread over half of the time until then.
    fn wanted_epoch(&self, held: &Held, until: Mono, now: Now) -> WantedEpoch {
        let ahead = held.grant.starts.since(self.clock.time(now));
        let spread = Duration::from_millis(ahead.as_millis() / 2);
        WantedEpoch {
            secret: held.secret(),
            deadline: until,
            spread: spread.max(self.overlap() / 4),
        }
    }

    /// The latest epoch that has begun.
    pub(super) fn active(
        &self,
        usable: &[(EpochNumber, &Held, Mono)],
        time: UnixTime,
    ) -> Option<EpochNumber> {
        let begun = usable
            .iter()
            .filter(|(_, held, _)| held.grant.starts <= time);
        begun.map(|(epoch, _, _)| *epoch).max()
    }

    /// How long an epoch is received after the next has begun.
    pub(super) fn overlap(&self) -> Duration {
        let policy = self.policy.current().map(|policy| policy.epochs);
        crate::clock::as_duration(policy.unwrap_or(self.genesis().epochs).overlap)
    }

    fn stop_plane(&mut self) {
        if self.plane.take().is_some() {
            self.ordered = Some(self.outbox.stop());
        }
    }

    /// The data plane has carried out everything up to this order.
    pub(super) fn plane_applied(&mut self, order: Token) {
        self.orders_settled(order);
        if let Some(plane) = self.plane.as_mut().filter(|one| one.is_meant_by(order)) {
            plane.confirm();
            self.asks.plane.succeeded();
        }
    }

    /// The shell has dropped a data plane. If it is the one that counts, another begins.
    pub(super) fn plane_gone(&mut self, order: Token, why: String, now: Now) {
        self.orders_settled(order);
        let meant = |plane: &mut Plane| plane.is_meant_by(order);
        if self.plane.take_if(meant).is_some() {
            self.asks.plane.failed(why, now.boot);
        }
    }

    /// Nothing that was in force before this order is in force any more (THREATS B3).
    fn orders_settled(&mut self, order: Token) {
        self.receipts.settled(order);
        self.ordered = self.ordered.filter(|last| *last > order);
    }

    pub(super) fn plane_event(&mut self, event: PlaneEvent, now: Now) {
        match event {
            PlaneEvent::Connected { peer, .. } | PlaneEvent::Pong { peer, .. } => {
                self.note_use(peer, now)
            }
            PlaneEvent::Roamed { peer, endpoint } => self.note_endpoint(peer, endpoint, now),
            _ => {}
        }
    }

    pub(super) fn note_use(&mut self, peer: PeerId, now: Now) {
        if let Some(node) = self.circle.node(peer) {
            self.keep_use(node, now);
            self.recent.note_use(node, self.clock.time(now));
        }
    }

    /// The next start shakes hands with whom it finds on the disk: a peer that is new there cannot wait.
    fn keep_use(&mut self, node: NodeId, now: Now) {
        match self.recent.lately(node, self.clock.time(now)) {
            true => self.saver.late(FileName::Recent, now),
            false => self.saver.soon(FileName::Recent, now),
        }
    }

    /// The data plane knows already; this is for the next start.
    fn note_endpoint(&mut self, peer: PeerId, address: SocketAddr, now: Now) {
        let (node, endpoint) = (self.circle.node(peer), Endpoint::new(address).ok());
        if let Some((node, endpoint)) = node.zip(endpoint) {
            self.keep_use(node, now);
            self.outdate_ways(node, address);
            self.recent
                .note_endpoint(node, endpoint, self.clock.time(now));
        }
    }

    /// A router that speaks from within the network behind it, or does so no more, changes whether that is routed.
    fn outdate_ways(&mut self, node: NodeId, address: SocketAddr) {
        let used = self.recent.of(node).filter(|used| used.live);
        let before = used
            .and_then(|used| used.heard)
            .is_some_and(|before| self.circle.is_behind(node, before.address()));
        if before != self.circle.is_behind(node, address) {
            self.circle.outdate();
        }
    }

    /// Tells how the host's network is wanted, if that is new.
    pub(super) fn steer_host(&mut self) {
        let wish = self.host_wish().map(Arc::new);
        if self.host.as_ref() != Some(&wish) {
            self.host = Some(wish.clone());
            self.outbox.host(wish);
        }
    }

    fn host_wish(&self) -> Option<HostWish> {
        if self.recent.wish == Wish::Down {
            return None;
        }
        let told = self.plane.as_ref().map(Plane::told);
        let flows = told.is_some_and(|told| told.active.is_some());
        let own = self.certificate.current();
        let served = own.iter().flat_map(|own| own.routes.iter());
        let (exit, subnets) = self
            .recent
            .guarded
            .iter()
            .partition(|route| route.length() == 0);
        Some(HostWish {
            traffic: if flows {
                Traffic::Flows
            } else {
                Traffic::Stopped
            },
            addresses: own.iter().flat_map(|own| addresses_of(own)).collect(),
            overlay: self.genesis().prefixes().collect(),
            subnets,
            exit,
            serve: served
                .filter(|route| self.choices.serve.contains(route))
                .copied()
                .collect(),
            mtu: self.choices.mtu,
        })
    }
}
