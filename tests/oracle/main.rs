//! Our codec against that of `moq-transport`, where that one is draft-18: what we write it reads, and what it then writes
//! we read as the same.
//!
//! It is a second witness beside `moqtap-codec`, by other people. Where it is not draft-18 it proves nothing; [`can_judge`]
//! names these places. Its reader of FETCH streams is private.

#![cfg(test)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "../../pubsub/tests/wire/strategy.rs"]
#[allow(dead_code, reason = "shared with the codec's own tests")]
mod strategy;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use headwater_pubsub::wire::control::{Fetch, FetchKind};
use headwater_pubsub::wire::data::*;
use headwater_pubsub::wire::*;
use moq_transport::coding::{Decode, Encode};
use moq_transport::data as theirs;
use moq_transport::message::Message as TheirMessage;
use moq_transport::setup::Setup as TheirSetup;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const VERSION: Version = Version::Draft18;

/// What it would read of a message of ours: its responses still begin with a Request ID, as before draft-17.
fn as_theirs(message: &Message) -> Bytes {
    let mut bytes = BytesMut::new();
    message.encode(VERSION, &mut bytes).unwrap();
    let ours = bytes.freeze();
    let is_response = matches!(
        message,
        Message::SubscribeOk(_)
            | Message::RequestOk(_)
            | Message::RequestError(_)
            | Message::PublishDone(_)
            | Message::FetchOk(_)
    );
    if !is_response {
        return ours;
    }
    let (kind, at) = varint::decode(&ours).unwrap();
    let body = &ours[at + 2..];
    let mut theirs = BytesMut::new();
    varint::encode(kind, &mut theirs);
    theirs.put_u16(u16::try_from(body.len() + 1).unwrap());
    theirs.put_u8(0);
    theirs.put_slice(body);
    theirs.freeze()
}

