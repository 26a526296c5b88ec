//! What holds for every message, stream and datagram: what is written is read again, however it arrives, and no bytes do harm.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "wire/strategy.rs"]
mod strategy;

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use headwater_pubsub::wire::control::{
    Fetch, FetchOk, RequestOk, StreamKind, Subscribe, SubscribeOk, TrackStatus,
};
use headwater_pubsub::wire::data::*;
use headwater_pubsub::wire::error::DecodeError;
use headwater_pubsub::wire::parameter::{EXTENSION_TYPES, ExtensionParameters};
use headwater_pubsub::wire::property::{ObjectProperties, TrackProperties};
use headwater_pubsub::wire::*;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const VERSION: Version = Version::Draft18;

fn encode(message: &Message) -> BytesMut {
    let mut bytes = BytesMut::new();
    message.encode(VERSION, &mut bytes).unwrap();
    bytes
}

/// Cuts `bytes` into pieces at random places.
fn pieces(bytes: &[u8], cuts: &[prop::sample::Index]) -> Vec<Bytes> {
    let mut borders: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    borders.extend([0, bytes.len()]);
    borders.sort_unstable();
    borders
        .windows(2)
        .map(|pair| Bytes::copy_from_slice(&bytes[pair[0]..pair[1]]))
        .collect()
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    vec(any::<prop::sample::Index>(), 0..12)
}

fn read_messages(stream: StreamKind, pieces: Vec<Bytes>) -> Result<(Vec<Message>, bool), DecodeError> {
    let mut reader = MessageReader::new(VERSION, stream);
    let mut messages = Vec::new();
    for piece in pieces {
        reader.push(piece);
        while let Some(message) = reader.poll()? {
            messages.push(message);
        }
    }
    Ok((messages, reader.is_empty()))
}

/// The events of a subgroup stream with payload in one piece per object, and whether it may end here.
fn read_subgroup(pieces: Vec<Bytes>) -> Result<(Vec<SubgroupEvent>, bool), DecodeError> {
    let mut reader = SubgroupReader::new(VERSION);
    let mut events = Vec::new();
    for piece in pieces {
        reader.push(piece);
        while let Some(event) = reader.poll()? {
            match (event, events.last_mut()) {
                (SubgroupEvent::Payload(more), Some(SubgroupEvent::Payload(payload))) => {
                    *payload = [&payload[..], &more].concat().into();
                }
                (event, _) => events.push(event),
            }
        }
    }
    Ok((events, reader.finish().is_ok()))
}

fn read_fetch(order: GroupOrder, pieces: Vec<Bytes>) -> Result<(Vec<FetchEvent>, bool), DecodeError> {
    let mut reader = FetchReader::new(VERSION, order);
    let mut events = Vec::new();
    for piece in pieces {
        reader.push(piece);
        while let Some(event) = reader.poll()? {
            match (event, events.last_mut()) {
                (FetchEvent::Payload(more), Some(FetchEvent::Payload(payload))) => {
                    *payload = [&payload[..], &more].concat().into();
                }
                (event, _) => events.push(event),
            }
        }
    }
    Ok((events, reader.finish().is_ok()))
}

/// Messages that may carry extension parameters, with some.
fn with_extensions() -> impl Strategy<Value = (StreamKind, Message)> {
    let extensions = btree_map(EXTENSION_TYPES, strategy::blob(60), 0..4).prop_map(|entries| {
        let mut extensions = ExtensionParameters::empty();
        for (kind, value) in entries {
            extensions.insert(kind, value).unwrap();
        }
        extensions
    });
    (strategy::message(), extensions).prop_filter_map(
        "not about a track",
        |((stream, mut message), extensions)| {
            let (Message::Subscribe(Subscribe { parameters, .. })
            | Message::SubscribeOk(SubscribeOk { parameters, .. })
            | Message::Fetch(Fetch { parameters, .. })
            | Message::FetchOk(FetchOk { parameters, .. })
            | Message::TrackStatus(TrackStatus { parameters, .. })
            | Message::RequestOk(RequestOk { parameters, .. })) = &mut message
            else {
                return None;
            };
            parameters.extensions = extensions;
            Some((stream, message))
        },
    )
}

/// Walks everything that looks into a property block.
fn look_into(properties: &Properties) {
    drop(TrackProperties::parse(properties));
    drop(ObjectProperties::parse(properties));
    black_box((
        properties.get(0x0B),
        properties.get(0x3C),
        format!("{properties:?}"),
    ));
}

