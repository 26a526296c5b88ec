//! What the sessions of a node share: the hub that decides, and the tables that turn its names into things.
//!
//! One lock, held for a control message at a time and never across an await; below it only a session's own lock and a
//! track's. Objects never pass here.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use headwater_pubsub::{
    net::{Clock, DataEvent, Handler, SessionEnd, SessionHandle, TransportClosed},
    session::{self, Event},
    track::{Cache, CacheLimits, Edge, Source, Track},
    wire::{GroupOrder, Location, PublishDoneCode, SessionCode, TrackNamespace, control::PublishDone},
};

use crate::{
    admin::Role,
    config::Config,
    hub::{Hub, HubConfig, Input, RequestKey, RequestRef, SessionId, Tag, TrackId},
    overlay::core as overlay,
    status::Phase,
};

use super::{
    listen::Occupancy,
    mesh,
    tally::{Tally, TrackTally},
};

/// How much longer than its drain the node tells peers that it will wait.
const CLOSING: std::time::Duration = std::time::Duration::from_secs(1);

/// Shared by everything that runs on a node.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) cache: Arc<Cache>,
    pub(crate) metrics: Arc<crate::admin::Metrics>,
    /// Wakes the task that keeps the hub's time.
    pub(crate) timer: tokio::sync::Notify,
    /// Notified when a session has left.
    pub(crate) left: tokio::sync::Notify,
    /// What the node is known by; set once bound.
    pub(crate) about: About,
    /// The mesh that the node is a member of.
    pub(crate) mesh: Option<mesh::Mesh>,
    /// What has to touch files.
    pub(crate) chores: tokio::sync::mpsc::Sender<mesh::chores::Chore>,
    /// The date.
    pub(crate) wall: super::WallClock,
    phase: Mutex<Phase>,
    occupancy: Mutex<Occupancy>,
    state: Mutex<State>,
}

/// What does not change while a node runs.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) listen: std::net::SocketAddr,
    pub(crate) fingerprint: Option<headwater_certs::Fingerprint>,
    /// What people call it; may be empty.
    pub(crate) name: String,
    pub(crate) since: std::time::SystemTime,
}

/// The hub and its tables.
pub(crate) struct State {
    pub(crate) hub: Hub,
    pub(crate) next_session: u64,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) tracks: HashMap<TrackId, Arc<Track>>,
    /// Tracks whose only source is being replaced.
    pub(crate) bridges: HashMap<TrackId, Bridge>,
    /// What the metrics have of each track's losses.
    pub(crate) track_tallies: HashMap<TrackId, TrackTally>,
    /// Tracks whose largest group the hub wants to know, and what it was told.
    pub(crate) watched: BTreeMap<TrackId, Option<u64>>,
    /// The overlay, if the node is in a mesh.
    pub(crate) mesh: Option<mesh::MeshState>,
    /// What has to be fed to the hub after the outputs at hand.
    pub(crate) inputs: VecDeque<Input>,
}

/// What outlives the source of a track until the next one has made up for what was missed.
pub(crate) struct Bridge {
    /// Where what was not received begins.
    pub(crate) from: Location,
    /// Keeps incomplete objects for the next source.
    pub(crate) _source: Source,
}

/// A session in the tables.
pub(crate) struct Session {
    pub(crate) handle: SessionHandle,
    /// What the node's metrics take it for, and what they have of its traffic.
    pub(crate) role: Role,
    pub(crate) tally: Tally,
    pub(crate) info: SessionInfo,
    /// Requests of the peer, by the hub's name.
    pub(crate) peers: HashMap<RequestKey, session::RequestKey>,
    /// Requests of the hub, both ways.
    pub(crate) tags: HashMap<Tag, session::RequestKey>,
    pub(crate) opened: HashMap<session::RequestKey, Opened>,
    /// Fetches being served, for their holes.
    pub(crate) fetches: HashMap<session::RequestKey, ServedFetch>,
    /// Tracks that the peer feeds by PUBLISH.
    pub(crate) published: HashMap<session::RequestKey, TrackId>,
    /// Properties and largest object of a PUBLISH, until the hub has found it a track.
    pub(crate) offers: HashMap<session::RequestKey, Offer>,
    pub(crate) prefixes: HashMap<session::RequestKey, Prefix>,
    /// Wakes the session's gossip.
    pub(crate) wake: Arc<tokio::sync::Notify>,
    /// What makes it a neighbour's, if it declared that it may be one.
    pub(crate) link: Option<Box<mesh::Link>>,
    /// When SUBSCRIBEs came that have had no object yet.
    pub(crate) asked: HashMap<session::RequestKey, std::time::Duration>,
    /// Upstream subscriptions that PUBLISH_DONE has ended, while their last streams come in.
    pub(crate) ended: HashMap<session::RequestKey, PublishDone>,
}

