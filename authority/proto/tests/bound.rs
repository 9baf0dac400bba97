//! The published time to cut-off, against a model of honest nodes that hear, miss and forget things.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use tidegate_proto::bound::{
    LedgerGap, MOST_STATEMENT_AGE, PublishedBound, Release, Revocation, clock_allowance,
};
use tidegate_proto::*;

const NODES: usize = 5;
const REVOKED: usize = 0;
const SLOW_BY_PPM: [u64; NODES] = [0, 500, 0, 250, 500];
const ONE_BATCH: Span = Span::from_millis(100);
const START: u64 = 1_000_000;

/// Something that happens in a network.
#[derive(Clone, Debug)]
enum Event {
    /// Time goes on.
    Pass(Span),
    /// The authority's policy changes.
    Configure(EpochSettings),
    /// The next epoch is opened, and a grant released to each node whose bit is set.
    Release(u8),
    /// The list in force reaches a node.
    DeliverList(usize),
    /// One of the grants on their way to a node reaches it, the oldest or the newest.
    DeliverGrant(usize, bool),
    /// A node applies its list and sends a receipt.
    SendReceipt(usize),
    /// The oldest receipt on its way from a node reaches the authority.
    DeliverReceipt(usize),
    /// A node restarts: what is stored stays, what was on its way to it is lost.
    Restart(usize),
    /// The node is revoked, once.
    Revoke,
}

fn spans(from: u64, to: u64) -> impl Strategy<Value = Span> {
    (from..=to).prop_map(Span::from_secs)
}