proptest! {
    // The fuzz targets explore; this suite says the same each time.
    #![proptest_config(ProptestConfig { cases: 512, rng_seed: RngSeed::Fixed(18), ..ProptestConfig::default() })]

    #[test]
    fn a_message_is_read_as_it_was_written((stream, message) in strategy::message()) {
        let bytes = encode(&message);
        prop_assert_eq!(read_messages(stream, vec![bytes.freeze()]), Ok((vec![message], true)));
    }

    #[test]
    fn extension_parameters_are_read_as_they_were_written((stream, message) in with_extensions()) {
        let bytes = encode(&message).freeze();
        for end in 0..bytes.len() {
            prop_assert_eq!(read_messages(stream, vec![bytes.slice(..end)]), Ok((vec![], end == 0)), "at {}", end);
        }
        prop_assert_eq!(read_messages(stream, vec![bytes]), Ok((vec![message], true)));
    }

    #[test]
    fn every_prefix_of_a_message_asks_for_more((stream, message) in strategy::message()) {
        let bytes = encode(&message).freeze();
        for end in 0..bytes.len() {
            prop_assert_eq!(read_messages(stream, vec![bytes.slice(..end)]), Ok((vec![], end == 0)), "at {}", end);
        }
    }

    #[test]
    fn messages_are_the_same_however_they_arrive(
        messages in vec(prop_oneof![strategy::request(), strategy::response()], 0..4),
        cuts in cuts(),
    ) {
        let bytes: Vec<u8> = messages.iter().flat_map(encode).collect();
        prop_assert_eq!(read_messages(StreamKind::Request, pieces(&bytes, &cuts)), Ok((messages, true)));
    }

    #[test]
    fn random_bytes_are_read_or_refused_alike_however_they_arrive(bytes in vec(any::<u8>(), 0..200), cuts in cuts()) {
        let whole = || vec![Bytes::copy_from_slice(&bytes)];
        let pieces = || pieces(&bytes, &cuts);
        for stream in [StreamKind::Control, StreamKind::Request] {
            prop_assert_eq!(read_messages(stream, pieces()), read_messages(stream, whole()));
        }
        prop_assert_eq!(read_subgroup(pieces()), read_subgroup(whole()));
        for order in [GroupOrder::Ascending, GroupOrder::Descending] {
            prop_assert_eq!(read_fetch(order, pieces()), read_fetch(order, whole()));
        }
        drop(Datagram::decode(bytes.clone().into(), VERSION));
        look_into(&Properties::from_bytes(bytes.into()));
    }

    /// A body with one wrong byte is refused, or is another message that has one canonical form.
    #[test]
    fn a_damaged_message_is_refused_or_another_message(
        (stream, message) in strategy::message(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = encode(&message);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok((messages, _)) = read_messages(stream, vec![bytes.freeze()]) {
            for message in messages {
                let again = encode(&message).freeze();
                prop_assert_eq!(read_messages(stream, vec![again]), Ok((vec![message], true)));
            }
        }
    }

    #[test]
    fn subgroup_streams_are_the_same_however_they_arrive((bytes, events) in strategy::subgroup_stream(), cuts in cuts()) {
        prop_assert_eq!(read_subgroup(pieces(&bytes, &cuts)), Ok((events.clone(), true)));
        let single_bytes = bytes.iter().map(|&byte| Bytes::from(vec![byte])).collect();
        prop_assert_eq!(read_subgroup(single_bytes), Ok((events, true)));
    }

    #[test]
    fn fetch_streams_are_the_same_however_they_arrive((order, bytes, events) in strategy::fetch_stream(), cuts in cuts()) {
        prop_assert_eq!(read_fetch(order, pieces(&bytes, &cuts)), Ok((events.clone(), true)));
        let single_bytes = bytes.iter().map(|&byte| Bytes::from(vec![byte])).collect();
        prop_assert_eq!(read_fetch(order, single_bytes), Ok((events, true)));
    }

    /// Every prefix is a stream whose rest has not arrived; only between objects may it end there.
    #[test]
    fn every_prefix_of_a_stream_gives_the_first_events((bytes, events) in strategy::subgroup_stream()) {
        let mut ends = 0;
        for end in 0..=bytes.len() {
            let (read, may_end) = read_subgroup(vec![Bytes::copy_from_slice(&bytes[..end])]).unwrap();
            ends += usize::from(may_end);
            let complete = read.len().saturating_sub(1);
            prop_assert_eq!(&read[..complete], &events[..complete], "at {}", end);
        }
        let objects = events.iter().filter(|event| matches!(event, SubgroupEvent::Object(_))).count();
        prop_assert_eq!(ends, objects + 1);
    }

    #[test]
    fn every_prefix_of_a_fetch_stream_asks_for_more((order, bytes, _) in strategy::fetch_stream()) {
        for end in 0..=bytes.len() {
            prop_assert!(read_fetch(order, vec![Bytes::copy_from_slice(&bytes[..end])]).is_ok(), "at {}", end);
        }
    }

    #[test]
    fn a_datagram_is_read_as_it_was_written(datagram in strategy::datagram()) {
        let mut bytes = BytesMut::new();
        datagram.encode(&mut bytes).unwrap();
        prop_assert_eq!(Datagram::decode(bytes.freeze(), VERSION), Ok(DatagramKind::Object(datagram)));
    }

    #[test]
    fn names_and_their_texts_stand_for_each_other(track in strategy::track()) {
        prop_assert_eq!(track.to_string().parse(), Ok(track.clone()));
        prop_assert_eq!(track.namespace().to_string().parse(), Ok(track.namespace().clone()));
        prop_assert_eq!(track.name().to_string().parse(), Ok(track.name().clone()));
    }

    /// No two texts are the same name.
    #[test]
    fn a_text_that_is_accepted_is_the_canonical_one(text in "[a-c.0-9A-F_-]{0,12}") {
        if let Ok(name) = text.parse::<FullTrackName>() {
            prop_assert_eq!(name.to_string(), text.clone());
        }
        if let Ok(namespace) = text.parse::<TrackNamespace>() {
            prop_assert_eq!(namespace.to_string(), text);
        }
    }

    #[test]
    fn joining_and_stripping_undo_each_other(prefix in strategy::namespace(), suffix in strategy::namespace()) {
        if let Ok(joined) = prefix.join(&suffix) {
            prop_assert!(joined.has_prefix(&prefix));
            prop_assert_eq!(joined.byte_len(), prefix.byte_len() + suffix.byte_len());
            prop_assert_eq!(joined.strip_prefix(&prefix), Some(suffix));
        } else {
            prop_assert!(prefix.field_count() + suffix.field_count() > 32 || prefix.byte_len() + suffix.byte_len() > 4096);
        }
    }
}
