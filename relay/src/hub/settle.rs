//! What follows from any change to a track.
//!
//! Whatever happens to a track only marks it; [`Hub::settle`] then looks at what is there and does what is due: ask publishers,
//! answer who waits, adjust the forward state upstream, end the track, let it rest.

use headwater_pubsub::wire::control::RequestError;
use headwater_pubsub::wire::{Parameters, PublishDoneCode, RequestErrorCode, StreamCode};

use super::Hub;
use super::input::{RequestRef, TrackId};
use super::output::Output;
use super::refusals::{error, is_verdict, most_useful};
use super::session::Incoming;
use super::timers::Timer;
use super::tracks::{Asker, Listener, ListenerState, Repair, SourceState};
use super::{Interest, SessionId};

impl Hub {
    /// Marks a track as changed.
    pub(super) fn touch(&mut self, id: TrackId) {
        self.dirty.insert(id);
    }

    pub(super) fn settle_all(&mut self) {
        while let Some(id) = self.dirty.pop_first() {
            self.settle(id);
        }
    }

    fn settle(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        if track.ended {
            if track.fetches.is_empty() {
                self.drop_track(id);
            }
            return;
        }
        track
            .said
            .retain(|session, _| self.sessions.contains_key(session));
        track
            .backoff
            .retain(|session, _| self.sessions.contains_key(session));
        track
            .moves
            .retain(|session, _| self.sessions.contains_key(session));
        let again = track.sources.values().any(|source| source.again.is_some());
        if track.repair == Repair::Due && !again {
            // The subscription that was to be made again will not be: what it missed is not known.
            track.repair = Repair::Done;
            self.bridged(id);
        }
        self.pursue(id);
        if self.is_of_mesh(id) && !self.settle_in_mesh(id) {
            return;
        }
        let Some(track) = self.tracks.get(id) else { return };
        if track.is_established() {
            self.offer_expected(id);
            self.adjust_forward(id);
            self.serve_waiting(id);
            self.offer_waiting(id);
        } else if !self.is_of_mesh(id) && !track.is_pending() && !self.give_up(id) {
            return;
        }
        self.rest(id);
    }

    /// Nothing feeds the track and nobody will. Whether it lives on, for those who wait.
    fn give_up(&mut self, id: TrackId) -> bool {
        let Some(track) = self.tracks.get_mut(id) else {
            return false;
        };
        if let Some((code, reason)) = track.last_end.take() {
            // Our subscription has no filter: what ends it as served to its end ends the track. Other reasons are between us and
            // the publisher, and tell subscribers only that they may ask again.
            let code = match code {
                PublishDoneCode::MALFORMED_TRACK | PublishDoneCode::TRACK_ENDED => code,
                PublishDoneCode::SUBSCRIPTION_ENDED => PublishDoneCode::TRACK_ENDED,
                _ => PublishDoneCode::INTERNAL_ERROR,
            };
            self.retire(id, code, reason);
            return false;
        }
        // There is no source whose largest object they could wait for.
        for request in std::mem::take(&mut track.unoffered) {
            if let Some(interest) = self.tracks_interest(request) {
                interest.offered.remove(&id);
            }
        }
        let said = self.said(id);
        let verdict = said.iter().any(|refusal| is_verdict(refusal.code));
        let Some(track) = self.tracks.get(id) else {
            return false;
        };
        let refuse: Vec<(RequestRef, bool)> = track
            .waiting()
            .filter(|(_, _, rendezvous)| verdict || !rendezvous || self.draining)
            .map(|(request, parameters, _)| {
                (request, parameters.rendezvous_timeout_ms.unwrap_or_default() > 0)
            })
            .collect();
        for (request, waited) in refuse {
            let refusal = self.why_not(&said, waited);
            self.drop_listener(id, request);
            self.reject(request, refusal);
        }
        true
    }

