mod examples;

use std::path::Path;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::overlay::id::{Distance, Seq};

fn write(records: &[Record]) -> Bytes {
    let mut aliases = AliasWriter::default();
    let mut object = ObjectWriter::new(&mut aliases, MAX_OBJECT);
    for record in records {
        assert_eq!(object.push(record), Ok(Fit::In), "{record:?}");
    }
    object.finish()
}

fn read(aliases: &mut AliasReader, object: Bytes) -> Result<Vec<Record>, DecodeError> {
    let mut reader = ObjectReader::new(aliases, object)?;
    let mut records = Vec::new();
    while let Some(record) = reader.poll()? {
        records.push(record);
    }
    Ok(records)
}

fn read_alone(object: impl Into<Bytes>) -> Result<Vec<Record>, DecodeError> {
    read(&mut AliasReader::default(), object.into())
}

fn node(seed: u8) -> NodeId {
    NodeId([seed; 32])
}

fn row(origin: NodeId, number: u32) -> Row {
    Row {
        origin,
        seq: Seq { epoch: 1, number },
        distance: Distance::new(300),
        full: false,
        reset: false,
        beacon_follows: false,
        log_version: 7,
    }
}

proptest! {
    #[test]
    fn records_are_read_as_they_were_written(records in vec(strategy::record(), 0..6)) {
        prop_assert_eq!(read_alone(write(&records)), Ok(records));
    }

    #[test]
    fn aliases_hold_from_object_to_object(objects in vec(vec(strategy::record(), 0..4), 0..4)) {
        let (mut writer, mut reader) = (AliasWriter::default(), AliasReader::default());
        for records in objects {
            let mut object = ObjectWriter::new(&mut writer, MAX_OBJECT);
            for record in &records {
                prop_assert_eq!(object.push(record), Ok(Fit::In));
            }
            prop_assert_eq!(read(&mut reader, object.finish()), Ok(records));
        }
    }

    #[test]
    fn every_prefix_is_truncated_or_has_fewer_records(record in strategy::record()) {
        let object = write(std::slice::from_ref(&record));
        for len in 0..object.len() {
            let result = read_alone(object.slice(..len));
            // Nothing, or the ALIAS alone.
            prop_assert!(matches!(&result, Err(DecodeError::Truncated)) || result.as_ref().is_ok_and(Vec::is_empty),
                "{len} bytes of {record:?}: {result:?}");
        }
    }

    #[test]
    fn a_body_longer_than_its_record_is_refused(record in strategy::record(), byte: u8) {
        let mut aliases = AliasWriter::default();
        let body = record.body(&mut aliases).unwrap();
        let mut known = AliasReader::default();
        for (alias, id) in aliases.unsaid() {
            known.define(alias, id).unwrap();
        }
        let mut longer = body.to_vec();
        longer.push(byte);
        let list = matches!(record, Record::Route(_) | Record::LogHave(_) | Record::Peers(_) | Record::TraceRep(_) | Record::StatusRep(_) | Record::StatusPulls(_));
        let mut input = In { reader: headwater_pubsub::wire::reader::Reader::new(longer.into()), aliases: &mut known };
        let result = Record::decode(record.kind(), &mut input);
        prop_assert!(list || result == Err(DecodeError::Leftover(1)), "{result:?}");
    }

    #[test]
    fn what_does_not_fit_leaves_no_trace(records in vec(strategy::record(), 1..20), max in 0..600_usize) {
        let (mut writer, mut reader) = (AliasWriter::default(), AliasReader::default());
        let (mut rest, mut got) = (records.as_slice(), Vec::new());
        let mut max = max;
        while !rest.is_empty() {
            let mut object = ObjectWriter::new(&mut writer, max);
            while let Some((first, others)) = rest.split_first() {
                if object.push(first) == Ok(Fit::Full) {
                    break;
                }
                rest = others;
            }
            prop_assert!(object.len() <= max);
            if object.is_empty() {
                max *= 2;
                max += 1;
            }
            got.extend(read(&mut reader, object.finish()).unwrap());
        }
        prop_assert_eq!(got, records);
    }
}

#[test]
fn rows_fill_objects_of_any_size() {
    let rows: Vec<_> = (0..200_u8)
        .flat_map(|seed| [row(node(seed), 1), row(node(seed), 3)])
        .collect();
    let (mut writer, mut reader) = (AliasWriter::default(), AliasReader::default());
    let (mut rest, mut got) = (rows.as_slice(), Vec::new());
    while !rest.is_empty() {
        let mut object = ObjectWriter::new(&mut writer, 500);
        let taken = object.rows(rest);
        assert!(taken > 0 && object.len() <= 500);
        rest = &rest[taken..];
        for record in read(&mut reader, object.finish()).unwrap() {
            let Record::Route(rows) = record else {
                panic!("{record:?}")
            };
            got.extend(rows);
        }
    }
    assert_eq!(got, rows);
}

#[test]
fn a_known_row_takes_nine_bytes() {
    let mut aliases = AliasWriter::default();
    let mut row = row(node(1), 1);
    row.seq.epoch = 1_800_000_000_000;
    row.distance = Distance::new(60_000);
    assert_eq!(ObjectWriter::new(&mut aliases, MAX_OBJECT).rows(&[row]), 1);
    row.log_version = 1000;
    let mut object = ObjectWriter::new(&mut aliases, MAX_OBJECT);
    assert_eq!(object.rows(&[row; 10]), 10);
    assert!(object.len() <= 2 + 90, "{}", object.len());
}