/// What is known of the other end.
#[derive(Clone, Debug)]
pub(crate) struct SessionInfo {
    pub(crate) since: std::time::SystemTime,
    pub(crate) implementation: Option<String>,
}

/// A request that the hub had opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    pub(crate) tag: Tag,
    /// The track that it feeds or that is offered, if any.
    pub(crate) track: Option<TrackId>,
    /// Track alias of a PUBLISH, and what it stated.
    pub(crate) offer: Option<(u64, Edge)>,
}

/// The prefix of a namespace subscription of the peer.
#[derive(Clone, Debug)]
pub(crate) struct Prefix {
    pub(crate) current: TrackNamespace,
    /// Asked for by an update that is not answered yet.
    pub(crate) asked: Option<TrackNamespace>,
}

/// A FETCH being served.
pub(crate) struct ServedFetch {
    pub(crate) track: TrackId,
    pub(crate) order: GroupOrder,
}

/// What came with a PUBLISH.
pub(crate) struct Offer {
    pub(crate) properties: headwater_pubsub::wire::Properties,
    pub(crate) largest: Option<Location>,
}

impl State {
    /// Whether no client is here, and no neighbour has a subscription.
    fn is_unused(&self) -> bool {
        self.sessions.iter().all(|(&id, session)| {
            session.link.as_ref().is_some_and(|link| link.is_up()) && self.hub.subscriptions(id) == 0
        })
    }

    /// When somebody wants to be told the time.
    pub(crate) fn deadline(&self) -> Option<std::time::Duration> {
        let overlay = self.mesh.as_ref().and_then(|mesh| mesh.overlay.deadline());
        self.hub.deadline().into_iter().chain(overlay).min()
    }
}

impl Session {
    pub(crate) fn new(handle: SessionHandle, role: Role, info: SessionInfo) -> Self {
        Self {
            handle,
            role,
            tally: Tally::default(),
            info,
            peers: HashMap::new(),
            tags: HashMap::new(),
            opened: HashMap::new(),
            fetches: HashMap::new(),
            published: HashMap::new(),
            offers: HashMap::new(),
            prefixes: HashMap::new(),
            ended: HashMap::new(),
            asked: HashMap::new(),
            wake: Arc::default(),
            link: None,
        }
    }

    /// The session's name of a request that the hub names.
    pub(crate) fn key(&self, request: RequestRef) -> Option<session::RequestKey> {
        match request {
            RequestRef::Peer(_, key) => self.peers.get(&key).copied(),
            RequestRef::Hub(_, tag) => self.tags.get(&tag).copied(),
        }
    }

    /// The hub's name of a request of this session.
    pub(crate) fn reference(&self, id: SessionId, key: session::RequestKey) -> RequestRef {
        match self.opened.get(&key) {
            Some(opened) => RequestRef::Hub(id, opened.tag),
            None => RequestRef::Peer(id, RequestKey(u64::from(key))),
        }
    }

