//! Draft-18 as `@moq/net` of moq-dev speaks it in browsers (seen: 0.1.9, 0.2.8 and 0.3.4).
//!
//! All of them read and write message parameters in other shapes than the draft's section "Message Parameters":
//!
//! - up to 0.2.8 every parameter is a key-value pair: an even type has an integer, an odd one a length and bytes. So a
//!   SUBSCRIBER_PRIORITY of 128 and more takes two bytes. 0.3.4 writes the draft's single byte.
//! - LARGEST_OBJECT has a length before its two integers, in all of them.
//! - SUBSCRIBE_OK carries GROUP_ORDER, which may not be there.
//!
//! What is read is brought into the draft's form and then read as anybody's; what is written differs in the second point alone.
//! SUBSCRIBE and its update are first read as they are, for a newer package may have written them.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{Message, kind};
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::parameter::Locations;
use crate::wire::reader::Reader;
use crate::wire::{FullTrackName, varint};

const LARGEST_OBJECT: u64 = 0x09;
const FORWARD: u64 = 0x10;
const SUBSCRIBER_PRIORITY: u64 = 0x20;
const GROUP_ORDER: u64 = 0x22;

pub(super) fn encode_body(message: &Message, buf: &mut BytesMut) -> Result<(), EncodeError> {
    match message {
        Message::SubscribeOk(body) => body.encode_with(Locations::Counted, buf),
        Message::RequestOk(body) => body.encode_with(Locations::Counted, buf),
        other => other.encode_body(buf),
    }
}

pub(super) fn decode_body(kind: u64, body: &Bytes) -> Result<Message, DecodeError> {
    if kind == kind::SUBSCRIBE_OK {
        return Message::decode_body(kind, redrafted(kind, body)?);
    }
    match Message::decode_body(kind, body.clone()) {
        Err(_) if matches!(kind, kind::SUBSCRIBE | kind::REQUEST_UPDATE) => {
            Message::decode_body(kind, redrafted(kind, body)?)
        }
        decoded => decoded,
    }
}

/// The body with its parameters in the draft's form.
fn redrafted(kind: u64, body: &Bytes) -> Result<Bytes, DecodeError> {
    let reader = &mut Reader::new(body.clone());
    reader.varint()?;
    if kind == kind::SUBSCRIBE {
        FullTrackName::decode(reader)?;
    }
    let mut out = BytesMut::from(body.get(..body.len() - reader.remaining()).unwrap_or_default());
    let mut parameters = BytesMut::new();
    let (mut read, mut written, mut count) = (0_u64, 0_u64, 0_u64);
    for _ in 0..reader.varint()? {
        read = read
            .checked_add(reader.varint()?)
            .ok_or(DecodeError::OutOfRange("parameter type"))?;
        let mut value = BytesMut::new();
        match read {
            FORWARD | SUBSCRIBER_PRIORITY | GROUP_ORDER => {
                let integer = reader.varint()?;
                let byte = u8::try_from(integer).map_err(|_large| DecodeError::InvalidValue {
                    field: "parameter of one byte",
                    value: integer,
                })?;
                value.put_u8(byte);
            }
            LARGEST_OBJECT => value.put(reader.prefixed("LARGEST_OBJECT", 16)?),
            even if even % 2 == 0 => varint::encode(reader.varint()?, &mut value),
            _ => {
                let bytes = reader.prefixed("parameter", u64::from(u16::MAX))?;
                varint::encode(bytes.len() as u64, &mut value);
                value.put(bytes);
            }
        }
        if (kind, read) == (kind::SUBSCRIBE_OK, GROUP_ORDER) {
            continue;
        }
        varint::encode(read - written, &mut parameters);
        parameters.put(value);
        (written, count) = (read, count + 1);
    }
    varint::encode(count, &mut out);
    out.put(parameters);
    out.put(reader.rest());
    Ok(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::control::{Subscribe, SubscribeOk};
    use crate::wire::{Filter, GroupOrder, Location, Parameters, Properties, Version};

    const VERSION: Version = Version::Draft18MoqLiteJs;

    fn track() -> FullTrackName {
        let bytes = [&[1, 4][..], b"live", &[1], b"v"].concat();
        FullTrackName::decode(&mut Reader::new(bytes.into())).unwrap()
    }

    fn subscribe(priority: u8) -> Message {
        Message::Subscribe(Subscribe {
            request_id: 2,
            track: track(),
            parameters: Parameters {
                forward: Some(true),
                subscriber_priority: Some(priority),
                filter: Some(Filter::LargestObject),
                group_order: Some(GroupOrder::Descending),
                ..Parameters::default()
            },
        })
    }

    /// SUBSCRIBE with these bytes of a priority.
    fn written(priority: &[u8]) -> Bytes {
        let before = [&[2, 1, 4][..], b"live", &[1], b"v", &[4, 0x10, 1, 0x10]].concat();
        [&before[..], priority, &[1, 1, 2, 1, 2]].concat().into()
    }

    #[test]
    fn a_priority_is_read_as_an_integer_or_as_a_byte() {
        for (priority, bytes) in [
            (60, &[60][..]),
            (155, &[0x80, 155]),
            (255, &[0x80, 255]),
            (155, &[155]),
        ] {
            let read = Message::decode(kind::SUBSCRIBE, written(bytes), VERSION);
            assert_eq!(read.unwrap(), subscribe(priority), "{bytes:?}");
        }
        assert!(
            Message::decode(kind::SUBSCRIBE, written(&[0x80, 155]), Version::Draft18).is_err(),
            "only of whom it is known"
        );
        assert!(Message::decode(kind::SUBSCRIBE, written(&[0x81, 0]), VERSION).is_err());
    }

    #[test]
    fn subscribe_ok_is_read_with_a_length_before_its_location_and_without_its_group_order() {
        let ok = |largest| {
            Message::SubscribeOk(SubscribeOk {
                track_alias: 7,
                parameters: Parameters {
                    largest_object: largest,
                    ..Parameters::default()
                },
                properties: Properties::default(),
            })
        };
        let read =
            |bytes: &'static [u8]| Message::decode(kind::SUBSCRIBE_OK, Bytes::from_static(bytes), VERSION);
        assert_eq!(read(&[7, 1, 0x22, 2]).unwrap(), ok(None));
        let largest = ok(Some(Location::new(5, 3)));
        assert_eq!(read(&[7, 2, 0x09, 2, 5, 3, 0x19, 2]).unwrap(), largest);
        assert!(read(&[7, 1, 0x09, 1, 5]).is_err());
        assert!(read(&[7, 9, 0x22]).is_err());

        let mut bytes = BytesMut::new();
        largest.encode(VERSION, &mut bytes).unwrap();
        assert_eq!(bytes.as_ref(), [4, 0, 6, 7, 1, 0x09, 2, 5, 3]);
    }
}
