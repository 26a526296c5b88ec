use bytes::{Bytes, BytesMut};

use super::*;
use crate::wire::code::{PublishDoneCode, RequestErrorCode, SessionCode};
use crate::wire::error::NameError;
use crate::wire::parameter::{Filter, GroupOrder, Parameters, Token};
use crate::wire::property::Properties;
use crate::wire::{FullTrackName, Location, TrackName, TrackNamespace};

fn track() -> FullTrackName {
    FullTrackName::new(
        TrackNamespace::new(["live", "cam"]).unwrap(),
        TrackName::new("video").unwrap(),
    )
    .unwrap()
}

fn encode(message: &Message) -> BytesMut {
    let mut bytes = BytesMut::new();
    message.encode(Version::Draft18, &mut bytes).unwrap();
    bytes
}

/// A message of the given type and body.
fn framed(kind: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint::encode(kind, &mut bytes);
    bytes.put_u16(body.len().try_into().unwrap());
    bytes.extend_from_slice(body);
    bytes
}

/// What reading a message of a request stream fails with.
fn refused(kind: u64, body: &[u8]) -> DecodeError {
    read(StreamKind::Request, &framed(kind, body)).unwrap_err()
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
    let body =
        b"\x02\x02\x04live\x03cam\x05video\x04\x03\x03\x03\x00t\x0d\x01\x11\x04\x04\x05\x01\x02\x01\x02";
    let bytes = encode(&message);
    assert_eq!(bytes, framed(0x03, body));
    assert_eq!(read(StreamKind::Request, &bytes).unwrap(), Some(message));
}

#[test]
fn responses_carry_no_request_id() {
    let ok = Message::SubscribeOk(SubscribeOk {
        track_alias: 7,
        parameters: Parameters::default(),
        properties: Properties::empty(),
    });
    assert_eq!(&encode(&ok)[..], [0x04, 0, 2, 7, 0]);
    assert_eq!(
        &encode(&Message::RequestOk(RequestOk::default()))[..],
        [0x07, 0, 1, 0]
    );
}

#[test]
fn publish_ok_is_sent_as_request_ok_and_accepted_as_either() {
    let read_ok = |kind| read(StreamKind::Request, &framed(kind, &[1, 0x10, 0])).unwrap();
    let expected = RequestOk {
        parameters: Parameters {
            forward: Some(false),
            ..Parameters::default()
        },
        properties: Properties::empty(),
    };
    assert_eq!(read_ok(0x07), Some(Message::RequestOk(expected.clone())));
    assert_eq!(read_ok(0x1e), Some(Message::RequestOk(expected)));
}

#[test]
fn goaway_names_a_request_on_the_control_stream_and_nowhere_else() {
    let with_id = framed(0x10, &[0, 5, 4]);
    let without_id = framed(0x10, &[0, 5]);
    assert!(
        matches!(read(StreamKind::Control, &with_id), Ok(Some(Message::Goaway(goaway))) if goaway.request_id == Some(4))
    );
    assert!(
        matches!(read(StreamKind::Request, &without_id), Ok(Some(Message::Goaway(goaway))) if goaway.request_id.is_none())
    );
    assert!(read(StreamKind::Control, &without_id).is_err());
    assert!(read(StreamKind::Request, &with_id).is_err());
}

#[test]
fn a_new_session_uri_has_at_most_8192_bytes() {
    let goaway = |len| {
        Message::Goaway(Goaway {
            uri: vec![b'a'; len].into(),
            timeout_ms: 0,
            request_id: None,
        })
    };
    assert!(read(StreamKind::Request, &encode(&goaway(8192))).is_ok());
    assert!(
        goaway(8193)
            .encode(Version::Draft18, &mut BytesMut::new())
            .is_err()
    );
    let mut body = vec![0xa0, 0x01];
    body.resize(2 + 8193 + 1, 0);
    assert_eq!(
        refused(0x10, &body),
        DecodeError::TooLong {
            field: "New Session URI",
            len: 8193,
            max: 8192
        }
    );
}

