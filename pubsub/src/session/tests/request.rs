//! Request streams as such: Request IDs, first messages, tokens, limits.

use bytes::Bytes;

use super::harness::{Solo, config, refusal, track, transmits};
use crate::session::{AuthToken, Config, Event, Limits, Side, Time, Transmit};
use crate::wire::control::{Publish, RequestOk, Subscribe, TrackStatus};
use crate::wire::{Message, Parameters, Properties, RequestErrorCode, SessionCode, StreamCode, Token};

fn subscribe(request_id: u64, name: &str, tokens: Vec<Token>) -> Message {
    let parameters = Parameters {
        authorization_tokens: tokens,
        ..Parameters::default()
    };
    Message::Subscribe(Subscribe {
        request_id,
        track: track(name),
        parameters,
    })
}

fn register(alias: u64, len: usize) -> Token {
    Token::Register {
        alias,
        kind: 0,
        value: Bytes::from(vec![b'x'; len]),
    }
}

fn with(limits: Limits) -> Solo {
    Solo::with(Config {
        limits,
        ..config(Side::Server)
    })
}

#[test]
fn request_ids_may_come_out_of_order_but_not_twice_nor_with_the_wrong_parity() {
    for (ids, closes) in [(&[4, 0, 2][..], false), (&[0, 0][..], true), (&[1][..], true)] {
        let mut solo = Solo::new(Side::Server);
        for (index, &id) in ids.iter().enumerate() {
            solo.ask(&subscribe(id, &format!("live/{index}"), vec![]));
        }
        let code = closes.then_some(SessionCode::INVALID_REQUEST_ID);
        assert_eq!(solo.closed(), code, "{ids:?}");
    }
}

#[test]
fn a_stream_that_begins_with_anything_but_a_request_closes() {
    let cases = [
        Message::RequestOk(RequestOk::default()),
        Message::RequestError(refusal(RequestErrorCode::TIMEOUT)),
        Message::Setup(crate::wire::control::Setup::default()),
    ];
    for message in cases {
        let mut solo = Solo::new(Side::Server);
        solo.ask(&message);
        assert_eq!(
            solo.closed(),
            Some(SessionCode::PROTOCOL_VIOLATION),
            "{message:?}"
        );
    }
    let mut solo = Solo::new(Side::Server);
    let key = solo.session.accept();
    solo.session.recv(Time::ZERO, key, Bytes::from_static(&[0x3f]));
    assert_eq!(
        solo.closed(),
        Some(SessionCode::PROTOCOL_VIOLATION),
        "an unknown message type"
    );
}

#[test]
fn a_parameter_that_the_request_cannot_have_closes() {
    let mut solo = Solo::new(Side::Server);
    let parameters = Parameters {
        rendezvous_timeout_ms: Some(1),
        ..Parameters::default()
    };
    let (track, properties) = (track("live/video"), Properties::default());
    solo.ask(&Message::Publish(Publish {
        request_id: 0,
        track,
        track_alias: 0,
        parameters,
        properties,
    }));
    assert_eq!(solo.closed(), Some(SessionCode::PROTOCOL_VIOLATION));
}

#[test]
fn tokens_arrive_resolved_and_registrations_outlive_refused_requests() {
    let mut solo = Solo::new(Side::Server);
    let refused = solo.ask(&subscribe(0, ".session/x", vec![register(3, 1)]));
    assert_eq!(solo.refused(refused), Some(RequestErrorCode::DOES_NOT_EXIST));
    solo.ask(&subscribe(2, "live/video", vec![Token::UseAlias { alias: 3 }]));
    let seen = solo.events();
    let [Event::Request { tokens, .. }] = &seen[..] else {
        panic!("unexpected {seen:?}")
    };
    assert_eq!(
        tokens[..],
        [AuthToken {
            kind: 0,
            value: Bytes::from_static(b"x")
        }]
    );
    let unknown = solo.ask(&subscribe(4, "live/audio", vec![Token::UseAlias { alias: 4 }]));
    assert_eq!(
        solo.refused(unknown),
        Some(RequestErrorCode::MALFORMED_AUTH_TOKEN)
    );
}

#[test]
fn token_mistakes_that_end_the_session_have_their_codes() {
    let cases = [
        (
            vec![register(1, 1), register(1, 2)],
            SessionCode::DUPLICATE_AUTH_TOKEN_ALIAS,
        ),
        (vec![register(1, 4096)], SessionCode::AUTH_TOKEN_CACHE_OVERFLOW),
    ];
    for (tokens, code) in cases {
        let mut solo = Solo::new(Side::Server);
        solo.ask(&subscribe(0, "live/video", tokens));
        assert_eq!(solo.closed(), Some(code));
    }
}

