//! PUBLISH_NAMESPACE, SUBSCRIBE_NAMESPACE, SUBSCRIBE_TRACKS and what they bring.

use std::time::Duration;

use bytes::Bytes;

use super::harness::{Pair, Solo, config, namespace, refusal, track, transmits};
use crate::session::{
    Accepted, Event, IllegalMove, IncomingRequest, Limits, RequestKey, RequestRefused, Side, Transmit,
};
use crate::wire::control::{
    Goaway, Namespace, NamespaceDone, PublishNamespace, Redirect, RequestError, RequestOk, RequestUpdate,
    Subscribe, SubscribeNamespace, SubscribeTracks,
};
use crate::wire::{
    Message, Parameters, Properties, RequestErrorCode, SessionCode, StreamCode, TrackName, TrackNamespace,
};

const VIOLATION: Option<SessionCode> = Some(SessionCode::PROTOCOL_VIOLATION);

fn none() -> Parameters {
    Parameters::default()
}

fn subscribe_namespace(request_id: u64, prefix: &str) -> Message {
    Message::SubscribeNamespace(SubscribeNamespace {
        request_id,
        prefix: namespace(prefix),
        parameters: none(),
    })
}

fn subscribe_tracks(request_id: u64, prefix: &str) -> Message {
    Message::SubscribeTracks(SubscribeTracks {
        request_id,
        prefix: namespace(prefix),
        parameters: none(),
    })
}

fn publish_namespace(request_id: u64, name: &str) -> Message {
    Message::PublishNamespace(PublishNamespace {
        request_id,
        namespace: namespace(name),
        parameters: none(),
    })
}

fn found(suffix: &str) -> Message {
    Message::Namespace(Namespace {
        suffix: namespace(suffix),
    })
}

fn gone(suffix: &str) -> Message {
    Message::NamespaceDone(NamespaceDone {
        suffix: namespace(suffix),
    })
}

fn ok() -> Message {
    Message::RequestOk(RequestOk::default())
}

fn prefix(text: &str) -> Parameters {
    Parameters {
        track_namespace_prefix: Some(namespace(text)),
        ..none()
    }
}

fn update(request_id: u64, parameters: Parameters) -> Message {
    Message::RequestUpdate(RequestUpdate {
        request_id,
        parameters,
    })
}

/// A pair in which the client's SUBSCRIBE_NAMESPACE of `prefix` was accepted: the keys at client and server.
fn watching(prefix: &str) -> (Pair, RequestKey, RequestKey) {
    let mut pair = Pair::established();
    let key = pair.ends[0]
        .subscribe_namespace(namespace(prefix), none())
        .unwrap();
    pair.run();
    let [
        Event::Request {
            key: asked,
            request: IncomingRequest::SubscribeNamespace { .. },
            ..
        },
    ] = pair.events(1)[..]
    else {
        panic!("no SUBSCRIBE_NAMESPACE")
    };
    pair.ends[1].accept_namespace_request(asked).unwrap();
    pair.run();
    assert_eq!(
        pair.events(0),
        [Event::Accepted {
            key,
            answer: Accepted::Namespace
        }]
    );
    (pair, key, asked)
}

fn names(events: Vec<Event>) -> Vec<(bool, TrackNamespace)> {
    events
        .into_iter()
        .map(|event| match event {
            Event::Namespace { namespace, .. } => (true, namespace),
            Event::NamespaceDone { namespace, .. } => (false, namespace),
            other => panic!("unexpected {other:?}"),
        })
        .collect()
}

#[test]
fn namespaces_come_and_go_as_whole_names() {
    let (mut pair, _, asked) = watching("live");
    let server = &mut pair.ends[1];
    for name in ["live/a", "live/b", "live/a", "live"] {
        server.namespace(asked, &namespace(name)).unwrap();
    }
    server.namespace_done(asked, &namespace("live/a")).unwrap();
    server.namespace_done(asked, &namespace("live/never")).unwrap();
    assert_eq!(
        server.namespace(asked, &namespace("lively/a")),
        Err(IllegalMove::NotUnderPrefix)
    );
    pair.run();
    let seen = names(pair.events(0));
    let expected = [
        (true, "live/a"),
        (true, "live/b"),
        (true, "live"),
        (false, "live/a"),
    ];
    assert_eq!(seen, expected.map(|(here, name)| (here, namespace(name))));
}

