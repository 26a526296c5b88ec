//! What a node tells of its mesh. Nodes are told by their whole ids, 64 hex digits.

use std::net::SocketAddr;
use std::time::SystemTime;

use headwater_pubsub::wire::TrackNamespace;
use serde::Serialize;

use super::path::path_of;
use super::unix_seconds;

/// This node's place in its mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MeshStatus {
    /// The mesh's id: the public key of its authority.
    pub id: String,
    /// This node's id: its public key.
    pub node: String,
    /// Of this boot: above all earlier ones.
    pub epoch: u64,
    /// Nodes, by their own word, whose key another node runs with too; this one among them if it is so.
    pub cloned: Vec<String>,
    /// When its certificate ends, in seconds since 1970.
    #[serde(rename = "expires_unix", serialize_with = "unix_seconds")]
    pub expires: SystemTime,
}

/// Who opened the connection to a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Opened {
    /// This node.
    Dialled,
    /// The neighbour.
    Accepted,
}

/// What is thought of a neighbour's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It is heard.
    Ok,
    /// It is silent for longer than it should be.
    Suspect,
    /// It counts as gone.
    Down,
}

/// One neighbour.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NeighbourStatus {
    /// Its id.
    pub node: String,
    /// Number of the session, as in [`SessionStatus`](super::SessionStatus).
    pub session: u64,
    /// Its address, as seen from here.
    pub remote: SocketAddr,
    /// Who opened the connection.
    pub opened: Opened,
    /// Since when it is a neighbour, in seconds since 1970.
    #[serde(rename = "since_unix", serialize_with = "unix_seconds")]
    pub since: SystemTime,
    /// What a hop to it costs, in microseconds.
    pub cost_us: u32,
    /// Smoothed round trip of the gossip's echoes in milliseconds, once measured.
    pub rtt_ms: Option<f64>,
    /// Part of the packets towards this node that is lost, 0 to 1.
    pub loss: f64,
    /// What is thought of its life.
    pub health: Health,
    /// Bytes of gossip sent to it.
    pub gossip_sent_bytes: u64,
    /// Bytes of gossip received from it.
    pub gossip_received_bytes: u64,
    /// Tracks that are pulled from it, in the draft's display form.
    pub pulled: Vec<String>,
}

/// The route to one origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteStatus {
    /// The origin's id.
    pub origin: String,
    /// Whether this node is the origin.
    pub here: bool,
    /// The neighbour that the route goes through.
    pub primary: Option<String>,
    /// Length of the route in microseconds; 0 at the origin.
    pub total_us: Option<u32>,
    /// Namespaces and tracks that it announces.
    pub entries: u64,
    /// Whether a track of it is wanted here.
    pub wanted: bool,
}

/// How a namespace is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamespaceRoutes {
    /// The namespace, its fields separated by slashes.
    pub namespace: String,
    /// Who announces it, the one that clients are served from first.
    pub origins: Vec<OriginRoutes>,
}

/// The ways to one origin of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OriginRoutes {
    /// The origin's id.
    pub origin: String,
    /// Whether this node is the origin.
    pub here: bool,
    /// The neighbour that the route goes through.
    pub primary: Option<String>,
    /// Length of the route in microseconds; 0 at the origin.
    pub total_us: Option<u32>,
    /// Why the route is this one, in a sentence.
    pub why: String,
    /// Every neighbour as a way there, the shortest first.
    pub candidates: Vec<CandidateStatus>,
}

/// One neighbour as a way to an origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CandidateStatus {
    /// The neighbour's id.
    pub node: String,
    /// Number of the session with it.
    pub session: u64,
    /// From it to the origin in microseconds; absent if it has no route.
    pub distance_us: Option<u32>,
    /// The hop to it.
    pub cost_us: u32,
    /// Both together.
    pub total_us: Option<u32>,
    /// Whether it can be used without danger of a cycle.
    pub feasible: bool,
    /// Whether it is silent for longer than it should be.
    pub suspect: bool,
    /// Whether it takes no new children.
    pub full: bool,
    /// What it is used for now: primary, pending, track, draining or tentative.
    pub role: Option<&'static str>,
}

/// The path by which a namespace comes to this node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TraceStatus {
    /// The namespace, its fields separated by slashes.
    pub namespace: String,
    /// The node where it is published, from which clients here are served.
    pub origin: String,
    /// How the trace ended.
    pub outcome: TraceOutcome,
    /// Costs of all hops that are known, in microseconds.
    pub total_us: u64,
    /// First this node, each as it tells itself.
    pub hops: Vec<HopStatus>,
}

/// How a trace ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceOutcome {
    /// The last hop is the origin.
    Reached,
    /// The last hop has no route.
    NoRoute,
    /// The upstream of the last hop did not answer.
    NoAnswer,
}

/// One hop of a trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HopStatus {
    /// The node.
    pub node: String,
    /// What it pulls from.
    pub upstream: Option<String>,
    /// What that hop costs, in microseconds.
    pub cost_us: Option<u32>,
    /// Round trip of that hop in milliseconds.
    pub rtt_ms: Option<f64>,
    /// For how long that has been the upstream, in milliseconds.
    pub since_ms: Option<u64>,
}

/// The whole mesh as its nodes tell of themselves: no addresses, of namespaces only hashes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OverlayStatus {
    /// The node that was asked.
    pub asked: String,
    /// In order of their ids.
    pub nodes: Vec<OverlayNode>,
}

/// One node of the mesh.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OverlayNode {
    /// Its id.
    pub node: String,
    /// What its operator calls it; may be empty.
    pub name: String,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Load of its busiest resource, 0 to 1.
    pub load: f64,
    /// Sessions with plain clients.
    pub clients: u64,
    /// Tracks that flow through it.
    pub tracks: u64,
    /// Its neighbours.
    pub links: Vec<OverlayLink>,
    /// From where the broadcasts come that it serves, most subscribed first.
    pub pulls: Vec<OverlayPull>,
}

/// One broadcast at a node of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OverlayPull {
    /// The short hash of its namespace, in hex: `docs/gossip.md`, STATUS_PULLS.
    pub hash: String,
    /// The neighbour's id that it is pulled from; none if it is published at the node.
    pub from: Option<String>,
}

/// One end's view of a link.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OverlayLink {
    /// The neighbour's id.
    pub node: String,
    /// What is thought of the neighbour's life.
    pub health: Health,
    /// What a hop to it costs, in microseconds.
    pub cost_us: u32,
    /// Round trip in milliseconds, once measured.
    pub rtt_ms: Option<f64>,
    /// Part of the neighbour's packets that is lost, 0 to 1.
    pub loss: f64,
}

/// Why a question about the mesh has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The node is in no mesh.
    #[error("this relay is in no mesh: make one with moq mesh create, or join one with an invite")]
    NoMesh,
    /// Nobody announces it.
    #[error("nobody in the mesh announces {}", path_of(.0))]
    NotAnnounced(TrackNamespace),
    /// Too many ask at once, or the node is about to stop.
    #[error("the relay has too many questions to answer, or is stopping: ask again in a moment")]
    Busy,
}
