//! What a node counts of its mesh.

use std::time::Duration;

use headwater_certs::mesh::{CertificateError, ProofError, Refusal};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Label, SECONDS};
use crate::overlay::core::Misconduct;
use crate::overlay::health::Health;
use crate::overlay::routes::Cause;
use crate::overlay::upstream::Why;

labels! {
    /// What a neighbour, or somebody who wanted to be one, did wrong.
    pub enum MisconductKind {
        /// No proof of a node's identity, or one that is not accepted.
        Proof = "proof",
        /// Unreadable gossip, or records in the wrong order.
        Gossip = "gossip",
        /// A forged or unvouched record of an origin.
        Forged = "forged",
        /// A row or request that the routes do not take.
        Route = "route",
        /// A log that is not taken.
        Log = "log",
        /// Too many records of a kind.
        Flood = "flood",
        /// Two nodes run with one key.
        ClonedKey = "cloned_key",
    }
}

labels! {
    /// Why somebody was not let in, or a session not kept.
    pub enum RefusalReason {
        /// An invite or certificate is not valid now.
        Expired = "expired",
        /// Another node has used the invite.
        Used = "used",
        /// The node was revoked.
        Revoked = "revoked",
        /// A certificate or invite that this mesh's authority did not sign, or another mesh's.
        Foreign = "foreign",
        /// A signature with another key, or for another connection.
        BadProof = "bad_proof",
        /// Bytes that make no sense.
        Malformed = "malformed",
        /// The authority remembers no more members or invites.
        Full = "full",
        /// The authority cannot write its files.
        Unavailable = "unavailable",
        /// The authority is not at this node.
        NoAuthority = "no_authority",
        /// More requests at once than are taken.
        Busy = "busy",
        /// This node itself, dialled by way of another address.
        Itself = "itself",
        /// There is another session with the same node.
        Second = "second_session",
        /// More nodes to dial than may wait for it.
        Dials = "dials",
    }
}

labels! {
    /// Which way gossip went.
    pub enum GossipWay {
        /// To neighbours.
        Sent = "sent",
        /// From neighbours.
        Received = "received",
    }
}

impl MisconductKind {
    /// The kind of what the overlay found.
    pub const fn of(misconduct: &Misconduct) -> Self {
        match misconduct {
            Misconduct::Gossip(_) | Misconduct::Hello | Misconduct::Digest => Self::Gossip,
            Misconduct::Impostor => Self::Proof,
            Misconduct::Forged(_) | Misconduct::Unvouched(_) | Misconduct::Credential(_) => Self::Forged,
            Misconduct::Route(_) => Self::Route,
            Misconduct::Log(_) => Self::Log,
            Misconduct::Flood(_) => Self::Flood,
        }
    }
}