#[test]
fn the_end_of_a_namespace_subscription_ends_each_namespace() {
    for reset in [false, true] {
        let (mut pair, key, asked) = watching("");
        pair.ends[1].namespace(asked, &namespace("a")).unwrap();
        pair.ends[1].namespace(asked, &namespace("b")).unwrap();
        pair.run();
        pair.events(0);
        if reset {
            pair.ends[0].recv_reset(key, StreamCode::INTERNAL_ERROR);
        } else {
            pair.ends[0].recv_fin(Duration::ZERO, key);
        }
        let mut seen = pair.events(0);
        let code = reset.then_some(StreamCode::INTERNAL_ERROR);
        assert_eq!(seen.pop(), Some(Event::Ended { key, code }));
        assert_eq!(names(seen), [(false, namespace("a")), (false, namespace("b"))]);
    }
}

#[test]
fn namespace_done_without_namespace_closes() {
    let mut solo = Solo::new(Side::Client);
    let key = solo
        .session
        .subscribe_namespace(namespace("live"), none())
        .unwrap();
    solo.say(key, &ok());
    solo.say(key, &found("a"));
    solo.say(key, &gone("a"));
    assert_eq!(solo.closed(), None);
    solo.say(key, &gone("a"));
    assert_eq!(solo.closed(), VIOLATION);
}

#[test]
fn anything_before_the_answer_to_a_namespace_request_closes() {
    let goaway = Message::Goaway(Goaway {
        uri: Bytes::new(),
        timeout_ms: 0,
        request_id: None,
    });
    for first in [found("a"), gone("a"), goaway] {
        let mut solo = Solo::new(Side::Client);
        let key = solo
            .session
            .subscribe_namespace(namespace("live"), none())
            .unwrap();
        solo.say(key, &first);
        assert_eq!(solo.closed(), VIOLATION, "{first:?}");
    }
}

#[test]
fn a_namespace_that_grows_beyond_the_limits_of_names_closes() {
    let mut solo = Solo::new(Side::Client);
    let long = "f/".repeat(20);
    let key = solo
        .session
        .subscribe_namespace(namespace(&long), none())
        .unwrap();
    solo.say(key, &ok());
    solo.say(key, &found(&long));
    assert_eq!(solo.closed(), VIOLATION);
}

#[test]
fn too_many_namespaces_end_our_subscription_not_the_session() {
    let mut config = config(Side::Client);
    config.limits = Limits {
        namespaces: 2,
        ..Limits::default()
    };
    let mut solo = Solo::with(config);
    let key = solo.session.subscribe_namespace(namespace(""), none()).unwrap();
    solo.say(key, &ok());
    transmits(&mut solo.session);
    for name in ["a", "b", "c"] {
        solo.say(key, &found(name));
    }
    let code = StreamCode::EXCESSIVE_LOAD;
    assert_eq!(
        transmits(&mut solo.session),
        [Transmit::Reset { key, code }, Transmit::Stop { key, code }]
    );
    let seen = solo.events();
    assert_eq!(
        seen.last(),
        Some(&Event::Ended {
            key,
            code: Some(code)
        })
    );
    assert_eq!(seen.len(), 6, "accepted, two found, two gone, ended");
}

#[test]
fn overlapping_prefixes_are_refused_per_kind() {
    let cases = [
        ("live", "live"),
        ("live", "live/cam"),
        ("live/cam", "live"),
        ("", "live"),
    ];
    for (first, second) in cases {
        let mut solo = Solo::new(Side::Server);
        solo.ask(&subscribe_namespace(0, first));
        let overlap = solo.ask(&subscribe_namespace(2, second));
        assert_eq!(
            solo.refused(overlap),
            Some(RequestErrorCode::PREFIX_OVERLAP),
            "{first} {second}"
        );
        solo.ask(&subscribe_tracks(4, second));
        let overlap = solo.ask(&subscribe_tracks(6, first));
        assert_eq!(
            solo.refused(overlap),
            Some(RequestErrorCode::PREFIX_OVERLAP),
            "{first} {second}"
        );
        assert_eq!(solo.events().len(), 2);
    }
    let mut solo = Solo::new(Side::Server);
    solo.ask(&subscribe_namespace(0, "foo"));
    solo.ask(&subscribe_namespace(2, "foobar"));
    assert_eq!(solo.events().len(), 2, "prefixes are of fields, not of bytes");
}

