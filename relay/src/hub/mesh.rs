//! Tracks whose publishers are at other nodes: which origin clients are served from, and where to pull.
//!
//! The hub carries out; the overlay decides. It names the neighbours that a wanted track is pulled from ([`Input::Upstream`]),
//! several at a time while it moves from one to another, and the origin that clients of a name are served from
//! ([`Input::Pin`]). Copies of an object from several neighbours meet in the track, which keeps one.

use std::collections::{BTreeMap, BTreeSet};

use headwater_pubsub::wire::{FullTrackName, PublishDoneCode, RequestErrorCode, StreamCode, TrackNamespace};

use super::Hub;
use super::input::{Input, Origin, RequestRef, SessionId, TrackId};
use super::namespaces::Interest;
use super::output::{Output, UpstreamState};
use super::refusals::error;
use super::session::Kind;
use super::timers::Timer;
use super::tracks::{Asker, ListenerState, first_under};
use crate::overlay::id::NodeId;
use crate::overlay::message::Entry;

/// What the hub knows of the mesh.
#[derive(Debug, Default)]
pub(super) struct Mesh {
    /// Origins of names whose clients are not served from here.
    pins: BTreeMap<FullTrackName, NodeId>,
    routes: BTreeMap<NodeId, SessionId>,
    namespaces: BTreeSet<TrackNamespace>,
    /// Tracks that were published by PUBLISH elsewhere.
    tracks: BTreeSet<FullTrackName>,
    /// How many subscriptions a neighbour has for tracks of an origin.
    children: BTreeMap<(SessionId, NodeId), usize>,
}

impl Mesh {
    /// Whose publishers a client means by a name.
    pub(super) fn pinned(&self, name: &FullTrackName) -> Origin {
        self.pins
            .get(name)
            .map_or(Origin::Here, |&node| Origin::Node(node))
    }

    /// Forgets where a name is pinned to, if to `origin`.
    pub(super) fn unpin(&mut self, name: &FullTrackName, origin: Origin) {
        if self.pinned(name) == origin {
            self.pins.remove(name);
        }
    }

    pub(super) fn route(&self, origin: NodeId) -> Option<SessionId> {
        self.routes.get(&origin).copied()
    }

    pub(super) fn has_namespace(&self, namespace: &TrackNamespace) -> bool {
        self.namespaces.contains(namespace)
    }

    /// Namespaces elsewhere that begin with `prefix`.
    pub(super) fn namespaces_under<'a>(
        &'a self,
        prefix: &'a TrackNamespace,
    ) -> impl Iterator<Item = &'a TrackNamespace> {
        self.namespaces
            .range(prefix.clone()..)
            .take_while(|namespace| namespace.has_prefix(prefix))
    }

    /// Remembers a track that is published elsewhere, or no longer; whether that is news.
    pub(super) fn tell_track(&mut self, name: &FullTrackName, present: bool) -> bool {
        if present {
            self.tracks.insert(name.clone())
        } else {
            self.tracks.remove(name)
        }
    }

    pub(super) fn has_track(&self, name: &FullTrackName) -> bool {
        self.tracks.contains(name)
    }

    /// Tracks elsewhere whose namespace begins with `prefix`.
    pub(super) fn tracks_under<'a>(
        &'a self,
        prefix: &'a TrackNamespace,
    ) -> impl Iterator<Item = &'a FullTrackName> {
        self.tracks
            .range(first_under(prefix)..)
            .take_while(|name| name.namespace().has_prefix(prefix))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pins.is_empty() && self.children.is_empty()
    }
}

impl Hub {
    pub(super) fn told_of_mesh(&mut self, input: Input) {
        match input {
            Input::Pin { name, origin } => self.pin(&name, origin),
            Input::Upstream {
                track,
                session,
                wanted,
            } => self.upstream(track, session, wanted),
            Input::Route { origin, session } => {
                match session {
                    Some(session) => self.mesh.routes.insert(origin, session),
                    None => self.mesh.routes.remove(&origin),
                };
            }
            Input::Remote {
                entry: Entry::Namespace(namespace),
                present,
            } => self.remote_namespace(&namespace, present),
            Input::Remote {
                entry: Entry::Track(name),
                present,
            } => self.remote_track(&name, present),
            _ => {}
        }
    }

