//! Every knob of a node: its unit, range, default and the reason for the default, in one place.
//!
//! The text above a field is its documentation here *and* the comment in the file that [`Config::commented_toml`]
//! writes, so the two cannot disagree. Defaults make a node that works on a desk and can stand in public.
//!
//! This module reads no file and no environment: the caller deserialises and then calls [`Config::validate`].

mod knob;
mod quantity;
mod secret;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::overlay::message::{MAX_ADDRESS, MAX_ADDRESSES, MAX_NODE_NAME};
use knob::{Knob, knobs};
pub use quantity::{QuantityError, format_bytes, format_duration, parse_bytes, parse_duration};
pub use secret::Secret;

/// A setting that cannot be used. The node has not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number, size or time outside its range.
    #[error("{key} = {value} is out of range: it must be from {least} to {most}")]
    Range {
        /// Name of the setting, with its table.
        key: &'static str,
        /// As it was given.
        value: String,
        /// Smallest accepted value.
        least: String,
        /// Largest accepted value.
        most: String,
    },
    /// Two settings that do not go together.
    #[error("{key}: {reason}")]
    Conflict {
        /// The setting to change.
        key: &'static str,
        /// Why, and what to do.
        reason: &'static str,
    },
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

const fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

knobs! {
    /// Settings of a node.
    "" => pub struct Config {
        /// Address and port: UDP for MoQ (raw QUIC and WebTransport), TCP for the page and the certificate hashes.
        /// The default listens on every interface, IPv4 included; 4443 needs no privileges.
        listen: SocketAddr = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 4443),
        /// Address and port of the operator's interface (health, metrics, API), or "off".
        /// The default is this machine only; anything else also needs admin_token.
        #[serde(deserialize_with = "quantity::address_or_off")]
        admin: Option<SocketAddr> = Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 4480)),
        /// Bearer token of the operator's interface, at least 8 characters; asked for whenever it is set.
        /// Empty by default: on a loopback address whoever is on the machine is the operator.
        #[serde(deserialize_with = "quantity::non_empty")]
        admin_token: Option<Secret> = None,
        /// Directory of the node's key and certificates, and of its place in a mesh.
        /// Empty: $XDG_STATE_HOME/headwater, else ~/.local/state/headwater.
        #[serde(deserialize_with = "quantity::non_empty")]
        state_dir: Option<PathBuf> = None,
        /// Certificate chain in PEM, the node's own first; read again when it changes. Needs key.
        /// Empty: short-lived certificates from the node's own key, which clients pin. A mesh does without: see state_dir.
        #[serde(deserialize_with = "quantity::non_empty")]
        cert: Option<PathBuf> = None,
        /// Private key in PEM that belongs to cert.
        #[serde(deserialize_with = "quantity::non_empty")]
        key: Option<PathBuf> = None,
        /// More names (DNS or IP addresses) for the node's own certificate, beside localhost, 127.0.0.1 and ::1.
        /// Only clients that check names need them; a pinned key is accepted under any name.
        tls_names: Vec<String> = Vec::new(),
        /// Who shows this token may publish from anywhere, at least 8 characters.
        /// Empty: only programs on this machine (and members of the mesh) may publish, unless public is set.
        #[serde(deserialize_with = "quantity::non_empty")]
        publish_token: Option<Secret> = None,
        /// An invite to a mesh, as moq mesh invite prints it; moq relay also takes @FILE, or - for stdin.
        /// Used once, when the node is in no mesh yet or its membership has ended.
        /// Empty: the node stays what its state directory says.
        #[serde(deserialize_with = "quantity::non_empty")]
        join: Option<Secret> = None,
        /// Nodes of the mesh to keep a session with, as moqt://HOST:PORT or HOST:PORT.
        /// Empty: those that the node learns of, the one that invited it first.
        peers: Vec<String> = Vec::new(),
        /// What the node is called in status, traces and the view of the whole mesh, at most 64 bytes.
        /// Empty: its machine's name without the domain. Members read it, and whoever may read the redacted view.
        name: String = String::new(),
        /// Where other nodes of the mesh can dial this one, as HOST:PORT; at most 8, best first.
        /// Empty: nobody is told, and only nodes that it dialled itself are its neighbours.
        advertise: Vec<String> = Vec::new(),
        /// What a hop through this node costs others, as distance: traffic prefers other ways up to that much longer.
        /// None, because a mesh of friends shares what it has.
        #[serde(deserialize_with = "quantity::duration")]
        price: Duration = Duration::ZERO, in Duration::ZERO..=secs(1),
        /// Whether everybody may publish. Off, because an open relay carries whatever strangers send.
        public: bool = false,
        /// Whether everybody may read the overlay's redacted view. Off, because it tells who is connected to whom.
        public_overlay: bool = false,
        /// Other nodes that a page may turn to when this one ends, as https://HOST:PORT/, best first; at most 16 are told of.
        /// Behind it #sha256=HASH, as in its /certificate.sha256, if browsers are to pin its certificate. Everybody may read them.
        alternates: Vec<String> = Vec::new(),
        /// Network threads, each with its own socket on the port and its own sessions; 0 means one per core.
        /// One per core gave the best throughput; a session never moves between threads.
        threads: u32 = 0, in 0..=256,
        /// How long sessions may take to leave after the first SIGTERM or ctrl-C; a second one ends at once.
        /// Long enough to finish a group and to follow the GOAWAY, short enough for a service manager.
        #[serde(deserialize_with = "quantity::duration")]
        drain: Duration = secs(10), in Duration::ZERO..=secs(600),
        /// How long a track stays subscribed upstream after its last subscriber left.
        /// A viewer who switches back and forth does not cost a round trip each time.
        #[serde(deserialize_with = "quantity::duration")]
        upstream_linger: Duration = secs(2), in Duration::ZERO..=secs(60),
        /// What is kept of tracks for late and repeated readers.
        cache: CacheConfig = CacheConfig::default(),
        /// What other ends may ask of this node.
        limits: Limits = Limits::default(),
    }
}

