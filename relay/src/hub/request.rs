//! Requests of peers as such: letting them in, refusing them, and what their end means.

use headwater_pubsub::wire::control::RequestError;
use headwater_pubsub::wire::{RequestErrorCode, StreamCode};

use super::Hub;
use super::input::{RequestKey, RequestRef, SessionId};
use super::namespaces::Interest;
use super::opened::{Opened, Purpose};
use super::output::Output;
use super::refusals::{Refusal, error};
use super::session::{Incoming, Kind, Session};
use super::tracks::SourceState;

impl Hub {
    /// Whether the session may make one more request of a kind.
    pub(super) fn admit(&self, session: SessionId, kind: Kind) -> Result<&Session, Refusal> {
        if self.draining {
            return Err(error(RequestErrorCode::GOING_AWAY, "the relay is going away"));
        }
        let session = self
            .sessions
            .get(&session)
            .ok_or_else(|| error(RequestErrorCode::INTERNAL_ERROR, "the session is down"))?;
        session.admit(kind, &self.config)?;
        Ok(session)
    }

    pub(super) fn hold_request(&mut self, session: SessionId, key: RequestKey, request: Incoming) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.insert(key, request);
        }
    }

    pub(super) fn take_request(&mut self, session: SessionId, key: RequestKey) -> Option<Incoming> {
        self.sessions.get_mut(&session)?.remove(key)
    }

    pub(super) fn take_peer_request(&mut self, request: RequestRef) -> Option<Incoming> {
        match request {
            RequestRef::Peer(session, key) => self.take_request(session, key),
            RequestRef::Hub(..) => None,
        }
    }

    /// Refuses a request and forgets it.
    pub(super) fn reject(&mut self, request: RequestRef, error: impl Into<RequestError>) {
        self.forget_request(request);
        self.push(Output::Reject {
            request,
            error: error.into(),
        });
    }

    /// The peer ended a request stream.
    pub(super) fn cancelled(&mut self, request: RequestRef) {
        match request {
            RequestRef::Hub(_, tag) => {
                if let Some(opened) = self.forget(tag) {
                    self.broken_off(request, opened);
                }
            }
            RequestRef::Peer(session, key) => {
                if let Some(incoming) = self.take_request(session, key) {
                    self.withdrawn(session, key, incoming);
                }
            }
        }
    }

    /// The data plane is done with a subscription or fetch that it served.
    pub(super) fn ended_by_node(&mut self, request: RequestRef) {
        if let Some(id) = self.listens_to(request) {
            self.listener_ended(id, request);
        } else if let RequestRef::Peer(session, key) = request
            && matches!(
                self.sessions.get(&session).and_then(|s| s.request(key)),
                Some(Incoming::Fetch(_))
            )
        {
            self.cancelled(request);
        }
    }

    /// The session is gone: it publishes nothing, asks nothing and answers nothing any more.
    pub(super) fn session_down(&mut self, session: SessionId) {
        let Some(mut gone) = self.sessions.remove(&session) else {
            return;
        };
        self.refusals.forget(session, |_| true);
        self.fetch_refusals.forget(session, |_| true);
        for tag in std::mem::take(&mut gone.tags) {
            if let Some(opened) = self.forget(tag) {
                self.broken_off(RequestRef::Hub(session, tag), opened);
            }
        }
        let keys: Vec<RequestKey> = gone.requests().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(incoming) = gone.remove(key) {
                self.withdrawn(session, key, incoming);
            }
        }
    }

    /// A request of the hub, already forgotten, broke off.
    fn broken_off(&mut self, request: RequestRef, opened: Opened) {
        let RequestRef::Hub(session, tag) = request else {
            return;
        };
        let refusal = error(RequestErrorCode::INTERNAL_ERROR, "the publisher broke off");
        match opened.purpose {
            Purpose::Subscribe { track } => {
                let asked = self
                    .tracks
                    .get(track)
                    .and_then(|track| track.sources.get(&session));
                if asked.is_some_and(|source| source.state == SourceState::Asked) {
                    self.remove_source(track, session);
                    self.refused(track, session, refusal);
                } else {
                    self.source_left(track, session, None);
                }
            }
            // One that is being moved ends by the peer's reset as well as by our PUBLISH_DONE.
            Purpose::Offer { track } => self.listener_ended(track, request),
            Purpose::Fill(fill) => self.fill_refused(tag, session, &fill, &refusal.into()),
            Purpose::Repair { track } => self.repair_over(track, request),
            Purpose::Status { of } => self.status_refused(of, session, refusal.into()),
        }
    }

    /// A request of a peer, already forgotten, was withdrawn.
    fn withdrawn(&mut self, session: SessionId, key: RequestKey, incoming: Incoming) {
        let request = RequestRef::Peer(session, key);
        let by = (session, key);
        match incoming {
            Incoming::Subscribe { track } => self.drop_listener(track, request),
            Incoming::Publish { track } => self.source_left(track, session, None),
            Incoming::Fetch(fetch) => self.fetch_over(request, &fetch),
            Incoming::TrackStatus(status) => {
                if let Some(tag) = status.tag
                    && let Some(opened) = self.opened.get(&tag)
                {
                    self.close(RequestRef::Hub(opened.session, tag), StreamCode::CANCELLED);
                }
            }
            Incoming::PublishNamespace { namespace } => self.withdraw_namespace(&namespace, by),
            Incoming::SubscribeNamespace { prefix } => {
                self.namespaces.unsubscribe(Interest::Namespaces, &prefix, by);
            }
            Incoming::SubscribeTracks(interest) => {
                self.expect_nothing(&interest, request);
                self.namespaces
                    .unsubscribe(Interest::Tracks, &interest.prefix, by);
            }
        }
    }
}