#[test]
fn messages_keep_to_their_streams() {
    assert!(matches!(refused(0x2f00, &[]), DecodeError::Misplaced(_)));
    for kind in [0x02, 0x03, 0x07, 0x0b, 0x1d, 0x50] {
        let error = read(StreamKind::Control, &framed(kind, &[0])).unwrap_err();
        assert!(matches!(error, DecodeError::Misplaced(_)), "{kind:#x}: {error}");
    }
}

#[test]
fn unknown_messages_are_refused_before_their_body_arrives() {
    for kind in [
        0x00_u64,
        0x01,
        0x09,
        0x0a,
        0x0c,
        0x11,
        0x17,
        0x20,
        0x21,
        0x40,
        0x41,
        0x52,
        u64::MAX,
    ] {
        let mut bytes = Vec::new();
        varint::encode(kind, &mut bytes);
        let error = read(StreamKind::Request, &bytes).unwrap_err();
        assert_eq!(
            error,
            DecodeError::UnknownType {
                what: "message",
                value: kind
            }
        );
        assert_eq!(error.code(), SessionCode::PROTOCOL_VIOLATION);
    }
}

#[test]
fn the_length_is_the_bodys_to_the_byte() {
    // NAMESPACE of one field "a".
    assert!(Message::decode(0x08, Bytes::from_static(&[1, 1, b'a']), Version::Draft18).is_ok());
    assert_eq!(refused(0x08, &[1, 1, b'a', 0]), DecodeError::Leftover(1));
    assert_eq!(refused(0x08, &[1, 1]), DecodeError::Truncated);
    assert_eq!(refused(0x08, &[]), DecodeError::Truncated);
    // PUBLISH_DONE whose reason claims more than there is.
    assert_eq!(refused(0x0b, &[2, 0, 5, b'x']), DecodeError::Truncated);
}

#[test]
fn a_message_longer_than_its_length_can_say_is_not_written() {
    let token = Token::UseValue {
        kind: 0,
        value: vec![0; 65_530].into(),
    };
    let parameters = Parameters {
        authorization_tokens: vec![token],
        ..Parameters::default()
    };
    let message = Message::RequestUpdate(RequestUpdate {
        request_id: 0,
        parameters,
    });
    let mut bytes = BytesMut::from(&b"before"[..]);
    assert!(matches!(
        message.encode(Version::Draft18, &mut bytes),
        Err(EncodeError::TooLong { .. })
    ));
    assert_eq!(bytes, "before");
}

#[test]
fn names_beyond_the_limits_close_the_session() {
    let too_many = [&[33][..], &[1, b'a'].repeat(33)].concat();
    assert_eq!(refused(0x08, &too_many), NameError::TooManyFields.into());
    assert_eq!(refused(0x08, &[1, 0]), NameError::EmptyField.into());
    // PUBLISH_BLOCKED: a suffix of 4000 bytes and a name of 97.
    let mut body = vec![1, 0x8f, 0xa0];
    body.resize(3 + 4000, b'a');
    body.push(97);
    body.resize(4 + 4000 + 97, b'b');
    assert_eq!(refused(0x0f, &body), NameError::TooLong.into());
    // SUBSCRIBE with the same, and one byte less is fine.
    let subscribe = [&[0][..], &body, &[0]].concat();
    assert_eq!(refused(0x03, &subscribe), NameError::TooLong.into());
    let fits = [&[0][..], &body[..4003], &[96], &body[4005..], &[0]].concat();
    assert!(read(StreamKind::Request, &framed(0x03, &fits)).is_ok());
}

#[test]
fn parameters_are_refused_where_they_may_not_be() {
    // SUBSCRIBE of track "" in namespace () with one parameter.
    let subscribe = |parameter: &[u8]| refused(0x03, &[&[0, 0, 0, 1][..], parameter].concat());
    assert_eq!(subscribe(&[0x08, 1]), DecodeError::MisplacedParameter(0x08));
    assert_eq!(
        subscribe(&[0x01, 1]),
        DecodeError::UnknownType {
            what: "message parameter",
            value: 1
        }
    );
    assert_eq!(
        subscribe(&[0x23, 1]),
        DecodeError::UnknownType {
            what: "message parameter",
            value: 0x23
        }
    );
    // TRACK_STATUS takes tokens and nothing that is about delivery.
    assert_eq!(
        refused(0x0d, &[0, 0, 0, 1, 0x20, 1]),
        DecodeError::MisplacedParameter(0x20)
    );
    // FETCH_OK takes none, FETCH no FORWARD.
    assert_eq!(
        refused(0x18, &[0, 0, 0, 1, 0x08, 1]),
        DecodeError::MisplacedParameter(0x08)
    );
    assert_eq!(
        refused(0x16, &[0, 2, 0, 0, 1, 0x10, 1]),
        DecodeError::MisplacedParameter(0x10)
    );
}

