//! The parts of the overlay as one machine: the overlay's specification, section 10.
//!
//! Sessions bring objects of gossip and news of media; routes, logs and upstreams decide; what is due to a neighbour is encoded
//! when its stream can take bytes ([`Overlay::gossip`]), so nothing queues but sets of what has changed.

mod apply;
mod digest;
mod link;
mod lives;
mod peers;
mod receive;
mod send;
mod survey;
mod trace;
mod trust;
mod view;
mod why;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater_pubsub::wire::FullTrackName;

use super::id::{Neighbour, NodeId};
use super::logs::{self, Logs};
use super::members::Members;
use super::message::{Attributes, Beacon, Credential, Entry, Hop, PeerRecord, Roles, Signature};
use super::routes::{self, Routes};
use super::upstream::{self, At, Track, Upstreams, Why};
use link::Link;
use lives::Lives;
use survey::Surveys;
pub use survey::{Portrait, Vitals};
use trace::Traces;
pub use view::{NeighbourView, RouteView};

/// Signatures and rights: keys and certificates are the caller's.
pub trait Keys: fmt::Debug + Send + Sync {
    /// This node's signature.
    fn sign(&self, bytes: &[u8]) -> Signature;
    /// Whether `node` signed this.
    fn verify(&self, node: NodeId, bytes: &[u8], signature: &Signature) -> bool;
    /// Whether `node` may announce this: its certificate is known, and allows it.
    fn may_announce(&self, node: NodeId, entry: &Entry) -> bool;
    /// Whether a valid certificate of `node` is known, and no revocation.
    fn is_member(&self, node: NodeId) -> bool;
    /// Takes up what a neighbour says that the authority said. The node that it is about, if that is news.
    ///
    /// # Errors
    ///
    /// The authority did not say so.
    fn learn(&self, credential: &Credential) -> Result<Option<NodeId>, Unsigned>;
    /// What others need to know of this node: its revocation, else its certificate.
    fn credential(&self, node: NodeId) -> Option<Credential>;
    /// Every node that there is a credential of.
    fn credentialed(&self) -> BTreeSet<NodeId>;
}

/// A credential that the mesh's authority did not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not signed by the mesh's authority")]
pub struct Unsigned;

/// The logs' view of [`Keys`].
struct LogKeys(Arc<dyn Keys>);

impl logs::Sign for LogKeys {
    fn sign(&self, bytes: &[u8]) -> Signature {
        self.0.sign(bytes)
    }
}

impl logs::Verify for LogKeys {
    fn verify(&self, node: NodeId, bytes: &[u8], signature: Signature) -> bool {
        self.0.verify(node, bytes, &signature)
    }

    fn may_announce(&self, node: NodeId, entry: &Entry) -> bool {
        self.0.may_announce(node, entry)
    }
}

/// Who this node is in the mesh.
#[derive(Debug)]
pub struct Identity {
    /// Its id.
    pub node: NodeId,
    /// Of this boot: above all earlier ones of the same key, wall-clock milliseconds where possible.
    pub epoch: u64,
    /// Drawn at random for this boot: tells it apart from another node that runs with the same key.
    pub run: u64,
    /// What it does.
    pub roles: Roles,
    /// What its operator asks for a hop through it, in microseconds of distance.
    pub price: u32,
    /// Its key.
    pub keys: Arc<dyn Keys>,
    /// Milliseconds since 1970 at time zero of this machine.
    pub wall_ms: u64,
}

/// What happened.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are what their types and the variant say")]
pub enum Input {
    /// A session with a verified neighbour stands, and gossip can flow both ways.
    NeighbourUp { neighbour: Neighbour, node: NodeId },
    /// It ended.
    NeighbourDown { neighbour: Neighbour },
    /// It is suspected to be dead, or well again.
    Suspect { neighbour: Neighbour, suspect: bool },
    /// It said that it is about to go: tracks move away from it while it serves.
    Leaving { neighbour: Neighbour },
    /// An object of its gossip, in order.
    Gossip { neighbour: Neighbour, object: Bytes },
    /// Packets sent to it so far, and of these declared lost; whether live tracks run over the link.
    Packets {
        neighbour: Neighbour,
        sent: u64,
        lost: u64,
        active: bool,
    },
    /// Something is published at this node, or no longer.
    Announce { entry: Entry, present: bool },
    /// A track of another node is wanted.
    Want {
        track: Track,
        name: FullTrackName,
        origin: NodeId,
    },
    /// It is wanted no more.
    Unwant { track: Track },
    /// A neighbour accepted our subscription.
    Established { track: Track, neighbour: Neighbour },
    /// It refused it, or ended it without the origin's word.
    Lost { track: Track, neighbour: Neighbour },
    /// The newest object that it has brought of the track.
    Seen {
        track: Track,
        neighbour: Neighbour,
        newest: At,
    },
    /// A neighbour has subscriptions for tracks of an origin here, or no longer.
    Child {
        neighbour: Neighbour,
        origin: NodeId,
        present: bool,
    },
    /// The keys know something new of a node's membership, or it ended.
    Standing { node: NodeId },
    /// Peers that were known at an earlier boot.
    Remember { records: Vec<PeerRecord> },
    /// A node that was to be dialled is no neighbour: not reached, or ended.
    DialFailed { node: NodeId },
    /// Somebody here asks for the path by which an origin is pulled; answered by [`Output::Traced`] with this number.
    Trace { request: u64, origin: NodeId },
    /// Somebody here asks for the whole mesh; all who ask until [`Output::Surveyed`] are answered by it.
    Survey,
    /// How this node is, for the surveys of others.
    Vitals(Vitals),
    /// Only the time.
    Tick,
}

