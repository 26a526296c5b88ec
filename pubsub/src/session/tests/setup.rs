//! SETUP: what it may hold, what may come before and after it, and how long it may take.

use std::time::Duration;

use bytes::Bytes;

use super::harness::{Pair, Solo, closed, config, encode, events, namespace, session, track, transmits};
use crate::session::{Event, IncomingRequest, Limits, Session, Side, Time, Transmit, Transport};
use crate::wire::control::{Goaway, Setup, Subscribe};
use crate::wire::{Message, Parameters, SessionCode, StreamCode, Token};

fn setup() -> Setup {
    Setup::default()
}

fn path_setup() -> Setup {
    Setup {
        path: Some(Bytes::from_static(b"/live?x=1")),
        ..setup()
    }
}

fn authority_setup() -> Setup {
    Setup {
        authority: Some(Bytes::from_static(b"example.com:4443")),
        ..setup()
    }
}

/// Feeds `setup` to a session and gives the code with which it closed.
fn answer_to(side: Side, transport: Transport, setup: Setup) -> Option<SessionCode> {
    let mut session = Session::new(
        Time::ZERO,
        crate::session::Config {
            transport,
            ..config(side)
        },
    )
    .unwrap();
    session.recv_control(Time::ZERO, encode(&Message::Setup(setup)));
    closed(&mut session)
}

fn subscribe(request_id: u64, name: &str) -> Bytes {
    encode(&Message::Subscribe(Subscribe {
        request_id,
        track: track(name),
        parameters: Parameters::default(),
    }))
}

#[test]
fn both_ends_send_setup_at_once_and_are_established_by_the_others() {
    let mut client = config(Side::Client);
    client.setup = Setup {
        implementation: Some(Bytes::from_static(b"test/1")),
        ..path_setup()
    };
    let mut pair = Pair::new(client, config(Side::Server));
    pair.run();
    let [Event::Established(seen)] = &pair.events(1)[..] else {
        panic!("no SETUP at the server")
    };
    assert_eq!(seen.path.as_deref(), Some(&b"/live?x=1"[..]));
    assert_eq!(seen.implementation.as_deref(), Some(&b"test/1"[..]));
    assert_eq!(seen.max_auth_token_cache_size, 4096, "declared from the limits");
    assert!(matches!(pair.events(0)[..], [Event::Established(_)]));
    assert_eq!(pair.ends[0].next_timeout(), None);
}

#[test]
fn path_and_authority_are_for_clients_over_quic() {
    use SessionCode as Code;
    let cases = [
        (Side::Server, Transport::Quic, path_setup(), None),
        (Side::Server, Transport::Quic, authority_setup(), None),
        (
            Side::Client,
            Transport::Quic,
            path_setup(),
            Some(Code::INVALID_PATH),
        ),
        (
            Side::Client,
            Transport::Quic,
            authority_setup(),
            Some(Code::INVALID_AUTHORITY),
        ),
        (
            Side::Server,
            Transport::WebTransport,
            path_setup(),
            Some(Code::INVALID_PATH),
        ),
        (
            Side::Server,
            Transport::WebTransport,
            authority_setup(),
            Some(Code::INVALID_AUTHORITY),
        ),
    ];
    for (side, transport, setup, code) in cases {
        assert_eq!(
            answer_to(side, transport, setup.clone()),
            code,
            "{side:?} {transport:?} {setup:?}"
        );
    }
}

#[test]
fn malformed_path_and_authority_have_their_own_codes() {
    let path = Setup {
        path: Some(Bytes::from_static(b"no slash")),
        ..setup()
    };
    assert_eq!(
        answer_to(Side::Server, Transport::Quic, path),
        Some(SessionCode::MALFORMED_PATH)
    );
    let authority = Setup {
        authority: Some(Bytes::from_static(b"a b")),
        ..setup()
    };
    assert_eq!(
        answer_to(Side::Server, Transport::Quic, authority),
        Some(SessionCode::MALFORMED_AUTHORITY)
    );
}

#[test]
fn a_token_reference_in_setup_is_a_violation() {
    for token in [Token::UseAlias { alias: 1 }, Token::Delete { alias: 1 }] {
        let setup = Setup {
            authorization_tokens: vec![token],
            ..setup()
        };
        assert_eq!(
            answer_to(Side::Server, Transport::Quic, setup),
            Some(SessionCode::PROTOCOL_VIOLATION)
        );
    }
}

#[test]
fn a_second_setup_closes() {
    let mut solo = Solo::new(Side::Server);
    solo.session
        .recv_control(Time::ZERO, encode(&Message::Setup(setup())));
    assert_eq!(solo.closed(), Some(SessionCode::PROTOCOL_VIOLATION));
}

#[test]
fn goaway_before_setup_closes() {
    let mut session = session(Side::Client);
    let goaway = Goaway {
        uri: Bytes::new(),
        timeout_ms: 0,
        request_id: Some(0),
    };
    session.recv_control(Time::ZERO, encode(&Message::Goaway(goaway)));
    assert_eq!(closed(&mut session), Some(SessionCode::PROTOCOL_VIOLATION));
}

#[test]
fn a_request_on_the_control_stream_closes() {
    let mut solo = Solo::new(Side::Server);
    solo.session.recv_control(Time::ZERO, subscribe(0, "live/video"));
    assert_eq!(solo.closed(), Some(SessionCode::PROTOCOL_VIOLATION));
}

