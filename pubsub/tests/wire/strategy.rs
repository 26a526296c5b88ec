//! Random legal values of everything that travels. Shared with the differential tests of the `tests` crate.

use std::collections::BTreeMap;

use bytes::Bytes;
use headwater_pubsub::wire::control::*;
use headwater_pubsub::wire::data::subgroup::encode_object;
use headwater_pubsub::wire::data::*;
use headwater_pubsub::wire::error::DecodeError;
use headwater_pubsub::wire::parameter::{ExtensionParameters, Scope};
use headwater_pubsub::wire::*;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

/// Integers of all magnitudes.
pub(crate) fn id() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0_u64..64, 2 => (any::<u64>(), 0_u32..64).prop_map(|(value, shift)| value >> shift), 1 => Just(u64::MAX)]
}

pub(crate) fn blob(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=max).prop_map(Bytes::from)
}

pub(crate) fn location() -> impl Strategy<Value = Location> {
    (id(), id()).prop_map(|(group, object)| Location::new(group, object))
}

pub(crate) fn namespace() -> BoxedStrategy<TrackNamespace> {
    prop_oneof![8 => vec(vec(any::<u8>(), 1..12), 0..6), 1 => vec(vec(any::<u8>(), 1..130), 30..=32)]
        .prop_filter_map("too long", |fields| TrackNamespace::new(fields).ok())
        .boxed()
}

pub(crate) fn name() -> BoxedStrategy<TrackName> {
    vec(any::<u8>(), 0..20)
        .prop_map(|name| TrackName::new(name).unwrap())
        .boxed()
}

pub(crate) fn track() -> BoxedStrategy<FullTrackName> {
    (namespace(), name())
        .prop_filter_map("too long", |(namespace, name)| {
            FullTrackName::new(namespace, name).ok()
        })
        .boxed()
}

/// A readable block, with repeated types and types of no meaning: those with one would need fitting values.
pub(crate) fn properties() -> BoxedStrategy<Properties> {
    vec((id(), id(), blob(20)), 0..5)
        .prop_map(|entries| {
            let builder = entries
                .into_iter()
                .fold(Properties::builder(), |builder, (kind, int, bytes)| {
                    let kind = if kind < 0x8000 { kind + 0x8000 } else { kind };
                    if kind % 2 == 0 {
                        builder.int(kind, int)
                    } else {
                        builder.bytes(kind, bytes)
                    }
                });
            builder.build().unwrap()
        })
        .boxed()
}

pub(crate) fn token() -> BoxedStrategy<Token> {
    prop_oneof![
        id().prop_map(|alias| Token::Delete { alias }),
        (id(), id(), blob(40)).prop_map(|(alias, kind, value)| Token::Register { alias, kind, value }),
        id().prop_map(|alias| Token::UseAlias { alias }),
        (id(), blob(40)).prop_map(|(kind, value)| Token::UseValue { kind, value }),
    ]
    .boxed()
}

pub(crate) fn filter() -> impl Strategy<Value = Filter> {
    prop_oneof![
        Just(Filter::NextGroupStart),
        Just(Filter::LargestObject),
        location().prop_map(Filter::AbsoluteStart),
        (location(), id()).prop_map(|(start, delta)| Filter::AbsoluteRange {
            start,
            end_group: start.group.saturating_add(delta)
        }),
    ]
}

pub(crate) fn group_order() -> impl Strategy<Value = GroupOrder> {
    prop_oneof![Just(GroupOrder::Ascending), Just(GroupOrder::Descending)]
}