/// What to do.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are what their types and the variant say")]
pub enum Output {
    /// Gossip is due for a neighbour: call [`Overlay::gossip`] until it gives `None`, whenever the stream takes bytes.
    Ready { neighbour: Neighbour },
    /// Subscribe to a track at a neighbour, or give that up.
    Pull {
        track: Track,
        neighbour: Neighbour,
        wanted: bool,
        feed: Feed,
        why: Why,
    },
    /// The route to an origin changed, and why; `None`: there is none.
    RouteChanged {
        origin: NodeId,
        primary: Option<Neighbour>,
        total_us: Option<u32>,
        cause: routes::Cause,
    },
    /// Somebody in the mesh announces this, or nobody any more.
    Remote { entry: Entry, present: bool },
    /// Where clients of a name are served from may have changed: ask [`Overlay::pin`].
    Repin { origin: NodeId },
    /// End the session.
    Close {
        neighbour: Neighbour,
        reason: Misconduct,
    },
    /// Another node may know that this neighbour is dead: look at once.
    Probe { neighbour: Neighbour },
    /// Two nodes run with the key of this one, by its own word, or no longer. An operator must look.
    Cloned { node: NodeId, present: bool },
    /// Something of a neighbour was not taken; the session goes on.
    Refused {
        neighbour: Neighbour,
        reason: Misconduct,
    },
    /// Something published here could not be announced.
    NotAnnounced {
        entry: Entry,
        error: logs::AnnounceError,
    },
    /// The authority's word on a node was news, or its membership ended.
    Standing { node: NodeId },
    /// Open a session with this node, at one of its addresses.
    Dial { record: PeerRecord },
    /// There are enough neighbours without this one.
    Surplus { neighbour: Neighbour },
    /// The peers to store for the next boot.
    KeepPeers { records: Vec<PeerRecord> },
    /// The epoch to store, so that the next boot is above it.
    Epoch(u64),
    /// The path towards an origin, first this node.
    Traced { request: u64, hops: Vec<Hop> },
    /// The mesh as its nodes tell of themselves, in order of their ids.
    Surveyed { nodes: Vec<Portrait> },
}

/// What a subscription at a neighbour is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feed {
    /// A feasible upstream.
    Normal,
    /// One that may be below us: it must bring something fresh soon.
    Tentative,
}