#[test]
fn only_three_fetch_types_exist() {
    for kind in [0, 4, 0x40] {
        let error = refused(0x16, &[0, kind, 0, 0, 0]);
        assert_eq!(
            error,
            DecodeError::UnknownType {
                what: "fetch type",
                value: kind.into()
            }
        );
    }
    assert!(matches!(
        refused(0x18, &[2, 0, 0, 0]),
        DecodeError::InvalidValue { .. }
    ));
}

#[test]
fn the_unknown_stream_count_is_two_to_the_62_less_one() {
    let done = |stream_count| {
        Message::PublishDone(PublishDone {
            code: PublishDoneCode::TRACK_ENDED,
            stream_count,
            reason: String::new(),
        })
    };
    assert_eq!(
        encode(&done(None)),
        framed(
            0x0b,
            &[2, 0xff, 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]
        )
    );
    assert_eq!(&encode(&done(Some(0)))[..], [0x0b, 0, 3, 2, 0, 0]);
    // Draft-17 had these two the other way round.
    assert_eq!(
        (
            PublishDoneCode::TOO_FAR_BEHIND.into_inner(),
            PublishDoneCode::EXPIRED.into_inner()
        ),
        (5, 6)
    );
}

#[test]
fn the_retry_interval_is_sent_plus_one_so_that_zero_means_never() {
    let error = |retry_after_ms| {
        let code = RequestErrorCode::TIMEOUT;
        Message::RequestError(RequestError {
            code,
            retry_after_ms,
            reason: String::new(),
            redirect: None,
        })
    };
    for (retry, wire) in [(None, 0), (Some(0), 1), (Some(99), 100)] {
        let bytes = encode(&error(retry));
        assert_eq!(&bytes[..], [0x05, 0, 3, 2, wire, 0]);
        assert_eq!(read(StreamKind::Request, &bytes), Ok(Some(error(retry))));
    }
}

#[test]
fn a_redirect_goes_with_its_code_and_no_other() {
    assert_eq!(refused(0x05, &[0x34, 0, 0]), DecodeError::Truncated);
    assert_eq!(refused(0x05, &[0x10, 0, 0, 0, 0, 0]), DecodeError::Leftover(3));
    let read = read(
        StreamKind::Request,
        &framed(0x05, &[0x34, 0, 0, 1, b'u', 1, 1, b'n', 0]),
    )
    .unwrap();
    let Some(Message::RequestError(error)) = read else {
        panic!("{read:?}")
    };
    assert_eq!(
        error.redirect.map(|redirect| redirect.uri),
        Some(Bytes::from_static(b"u"))
    );
    let wrong = RequestError {
        code: RequestErrorCode::REDIRECT,
        retry_after_ms: None,
        reason: String::new(),
        redirect: None,
    };
    assert!(
        Message::RequestError(wrong)
            .encode(Version::Draft18, &mut BytesMut::new())
            .is_err()
    );
}

#[test]
fn reasons_are_short_and_need_not_be_utf_8() {
    let too_long = [&[0, 0, 0x84, 0x01][..], &[b'x'; 1025]].concat();
    assert_eq!(
        refused(0x05, &too_long),
        DecodeError::TooLong {
            field: "reason phrase",
            len: 1025,
            max: 1024
        }
    );
    let odd = read(StreamKind::Request, &framed(0x0b, &[0, 0, 2, b'a', 0xff])).unwrap();
    assert!(matches!(odd, Some(Message::PublishDone(done)) if done.reason == "a\u{fffd}"));
}

mod setup {
    use super::*;

