//! Draft-18 as `@moq/net` of moq-dev speaks it in browsers (seen: 0.1.9, 0.2.8 and 0.3.4).
//!
//! They read and write message parameters in other shapes than the draft's section "Message Parameters":
//!
//! - up to 0.2.8 every parameter is a key-value pair: an even type has an integer, an odd one a length and bytes. So a
//!   SUBSCRIBER_PRIORITY of 128 and more takes two bytes. 0.3.4 writes the draft's single byte.
//! - they read LARGEST_OBJECT with a length before its two integers, and newer ones without. None needs it.
//! - 0.3.4 gives up at NEW_GROUP_REQUEST, which it does not know.
//! - SUBSCRIBE_OK of 0.1.9 carries GROUP_ORDER, which may not be there.
//!
//! The name that they give has no version, so nothing here may keep a package from working that follows the draft: a message is
//! first read as the draft has it, and only one that is none is brought into that form. What some of them cannot read is left out.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{Message, kind};
use crate::wire::error::{DecodeError, EncodeError};
use crate::wire::reader::Reader;
use crate::wire::{FullTrackName, varint};

const FORWARD: u64 = 0x10;
const SUBSCRIBER_PRIORITY: u64 = 0x20;
const GROUP_ORDER: u64 = 0x22;

pub(super) fn encode_body(message: &Message, buf: &mut BytesMut) -> Result<(), EncodeError> {
    let mut message = message.clone();
    let parameters = match &mut message {
        Message::Subscribe(body) => Some(&mut body.parameters),
        Message::RequestUpdate(body) => Some(&mut body.parameters),
        Message::SubscribeOk(body) => Some(&mut body.parameters),
        Message::RequestOk(body) => Some(&mut body.parameters),
        _ => None,
    };
    if let Some(parameters) = parameters {
        parameters.largest_object = None;
        parameters.new_group_request = None;
    }
    message.encode_body(buf)
}

pub(super) fn decode_body(kind: u64, body: &Bytes) -> Result<Message, DecodeError> {
    let written_otherwise = matches!(kind, kind::SUBSCRIBE | kind::REQUEST_UPDATE | kind::SUBSCRIBE_OK);
    match Message::decode_body(kind, body.clone()) {
        Err(_) if written_otherwise => Message::decode_body(kind, redrafted(kind, body)?),
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

    fn ok(largest: Option<Location>) -> Message {
        Message::SubscribeOk(SubscribeOk {
            track_alias: 7,
            parameters: Parameters {
                largest_object: largest,
                ..Parameters::default()
            },
            properties: Properties::default(),
        })
    }

    #[test]
    fn subscribe_ok_is_read_as_the_draft_has_it_and_else_without_its_group_order() {
        let read =
            |bytes: &'static [u8]| Message::decode(kind::SUBSCRIBE_OK, Bytes::from_static(bytes), VERSION);
        assert_eq!(read(&[7, 1, 0x22, 2]).unwrap(), ok(None));
        assert_eq!(read(&[7, 1, 0x09, 5, 3]).unwrap(), ok(Some(Location::new(5, 3))));
        assert!(read(&[7, 1, 0x09, 5]).is_err());
        assert!(read(&[7, 9, 0x22]).is_err());
    }

    #[test]
    fn what_some_of_them_cannot_read_is_left_out() {
        let mut bytes = BytesMut::new();
        ok(Some(Location::new(5, 3))).encode(VERSION, &mut bytes).unwrap();
        assert_eq!(bytes.as_ref(), [4, 0, 2, 7, 0]);

        let Message::Subscribe(mut asks) = subscribe(60) else {
            panic!("a SUBSCRIBE")
        };
        asks.parameters.new_group_request = Some(0);
        let mut bytes = BytesMut::new();
        Message::Subscribe(asks).encode(VERSION, &mut bytes).unwrap();
        let mut plain = BytesMut::new();
        subscribe(60).encode(Version::Draft18, &mut plain).unwrap();
        assert_eq!(bytes, plain);
    }
}
