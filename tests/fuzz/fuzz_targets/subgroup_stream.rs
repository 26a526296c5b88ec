//! Subgroup streams: the same events whether the bytes come at once or one by one, and payload that adds up.

#![no_main]

use bytes::Bytes;
use headwater_pubsub::wire::Version;
use headwater_pubsub::wire::data::{SubgroupEvent, SubgroupReader};
use libfuzzer_sys::fuzz_target;

fn read(pieces: impl Iterator<Item = Bytes>) -> (Vec<SubgroupEvent>, Vec<u8>, bool) {
    let mut reader = SubgroupReader::new(Version::Draft18);
    let (mut heads, mut payload, mut left) = (Vec::new(), Vec::new(), 0_u64);
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.poll() {
                Ok(Some(SubgroupEvent::Payload(bytes))) => {
                    left = left
                        .checked_sub(bytes.len() as u64)
                        .expect("payload beyond the object");
                    payload.extend_from_slice(&bytes);
                }
                Ok(Some(head)) => {
                    assert_eq!(left, 0, "an object began inside another");
                    if let SubgroupEvent::Object(object) = &head {
                        left = object.payload_len;
                    }
                    heads.push(head);
                }
                Ok(None) => break,
                Err(_) => return (heads, payload, false),
            }
        }
    }
    (heads, payload, reader.finish().is_ok())
}

fuzz_target!(|data: &[u8]| {
    let whole = read(std::iter::once(Bytes::copy_from_slice(data)));
    let single = read(data.iter().map(|&byte| Bytes::from(vec![byte])));
    assert_eq!(whole, single);
});
