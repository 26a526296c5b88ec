//! GOAWAY on both kinds of stream.

use std::time::Duration;

use bytes::Bytes;

use super::harness::{Pair, Solo, encode, track, transmits};
use crate::session::{Event, IllegalMove, RequestRefused, Side, Time, Transmit};
use crate::wire::control::{Goaway, Subscribe};
use crate::wire::{Message, Parameters, Properties, RequestErrorCode, SessionCode, StreamCode};

const SECOND: Duration = Duration::from_secs(1);

fn none() -> Parameters {
    Parameters::default()
}

fn subscribe(request_id: u64, name: &str) -> Message {
    Message::Subscribe(Subscribe {
        request_id,
        track: track(name),
        parameters: none(),
    })
}

fn goaway(uri: &'static str, request_id: Option<u64>) -> Message {
    Message::Goaway(Goaway {
        uri: Bytes::from_static(uri.as_bytes()),
        timeout_ms: 0,
        request_id,
    })
}

#[test]
fn a_server_that_leaves_says_where_to_go_and_what_it_did_not_process() {
    let mut pair = Pair::established();
    pair.ends[0].subscribe(track("live/video"), none()).unwrap();
    pair.run();
    let uri = Bytes::from_static(b"moqt://other");
    pair.ends[1].goaway(Time::ZERO, uri.clone(), SECOND).unwrap();
    pair.run();
    assert_eq!(
        pair.events(0),
        [Event::Goaway {
            uri,
            timeout: SECOND,
            request_id: 2
        }]
    );
    assert_eq!(
        pair.ends[0].subscribe(track("live/audio"), none()),
        Err(RequestRefused::GoingAway)
    );
    assert!(
        pair.ends[1].subscribe(track("live/audio"), none()).is_ok(),
        "the sender may still ask"
    );
    assert_eq!(
        pair.ends[1].goaway(Time::ZERO, Bytes::new(), SECOND),
        Err(IllegalMove::Goaway),
        "once per session"
    );
}

#[test]
fn requests_that_come_after_our_goaway_are_refused_and_updates_are_not() {
    let mut solo = Solo::new(Side::Server);
    let before = solo.ask(&subscribe(0, "live/video"));
    solo.session
        .goaway(Time::ZERO, Bytes::new(), Duration::ZERO)
        .unwrap();
    let after = solo.ask(&subscribe(2, "live/audio"));
    assert_eq!(solo.refused(after), Some(RequestErrorCode::GOING_AWAY));
    assert!(
        solo.session
            .accept_subscribe(before, none(), Properties::default())
            .is_ok()
    );
    assert_eq!(solo.session.next_timeout(), None, "no timeout, no deadline");
}

#[test]
fn the_goaway_timeout_closes_if_requests_are_open() {
    for open in [true, false] {
        let mut pair = Pair::established();
        let key = pair.ends[0].subscribe(track("live/video"), none()).unwrap();
        pair.run();
        pair.ends[1].goaway(Time::ZERO, Bytes::new(), SECOND).unwrap();
        if !open {
            pair.ends[0].cancel(key, StreamCode::CANCELLED);
        }
        pair.run();
        pair.advance(SECOND);
        let expected = if open {
            vec![SessionCode::GOAWAY_TIMEOUT]
        } else {
            vec![]
        };
        assert_eq!(pair.closes[1], expected);
    }
}

#[test]
fn illegal_goaways_close() {
    let cases = [
        (
            Side::Server,
            goaway("moqt://x", Some(1)),
            SessionCode::PROTOCOL_VIOLATION,
        ),
        (Side::Server, goaway("", Some(2)), SessionCode::INVALID_REQUEST_ID),
        (Side::Client, goaway("", Some(1)), SessionCode::INVALID_REQUEST_ID),
    ];
    for (side, message, code) in cases {
        let mut solo = Solo::new(side);
        solo.session.recv_control(Time::ZERO, encode(&message));
        assert_eq!(solo.closed(), Some(code), "{side:?} {message:?}");
    }
    let mut solo = Solo::new(Side::Client);
    solo.session
        .recv_control(Time::ZERO, encode(&goaway("", Some(0))));
    assert_eq!(solo.closed(), None);
    solo.session
        .recv_control(Time::ZERO, encode(&goaway("", Some(0))));
    assert_eq!(
        solo.closed(),
        Some(SessionCode::PROTOCOL_VIOLATION),
        "a second one"
    );
}

#[test]
fn a_client_cannot_send_anybody_elsewhere() {
    let mut solo = Solo::new(Side::Client);
    let uri = Bytes::from_static(b"moqt://x");
    assert_eq!(
        solo.session.goaway(Time::ZERO, uri, SECOND),
        Err(IllegalMove::Goaway)
    );
    assert!(solo.session.goaway(Time::ZERO, Bytes::new(), SECOND).is_ok());
}

#[test]
fn one_request_is_moved_or_reset() {
    let mut pair = Pair::established();
    let key = pair.ends[0].subscribe(track("live/video"), none()).unwrap();
    pair.run();
    let [Event::Request { key: served, .. }] = pair.events(1)[..] else {
        panic!("no SUBSCRIBE")
    };
    pair.ends[1]
        .accept_subscribe(served, none(), Properties::default())
        .unwrap();
    let uri = Bytes::from_static(b"moqt://other");
    pair.ends[1]
        .request_goaway(Time::ZERO, served, uri.clone(), SECOND)
        .unwrap();
    assert_eq!(
        pair.ends[1].request_goaway(Time::ZERO, served, uri.clone(), SECOND),
        Err(IllegalMove::Goaway)
    );
    pair.run();
    let seen = pair.events(0);
    assert_eq!(
        seen[1..],
        [Event::RequestGoaway {
            key,
            uri,
            timeout: SECOND
        }]
    );
    pair.advance(SECOND);
    assert_eq!(
        pair.events(0),
        [Event::Ended {
            key,
            code: Some(StreamCode::GOING_AWAY)
        }]
    );
    assert_eq!(
        pair.events(1),
        [Event::Cancelled {
            key: served,
            code: Some(StreamCode::GOING_AWAY)
        }]
    );
}

#[test]
fn a_second_goaway_on_a_request_stream_closes() {
    let mut solo = Solo::new(Side::Client);
    let key = solo.session.subscribe(track("live/video"), none()).unwrap();
    solo.say(key, &goaway("", None));
    assert!(matches!(solo.events()[..], [Event::RequestGoaway { .. }]));
    solo.say(key, &goaway("", None));
    assert_eq!(solo.closed(), Some(SessionCode::PROTOCOL_VIOLATION));
}

#[test]
fn goaway_with_a_request_id_on_a_request_stream_closes() {
    let mut solo = Solo::new(Side::Client);
    let key = solo.session.subscribe(track("live/video"), none()).unwrap();
    transmits(&mut solo.session);
    solo.say(key, &goaway("", Some(0)));
    assert!(matches!(
        transmits(&mut solo.session)[..],
        [Transmit::Close {
            code: SessionCode::PROTOCOL_VIOLATION,
            ..
        }]
    ));
}
