//! Answers that begin or change a delivery: what a message says of the track and where its cursor starts are one.

use std::{sync::Arc, time::Duration};

use headwater_pubsub::fanout::{
    Fetch, FetchError, FetchOptions, SubscribeError, SubscribeOptions, Subscription, SubscriptionUpdate,
};
use headwater_pubsub::net::Sink;
use headwater_pubsub::session::RequestKey;
use headwater_pubsub::track::Track;
use headwater_pubsub::wire::control::{PublishDone, RequestError};
use headwater_pubsub::wire::{Parameters, PublishDoneCode, RequestErrorCode};
use tracing::debug;

use super::events::take_in;
use super::state::{ServedFetch, Session};
use crate::hub::{Input, RequestRef, ServedRange, TrackId};

/// Subscriber priority when none is given (draft section "SUBSCRIBER PRIORITY Parameter").
const DEFAULT_PRIORITY: u8 = 128;

/// An answer to a request that the peer cancelled at the same moment is not needed any more.
pub(super) fn answered<T, E: std::fmt::Display>(result: Result<T, E>) {
    if let Err(error) = result {
        debug!(%error, "answer not sent");
    }
}

pub(super) fn reject(entry: &mut Session, key: RequestKey, error: RequestError) {
    answered(entry.handle.act(|session, _| session.reject(key, error)));
    entry.forget(key);
}

pub(super) fn refusal(code: RequestErrorCode, reason: &str) -> RequestError {
    RequestError {
        code,
        retry_after_ms: None,
        reason: reason.to_owned(),
        redirect: None,
    }
}

/// The hub counts on a track that the node does not have: a fault of ours, which must not leave the peer without an answer.
pub(super) fn track_missing() -> RequestError {
    tracing::error!("a request is served from a track that is not there");
    refusal(RequestErrorCode::INTERNAL_ERROR, "the track is not there")
}

fn options(parameters: &Parameters) -> SubscribeOptions {
    SubscribeOptions {
        filter: parameters.filter,
        forward: parameters.forward.unwrap_or(true),
        priority: parameters.subscriber_priority.unwrap_or(DEFAULT_PRIORITY),
        group_order: parameters.group_order,
        object_timeout: parameters.object_delivery_timeout_ms.map(Duration::from_millis),
        subgroup_timeout: parameters.subgroup_delivery_timeout_ms.map(Duration::from_millis),
    }
}

/// SUBSCRIBE_OK and the cursor belong together: what SUBSCRIBE_OK calls the largest object is where the cursor starts.
pub(super) fn serve_subscribe(
    entry: &mut Session,
    key: RequestKey,
    request: RequestRef,
    track: &Arc<Track>,
    parameters: &Parameters,
) -> Option<Input> {
    let handle = entry.handle.clone();
    let options = options(parameters);
    let served = entry.handle.send_subscription(key, |now, waker| {
        let begun = match super::mesh::resume(parameters) {
            Some(from) => Subscription::resume(track, now, options, waker, 0, from),
            None => Subscription::new(track, now, options, waker, 0),
        };
        let mut subscription = begun.map_err(|error| Box::new(subscribe_refusal(&error)))?;
        let parameters = Parameters {
            largest_object: subscription.joining_location(),
            ..Parameters::default()
        };
        let properties = track.properties();
        match handle.act(|session, _| session.accept_subscribe(key, parameters, properties)) {
            Ok(alias) => {
                subscription.set_track_alias(alias);
                Ok(subscription)
            }
            // Cancelled at the same moment; the cancellation is on its way to the hub.
            Err(error) => Err(Box::new(refusal(
                RequestErrorCode::INTERNAL_ERROR,
                &error.to_string(),
            ))),
        }
    });
    let error = served.err()?;
    reject(entry, key, *error);
    Some(Input::SubscriptionEnded { request })
}

fn subscribe_refusal(error: &SubscribeError) -> RequestError {
    let code = match error {
        SubscribeError::InvalidRange => RequestErrorCode::INVALID_RANGE,
        SubscribeError::Malformed => RequestErrorCode::MALFORMED_TRACK,
        _ => RequestErrorCode::INTERNAL_ERROR,
    };
    refusal(code, &error.to_string())
}

