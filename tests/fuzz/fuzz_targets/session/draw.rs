//! Names, parameters and messages, drawn from the bytes of the fuzzer.

use bytes::{Bytes, BytesMut};
use headwater_pubsub::wire::control::{self, FetchKind, PublishDone, RequestError, Setup};
use headwater_pubsub::wire::{
    Filter, FullTrackName, Location, Message, Parameters, Properties, PublishDoneCode, RequestErrorCode,
    TrackName, TrackNamespace, Version,
};
use libfuzzer_sys::arbitrary::{Result, Unstructured};

pub fn namespace(u: &mut Unstructured<'_>) -> Result<TrackNamespace> {
    const NAMES: [&[&str]; 7] = [
        &[],
        &["a"],
        &["a", "b"],
        &["a", "b", "c"],
        &["ab"],
        &["."],
        &[".session"],
    ];
    Ok(TrackNamespace::new(u.choose(&NAMES)?.iter().copied()).expect("legal"))
}

pub fn track(u: &mut Unstructured<'_>) -> Result<FullTrackName> {
    let name = TrackName::new(*u.choose(&["", "x", "y"])?).expect("legal");
    Ok(FullTrackName::new(namespace(u)?, name).expect("legal"))
}

pub fn location(u: &mut Unstructured<'_>) -> Result<Location> {
    let mut part = || Ok(*u.choose(&[0, 1, 2, 5, u64::MAX - 1, u64::MAX])?);
    Ok(Location::new(part()?, part()?))
}

pub fn parameters(u: &mut Unstructured<'_>) -> Result<Parameters> {
    let mut parameters = Parameters::default();
    let which: u8 = u.arbitrary()?;
    if which & 1 != 0 {
        parameters.forward = Some(u.arbitrary()?);
    }
    if which & 2 != 0 {
        parameters.largest_object = Some(location(u)?);
    }
    if which & 4 != 0 {
        parameters.filter = Some(Filter::AbsoluteRange {
            start: location(u)?,
            end_group: u.arbitrary()?,
        });
    }
    if which & 8 != 0 {
        parameters.track_namespace_prefix = Some(namespace(u)?);
    }
    if which & 16 != 0 {
        parameters.new_group_request = Some(u.arbitrary()?);
    }
    Ok(parameters)
}

pub fn refusal(u: &mut Unstructured<'_>) -> Result<RequestError> {
    Ok(RequestError {
        code: RequestErrorCode::from(u.int_in_range(0..=0x33_u64)?),
        retry_after_ms: u.arbitrary()?,
        reason: String::new(),
        redirect: None,
    })
}

pub fn done() -> PublishDone {
    PublishDone {
        code: PublishDoneCode::TRACK_ENDED,
        stream_count: None,
        reason: String::new(),
    }
}

/// A message of the peer that is well formed, whether or not it belongs where it is sent.
pub fn message(u: &mut Unstructured<'_>) -> Result<Message> {
    let request_id = u.int_in_range(0..=24_u64)?;
    let track_alias = u.int_in_range(0..=3_u64)?;
    let properties = Properties::default();
    Ok(match u.int_in_range(0..=17_u8)? {
        0 => Message::Subscribe(control::Subscribe {
            request_id,
            track: track(u)?,
            parameters: parameters(u)?,
        }),
        1 => Message::SubscribeOk(control::SubscribeOk {
            track_alias,
            parameters: parameters(u)?,
            properties,
        }),
        2 => Message::RequestUpdate(control::RequestUpdate {
            request_id,
            parameters: parameters(u)?,
        }),
        3 => Message::RequestOk(control::RequestOk {
            parameters: parameters(u)?,
            properties,
        }),
        4 => Message::RequestError(refusal(u)?),
        5 => Message::Publish(control::Publish {
            request_id,
            track: track(u)?,
            track_alias,
            parameters: parameters(u)?,
            properties,
        }),
        6 => Message::PublishDone(done()),
        7 => {
            let kind = match u.int_in_range(0..=2_u8)? {
                0 => FetchKind::Standalone {
                    track: track(u)?,
                    start: location(u)?,
                    end: location(u)?,
                },
                1 => FetchKind::RelativeJoining {
                    subscription: u.int_in_range(0..=24)?,
                    groups: u.arbitrary()?,
                },
                _ => FetchKind::AbsoluteJoining {
                    subscription: u.int_in_range(0..=24)?,
                    group: u.arbitrary()?,
                },
            };
            Message::Fetch(control::Fetch {
                request_id,
                kind,
                parameters: parameters(u)?,
            })
        }
        8 => Message::FetchOk(control::FetchOk {
            end_of_track: u.arbitrary()?,
            end: location(u)?,
            parameters: parameters(u)?,
            properties,
        }),
        9 => Message::TrackStatus(control::TrackStatus {
            request_id,
            track: track(u)?,
            parameters: parameters(u)?,
        }),
        10 => Message::PublishNamespace(control::PublishNamespace {
            request_id,
            namespace: namespace(u)?,
            parameters: parameters(u)?,
        }),
        11 => Message::SubscribeNamespace(control::SubscribeNamespace {
            request_id,
            prefix: namespace(u)?,
            parameters: parameters(u)?,
        }),
        12 => Message::Namespace(control::Namespace {
            suffix: namespace(u)?,
        }),
        13 => Message::NamespaceDone(control::NamespaceDone {
            suffix: namespace(u)?,
        }),
        14 => Message::SubscribeTracks(control::SubscribeTracks {
            request_id,
            prefix: namespace(u)?,
            parameters: parameters(u)?,
        }),
        15 => Message::PublishBlocked(control::PublishBlocked {
            suffix: namespace(u)?,
            name: TrackName::new("x").expect("legal"),
        }),
        16 => Message::Goaway(control::Goaway {
            uri: Bytes::new(),
            timeout_ms: u.arbitrary()?,
            request_id: u.arbitrary()?,
        }),
        _ => Message::Setup(Setup::default()),
    })
}

/// Bytes of the peer: mostly messages, perhaps cut, or anything.
pub fn bytes(u: &mut Unstructured<'_>) -> Result<Bytes> {
    let how: u8 = u.arbitrary()?;
    if how < 16 {
        let len = u.int_in_range(0..=40_usize)?.min(u.len());
        return Ok(Bytes::copy_from_slice(u.bytes(len)?));
    }
    let mut buf = BytesMut::new();
    if message(u)?.encode(Version::Draft18, &mut buf).is_err() {
        buf.clear();
    }
    if how < 48 {
        buf.truncate(u.int_in_range(0..=buf.len())?);
    }
    Ok(buf.freeze())
}
