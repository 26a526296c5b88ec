//! GOAWAY on the stream of a request that we made (draft section "GOAWAY"): who made it is told, and what the client made by itself
//! it makes again, which is the PUBLISH of a track for a SUBSCRIBE_TRACKS of the peer.
//!
//! On the same session the old subscription has to be over before the track is offered again, or the peer takes the new one for a
//! duplicate; it may still hear of them in the other order, refuses then, and is asked once more. At another URI it is for the
//! caller to serve the track.

use std::time::Duration;

use super::{
    Client,
    state::{Goaway, GoawayWatch, Inner, Offer, Serving, ServingKind},
};
use crate::{
    net::SessionHandle,
    session::{RequestKey, Time},
    wire::{FullTrackName, PublishDoneCode, RequestErrorCode, StreamCode},
};

/// How often in a row an offer is made again.
const MOVES: u32 = 5;
/// After how long without one the counting begins anew.
const STEADY: Duration = Duration::from_secs(10);

impl Offer {
    pub(super) const fn first(watcher: RequestKey) -> Self {
        Self {
            watcher,
            moves: 0,
            moved: Time::ZERO,
            accepted: false,
            again: false,
        }
    }

    /// The offer that follows this one, if it was not made too often.
    fn next(self, now: Time) -> Option<Self> {
        let steady = self.moved.saturating_add(STEADY) <= now;
        let moves = if steady { 1 } else { self.moves.saturating_add(1) };
        (moves <= MOVES).then_some(Self {
            moves,
            moved: now,
            ..Self::first(self.watcher)
        })
    }
}

impl Inner {
    /// The peer wants a request made elsewhere.
    pub(super) fn sent_elsewhere(&self, session: &SessionHandle, key: RequestKey, goaway: Goaway) {
        let told = self.state().goaways.get(&key).map(|told| {
            // It ends by itself after the timeout.
            told.send_replace(Some(goaway.clone()));
        });
        let serving = self.serving(key);
        if told.is_none()
            && let Some(Serving {
                track,
                kind: ServingKind::Publication { offer: Some(_), .. },
            }) = serving
        {
            if goaway.uri.is_empty() {
                self.withdraw_offer(session, key);
            } else if let Some(told) = self.state().offers_elsewhere.get(track.name()) {
                told.send_replace(Some(goaway));
            }
        }
    }

    fn withdraw_offer(&self, session: &SessionHandle, key: RequestKey) {
        let over = {
            let mut state = self.state();
            let Some(Serving {
                kind: ServingKind::Publication {
                    offer: Some(offer), ..
                },
                ..
            }) = state.serving.get_mut(&key)
            else {
                return;
            };
            offer.again = true;
            if offer.accepted {
                None
            } else {
                state.serving.remove(&key)
            }
        };
        match over {
            Some(serving) => {
                session.act(|session, _| session.cancel(key, StreamCode::GOING_AWAY));
                self.offer_ended(session, &serving);
            }
            None => session.end_subscription(
                key,
                PublishDoneCode::GOING_AWAY,
                "sent elsewhere by the subscriber",
            ),
        }
    }

    /// A subscription that we served is over.
    pub(super) fn offer_ended(&self, session: &SessionHandle, ended: &Serving) {
        if let ServingKind::Publication {
            offer: Some(offer), ..
        } = ended.kind
            && offer.again
        {
            self.offer_again(session, offer, ended);
        }
    }

    /// The peer refused an offer.
    pub(super) fn offer_refused(&self, session: &SessionHandle, refused: &Serving, code: RequestErrorCode) {
        if let ServingKind::Publication {
            offer: Some(offer), ..
        } = refused.kind
            && offer.moves > 0
            && code == RequestErrorCode::DUPLICATE_SUBSCRIPTION
        {
            self.offer_again(session, offer, refused);
        }
    }

    fn offer_again(&self, session: &SessionHandle, offer: Offer, before: &Serving) {
        let wanted = {
            let state = self.state();
            state.track_watchers.contains_key(&offer.watcher)
                && state.served.contains_key(before.track.name())
        };
        if wanted && let Some(offer) = offer.next(session.now()) {
            self.offer(session, offer, before.track.clone());
        }
    }
}

impl Client {
    /// Hears whether the peer wants what it was offered of a track that we serve, for its SUBSCRIBE_TRACKS, offered at another URI: to
    /// be followed by [serving](Client::serve) the track there and, here, [no more](Client::stop_serving). It goes on until then.
    /// What the peer wants offered on this session again, is.
    pub fn offers_goaway(&self, track: &FullTrackName) -> GoawayWatch {
        let state = self.inner.state();
        GoawayWatch {
            heard: state.offers_elsewhere.get(track).map(|told| told.subscribe()),
        }
    }
}
