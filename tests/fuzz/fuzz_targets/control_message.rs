//! Messages of a request stream: refused, or read as something that is written and read again the same.

#![no_main]

use bytes::{Bytes, BytesMut};
use headwater_pubsub::wire::control::StreamKind;
use headwater_pubsub::wire::{MessageReader, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut reader = MessageReader::new(Version::Draft18, StreamKind::Request);
    reader.push(Bytes::copy_from_slice(data));
    while let Ok(Some(message)) = reader.poll() {
        let mut bytes = BytesMut::new();
        // Bytes that are not UTF-8 grow when they are replaced, and with them a reason may outgrow its limit.
        if message.encode(Version::Draft18, &mut bytes).is_err() {
            continue;
        }
        let mut again = MessageReader::new(Version::Draft18, StreamKind::Request);
        again.push(bytes.freeze());
        assert_eq!(again.poll(), Ok(Some(message)));
        assert!(again.is_empty());
    }
});