fn settings() -> impl Strategy<Value = EpochSettings> {
    (spans(2, 900), spans(0, 3600)).prop_map(|(epoch, offline_tolerance)| EpochSettings {
        epoch,
        overlap: EpochSettings::LEAST_OVERLAP,
        lead: EpochSettings::default_lead(epoch),
        offline_tolerance,
        certificate: Span::from_hours(24),
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => spans(0, 400).prop_map(Event::Pass),
        1 => settings().prop_map(Event::Configure),
        4 => any::<u8>().prop_map(Event::Release),
        3 => (0..NODES).prop_map(Event::DeliverList),
        6 => (0..NODES, any::<bool>()).prop_map(|(node, newest)| Event::DeliverGrant(node, newest)),
        3 => (0..NODES).prop_map(Event::SendReceipt),
        3 => (0..NODES).prop_map(Event::DeliverReceipt),
        1 => (0..NODES).prop_map(Event::Restart),
        2 => Just(Event::Revoke),
    ]
}

/// What an honest node holds.
#[derive(Clone, Debug, Default)]
struct HonestNode {
    list: ListPlace,
    /// When its data path stops, by the authority's clock.
    stops_at: UnixTime,
    on_the_way: VecDeque<Release>,
    receipts: VecDeque<ListPlace>,
    /// How many of a million milliseconds its boot-time clock loses.
    slow_by_ppm: u64,
}

impl HonestNode {
    fn new(slow_by_ppm: u64) -> Self {
        Self {
            list: place(1),
            slow_by_ppm,
            ..Self::default()
        }
    }

    /// A grant takes effect only together with its list, which may travel with it. The lease becomes a
    /// deadline by a time statement as old as is allowed, on a clock that may be slow, and one batch may still
    /// be under way.
    fn take_grant(&mut self, newest: bool) {
        let taken = if newest {
            self.on_the_way.pop_back()
        } else {
            self.on_the_way.pop_front()
        };
        let Some(grant) = taken.filter(|grant| self.list >= grant.list) else {
            return;
        };
        let asked_at = grant.released_at - MOST_STATEMENT_AGE;
        let timed = grant.lease_until.since(asked_at).as_millis();
        let late = Span::from_millis(timed * self.slow_by_ppm / 1_000_000);
        self.stops_at = self.stops_at.max(grant.lease_until + late + ONE_BATCH);
    }

    fn talks_to_the_revoked(&self, revoked_by: ListPlace, now: UnixTime) -> bool {
        self.list < revoked_by && now < self.stops_at
    }
}

struct Model {
    now: UnixTime,
    settings: EpochSettings,
    list: ListPlace,
    epoch: EpochWindow,
    ledger: Vec<Release>,
    nodes: Vec<HonestNode>,
    receipts: BTreeMap<NodeId, ListPlace>,
    revocation: Option<Revocation>,
    published: Option<PublishedBound>,
}

fn node_id(index: usize) -> NodeId {
    NodeId::from_bytes([index as u8; 16])
}

fn place(sequence: u64) -> ListPlace {
    ListPlace {
        sequence: Sequence::new(sequence).unwrap(),
        ..ListPlace::default()
    }
}

impl Model {
    fn new() -> Self {
        let now = UnixTime::from_millis(START);
        Self {
            now,
            settings: EpochSettings::default(),
            list: place(1),
            epoch: EpochWindow {
                number: EpochNumber::new(1).unwrap(),
                starts: now,
                ends: now,
            },
            ledger: Vec::new(),
            nodes: SLOW_BY_PPM.map(HonestNode::new).to_vec(),
            receipts: BTreeMap::new(),
            revocation: None,
            published: None,
        }
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Pass(span) => self.now = self.now + span,
            Event::Configure(settings) => self.settings = settings,
            Event::Release(to) => self.release(to),
            Event::DeliverList(node) => self.nodes[node].list = self.list,
            Event::DeliverGrant(node, newest) => self.nodes[node].take_grant(newest),
            Event::SendReceipt(node) => {
                let list = self.nodes[node].list;
                self.nodes[node].receipts.push_back(list);
            }
            Event::DeliverReceipt(node) => {
                if let Some(list) = self.nodes[node].receipts.pop_front() {
                    self.receipts.insert(node_id(node), list);
                }
            }
            Event::Restart(node) => self.nodes[node].on_the_way.clear(),
            Event::Revoke => self.revoke(),
        }
    }

    /// One serialised step per node: the list in force is stamped and the ledger written before it leaves.
    fn release(&mut self, to: u8) {
        let next = self.epoch.following(&self.settings, self.now).unwrap();
        if next.release_from(&self.settings) > self.now {
            return;
        }
        self.epoch = next;
        let admitted = |index: &usize| self.revocation.is_none() || *index != REVOKED;
        for index in (0..NODES)
            .filter(|index| to & 1 << index != 0)
            .filter(admitted)
        {
            let release = Release {
                node: node_id(index),
                epoch: next.number,
                redraw: 0,
                list: self.list,
                released_at: self.now,
                lease_until: next.lease_until(&self.settings),
            };
            self.ledger.push(release);
            self.nodes[index].on_the_way.push_back(release);
        }
    }

    fn revoke(&mut self) {
        if self.revocation.is_none() {
            self.list = place(2);
            self.revocation = Some(Revocation {
                node: node_id(REVOKED),
                list: self.list,
                since: self.now,
            });
        }
    }

    /// Publishes the bound as the API would, and returns it.
    fn publish(&mut self) -> Option<Option<UnixTime>> {
        let revocation = self.revocation?;
        let progress = revocation.progress(&self.ledger, &self.receipts, &[]);
        let next = self.published.map_or_else(
            || PublishedBound::first(&progress),
            |published| published.fallen(&progress),
        );
        assert_eq!(
            next.time(),
            progress.bound(),
            "the bound falls by itself, never by clamping"
        );
        self.published = Some(next);
        Some(next.time())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn no_honest_node_passes_the_bound_and_the_bound_never_rises(
        events in proptest::collection::vec(event(), 1..80),
    ) {
        let mut model = Model::new();
        let mut last_told: Option<Option<UnixTime>> = None;
        for event in events {
            model.apply(&event);
            let Some(told) = model.publish() else { continue };
            if let Some(last) = last_told {
                prop_assert!(told <= last, "{event:?} raised the bound from {last:?} to {told:?}");
            }
            last_told = Some(told);
            let revoked_by = model.revocation.unwrap().list;
            for (index, node) in model.nodes.iter().enumerate().filter(|(index, _)| *index != REVOKED) {
                if node.talks_to_the_revoked(revoked_by, model.now) {
                    prop_assert!(told.is_some_and(|bound| model.now < bound), "node {index} after {event:?}");
                    prop_assert!(told.is_some_and(|bound| node.stops_at <= bound), "node {index} later on");
                }
            }
        }
    }

    #[test]
    fn the_bound_is_at_most_lead_epoch_and_offline_tolerance_away(
        settings in settings(),
        late in 0_u64..2_000,
    ) {
        let mut model = Model::new();
        model.settings = settings;
        model.release(0xff);
        model.now = model.epoch.ends - settings.lead + Span::from_secs(late);
        model.release(0xff);
        model.revoke();
        let bound = model.publish().unwrap().unwrap();
        let worst = settings.worst_case();
        prop_assert!(bound <= model.now + worst + clock_allowance(worst), "{bound} from {}", model.now);
    }
}

fn release(node: usize, list: u64, lease_until: u64) -> Release {
    Release {
        node: node_id(node),
        epoch: EpochNumber::new(1).unwrap(),
        redraw: 0,
        list: place(list),
        released_at: UnixTime::from_millis(START),
        lease_until: UnixTime::from_millis(START + lease_until),
    }
}

fn revocation() -> Revocation {
    let since = UnixTime::from_millis(START);
    Revocation {
        node: node_id(REVOKED),
        list: place(5),
        since,
    }
}

#[test]
fn a_prefetched_grant_counts_and_a_later_setting_does_not() {
    let ledger = [
        release(1, 4, 60_000),
        release(1, 4, 900_000),
        release(2, 4, 60_000),
    ];
    let progress = revocation().progress(&ledger, &BTreeMap::new(), &[]);
    assert_eq!(progress.bound(), Some(ledger[1].stopped_at()));
    assert_eq!(progress.outstanding.len(), 2);
}

#[test]
fn the_revoked_nodes_own_grants_and_those_with_the_list_do_not_count() {
    let ledger = [release(REVOKED, 4, 900_000), release(1, 5, 900_000)];
    let progress = revocation().progress(&ledger, &BTreeMap::new(), &[]);
    assert_eq!(progress.bound(), None);
}

#[test]
fn only_a_receipt_for_the_list_or_a_later_one_takes_a_node_off() {
    let ledger = [release(1, 4, 900_000), release(2, 4, 60_000)];
    let progress = |receipts: &[(usize, u64)]| {
        let receipts = receipts
            .iter()
            .map(|&(node, list)| (node_id(node), place(list)))
            .collect();
        revocation().progress(&ledger, &receipts, &[])
    };
    assert_eq!(progress(&[(1, 4)]).bound(), Some(ledger[0].stopped_at()));
    assert_eq!(progress(&[(1, 5)]).bound(), Some(ledger[1].stopped_at()));
    assert_eq!(progress(&[(1, 5), (2, 6)]).bound(), None);
    assert_eq!(progress(&[(1, 5), (2, 6)]).confirmed.len(), 2);
}

#[test]
fn a_receipt_of_an_earlier_genesis_revision_confirms_nothing() {
    let list = ListPlace {
        revision: Revision::new(2).unwrap(),
        ..place(5)
    };
    let revocation = Revocation {
        list,
        ..revocation()
    };
    let receipts = BTreeMap::from([(node_id(1), place(Sequence::MAX.value()))]);
    let ledger = [release(1, 4, 60_000)];
    let progress = revocation.progress(&ledger, &receipts, &[]);
    assert_eq!(progress.outstanding.len(), 1);
}

#[test]
fn a_gap_in_the_ledger_counts_as_the_longest_lease() {
    let at = UnixTime::from_millis(START);
    let ceilings = EpochCeilings::default();
    let gap = LedgerGap::new(at, &ceilings);
    let progress = revocation().progress(&[], &BTreeMap::new(), &[gap]);
    let longest = ceilings.lead + ceilings.lease;
    assert_eq!(
        progress.bound(),
        Some(at + longest + clock_allowance(longest))
    );
    let lowered = EpochCeilings {
        lease: Span::from_hours(2),
        ..ceilings
    };
    let later = LedgerGap::new(at, &lowered);
    let progress = revocation().progress(&[], &BTreeMap::new(), &[later, gap]);
    assert_eq!(
        progress.bound(),
        Some(gap.stopped_at()),
        "what was allowed then, not now"
    );
}

#[test]
fn a_lease_that_had_ended_before_binds_nobody() {
    let ledger = [release(1, 4, 60_000), release(2, 4, 900_000)];
    let since = ledger[0].stopped_at();
    let progress = Revocation {
        since,
        ..revocation()
    }
    .progress(&ledger, &BTreeMap::new(), &[]);
    assert_eq!(progress.outstanding.len(), 1);
    let since = UnixTime::from_millis(since.as_millis() - 1);
    let progress = Revocation {
        since,
        ..revocation()
    }
    .progress(&ledger, &BTreeMap::new(), &[]);
    assert_eq!(progress.outstanding.len(), 2);
}

#[test]
fn what_was_told_does_not_rise_even_if_the_ledger_does() {
    let progress = |ledger: &[Release]| revocation().progress(ledger, &BTreeMap::new(), &[]);
    let told = PublishedBound::first(&progress(&[release(1, 4, 60_000)]));
    let next = told.fallen(&progress(&[release(1, 4, 900_000)]));
    assert_eq!(next, told);
    assert_eq!(
        PublishedBound::kept(None)
            .fallen(&progress(&[release(1, 4, 60_000)]))
            .time(),
        None
    );
}
