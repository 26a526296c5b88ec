//! Offering tracks: to the peer's SUBSCRIBE_NAMESPACE and SUBSCRIBE_TRACKS, and by our own PUBLISH (draft sections "Namespace
//! Discovery", "PUBLISH"); and taking what the peer offers.

use super::{
    Client, RequestEnd, RequestFailed,
    serve::subscribe_options,
    state::{Inner, Offer, Serving, ServingKind},
};
use crate::{
    fanout::{SubscribeError, Subscription},
    net::{
        SessionHandle,
        discovery::{Offered, OfferedTrack, refuse},
        publisher::PublishedTrack,
    },
    session::RequestKey,
    wire::{
        FullTrackName, Parameters, Properties, PublishDoneCode, StreamCode, TrackNamespace,
        control::PublishDone,
    },
};

impl Inner {
    /// The peer offers a track.
    pub(super) fn offered(
        &self,
        session: &SessionHandle,
        key: RequestKey,
        track: FullTrackName,
        parameters: Parameters,
        properties: Properties,
    ) {
        let wanting = self
            .state()
            .offers
            .iter()
            .find(|offers| offers.wants(&track))
            .cloned();
        let taken = wanting.is_some_and(|offers| {
            offers.push(Offered::Track(Box::new(OfferedTrack {
                key,
                track,
                parameters,
                properties,
            })))
        });
        if !taken {
            refuse(session, key);
        }
    }

    /// The peer wants to know of namespaces.
    pub(super) fn namespaces_wanted(
        &self,
        session: &SessionHandle,
        key: RequestKey,
        prefix: &TrackNamespace,
    ) {
        if session
            .act(|session, _| session.accept_namespace_request(key))
            .is_err()
        {
            return;
        }
        let namespaces: Vec<_> = {
            let mut state = self.state();
            state.namespace_watchers.insert(key, prefix.clone());
            state
                .served
                .keys()
                .map(FullTrackName::namespace)
                .filter(|name| name.has_prefix(prefix))
                .cloned()
                .collect()
        };
        for namespace in namespaces {
            tell_namespace(session, key, &namespace);
        }
    }

    /// The peer wants to be offered tracks.
    pub(super) fn tracks_wanted(&self, session: &SessionHandle, key: RequestKey, prefix: &TrackNamespace) {
        if session
            .act(|session, _| session.accept_namespace_request(key))
            .is_err()
        {
            return;
        }
        let tracks: Vec<_> = {
            let mut state = self.state();
            state.track_watchers.insert(key, prefix.clone());
            let wanted = state
                .served
                .iter()
                .filter(|(name, _)| name.namespace().has_prefix(prefix));
            wanted.map(|(_, track)| track.clone()).collect()
        };
        for track in tracks {
            self.offer(session, Offer::first(key), track);
        }
    }

    /// Offer a track to a SUBSCRIBE_TRACKS of the peer. One that the peer subscribes to already is not offered.
    pub(super) fn offer(&self, session: &SessionHandle, offer: Offer, track: PublishedTrack) {
        let edge = track.track().edge();
        let parameters = Parameters {
            largest_object: edge.largest,
            ..Parameters::default()
        };
        let _refused = session
            .act(|session, _| {
                let name = track.name().clone();
                let properties = track.track().properties();
                let (key, alias) = session.publish(name, parameters, properties, true)?;
                let kind = ServingKind::Publication {
                    alias,
                    edge,
                    offer: Some(offer),
                };
                let mut state = self.state();
                // What was said of an earlier offer does not concern this one.
                if let Some(told) = state.offers_elsewhere.get(track.name()) {
                    told.send_replace(None);
                }
                state.serving.insert(key, Serving { track, kind });
                Ok::<_, crate::session::RequestRefused>(())
            })
            .is_err();
    }

    /// There was no stream for an offer.
    pub(super) fn open_refused(&self, session: &SessionHandle, key: RequestKey) {
        let serving = self.state().serving.remove(&key);
        if let Some(Serving {
            track,
            kind: ServingKind::Publication {
                offer: Some(offer), ..
            },
        }) = serving
        {
            let _over = session
                .act(|session, _| session.publish_blocked(offer.watcher, track.name()))
                .is_err();
        }
        self.failed(session, key, RequestFailed::Ended(None));
    }