    /// What a SUBSCRIBE is told when no publisher serves it.
    fn why_not(&self, said: &[RequestError], waited: bool) -> RequestError {
        if self.draining {
            return error(RequestErrorCode::GOING_AWAY, "the relay is going away").into();
        }
        let own: RequestError = if waited {
            error(RequestErrorCode::TIMEOUT, "no publisher appeared in time")
        } else {
            error(RequestErrorCode::DOES_NOT_EXIST, "no publisher has this track")
        }
        .into();
        most_useful(said.iter().cloned().chain([own.clone()])).unwrap_or(own)
    }

    /// Ends one life of a track: who is served is told, who waits goes on waiting for the next life.
    pub(super) fn retire(&mut self, id: TrackId, code: PublishDoneCode, reason: String) {
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        let listeners = std::mem::take(&mut track.listeners);
        track.unserved.clear();
        track.expecting.clear();
        track.ended = true;
        let (name, origin, created) = (track.name.clone(), track.origin, track.created);
        self.timers.cancel(Timer::Linger(id));
        self.unwant(id);
        self.tracks.unname(id);
        self.forget_offers(id);
        let mut waiting = Vec::new();
        for (request, listener) in listeners {
            if listener.asker == Asker::Neighbour {
                self.child_left(id, request.session());
            }
            match listener.state {
                ListenerState::Waiting { .. } => waiting.push((request, listener)),
                ListenerState::Offered { .. } => {
                    self.forget_request(request);
                    self.push(Output::EndSubscription {
                        request,
                        code,
                        reason: reason.clone(),
                    });
                    self.refuse_joining(request);
                }
                ListenerState::Served => {
                    self.forget_request(request);
                    self.refuse_joining(request);
                }
            }
        }
        if created {
            self.push(Output::TrackEnded {
                track: id,
                code,
                reason,
            });
        }
        if !waiting.is_empty() {
            let next = self.tracks.live_or_new(&name, origin);
            for (request, listener) in waiting {
                let neighbour = listener.asker == Asker::Neighbour;
                self.move_listener(next, request, listener);
                if neighbour {
                    self.child_came(next, request.session());
                }
            }
            self.touch(next);
        }
        // Published anew before the end of the old was heard. What is malformed here is so again.
        if code != PublishDoneCode::MALFORMED_TRACK {
            self.expect_again(&name);
        }
        self.touch(id);
    }

    pub(super) fn move_listener(&mut self, to: TrackId, request: RequestRef, listener: Listener) {
        if let RequestRef::Peer(session, key) = request
            && let Some(Incoming::Subscribe { track }) = self
                .sessions
                .get_mut(&session)
                .and_then(|session| session.request_mut(key))
        {
            *track = to;
        }
        if let Some(track) = self.tracks.get_mut(to) {
            track.listeners.insert(request, listener);
            track.unserved.insert(request);
        }
    }

    /// Brings the forward state of every source to what the listeners need.
    fn adjust_forward(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        let wanted = track.wants_objects();
        let quieter = std::mem::take(&mut track.quieter);
        // What opens with forward state 1 keeps it until a listener gives it up; a track that rests keeps it while it lingers.
        if !wanted && (!quieter || track.is_idle()) {
            return;
        }
        let pause = self.config.pause_publications;
        let turned: Vec<SessionId> = track
            .sources
            .iter()
            .filter(|(_, source)| source.is_established() && (pause || !source.is_published()))
            .filter(|(_, source)| wanted == (source.state == SourceState::Stopped))
            .map(|(&session, _)| session)
            .collect();
        for session in turned {
            self.set_forward(id, session, wanted);
        }
    }

    pub(super) fn set_forward(&mut self, id: TrackId, session: SessionId, forward: bool) {
        let restart = Timer::Restart(id, session);
        let Some(source) = self
            .tracks
            .get_mut(id)
            .and_then(|track| track.sources.get_mut(&session))
        else {
            return;
        };
        source.unanswered += 1;
        source.state = if forward {
            SourceState::Starting
        } else {
            SourceState::Stopped
        };
        let request = source.request;
        if forward {
            self.timers
                .set(restart, self.now.saturating_add(self.config.answer));
        } else {
            self.timers.cancel(restart);
        }
        let parameters = Parameters {
            forward: Some(forward),
            ..Parameters::default()
        };
        self.push(Output::Update { request, parameters });
    }

