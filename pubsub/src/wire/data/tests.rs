//! Stories of single streams and datagrams; what holds for all of them is checked with random values elsewhere.

use bytes::Bytes;

use super::*;
use crate::wire::code::SessionCode;
use crate::wire::parameter::GroupOrder;
use crate::wire::property::kind;
use crate::wire::{Location, Version};

fn read_subgroup(bytes: &[u8]) -> Result<Vec<SubgroupEvent>, DecodeError> {
    let mut reader = SubgroupReader::new(Version::Draft18);
    reader.push(Bytes::copy_from_slice(bytes));
    let mut events = Vec::new();
    while let Some(event) = reader.poll()? {
        events.push(event);
    }
    reader.finish()?;
    Ok(events)
}

fn read_fetch(order: GroupOrder, bytes: &[u8]) -> Result<Vec<FetchEvent>, DecodeError> {
    let mut reader = FetchReader::new(Version::Draft18, order);
    reader.push(Bytes::copy_from_slice(bytes));
    let mut events = Vec::new();
    while let Some(event) = reader.poll()? {
        events.push(event);
    }
    reader.finish()?;
    Ok(events)
}

fn locations(events: &[FetchEvent]) -> Vec<(u64, u64)> {
    let location = |event: &FetchEvent| match event {
        FetchEvent::Object(object) => Some((object.location.group, object.location.object)),
        FetchEvent::EndOfNonExistentRange(end) | FetchEvent::EndOfUnknownRange(end) => {
            Some((end.group, end.object))
        }
        FetchEvent::Header { .. } | FetchEvent::Payload(_) => None,
    };
    events.iter().filter_map(location).collect()
}

/// The draft's first example of a subgroup stream.
const EXAMPLE: &[u8] = b"\x14\x02\x00\x00\x00\x00\x04abcd\x00\x04efgh";

#[test]
fn the_example_of_the_draft_is_read() {
    let events = read_subgroup(EXAMPLE).unwrap();
    let header = SubgroupHeader {
        track_alias: 2,
        group: 0,
        subgroup: SubgroupId::Explicit(0),
        priority: Some(0),
        has_properties: false,
        end_of_group: false,
        first_object: false,
    };
    let object = |id| {
        SubgroupEvent::Object(SubgroupObject {
            id,
            properties: Properties::empty(),
            payload_len: 4,
            status: ObjectStatus::Normal,
        })
    };
    let payload = |bytes| SubgroupEvent::Payload(Bytes::from_static(bytes));
    assert_eq!(
        events,
        [
            SubgroupEvent::Header(header),
            object(0),
            payload(b"abcd"),
            object(1),
            payload(b"efgh"),
        ]
    );
}

#[test]
fn payload_is_passed_on_while_the_object_still_arrives() {
    let mut reader = SubgroupReader::new(Version::Draft18);
    let piece = Bytes::copy_from_slice(&EXAMPLE[..9]);
    reader.push(piece.clone());
    assert!(matches!(reader.poll(), Ok(Some(SubgroupEvent::Header(_)))));
    assert!(matches!(reader.poll(), Ok(Some(SubgroupEvent::Object(_)))));
    let Ok(Some(SubgroupEvent::Payload(payload))) = reader.poll() else {
        panic!("no payload")
    };
    assert_eq!(payload.as_ptr(), piece[7..].as_ptr(), "payload was copied");
    assert_eq!(reader.poll(), Ok(None));
    assert!(reader.in_object());
    assert_eq!(reader.finish(), Err(DecodeError::Truncated));
}

#[test]
fn every_stream_type_of_the_draft_and_no_other_is_known() {
    for value in 0_u64..0x200 {
        let mut bytes = Vec::new();
        varint::encode(value, &mut bytes);
        let is_subgroup =
            matches!(value, 0x10..=0x1f | 0x30..=0x3f | 0x50..=0x5f | 0x70..=0x7f) && value & 6 != 6;
        match StreamType::decode(&bytes) {
            Ok(Some((StreamType::Subgroup(flags), _))) => {
                assert!(is_subgroup && u64::from(flags) == value, "{value:#x}")
            }
            Ok(Some((StreamType::Fetch, _))) => assert_eq!(value, 5),
            Err(error) => {
                assert!(!is_subgroup && value != 5, "{value:#x}");
                assert_eq!(error.code(), SessionCode::PROTOCOL_VIOLATION);
            }
            other => panic!("{value:#x}: {other:?}"),
        }
    }
    assert_eq!(
        StreamType::decode(&[0xaf, 0x00]),
        Ok(Some((StreamType::Control, 2)))
    );
    assert_eq!(
        StreamType::decode(&[0xf0, 0x13, 0x2b, 0x3e, 0x28]),
        Ok(Some((StreamType::Padding, 5)))
    );
    assert_eq!(StreamType::decode(&[0xf0, 0x13]), Ok(None));
}