/// Any parameters at all, legal together in no message.
pub(crate) fn any_parameters() -> BoxedStrategy<Parameters> {
    let integers = prop::array::uniform6(option::of(id()));
    let small = (
        option::of(any::<bool>()),
        option::of(any::<u8>()),
        option::of(group_order()),
    );
    let structures = (
        vec(token(), 0..3),
        option::of(location()),
        option::of(filter()),
        option::of(namespace()),
    );
    (integers, small, structures)
        .prop_map(
            |(
                [object, rendezvous, subgroup, expires, fill, new_group],
                (forward, priority, order),
                (tokens, largest, filter, prefix),
            )| Parameters {
                object_delivery_timeout_ms: object,
                authorization_tokens: tokens,
                rendezvous_timeout_ms: rendezvous,
                subgroup_delivery_timeout_ms: subgroup,
                expires_ms: expires,
                largest_object: largest,
                fill_timeout_ms: fill,
                forward,
                subscriber_priority: priority,
                filter,
                group_order: order,
                new_group_request: new_group,
                track_namespace_prefix: prefix,
                // Another implementation cannot know them; the suite of this crate adds them.
                extensions: ExtensionParameters::empty(),
            },
        )
        .boxed()
}

/// Parameters that a message may carry.
pub(crate) fn parameters(scope: Scope) -> BoxedStrategy<Parameters> {
    any_parameters()
        .prop_map(move |mut parameters| {
            while let Err(DecodeError::MisplacedParameter(kind)) = parameters.check(scope) {
                match kind {
                    0x02 => parameters.object_delivery_timeout_ms = None,
                    0x03 => parameters.authorization_tokens.clear(),
                    0x04 => parameters.rendezvous_timeout_ms = None,
                    0x06 => parameters.subgroup_delivery_timeout_ms = None,
                    0x08 => parameters.expires_ms = None,
                    0x09 => parameters.largest_object = None,
                    0x0A => parameters.fill_timeout_ms = None,
                    0x10 => parameters.forward = None,
                    0x20 => parameters.subscriber_priority = None,
                    0x21 => parameters.filter = None,
                    0x22 => parameters.group_order = None,
                    0x32 => parameters.new_group_request = None,
                    0x34 => parameters.track_namespace_prefix = None,
                    other => panic!("no parameter {other:#x}"),
                }
            }
            parameters
        })
        .boxed()
}

/// Parameters of REQUEST_OK: of one of the requests that it may answer.
fn ok_parameters() -> BoxedStrategy<Parameters> {
    prop_oneof![
        parameters(Scope::PublishOk),
        parameters(Scope::TrackStatusOk),
        parameters(Scope::UpdateSubscriptionOk),
        parameters(Scope::SubscribeNamespaceOk),
    ]
    .boxed()
}

/// Parameters of REQUEST_UPDATE: of one of the requests that it may change.
fn update_parameters() -> BoxedStrategy<Parameters> {
    prop_oneof![
        parameters(Scope::UpdateSubscription),
        parameters(Scope::UpdateFetch),
        parameters(Scope::UpdatePublishNamespace),
        parameters(Scope::UpdateNamespaceSubscription),
    ]
    .boxed()
}

pub(crate) fn setup() -> BoxedStrategy<Setup> {
    let uri = (
        option::of("(/([a-z0-9._~-]|%2[a-f]){1,8}){0,3}(\\?[a-z=&]{0,6})?"),
        option::of("[a-z.]{1,20}(:[0-9]{1,5})?"),
    );
    let tokens = vec(token(), 0..3).prop_map(|mut tokens| {
        tokens.retain(|token| matches!(token, Token::Register { .. } | Token::UseValue { .. }));
        tokens
    });
    // A sender does not repeat an option, though receivers let it pass.
    let extensions = properties().prop_filter("repeated option", |block| {
        let kinds: Vec<u64> = block.iter().map(|option| option.unwrap().kind).collect();
        kinds.windows(2).all(|pair| pair[0] != pair[1])
    });
    (uri, tokens, option::of(id()), option::of(blob(30)), extensions)
        .prop_map(
            |(
                (path, authority),
                authorization_tokens,
                max_auth_token_cache_size,
                implementation,
                extensions,
            )| {
                Setup {
                    path: path.map(Bytes::from),
                    authority: authority.map(Bytes::from),
                    authorization_tokens,
                    max_auth_token_cache_size,
                    implementation,
                    extensions,
                }
            },
        )
        .boxed()
}