pub(super) fn serve_publish(
    entry: &mut Session,
    key: RequestKey,
    request: RequestRef,
    track: Option<&Arc<Track>>,
    parameters: &Parameters,
) -> Option<Input> {
    let options = options(parameters);
    let offer = entry.opened.get(&key).and_then(|opened| opened.offer);
    let (code, reason) = match track.zip(offer) {
        Some((track, (alias, edge))) => {
            let served = entry.handle.send_subscription(key, |now, waker| {
                Subscription::since(track, edge, now, options, waker, alias)
            });
            (PublishDoneCode::SUBSCRIPTION_ENDED, served.err()?.to_string())
        }
        // The peer has accepted: what it has is a subscription, which ends by PUBLISH_DONE.
        None => (PublishDoneCode::INTERNAL_ERROR, track_missing().reason),
    };
    let done = PublishDone {
        code,
        stream_count: Some(0),
        reason,
    };
    answered(entry.handle.act(|session, _| session.publish_done(key, done)));
    entry.forget(key);
    Some(Input::SubscriptionEnded { request })
}

pub(super) fn serve_track_status(entry: &mut Session, key: RequestKey, track: Option<&Arc<Track>>) {
    let Some(track) = track else {
        return reject(entry, key, track_missing());
    };
    let parameters = Parameters {
        largest_object: track.largest(),
        ..Parameters::default()
    };
    let properties = track.properties();
    answered(
        entry
            .handle
            .act(|session, _| session.accept_track_status(key, parameters, properties)),
    );
    entry.forget(key);
}

pub(super) fn serve_fetch(
    entry: &mut Session,
    key: RequestKey,
    request: RequestRef,
    id: TrackId,
    track: &Arc<Track>,
    range: &ServedRange,
    parameters: &Parameters,
) -> Option<Input> {
    let order = parameters.group_order.unwrap_or_default();
    let priority = parameters.subscriber_priority.unwrap_or(DEFAULT_PRIORITY);
    let request_id = entry.handle.act(|session, _| session.request_id(key))?;
    let (start, end) = match *range {
        ServedRange::Live { start, end } | ServedRange::Known { start, end, .. } => (start, end),
        // The session resolves joining fetches before the hub sees them.
        ServedRange::Joining { .. } => {
            let reason = "a joining fetch was not resolved";
            reject(entry, key, refusal(RequestErrorCode::INTERNAL_ERROR, reason));
            return Some(Input::FetchEnded { request });
        }
    };
    let options = FetchOptions {
        start,
        end,
        order,
        priority,
    };
    let served = entry.handle.send_fetch(key, |now, waker| {
        Fetch::new(track, now, options, waker, request_id)
    });
    match served {
        Ok(()) => {
            entry.fetches.insert(key, ServedFetch { track: id, order });
            None
        }
        Err(error) => {
            let code = match error {
                FetchError::InvalidRange => RequestErrorCode::INVALID_RANGE,
                FetchError::Malformed => RequestErrorCode::MALFORMED_TRACK,
                _ => RequestErrorCode::INTERNAL_ERROR,
            };
            reject(entry, key, refusal(code, &error.to_string()));
            Some(Input::FetchEnded { request })
        }
    }
}

pub(super) fn accept_publish(
    entry: &mut Session,
    key: RequestKey,
    id: TrackId,
    track: &Arc<Track>,
    forward: bool,
    new_group_request: Option<u64>,
) {
    if let Some(offer) = entry.offers.remove(&key) {
        take_in(track, offer.properties, offer.largest);
    }
    entry.published.insert(key, id);
    entry.handle.receive(key, Sink::Track(Arc::new(track.source())));
    let parameters = Parameters {
        forward: Some(forward),
        new_group_request,
        ..Parameters::default()
    };
    answered(
        entry
            .handle
            .act(|session, _| session.accept_publish(key, parameters)),
    );
}

/// The answer is sent where the update takes effect.
pub(super) fn apply_update(entry: &Session, key: RequestKey, parameters: &Parameters) {
    entry.handle.update_subscription(
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