impl RefusalReason {
    /// What the authority said.
    pub const fn of(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Expired => Self::Expired,
            Refusal::Used => Self::Used,
            Refusal::Revoked => Self::Revoked,
            Refusal::Foreign | Refusal::Forged => Self::Foreign,
            Refusal::BadProof => Self::BadProof,
            Refusal::Full => Self::Full,
            Refusal::Unavailable => Self::Unavailable,
            _ => Self::Malformed,
        }
    }

    /// What was wrong with a proof of membership.
    pub const fn of_proof(error: &ProofError) -> Self {
        match error {
            ProofError::Malformed(_) => Self::Malformed,
            ProofError::Certificate(CertificateError::Expired | CertificateError::NotYet) => Self::Expired,
            ProofError::Certificate(_) => Self::Foreign,
            ProofError::Revoked(_) => Self::Revoked,
            _ => Self::BadProof,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct MeshMetrics {
    /// Neighbours now.
    pub neighbours: Gauge,
    /// Nodes of which two run with one key.
    pub cloned: Gauge,
    misconduct: Family<Label, Counter>,
    refusals: Family<Label, Counter>,
    switches: Family<Label, Counter>,
    pulls: Family<Label, Counter>,
    detections: Family<Label, Counter>,
    detection_seconds: Histogram,
    gossip: Family<Label, Counter>,
    /// Times that an origin was wanted and no route to it was left.
    pub starvations: Counter,
}

impl MeshMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            neighbours: Gauge::default(),
            cloned: Gauge::default(),
            misconduct: Family::default(),
            refusals: Family::default(),
            switches: Family::default(),
            pulls: Family::default(),
            detections: Family::default(),
            detection_seconds: Histogram::new(SECONDS),
            gossip: Family::default(),
            starvations: Counter::default(),
        };
        registry.register(
            "moq_neighbours",
            "Nodes of the mesh in session",
            metrics.neighbours.clone(),
        );
        registry.register(
            "moq_cloned_nodes",
            "Node keys that two nodes run with, this node's among them",
            metrics.cloned.clone(),
        );
        registry.register(
            "moq_neighbour_misconduct",
            "Gossip and proofs that were refused, by kind",
            metrics.misconduct.clone(),
        );
        registry.register(
            "moq_mesh_refusals",
            "Requests to join, proofs and sessions with nodes that were refused, by reason",
            metrics.refusals.clone(),
        );
        registry.register(
            "moq_route_changes",
            "Changes of a route to an origin, by cause",
            metrics.switches.clone(),
        );
        registry.register(
            "moq_pulls",
            "Subscriptions begun at neighbours, by reason",
            metrics.pulls.clone(),
        );
        registry.register(
            "moq_neighbour_health_changes",
            "Neighbours suspected, gone or well again",
            metrics.detections.clone(),
        );
        registry.register(
            "moq_detection_seconds",
            "Silence of a neighbour when it counted as gone",
            metrics.detection_seconds.clone(),
        );
        registry.register("moq_gossip_bytes", "Gossip carried", metrics.gossip.clone());
        registry.register(
            "moq_starvations",
            "Times that a wanted origin had no route left",
            metrics.starvations.clone(),
        );
        metrics
    }

    /// Counts what was refused.
    pub fn misconduct(&self, kind: MisconductKind) {
        self.misconduct.get_or_create(&[("kind", kind.as_str())]).inc();
    }

    /// Counts somebody who was not let in, or a session that was not kept.
    pub fn refused(&self, reason: RefusalReason) {
        self.refusals.get_or_create(&[("reason", reason.as_str())]).inc();
    }

    /// Counts a change of what is thought of a neighbour that was silent for so long.
    pub fn health(&self, health: Health, silence: Duration) {
        let label = match health {
            Health::Ok => "ok",
            Health::Suspect => "suspect",
            Health::Down => "down",
        };
        self.detections.get_or_create(&[("health", label)]).inc();
        if health == Health::Down {
            self.detection_seconds.observe(silence.as_secs_f64());
        }
    }

    /// Counts a subscription at a neighbour.
    pub fn pull(&self, why: Why) {
        let label = match why {
            Why::Route => "route",
            Why::Moving => "moving",
            Why::Hedge => "hedge",
            Why::Tentative => "tentative",
            Why::Retry => "retry",
            Why::Dropped | Why::Unwanted => return,
        };
        self.pulls.get_or_create(&[("reason", label)]).inc();
    }

    /// Counts a change of a route.
    pub fn route_changed(&self, cause: Cause) {
        let label = match cause {
            Cause::Row => "row",
            Cause::NeighbourDown => "neighbour_down",
            Cause::Cost => "cost",
            Cause::Better => "better",
            Cause::CaughtUp => "caught_up",
            Cause::Requested => "requested",
            Cause::Released => "released",
            Cause::Timer => "timer",
            Cause::Interest => "interest",
            Cause::Suspicion => "suspicion",
            Cause::Leaving => "leaving",
            Cause::Own => "own",
        };
        self.switches.get_or_create(&[("cause", label)]).inc();
    }

    /// Counts bytes of gossip.
    pub fn gossip(&self, way: GossipWay, bytes: u64) {
        self.gossip
            .get_or_create(&[("direction", way.as_str())])
            .inc_by(bytes);
    }
}
