//! SETUP: the body alone, so that the fuzzer need not find the frame.

#![no_main]

use bytes::{Bytes, BytesMut};
use headwater_pubsub::wire::control::kind;
use headwater_pubsub::wire::{Message, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(message) = Message::decode(kind::SETUP, Bytes::copy_from_slice(data), Version::Draft18) else {
        return;
    };
    let mut bytes = BytesMut::new();
    if message.encode(Version::Draft18, &mut bytes).is_ok() {
        let body = bytes.freeze().slice(4..);
        assert_eq!(Message::decode(kind::SETUP, body, Version::Draft18), Ok(message));
    }
});
