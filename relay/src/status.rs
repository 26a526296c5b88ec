//! What a node tells about itself: plain values, copied out at the moment of asking.
//!
//! [`Inspect`] is the only door between the operator's interface and the node, so neither knows the other's parts.
//! Names of tracks are part of it; tokens, payload and end subscribers' names are not.

mod mesh;
pub mod path;

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::SystemTime;

use headwater_pubsub::wire::TrackNamespace;
use serde::Serialize;

pub use mesh::{
    AskError, CandidateStatus, Health, HopStatus, MeshStatus, NamespaceRoutes, NeighbourStatus, Opened,
    OriginRoutes, OverlayLink, OverlayNode, OverlayPull, OverlayStatus, RouteStatus, TraceOutcome,
    TraceStatus,
};

/// An answer that other nodes have a part in.
pub type Asking<T> = Pin<Box<dyn Future<Output = Result<T, AskError>> + Send>>;

/// How a session reaches us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// MoQ Transport straight over QUIC.
    Quic,
    /// MoQ Transport in a WebTransport session over HTTP/3.
    WebTransport,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SessionStatus {
    /// Number of the session in this node's life, as in its logs.
    pub id: u64,
    /// The other end's address, as seen from here.
    pub remote: SocketAddr,
    /// How it reaches us.
    pub transport: Transport,
    /// What the other end says it is (SETUP option MOQT_IMPLEMENTATION).
    pub implementation: Option<String>,
    /// When it was set up, in seconds since 1970.
    #[serde(rename = "since_unix", serialize_with = "unix_seconds")]
    pub since: SystemTime,
    /// Tracks that the other end receives from us.
    pub subscriptions: u64,
    /// Tracks that we receive from it.
    pub publications: u64,
    /// Objects and payload received from it.
    pub received: Volume,
    /// Objects and payload sent to it.
    pub sent: Volume,
    /// Smoothed round-trip time in milliseconds, if measured.
    pub rtt_ms: Option<f64>,
}

/// One track that has a subscriber, a publisher or something in the cache.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrackStatus {
    /// Full track name in the draft's display form.
    pub name: String,
    /// Subscriptions that we serve.
    pub subscribers: u64,
    /// Sessions that it comes from, at the moment.
    pub publishers: u64,
    /// The node where it is published, if this node is in a mesh.
    pub origin: Option<String>,
    /// Neighbours that it is pulled from: their ids.
    pub upstreams: Vec<String>,
    /// Neighbours that pull it from here: their ids.
    pub children: Vec<String>,
    /// Largest location known, absent before the first object.
    pub largest: Option<LocationStatus>,
    /// Groups of which at least one object is in the cache.
    pub groups_cached: u64,
    /// Payload in the cache.
    pub bytes_cached: u64,
    /// Objects and payload received since the track is known here, without duplicates.
    pub received: Volume,
}

/// Group and object, the draft's Location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LocationStatus {
    /// Group ID.
    pub group: u64,
    /// Object ID within it.
    pub object: u64,
}

/// The node as a whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeStatus {
    /// What people call it; may be empty.
    pub name: String,
    /// Version of this software.
    pub version: String,
    /// Hash of the node's public key, 64 hex digits; absent if certificate files were given.
    pub fingerprint: Option<String>,
    /// Its place in a mesh, if it is in one.
    pub mesh: Option<MeshStatus>,
    /// Addresses it listens on.
    pub listen: Vec<SocketAddr>,
    /// When it started, in seconds since 1970.
    #[serde(rename = "since_unix", serialize_with = "unix_seconds")]
    pub since: SystemTime,
    /// Sessions now.
    pub sessions: u64,
    /// Tracks now.
    pub tracks: u64,
    /// Payload in the cache.
    pub cache_bytes: u64,
    /// Payload that the cache may hold.
    pub cache_capacity: u64,
    /// Objects and payload received from all sessions.
    pub received: Volume,
    /// Objects and payload sent to all sessions.
    pub sent: Volume,
}

/// Objects and the bytes of their payload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// Number of objects.
    pub objects: u64,
    /// Bytes of payload, without headers and properties.
    pub bytes: u64,
}

/// Where a node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Not listening yet.
    Starting,
    /// Serving.
    Ready,
    /// Told to stop: new sessions are refused, the others leave.
    Draining,
}

/// A node that can be asked how it is. Answers are snapshots and may be a moment apart from each other.
pub trait Inspect: Send + Sync {
    /// Every session, in order of its id.
    fn sessions(&self) -> Vec<SessionStatus>;
    /// Every track, in order of its name.
    fn tracks(&self) -> Vec<TrackStatus>;
    /// The node as a whole.
    fn node(&self) -> NodeStatus;
    /// Where it is in its life.
    fn phase(&self) -> Phase;
    /// The neighbours, in order of their sessions; none without a mesh.
    fn neighbours(&self) -> Vec<NeighbourStatus>;
    /// The route to each origin that is known, in order of their ids; none without a mesh.
    fn routes(&self) -> Vec<RouteStatus>;
    /// How a namespace is reached, and why so.
    ///
    /// # Errors
    /// See [`AskError`].
    fn route(&self, namespace: &TrackNamespace) -> Result<NamespaceRoutes, AskError>;
    /// The path by which a namespace comes here. Takes seconds if a node on it does not answer.
    fn trace(&self, namespace: &TrackNamespace) -> Asking<TraceStatus>;
    /// The whole mesh, redacted. Takes seconds if a node does not answer.
    fn overlay(&self) -> Asking<OverlayStatus>;

    /// Whether it takes new sessions.
    fn ready(&self) -> bool {
        self.phase() == Phase::Ready
    }

    /// Whether it was told to stop.
    fn draining(&self) -> bool {
        self.phase() == Phase::Draining
    }
}

fn unix_seconds<S: serde::Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    to.serialize_u64(since.as_secs())
}
