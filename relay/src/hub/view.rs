//! What a hub shows of itself, for status pages and metrics.

use std::collections::BTreeSet;

use headwater_pubsub::wire::{FullTrackName, TrackNamespace};

use super::Hub;
use super::input::{Identity, Origin, RequestRef, Rights, SessionId, TrackId};
use super::session::Kind;
use super::tracks::{Asker, ListenerState};

/// A session as the hub sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView<'a> {
    /// Its number.
    pub session: SessionId,
    /// Who it acts for.
    pub identity: &'a Identity,
    /// What it may do.
    pub rights: Rights,
    /// Namespaces it published.
    pub namespaces: usize,
    /// Tracks it published by PUBLISH.
    pub publications: usize,
    /// SUBSCRIBEs, waiting or served.
    pub subscriptions: usize,
    /// FETCHes, waiting or served.
    pub fetches: usize,
    /// SUBSCRIBE_NAMESPACEs and SUBSCRIBE_TRACKSs.
    pub namespace_subscriptions: usize,
    /// Requests of the hub in this session.
    pub opened: usize,
}

/// A published namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceView<'a> {
    /// The namespace.
    pub namespace: &'a TrackNamespace,
    /// How many PUBLISH_NAMESPACEs uphold it.
    pub publishers: usize,
}

/// A track as the hub sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackView<'a> {
    /// Its number.
    pub track: TrackId,
    /// Its name.
    pub name: &'a FullTrackName,
    /// Where it is published.
    pub origin: Origin,
    /// Established upstream subscriptions.
    pub sources: usize,
    /// Upstream subscriptions asked for.
    pub pending_sources: usize,
    /// Downstream subscriptions being served.
    pub subscribers: usize,
    /// SUBSCRIBEs that wait for a publisher or its answer.
    pub waiting: usize,
    /// Downstream fetches, waiting or served.
    pub fetches: usize,
}

impl Hub {
    /// The sessions that are up, in order of their numbers.
    pub fn sessions(&self) -> impl Iterator<Item = SessionView<'_>> {
        self.sessions.iter().map(|(&session, state)| SessionView {
            session,
            identity: &state.identity,
            rights: state.rights,
            namespaces: state.count(Kind::PublishNamespace),
            publications: state.count(Kind::Publish),
            subscriptions: state.count(Kind::Subscribe),
            fetches: state.count(Kind::Fetch),
            namespace_subscriptions: state.count(Kind::NamespaceInterest),
            opened: state.tags.len(),
        })
    }

    /// The published namespaces, in their order.
    pub fn namespaces(&self) -> impl Iterator<Item = NamespaceView<'_>> {
        self.namespaces
            .iter()
            .map(|(namespace, publishers)| NamespaceView {
                namespace,
                publishers,
            })
    }

    /// The tracks, in order of their numbers.
    pub fn tracks(&self) -> impl Iterator<Item = TrackView<'_>> {
        self.tracks.iter().map(|(track, state)| {
            let sources = state
                .sources
                .values()
                .filter(|source| source.is_established())
                .count();
            let count = |wanted: fn(&ListenerState) -> bool| {
                state
                    .listeners
                    .values()
                    .filter(|listener| wanted(&listener.state))
                    .count()
            };
            TrackView {
                track,
                name: &state.name,
                origin: state.origin,
                sources,
                pending_sources: state.sources.len() - sources,
                subscribers: count(|state| matches!(state, ListenerState::Served)),
                waiting: count(|state| matches!(state, ListenerState::Waiting { .. })),
                fetches: state.fetches.len(),
            }
        })
    }

    /// The sessions with established upstream subscriptions of a track.
    pub fn upstreams(&self, track: TrackId) -> impl Iterator<Item = SessionId> + '_ {
        let sources = self
            .tracks
            .get(track)
            .into_iter()
            .flat_map(|track| &track.sources);
        sources
            .filter(|(_, source)| source.is_established())
            .map(|(&session, _)| session)
    }

    /// The neighbours that are served a track.
    pub fn children(&self, track: TrackId) -> BTreeSet<SessionId> {
        let listeners = self
            .tracks
            .get(track)
            .into_iter()
            .flat_map(|track| &track.listeners);
        listeners
            .filter(|(_, listener)| {
                listener.asker == Asker::Neighbour && matches!(listener.state, ListenerState::Served)
            })
            .map(|(&request, _)| match request {
                RequestRef::Peer(session, _) | RequestRef::Hub(session, _) => session,
            })
            .collect()
    }

    /// The live track of a name.
    pub fn track(&self, name: &FullTrackName) -> Option<TrackId> {
        self.tracks.live(name, self.mesh.pinned(name))
    }

    /// Whether nothing is held for anybody: no sessions, tracks, requests or memories.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
            && self.tracks.is_empty()
            && self.namespaces.is_empty()
            && self.mesh.is_empty()
            && self.opened.is_empty()
            && self.joining.is_empty()
            && self.refusals.is_empty()
            && self.fetch_refusals.is_empty()
            && self.deadline().is_none()
    }
}