fn reason() -> impl Strategy<Value = String> {
    "\\PC{0,40}"
}

fn fetch_kind() -> BoxedStrategy<FetchKind> {
    prop_oneof![
        (track(), location(), location()).prop_map(|(track, one, other)| {
            let (start, end) = (one.min(other), one.max(other));
            // An empty range has no place; the same group with object 0 means all of it.
            let end = if start == end {
                Location::new(end.group, 0)
            } else {
                end
            };
            FetchKind::Standalone { track, start, end }
        }),
        (id(), id()).prop_map(|(subscription, groups)| FetchKind::RelativeJoining { subscription, groups }),
        (id(), id()).prop_map(|(subscription, group)| FetchKind::AbsoluteJoining { subscription, group }),
    ]
    .boxed()
}

fn request_error() -> BoxedStrategy<RequestError> {
    let redirect =
        (blob(30), namespace(), name()).prop_map(|(uri, namespace, name)| Redirect { uri, namespace, name });
    (id(), option::of(0..u64::MAX), reason(), option::of(redirect))
        .prop_map(|(code, retry_after_ms, reason, redirect)| {
            let redirect = redirect.filter(|redirect| {
                FullTrackName::new(redirect.namespace.clone(), redirect.name.clone()).is_ok()
            });
            let code = if redirect.is_some() {
                RequestErrorCode::REDIRECT.into_inner()
            } else {
                code
            };
            let code = if redirect.is_none() && code == 0x34 {
                0
            } else {
                code
            };
            RequestError {
                code: code.into(),
                retry_after_ms,
                reason,
                redirect,
            }
        })
        .boxed()
}

/// Messages of a request stream that begin or change a request.
pub(crate) fn request() -> BoxedStrategy<Message> {
    prop_oneof![
        (id(), track(), parameters(Scope::Subscribe)).prop_map(|(request_id, track, parameters)| {
            Message::Subscribe(Subscribe {
                request_id,
                track,
                parameters,
            })
        }),
        (id(), track(), parameters(Scope::TrackStatus)).prop_map(|(request_id, track, parameters)| {
            Message::TrackStatus(TrackStatus {
                request_id,
                track,
                parameters,
            })
        }),
        (id(), update_parameters()).prop_map(|(request_id, parameters)| Message::RequestUpdate(
            RequestUpdate {
                request_id,
                parameters
            }
        )),
        (id(), track(), id(), parameters(Scope::Publish), properties()).prop_map(
            |(request_id, track, track_alias, parameters, properties)| {
                Message::Publish(Publish {
                    request_id,
                    track,
                    track_alias,
                    parameters,
                    properties,
                })
            }
        ),
        (id(), fetch_kind(), parameters(Scope::Fetch)).prop_map(|(request_id, kind, parameters)| {
            Message::Fetch(Fetch {
                request_id,
                kind,
                parameters,
            })
        }),
        (id(), namespace(), parameters(Scope::PublishNamespace)).prop_map(
            |(request_id, namespace, parameters)| {
                Message::PublishNamespace(PublishNamespace {
                    request_id,
                    namespace,
                    parameters,
                })
            }
        ),
        (id(), namespace(), parameters(Scope::SubscribeNamespace)).prop_map(
            |(request_id, prefix, parameters)| {
                Message::SubscribeNamespace(SubscribeNamespace {
                    request_id,
                    prefix,
                    parameters,
                })
            }
        ),
        (id(), namespace(), parameters(Scope::SubscribeTracks)).prop_map(
            |(request_id, prefix, parameters)| {
                Message::SubscribeTracks(SubscribeTracks {
                    request_id,
                    prefix,
                    parameters,
                })
            }
        ),
    ]
    .boxed()
}