#[test]
fn a_full_table_of_aliases_bounds_memory_not_speech() {
    let id = |n: u32| {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        NodeId(bytes)
    };
    let count = u32::try_from(MAX_ALIASES).unwrap() + 100;
    let (mut writer, mut reader) = (AliasWriter::default(), AliasReader::default());
    for _ in 0..2 {
        for n in 0..count {
            let mut object = ObjectWriter::new(&mut writer, MAX_OBJECT);
            assert_eq!(object.rows(&[row(id(n), n)]), 1);
            assert_eq!(
                read(&mut reader, object.finish()),
                Ok(vec![Record::Route(vec![row(id(n), n)])])
            );
        }
    }
}

#[test]
fn unknown_types_are_skipped() {
    let mut object = vec![0x7f, 3, 1, 2, 3];
    object.extend_from_slice(&write(&[Record::SnapshotEnd]));
    assert_eq!(read_alone(object), Ok(vec![Record::SnapshotEnd]));
}

#[test]
fn what_the_sender_did_wrong_is_named() {
    let misplaced = |what| Err(DecodeError::Misplaced(what));
    let alias = |alias: u8| [&[6, 33, alias][..], &[1; 32]].concat();
    assert_eq!(
        read_alone(vec![0x0a, 1, 1]),
        misplaced("an alias that was not given")
    );
    assert_eq!(
        read_alone([alias(1), alias(1)].concat()),
        misplaced("an alias given twice")
    );
    assert_eq!(
        read_alone(alias(0)),
        Err(DecodeError::InvalidValue {
            field: "alias",
            value: 0
        })
    );
    let row = |flags: u8, rest: &[u8]| {
        let body = [&[1, flags], rest].concat();
        read_alone([alias(1), vec![7, u8::try_from(body.len()).unwrap()], body].concat())
    };
    assert_eq!(row(0x00, &[0, 0, 0]), misplaced("a sequence offset to none"));
    assert_eq!(
        row(0x20, &[0, 0, 0]),
        Err(DecodeError::InvalidValue {
            field: "flags of a row",
            value: 0x20
        })
    );
    assert_eq!(
        row(0x10, &[0, 0xf8, 1, 0, 0, 0, 0, 0, 0]),
        Err(DecodeError::OutOfRange("sequence number"))
    );
    assert_eq!(read_alone(vec![2, 1, 0]), Err(DecodeError::Leftover(1)));
    assert!(matches!(
        read_alone(vec![0; MAX_OBJECT + 1]),
        Err(DecodeError::TooLong { .. })
    ));
}

#[test]
fn a_distance_beyond_the_limit_is_none() {
    let object = [
        &[6, 33, 1][..],
        &[1; 32],
        &[7, 10, 1, 0x10, 1, 1, 0xf0, 0xff, 0xff, 0xff, 0xff, 7],
    ]
    .concat();
    let mut expected = row(node(1), 1);
    expected.distance = None;
    assert_eq!(read_alone(object), Ok(vec![Record::Route(vec![expected])]));
}

#[test]
fn a_push_ends_at_its_head() {
    let mut push = LogPush {
        origin: node(1),
        from: 4,
        changes: vec![Change::Remove(Entry::Namespace(
            headwater_pubsub::wire::TrackNamespace::empty(),
        ))],
        head: Head {
            epoch: 1,
            start: 3,
            snapshot: 0,
            version: 5,
            hash: Hash([0; 32]),
        },
        signature: Signature([0; 64]),
    };
    let mut aliases = AliasWriter::default();
    let mut object = ObjectWriter::new(&mut aliases, MAX_OBJECT);
    assert!(object.push(&Record::LogPush(push.clone())).is_err());
    push.head.version = 4;
    assert_eq!(object.push(&Record::LogPush(push)), Ok(Fit::In));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `HEADWATER_REGENERATE_VECTORS=1` writes the vectors anew; the specification is edited by hand.
#[test]
fn the_examples_of_the_specification_are_golden() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = root.join("tests/vectors/gossip.json");
    let vectors: Vec<_> = examples::examples()
        .iter()
        .map(|(name, records)| serde_json::json!({"name": name, "hex": hex(&write(records))}))
        .collect();
    if std::env::var_os("HEADWATER_REGENERATE_VECTORS").is_some() {
        let about = "Objects of the gossip track, each the first of its session; docs/gossip.md says what they mean. Bytes are hex.";
        let json = serde_json::json!({"about": about, "vectors": vectors});
        std::fs::write(&path, serde_json::to_string_pretty(&json).unwrap() + "\n").unwrap();
    }
    let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(golden["vectors"], serde_json::Value::from(vectors.clone()));
    let specification = std::fs::read_to_string(root.join("docs/gossip.md")).unwrap();
    let digits: String = specification.split_whitespace().collect();
    for ((name, records), vector) in examples::examples().iter().zip(&vectors) {
        assert_eq!(read_alone(write(records)).as_ref(), Ok(records), "{name}");
        assert!(
            specification.contains(name),
            "{name} is not told in docs/gossip.md"
        );
        assert!(
            digits.contains(vector["hex"].as_str().unwrap()),
            "{name}: docs/gossip.md has other bytes"
        );
    }
}