knobs! {
    /// What is kept of tracks. The oldest groups of the least used tracks leave first.
    "cache." => pub struct CacheConfig {
        /// Payload kept per node; the floor below may exceed it for a moment.
        /// Holds some 200 s of video at 10 Mbit/s, spread over all tracks. At least limits.lag_bytes.
        #[serde(deserialize_with = "quantity::bytes")]
        bytes: u64 = 256 * MIB, in MIB..=1024 * GIB,
        /// Groups of each track that are kept in any case.
        /// Two, so that there is a whole group to join at while the newest is still growing.
        min_groups: u32 = 2, in 1..=1024,
        /// Age up to which groups of each track are kept in any case.
        /// Covers the switch to another upstream and a subscriber's reconnect.
        #[serde(deserialize_with = "quantity::duration")]
        min_age: Duration = secs(4), in Duration::ZERO..=secs(3600),
    }
}

knobs! {
    /// What other ends may open, send or ask for. A limit that is reached is counted in `moq_limit_hits_total`.
    "limits." => pub struct Limits {
        /// Sessions at one time. An idle one costs about 64 KiB, so the default is worth 256 MiB.
        sessions: u32 = 4096, in 1..=1_000_000,
        /// Sessions at one time from one IP address; this machine's own are not counted.
        /// A whole office behind one address fits, one flooding machine does not take all.
        sessions_per_address: u32 = 256, in 1..=1_000_000,
        /// Handshakes per second beyond which newcomers must first prove their address (QUIC Retry).
        /// A core manages about 2000; proving costs the honest one round trip.
        handshakes_per_second: u32 = 200, in 1..=100_000,
        /// Time for the QUIC or TLS handshake, WebTransport CONNECT and SETUP together.
        #[serde(deserialize_with = "quantity::duration")]
        handshake_timeout: Duration = secs(5), in millis(100)..=secs(60),
        /// Silence after which the other end is taken for dead.
        /// Three lost keep-alives in a row; players reconnect before their viewer does.
        #[serde(deserialize_with = "quantity::duration")]
        idle_timeout: Duration = secs(10), in secs(1)..=secs(600),
        /// Interval of keep-alives on a quiet session; must be shorter than idle_timeout.
        #[serde(deserialize_with = "quantity::duration")]
        keep_alive: Duration = secs(3), in millis(100)..=secs(300),
        /// Bytes that one client may have on the way to us, unread, over all its streams.
        /// 8 MiB carry 320 Mbit/s over 200 ms, and bound what a stranger can make us hold.
        #[serde(deserialize_with = "quantity::bytes")]
        receive_window: u64 = 8 * MIB, in 64 * KIB..=GIB,
        /// The same for a neighbour of the overlay, which carries many tracks at once.
        #[serde(deserialize_with = "quantity::bytes")]
        neighbour_receive_window: u64 = 64 * MIB, in 64 * KIB..=4 * GIB,
        /// The same for one stream; at most receive_window.
        #[serde(deserialize_with = "quantity::bytes")]
        stream_receive_window: u64 = 2 * MIB, in 16 * KIB..=GIB,
        /// Bytes sent to one end and not yet acknowledged; the memory that a slow one can hold.
        #[serde(deserialize_with = "quantity::bytes")]
        send_window: u64 = 4 * MIB, in 64 * KIB..=GIB,
        /// Bytes kept of a session before its SETUP, and of streams whose track alias is not known yet.
        #[serde(deserialize_with = "quantity::bytes")]
        pending_bytes: u64 = 64 * KIB, in KIB..=16 * MIB,
        /// Datagram bytes waiting to be sent to one end; the oldest are dropped beyond.
        /// About a second of several audio tracks: older audio is of no use.
        #[serde(deserialize_with = "quantity::bytes")]
        datagram_bytes: u64 = 128 * KIB, in 2 * KIB..=16 * MIB,
        /// Unidirectional streams that a subscriber may have open. Each costs 48 bytes from the start, and it needs few.
        subscriber_uni_streams: u32 = 64, in 3..=65_536,
        /// The same for an end that publishes: a stream for each live subgroup of each of its tracks.
        publisher_uni_streams: u32 = 1024, in 3..=65_536,
        /// Requests (subscriptions, fetches, publications, namespaces) that one session may have open. It is allowed 32 at first
        /// and more as it uses them, since each costs some 100 bytes whether it is used or not.
        requests: u32 = 1024, in 1..=65_536,
        /// Payload that a subscription may be behind its track before it ends with TOO_FAR_BEHIND.
        /// Some 12 s of video at 20 Mbit/s; a delivery timeout drops single objects earlier. At most cache.bytes.
        #[serde(deserialize_with = "quantity::bytes")]
        lag_bytes: u64 = 32 * MIB, in 64 * KIB..=GIB,
        /// Longest time that a SUBSCRIBE may wait for a publisher that is not there yet (RENDEZVOUS_TIMEOUT).
        #[serde(deserialize_with = "quantity::duration")]
        rendezvous: Duration = secs(60), in Duration::ZERO..=secs(3600),
        /// TCP connections at one time to the page, and as many again to the operator's interface.
        tcp_connections: u32 = 256, in 1..=65_536,
    }
}

