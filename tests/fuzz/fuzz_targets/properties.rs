//! Property blocks: every view of them, and a readable block of ascending types is rebuilt the same.

#![no_main]

use bytes::Bytes;
use headwater_pubsub::wire::Properties;
use headwater_pubsub::wire::property::{ObjectProperties, PropertyValue, TrackProperties};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let block = Properties::from_bytes(Bytes::copy_from_slice(data));
    drop((
        TrackProperties::parse(&block),
        ObjectProperties::parse(&block),
        block.get(0x3C),
        format!("{block:?}"),
    ));
    let Ok(read) = block.iter().collect::<Result<Vec<_>, _>>() else {
        return;
    };
    let builder = read
        .iter()
        .fold(Properties::builder(), |builder, property| match property.value {
            PropertyValue::Int(value) => builder.int(property.kind, value),
            PropertyValue::Bytes(value) => builder.bytes(property.kind, Bytes::copy_from_slice(value)),
        });
    let rebuilt = builder.build().expect("what was read can be written");
    assert!(rebuilt.iter().map(Result::unwrap).eq(read));
});