/// What a bare FIN means to other requests is left open; of these two the draft says it.
#[test]
fn a_bare_fin_or_a_reset_ends_a_namespace_subscription_and_frees_its_prefix() {
    for subscribe in [subscribe_namespace, subscribe_tracks] {
        for code in [None, Some(StreamCode::CANCELLED)] {
            let mut solo = Solo::new(Side::Server);
            let first = solo.ask(&subscribe(0, "live"));
            solo.session.accept_namespace_request(first).unwrap();
            match code {
                None => solo.session.recv_fin(Duration::ZERO, first),
                Some(code) => solo.session.recv_reset(first, code),
            }
            let second = solo.ask(&subscribe(2, "live"));
            let events = solo.events();
            let [Event::Request { .. }, cancelled, Event::Request { key, .. }] = &events[..] else {
                panic!("{events:?}");
            };
            assert_eq!(*cancelled, Event::Cancelled { key: first, code });
            assert_eq!(*key, second);
        }
    }
}

#[test]
fn an_updated_prefix_changes_what_suffixes_mean_and_drops_what_it_leaves_out() {
    let (mut pair, key, asked) = watching("live");
    for name in ["live/a/1", "live/b"] {
        pair.ends[1].namespace(asked, &namespace(name)).unwrap();
    }
    pair.ends[0].update(key, prefix("live/a")).unwrap();
    pair.run();
    pair.events(0);
    assert!(matches!(pair.events(1)[..], [Event::Updated { .. }]));
    pair.ends[1].answer_update(asked, Ok(none())).unwrap();
    pair.ends[1].namespace(asked, &namespace("live/a/2")).unwrap();
    pair.ends[1]
        .namespace_done(asked, &namespace("live/a/1"))
        .unwrap();
    assert_eq!(
        pair.ends[1].namespace_done(asked, &namespace("live/b")),
        Err(IllegalMove::NotUnderPrefix)
    );
    pair.run();
    let mut seen = pair.events(0);
    assert_eq!(
        seen.remove(0),
        Event::UpdateAnswered {
            key,
            result: Ok(none())
        }
    );
    let expected = [(false, "live/b"), (true, "live/a/2"), (false, "live/a/1")];
    assert_eq!(names(seen), expected.map(|(here, name)| (here, namespace(name))));
}

#[test]
fn an_updated_prefix_may_not_overlap_another() {
    let mut solo = Solo::new(Side::Server);
    let first = solo.ask(&subscribe_namespace(0, "a"));
    let second = solo.ask(&subscribe_namespace(2, "b"));
    for key in [first, second] {
        solo.session.accept_namespace_request(key).unwrap();
    }
    solo.events();
    transmits(&mut solo.session);
    solo.say(first, &update(4, prefix("a/x")));
    assert!(matches!(solo.events()[..], [Event::Updated { .. }]));
    solo.say(second, &update(6, prefix("a/x/y")));
    assert_eq!(
        solo.refused(second),
        Some(RequestErrorCode::PREFIX_OVERLAP),
        "an update that is not answered counts"
    );
    assert_eq!(
        solo.events(),
        [Event::Cancelled {
            key: second,
            code: None
        }]
    );
}

#[test]
fn reserved_namespaces_do_not_exist_and_are_not_passed_on() {
    let subscribe = |request_id, name: &str| {
        Message::Subscribe(Subscribe {
            request_id,
            track: track(name),
            parameters: none(),
        })
    };
    let requests = [
        subscribe(0, "./x"),
        subscribe(0, ".session/x"),
        publish_namespace(0, ".session/a"),
        subscribe_namespace(0, "./a"),
        subscribe_tracks(0, ".session"),
    ];
    for request in requests {
        let mut solo = Solo::new(Side::Server);
        let key = solo.ask(&request);
        assert_eq!(
            solo.refused(key),
            Some(RequestErrorCode::DOES_NOT_EXIST),
            "{request:?}"
        );
        assert_eq!(solo.events(), []);
    }
    let mut solo = Solo::new(Side::Server);
    solo.ask(&subscribe(0, ".other/x"));
    assert_eq!(
        solo.events().len(),
        1,
        "unknown reserved namespaces are the application's"
    );
    let reserved = Err(RequestRefused::Reserved);
    assert_eq!(
        solo.session.publish_namespace(namespace(".session/a"), none()),
        reserved
    );
    assert_eq!(solo.session.subscribe_namespace(namespace("."), none()), reserved);
}

