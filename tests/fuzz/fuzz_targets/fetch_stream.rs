//! Fetch streams in both group orders: the same events whether the bytes come at once or one by one.

#![no_main]

use bytes::Bytes;
use headwater_pubsub::wire::data::{FetchEvent, FetchReader};
use headwater_pubsub::wire::{GroupOrder, Version};
use libfuzzer_sys::fuzz_target;

fn read(order: GroupOrder, pieces: impl Iterator<Item = Bytes>) -> (Vec<FetchEvent>, Vec<u8>, bool) {
    let mut reader = FetchReader::new(Version::Draft18, order);
    let (mut heads, mut payload) = (Vec::new(), Vec::new());
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.poll() {
                Ok(Some(FetchEvent::Payload(bytes))) => payload.extend_from_slice(&bytes),
                Ok(Some(head)) => heads.push(head),
                Ok(None) => break,
                Err(_) => return (heads, payload, false),
            }
        }
    }
    (heads, payload, reader.finish().is_ok())
}

fuzz_target!(|data: &[u8]| {
    for order in [GroupOrder::Ascending, GroupOrder::Descending] {
        let whole = read(order, std::iter::once(Bytes::copy_from_slice(data)));
        let single = read(order, data.iter().map(|&byte| Bytes::from(vec![byte])));
        assert_eq!(whole, single);
    }
});