#[test]
fn a_bare_fin_of_who_asks_for_a_track_status_keeps_the_request() {
    let mut solo = Solo::new(Side::Server);
    let key = solo.ask(&Message::TrackStatus(TrackStatus {
        request_id: 0,
        track: track("live/video"),
        parameters: Parameters::default(),
    }));
    solo.session.recv_fin(Time::ZERO, key);
    assert!(matches!(solo.events()[..], [Event::Request { .. }]));
    let answer = solo
        .session
        .accept_track_status(key, Parameters::default(), Properties::default());
    assert_eq!(answer, Ok(()));
    assert_eq!(solo.session.open_requests(), 0);
}

#[test]
fn a_track_status_is_answered_and_over() {
    let mut solo = Solo::new(Side::Server);
    let request = TrackStatus {
        request_id: 0,
        track: track("live/video"),
        parameters: Parameters::default(),
    };
    let key = solo.ask(&Message::TrackStatus(request));
    let properties = Properties::builder().int(0x0E, 7).build().unwrap();
    solo.session
        .accept_track_status(key, Parameters::default(), properties.clone())
        .unwrap();
    let sent = transmits(&mut solo.session);
    assert!(matches!(
        sent[..],
        [Transmit::Write { .. }, Transmit::Finish { .. }]
    ));
    assert_eq!(solo.session.open_requests(), 0);

    let mut client = Solo::new(Side::Client);
    let key = client
        .session
        .track_status(track("live/video"), Parameters::default())
        .unwrap();
    let ok = Message::RequestOk(RequestOk {
        parameters: Parameters::default(),
        properties,
    });
    client.say(key, &ok);
    assert!(matches!(client.events()[..], [Event::Accepted { .. }]));
    client.say(key, &ok);
    assert_eq!(
        client.closed(),
        Some(SessionCode::PROTOCOL_VIOLATION),
        "a second response"
    );
}

#[test]
fn requests_beyond_the_limit_are_reset_and_ours_do_not_count() {
    let mut solo = with(Limits {
        open_requests: 1,
        ..Limits::default()
    });
    solo.session
        .subscribe(track("mine/video"), Parameters::default())
        .unwrap();
    transmits(&mut solo.session);
    let first = solo.ask(&subscribe(0, "live/video", vec![]));
    let second = solo.session.accept();
    let code = StreamCode::EXCESSIVE_LOAD;
    assert_eq!(
        transmits(&mut solo.session),
        [
            Transmit::Reset { key: second, code },
            Transmit::Stop { key: second, code }
        ]
    );
    solo.session.recv_reset(first, StreamCode::CANCELLED);
    solo.events();
    solo.ask(&subscribe(2, "live/video", vec![]));
    assert!(matches!(solo.events()[..], [Event::Request { .. }]));
}

#[test]
fn incomplete_messages_are_held_within_one_budget() {
    let mut solo = with(Limits {
        held_bytes: 100,
        ..Limits::default()
    });
    // A SUBSCRIBE that announces 1000 bytes.
    let part = |len| Bytes::from([&[0x03, 0x03, 0xe8][..], &vec![0; len]].concat());
    let (first, second) = (solo.session.accept(), solo.session.accept());
    solo.session.recv(Time::ZERO, first, part(80));
    assert_eq!(transmits(&mut solo.session), []);
    assert_eq!(solo.session.held_bytes(), 83);
    solo.session.recv(Time::ZERO, second, part(80));
    let code = StreamCode::EXCESSIVE_LOAD;
    assert_eq!(
        transmits(&mut solo.session),
        [
            Transmit::Reset { key: second, code },
            Transmit::Stop { key: second, code }
        ]
    );
    assert_eq!(solo.session.held_bytes(), 83);
    solo.session.recv_reset(first, code);
    assert_eq!(solo.session.held_bytes(), 0);
    let third = solo.session.accept();
    solo.session.recv(Time::ZERO, third, part(80));
    assert!(
        !transmits(&mut solo.session)
            .iter()
            .any(|t| matches!(t, Transmit::Reset { key, .. } if *key == third))
    );
}

#[test]
fn streams_that_the_peer_never_closes_linger_within_a_bound() {
    let mut solo = with(Limits {
        lingering_requests: 2,
        ..Limits::default()
    });
    let mut keys = Vec::new();
    for index in 0..3 {
        let key = solo.ask(&subscribe(2 * index, "live/video", vec![]));
        solo.session
            .reject(key, refusal(RequestErrorCode::DOES_NOT_EXIST))
            .unwrap();
        keys.push(key);
    }
    let stop = Transmit::Stop {
        key: keys[0],
        code: StreamCode::CANCELLED,
    };
    assert_eq!(transmits(&mut solo.session).last(), Some(&stop));
    assert_eq!(solo.session.open_requests(), 0);
}
