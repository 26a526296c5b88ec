//! PUBLISH, from publishers and to those who asked for tracks with SUBSCRIBE_TRACKS.

use std::collections::BTreeSet;

use headwater_pubsub::wire::{FullTrackName, Parameters, RequestErrorCode, StreamCode, TrackNamespace};

use super::Hub;
use super::input::{Identity, Origin, RequestKey, RequestRef, Rights, SessionId, Tag, TrackId};
use super::listen::{listener_of, refuse_reserved};
use super::namespaces::Interest;
use super::opened::{Opened, Purpose};
use super::output::{Outgoing, Output};
use super::refusals::{Refusal, error};
use super::session::{Incoming, Kind, TracksInterest};
use super::tracks::{Asker, Listener, ListenerState, Source, SourceState, Track};
use crate::overlay::message::Entry;

impl Hub {
    pub(super) fn publish(
        &mut self,
        session: SessionId,
        key: RequestKey,
        name: &FullTrackName,
        dynamic: bool,
    ) {
        let request = RequestRef::Peer(session, key);
        if let Err(refusal) = self.admit_publish(session, name) {
            self.reject(request, refusal);
            return;
        }
        let id = self.tracks.live_or_new(name, Origin::Here);
        let new = !self.tracks.get(id).is_some_and(Track::is_published);
        // Our own SUBSCRIBE has to be over before PUBLISH_OK. draft section "Subscriptions"
        if let Some(crossed) = self.remove_source(id, session) {
            self.close(crossed.request, StreamCode::CANCELLED);
        }
        self.hold_request(session, key, Incoming::Publish { track: id });
        self.create(id);
        self.forgive(session, id);
        self.refusals.remove(&(session, name.clone()));
        let offered = self.will_offer(session, name);
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        let forward = offered || track.wants_objects() || !self.config.pause_publications;
        let state = if forward {
            SourceState::Flowing
        } else {
            SourceState::Stopped
        };
        track.last_end = None;
        track.sources.insert(session, Source::new(request, state));
        let new_group_request = track.new_group_awaited().filter(|_| dynamic);
        if let Some(value) = new_group_request {
            track.groups.sent(value);
        }
        let step = track.groups.learn(dynamic);
        self.push(Output::AcceptPublish {
            request,
            track: id,
            forward,
            new_group_request,
        });
        self.step_groups(id, step);
        if new {
            self.announce(Entry::Track(name.clone()), true);
        }
        for (interest, _) in self.namespaces.interested(Interest::Tracks, name.namespace()) {
            self.offer(id, interest);
        }
        self.touch(id);
    }

    /// Whether a session other than the publisher's asked to be sent the objects of new tracks.
    fn will_offer(&mut self, publisher: SessionId, name: &FullTrackName) -> bool {
        self.namespaces
            .interested(Interest::Tracks, name.namespace())
            .into_iter()
            .any(|(request, _)| {
                request.session() != publisher
                    && self
                        .tracks_interest(request)
                        .is_some_and(|interest| interest.forward)
            })
    }

    fn admit_publish(&self, session: SessionId, name: &FullTrackName) -> Result<(), Refusal> {
        let state = self.admit(session, Kind::Publish)?;
        if state.rights != Rights::Publish {
            return Err(not_allowed());
        }
        refuse_reserved(name)?;
        let track = self
            .tracks
            .live(name, Origin::Here)
            .and_then(|id| self.tracks.get(id));
        if self
            .namespaces
            .is_owned_by_other(name.namespace(), &state.identity)
            || track.is_some_and(|track| self.is_fed_by_other(track, &state.identity))
        {
            return Err(owned());
        }
        let source = track.and_then(|track| track.sources.get(&session));
        if source.is_some_and(|source| source.is_established()) {
            return Err(error(
                RequestErrorCode::DUPLICATE_SUBSCRIPTION,
                "the track is subscribed to",
            ));
        }
        Ok(())
    }

    /// Whether an established source of a track acts for someone else.
    pub(super) fn is_fed_by_other(&self, track: &Track, identity: &Identity) -> bool {
        track
            .sources
            .iter()
            .filter(|(_, source)| source.is_established())
            .filter_map(|(session, _)| self.sessions.get(session))
            .any(|session| session.identity != *identity)
    }

    pub(super) fn subscribe_tracks(
        &mut self,
        session: SessionId,
        key: RequestKey,
        prefix: &TrackNamespace,
        parameters: &Parameters,
    ) {
        let request = RequestRef::Peer(session, key);
        if let Err(refusal) = self.admit_interest(Interest::Tracks, request, prefix) {
            self.reject(request, refusal);
            return;
        }
        self.namespaces
            .subscribe(Interest::Tracks, prefix, (session, key));
        let interest = TracksInterest {
            prefix: prefix.clone(),
            forward: parameters.forward.unwrap_or(true),
            offered: BTreeSet::new(),
            expected: BTreeSet::new(),
            blocked: BTreeSet::new(),
        };
        self.hold_request(session, key, Incoming::SubscribeTracks(interest));
        self.push(Output::Accept { request });
        self.offer_under(prefix, request);
        self.expect_under(prefix, request);
    }

