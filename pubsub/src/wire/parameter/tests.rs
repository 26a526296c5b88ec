use super::*;
use crate::wire::code::SessionCode;

fn decode(bytes: &[u8]) -> Result<Parameters, DecodeError> {
    let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
    let parameters = Parameters::decode(&mut reader)?;
    reader.finish()?;
    Ok(parameters)
}

#[test]
fn they_are_counted_and_shaped_by_type_not_by_parity() {
    // FORWARD is even and a byte, LARGEST_OBJECT odd and two integers, TRACK_NAMESPACE_PREFIX even and a structure.
    let bytes = [3, 0x09, 0x81, 0x00, 5, 0x07, 1, 0x24, 1, 1, b'n'];
    let expected = Parameters {
        largest_object: Some(Location::new(0x100, 5)),
        forward: Some(true),
        track_namespace_prefix: Some(TrackNamespace::new(["n"]).unwrap()),
        ..Parameters::default()
    };
    assert_eq!(decode(&bytes), Ok(expected.clone()));
    let mut written = Vec::new();
    expected.encode(&mut written).unwrap();
    assert_eq!(written, bytes);
}

#[test]
fn a_priority_above_127_is_one_byte() {
    assert_eq!(decode(&[1, 0x20, 200]).unwrap().subscriber_priority, Some(200));
}

#[test]
fn repeated_parameters_close_the_session_unless_they_are_tokens() {
    assert_eq!(
        decode(&[2, 0x10, 1, 0x00, 1]),
        Err(DecodeError::MisplacedParameter(0x10))
    );
    assert_eq!(
        decode(&[2, 0x03, 2, 2, 7, 0x00, 2, 2, 8])
            .unwrap()
            .authorization_tokens
            .len(),
        2
    );
}

#[test]
fn values_outside_their_range_close_the_session() {
    let wrong: [&[u8]; 8] = [
        &[1, 0x10, 2],
        &[1, 0x22, 0],
        &[1, 0x22, 3],
        &[1, 0x21, 1, 0],
        &[1, 0x21, 1, 5],
        &[1, 0x21, 2, 2, 0],
        &[1, 0x21, 2, 3, 0],
        &[1, 0x00, 1],
    ];
    for bytes in wrong {
        let error = decode(bytes).unwrap_err();
        assert_eq!(
            error.code(),
            SessionCode::PROTOCOL_VIOLATION,
            "{bytes:02x?}: {error}"
        );
    }
    let filter = [&[1, 0x21, 12, 4, 1, 0][..], &[0xff; 9]].concat();
    assert_eq!(decode(&filter), Err(DecodeError::OutOfRange("end group")));
    let kind = [&[2, 0x02, 0][..], &[0xff; 9], &[0]].concat();
    assert_eq!(decode(&kind), Err(DecodeError::OutOfRange("parameter type")));
}

#[test]
fn a_range_of_delta_zero_is_the_rest_of_its_group() {
    let filter = decode(&[1, 0x21, 4, 4, 9, 3, 0]).unwrap().filter;
    assert_eq!(
        filter,
        Some(Filter::AbsoluteRange {
            start: Location::new(9, 3),
            end_group: 9
        })
    );
    let backwards = Filter::AbsoluteRange {
        start: Location::new(9, 3),
        end_group: 8,
    };
    assert!(backwards.encode(&mut Vec::new()).is_err());
}

#[test]
fn a_count_beyond_the_bytes_is_no_reason_to_reserve_memory() {
    assert_eq!(decode(&[0xff; 9]), Err(DecodeError::Truncated));
}

#[test]
fn what_is_no_token_is_a_formatting_error() {
    for token in [
        &[][..],
        &[0],
        &[1, 2],
        &[2],
        &[3],
        &[4, 1],
        &[0, 1, 2],
        &[2, 1, 2],
        &[0x80],
    ] {
        let bytes = [&[1, 0x03, token.len().try_into().unwrap()][..], token].concat();
        let error = decode(&bytes).unwrap_err();
        assert_eq!(
            error.code(),
            SessionCode::KEY_VALUE_FORMATTING_ERROR,
            "{token:02x?}: {error}"
        );
    }
}

#[test]
fn token_values_are_not_shown() {
    let tokens = [
        Token::UseValue {
            kind: 1,
            value: Bytes::from_static(b"secret"),
        },
        Token::Register {
            alias: 2,
            kind: 1,
            value: Bytes::from_static(b"secret"),
        },
    ];
    let shown = format!("{tokens:?}");
    assert!(
        shown.contains("<6 bytes>") && !shown.contains("secret") && !shown.contains("115"),
        "{shown}"
    );
}