/// Messages of a request stream that answer a request.
pub(crate) fn response() -> BoxedStrategy<Message> {
    prop_oneof![
        (id(), parameters(Scope::SubscribeOk), properties()).prop_map(
            |(track_alias, parameters, properties)| {
                Message::SubscribeOk(SubscribeOk {
                    track_alias,
                    parameters,
                    properties,
                })
            }
        ),
        (ok_parameters(), properties()).prop_map(|(parameters, properties)| Message::RequestOk(RequestOk {
            parameters,
            properties
        })),
        request_error().prop_map(Message::RequestError),
        (id(), option::of(0..(1_u64 << 62) - 1), reason()).prop_map(|(code, stream_count, reason)| {
            Message::PublishDone(PublishDone {
                code: code.into(),
                stream_count,
                reason,
            })
        }),
        (
            any::<bool>(),
            location(),
            parameters(Scope::FetchOk),
            properties()
        )
            .prop_map(|(end_of_track, end, parameters, properties)| {
                Message::FetchOk(FetchOk {
                    end_of_track,
                    end,
                    parameters,
                    properties,
                })
            }),
        namespace().prop_map(|suffix| Message::Namespace(Namespace { suffix })),
        namespace().prop_map(|suffix| Message::NamespaceDone(NamespaceDone { suffix })),
        track().prop_map(|track| {
            Message::PublishBlocked(PublishBlocked {
                suffix: track.namespace().clone(),
                name: track.name().clone(),
            })
        }),
        (blob(60), id()).prop_map(|(uri, timeout_ms)| Message::Goaway(Goaway {
            uri,
            timeout_ms,
            request_id: None
        })),
    ]
    .boxed()
}

/// Messages of the control stream.
pub(crate) fn control() -> BoxedStrategy<Message> {
    prop_oneof![
        setup().prop_map(Message::Setup),
        (blob(60), id(), id()).prop_map(|(uri, timeout_ms, request_id)| {
            Message::Goaway(Goaway {
                uri,
                timeout_ms,
                request_id: Some(request_id),
            })
        }),
    ]
    .boxed()
}

/// Every message, with a kind of stream it may travel on.
pub(crate) fn message() -> BoxedStrategy<(StreamKind, Message)> {
    prop_oneof![
        3 => request().prop_map(|message| (StreamKind::Request, message)),
        3 => response().prop_map(|message| (StreamKind::Request, message)),
        1 => control().prop_map(|message| (StreamKind::Control, message)),
    ]
    .boxed()
}

pub(crate) fn subgroup_header() -> impl Strategy<Value = SubgroupHeader> {
    let subgroup = prop_oneof![
        Just(SubgroupId::Zero),
        Just(SubgroupId::FirstObject),
        id().prop_map(SubgroupId::Explicit)
    ];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (id(), id(), subgroup, option::of(any::<u8>()), flags).prop_map(
        |(track_alias, group, subgroup, priority, (has_properties, end_of_group, first_object))| {
            SubgroupHeader {
                track_alias,
                group,
                subgroup,
                priority,
                has_properties,
                end_of_group,
                first_object,
            }
        },
    )
}

/// Properties, status and payload that go together.
fn content() -> BoxedStrategy<(Properties, ObjectStatus, Bytes)> {
    prop_oneof![
        4 => (properties(), blob(40)).prop_map(|(properties, payload)| (properties, ObjectStatus::Normal, payload)),
        1 => Just((Properties::empty(), ObjectStatus::EndOfGroup, Bytes::new())),
        1 => Just((Properties::empty(), ObjectStatus::EndOfTrack, Bytes::new())),
    ]
    .boxed()
}

