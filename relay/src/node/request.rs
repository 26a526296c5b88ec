//! What the hub is told of a peer's request, and what is kept of it beside the hub.

use headwater_pubsub::session::{IncomingRequest, RequestKey};
use headwater_pubsub::wire::property::TrackProperties;
use tracing::debug;

use super::state::{Offer, Prefix, Session};
use crate::hub::{self, Input, Origin};

/// What the hub is told of a request; the rest is kept beside it.
pub(super) fn input_of(
    session: hub::SessionId,
    entry: &mut Session,
    key: RequestKey,
    request: IncomingRequest,
    origin: Option<Origin>,
) -> Option<Input> {
    let hub_key = hub::RequestKey(u64::from(key));
    Some(match request {
        IncomingRequest::Subscribe { track, parameters } => Input::Subscribe {
            session,
            key: hub_key,
            track,
            origin,
            parameters,
        },
        IncomingRequest::Publish {
            track,
            parameters,
            properties,
            ..
        } => {
            let dynamic_groups = has_dynamic_groups(&properties);
            let largest = parameters.largest_object;
            entry.offers.insert(key, Offer { properties, largest });
            Input::Publish {
                session,
                key: hub_key,
                track,
                dynamic_groups,
            }
        }
        IncomingRequest::Fetch {
            track,
            start,
            end,
            joining: _,
            parameters,
        } => {
            let range = hub::FetchRange::Standalone {
                track,
                origin,
                start,
                end,
            };
            Input::Fetch {
                session,
                key: hub_key,
                range,
                parameters,
            }
        }
        IncomingRequest::TrackStatus { track, .. } => Input::TrackStatus {
            session,
            key: hub_key,
            track,
            origin,
        },
        discovery => return discovery_input(session, entry, key, discovery),
    })
}

/// The namespace requests among them.
fn discovery_input(
    session: hub::SessionId,
    entry: &mut Session,
    key: RequestKey,
    request: IncomingRequest,
) -> Option<Input> {
    let hub_key = hub::RequestKey(u64::from(key));
    Some(match request {
        IncomingRequest::PublishNamespace { namespace, .. } => Input::PublishNamespace {
            session,
            key: hub_key,
            namespace,
        },
        IncomingRequest::SubscribeNamespace { prefix, .. } => {
            entry.prefixes.insert(
                key,
                Prefix {
                    current: prefix.clone(),
                    asked: None,
                },
            );
            Input::SubscribeNamespace {
                session,
                key: hub_key,
                prefix,
            }
        }
        IncomingRequest::SubscribeTracks { prefix, parameters } => {
            entry.prefixes.insert(
                key,
                Prefix {
                    current: prefix.clone(),
                    asked: None,
                },
            );
            Input::SubscribeTracks {
                session,
                key: hub_key,
                prefix,
                parameters,
            }
        }
        other => {
            debug!(session = session.0, request = ?other, "unknown kind of request");
            return None;
        }
    })
}

/// Whether the track's property DYNAMIC_GROUPS is 1.
pub(super) fn has_dynamic_groups(properties: &headwater_pubsub::wire::Properties) -> bool {
    TrackProperties::parse(properties).is_ok_and(|known| known.dynamic_groups == Some(true))
}
