//! Datagrams: refused, or read as something that is written and read again the same.

#![no_main]

use bytes::Bytes;
use headwater_pubsub::wire::Version;
use headwater_pubsub::wire::data::{Datagram, DatagramKind};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(DatagramKind::Object(datagram)) = Datagram::decode(Bytes::copy_from_slice(data), Version::Draft18)
    else {
        return;
    };
    let mut bytes = Vec::new();
    datagram.encode(&mut bytes).expect("what was read can be written");
    assert_eq!(
        Datagram::decode(bytes.into(), Version::Draft18),
        Ok(DatagramKind::Object(datagram))
    );
});