    /// How the subscriptions that the peer fed have ended, now that its session has: as PUBLISH_DONE said, or with the session
    /// that it closed. Of one that fell silent, or of a neighbour, nothing is known.
    pub(crate) fn last_words(&self, id: SessionId, end: &SessionEnd) -> Vec<(RequestRef, PublishDone)> {
        let told = self
            .ended
            .iter()
            .map(|(&key, done)| (self.reference(id, key), done.clone()));
        let silent = matches!(
            end,
            SessionEnd::Transport(TransportClosed::TimedOut | TransportClosed::Lost(_))
        );
        let left = self
            .opened
            .iter()
            .filter(|(_, opened)| opened.track.is_some())
            .map(|(&key, _)| key)
            .chain(self.published.keys().copied())
            .filter(|key| !silent && self.link.is_none() && !self.ended.contains_key(key))
            .map(|key| {
                let done = PublishDone {
                    code: PublishDoneCode::TRACK_ENDED,
                    stream_count: None,
                    reason: "the publisher closed its session".to_owned(),
                };
                (self.reference(id, key), done)
            });
        told.chain(left).collect()
    }

    /// Forget a request that is over.
    pub(crate) fn forget(&mut self, key: session::RequestKey) {
        self.peers.remove(&RequestKey(u64::from(key)));
        if let Some(opened) = self.opened.remove(&key) {
            self.tags.remove(&opened.tag);
        }
        self.fetches.remove(&key);
        self.published.remove(&key);
        self.offers.remove(&key);
        self.prefixes.remove(&key);
        self.ended.remove(&key);
        self.asked.remove(&key);
    }
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        about: About,
        mesh: Option<(mesh::Mesh, mesh::MeshState)>,
        chores: tokio::sync::mpsc::Sender<mesh::chores::Chore>,
        wall: super::WallClock,
    ) -> Self {
        let (mesh, mesh_state) = mesh.unzip();
        let cache = Cache::new(CacheLimits {
            budget: config.cache.bytes,
            min_groups: usize::try_from(config.cache.min_groups).unwrap_or(usize::MAX),
            min_age: config.cache.min_age,
            max_lag: config.limits.lag_bytes,
            ..CacheLimits::default()
        });
        let hub = Hub::new(HubConfig {
            linger: config.upstream_linger,
            rendezvous: config.limits.rendezvous,
            announces: mesh.is_some(),
            ..HubConfig::default()
        });
        Self {
            clock: Clock::new(),
            cache,
            metrics: Arc::new(crate::admin::Metrics::new(env!("CARGO_PKG_VERSION"))),
            timer: tokio::sync::Notify::new(),
            left: tokio::sync::Notify::new(),
            about,
            phase: Mutex::new(Phase::Starting),
            occupancy: Mutex::new(Occupancy::default()),
            state: Mutex::new(State {
                hub,
                next_session: 1,
                sessions: BTreeMap::new(),
                tracks: HashMap::new(),
                bridges: HashMap::new(),
                track_tallies: HashMap::new(),
                watched: BTreeMap::new(),
                mesh: mesh_state,
                inputs: VecDeque::new(),
            }),
            mesh,
            chores,
            wall,
            config,
        }
    }

    /// Where the node is in its life.
    pub(crate) fn phase(&self) -> Phase {
        *self
            .phase
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        *self
            .phase
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = phase;
    }

    pub(crate) fn occupancy(&self) -> MutexGuard<'_, Occupancy> {
        self.occupancy
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Refuse new sessions and requests, and ask every peer to leave.
    pub(crate) fn drain(&self) {
        self.set_phase(Phase::Draining);
        let handles: Vec<_> = {
            let mut state = self.state();
            state.inputs.push_back(Input::GoingAway);
            self.drive(&mut state);
            state
                .sessions
                .values()
                .map(|session| session.handle.clone())
                .collect()
        };
        handles.iter().for_each(|handle| self.ask_to_leave(handle));
    }

    /// Send GOAWAY.
    pub(crate) fn ask_to_leave(&self, handle: &SessionHandle) {
        handle.act(|session, now| {
            // The node closes what is left in good order when its drain is over; the session's own deadline, which says
            // GOAWAY_TIMEOUT, comes behind that.
            let timeout = self.config.drain.saturating_add(CLOSING);
            if let Err(error) = session.goaway(now, bytes::Bytes::new(), timeout) {
                tracing::debug!(%error, "no GOAWAY");
            }
        });
    }

    /// Wait until nobody is left who uses this node. Neighbours stay in session until the end, but take their tracks elsewhere.
    pub(crate) async fn empty(&self) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.state().is_unused() {
                return;
            }
            left.await;
        }
    }

    /// Close every session.
    pub(crate) fn close_all(&self, code: SessionCode, reason: &str) {
        let handles: Vec<_> = self
            .state()
            .sessions
            .values()
            .map(|session| session.handle.clone())
            .collect();
        handles.iter().for_each(|handle| handle.close(code, reason));
    }

    /// Let every track act on what is due.
    pub(crate) fn expire_tracks(&self) {
        let tracks: Vec<_> = self.state().tracks.values().cloned().collect();
        let now = self.clock.now();
        for track in tracks {
            if track.deadline().is_some_and(|deadline| deadline <= now) {
                track.expire(now);
            }
        }
    }

    /// Tell the hub of the largest groups that it watches, where they have grown.
    pub(crate) fn report_largest_groups(&self) {
        let mut state = self.state();
        let State {
            watched,
            tracks,
            inputs,
            ..
        } = &mut *state;
        for (id, told) in watched {
            let group = tracks
                .get(id)
                .and_then(|track| track.largest())
                .map(|largest| largest.group);
            if group != *told {
                *told = group;
                inputs.push_back(Input::LargestGroup { track: *id, group });
            }
        }
        self.drive(&mut state);
    }

    /// The state. A panic while it was held ends the node, so what is seen here is whole.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Feed the hub everything that waits, and do what it wants, until both are at rest.
    pub(crate) fn drive(&self, state: &mut State) {
        let before = state.deadline();
        loop {
            if let Some(input) = state.inputs.pop_front() {
                tracing::trace!(?input, "hub");
                state.hub.handle(self.clock.now(), input);
                while let Some(output) = state.hub.poll() {
                    tracing::trace!(?output, "hub");
                    self.apply(state, output);
                }
            } else if let Some(mesh) = &mut state.mesh
                && let Some(input) = mesh.inputs.pop_front()
            {
                tracing::trace!(?input, "overlay");
                mesh.overlay.handle(self.clock.now(), input);
                let outputs: Vec<_> = std::iter::from_fn(|| mesh.overlay.poll()).collect();
                for output in outputs {
                    tracing::trace!(?output, "overlay");
                    self.apply_overlay(state, output);
                }
            } else {
                break;
            }
        }
        if state.deadline() != before {
            self.timer.notify_one();
        }
    }

    /// Tells hub and overlay the time.
    pub(crate) fn feed_time(&self) {
        let mut state = self.state();
        state.inputs.push_back(Input::Tick);
        if let Some(mesh) = &mut state.mesh {
            mesh.inputs.push_back(overlay::Input::Tick);
        }
        self.drive(&mut state);
    }

    /// Whether a session with this node is a neighbour's.
    pub(crate) fn has_neighbour(&self, node: headwater_certs::mesh::NodeId) -> bool {
        self.state()
            .sessions
            .values()
            .any(|entry| entry.link.as_ref().is_some_and(|link| link.is_up_with(node)))
    }
}

/// The [`Handler`] of one session.
pub(crate) struct SessionHandler {
    pub(crate) id: SessionId,
    /// Which end of the connection we are.
    pub(crate) role: headwater_certs::mesh::Role,
    pub(crate) node: Arc<Shared>,
    pub(crate) trust: super::admission::Trust,
}

impl Handler for SessionHandler {
    fn event(&self, session: &SessionHandle, event: Event) {
        let mut state = self.node.state();
        self.on_event(&mut state, session, event);
        self.node.drive(&mut state);
    }

    fn data(&self, session: &SessionHandle, event: DataEvent) {
        let mut state = self.node.state();
        self.on_data(&mut state, session, event);
        self.node.drive(&mut state);
    }
}