    pub(super) fn is_of_mesh(&self, id: TrackId) -> bool {
        self.tracks
            .get(id)
            .is_some_and(|track| track.origin != Origin::Here)
    }

    pub(super) fn announce(&mut self, entry: Entry, present: bool) {
        if self.config.announces {
            self.push(Output::Announce { entry, present });
        }
    }

    /// The last PUBLISH of a track is over.
    pub(super) fn withdraw_track(&mut self, id: TrackId) {
        if let Some(track) = self.tracks.get(id) {
            let name = track.name.clone();
            self.announce(Entry::Track(name), false);
        }
    }

    fn remote_namespace(&mut self, namespace: &TrackNamespace, present: bool) {
        let changed = if present {
            self.mesh.namespaces.insert(namespace.clone())
        } else {
            self.mesh.namespaces.remove(namespace)
        };
        if !changed || self.namespaces.is_published(namespace) {
            return;
        }
        for (request, suffix) in self.namespaces.interested(Interest::Namespaces, namespace) {
            self.push(if present {
                Output::Namespace { request, suffix }
            } else {
                Output::NamespaceDone { request, suffix }
            });
        }
    }

    /// A neighbour subscribed to a track.
    pub(super) fn child_came(&mut self, id: TrackId, session: SessionId) {
        if let Some(Origin::Node(origin)) = self.tracks.get(id).map(|track| track.origin) {
            let count = self.mesh.children.entry((session, origin)).or_default();
            *count += 1;
            if *count == 1 {
                self.push(Output::Child {
                    session,
                    origin,
                    present: true,
                });
            }
        }
    }

