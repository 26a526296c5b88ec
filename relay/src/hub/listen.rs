//! Downstream subscriptions: SUBSCRIBE from its arrival to its end.

use std::time::Duration;

use headwater_pubsub::wire::{FullTrackName, Parameters, RequestErrorCode};

use super::Hub;
use super::input::{Origin, RequestKey, RequestRef, SessionId, Tag, TrackId};
use super::opened::Purpose;
use super::output::Output;
use super::refusals::{Refusal, error};
use super::session::{Incoming, Kind, Session, overload};
use super::timers::Timer;
use super::tracks::{Asker, Listener, ListenerState, Track};

impl Hub {
    pub(super) fn subscribe(
        &mut self,
        session: SessionId,
        key: RequestKey,
        name: &FullTrackName,
        origin: Option<Origin>,
        parameters: Parameters,
    ) {
        let request = RequestRef::Peer(session, key);
        let asked = parameters.rendezvous_timeout_ms.unwrap_or_default() > 0;
        if let Err(refusal) = self.admit_subscribe(session, name, origin, asked) {
            self.reject(request, refusal);
            return;
        }
        let waits = asked || (origin.is_none() && self.may_hear_of(session, name));
        let asker = match origin {
            Some(_) => Asker::Neighbour,
            None => Asker::Client,
        };
        let id = self
            .tracks
            .live_or_new(name, origin.unwrap_or_else(|| self.mesh.pinned(name)));
        self.hold_request(session, key, Incoming::Subscribe { track: id });
        if let Some(session) = self.sessions.get_mut(&session)
            && waits
        {
            session.rendezvous += 1;
        }
        let patience = match parameters.rendezvous_timeout_ms {
            Some(wait) if wait > 0 => Duration::from_millis(wait).min(self.config.rendezvous),
            _ if waits => self.config.hearsay,
            _ => self.config.answer,
        };
        self.timers
            .set(Timer::Wait(request), self.now.saturating_add(patience));
        let listener = Listener {
            forward: parameters.forward.unwrap_or(true),
            asker,
            state: ListenerState::Waiting {
                parameters: Box::new(parameters),
                rendezvous: waits,
            },
            held: Vec::new(),
            offer_again: false,
        };
        if let Some(track) = self.tracks.get_mut(id) {
            track.listeners.insert(request, listener);
            track.unserved.insert(request);
            track.said.clear();
        }
        if asker == Asker::Neighbour {
            self.child_came(id, session);
        }
        self.touch(id);
    }

    /// Whether news of a publisher at another node may be on their way: to who was told of it by other means, all nodes are one.
    fn may_hear_of(&self, session: SessionId, name: &FullTrackName) -> bool {
        let room = |session: &Session| session.rendezvous < self.config.rendezvous_waiting;
        self.config.announces
            && self.mesh.pinned(name) == Origin::Here
            && !self.is_published_here(name)
            && self.sessions.get(&session).is_some_and(room)
    }

    fn admit_subscribe(
        &self,
        session: SessionId,
        name: &FullTrackName,
        origin: Option<Origin>,
        waits: bool,
    ) -> Result<(), Refusal> {
        let state = self.admit(session, Kind::Subscribe)?;
        refuse_reserved(name)?;
        let track = self
            .tracks
            .live(name, self.mesh.pinned(name))
            .and_then(|id| self.tracks.get(id));
        // A neighbour that comes back to us may do so before we hear that it has left.
        if origin.is_none() && track.is_some_and(|track| listener_of(track, session).is_some()) {
            return Err(error(
                RequestErrorCode::DUPLICATE_SUBSCRIPTION,
                "the session has a subscription to this track",
            ));
        }
        if waits && state.rendezvous >= self.config.rendezvous_waiting {
            return Err(overload(&self.config));
        }
        Ok(())
    }

    /// Answers every SUBSCRIBE that an established source allows to answer, and what waited for that.
    pub(super) fn serve_waiting(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get(id) else { return };
        let flowing = track.is_flowing();
        // A source that only now forwards again will tell a larger LARGEST_OBJECT than the one we know: whoever wants objects
        // is answered after that, or a joining FETCH would leave a gap.
        let ready: Vec<RequestRef> = track
            .unserved
            .iter()
            .copied()
            .filter(|request| {
                track.listeners.get(request).is_some_and(|listener| {
                    (flowing || !listener.forward) && !matches!(listener.state, ListenerState::Offered { .. })
                })
            })
            .collect();
        for request in ready {
            self.serve(id, request);
        }
    }

