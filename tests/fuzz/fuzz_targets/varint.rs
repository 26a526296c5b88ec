//! Integers: what is read is within the bytes, and has a shortest form that reads the same.

#![no_main]

use headwater_pubsub::wire::varint;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((value, len)) = varint::decode(data) else {
        return;
    };
    assert!(len <= data.len() && varint::encoded_len(value) <= len);
    let mut bytes = Vec::new();
    varint::encode(value, &mut bytes);
    assert_eq!(varint::decode(&bytes), Some((value, bytes.len())));
});