#[test]
fn the_end_of_the_control_stream_closes() {
    let mut solo = Solo::new(Side::Server);
    solo.session.recv_control_closed();
    assert_eq!(solo.closed(), Some(SessionCode::PROTOCOL_VIOLATION));
}

#[test]
fn setup_must_come_within_its_timeout() {
    let mut session = session(Side::Server);
    let due = session.next_timeout().unwrap();
    assert_eq!(due, Duration::from_secs(5));
    session.handle_timeout(due - Duration::from_millis(1));
    assert_eq!(closed(&mut session), None);
    session.handle_timeout(due);
    assert_eq!(closed(&mut session), Some(SessionCode::CONTROL_MESSAGE_TIMEOUT));
    assert_eq!(session.next_timeout(), None);
}

#[test]
fn requests_before_setup_are_read_after_it_in_the_order_of_their_streams() {
    let mut session = session(Side::Server);
    let (first, second) = (session.accept(), session.accept());
    session.recv(Time::ZERO, second, subscribe(2, "live/audio"));
    session.recv(Time::ZERO, first, subscribe(0, "live/video"));
    session.recv_fin(Time::ZERO, first);
    assert_eq!(events(&mut session), []);
    session.recv_control(Time::ZERO, encode(&Message::Setup(setup())));
    let seen = events(&mut session);
    let [
        Event::Established(_),
        Event::Request { key: a, .. },
        Event::Request { key: b, request, .. },
    ] = &seen[..]
    else {
        panic!("unexpected {seen:?}");
    };
    assert_eq!((*a, *b), (first, second));
    assert!(matches!(request, IncomingRequest::Subscribe { track: t, .. } if *t == track("live/audio")));
}

/// `@moq/net` writes a priority of 128 and more in two bytes, and no other peer may.
#[test]
fn what_moq_lite_js_writes_otherwise_is_read_from_it_alone_even_before_its_setup() {
    let subscribe = |request_id: u8, track: &[u8; 5]| {
        let name = [&[request_id, 1, 4][..], b"live", &[5], track].concat();
        let body = [&name[..], &[1, 0x20, 0x80, 155]].concat();
        let head = [&[0x03, 0][..], &[u8::try_from(body.len()).unwrap()]].concat();
        Bytes::from([head, body].concat())
    };
    for (implementation, read) in [("moq-lite-js", true), ("other", false)] {
        let mut session = session(Side::Server);
        let early = session.accept();
        session.recv(Time::ZERO, early, subscribe(0, b"video"));
        let hello = Setup {
            implementation: Some(implementation.into()),
            ..setup()
        };
        session.recv_control(Time::ZERO, encode(&Message::Setup(hello)));
        if read {
            let late = session.accept();
            session.recv(Time::ZERO, late, subscribe(2, b"audio"));
        }
        let asked = events(&mut session)
            .into_iter()
            .filter(|event| matches!(event, Event::Request { .. }))
            .count();
        assert_eq!(asked, if read { 2 } else { 0 }, "{implementation}");
        let code = (!read).then_some(SessionCode::PROTOCOL_VIOLATION);
        assert_eq!(closed(&mut session), code, "{implementation}");
    }
}

#[test]
fn requests_before_setup_are_bounded_in_bytes_and_number() {
    let mut config = config(Side::Server);
    config.limits = Limits {
        early_bytes: 100,
        early_requests: 2,
        ..Limits::default()
    };
    let mut session = Session::new(Time::ZERO, config).unwrap();
    transmits(&mut session);
    let kept = session.accept();
    session.recv(Time::ZERO, kept, Bytes::from(vec![0; 60]));
    let large = session.accept();
    session.recv(Time::ZERO, large, Bytes::from(vec![0; 60]));
    let code = StreamCode::EXCESSIVE_LOAD;
    assert_eq!(
        transmits(&mut session),
        [
            Transmit::Reset { key: large, code },
            Transmit::Stop { key: large, code }
        ]
    );
    session.accept();
    let third = session.accept();
    assert_eq!(
        transmits(&mut session),
        [
            Transmit::Reset { key: third, code },
            Transmit::Stop { key: third, code }
        ]
    );
    assert!(!session.is_closed());
}

#[test]
fn our_requests_need_not_wait_for_setup() {
    let mut pair = Pair::new(config(Side::Client), config(Side::Server));
    let key = pair.ends[0]
        .subscribe_namespace(namespace("live"), Parameters::default())
        .unwrap();
    pair.run();
    assert!(matches!(
        pair.events(1)[..],
        [Event::Established(_), Event::Request { .. }]
    ));
    assert_eq!(pair.ends[0].request_id(key), Some(0));
}

#[test]
fn nothing_comes_out_after_close() {
    let mut solo = Solo::new(Side::Server);
    solo.session.close(SessionCode::NO_ERROR, "done");
    solo.session.close(SessionCode::INTERNAL_ERROR, "again");
    solo.session.recv_control_closed();
    let key = solo.session.accept();
    solo.session.recv(Time::ZERO, key, subscribe(0, "live/video"));
    solo.session.handle_timeout(Duration::from_secs(60));
    let close = Transmit::Close {
        code: SessionCode::NO_ERROR,
        reason: "done".to_owned(),
    };
    assert_eq!(transmits(&mut solo.session), [close]);
    let closed = Event::Closed {
        code: SessionCode::NO_ERROR,
        reason: "done".to_owned(),
    };
    assert_eq!(solo.events(), [closed]);
}
