//! The golden bytes of `tests/vectors`, which the Rust and the TypeScript codec share.
//!
//! Each vector has bytes and what they mean, or the code that they close the session with; bytes that are not marked
//! `"canonical": false` are also what we write. To add vectors, write their `name` and `hex`, run
//! `HEADWATER_REGENERATE_VECTORS=1 cargo test -p headwater-pubsub --test vectors`, and review what was filled in.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "vectors/json.rs"]
mod json;

use std::path::Path;

use bytes::{Bytes, BytesMut};
use headwater_pubsub::wire::control::StreamKind;
use headwater_pubsub::wire::data::*;
use headwater_pubsub::wire::error::DecodeError;
use headwater_pubsub::wire::*;
use json::{hex, unhex};
use serde_json::{Value, json};

const VERSION: Version = Version::Draft18;

/// What a vector's bytes were read as, and how we would write that.
type Reading = Result<(Value, Vec<u8>), DecodeError>;

/// Checks every vector of a file, or rewrites the file with what was read.
fn check(file: &str, read: impl Fn(&Value) -> Result<(Value, Vec<u8>), String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/vectors")
        .join(file);
    let mut json: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let regenerate = std::env::var_os("HEADWATER_REGENERATE_VECTORS").is_some();
    for vector in json["vectors"].as_array_mut().unwrap() {
        let result = read(vector);
        if regenerate {
            fill_in(vector, result);
        } else {
            compare(vector, result);
        }
    }
    if regenerate {
        std::fs::write(&path, serde_json::to_string_pretty(&json).unwrap() + "\n").unwrap();
    }
}

fn compare(vector: &Value, result: Result<(Value, Vec<u8>), String>) {
    let name = &vector["name"];
    match (result, vector.get("error")) {
        (Ok((fields, canonical)), None) => {
            assert_eq!(fields, vector["fields"], "{name}");
            if let (None | Some(Value::Bool(true)), Some(Value::String(bytes))) =
                (vector.get("canonical"), vector.get("hex"))
            {
                if !fields.is_null() {
                    assert_eq!(&hex(&canonical), bytes, "{name}: written differently");
                }
            } else if vector.get("hex").is_some() {
                assert_ne!(
                    Value::from(hex(&canonical)),
                    vector["hex"],
                    "{name}: canonical after all"
                );
            }
        }
        (Err(code), Some(expected)) => assert_eq!(&Value::from(code), expected, "{name}"),
        (result, expected) => panic!("{name}: {result:?}, expected error {expected:?}"),
    }
}

fn fill_in(vector: &mut Value, result: Result<(Value, Vec<u8>), String>) {
    let vector = vector.as_object_mut().unwrap();
    for key in ["fields", "error", "canonical"] {
        vector.remove(key);
    }
    match result {
        Ok((fields, canonical)) => {
            let is_canonical = match vector.get("hex") {
                Some(bytes) => fields.is_null() || bytes.as_str() == Some(&hex(&canonical)),
                None => true,
            };
            vector.insert("fields".into(), fields);
            if !is_canonical {
                vector.insert("canonical".into(), false.into());
            }
        }
        Err(code) => {
            vector.insert("error".into(), code.into());
        }
    }
}

fn bytes(vector: &Value) -> Bytes {
    unhex(vector["hex"].as_str().unwrap()).into()
}

fn code(reading: Reading) -> Result<(Value, Vec<u8>), String> {
    reading.map_err(|error| error.code().to_string())
}

#[test]
fn varints() {
    check("varint.json", |vector| {
        let Some((value, len)) = varint::decode(&bytes(vector)) else {
            return Ok((Value::Null, Vec::new()));
        };
        assert_eq!(len, bytes(vector).len());
        let mut written = Vec::new();
        varint::encode(value, &mut written);
        Ok((json!({"value": value.to_string()}), written))
    });
}

#[test]
fn control_messages() {
    check_messages("control_messages.json");
}

/// Apart from the draft's messages, since only who agreed on an extension may send or accept these.
#[test]
fn extension_parameters() {
    check_messages("extension_parameters.json");
}

fn check_messages(file: &str) {
    check(file, |vector| {
        let stream = match vector["stream"].as_str() {
            Some("control") => StreamKind::Control,
            Some("request") => StreamKind::Request,
            other => panic!("{other:?}"),
        };
        code(read_message(stream, bytes(vector)))
    });
}

