//! Counters and gauges of a node, in the OpenMetrics text form that Prometheus reads.
//!
//! Handles are atomics: cheap to clone, free of locks, safe to touch for each object. Labels have few values by
//! construction; there is none per viewer, per track or per address, because their number is in strangers' hands.

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::status::Transport;

type Label<V = &'static str> = [(&'static str, V); 1];

/// Bounds in seconds, 1 ms to 10 s: below is the noise of clocks, above is an outage.
const SECONDS: [f64; 13] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];

macro_rules! labels {
    ($(#[doc = $about:literal])+ pub enum $name:ident { $(#[doc = $doc:literal] $variant:ident = $text:literal,)+ }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = $doc] $variant,)+
        }

        impl $name {
            /// Value of the label.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

mod copies;
mod mesh;

pub use copies::Copies;
pub use mesh::{GossipWay, MeshMetrics, MisconductKind, RefusalReason};

labels! {
    /// Which way objects or subscriptions go, seen from this node.
    pub enum Direction {
        /// From the original publisher's side.
        Upstream = "upstream",
        /// To the end subscribers' side.
        Downstream = "downstream",
    }
}

labels! {
    /// What the other end of a session is to us.
    pub enum Role {
        /// It dialled us: publisher, subscriber or both.
        Client = "client",
        /// We dialled it.
        Server = "server",
        /// A node of the overlay.
        Neighbour = "neighbour",
    }
}

labels! {
    /// Why groups were not delivered, or not kept.
    pub enum DropReason {
        /// The subscriber was slower than the delivery timeout allows.
        DeliveryTimeout = "delivery_timeout",
        /// The subscriber fell behind by more than the limit.
        TooFarBehind = "too_far_behind",
        /// It left the cache: for want of room, or with age.
        CacheBudget = "cache_budget",
        /// An object of it was cut by its source, and there was no other copy.
        SourceReset = "source_reset",
    }
}

labels! {
    /// A limit that somebody ran into; the names are those of the configuration where there is one.
    pub enum LimitName {
        /// Sessions of the node.
        Sessions = "sessions",
        /// Sessions of one address.
        SessionsPerAddress = "sessions_per_address",
        /// Handshakes per second; newcomers had to prove their address.
        HandshakesPerSecond = "handshakes_per_second",
        /// A handshake that took too long.
        HandshakeTimeout = "handshake_timeout",
        /// Requests of one session.
        Requests = "requests",
        /// Payload that a subscription is behind.
        LagBytes = "lag_bytes",
        /// TCP connections to the page.
        WebConnections = "web_connections",
        /// TCP connections to the operator's interface.
        AdminConnections = "admin_connections",
    }
}

/// Objects and payload that went one way.
#[derive(Debug, Clone)]
pub struct Flow {
    objects: Counter,
    payload: Counter,
}

impl Flow {
    /// Counts one object with this many bytes of payload.
    pub fn object(&self, payload_bytes: u64) {
        self.add(1, payload_bytes);
    }

    /// Counted so far.
    pub fn read(&self) -> crate::status::Volume {
        crate::status::Volume {
            objects: self.objects.get(),
            bytes: self.payload.get(),
        }
    }

    /// Counts several at once, where batches are at hand.
    pub fn add(&self, objects: u64, payload_bytes: u64) {
        self.objects.inc_by(objects);
        self.payload.inc_by(payload_bytes);
    }
}

/// Everything a node counts. One per node; share it in an `Arc`.
pub struct Metrics {
    registry: Registry,
    sessions: Family<[(&'static str, &'static str); 3], Gauge>,
    request_errors: Family<Label<u64>, Counter>,
    groups_dropped: Family<Label, Counter>,
    limit_hits: Family<Label, Counter>,
    /// Objects and payload received from upstream, duplicates included.
    pub received: Flow,
    /// Objects and payload sent downstream.
    pub sent: Flow,
    /// Subscriptions that we hold.
    pub upstream_subscriptions: Gauge,
    /// Subscriptions that we serve.
    pub downstream_subscriptions: Gauge,
    /// Payload in the cache.
    pub cache_bytes: Gauge,
    /// Seconds from the first byte of an object received to its first byte sent, per sampled object.
    pub hop_delay: Histogram,
    /// Seconds from SUBSCRIBE received to the first object sent.
    pub join: Histogram,
    /// Payload that came from several sources.
    pub copies: Copies,
    /// Of the mesh.
    pub mesh: MeshMetrics,
}

impl Metrics {
    /// Counters at zero. `version` goes into `moq_build_info`.
    pub fn new(version: &'static str) -> Self {
        let mut registry = Registry::default();
        let build = Info::new([("version", version), ("software", "headwater")]);
        registry.register("moq_build", "What this node runs", build);
        let sessions = Family::default();
        registry.register("moq_sessions", "Sessions now", sessions.clone());
        let subscriptions = Family::<Label, Gauge>::default();
        registry.register("moq_subscriptions", "Subscriptions now", subscriptions.clone());
        let objects = Family::<Label, Counter>::default();
        registry.register("moq_objects", "Objects carried", objects.clone());
        let payload = Family::<Label, Counter>::default();
        registry.register(
            "moq_payload_bytes",
            "Payload carried, without headers",
            payload.clone(),
        );
        let groups_dropped = Family::default();
        registry.register(
            "moq_groups_dropped",
            "Groups not delivered or not kept",
            groups_dropped.clone(),
        );
        let cache_bytes = Gauge::default();
        registry.register("moq_cache_bytes", "Payload in the cache", cache_bytes.clone());
        let request_errors = Family::default();
        registry.register(
            "moq_request_errors",
            "Requests that we refused, by code",
            request_errors.clone(),
        );
        let hop_delay = Histogram::new(SECONDS);
        registry.register(
            "moq_hop_delay_seconds",
            "From an object's arrival to its departure",
            hop_delay.clone(),
        );
        let join = Histogram::new(SECONDS);
        registry.register(
            "moq_join_seconds",
            "From a SUBSCRIBE to its first object",
            join.clone(),
        );
        let limit_hits = Family::default();
        registry.register(
            "moq_limit_hits",
            "Limits that somebody ran into",
            limit_hits.clone(),
        );

        let copies = Copies::new(&mut registry);
        let mesh = MeshMetrics::new(&mut registry);

        let way = |direction: Direction| [("direction", direction.as_str())];
        let flow = |direction| Flow {
            objects: objects.get_or_create_owned(&way(direction)),
            payload: payload.get_or_create_owned(&way(direction)),
        };
        Self {
            received: flow(Direction::Upstream),
            sent: flow(Direction::Downstream),
            upstream_subscriptions: subscriptions.get_or_create_owned(&way(Direction::Upstream)),
            downstream_subscriptions: subscriptions.get_or_create_owned(&way(Direction::Downstream)),
            registry,
            sessions,
            request_errors,
            groups_dropped,
            limit_hits,
            cache_bytes,
            hop_delay,
            join,
            copies,
            mesh,
        }
    }

    /// The gauge of sessions of this kind: `inc` it when one is set up, `dec` it when it ends. `draft` is the number of
    /// the draft that was agreed, such as "18".
    pub fn sessions(&self, transport: Transport, role: Role, draft: &'static str) -> Gauge {
        let transport = match transport {
            Transport::Quic => "quic",
            Transport::WebTransport => "webtransport",
        };
        self.sessions.get_or_create_owned(&[
            ("transport", transport),
            ("role", role.as_str()),
            ("draft", draft),
        ])
    }

    /// Counts a request that we refused. `code` must be one of ours, not one that a peer sent: it becomes a label.
    pub fn request_error(&self, code: u64) {
        self.request_errors.get_or_create(&[("code", code)]).inc();
    }

    /// Counts groups that were not delivered, or not kept.
    pub fn groups_dropped(&self, reason: DropReason, count: u64) {
        self.groups_dropped
            .get_or_create(&[("reason", reason.as_str())])
            .inc_by(count);
    }

    /// Counts that somebody ran into a limit.
    pub fn limit_hit(&self, limit: LimitName) {
        self.limit_hits.get_or_create(&[("limit", limit.as_str())]).inc();
    }

    /// OpenMetrics text.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail; were it to, half a text ends without "# EOF" and is refused by the reader.
        if encode(&mut text, &self.registry).is_err() {
            tracing::error!("cannot write the metrics");
        }
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use headwater_pubsub::track::CopyStats;

    use super::*;

    #[test]
    fn every_name_of_one_node_is_there() {
        let metrics = Metrics::new("1.2.3");
        metrics
            .sessions(Transport::WebTransport, Role::Client, "18")
            .inc();
        metrics.received.object(10);
        metrics.sent.add(2, 20);
        metrics.downstream_subscriptions.set(3);
        metrics.cache_bytes.set(99);
        metrics.groups_dropped(DropReason::TooFarBehind, 4);
        let copies = CopyStats {
            continued_objects: 1,
            held_bytes: 300,
            continued_bytes: 700,
            repeated_bytes: 300,
        };
        metrics.copies.add(&CopyStats::default(), &copies);
        metrics.request_error(0x10);
        metrics.limit_hit(LimitName::Requests);
        metrics.hop_delay.observe(0.003);
        metrics.join.observe(0.3);
        let text = metrics.to_text();
        for line in [
            "moq_build_info{version=\"1.2.3\",software=\"headwater\"} 1",
            "moq_sessions{transport=\"webtransport\",role=\"client\",draft=\"18\"} 1",
            "moq_subscriptions{direction=\"downstream\"} 3",
            "moq_subscriptions{direction=\"upstream\"} 0",
            "moq_objects_total{direction=\"upstream\"} 1",
            "moq_objects_total{direction=\"downstream\"} 2",
            "moq_payload_bytes_total{direction=\"upstream\"} 10",
            "moq_payload_bytes_total{direction=\"downstream\"} 20",
            "moq_groups_dropped_total{reason=\"too_far_behind\"} 4",
            "moq_cache_bytes 99",
            "moq_request_errors_total{code=\"16\"} 1",
            "moq_hop_delay_seconds_bucket{le=\"0.005\"} 1",
            "moq_join_seconds_count 1",
            "moq_limit_hits_total{limit=\"requests\"} 1",
            "moq_continued_objects_total 1",
            "moq_continued_bytes_total{part=\"held\"} 300",
            "moq_continued_bytes_total{part=\"added\"} 700",
            "moq_repeated_bytes_total 300",
            "# EOF",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
    }
}
