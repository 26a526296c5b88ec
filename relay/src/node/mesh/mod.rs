//! The node's part in a mesh: what sessions, hub and overlay tell each other.
//!
//! The overlay decides and lives beside the hub behind the node's lock. Here are its hands: [`dial`] keeps sessions to other
//! nodes, [`greet`] proves and checks who they are, [`keyring`] knows what the authority signed and [`standing`] keeps that fresh,
//! [`gossip`] carries its track both ways, [`pulse`] watches links and media.

mod apply;
mod ask;
pub(crate) mod chores;
pub(super) mod dial;
pub(super) mod gossip;
mod greet;
mod keyring;
mod parameters;
mod peers;
mod petition;
mod pulls;
pub(super) mod pulse;
pub(super) mod renew;
pub(super) mod standing;
mod start;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use headwater_certs::StateDir;
use headwater_certs::mesh::{Membership, VerifiedNode};
use headwater_pubsub::net::ObjectReceiver;
use headwater_pubsub::session::RequestKey;
use headwater_pubsub::track::Source;
use headwater_pubsub::wire::control::Setup;
use headwater_pubsub::wire::{FullTrackName, Location, Properties, TrackName, TrackNamespace};
use tokio::sync::Notify;
use url::Url;

use crate::config::Config;
use crate::hub::{SessionId, TrackId};
use crate::overlay::core::{self as overlay, Feed, Overlay};
use crate::overlay::health::{Detector, Keeper};
use crate::overlay::id::{Neighbour, NodeId};
use crate::overlay::message::{PeerRecord, Roles};

pub(crate) use apply::repin;
pub(crate) use greet::{leaving, reject};
use keyring::Keyring;
pub(crate) use parameters::{Asked, resume};
use start::AuthorityOffice;
pub use start::JoinError;

/// SETUP option by which both sides of a session say that they speak gossip; its value is the version.
pub(super) const OPTION: u64 = 0x4857_0100;

/// A node's mesh, as the tasks around the lock see it.
pub(crate) struct Mesh {
    membership: Mutex<Arc<Membership>>,
    /// What the authority has signed.
    pub(super) keyring: Arc<Keyring>,
    /// Where members are admitted, if that is this node.
    pub(super) office: Option<AuthorityOffice>,
    /// Nodes to keep a session with.
    pub(super) peers: Vec<Url>,
    /// Wakes the task that dials.
    pub(super) dials_due: Notify,
    dir: StateDir,
}

/// The mesh behind the lock.
pub(crate) struct MeshState {
    pub(super) overlay: Overlay,
    /// Who waits for answers of the mesh.
    asks: ask::Asks,
    /// What has to be fed to the overlay.
    pub(super) inputs: VecDeque<overlay::Input>,
    /// What each track of the mesh is fed by. A source of our own beside them keeps the track expecting more while there is
    /// none for a moment.
    pub(super) pulls: BTreeMap<TrackId, Pulled>,
    /// What subscriptions at neighbours are for, while they last.
    pub(super) feeds: HashMap<(TrackId, SessionId), Feed>,
    /// Nodes to dial beside those that were named; there is room for a few.
    pub(super) dials: VecDeque<PeerRecord>,
    /// Tracks of which only later locations are wanted, as their publisher is another one now.
    pub(super) floors: HashMap<TrackId, Location>,
}

/// The sources of one track.
pub(super) struct Pulled {
    _hold: Option<Source>,
    pub(super) from: BTreeMap<SessionId, Pulling>,
}

impl Pulled {
    fn new(hold: Option<Source>) -> Self {
        Self {
            _hold: hold,
            from: BTreeMap::new(),
        }
    }
}

/// One of them.
pub(super) struct Pulling {
    pub(super) source: Arc<Source>,
    /// What the overlay knows of how far it is.
    pub(super) told: Option<Location>,
}

/// A session that declared the overlay option.
pub(crate) struct Link {
    /// Wakes the gossip task.
    pub(super) wake: Arc<Notify>,
    /// Which end of the connection we are.
    pub(super) role: headwater_certs::mesh::Role,
    /// Our subscription to its gossip, and whether it was accepted.
    pub(super) asked: Option<RequestKey>,
    pub(super) accepted: bool,
    /// Its subscription to ours.
    pub(super) serves: Option<Serving>,
    pub(super) node: Option<VerifiedNode>,
    /// The overlay knows it.
    pub(super) up: bool,
    /// It sent GOAWAY.
    pub(super) leaving: bool,
    pub(super) receiver: Option<ObjectReceiver>,
    pub(super) detector: Detector,
    pub(super) keeper: Keeper,
    /// Somebody says that it is dead: it is watched as if tracks were live until then.
    pub(super) probed: Duration,
}