/// A whole subgroup stream: its bytes, and the events to be read from it with each payload in one piece.
pub(crate) fn subgroup_stream() -> BoxedStrategy<(Vec<u8>, Vec<SubgroupEvent>)> {
    (subgroup_header(), btree_map(id(), content(), 0..6))
        .prop_map(|(header, objects)| {
            let mut bytes = Vec::new();
            header.encode(&mut bytes);
            let mut events = vec![SubgroupEvent::Header(header)];
            let mut last = None;
            for (id, (properties, status, payload)) in objects {
                let properties = if header.has_properties {
                    properties
                } else {
                    Properties::empty()
                };
                let object = SubgroupObject {
                    id,
                    properties,
                    payload_len: payload.len() as u64,
                    status,
                };
                encode_object(last, &object, header.has_properties, &mut bytes).unwrap();
                bytes.extend_from_slice(&payload);
                last = Some(id);
                events.push(SubgroupEvent::Object(object));
                if !payload.is_empty() {
                    events.push(SubgroupEvent::Payload(payload));
                }
            }
            (bytes, events)
        })
        .boxed()
}

/// An object or, with `Err`, a range marker.
type FetchItem = Result<(Option<u64>, u8, Properties, Bytes), RangeStatus>;

fn fetch_item() -> BoxedStrategy<FetchItem> {
    let subgroup = option::weighted(0.8, prop_oneof![0_u64..4, id()]);
    let priority = prop_oneof![Just(128), any::<u8>()];
    prop_oneof![
        6 => (subgroup, priority, properties(), blob(40)).prop_map(Ok),
        1 => Just(Err(RangeStatus::NonExistent)),
        1 => Just(Err(RangeStatus::Unknown)),
    ]
    .boxed()
}

/// A whole fetch stream: its order, its bytes, and the events to be read from it.
pub(crate) fn fetch_stream() -> BoxedStrategy<(GroupOrder, Vec<u8>, Vec<FetchEvent>)> {
    let groups = btree_map(id(), btree_map(id(), fetch_item(), 1..4), 0..4);
    (group_order(), id(), groups)
        .prop_map(|(order, request_id, groups)| {
            let mut groups: Vec<(u64, BTreeMap<u64, FetchItem>)> = groups.into_iter().collect();
            if order == GroupOrder::Descending {
                groups.reverse();
            }
            let mut writer = FetchWriter::new(order);
            let mut bytes = Vec::new();
            writer.header(request_id, &mut bytes);
            let mut events = vec![FetchEvent::Header { request_id }];
            for (group, objects) in groups {
                for (object, item) in objects {
                    let location = Location::new(group, object);
                    match item {
                        Ok((subgroup, priority, properties, payload)) => {
                            let payload_len = payload.len() as u64;
                            let object = FetchObject {
                                location,
                                subgroup,
                                priority,
                                properties,
                                payload_len,
                            };
                            writer.object(&object, &mut bytes).unwrap();
                            bytes.extend_from_slice(&payload);
                            events.push(FetchEvent::Object(object));
                            if !payload.is_empty() {
                                events.push(FetchEvent::Payload(payload));
                            }
                        }
                        Err(status) => {
                            writer.end_of_range(location, status, &mut bytes).unwrap();
                            events.push(match status {
                                RangeStatus::NonExistent => FetchEvent::EndOfNonExistentRange(location),
                                RangeStatus::Unknown => FetchEvent::EndOfUnknownRange(location),
                            });
                        }
                    }
                }
            }
            (order, bytes, events)
        })
        .boxed()
}

pub(crate) fn datagram() -> BoxedStrategy<Datagram> {
    (
        id(),
        id(),
        id(),
        option::of(any::<u8>()),
        any::<bool>(),
        content(),
    )
        .prop_map(
            |(track_alias, group, object, priority, end_of_group, (properties, status, payload))| Datagram {
                track_alias,
                group,
                object,
                priority,
                end_of_group: end_of_group && status == ObjectStatus::Normal,
                properties,
                status,
                payload,
            },
        )
        .boxed()
}
