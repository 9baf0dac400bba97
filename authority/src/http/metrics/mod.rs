//! Measurements. What a request changes is counted as it happens; what the database knows is looked up when somebody asks.

mod labels;
mod look;
mod process;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
use tidegate_proto::{RevocationKind, Span};

use super::gate;
use labels::{Answer, Code, Event, Kind, Outcome, Route, Status, Version, Why};

/// A gauge that holds a fraction.
type Real = Gauge<f64, AtomicU64>;
/// A family of histograms.
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

macro_rules! metrics {
    ($($field:ident: $type:ty = $name:literal, $help:literal $(, $make:expr)?;)*) => {
        /// Everything that is measured.
        pub struct Metrics {
            registry: Registry,
            $($field: $type,)*
        }

        impl Metrics {
            /// Nothing measured yet.
            pub(super) fn new() -> Self {
                let mut registry = Registry::with_prefix("tidegate");
                $(let $field: $type = registered(&mut registry, $name, $help, metrics!(@make $($make)?));)*
                let metrics = Self { registry, $($field,)* };
                metrics.begin();
                metrics
            }

            /// The table of all series, as METRICS.md has it.
            pub fn table() -> String {
                let mut table = String::from("| series | meaning |\n| --- | --- |\n");
                $(table.push_str(concat!("| `tidegate_", $name, "` | ", $help, " |\n"));)*
                table
            }
        }
    };
    (@make) => { Default::default() };
    (@make $make:expr) => { $make };
}

metrics! {
    build: Family<Version, Gauge> = "build_info", "The program's version; always 1";
    started: Gauge = "start_time_seconds", "When the process began, in seconds since 1970";
    memory: Gauge = "resident_memory_bytes", "Memory that the process holds";
    cpu: Real = "cpu_seconds", "Processor time that the process has used";
    files: Gauge = "open_files", "Files and sockets that are open";
    requests: Family<Answer, Counter> = "http_requests", "Requests, by route, method and status";
    request_seconds: Histograms<Route> = "http_request_seconds", "Time to the head of the answer, by route",
        Histograms::new_with_constructor(|| Histogram::new(LATENCIES));
    refusals: Family<Code, Counter> = "http_refusals", "Refusals, by code";
    limited: Family<Kind, Counter> = "rate_limited", "Requests beyond a source's share, by kind of limit";
    connections: Gauge = "connections", "Connections that are open";
    connections_opened: Counter = "connections_opened", "Connections that were accepted";
    connections_refused: Family<Why, Counter> = "connections_refused", "Connections that were closed at once, by reason";
    handshakes_failed: Family<Why, Counter> = "tls_handshakes_failed", "TLS handshakes that failed, by reason";
    handshake_seconds: Histogram = "tls_handshake_seconds", "Time that a TLS handshake takes", Histogram::new(LATENCIES);
    streams: Family<Kind, Gauge> = "streams", "Streams that are open, by door";
    streams_opened: Family<Kind, Counter> = "streams_opened", "Streams that were opened, by door";
    streams_resumed: Family<Kind, Counter> = "streams_resumed", "Streams that were opened behind an event, by door";
    streams_ended: Family<Kind, Counter> = "streams_ended", "Streams that ended, by door";
    stream_events: Family<Event, Counter> = "stream_events", "Events that were sent, by kind";
    stream_bytes: Counter = "stream_bytes", "Bytes of events that were sent";
    nodes: Family<Status, Gauge> = "nodes", "Nodes, by how they stand";
    enrollments: Family<Outcome, Counter> = "enrollments", "Enrolments, by outcome";
    renewals: Counter = "renewals", "Certificates that were renewed";
    heartbeats: Counter = "heartbeats", "Heartbeats";
    records: Counter = "peer_records", "Peer records that were taken";
    receipts: Counter = "receipts", "Receipts that were taken";
    revocations: Family<Kind, Counter> = "revocations", "Nodes that were put out, for good or for now";
    revocations_open: Gauge = "revocations_open", "Revocations that somebody may not have heard of";
    revocation_bound: Real = "revocation_bound_seconds", "Time until the last open revocation is complete by its bound";
    cut_off: Histogram = "time_to_cutoff_seconds", "Time from a revocation until nobody honest talked to the node",
        Histogram::new(CUT_OFFS);
    list: Gauge = "revocation_list_sequence", "The revocation list in force";
    policy: Gauge = "policy_version", "The policy in force; 0 while there is none";
    epoch: Gauge = "epoch", "The number of the epoch in force";
    epoch_left: Real = "epoch_left_seconds", "Time until the epoch in force ends";
    epoch_grants: Gauge = "epoch_grants", "Nodes that hold a grant of the epoch in force";
    grants: Counter = "grants_released", "Grants that were released";
    audit: Gauge = "audit_sequence", "The last record of the audit log";
    commits: Gauge = "database_commits", "Commits since the process began; many changes share one";
    genesis: Gauge = "genesis_revision", "The genesis revision in force";
    ready: Gauge = "ready", "Whether the authority can work, as of the last look";
}