fn read_message(stream: StreamKind, bytes: Bytes) -> Reading {
    let mut reader = MessageReader::new(VERSION, stream);
    reader.push(bytes);
    let message = reader.poll()?.ok_or(DecodeError::Truncated)?;
    assert!(reader.is_empty());
    let mut written = BytesMut::new();
    message.encode(VERSION, &mut written).unwrap();
    Ok((json::message(&message), written.to_vec()))
}

#[test]
fn subgroup_streams() {
    check("subgroup_streams.json", |vector| {
        code(read_subgroup(bytes(vector)))
    });
}

fn read_subgroup(bytes: Bytes) -> Reading {
    let mut reader = SubgroupReader::new(VERSION);
    reader.push(bytes);
    let mut written = Vec::new();
    let mut header = None;
    let mut objects: Vec<(SubgroupObject, Bytes)> = Vec::new();
    while let Some(event) = reader.poll()? {
        match event {
            SubgroupEvent::Header(read) => header = Some(read),
            SubgroupEvent::Object(object) => objects.push((object, Bytes::new())),
            SubgroupEvent::Payload(payload) => objects.last_mut().unwrap().1 = payload,
        }
    }
    reader.finish()?;
    let header = header.unwrap();
    header.encode(&mut written);
    let mut last = None;
    for (object, payload) in &objects {
        subgroup::encode_object(last, object, header.has_properties, &mut written).unwrap();
        written.extend_from_slice(payload);
        last = Some(object.id);
    }
    let objects: Vec<Value> = objects
        .iter()
        .map(|(object, payload)| json::subgroup_object(object, payload))
        .collect();
    Ok((
        json!({"header": json::subgroup_header(&header), "objects": objects}),
        written,
    ))
}

#[test]
fn fetch_streams() {
    check("fetch_streams.json", |vector| {
        let order = match vector["order"].as_str() {
            Some("ascending") => GroupOrder::Ascending,
            Some("descending") => GroupOrder::Descending,
            other => panic!("{other:?}"),
        };
        code(read_fetch(order, bytes(vector)))
    });
}

fn read_fetch(order: GroupOrder, bytes: Bytes) -> Reading {
    let mut reader = FetchReader::new(VERSION, order);
    reader.push(bytes);
    let mut writer = FetchWriter::new(order);
    let mut written = Vec::new();
    let mut id = None;
    let mut items = Vec::new();
    while let Some(event) = reader.poll()? {
        match event {
            FetchEvent::Header { request_id } => {
                writer.header(request_id, &mut written);
                id = Some(request_id.to_string());
            }
            FetchEvent::Object(object) => {
                writer.object(&object, &mut written).unwrap();
                items.push(json::fetch_object(&object, &[]));
            }
            FetchEvent::Payload(payload) => {
                written.extend_from_slice(&payload);
                items.last_mut().unwrap()["payload"] = hex(&payload).into();
            }
            FetchEvent::EndOfNonExistentRange(end) => {
                writer
                    .end_of_range(end, RangeStatus::NonExistent, &mut written)
                    .unwrap();
                items.push(json::range(RangeStatus::NonExistent, end));
            }
            FetchEvent::EndOfUnknownRange(end) => {
                writer
                    .end_of_range(end, RangeStatus::Unknown, &mut written)
                    .unwrap();
                items.push(json::range(RangeStatus::Unknown, end));
            }
        }
    }
    reader.finish()?;
    Ok((json!({"request_id": id, "items": items}), written))
}

#[test]
fn datagrams() {
    check("datagrams.json", |vector| {
        code(Datagram::decode(bytes(vector), VERSION).map(|kind| match kind {
            DatagramKind::Padding => (json!({"padding": true}), Vec::new()),
            DatagramKind::Object(datagram) => {
                let mut written = Vec::new();
                datagram.encode(&mut written).unwrap();
                (json::datagram(&datagram), written)
            }
        }))
    });
}

#[test]
fn names() {
    check("names.json", |vector| {
        let text = vector["text"].as_str().unwrap();
        let track: FullTrackName = text.parse().map_err(|_error| "invalid".to_owned())?;
        assert_eq!(track.to_string(), text);
        Ok((json::track(&track), Vec::new()))
    });
}