/// Whether it takes this message as draft-18 has it.
fn can_judge(message: &Message) -> bool {
    // It wants a field; section 2.4.1 allows none.
    let has_fields = |namespace: &TrackNamespace| !namespace.is_empty();
    match message {
        // It knows no timeout (section 10.4).
        Message::Goaway(_) => false,
        // It knows no Redirect structure (10.6.1).
        Message::RequestError(body) => body.redirect.is_none(),
        // It knows no Track Properties there (10.5), and takes REQUEST_OK for PUBLISH's answer.
        Message::RequestOk(body) => body.properties.is_empty(),
        // It takes TRACK_NAMESPACE_PREFIX, an even type, for an integer (10.2.13).
        Message::RequestUpdate(body) => body.parameters.track_namespace_prefix.is_none(),
        Message::Subscribe(body) => has_fields(body.track.namespace()),
        Message::TrackStatus(body) => has_fields(body.track.namespace()),
        Message::Publish(body) => has_fields(body.track.namespace()),
        Message::PublishNamespace(body) => has_fields(&body.namespace),
        Message::Fetch(Fetch {
            kind: FetchKind::Standalone { track, .. },
            ..
        }) => has_fields(track.namespace()),
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4096,
        rng_seed: RngSeed::Fixed(18),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn integers_are_read_alike(bytes in vec(any::<u8>(), 0..12)) {
        let mut rest = &bytes[..];
        let theirs = u64::decode(&mut rest).ok().map(|value| (value, bytes.len() - rest.len()));
        prop_assert_eq!(varint::decode(&bytes), theirs);
    }

    #[test]
    fn messages_are_read_and_written_alike((_, message) in strategy::message()) {
        let sent = as_theirs(&message);
        let mut rest = sent.clone();
        let mut written = BytesMut::new();
        if let Message::Setup(_) = message {
            let (_, len) = varint::decode(&sent).unwrap();
            rest.advance(len);
            let read = TheirSetup::decode_after_type(&mut rest);
            prop_assert!(read.is_ok(), "{:?}\nrefuse {:?}\n{:02x?}", read, message, &sent[..]);
            read.unwrap().encode_full(&mut written).unwrap();
        } else if can_judge(&message) {
            let read = TheirMessage::decode(&mut rest);
            prop_assert!(read.is_ok(), "{:?}\nrefuse {:?}\n{:02x?}", read, message, &sent[..]);
            read.unwrap().encode(&mut written).unwrap();
        } else {
            return Ok(());
        }
        prop_assert!(!rest.has_remaining());
        prop_assert_eq!(&written[..], &sent[..], "{:?}", message);
    }

    #[test]
    fn subgroup_streams_are_read_alike((bytes, events) in strategy::subgroup_stream()) {
        let mut rest = &bytes[..];
        let SubgroupEvent::Header(ours) = &events[0] else { panic!("no header") };
        let stream = theirs::StreamHeader::decode(&mut rest).unwrap();
        let header = stream.subgroup_header.unwrap();
        prop_assert_eq!(header.track_alias, ours.track_alias);
        prop_assert_eq!(header.group_id, ours.group);
        // It puts 128 where the stream leaves the priority to the track.
        prop_assert_eq!(header.publisher_priority, ours.priority.unwrap_or(128));
        prop_assert_eq!(stream.header_type.uses_default_priority(), ours.priority.is_none());
        prop_assert_eq!(stream.header_type.has_properties(), ours.has_properties);
        prop_assert_eq!(stream.header_type.end_of_group(), ours.end_of_group);
        prop_assert_eq!(stream.header_type.begins_with_first_object(), ours.first_object);
        let subgroup = match (stream.header_type.subgroup_id_mode().unwrap(), header.subgroup_id) {
            (theirs::SubgroupIdMode::Zero, None) => SubgroupId::Zero,
            (theirs::SubgroupIdMode::FirstObject, None) => SubgroupId::FirstObject,
            (theirs::SubgroupIdMode::Explicit, Some(id)) => SubgroupId::Explicit(id),
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(subgroup, ours.subgroup);
        let mut last = None;
        for event in &events[1..] {
            let ours = match event {
                SubgroupEvent::Object(ours) => ours,
                SubgroupEvent::Payload(payload) => {
                    prop_assert_eq!(&rest[..payload.len()], &payload[..]);
                    rest.advance(payload.len());
                    continue;
                }
                SubgroupEvent::Header(_) => panic!("two headers"),
            };
            let (delta, len, status) = if stream.header_type.has_properties() {
                let before = rest;
                let object = theirs::SubgroupObjectExt::decode(&mut rest).unwrap();
                let mut written = Vec::new();
                object.encode(&mut written).unwrap();
                prop_assert_eq!(&written[..], &before[..before.len() - rest.len()]);
                (object.object_id_delta, object.payload_length, object.status)
            } else {
                let object = theirs::SubgroupObject::decode(&mut rest).unwrap();
                (object.object_id_delta, object.payload_length, object.status)
            };
            let id = last.map_or(delta, |last: u64| last + 1 + delta);
            last = Some(id);
            prop_assert_eq!(id, ours.id);
            prop_assert_eq!(len as u64, ours.payload_len);
            prop_assert_eq!(status.map_or(0, |status| status as u64), ours.status.into_inner());
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn datagrams_are_read_alike(ours in strategy::datagram()) {
        let mut sent = BytesMut::new();
        ours.encode(&mut sent).unwrap();
        let sent = sent.freeze();
        // It wants a payload or a status; at the end of a group the draft has no room for the second.
        prop_assume!(!(ours.end_of_group && ours.payload.is_empty()));
        let theirs = theirs::Datagram::decode(&mut sent.clone());
        prop_assert!(theirs.is_ok(), "{:?} for {:?}", theirs, ours);
        let theirs = theirs.unwrap();
        prop_assert_eq!(theirs.track_alias, ours.track_alias);
        prop_assert_eq!(theirs.group_id, ours.group);
        prop_assert_eq!(theirs.object_id.unwrap_or(0), ours.object);
        prop_assert_eq!(theirs.publisher_priority, ours.priority);
        prop_assert_eq!(theirs.datagram_type.end_of_group(), ours.end_of_group);
        prop_assert_eq!(theirs.status.map_or(0, |status| status as u64), ours.status.into_inner());
        prop_assert_eq!(theirs.payload.clone().unwrap_or_default(), &ours.payload[..]);
        let mut written = BytesMut::new();
        theirs.encode(&mut written).unwrap();
        prop_assert_eq!(&written[..], &sent[..]);
    }
}
