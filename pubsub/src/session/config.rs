//! What a session is made with: which end it is, over what, and what the peer may make it keep.

use std::time::Duration;

use crate::wire::Version;
use crate::wire::control::Setup;

/// Time since an arbitrary start, the same for all calls of one session; never goes back.
pub type Time = Duration;

/// Who opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// We did.
    Client,
    /// The peer did.
    Server,
}

impl Side {
    /// The other side.
    pub const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What carries the session; decides where PATH and AUTHORITY are legal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// QUIC, by ALPN.
    Quic,
    /// WebTransport over HTTP/3.
    WebTransport,
}

/// What a session is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which end we are.
    pub side: Side,
    /// What carries the session.
    pub transport: Transport,
    /// Version negotiated by the transport.
    pub version: Version,
    /// Our SETUP. MAX_AUTH_TOKEN_CACHE_SIZE is set from the limits if absent.
    pub setup: Setup,
    /// The SETUP option of an extension whose message parameters ([`EXTENSION_TYPES`](crate::wire::parameter::EXTENSION_TYPES))
    /// may be used once both SETUPs carry it; ours is put into [`Setup::extensions`] by the caller. `None`: they never may.
    pub extension: Option<u64>,
    /// What the peer may make us keep.
    pub limits: Limits,
}

/// Bounds on the state that a peer can cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long the peer's SETUP may take. Default 5 s: many round trips, but not a slot held by a silent peer.
    pub setup_timeout: Duration,
    /// Bytes kept of request streams that come before the peer's SETUP; beyond, these streams are reset. Default 64 KiB.
    pub early_bytes: usize,
    /// Request streams kept before the peer's SETUP. Default 64.
    pub early_requests: usize,
    /// Request streams of the peer that are open at a time; beyond, they are reset with EXCESSIVE_LOAD. Default 4096; the
    /// transport's limit on streams should be lower, since it makes the peer wait instead.
    pub open_requests: usize,
    /// Bytes of messages that are incomplete, or wait for another, over all request streams; beyond, streams are reset.
    /// Default 1 MiB.
    pub held_bytes: usize,
    /// REQUEST_UPDATEs of one request that wait for our answer; beyond, the request is reset. Default 32.
    pub pending_updates: usize,
    /// Shortest time after which a subscription that the peer limits by EXPIRES is extended. Default 100 ms: a peer that states
    /// less gets ten updates per second at most.
    pub extend_pause: Duration,
    /// Namespaces under one SUBSCRIBE_NAMESPACE, either way; beyond, ours is cancelled. Default 16384.
    pub namespaces: usize,
    /// Bytes of namespaces under one SUBSCRIBE_NAMESPACE, either way; beyond, ours is cancelled. Default 2 MiB.
    pub namespace_bytes: usize,
    /// Track aliases remembered after their subscription ended. Default 256.
    pub ended_aliases: usize,
    /// Holes in the peer's Request IDs that are remembered. Default 1024.
    pub request_id_holes: usize,
    /// Streams kept after their request ended until the peer closes its half, to notice illegal messages. Default 64.
    pub lingering_requests: usize,
    /// Bytes of registered authorization tokens, counted as the draft does. Default 4096.
    pub token_cache_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            setup_timeout: Duration::from_secs(5),
            early_bytes: 64 << 10,
            early_requests: 64,
            open_requests: 4096,
            held_bytes: 1 << 20,
            pending_updates: 32,
            extend_pause: Duration::from_millis(100),
            namespaces: 16_384,
            namespace_bytes: 2 << 20,
            ended_aliases: 256,
            request_id_holes: 1024,
            lingering_requests: 64,
            token_cache_bytes: 4096,
        }
    }
}