    fn serve(&mut self, id: TrackId, request: RequestRef) {
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        track.unserved.remove(&request);
        let Some(listener) = track.listeners.get_mut(&request) else {
            return;
        };
        let held = std::mem::take(&mut listener.held);
        let mut new_group = None;
        if let ListenerState::Waiting {
            parameters,
            rendezvous,
        } = std::mem::replace(&mut listener.state, ListenerState::Served)
        {
            new_group = parameters.new_group_request;
            self.stop_waiting(request, rendezvous);
            self.push(Output::ServeSubscribe {
                request,
                track: id,
                parameters: *parameters,
            });
        }
        for parameters in held {
            new_group = parameters.new_group_request.or(new_group);
            self.push(Output::ApplyUpdate { request, parameters });
        }
        if let Some(value) = new_group {
            self.ask_new_group(id, value);
        }
        self.serve_joining(id, request);
    }

    fn stop_waiting(&mut self, request: RequestRef, rendezvous: bool) {
        self.timers.cancel(Timer::Wait(request));
        if rendezvous && let Some(session) = self.sessions.get_mut(&request.session()) {
            session.rendezvous = session.rendezvous.saturating_sub(1);
        }
    }

    /// A SUBSCRIBE has waited long enough: for a publisher to appear, then for those that did to answer.
    pub(super) fn wait_over(&mut self, request: RequestRef) {
        let Some(id) = self.listens_to(request) else {
            return;
        };
        let pending = self
            .tracks
            .get(id)
            .is_some_and(|track| track.is_pending() && !track.is_established());
        let Some(listener) = self
            .tracks
            .get_mut(id)
            .and_then(|track| track.listeners.get_mut(&request))
        else {
            return;
        };
        let ListenerState::Waiting { rendezvous, .. } = &mut listener.state else {
            return;
        };
        if std::mem::take(rendezvous) {
            self.stop_waiting(request, true);
            self.timers
                .set(Timer::Wait(request), self.now.saturating_add(self.config.answer));
            self.touch(id);
        } else if pending || self.is_of_mesh(id) {
            self.drop_listener(id, request);
            self.reject(
                request,
                error(RequestErrorCode::TIMEOUT, "no publisher answered in time"),
            );
        } else {
            self.touch(id);
        }
    }

    /// The track that a downstream subscription is for, whoever opened it.
    pub(super) fn listens_to(&self, request: RequestRef) -> Option<TrackId> {
        match request {
            RequestRef::Peer(session, key) => match self.sessions.get(&session)?.request(key)? {
                &Incoming::Subscribe { track } => Some(track),
                _ => None,
            },
            RequestRef::Hub(_, tag) => match self.opened.get(&tag)?.purpose {
                Purpose::Offer { track } => Some(track),
                _ => None,
            },
        }
    }

    /// Forgets a downstream subscription and its request, without a word to its session.
    pub(super) fn drop_listener(&mut self, id: TrackId, request: RequestRef) {
        self.forget_request(request);
        let Some(track) = self.tracks.get_mut(id) else {
            return;
        };
        let Some(listener) = track.listeners.remove(&request) else {
            return;
        };
        track.unserved.remove(&request);
        track.quieter = true;
        if let ListenerState::Waiting { rendezvous, .. } = listener.state {
            self.stop_waiting(request, rendezvous);
        }
        if listener.asker == Asker::Neighbour {
            self.child_left(id, request.session());
        }
        self.refuse_joining(request);
        self.touch(id);
    }
}

/// The subscription of a session to a track, whichever way it began.
pub(super) fn listener_of(track: &Track, session: SessionId) -> Option<RequestRef> {
    let theirs = RequestRef::Peer(session, RequestKey(0))..=RequestRef::Peer(session, RequestKey(u64::MAX));
    let ours = RequestRef::Hub(session, Tag(0))..=RequestRef::Hub(session, Tag(u64::MAX));
    let mut found = track.listeners.range(theirs).chain(track.listeners.range(ours));
    found.next().map(|(&request, _)| request)
}

/// What nobody publishes here. draft sections "Reserved Namespaces", "Session-Level Tracks and Namespaces"
pub(super) fn refuse_reserved(name: &FullTrackName) -> Result<(), Refusal> {
    if name.namespace().is_dot() || name.namespace().is_session() {
        return Err(error(
            RequestErrorCode::DOES_NOT_EXIST,
            "the namespace is reserved",
        ));
    }
    Ok(())
}
