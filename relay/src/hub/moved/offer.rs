//! Our PUBLISH, which a subscriber wants made again: the old subscription ends with PUBLISH_DONE, then the track is offered anew on
//! the same session, since a subscriber is a client of this node and can name no other place.
//!
//! A session has one subscription of a track at most: the new PUBLISH follows PUBLISH_DONE. The two travel on streams of their own,
//! and a subscriber that hears of the new one first refuses it as a duplicate; it is then offered once more.
//!
//! What is under way when the old subscription ends is reset: the new PUBLISH tells the largest object, up to which the subscriber
//! fetches what it misses.

use headwater_pubsub::wire::control::RequestError;
use headwater_pubsub::wire::{PublishDoneCode, RequestErrorCode, StreamCode};

use crate::hub::Hub;
use crate::hub::input::{RequestRef, SessionId, TrackId};
use crate::hub::namespaces::Interest;
use crate::hub::output::Output;
use crate::hub::tracks::ListenerState;

impl Hub {
    pub(super) fn move_offer(&mut self, id: TrackId, request: RequestRef) {
        let session = request.session();
        let again = !self.goes_in_circles(id, session);
        let Some(listener) = self
            .tracks
            .get_mut(id)
            .and_then(|track| track.listeners.get_mut(&request))
        else {
            return;
        };
        if matches!(listener.state, ListenerState::Served) {
            if std::mem::replace(&mut listener.offer_again, again) {
                return;
            }
            self.push(Output::Withdraw {
                request,
                code: PublishDoneCode::GOING_AWAY,
                reason: "the subscriber sent the track elsewhere".to_owned(),
            });
            return;
        }
        self.close(request, StreamCode::GOING_AWAY);
        self.drop_listener(id, request);
        if again {
            self.offer_again(id, session);
        }
    }

    /// A downstream subscription is over: the data plane is done with it, or the peer ended it.
    pub(in crate::hub) fn listener_ended(&mut self, id: TrackId, request: RequestRef) {
        let again = self
            .tracks
            .get(id)
            .and_then(|track| track.listeners.get(&request))
            .is_some_and(|listener| listener.offer_again);
        self.drop_listener(id, request);
        if again {
            self.offer_again(id, request.session());
        }
    }

    /// A subscriber refused our PUBLISH.
    pub(in crate::hub) fn offer_refused(&mut self, id: TrackId, request: RequestRef, refusal: &RequestError) {
        self.drop_listener(id, request);
        let session = request.session();
        let moved = self
            .tracks
            .get(id)
            .is_some_and(|track| track.moves.contains_key(&session));
        if refusal.code == RequestErrorCode::DUPLICATE_SUBSCRIPTION
            && moved
            && !self.goes_in_circles(id, session)
        {
            self.offer_again(id, session);
        }
    }

    fn offer_again(&mut self, id: TrackId, session: SessionId) {
        let Some(track) = self.tracks.get(id) else { return };
        let namespace = track.name.namespace().clone();
        for (interest, _) in self.namespaces.interested(Interest::Tracks, &namespace) {
            let offered = |interest: &mut crate::hub::session::TracksInterest| interest.offered.remove(&id);
            if interest.session() == session && self.tracks_interest(interest).is_some_and(offered) {
                self.offer(id, interest);
            }
        }
    }
}