/// A subscription to our gossip that was answered.
#[derive(Clone, Copy)]
pub(super) struct Serving {
    pub(super) alias: u64,
}

impl MeshState {
    /// The overlay of a member whose time zero is `now`.
    pub(super) fn new(mesh: &Mesh, epoch: u64, config: &Config, now: SystemTime) -> Self {
        let wall_ms = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        // Which neighbours are tried, and the number of this run, are matters of chance; the standard library's hasher has it from
        // the system.
        let identity = overlay::Identity {
            node: node_id(mesh.membership().node()),
            epoch,
            run: RandomState::new().build_hasher().finish(),
            roles: Roles::RELAY,
            price: u32::try_from(config.price.as_micros()).unwrap_or(u32::MAX),
            keys: mesh.keyring.clone(),
            wall_ms,
        };
        let seed = RandomState::new().build_hasher().finish();
        let addresses = config.advertise.iter().map(|address| format!("moqt://{address}"));
        let overlay = Overlay::new(identity, crate::overlay::routes::Config::default());
        Self {
            overlay: overlay.seeking(seed, addresses.collect()),
            inputs: VecDeque::from([overlay::Input::Remember {
                records: mesh.kept_peers(),
            }]),
            asks: ask::Asks::default(),
            pulls: BTreeMap::new(),
            feeds: HashMap::new(),
            dials: VecDeque::new(),
            floors: HashMap::new(),
        }
    }
}

impl Link {
    /// Whether the overlay knows it as a session with this node.
    pub(crate) fn is_up_with(&self, node: headwater_certs::mesh::NodeId) -> bool {
        self.up && self.node.as_ref().is_some_and(|verified| verified.id == node)
    }

    /// Whether the overlay knows it.
    pub(crate) const fn is_up(&self) -> bool {
        self.up
    }

    fn new(now: Duration, role: headwater_certs::mesh::Role) -> Self {
        Self {
            wake: Arc::new(Notify::new()),
            role,
            asked: None,
            accepted: false,
            serves: None,
            node: None,
            up: false,
            leaving: false,
            receiver: None,
            detector: Detector::new(now),
            keeper: Keeper::default(),
            probed: Duration::ZERO,
        }
    }
}

/// The track that gossip goes over: session-level, so that nobody forwards it (draft section "Session-Level Tracks and
/// Namespaces").
pub(super) fn gossip_track() -> FullTrackName {
    session_track(b"headwater-gossip")
}

/// The track whose subscription is a request to the mesh's authority.
pub(super) fn join_track() -> FullTrackName {
    session_track(b"headwater-join")
}

#[expect(
    clippy::expect_used,
    reason = "two short constant names are within the draft's bounds"
)]
fn session_track(name: &'static [u8]) -> FullTrackName {
    let namespace = TrackNamespace::new([b".session".as_slice()]).expect("one short field");
    let name = TrackName::new(name).expect("a short name");
    FullTrackName::new(namespace, name).expect("two short names")
}

/// The overlay numbers neighbours as the node numbers sessions.
pub(super) const fn neighbour(session: SessionId) -> Neighbour {
    Neighbour(session.0)
}

pub(super) const fn session(neighbour: Neighbour) -> SessionId {
    SessionId(neighbour.0)
}

pub(super) const fn node_id(id: headwater_certs::mesh::NodeId) -> NodeId {
    NodeId(*id.as_bytes())
}

/// SETUP of a session that may become a neighbour's; `dialled`: where to, if we dial.
pub(super) fn setup(dialled: Option<&Url>) -> Setup {
    let extensions = Properties::builder()
        .int(OPTION, crate::overlay::message::VERSION)
        .build()
        .unwrap_or_default();
    Setup {
        path: dialled.map(|_| "/".into()),
        authority: dialled.map(|url| url.authority().to_owned().into()),
        implementation: Some(concat!("headwater/", env!("CARGO_PKG_VERSION")).into()),
        extensions,
        ..Setup::default()
    }
}