#[test]
fn a_published_namespace_is_withdrawn_by_fin_or_reset_and_revoked_by_its_receiver() {
    let mut solo = Solo::new(Side::Server);
    let closed = solo.ask(&publish_namespace(0, "a"));
    let reset = solo.ask(&publish_namespace(2, "b"));
    let revoked = solo.ask(&publish_namespace(4, "c"));
    for key in [closed, reset, revoked] {
        solo.session.accept_namespace_request(key).unwrap();
    }
    solo.events();
    solo.session.recv_fin(Duration::ZERO, closed);
    solo.session.recv_reset(reset, StreamCode::CANCELLED);
    assert_eq!(
        solo.events(),
        [
            Event::Cancelled {
                key: closed,
                code: None
            },
            Event::Cancelled {
                key: reset,
                code: Some(StreamCode::CANCELLED)
            }
        ]
    );
    transmits(&mut solo.session);
    let code = StreamCode::EXPIRED_AUTH_TOKEN;
    solo.session.revoke(revoked, code);
    assert_eq!(
        transmits(&mut solo.session),
        [
            Transmit::Reset { key: revoked, code },
            Transmit::Stop { key: revoked, code }
        ]
    );
    assert_eq!(solo.session.open_requests(), 0);
}

#[test]
fn a_responder_may_close_its_half_of_an_accepted_publish_namespace() {
    let mut solo = Solo::new(Side::Client);
    let key = solo.session.publish_namespace(namespace("a"), none()).unwrap();
    solo.say(key, &ok());
    solo.session.recv_fin(Duration::ZERO, key);
    assert_eq!(
        solo.events(),
        [Event::Accepted {
            key,
            answer: Accepted::Namespace
        }]
    );
    solo.session.recv_stop(key, StreamCode::CANCELLED);
    assert_eq!(
        solo.events(),
        [Event::Ended {
            key,
            code: Some(StreamCode::CANCELLED)
        }]
    );
}

#[test]
fn a_track_without_credit_is_reported_as_blocked_once_and_never_published() {
    let mut pair = Pair::established();
    let key = pair.ends[0].subscribe_tracks(namespace("live"), none()).unwrap();
    pair.run();
    let [Event::Request { key: asked, .. }] = pair.events(1)[..] else {
        panic!("no SUBSCRIBE_TRACKS")
    };
    pair.ends[1].accept_namespace_request(asked).unwrap();
    pair.credit[1] = 0;
    let video = track("live/cam/video");
    pair.ends[1]
        .publish(video.clone(), none(), Properties::default(), true)
        .unwrap();
    pair.run();
    assert!(matches!(pair.events(1)[..], [Event::OpenRefused { .. }]));
    pair.ends[1].publish_blocked(asked, &video).unwrap();
    pair.ends[1].publish_blocked(asked, &video).unwrap();
    pair.run();
    assert_eq!(
        pair.events(0),
        [
            Event::Accepted {
                key,
                answer: Accepted::Namespace
            },
            Event::PublishBlocked {
                key,
                track: video.clone()
            }
        ]
    );
    assert_eq!(
        pair.ends[1].publish(video, none(), Properties::default(), false),
        Err(RequestRefused::Blocked)
    );
}

#[test]
fn an_answer_with_track_properties_closes() {
    let mut solo = Solo::new(Side::Client);
    let key = solo.session.publish_namespace(namespace("a"), none()).unwrap();
    let properties = Properties::builder().int(0x0E, 1).build().unwrap();
    solo.say(
        key,
        &Message::RequestOk(RequestOk {
            parameters: none(),
            properties,
        }),
    );
    assert_eq!(solo.closed(), VIOLATION);
}

#[test]
fn redirects_are_checked() {
    let redirect = |uri: &'static str, name: &str| {
        let (namespace, name) = (TrackNamespace::empty(), TrackName::new(name).unwrap());
        let redirect = Redirect {
            uri: Bytes::from_static(uri.as_bytes()),
            namespace,
            name,
        };
        let error = RequestError {
            redirect: Some(redirect),
            ..refusal(RequestErrorCode::REDIRECT)
        };
        Message::RequestError(error)
    };
    let cases = [
        (Side::Client, redirect("moqt://b", ""), None),
        (Side::Server, redirect("moqt://b", ""), VIOLATION),
        (Side::Client, redirect("moqt://b", "x"), VIOLATION),
    ];
    for (side, answer, code) in cases {
        let mut solo = Solo::new(side);
        let key = solo.session.publish_namespace(namespace("a"), none()).unwrap();
        solo.say(key, &answer);
        assert_eq!(solo.closed(), code, "{side:?} {answer:?}");
    }
}
