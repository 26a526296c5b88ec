//! Messages of a request stream: refused, or read as something that is written and read again the same.

#![no_main]

use bytes::{Bytes, BytesMut};
use headwater_pubsub::wire::control::StreamKind;
use headwater_pubsub::wire::{MessageReader, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let read = |bytes: Bytes, version: Version| {
        let mut reader = MessageReader::new(version, StreamKind::Request);
        reader.push(bytes);
        reader
    };
    let mut reader = read(Bytes::copy_from_slice(data), Version::Draft18);
    while let Ok(Some(message)) = reader.poll() {
        let mut bytes = BytesMut::new();
        // Bytes that are not UTF-8 grow when they are replaced, and with them a reason may outgrow its limit.
        if message.encode(Version::Draft18, &mut bytes).is_err() {
            continue;
        }
        let mut again = read(bytes.freeze(), Version::Draft18);
        assert_eq!(again.poll(), Ok(Some(message)));
        assert!(again.is_empty());
    }
    // What it reads it does not write the same: several forms stand for one message.
    let mut dialect = read(Bytes::copy_from_slice(data), Version::Draft18MoqLiteJs);
    while let Ok(Some(message)) = dialect.poll() {
        let _unwritable = message.encode(Version::Draft18MoqLiteJs, &mut BytesMut::new());
    }
});