const LATENCIES: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];
const CUT_OFFS: [f64; 12] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 7200.0,
];

fn registered<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// Every series is there from the beginning, if at zero: what has not happened yet is not unknown.
    fn begin(&self) {
        self.answered("/healthz", "GET", 200, Duration::ZERO);
        for code in ["unsigned", "too-many-requests"] {
            self.refusals.get_or_create(&Code { code }).inc_by(0);
        }
        for kind in gate::Kind::ALL {
            let kind = kind.as_str();
            self.limited.get_or_create(&Kind { kind }).inc_by(0);
        }
        for why in ["too-many", "too-many-from-source"] {
            self.connections_refused
                .get_or_create(&Why { why })
                .inc_by(0);
        }
        for why in ["not-tls", "protocol", "connection", "too-slow"] {
            self.handshakes_failed.get_or_create(&Why { why }).inc_by(0);
        }
        for kind in ["node", "operator"] {
            let kind = Kind { kind };
            self.streams.get_or_create(&kind).set(0);
            self.streams_opened.get_or_create(&kind).inc_by(0);
            self.streams_resumed.get_or_create(&kind).inc_by(0);
            self.streams_ended.get_or_create(&kind).inc_by(0);
        }
        for event in ["list", "roster", "grant"] {
            self.stream_events.get_or_create(&Event { event }).inc_by(0);
        }
        for outcome in ["admitted", "pending", "approved", "denied"] {
            self.enrollments
                .get_or_create(&Outcome { outcome })
                .inc_by(0);
        }
        for kind in ["revoked", "suspended"] {
            self.revocations.get_or_create(&Kind { kind }).inc_by(0);
        }
    }

    /// The measurements as text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            tracing::error!("the measurements cannot be written"); // a text takes all that is written to it
        }
        text
    }

    pub(super) fn answered(&self, route: &'static str, method: &str, status: u16, took: Duration) {
        let known = ["GET", "POST", "PUT", "DELETE", "HEAD"].contains(&method);
        let answer = Answer {
            route,
            method: if known { method } else { "other" }.to_owned(),
            status,
        };
        self.requests.get_or_create(&answer).inc();
        self.request_seconds
            .get_or_create(&Route { route })
            .observe(took.as_secs_f64());
    }

    pub(super) fn refused(&self, code: &'static str) {
        self.refusals.get_or_create(&Code { code }).inc();
    }

    pub(super) fn limited(&self, kind: &'static str) {
        self.limited.get_or_create(&Kind { kind }).inc();
    }

    pub(super) fn enrolled(&self, outcome: &'static str) {
        self.enrollments.get_or_create(&Outcome { outcome }).inc();
    }

    pub(super) fn renewed(&self) {
        self.renewals.inc();
    }

    pub(super) fn heard(&self) {
        self.heartbeats.inc();
    }

    pub(super) fn recorded(&self) {
        self.records.inc();
    }

    pub(super) fn confirmed(&self) {
        self.receipts.inc();
    }

    pub(super) fn put_out(&self, kind: RevocationKind) {
        let kind = match kind {
            RevocationKind::Revoked => "revoked",
            RevocationKind::Suspended => "suspended",
        };
        self.revocations.get_or_create(&Kind { kind }).inc();
    }

    pub(super) fn stream_opened(&self, door: &'static str, resumed: bool) {
        let kind = Kind { kind: door };
        self.streams.get_or_create(&kind).inc();
        self.streams_opened.get_or_create(&kind).inc();
        if resumed {
            self.streams_resumed.get_or_create(&kind).inc();
        }
    }

    pub(super) fn stream_ended(&self, door: &'static str) {
        let kind = Kind { kind: door };
        self.streams.get_or_create(&kind).dec();
        self.streams_ended.get_or_create(&kind).inc();
    }

    pub(super) fn streamed(&self, event: &'static str, bytes: usize) {
        self.stream_events.get_or_create(&Event { event }).inc();
        self.stream_bytes.inc_by(bytes as u64);
    }

    /// Counts what the feed tells: grants, and how long a cut-off took.
    pub(crate) fn granted(&self, nodes: usize) {
        self.grants.inc_by(nodes as u64);
    }

    pub(crate) fn cut_off(&self, after: Span) {
        self.cut_off.observe(after.as_millis() as f64 / 1000.0);
    }

    pub(crate) fn connected(&self) {
        self.connections.inc();
        self.connections_opened.inc();
    }

    pub(crate) fn disconnected(&self) {
        self.connections.dec();
    }

    pub(crate) fn connection_refused(&self, why: &'static str) {
        self.connections_refused.get_or_create(&Why { why }).inc();
    }

    pub(crate) fn handshake_failed(&self, why: &'static str) {
        self.handshakes_failed.get_or_create(&Why { why }).inc();
    }

    pub(crate) fn handshake(&self, took: Duration) {
        self.handshake_seconds.observe(took.as_secs_f64());
    }

    pub(super) fn is_ready(&self, ready: bool) {
        self.ready.set(ready.into());
    }
}