    fn read_setup(options: &[u8]) -> Result<Setup, DecodeError> {
        match read(StreamKind::Control, &framed(0x2f00, options))? {
            Some(Message::Setup(setup)) => Ok(setup),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn its_type_takes_two_bytes_and_is_the_streams() {
        assert_eq!(&encode(&Message::Setup(Setup::default()))[..], [0xaf, 0x00, 0, 0]);
    }

    #[test]
    fn unknown_options_are_kept_and_may_be_repeated() {
        // Grease 0x9d twice with bytes, then 0x11c with an integer.
        let setup = read_setup(&[0x80, 0x9d, 1, b'a', 0x00, 1, b'b', 0x7f, 5]).unwrap();
        assert_eq!(setup.extensions.iter().count(), 3);
        assert_eq!(
            Setup {
                extensions: Properties::empty(),
                ..setup
            },
            Setup::default()
        );
    }

    #[test]
    fn known_options_come_once_and_tokens_more_often() {
        assert!(matches!(
            read_setup(&[0x04, 1, 0x00, 1]),
            Err(DecodeError::Misplaced(_))
        ));
        assert!(matches!(
            read_setup(&[0x07, 1, b'x', 0x00, 1, b'y']),
            Err(DecodeError::Misplaced(_))
        ));
        let tokens = read_setup(&[0x03, 3, 3, 0, b'a', 0x00, 4, 1, 9, 0, b'b'])
            .unwrap()
            .authorization_tokens;
        assert_eq!(tokens.len(), 2);
    }

    #[test]
    fn tokens_cannot_refer_to_aliases_yet() {
        for token in [[0, 1], [2, 1]] {
            let error = read_setup(&[&[0x03, 2][..], &token].concat()).unwrap_err();
            assert_eq!(error.code(), SessionCode::PROTOCOL_VIOLATION);
        }
        assert_eq!(
            read_setup(&[0x03, 1, 7]).unwrap_err().code(),
            SessionCode::KEY_VALUE_FORMATTING_ERROR
        );
    }

    #[test]
    fn paths_and_authorities_are_those_of_uris() {
        let path = |path: &[u8]| read_setup(&[&[0x01, path.len().try_into().unwrap()][..], path].concat());
        for good in [&b""[..], b"/", b"/a/b%2Fc?x=1&y=/", b"?q", b"//"] {
            assert!(path(good).is_ok(), "{good:?}");
        }
        for bad in [&b"a"[..], b"/ ", b"/%zz", b"/%2", b"/#f", b"/\xff", b"/\n"] {
            assert_eq!(
                path(bad).unwrap_err().code(),
                SessionCode::MALFORMED_PATH,
                "{bad:?}"
            );
        }
        let authority =
            |text: &[u8]| read_setup(&[&[0x05, text.len().try_into().unwrap()][..], text].concat());
        for good in [&b"example.net:4443"[..], b"[::1]:4443", b"user@host", b""] {
            assert!(authority(good).is_ok(), "{good:?}");
        }
        for bad in [&b"a/b"[..], b"a b", b"a?"] {
            assert_eq!(
                authority(bad).unwrap_err().code(),
                SessionCode::MALFORMED_AUTHORITY,
                "{bad:?}"
            );
        }
    }

    #[test]
    fn broken_values_of_known_options_are_told_apart() {
        assert_eq!(
            read_setup(&[0x07, 5, b'x']).unwrap_err().code(),
            SessionCode::KEY_VALUE_FORMATTING_ERROR
        );
        assert_eq!(
            read_setup(&[0x04, 0x80]).unwrap_err().code(),
            SessionCode::KEY_VALUE_FORMATTING_ERROR
        );
        assert_eq!(
            read_setup(&[0x09, 5, b'x']).unwrap_err().code(),
            SessionCode::PROTOCOL_VIOLATION
        );
        let too_long = [&[0x07, 0xc1, 0, 0][..], &[0; 100]].concat();
        assert_eq!(
            read_setup(&too_long).unwrap_err().code(),
            SessionCode::PROTOCOL_VIOLATION
        );
        let overflow = [&[0x02, 0][..], &[0xff; 9], &[0]].concat();
        assert_eq!(
            read_setup(&overflow),
            Err(DecodeError::OutOfRange("setup option type"))
        );
    }
}