    /// Its subscription is over.
    pub(super) fn child_left(&mut self, id: TrackId, session: SessionId) {
        if let Some(Origin::Node(origin)) = self.tracks.get(id).map(|track| track.origin)
            && let Some(count) = self.mesh.children.get_mut(&(session, origin))
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.mesh.children.remove(&(session, origin));
                self.push(Output::Child {
                    session,
                    origin,
                    present: false,
                });
            }
        }
    }

    /// Asks the neighbours that the overlay has named, or asks the overlay to name some.
    pub(super) fn pursue_in_mesh(&mut self, id: TrackId, name: &FullTrackName) {
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        let Origin::Node(origin) = track.origin else {
            return;
        };
        let Some(upstreams) = &track.upstreams else {
            track.upstreams = Some(BTreeSet::new());
            self.create(id);
            self.push(Output::Want {
                track: id,
                name: name.clone(),
                origin,
            });
            return;
        };
        let ask: Vec<SessionId> = upstreams
            .iter()
            .filter(|session| {
                let source = track.sources.get(session);
                source.is_none_or(|source| source.leaving) && self.sessions.contains_key(session)
            })
            .copied()
            .collect();
        for session in ask {
            let asked = self
                .tracks
                .get(id)
                .is_some_and(|track| track.sources.contains_key(&session));
            if asked {
                self.ask_neighbour_again(id, session);
            } else {
                self.ask(id, name, session);
            }
        }
    }

    fn upstream(&mut self, id: TrackId, session: SessionId, wanted: bool) {
        let Some(upstreams) = self
            .tracks
            .get_mut(id)
            .filter(|track| !track.ended)
            .and_then(|track| track.upstreams.as_mut())
        else {
            return;
        };
        if wanted {
            upstreams.insert(session);
        } else {
            upstreams.remove(&session);
            if let Some(source) = self.remove_source(id, session) {
                self.close(source.request, StreamCode::CANCELLED);
            }
        }
        self.touch(id);
    }

    /// The overlay need not look for upstreams any more.
    pub(super) fn unwant(&mut self, id: TrackId) {
        self.timers.cancel(Timer::Cut(id));
        self.timers.cancel(Timer::Abandoned(id));
        if self
            .tracks
            .get_mut(id)
            .and_then(|track| track.upstreams.take())
            .is_some()
        {
            self.push(Output::Unwant { track: id });
        }
    }

    pub(super) fn upstream_established(&mut self, id: TrackId, session: SessionId) {
        if self.is_of_mesh(id) {
            self.push(Output::Upstream {
                track: id,
                session,
                state: UpstreamState::Established,
            });
        }
    }

    /// A neighbour does not serve the track, or no longer: the overlay knows better than to ask it again at once.
    pub(super) fn upstream_lost(&mut self, id: TrackId, session: SessionId, state: UpstreamState) {
        if let Some(upstreams) = self.tracks.get_mut(id).and_then(|track| track.upstreams.as_mut())
            && upstreams.remove(&session)
        {
            self.push(Output::Upstream {
                track: id,
                session,
                state,
            });
        }
        self.touch(id);
    }

    /// An upstream subscription of a track of the mesh is over. Only the origin's word ends the track.
    pub(super) fn left_in_mesh(
        &mut self,
        id: TrackId,
        session: SessionId,
        why: Option<(PublishDoneCode, String)>,
    ) {
        if let Some(track) = self.tracks.get_mut(id)
            && let Some((code, _)) = &why
            && matches!(
                code.known(),
                PublishDoneCode::TRACK_ENDED | PublishDoneCode::MALFORMED_TRACK
            )
        {
            track.last_end = why;
        }
        self.upstream_lost(id, session, UpstreamState::Left);
    }

    /// What is due to a track of the mesh after a change; false if it is over.
    pub(super) fn settle_in_mesh(&mut self, id: TrackId) -> bool {
        let Some(track) = self.tracks.get_mut(id) else {
            return false;
        };
        if track.is_established() {
            self.timers.cancel(Timer::Cut(id));
            self.timers.cancel(Timer::Abandoned(id));
            return true;
        }
        if let Some((code, reason)) = track.last_end.take() {
            self.retire(id, code, reason);
            return false;
        }
        if track.created && !track.is_idle() && !self.timers.is_set(Timer::Abandoned(id)) {
            self.timers
                .set(Timer::Cut(id), self.now.saturating_add(self.config.cut));
            self.timers.set(
                Timer::Abandoned(id),
                self.now.saturating_add(self.config.abandoned),
            );
        }
        true
    }

    /// No source for a while: neighbours look elsewhere.
    pub(super) fn cut_over(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get(id) else { return };
        let children: Vec<RequestRef> = track
            .listeners
            .iter()
            .filter(|(_, listener)| listener.asker == Asker::Neighbour)
            .map(|(&request, _)| request)
            .collect();
        for request in children {
            self.end_listener(
                id,
                request,
                PublishDoneCode::INTERNAL_ERROR,
                "no way to the publisher",
            );
        }
    }

    /// No source for so long that clients are told as well.
    pub(super) fn abandoned(&mut self, id: TrackId) {
        self.end_waiting(id);
        self.retire(
            id,
            PublishDoneCode::INTERNAL_ERROR,
            "no way to the publisher".to_owned(),
        );
    }

    fn end_waiting(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get(id) else { return };
        let waiting: Vec<RequestRef> = track.waiting().map(|(request, ..)| request).collect();
        for request in waiting {
            self.end_listener(
                id,
                request,
                PublishDoneCode::INTERNAL_ERROR,
                "no way to the publisher",
            );
        }
    }

    /// Ends one downstream subscription, served or waiting.
    fn end_listener(
        &mut self,
        id: TrackId,
        request: RequestRef,
        code: PublishDoneCode,
        reason: &'static str,
    ) {
        let Some(listener) = self
            .tracks
            .get(id)
            .and_then(|track| track.listeners.get(&request))
        else {
            return;
        };
        let words = reason.to_owned();
        let output = match listener.state {
            ListenerState::Waiting { .. } => Output::Reject {
                request,
                error: error(RequestErrorCode::TIMEOUT, reason).into(),
            },
            ListenerState::Offered { .. } => Output::EndSubscription {
                request,
                code,
                reason: words,
            },
            ListenerState::Served => Output::EndServed {
                request,
                code,
                reason: words,
            },
        };
        self.push(output);
        self.drop_listener(id, request);
    }

    fn pin(&mut self, name: &FullTrackName, origin: Origin) {
        let old = self.mesh.pinned(name);
        if old == origin {
            return;
        }
        match origin {
            Origin::Here => self.mesh.pins.remove(name),
            Origin::Node(node) => self.mesh.pins.insert(name.clone(), node),
        };
        let Some(id) = self.tracks.live(name, old) else {
            return;
        };
        let Some(track) = self.tracks.get(id) else { return };
        let of = |asker: Asker| -> Vec<RequestRef> {
            track
                .listeners
                .iter()
                .filter(|(_, listener)| listener.asker == asker)
                .map(|(&request, _)| request)
                .collect()
        };
        let (clients, neighbours) = (of(Asker::Client), of(Asker::Neighbour));
        let served = track
            .listeners
            .values()
            .any(|listener| matches!(listener.state, ListenerState::Served));
        if served && !clients.is_empty() && self.tracks.live(name, origin).is_none() {
            for request in neighbours {
                self.end_listener(
                    id,
                    request,
                    PublishDoneCode::INTERNAL_ERROR,
                    "the publisher is gone",
                );
            }
            self.move_track(id, origin);
        } else {
            for request in clients {
                self.move_client(id, request, name, origin);
            }
            self.move_expecting(id, name, origin);
            self.expect_again(name);
        }
    }

    fn move_expecting(&mut self, id: TrackId, name: &FullTrackName, origin: Origin) {
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        let expecting = std::mem::take(&mut track.expecting);
        if !expecting.is_empty() {
            let next = self.tracks.live_or_new(name, origin);
            if let Some(track) = self.tracks.get_mut(next) {
                track.expecting.extend(expecting);
            }
            self.touch(next);
        }
        self.touch(id);
    }

    /// The track goes on with another origin's groups.
    fn move_track(&mut self, id: TrackId, origin: Origin) {
        let Some(track) = self.tracks.get(id) else { return };
        let sources: Vec<_> = track
            .sources
            .iter()
            .map(|(&session, source)| (session, source.request))
            .collect();
        for (session, request) in sources {
            self.remove_source(id, session);
            self.close(request, StreamCode::CANCELLED);
        }
        self.unwant(id);
        self.tracks.set_origin(id, origin);
        if let Some(track) = self.tracks.get_mut(id) {
            track.last_end = None;
            track.said.clear();
        }
        self.push(Output::TrackMoved { track: id });
        self.touch(id);
    }

    fn move_client(&mut self, id: TrackId, request: RequestRef, name: &FullTrackName, origin: Origin) {
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        let waiting = track
            .listeners
            .get(&request)
            .is_some_and(|listener| matches!(listener.state, ListenerState::Waiting { .. }));
        if !waiting {
            self.end_listener(
                id,
                request,
                PublishDoneCode::TRACK_ENDED,
                "the track goes on elsewhere",
            );
            return;
        }
        track.unserved.remove(&request);
        if let Some(listener) = track.listeners.remove(&request) {
            let next = self.tracks.live_or_new(name, origin);
            self.move_listener(next, request, listener);
            self.touch(next);
        }
        self.touch(id);
    }

    /// The names that clients ask for, each with the origin it is pinned to.
    pub fn client_tracks(&self) -> impl Iterator<Item = (&FullTrackName, Origin)> {
        self.tracks
            .iter()
            .filter(|(_, track)| {
                !track.ended
                    && (!track.expecting.is_empty()
                        || track
                            .listeners
                            .values()
                            .any(|listener| listener.asker == Asker::Client))
            })
            .map(|(_, track)| (&track.name, track.origin))
            .filter(|(name, origin)| self.mesh.pinned(name) == *origin)
    }

    /// The origin that clients of a name are served from.
    pub fn pinned(&self, name: &FullTrackName) -> Origin {
        self.mesh.pinned(name)
    }

    /// How many subscriptions a session has here.
    pub fn subscriptions(&self, session: SessionId) -> usize {
        self.sessions
            .get(&session)
            .map_or(0, |session| session.count(Kind::Subscribe))
    }

    /// Whether somebody at this node publishes the track.
    pub fn is_published_here(&self, name: &FullTrackName) -> bool {
        !self.publishers(name, Origin::Here).is_empty()
    }
}