impl Config {
    /// Checks ranges and whether the settings go together.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check()?;
        let conflict = |key, reason| Err(ConfigError::Conflict { key, reason });
        if self.cert.is_some() != self.key.is_some() {
            return conflict(
                "cert",
                "a certificate and its key go together: give both cert and key, or neither",
            );
        }
        if self.admin_token.is_none()
            && self
                .admin
                .is_some_and(|address| !address.ip().to_canonical().is_loopback())
        {
            return conflict(
                "admin",
                "an address that is not of this machine lets strangers in: set admin_token, or use 127.0.0.1",
            );
        }
        if self.limits.lag_bytes > self.cache.bytes {
            return conflict(
                "limits.lag_bytes",
                "what a subscription may be behind has to fit into the cache: raise cache.bytes, or lower limits.lag_bytes",
            );
        }
        for (key, token) in [
            ("admin_token", &self.admin_token),
            ("publish_token", &self.publish_token),
        ] {
            if token.as_ref().is_some_and(|token| token.len() < Secret::MIN_LEN) {
                return conflict(key, "a token needs at least 8 characters, else it can be guessed");
            }
        }
        if self.name.len() > MAX_NODE_NAME || self.name.contains(char::is_control) {
            return conflict("name", "give at most 64 bytes, without control characters");
        }
        if self.advertise.len() > MAX_ADDRESSES || !self.advertise.iter().all(|address| is_address(address)) {
            return conflict("advertise", "give at most 8 addresses, each as HOST:PORT");
        }
        if self.limits.keep_alive >= self.limits.idle_timeout {
            return conflict(
                "limits.keep_alive",
                "must be shorter than idle_timeout, else quiet sessions die",
            );
        }
        if self.limits.stream_receive_window > self.limits.receive_window {
            return conflict(
                "limits.stream_receive_window",
                "cannot be larger than receive_window",
            );
        }
        Ok(())
    }

    /// A TOML file that says everything and changes nothing: each knob with its documentation and, behind a `#`, its
    /// default.
    pub fn commented_toml() -> String {
        let mut text = String::from(
            "# Settings of a Headwater node. Lines that start with # show the defaults: remove the # to change one.\n\
             # Flags and HEADWATER_* environment variables win over this file.\n\
             # Sizes: \"64KiB\", \"256MiB\", \"1GiB\" or bytes. Times: \"250ms\", \"5s\", \"10m\", \"1h\".\n",
        );
        Self::default().write(&mut text);
        text
    }
}

/// Whether others could dial this: HOST:PORT, short.
fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let odd = |c: char| c.is_whitespace() || c.is_control() || "/?#@\\".contains(c);
        !host.is_empty()
            && text.len() < MAX_ADDRESS / 2
            && !host.contains(odd)
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

#[cfg(test)]
mod tests;