    /// Gives an idle track back after a while, or a busy one its peace.
    fn rest(&mut self, id: TrackId) {
        let pause = self.config.pause_publications;
        let Some(track) = self.tracks.get(id) else { return };
        let timer = Timer::Linger(id);
        if !track.is_idle() {
            self.timers.cancel(timer);
        } else if !track.created {
            self.drop_track(id);
        } else if track.sources.is_empty()
            || track
                .sources
                .values()
                .any(|source| !source.is_published() || (pause && source.state != SourceState::Stopped))
        {
            if !self.timers.is_set(timer) {
                self.timers
                    .set(timer, self.now.saturating_add(self.config.linger));
            }
        } else {
            self.timers.cancel(timer);
        }
    }

    pub(super) fn linger_over(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get(id) else { return };
        let sources: Vec<_> = track
            .sources
            .iter()
            .map(|(&session, &source)| (session, source))
            .collect();
        for (session, source) in sources {
            if !source.is_published() {
                self.remove_source(id, session);
                self.close(source.request, StreamCode::CANCELLED);
            } else if self.config.pause_publications && source.state != SourceState::Stopped {
                self.set_forward(id, session, false);
            }
        }
        self.unwant(id);
        if self.tracks.get(id).is_some_and(|track| track.sources.is_empty()) {
            self.drop_track(id);
        }
    }

    /// Tells the node of the track, once.
    pub(super) fn create(&mut self, id: TrackId) {
        if let Some(track) = self.tracks.get_mut(id)
            && !track.created
        {
            track.created = true;
            let name = track.name.clone();
            self.push(Output::TrackCreated { track: id, name });
        }
    }

    fn drop_track(&mut self, id: TrackId) {
        self.timers.cancel(Timer::Linger(id));
        self.unwant(id);
        self.forget_offers(id);
        self.end_repairs(id);
        if let Some(track) = self.tracks.remove(id) {
            self.mesh.unpin(&track.name, track.origin);
            if track.created {
                self.push(Output::TrackDropped { track: id });
            }
        }
    }

    /// A source broke the rules of its track: everything that came of it ends.
    pub(super) fn malformed(&mut self, request: RequestRef) {
        let Some(id) = self
            .source_of(request)
            .map(|(id, _)| id)
            .or_else(|| self.filled_by(request))
        else {
            return;
        };
        let Some(track) = self.tracks.get(id) else { return };
        let sources: Vec<_> = track
            .sources
            .iter()
            .map(|(&session, source)| (session, source.request))
            .collect();
        let refusal = error(
            RequestErrorCode::MALFORMED_TRACK,
            "the publisher broke the rules of the track",
        );
        self.refused(id, request.session(), refusal);
        for (session, source) in sources {
            self.remove_source(id, session);
            self.close(source, StreamCode::MALFORMED_TRACK);
        }
        self.end_fetches(id);
        self.retire(
            id,
            PublishDoneCode::MALFORMED_TRACK,
            "the track is malformed".to_owned(),
        );
    }

    /// The node drains: those who wait for a publisher are sent away.
    pub(super) fn drain(&mut self) {
        self.draining = true;
        let waiting: Vec<TrackId> = self
            .tracks
            .iter()
            .filter(|(_, track)| !track.is_established())
            .map(|(id, _)| id)
            .collect();
        for id in waiting {
            self.touch(id);
        }
    }

    /// Takes a track off the lists of what was offered.
    fn forget_offers(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get(id) else { return };
        let namespace = track.name.namespace().clone();
        for (request, _) in self.namespaces.interested(Interest::Tracks, &namespace) {
            if let Some(interest) = self.tracks_interest(request) {
                interest.offered.remove(&id);
            }
        }
    }
}