#[test]
fn every_datagram_type_of_the_draft_and_no_other_is_known() {
    for value in 0_u8..0x80 {
        // Alias, group, object, priority, properties 02 01, status 0: enough for every form; the rest is payload.
        let mut bytes = vec![value, 1, 2];
        bytes.extend_from_slice(if value & 4 == 0 { &[3] } else { &[] });
        bytes.extend_from_slice(if value & 8 == 0 { &[4] } else { &[] });
        bytes.extend_from_slice(if value & 1 == 0 { &[] } else { &[2, 2, 1] });
        bytes.push(0);
        let legal = matches!(
            value,
            0..=0x0f | 0x20 | 0x21 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2c | 0x2d
        );
        assert_eq!(
            Datagram::decode(Bytes::from(bytes), Version::Draft18).is_ok(),
            legal,
            "{value:#x}"
        );
    }
}

#[test]
fn ids_that_wrap_around_close_the_session() {
    let subgroup = [&[0x30, 1, 0][..], &[0xff; 9], &[0, 0], &[0, 0, 0]].concat();
    assert_eq!(
        read_subgroup(&subgroup),
        Err(DecodeError::OutOfRange("Object ID"))
    );
    let first = [&[5, 0, 0x1c][..], &[0xff; 9], &[0xff; 9], &[128, 0]].concat();
    let ascending = [&first[..], &[0x0c, 0, 0, 0]].concat();
    assert_eq!(
        read_fetch(GroupOrder::Ascending, &ascending),
        Err(DecodeError::OutOfRange("Group ID"))
    );
    let object = [&first[..], &[0x00, 0]].concat();
    assert_eq!(
        read_fetch(GroupOrder::Ascending, &object),
        Err(DecodeError::OutOfRange("Object ID"))
    );
    let descending = [5, 0, 0x1c, 1, 0, 128, 0, 0x0c, 1, 0, 0];
    assert_eq!(
        read_fetch(GroupOrder::Descending, &descending),
        Err(DecodeError::OutOfRange("Group ID"))
    );
}

#[test]
fn the_first_fetched_object_may_not_lean_on_another() {
    for flags in [0x00, 0x04, 0x08, 0x0c, 0x1d, 0x1e] {
        let bytes = [5, 0, flags, 1, 1, 1, 1, 1, 1];
        let error = read_fetch(GroupOrder::Ascending, &bytes).unwrap_err();
        assert_eq!(error.code(), SessionCode::PROTOCOL_VIOLATION, "{flags:#x}");
        assert!(matches!(error, DecodeError::Misplaced(_)), "{flags:#x}: {error}");
    }
}

#[test]
fn a_fetched_objects_delta_counts_from_the_last_object_without_adding_one() {
    // {3, 5}; same group + 4; same group, next; group + 1 with object 2; group + 3, object next.
    let bytes = [
        5, 0, 0x1c, 3, 5, 128, 0, 0x04, 4, 0, 0x00, 0, 0x0c, 0, 2, 0, 0x08, 2, 0,
    ];
    let events = read_fetch(GroupOrder::Ascending, &bytes).unwrap();
    assert_eq!(locations(&events), [(3, 5), (3, 9), (3, 10), (4, 2), (7, 3)]);
}

#[test]
fn after_a_range_marker_ids_go_on_from_it_and_the_rest_from_the_last_object() {
    // {3, 5} of subgroup 7 with priority 9; unknown up to {3, 8}; then the next object, same subgroup.
    let bytes = [5, 0, 0x1f, 3, 7, 5, 9, 0, 0x81, 0x0c, 3, 8, 0x01, 0];
    let events = read_fetch(GroupOrder::Ascending, &bytes).unwrap();
    let Some(FetchEvent::Object(last)) = events.last() else {
        panic!("{events:?}")
    };
    assert_eq!(
        (last.location, last.subgroup, last.priority),
        (Location::new(3, 9), Some(7), 9)
    );
    assert_eq!(events[2], FetchEvent::EndOfUnknownRange(Location::new(3, 8)));
    // A marker alone leaves no subgroup and no priority.
    for flags in [0x10 | 0x01, 0x00] {
        let bytes = [5, 0, 0x80, 0x8c, 3, 8, flags, 1, 1];
        assert!(
            matches!(
                read_fetch(GroupOrder::Ascending, &bytes),
                Err(DecodeError::Misplaced(_))
            ),
            "{flags:#x}"
        );
    }
}

