use bytes::{Bytes, BytesMut};

use super::*;
use crate::wire::parameter::{Filter, GroupOrder, Parameters, Token};
use crate::wire::{FullTrackName, Location, TrackName, TrackNamespace};

fn track() -> FullTrackName {
    FullTrackName::new(
        TrackNamespace::new(["live", "cam"]).unwrap(),
        TrackName::new("video").unwrap(),
    )
    .unwrap()
}

fn read(stream: StreamKind, bytes: &[u8]) -> Result<Option<Message>, DecodeError> {
    let mut reader = MessageReader::new(Version::Draft18, stream);
    reader.push(Bytes::copy_from_slice(bytes));
    reader.poll()
}

#[test]
fn a_subscribe_is_laid_out_as_the_draft_says() {
    let message = Message::Subscribe(Subscribe {
        request_id: 2,
        track: track(),
        parameters: Parameters {
            authorization_tokens: vec![Token::UseValue {
                kind: 0,
                value: Bytes::from_static(b"t"),
            }],
            forward: Some(true),
            filter: Some(Filter::AbsoluteRange {
                start: Location::new(5, 1),
                end_group: 7,
            }),
            group_order: Some(GroupOrder::Descending),
            ..Parameters::default()
        },
    });
    let mut bytes = BytesMut::new();
    message.encode(Version::Draft18, &mut bytes).unwrap();
    let expected = b"\x03\x00\x26\x02\x02\x04live\x03cam\x05video\x04\x03\x03\x03\x00t\x0d\x01\x11\x04\x04\x05\x01\x02\x01\x02";
    assert_eq!(&bytes[3..], &expected[3..]);
    assert_eq!(bytes[..3], [0x03, 0, (bytes.len() - 3).try_into().unwrap()]);
    assert_eq!(read(StreamKind::Request, &bytes).unwrap(), Some(message));
}