/// What a neighbour did wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misconduct {
    /// Unreadable gossip.
    #[error("unreadable gossip: {0}")]
    Gossip(#[from] headwater_pubsub::wire::DecodeError),
    /// The first record is not HELLO, or it is repeated.
    #[error("HELLO is not the first record, or not the only one")]
    Hello,
    /// HELLO names another node than the one that proved its key.
    #[error("the gossip is of another node than the session")]
    Impostor,
    /// A sequence number or log head that the origin did not sign.
    #[error("a forged record of origin {0}")]
    Forged(NodeId),
    /// A certificate or revocation that the mesh's authority did not sign.
    #[error("a credential is {0}")]
    Credential(#[from] Unsigned),
    /// A row whose sequence number no beacon has vouched for.
    #[error("a sequence number of origin {0} without its beacon")]
    Unvouched(NodeId),
    /// Something that the routes do not take.
    #[error(transparent)]
    Route(#[from] routes::Refusal),
    /// Something that the logs do not take.
    #[error("a log was refused: {0:?}")]
    Log(logs::Refusal),
    /// Its rows are not those that were read here.
    #[error("the rows that were sent and those that were read differ")]
    Digest,
    /// More records of a kind than are allowed.
    #[error("too many {0} records")]
    Flood(&'static str),
}

/// The overlay of one node. Feed [`handle`](Self::handle), drain [`poll`](Self::poll), come back at
/// [`deadline`](Self::deadline). The same inputs at the same times give the same outputs.
#[derive(Debug)]
pub struct Overlay {
    identity: Identity,
    routes: Routes,
    logs: Logs,
    upstreams: Upstreams,
    links: BTreeMap<Neighbour, Link>,
    /// Who announces what, this node apart.
    announcers: BTreeMap<Entry, BTreeSet<NodeId>>,
    /// The newest beacon of each origin, this node's own included.
    beacons: BTreeMap<NodeId, Beacon>,
    members: Members,
    lives: Lives,
    /// Where this node can be dialled, as URIs.
    addresses: Vec<String>,
    traces: Traces,
    surveys: Surveys,
    outputs: VecDeque<Output>,
    now: Duration,
}

impl Overlay {
    /// A node without neighbours.
    pub fn new(identity: Identity, routes: routes::Config) -> Self {
        let mut new = Self {
            routes: Routes::new(identity.node, identity.epoch, routes),
            logs: Logs::new(
                identity.node,
                identity.epoch,
                logs::Limits::default(),
                Box::new(LogKeys(Arc::clone(&identity.keys))),
                Box::new(LogKeys(Arc::clone(&identity.keys))),
            ),
            members: Members::new(identity.node, 0),
            lives: Lives::new(identity.run.max(1)),
            addresses: Vec::new(),
            identity,
            announcers: BTreeMap::new(),
            upstreams: Upstreams::default(),
            links: BTreeMap::new(),
            beacons: BTreeMap::new(),
            traces: Traces::default(),
            surveys: Surveys::default(),
            outputs: VecDeque::new(),
            now: Duration::ZERO,
        };
        new.live(new.identity.epoch, 0);
        new
    }

    /// This node.
    pub const fn node(&self) -> NodeId {
        self.identity.node
    }

    /// Takes what happened at `now`.
    pub fn handle(&mut self, now: Duration, input: Input) {
        self.now = self.now.max(now);
        let now = self.now;
        match input {
            Input::NeighbourUp { neighbour, node } => self.neighbour_up(neighbour, node),
            Input::NeighbourDown { neighbour } => self.neighbour_down(neighbour),
            Input::Suspect { neighbour, suspect } => self.suspect(neighbour, suspect),
            Input::Leaving { neighbour } => self.routes.leaving(now, neighbour),
            Input::Gossip { neighbour, object } => self.receive(neighbour, object),
            Input::Packets {
                neighbour,
                sent,
                lost,
                active,
            } => {
                if let Some(link) = self.links.get_mut(&neighbour) {
                    link.packets(now, sent, lost, active);
                }
            }
            Input::Announce { entry, present } => self.announce(&entry, present),
            Input::Want {
                track,
                name: _,
                origin,
            } => {
                self.upstreams
                    .handle(now, upstream::Input::Want { track, origin });
                self.review_interest(origin);
            }
            Input::Unwant { track } => {
                let origin = self.upstreams.origin(track);
                self.upstreams.handle(now, upstream::Input::Unwant { track });
                origin.into_iter().for_each(|origin| self.review_interest(origin));
            }
            Input::Established { track, neighbour } => self
                .upstreams
                .handle(now, upstream::Input::Established { track, neighbour }),
            Input::Lost { track, neighbour } => self
                .upstreams
                .handle(now, upstream::Input::Lost { track, neighbour }),
            Input::Seen {
                track,
                neighbour,
                newest,
            } => self.upstreams.handle(
                now,
                upstream::Input::Seen {
                    track,
                    neighbour,
                    newest,
                },
            ),
            Input::Child {
                neighbour,
                origin,
                present,
            } => self.routes.child(now, neighbour, origin, present),
            Input::Standing { node } => self.standing(node, None),
            Input::Remember { records } => self.remember(records),
            Input::DialFailed { node } => self.members.failed(now, node),
            Input::Trace { request, origin } => self.trace(request, origin),
            Input::Survey => self.survey(),
            Input::Vitals(vitals) => self.surveys.vitals = vitals,
            Input::Tick => {
                self.tick_members();
                self.tick_traces();
                self.tick_surveys();
                self.routes.tick(now);
                self.logs.tick(now);
                self.upstreams.handle(now, upstream::Input::Tick);
                self.tick_links();
            }
        }
        self.settle();
    }

    /// Next thing to do. Each call to [`handle`](Self::handle) must be followed by calls until `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to feed [`Input::Tick`] at the latest.
    pub fn deadline(&self) -> Option<Duration> {
        let links = self.links.values().map(Link::deadline).min();
        [
            self.routes.deadline(),
            self.logs.deadline(),
            self.upstreams.deadline(),
            Some(self.members.deadline()),
            self.traces.deadline(),
            self.surveys.deadline(),
            links,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The origin that clients of a track are served from: the nearest one that announces it and can be reached.
    pub fn pin(&self, name: &FullTrackName) -> Option<NodeId> {
        self.logs
            .origins_of(name)
            .into_iter()
            .filter(|&origin| origin != self.identity.node)
            .filter_map(|origin| Some((self.routes.total(origin)?, origin)))
            .min()
            .map(|(_, origin)| origin)
    }

    /// Whether a track's origin announces it still and can be reached.
    pub fn is_served(&self, name: &FullTrackName, origin: NodeId) -> bool {
        let reached = self.routes.total(origin).is_some() || self.upstreams.has_members(origin);
        reached && self.is_announced(name, origin)
    }

    /// Whether an origin announces a track, reached or not.
    pub fn is_announced(&self, name: &FullTrackName, origin: NodeId) -> bool {
        self.logs.origins_of(name).contains(&origin)
    }

    /// Whether a neighbour may pull tracks of an origin through this node now.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn admit_child(&self, origin: NodeId, feed: Feed) -> Result<(), Unfit> {
        if origin == self.identity.node || self.routes.primary(origin).is_some() {
            return Ok(());
        }
        // Two starved nodes must not feed each other what neither gets.
        match feed {
            Feed::Tentative if !self.upstreams.has_firm(origin) => Err(Unfit::Starved),
            Feed::Tentative | Feed::Normal if self.upstreams.has_members(origin) => Ok(()),
            Feed::Tentative | Feed::Normal => Err(Unfit::NoRoute),
        }
    }

    /// The node that a session is with.
    pub fn node_of(&self, neighbour: Neighbour) -> Option<NodeId> {
        self.links.get(&neighbour).map(|link| link.node)
    }

    fn neighbour_up(&mut self, neighbour: Neighbour, node: NodeId) {
        let mut link = Link::new(self.now, node);
        link.credentials = self.identity.keys.credentialed();
        link.lives = self.lives.nodes().collect();
        let cost = link.cost();
        self.links.insert(neighbour, link);
        self.routes.neighbour_up(self.now, neighbour, node, cost);
        self.logs.neighbour_up(self.now, neighbour);
        self.members.up(self.now, neighbour, node);
        self.outputs.push_back(Output::Ready { neighbour });
    }

    fn neighbour_down(&mut self, neighbour: Neighbour) {
        let Some(link) = self.links.remove(&neighbour) else {
            return;
        };
        if self.upstreams.pulled_from(neighbour) {
            self.hint_of(&link);
        }
        self.upstreams
            .handle(self.now, upstream::Input::Down { neighbour });
        self.logs.neighbour_down(self.now, neighbour);
        self.routes.neighbour_down(self.now, neighbour);
        self.members.down(self.now, neighbour);
        self.trace_lost(neighbour);
        self.survey_lost(neighbour);
    }

    fn suspect(&mut self, neighbour: Neighbour, suspect: bool) {
        if let Some(link) = self.links.get_mut(&neighbour) {
            link.suspect = suspect;
        }
        self.routes.suspect(self.now, neighbour, suspect);
        self.upstreams
            .handle(self.now, upstream::Input::Suspect { neighbour, suspect });
    }

    fn announce(&mut self, entry: &Entry, present: bool) {
        if present {
            let announced = if self.identity.keys.may_announce(self.identity.node, entry) {
                self.logs
                    .announce(self.now, entry.clone(), Attributes::default(), logs::Scope::World)
            } else {
                Err(logs::AnnounceError::NotAllowed)
            };
            if let Err(error) = announced {
                self.outputs.push_back(Output::NotAnnounced {
                    entry: entry.clone(),
                    error,
                });
            }
        } else {
            let withdrawn = self.logs.withdraw(self.now, entry);
            if let Err(error) = withdrawn {
                self.outputs.push_back(Output::NotAnnounced {
                    entry: entry.clone(),
                    error,
                });
            }
        }
        let origin = self.logs.shown(self.identity.node).next().is_some();
        self.routes.announce(self.now, origin);
    }

    /// Routes keep looking for a way while somebody wants a track of the origin.
    fn review_interest(&mut self, origin: NodeId) {
        let wanted = self.upstreams.is_wanted(origin);
        self.routes.interest(self.now, origin, wanted);
    }
}

/// Why a neighbour cannot pull through this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// This node has no way to the origin.
    #[error("no route to the origin")]
    NoRoute,
    /// Its only way is a guess itself.
    #[error("this node is without a route itself")]
    Starved,
}

#[cfg(test)]
mod tests;