/// The sections of the parameters, as a table: type, and the messages that it may be in.
#[test]
fn each_parameter_is_allowed_where_its_section_says() {
    use Scope as S;
    let updates = [
        S::UpdateSubscription,
        S::UpdateFetch,
        S::UpdatePublishNamespace,
        S::UpdateNamespaceSubscription,
    ];
    let update_oks = [S::UpdateSubscriptionOk, S::UpdateOtherOk];
    let delivery = [&[S::PublishOk, S::Subscribe][..], &updates].concat();
    let requests = [
        S::Publish,
        S::Subscribe,
        S::SubscribeNamespace,
        S::SubscribeTracks,
        S::PublishNamespace,
        S::TrackStatus,
        S::Fetch,
    ];
    let table: [(u64, Vec<Scope>); 13] = [
        (0x02, delivery.clone()),
        (0x03, [&requests[..], &updates].concat()),
        (0x04, vec![S::Subscribe]),
        (0x06, delivery),
        (
            0x08,
            [
                &[S::SubscribeOk, S::Publish, S::PublishOk, S::TrackStatusOk][..],
                &update_oks,
            ]
            .concat(),
        ),
        (
            0x09,
            [&[S::SubscribeOk, S::Publish, S::TrackStatusOk][..], &update_oks].concat(),
        ),
        (0x0a, vec![S::Fetch]),
        (
            0x10,
            vec![
                S::Subscribe,
                S::UpdateSubscription,
                S::Publish,
                S::PublishOk,
                S::SubscribeTracks,
            ],
        ),
        (
            0x20,
            vec![
                S::Subscribe,
                S::Fetch,
                S::UpdateSubscription,
                S::UpdateFetch,
                S::PublishOk,
            ],
        ),
        (0x21, vec![S::Subscribe, S::PublishOk, S::UpdateSubscription]),
        (0x22, vec![S::Subscribe, S::PublishOk, S::Fetch]),
        (0x32, vec![S::PublishOk, S::Subscribe, S::UpdateSubscription]),
        (0x34, vec![S::UpdateNamespaceSubscription]),
    ];
    let all = [&requests[..], &updates, &update_oks].concat();
    let answers = [
        S::SubscribeOk,
        S::PublishOk,
        S::FetchOk,
        S::TrackStatusOk,
        S::PublishNamespaceOk,
        S::SubscribeNamespaceOk,
        S::SubscribeTracksOk,
    ];
    for (kind, allowed) in &table {
        for scope in all.iter().chain(&answers) {
            assert_eq!(
                scope.allows(*kind),
                allowed.contains(scope),
                "{kind:#x} in {scope:?}"
            );
        }
    }
}

#[test]
fn extension_parameters_come_once_each_and_from_their_range_only() {
    let extension = |kind: u64, value: &[u8]| {
        let mut bytes = vec![1];
        varint::encode(kind, &mut bytes);
        varint::encode(value.len() as u64, &mut bytes);
        [&bytes[..], value].concat()
    };
    let read = decode(&extension(0x4857_00ff, b"cost")).unwrap();
    assert_eq!(
        read.extensions.get(0x4857_00ff).map(|value| &value[..]),
        Some(&b"cost"[..])
    );
    assert_eq!(
        decode(&extension(0x4857_0100, b"cost")),
        Err(DecodeError::UnknownType {
            what: "message parameter",
            value: 0x4857_0100
        })
    );
    let mut twice = extension(0x4857_0001, b"a");
    twice[0] = 2;
    twice.extend([0, 1, b'b']);
    assert_eq!(decode(&twice), Err(DecodeError::MisplacedParameter(0x4857_0001)));
    let mut long = extension(0x4857_0001, &[0; 65_535]);
    assert_eq!(decode(&long).unwrap().extensions.len(), 65_535);
    long = extension(0x4857_0001, &[0; 65_536]);
    assert!(matches!(
        decode(&long),
        Err(DecodeError::TooLong { len: 65_536, .. })
    ));

    let mut extensions = ExtensionParameters::empty();
    assert!(extensions.insert(0x34, Bytes::new()).is_err());
    assert!(extensions.insert(0x4857_0000, vec![0; 65_536].into()).is_err());
    assert!(extensions.is_empty());
}

#[test]
fn extension_parameters_are_allowed_with_requests_for_a_track_and_answers_that_are_shown() {
    use Scope as S;
    let takes = [
        S::Subscribe,
        S::SubscribeOk,
        S::Fetch,
        S::FetchOk,
        S::TrackStatus,
        S::TrackStatusOk,
        S::PublishOk,
        S::UpdateSubscriptionOk,
        S::UpdateOtherOk,
    ];
    let refuses = [
        S::Publish,
        S::PublishNamespace,
        S::PublishNamespaceOk,
        S::SubscribeNamespace,
        S::SubscribeNamespaceOk,
        S::SubscribeTracks,
        S::SubscribeTracksOk,
        S::UpdateSubscription,
        S::UpdateFetch,
        S::UpdatePublishNamespace,
        S::UpdateNamespaceSubscription,
    ];
    for kind in [0x4857_0000, 0x4857_00ff] {
        assert!(takes.iter().all(|scope| scope.allows(kind)), "{kind:#x}");
        assert!(!refuses.iter().any(|scope| scope.allows(kind)), "{kind:#x}");
    }
    for kind in [0x4856_ffff, 0x4857_0100] {
        assert!(!takes.iter().any(|scope| scope.allows(kind)), "{kind:#x}");
    }
}