    /// Offers every published track under a prefix.
    pub(super) fn offer_under(&mut self, prefix: &TrackNamespace, interest: RequestRef) {
        for id in self.published_under(prefix) {
            self.offer(id, interest);
        }
    }

    pub(super) fn published_under(&self, prefix: &TrackNamespace) -> Vec<TrackId> {
        self.tracks
            .under(prefix)
            .filter(|&id| self.tracks.get(id).is_some_and(Track::is_published))
            .collect()
    }

    pub(super) fn tracks_interest(&mut self, request: RequestRef) -> Option<&mut TracksInterest> {
        let RequestRef::Peer(session, key) = request else {
            return None;
        };
        match self.sessions.get_mut(&session)?.request_mut(key)? {
            Incoming::SubscribeTracks(interest) => Some(interest),
            _ => None,
        }
    }

    /// Sends PUBLISH for a track to a session that asked for tracks, unless it has the track or was offered it.
    pub(super) fn offer(&mut self, id: TrackId, interest: RequestRef) {
        let RequestRef::Peer(session, key) = interest else {
            return;
        };
        let leaving = self.sessions.get(&session).is_none_or(|session| session.leaving);
        let Some(track) = self.tracks.get(id) else { return };
        let flowing = track.is_flowing();
        let name = track.name.clone();
        let own = track
            .sources
            .get(&session)
            .is_some_and(|source| source.is_published());
        let has = listener_of(track, session).is_some() || self.listens(session, &name);
        if leaving || self.draining || own || has {
            return;
        }
        let waiting = interest;
        let Some(interest) = self.tracks_interest(interest) else {
            return;
        };
        if interest.blocked.contains(&name) || !interest.offered.insert(id) {
            return;
        }
        let forward = interest.forward;
        if forward && !flowing {
            // What was published while upstream was paused is not known here. A PUBLISH that states the largest object of before
            // would leave it out of the subscription and of the fetch that joins it.
            if let Some(track) = self.tracks.get_mut(id) {
                track.unoffered.insert(waiting);
            }
            self.touch(id);
            return;
        }
        let parameters = Parameters {
            forward: Some(forward),
            ..Parameters::default()
        };
        let request = Outgoing::Publish {
            track: id,
            name,
            parameters,
        };
        let request = self.open(session, Purpose::Offer { track: id }, request);
        let state = ListenerState::Offered { interest: key };
        if let Some(track) = self.tracks.get_mut(id) {
            track.quieter |= !forward;
            track.listeners.insert(
                request,
                Listener {
                    state,
                    asker: Asker::Client,
                    forward,
                    held: Vec::new(),
                    offer_again: false,
                },
            );
        }
        self.touch(id);
    }

    /// Makes the offers that waited for upstream to tell its largest object.
    pub(super) fn offer_waiting(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get_mut(id).filter(|track| track.is_flowing()) else {
            return;
        };
        for request in std::mem::take(&mut track.unoffered) {
            // Whoever is gone, or has another prefix by now, needs no objects either.
            let wanted = self
                .tracks_interest(request)
                .is_some_and(|interest| interest.offered.remove(&id));
            if wanted {
                self.offer(id, request);
            } else if let Some(track) = self.tracks.get_mut(id) {
                track.quieter = true;
                self.touch(id);
            }
        }
    }

    pub(super) fn offer_accepted(&mut self, id: TrackId, request: RequestRef, parameters: Parameters) {
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        let Some(listener) = track.listeners.get_mut(&request) else {
            return;
        };
        listener.state = ListenerState::Served;
        let held = std::mem::take(&mut listener.held);
        track.unserved.remove(&request);
        listener.forward = held
            .iter()
            .filter_map(|update| update.forward)
            .next_back()
            .unwrap_or_else(|| parameters.forward.unwrap_or(true));
        track.quieter |= !listener.forward;
        let new_group = parameters.new_group_request;
        self.push(Output::ServePublish {
            request,
            track: id,
            parameters,
        });
        if let Some(value) = new_group {
            self.ask_new_group(id, value);
        }
        for parameters in held {
            self.push(Output::ApplyUpdate { request, parameters });
        }
        self.serve_joining(id, request);
        self.touch(id);
    }

    /// PUBLISH_BLOCKED once, and the track is never offered to this SUBSCRIBE_TRACKS again.
    pub(super) fn offer_blocked(&mut self, tag: Tag) {
        let Some(Opened {
            session,
            purpose: Purpose::Offer { track: id },
        }) = self.forget(tag)
        else {
            return;
        };
        let offer = RequestRef::Hub(session, tag);
        let Some(track) = self.tracks.get(id) else { return };
        let name = track.name.clone();
        let interest = match track.listeners.get(&offer).map(|listener| &listener.state) {
            Some(&ListenerState::Offered { interest }) => RequestRef::Peer(session, interest),
            _ => return,
        };
        self.drop_listener(id, offer);
        self.block(&name, interest);
    }
}

/// The session may not publish.
pub(super) const fn not_allowed() -> Refusal {
    error(
        RequestErrorCode::UNAUTHORIZED,
        "this session may not publish here",
    )
}

/// Someone else publishes there.
pub(super) const fn owned() -> Refusal {
    error(RequestErrorCode::UNAUTHORIZED, "another publisher owns this name")
}
