//! Which publishers a track can be had from, and asking them.
//!
//! [`Hub::publishers`] is the one place that answers the first question.

use std::collections::BTreeSet;

use headwater_pubsub::wire::control::RequestError;
use headwater_pubsub::wire::parameter::ExtensionParameters;
use headwater_pubsub::wire::{FullTrackName, Parameters};

use super::Hub;
use super::input::{Origin, SessionId, TrackId};
use super::opened::Purpose;
use super::output::{Outgoing, UpstreamState};
use super::timers::Timer;
use super::tracks::{Source, SourceState};

impl Hub {
    /// Sessions that may be asked for a track: those that published its namespace or a prefix of it, and those that published
    /// the track itself (draft section "Publisher Interactions").
    ///
    /// For a track of the mesh: the neighbours that the overlay names.
    pub(super) fn publishers(&self, name: &FullTrackName, origin: Origin) -> BTreeSet<SessionId> {
        let track = self.tracks.live(name, origin).and_then(|id| self.tracks.get(id));
        if let Origin::Node(node) = origin {
            let upstreams = track.and_then(|track| track.upstreams.as_ref());
            return match upstreams.filter(|upstreams| !upstreams.is_empty()) {
                Some(upstreams) => upstreams.clone(),
                None => self.mesh.route(node).into_iter().collect(),
            };
        }
        let mut found = self.namespaces.publishers(name.namespace());
        if let Some(track) = track {
            found.extend(
                track
                    .sources
                    .iter()
                    .filter(|(_, source)| source.is_published())
                    .map(|(&s, _)| s),
            );
        }
        found.retain(|session| self.sessions.get(session).is_some_and(|session| !session.leaving));
        found
    }

    /// Sends SUBSCRIBE to every publisher that is no source of the track yet and did not just refuse it.
    pub(super) fn pursue(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get(id) else { return };
        if self.draining || !track.is_wanted() {
            return;
        }
        let name = track.name.clone();
        if self.is_of_mesh(id) {
            self.pursue_in_mesh(id, &name);
            return;
        }
        let ask: Vec<SessionId> = self
            .publishers(&name, Origin::Here)
            .into_iter()
            .filter(|session| !track.sources.contains_key(session) && !track.said.contains_key(session))
            .filter(|&session| self.refusals.get(session, &name).is_none())
            .collect();
        for session in ask {
            self.ask(id, &name, session);
        }
    }

    pub(super) fn ask(&mut self, id: TrackId, name: &FullTrackName, session: SessionId) {
        self.create(id);
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        let origin = track.origin;
        let new_group_request = track.new_group_awaited();
        if let Some(value) = new_group_request {
            track.groups.sent(value);
        }
        let parameters = Parameters {
            // A subscription cannot be widened later, so it begins without a filter: also what a publisher sends late, or
            // published while it answered, is somebody's. Priority, order and timeouts are no subscriber's business.
            // draft sections "Subscriber Interactions", "Forward Handling"
            filter: None,
            forward: Some(true),
            new_group_request,
            // From where on a neighbour wants a track that is cold here is what this node has to ask for.
            extensions: if origin == Origin::Here {
                ExtensionParameters::empty()
            } else {
                track.extensions_awaited()
            },
            ..Parameters::default()
        };
        let request = Outgoing::Subscribe {
            track: id,
            name: name.clone(),
            origin,
            parameters,
        };
        let request = self.open(session, Purpose::Subscribe { track: id }, request);
        if let Some(track) = self.tracks.get_mut(id) {
            track
                .sources
                .insert(session, Source::new(request, SourceState::Asked));
        }
    }

    /// A publisher refused a track: it is left in peace for a while, longer each time.
    pub(super) fn refused(&mut self, id: TrackId, session: SessionId, error: impl Into<RequestError>) {
        let error = error.into();
        if !self.sessions.contains_key(&session) {
            return;
        }
        if self.is_of_mesh(id) {
            self.upstream_lost(id, session, UpstreamState::Refused);
            return;
        }
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        let span = track
            .backoff
            .get(&session)
            .copied()
            .unwrap_or(self.config.refusal);
        track
            .backoff
            .insert(session, span.saturating_mul(2).min(self.config.refusal_max));
        track.said.insert(session, error.clone());
        let key = (session, track.name.clone());
        self.refusals
            .add(key, self.now.saturating_add(span), error, self.config.refusals);
    }

    /// A publisher may be asked again for the tracks that `which` picks: it showed that it has something new.
    pub(super) fn forgive(&mut self, session: SessionId, id: TrackId) {
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        track.said.remove(&session);
        track.backoff.remove(&session);
    }

    /// A refusal no longer counts: a subscriber that waits for the track has its publisher asked again.
    pub(super) fn refusal_over(&mut self, session: SessionId, name: &FullTrackName) {
        let Some(id) = self.tracks.live(name, Origin::Here) else {
            return;
        };
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        if track.waiting().any(|(_, _, rendezvous)| rendezvous) && !track.is_established() {
            track.said.remove(&session);
            self.touch(id);
        }
    }

    /// What the publishers of a track said when asked for it.
    pub(super) fn said(&self, id: TrackId) -> Vec<RequestError> {
        let Some(track) = self.tracks.get(id) else {
            return Vec::new();
        };
        self.publishers(&track.name, track.origin)
            .into_iter()
            .filter_map(|session| {
                track
                    .said
                    .get(&session)
                    .or_else(|| self.refusals.get(session, &track.name))
                    .cloned()
            })
            .collect()
    }

    /// Takes a source from its track, with its timers.
    pub(super) fn remove_source(&mut self, id: TrackId, session: SessionId) -> Option<Source> {
        let source = self.tracks.get_mut(id)?.sources.remove(&session)?;
        self.timers.cancel(Timer::Crossing(id, session));
        self.timers.cancel(Timer::Restart(id, session));
        self.touch(id);
        Some(source)
    }
}
