//! Answering the peer's requests from tracks (draft sections "Subscriptions", "Fetch Handling", "REQUEST_UPDATE").
//!
//! Requests for tracks that are not served are refused with DOES_NOT_EXIST at once: waiting for a publisher is a relay's work.

use std::time::Duration;

use super::state::{Inner, Serving, ServingKind, State};
use crate::{
    fanout::{
        Fetch, FetchError, FetchOptions, SubscribeError, SubscribeOptions, Subscription, SubscriptionUpdate,
    },
    net::{SessionHandle, publisher::PublishedTrack},
    session::{IncomingRequest, RequestKey},
    wire::{FullTrackName, Location, Parameters, RequestErrorCode, StreamCode, control::RequestError},
};

/// Priority of subscriptions and fetches that name none (draft section "SUBSCRIBER PRIORITY Parameter").
const DEFAULT_PRIORITY: u8 = 128;

fn refusal(code: RequestErrorCode, reason: &str) -> Box<RequestError> {
    Box::new(RequestError {
        code,
        retry_after_ms: None,
        reason: reason.to_owned(),
        redirect: None,
    })
}

/// What a subscriber asks for, from SUBSCRIBE or PUBLISH_OK.
pub(super) fn subscribe_options(parameters: &Parameters) -> SubscribeOptions {
    SubscribeOptions {
        filter: parameters.filter,
        forward: parameters.forward.unwrap_or(true),
        priority: parameters.subscriber_priority.unwrap_or(DEFAULT_PRIORITY),
        group_order: parameters.group_order,
        object_timeout: parameters.object_delivery_timeout_ms.map(Duration::from_millis),
        subgroup_timeout: parameters.subgroup_delivery_timeout_ms.map(Duration::from_millis),
    }
}

impl Inner {
    /// The peer asks something.
    pub(super) fn requested(&self, session: &SessionHandle, key: RequestKey, request: IncomingRequest) {
        let refused = match request {
            IncomingRequest::Subscribe { track, parameters } => {
                self.subscribe(session, key, &track, &parameters)
            }
            IncomingRequest::Fetch {
                track,
                start,
                end,
                parameters,
                ..
            } => self.fetch(session, key, &track, (start, end), &parameters),
            IncomingRequest::TrackStatus { track, .. } => self.track_status(session, key, &track),
            IncomingRequest::Publish {
                track,
                parameters,
                properties,
                ..
            } => {
                self.offered(session, key, track, parameters, properties);
                Ok(())
            }
            IncomingRequest::PublishNamespace { namespace, .. } => {
                if session
                    .act(|session, _| session.accept_namespace_request(key))
                    .is_ok()
                {
                    self.state().peer_published.insert(key, namespace.clone());
                    self.peer_namespaces.add(namespace);
                }
                Ok(())
            }
            IncomingRequest::SubscribeNamespace { prefix, .. } => {
                self.namespaces_wanted(session, key, &prefix);
                Ok(())
            }
            IncomingRequest::SubscribeTracks { prefix, .. } => {
                self.tracks_wanted(session, key, &prefix);
                Ok(())
            }
        };
        if let Err(error) = refused {
            // One that was cancelled meanwhile needs no answer.
            let _cancelled = session.act(|session, _| session.reject(key, *error)).is_err();
        }
    }

    fn find(&self, track: &FullTrackName) -> Result<PublishedTrack, Box<RequestError>> {
        let found = self.state().served.get(track).cloned();
        found.ok_or_else(|| refusal(RequestErrorCode::DOES_NOT_EXIST, "no such track here"))
    }

    fn subscribe(
        &self,
        session: &SessionHandle,
        key: RequestKey,
        track: &FullTrackName,
        parameters: &Parameters,
    ) -> Result<(), Box<RequestError>> {
        let track = self.find(track)?;
        // Known before it begins: it may end at any time after.
        self.begin(key, &track, ServingKind::Subscription);
        let options = subscribe_options(parameters);
        let begun = session.send_subscription(key, |now, waker| {
            // The alias comes with the acceptance, which states the joining location, which the subscription fixes.
            let mut subscription =
                Subscription::new(track.track(), now, options, waker, 0).map_err(|error| match error {
                    SubscribeError::InvalidRange => {
                        refusal(RequestErrorCode::INVALID_RANGE, &error.to_string())
                    }
                    _ => refusal(RequestErrorCode::MALFORMED_TRACK, &error.to_string()),
                })?;
            let answer = Parameters {
                largest_object: subscription.joining_location(),
                ..Parameters::default()
            };
            let alias = session
                .act(|session, _| session.accept_subscribe(key, answer, track.track().properties()))
                .map_err(|error| refusal(RequestErrorCode::INTERNAL_ERROR, &error.to_string()))?;
            subscription.set_track_alias(alias);
            Ok::<_, Box<RequestError>>(subscription)
        });
        match &begun {
            Ok(()) => track.asked_for_group(parameters.new_group_request),
            Err(_refused) => self.give_up(key),
        }
        begun
    }