#[test]
fn serialization_flags_beyond_the_defined_ones_close_the_session() {
    for flags in [0x80_u64, 0x8b, 0x10b, 0x10d, 0x20c, u64::MAX] {
        let mut bytes = vec![5, 0];
        varint::encode(flags, &mut bytes);
        let error = read_fetch(GroupOrder::Ascending, &bytes).unwrap_err();
        assert_eq!(
            error,
            DecodeError::UnknownType {
                what: "serialization flags",
                value: flags
            }
        );
    }
}

#[test]
fn an_object_of_datagrams_has_no_subgroup_whatever_the_low_bits_say() {
    let events = read_fetch(GroupOrder::Ascending, &[5, 0, 0x5f, 3, 5, 128, 0]).unwrap();
    assert!(
        matches!(&events[1], FetchEvent::Object(object) if object.subgroup.is_none() && object.location.object == 5)
    );
}

#[test]
fn only_known_statuses_and_those_without_properties_are_read() {
    for (status, legal) in [
        (0, true),
        (1, false),
        (2, false),
        (3, true),
        (4, true),
        (5, false),
    ] {
        assert_eq!(
            read_subgroup(&[0x30, 1, 0, 0, 0, status]).is_ok(),
            legal,
            "status {status}"
        );
        let with_properties = [0x31, 1, 0, 0, 2, 2, 1, 0, status];
        assert_eq!(
            read_subgroup(&with_properties).is_ok(),
            status == 0,
            "status {status} with properties"
        );
        let datagram = Bytes::from(vec![0x2d, 1, 2, 2, 2, 1, status]);
        assert_eq!(
            Datagram::decode(datagram, Version::Draft18).is_ok(),
            status == 0,
            "status {status}"
        );
    }
}

#[test]
fn a_datagram_that_announces_properties_has_some() {
    let empty = Bytes::from_static(&[0x0d, 1, 2, 0, b'x']);
    let error = Datagram::decode(empty, Version::Draft18).unwrap_err();
    assert_eq!(error.code(), SessionCode::PROTOCOL_VIOLATION);
}

#[test]
fn padding_is_told_apart_from_objects() {
    let mut bytes = Vec::new();
    varint::encode(PADDING_DATAGRAM, &mut bytes);
    bytes.extend_from_slice(&[0; 40]);
    assert_eq!(
        Datagram::decode(bytes.into(), Version::Draft18),
        Ok(DatagramKind::Padding)
    );
}

#[test]
fn a_property_block_beyond_the_limit_is_refused_before_it_arrives() {
    let mut bytes = vec![0x31, 1, 0, 0];
    varint::encode(MAX_OBJECT_PROPERTIES as u64 + 1, &mut bytes);
    assert!(matches!(read_subgroup(&bytes), Err(DecodeError::TooLong { .. })));
    let block = Properties::from_bytes(Bytes::from(vec![0; MAX_OBJECT_PROPERTIES + 1]));
    let object = SubgroupObject {
        id: 0,
        properties: block,
        payload_len: 0,
        status: ObjectStatus::Normal,
    };
    assert!(subgroup::encode_object(None, &object, true, &mut Vec::new()).is_err());
}

#[test]
fn writers_refuse_what_readers_would() {
    let object = |id, status, payload_len, properties| SubgroupObject {
        id,
        properties,
        payload_len,
        status,
    };
    let property = Properties::builder()
        .int(kind::PRIOR_OBJECT_ID_GAP, 1)
        .build()
        .unwrap();
    let none = Properties::empty;
    let refused = [
        (Some(5), object(5, ObjectStatus::Normal, 0, none()), true),
        (None, object(5, ObjectStatus::Normal, 0, property.clone()), false),
        (None, object(5, ObjectStatus::EndOfGroup, 1, none()), true),
        (None, object(5, ObjectStatus::EndOfTrack, 0, property), true),
    ];
    for (prev, object, has_properties) in refused {
        let mut bytes = Vec::new();
        assert!(
            subgroup::encode_object(prev, &object, has_properties, &mut bytes).is_err(),
            "{object:?}"
        );
        assert!(bytes.is_empty());
    }
    let mut writer = FetchWriter::new(GroupOrder::Descending);
    let buf = &mut Vec::new();
    writer
        .end_of_range(Location::new(4, 4), RangeStatus::Unknown, buf)
        .unwrap();
    assert!(
        writer
            .end_of_range(Location::new(5, 0), RangeStatus::Unknown, buf)
            .is_err()
    );
    assert!(
        writer
            .end_of_range(Location::new(4, 4), RangeStatus::Unknown, buf)
            .is_err()
    );
    assert!(
        writer
            .end_of_range(Location::new(3, 0), RangeStatus::Unknown, buf)
            .is_ok()
    );
}
