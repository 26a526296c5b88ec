use bytes::Bytes;

use super::*;
use crate::wire::Location;
use crate::wire::code::SessionCode;
use crate::wire::parameter::GroupOrder;

fn block(bytes: &[u8]) -> Properties {
    Properties::from_bytes(Bytes::copy_from_slice(bytes))
}

fn track_error(properties: &Properties) -> MalformedTrack {
    match ObjectProperties::parse(properties) {
        Err(ObjectPropertiesError::Track(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_built_block_is_in_order_and_read_again() {
    let built = Properties::builder()
        .int(kind::LOC_TIMESTAMP, 90_000)
        .bytes(kind::LOC_VIDEO_CONFIG, &b"avcC"[..])
        .int(kind::LOC_TIMESCALE, 1000)
        .build()
        .unwrap();
    assert_eq!(&built.as_bytes()[..], b"\x08\x83\xe8\x05\x04avcC\x03\xc1\x5f\x90");
    assert_eq!(built.get(kind::LOC_TIMESTAMP), Some(PropertyValue::Int(90_000)));
    assert_eq!(
        built.get(kind::LOC_VIDEO_CONFIG),
        Some(PropertyValue::Bytes(b"avcC"))
    );
    assert_eq!(built.get(kind::LOC_AUDIO_CONFIG), None);
}

#[test]
fn values_are_sought_in_the_mutable_list_and_then_among_the_immutable() {
    let inner = Properties::builder()
        .int(kind::LOC_TIMESTAMP, 1)
        .int(kind::LOC_TIMESCALE, 2)
        .build()
        .unwrap();
    let outer = Properties::builder()
        .immutable(&inner)
        .int(kind::LOC_TIMESTAMP, 3)
        .build()
        .unwrap();
    assert_eq!(outer.get(kind::LOC_TIMESTAMP), Some(PropertyValue::Int(3)));
    assert_eq!(outer.get(kind::LOC_TIMESCALE), Some(PropertyValue::Int(2)));
    assert_eq!(outer.iter().count(), 2);
}

#[test]
fn the_builder_refuses_values_of_the_wrong_shape() {
    assert!(Properties::builder().int(1, 0).build().is_err());
    assert!(Properties::builder().bytes(2, &b""[..]).build().is_err());
    assert!(Properties::builder().bytes(1, vec![0; 65_536]).build().is_err());
    assert!(Properties::builder().bytes(1, vec![0; 65_535]).build().is_ok());
}

#[test]
fn track_properties_are_read_with_the_drafts_bounds() {
    let parse =
        |kind, value| TrackProperties::parse(&Properties::builder().int(kind, value).build().unwrap());
    assert_eq!(
        parse(kind::DEFAULT_PUBLISHER_PRIORITY, 255)
            .unwrap()
            .default_publisher_priority,
        Some(255)
    );
    assert_eq!(
        parse(kind::DEFAULT_PUBLISHER_GROUP_ORDER, 2)
            .unwrap()
            .default_group_order,
        Some(GroupOrder::Descending)
    );
    assert_eq!(parse(kind::DYNAMIC_GROUPS, 1).unwrap().dynamic_groups, Some(true));
    assert_eq!(
        parse(kind::MAX_CACHE_DURATION, 5).unwrap().max_cache_duration_ms,
        Some(5)
    );
    let illegal = [
        (kind::DEFAULT_PUBLISHER_PRIORITY, 256),
        (kind::DEFAULT_PUBLISHER_GROUP_ORDER, 0),
        (kind::DEFAULT_PUBLISHER_GROUP_ORDER, 3),
        (kind::DYNAMIC_GROUPS, 2),
    ];
    for (kind, value) in illegal {
        assert_eq!(
            parse(kind, value).unwrap_err().code(),
            SessionCode::PROTOCOL_VIOLATION,
            "{kind:#x}"
        );
    }
}

#[test]
fn mandatory_track_properties_are_found_wherever_they_are() {
    let unknown = |properties: &Properties| TrackProperties::parse(properties).unwrap().unknown_mandatory;
    let mandatory = Properties::builder()
        .int(0x4000, 0)
        .bytes(0x7fff, &b"x"[..])
        .build()
        .unwrap();
    assert_eq!(unknown(&mandatory), Some(0x4000));
    let immutable = Properties::builder().immutable(&mandatory).build().unwrap();
    assert_eq!(unknown(&immutable), Some(0x4000));
    let neighbours = Properties::builder()
        .bytes(0x3fff, &b""[..])
        .int(0x8000, 0)
        .build()
        .unwrap();
    assert_eq!(unknown(&neighbours), None);
    assert_eq!(
        track_error(&mandatory),
        MalformedTrack::MandatoryTrackProperty(0x4000)
    );
}

#[test]
fn gaps_are_read_once_and_stay_above_zero() {
    let gaps = Properties::builder()
        .int(kind::PRIOR_GROUP_ID_GAP, 2)
        .int(kind::PRIOR_OBJECT_ID_GAP, 3)
        .build()
        .unwrap();
    let view = ObjectProperties::parse(&gaps).unwrap();
    assert_eq!((view.prior_group_gap, view.prior_object_gap), (Some(2), Some(3)));
    assert_eq!(view.check(Location::new(2, 3)), Ok(()));
    assert_eq!(
        view.check(Location::new(1, 3)),
        Err(MalformedTrack::GapTooLarge(kind::PRIOR_GROUP_ID_GAP))
    );
    assert_eq!(
        view.check(Location::new(2, 2)),
        Err(MalformedTrack::GapTooLarge(kind::PRIOR_OBJECT_ID_GAP))
    );
    let twice = Properties::builder()
        .int(kind::PRIOR_OBJECT_ID_GAP, 3)
        .immutable(&gaps)
        .build()
        .unwrap();
    assert_eq!(
        track_error(&twice),
        MalformedTrack::Duplicate(kind::PRIOR_OBJECT_ID_GAP)
    );
}

#[test]
fn immutable_properties_come_once_and_not_inside_each_other() {
    let empty = Properties::empty();
    let once = Properties::builder().immutable(&empty).build().unwrap();
    assert!(ObjectProperties::parse(&once).is_ok());
    let twice = Properties::builder()
        .immutable(&empty)
        .immutable(&empty)
        .build()
        .unwrap();
    assert_eq!(
        track_error(&twice),
        MalformedTrack::Duplicate(kind::IMMUTABLE_PROPERTIES)
    );
    let nested = Properties::builder().immutable(&once).build().unwrap();
    assert_eq!(track_error(&nested), MalformedTrack::NestedImmutable);
}

#[test]
fn what_cannot_be_read_is_the_tracks_fault_or_the_sessions() {
    let session_code = |properties: &Properties| match ObjectProperties::parse(properties) {
        Err(ObjectPropertiesError::Session(error)) => error.code(),
        other => panic!("{other:?}"),
    };
    // A known type without its value; an unknown one; a length beyond the limit; a type beyond 2^64 - 1.
    assert_eq!(
        session_code(&block(&[0x3c])),
        SessionCode::KEY_VALUE_FORMATTING_ERROR
    );
    assert!(matches!(
        track_error(&block(&[0x3b, 5, 0])),
        MalformedTrack::Unreadable(_)
    ));
    assert_eq!(
        session_code(&block(&[0x3b, 0xc1, 0, 0])),
        SessionCode::PROTOCOL_VIOLATION
    );
    let overflow = [&[0x02, 0][..], &[0xff; 9], &[0]].concat();
    assert_eq!(session_code(&block(&overflow)), SessionCode::PROTOCOL_VIOLATION);
    // The same inside an immutable block, which no relay could have repaired.
    let immutable = Properties::builder()
        .immutable(&block(&overflow))
        .build()
        .unwrap();
    assert_eq!(
        track_error(&immutable),
        MalformedTrack::Unreadable(PropertyError::TypeOverflow)
    );
}

#[test]
fn a_block_is_walked_to_its_first_error_and_no_further() {
    let block = block(&[0x02, 1, 0x01, 9, 0]);
    let results: Vec<_> = block.iter().collect();
    assert_eq!(results.len(), 2);
    assert_eq!(results[1], Err(PropertyError::Truncated { kind: Some(3) }));
}

#[test]
fn an_unreadable_immutable_block_of_a_track_is_the_tracks_fault() {
    let immutable = Properties::builder()
        .immutable(&block(&[0x3b, 5, 0]))
        .int(kind::DYNAMIC_GROUPS, 1)
        .build()
        .unwrap();
    let view = TrackProperties::parse(&immutable).unwrap();
    assert!(matches!(view.malformed, Some(MalformedTrack::Unreadable(_))));
    assert_eq!(view.dynamic_groups, Some(true));
}