    fn begin(&self, key: RequestKey, track: &PublishedTrack, kind: ServingKind) {
        let track = track.clone();
        self.state().serving.insert(key, Serving { track, kind });
    }

    pub(super) fn give_up(&self, key: RequestKey) {
        self.state().serving.remove(&key);
    }

    fn fetch(
        &self,
        session: &SessionHandle,
        key: RequestKey,
        track: &FullTrackName,
        (start, end): (Location, Location),
        parameters: &Parameters,
    ) -> Result<(), Box<RequestError>> {
        let track = self.find(track)?;
        let Some(request_id) = session.act(|session, _| session.request_id(key)) else {
            return Ok(());
        };
        let options = FetchOptions {
            start,
            end,
            order: parameters.group_order.unwrap_or_default(),
            priority: parameters.subscriber_priority.unwrap_or(DEFAULT_PRIORITY),
        };
        self.begin(key, &track, ServingKind::Fetch);
        let begun = session.send_fetch(key, |now, waker| {
            Fetch::new(track.track(), now, options, waker, request_id).map_err(|error| match error {
                FetchError::InvalidRange => refusal(RequestErrorCode::INVALID_RANGE, &error.to_string()),
                _ => refusal(RequestErrorCode::MALFORMED_TRACK, &error.to_string()),
            })
        });
        if begun.is_err() {
            self.give_up(key);
        }
        begun
    }

    fn track_status(
        &self,
        session: &SessionHandle,
        key: RequestKey,
        track: &FullTrackName,
    ) -> Result<(), Box<RequestError>> {
        let track = self.find(track)?;
        let answer = Parameters {
            largest_object: track.track().largest(),
            ..Parameters::default()
        };
        let properties = track.track().properties();
        let _cancelled = session
            .act(|session, _| session.accept_track_status(key, answer, properties))
            .is_err();
        Ok(())
    }

    /// The peer changes a request.
    pub(super) fn updated(&self, session: &SessionHandle, key: RequestKey, parameters: &Parameters) {
        let serving = self.state().serving.get(&key).cloned();
        if let Some(Serving { track, kind }) = serving {
            if kind != ServingKind::Fetch {
                track.asked_for_group(parameters.new_group_request);
            }
            // Answered where it takes effect.
            return session.update_subscription(
                key,
                SubscriptionUpdate {
                    filter: parameters.filter,
                    forward: parameters.forward,
                    priority: parameters.subscriber_priority,
                    object_timeout: parameters.object_delivery_timeout_ms.map(Duration::from_millis),
                    subgroup_timeout: parameters.subgroup_delivery_timeout_ms.map(Duration::from_millis),
                },
            );
        }
        if let Some(prefix) = &parameters.track_namespace_prefix {
            let mut state = self.state();
            let State {
                namespace_watchers,
                track_watchers,
                ..
            } = &mut *state;
            for watched in [namespace_watchers.get_mut(&key), track_watchers.get_mut(&key)]
                .into_iter()
                .flatten()
            {
                watched.clone_from(prefix);
            }
        }
        let _cancelled = session
            .act(|session, _| session.answer_update(key, Ok(Parameters::default())))
            .is_err();
    }

    /// The peer cancelled what it had asked.
    pub(super) fn cancelled(&self, session: &SessionHandle, key: RequestKey, code: Option<StreamCode>) {
        let (serving, published, offers) = {
            let mut state = self.state();
            state.namespace_watchers.remove(&key);
            state.track_watchers.remove(&key);
            (
                state.serving.remove(&key),
                state.peer_published.remove(&key),
                state.offers.clone(),
            )
        };
        if serving.is_some() {
            session.stop_sending(key, StreamCode::CANCELLED);
        }
        if let Some(namespace) = published {
            self.peer_namespaces.remove(&namespace);
        }
        offers.iter().for_each(|offers| offers.withdraw(key));
        // A PUBLISH of the peer that we accepted.
        let feed = self.state().feeds.get(&key).cloned();
        if let Some(feed) = feed {
            tracing::debug!(?key, ?code, "the publisher left without PUBLISH_DONE");
            feed.end();
        }
    }
}