    /// The peer accepted our PUBLISH: its objects flow.
    pub(super) fn publish_accepted(&self, session: &SessionHandle, key: RequestKey, parameters: &Parameters) {
        let serving = {
            let mut state = self.state();
            let serving = state.serving.get_mut(&key);
            serving.map(|serving| {
                if let ServingKind::Publication {
                    offer: Some(offer), ..
                } = &mut serving.kind
                {
                    offer.accepted = true;
                }
                serving.clone()
            })
        };
        let Some(Serving {
            track,
            kind: ServingKind::Publication { alias, edge, .. },
        }) = serving
        else {
            return;
        };
        track.asked_for_group(parameters.new_group_request);
        let options = subscribe_options(parameters);
        let started = session.send_subscription(key, |now, waker| {
            Subscription::since(track.track(), edge, now, options, waker, alias)
        });
        if !self.state().serving.contains_key(&key) {
            // Given up by its handle meanwhile, which could not stop what had not begun.
            session.stop_sending(key, StreamCode::CANCELLED);
        }
        if let Err(error) = started {
            let code = match error {
                SubscribeError::InvalidRange => PublishDoneCode::SUBSCRIPTION_ENDED,
                _ => PublishDoneCode::MALFORMED_TRACK,
            };
            self.give_up(key);
            let done = PublishDone {
                code,
                stream_count: Some(0),
                reason: error.to_string(),
            };
            let _cancelled = session.act(|session, _| session.publish_done(key, done)).is_err();
            self.end_request(key, RequestEnd::Finished);
        }
    }
}

fn tell_namespace(session: &SessionHandle, key: RequestKey, namespace: &TrackNamespace) {
    // Beyond the limit of namespaces, further ones go unmentioned.
    let _full = session
        .act(|session, _| session.namespace(key, namespace))
        .is_err();
}

impl Client {
    /// Answer the peer's SUBSCRIBE, FETCH and TRACK_STATUS for this track from now on, and tell those of its requests that look
    /// for namespaces and tracks. A track of the same name that was served before is replaced for requests to come.
    pub fn serve(&self, track: &PublishedTrack) {
        let namespace = track.name().namespace();
        let (namespace_watchers, track_watchers) = {
            let mut state = self.inner.state();
            state.served.insert(track.name().clone(), track.clone());
            state.offers_elsewhere.entry(track.name().clone()).or_default();
            let wants = |watchers: &std::collections::BTreeMap<RequestKey, TrackNamespace>| {
                let wanting = watchers.iter().filter(|(_, prefix)| namespace.has_prefix(prefix));
                wanting.map(|(key, _)| *key).collect::<Vec<_>>()
            };
            (wants(&state.namespace_watchers), wants(&state.track_watchers))
        };
        for key in namespace_watchers {
            tell_namespace(&self.handle, key, namespace);
        }
        for key in track_watchers {
            self.inner.offer(&self.handle, Offer::first(key), track.clone());
        }
    }

    /// Serve a track no longer. Subscriptions to it end with PUBLISH_DONE at once and their open streams are reset; to let them
    /// finish first, end the track with [`TrackWriter::end_track`](crate::net::TrackWriter::end_track) instead.
    pub fn stop_serving(&self, track: &FullTrackName, code: PublishDoneCode, reason: &str) {
        let (serving, watchers) = {
            let mut state = self.inner.state();
            if state.served.remove(track).is_none() {
                return;
            }
            state.offers_elsewhere.remove(track);
            let of_track = state
                .serving
                .iter()
                .filter(|(_, serving)| serving.track.name() == track);
            let serving: Vec<_> = of_track.map(|(key, serving)| (*key, serving.kind)).collect();
            serving.iter().for_each(|(key, _)| {
                state.serving.remove(key);
            });
            let last = !state
                .served
                .keys()
                .any(|served| served.namespace() == track.namespace());
            let watchers: Vec<_> = state
                .namespace_watchers
                .keys()
                .copied()
                .filter(|_| last)
                .collect();
            (serving, watchers)
        };
        for (key, kind) in serving {
            if kind == ServingKind::Fetch {
                self.handle.stop_sending(key, StreamCode::CANCELLED);
                self.handle
                    .act(|session, _| session.revoke(key, StreamCode::CANCELLED));
            } else {
                self.handle.end_subscription(key, code, reason);
                self.inner.end_request(key, RequestEnd::Finished);
            }
        }
        for key in watchers {
            // Not under the prefix of this watcher, or unknown to it.
            let _other = self
                .handle
                .act(|session, _| session.namespace_done(key, track.namespace()))
                .is_err();
        }
    }
}
