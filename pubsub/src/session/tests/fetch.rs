//! FETCH, and above all joining fetches.

use std::time::Duration;

use super::harness::{Pair, Solo, refusal, track, transmits};
use crate::session::{
    Accepted, Event, FetchTarget, IllegalMove, IncomingRequest, RequestKey, RequestRefused, Side, Transmit,
};
use crate::wire::control::{Fetch, FetchKind, FetchOk, RequestOk, RequestUpdate, Subscribe};
use crate::wire::{
    FullTrackName, Location, Message, Parameters, Properties, RequestErrorCode, SessionCode, StreamCode,
};

fn none() -> Parameters {
    Parameters::default()
}

fn video() -> FullTrackName {
    track("live/video")
}

fn at(group: u64, object: u64) -> Location {
    Location::new(group, object)
}

fn largest(group: u64, object: u64) -> Parameters {
    Parameters {
        largest_object: Some(at(group, object)),
        ..none()
    }
}

fn forward(forward: bool) -> Parameters {
    Parameters {
        forward: Some(forward),
        ..none()
    }
}

fn subscribe(request_id: u64, parameters: Parameters) -> Message {
    Message::Subscribe(Subscribe {
        request_id,
        track: video(),
        parameters,
    })
}

fn fetch(request_id: u64, kind: FetchKind) -> Message {
    Message::Fetch(Fetch {
        request_id,
        kind,
        parameters: none(),
    })
}

fn relative(request_id: u64, subscription: u64, groups: u64) -> Message {
    fetch(request_id, FetchKind::RelativeJoining { subscription, groups })
}

fn absolute(request_id: u64, subscription: u64, group: u64) -> Message {
    fetch(request_id, FetchKind::AbsoluteJoining { subscription, group })
}

/// A server with an accepted SUBSCRIBE (Request ID 0) that was told `answer`.
fn serving(asked: Parameters, answer: Parameters) -> (Solo, RequestKey) {
    let mut solo = Solo::new(Side::Server);
    let key = solo.ask(&subscribe(0, asked));
    solo.session
        .accept_subscribe(key, answer, Properties::default())
        .unwrap();
    solo.events();
    transmits(&mut solo.session);
    (solo, key)
}

/// The range and the subscription of the only event, a FETCH.
fn range(events: &[Event]) -> (Location, Location, Option<RequestKey>) {
    match events {
        [
            Event::Request {
                request:
                    IncomingRequest::Fetch {
                        track,
                        start,
                        end,
                        joining,
                        ..
                    },
                ..
            },
        ] => {
            assert_eq!(*track, video());
            (*start, *end, *joining)
        }
        _ => panic!("not one FETCH: {events:?}"),
    }
}

#[test]
fn a_range_is_asked_for_accepted_and_done() {
    let mut pair = Pair::established();
    let target = FetchTarget::Standalone {
        track: video(),
        start: at(3, 0),
        end: at(9, 0),
    };
    let key = pair.ends[0].fetch(target, none()).unwrap();
    let id = pair.ends[0].request_id(key).unwrap();
    assert_eq!(pair.ends[0].fetch_key(id), Some(key));
    pair.run();
    let seen = pair.events(1);
    assert_eq!(range(&seen), (at(3, 0), at(9, 0), None));
    let [Event::Request { key: asked, .. }] = seen[..] else {
        unreachable!()
    };
    pair.ends[1]
        .accept_fetch(asked, true, at(5, 8), none(), Properties::default())
        .unwrap();
    pair.run();
    let answer = Accepted::Fetch {
        end_of_track: true,
        end: at(5, 8),
        parameters: none(),
        properties: Properties::default(),
    };
    assert_eq!(pair.events(0), [Event::Accepted { key, answer }]);
    pair.ends[1].fetch_done(asked);
    pair.run();
    assert_eq!(pair.events(0), [], "the objects may still be under way");
    pair.ends[0].fetch_done(key);
    pair.run();
    assert_eq!(pair.ends[0].fetch_key(id), None);
    assert_eq!(
        pair.ends.each_ref().map(crate::session::Session::open_requests),
        [0, 0]
    );
}

#[test]
fn a_cancelled_fetch_stops_at_its_publisher() {
    let mut pair = Pair::established();
    let target = FetchTarget::Standalone {
        track: video(),
        start: at(0, 0),
        end: at(9, 0),
    };
    let key = pair.ends[0].fetch(target, none()).unwrap();
    pair.run();
    pair.events(1);
    pair.ends[0].cancel(key, StreamCode::CANCELLED);
    pair.run();
    assert!(matches!(
        pair.events(1)[..],
        [Event::Cancelled {
            code: Some(StreamCode::CANCELLED),
            ..
        }]
    ));
}

#[test]
fn a_range_that_ends_before_it_begins_is_refused() {
    let cases = [
        (at(3, 0), at(2, 0), false),
        (at(3, 5), at(3, 5), false),
        (at(3, 5), at(3, 0), true),
        (at(3, 5), at(3, 6), true),
    ];
    for (start, end, legal) in cases {
        let mut solo = Solo::new(Side::Server);
        let key = solo.ask(&fetch(
            0,
            FetchKind::Standalone {
                track: video(),
                start,
                end,
            },
        ));
        let code = (!legal).then_some(RequestErrorCode::INVALID_RANGE);
        assert_eq!(solo.refused(key), code, "{start:?} {end:?}");
        assert_eq!(solo.events().len(), usize::from(legal));
    }
}

#[test]
fn fetch_ok_that_ends_before_the_start_closes() {
    let answers = [
        (at(2, 9), true),
        (at(3, 1), true),
        (at(3, 0), false),
        (at(3, 7), false),
    ];
    for (end, closes) in answers {
        let mut solo = Solo::new(Side::Client);
        let target = FetchTarget::Standalone {
            track: video(),
            start: at(3, 5),
            end: at(9, 0),
        };
        let key = solo.session.fetch(target, none()).unwrap();
        let (parameters, properties) = (none(), Properties::default());
        solo.say(
            key,
            &Message::FetchOk(FetchOk {
                end_of_track: false,
                end,
                parameters,
                properties,
            }),
        );
        assert_eq!(
            solo.closed(),
            closes.then_some(SessionCode::PROTOCOL_VIOLATION),
            "{end:?}"
        );
    }
}

#[test]
fn a_fetched_track_with_an_unknown_mandatory_property_is_not_taken() {
    let mut solo = Solo::new(Side::Client);
    let target = FetchTarget::Standalone {
        track: video(),
        start: at(0, 0),
        end: at(9, 0),
    };
    let key = solo.session.fetch(target, none()).unwrap();
    transmits(&mut solo.session);
    let properties = Properties::builder().int(0x4000, 1).build().unwrap();
    let ok = FetchOk {
        end_of_track: false,
        end: at(1, 0),
        parameters: none(),
        properties,
    };
    solo.say(key, &Message::FetchOk(ok));
    assert!(matches!(&solo.events()[..], [Event::Rejected { error, .. }]
            if error.code == RequestErrorCode::UNSUPPORTED_EXTENSION));
    assert!(matches!(
        transmits(&mut solo.session)[..],
        [Transmit::Reset { .. }, Transmit::Stop { .. }]
    ));
}

#[test]
fn a_joining_fetch_ends_at_the_joining_location_and_starts_before_it() {
    let cases = [
        (relative(2, 0, 2), at(5, 0)),
        (relative(2, 0, 0), at(7, 0)),
        (relative(2, 0, 1000), at(0, 0)),
        (absolute(2, 0, 6), at(6, 0)),
    ];
    for (message, start) in cases {
        let (mut solo, subscription) = serving(none(), largest(7, 3));
        solo.ask(&message);
        assert_eq!(
            range(&solo.events()),
            (start, at(7, 4), Some(subscription)),
            "{message:?}"
        );
    }
}

#[test]
fn joining_the_largest_possible_object_asks_for_its_whole_group() {
    let (mut solo, _) = serving(none(), largest(7, u64::MAX));
    solo.ask(&relative(2, 0, 0));
    assert_eq!(range(&solo.events()).1, at(7, 0));
}

#[test]
fn joining_what_cannot_be_joined_has_its_code() {
    use RequestErrorCode as Code;
    let cases = [
        (
            "nothing published",
            none(),
            none(),
            relative(2, 0, 1),
            Code::INVALID_RANGE,
        ),
        (
            "not forwarded",
            forward(false),
            largest(7, 3),
            relative(2, 0, 1),
            Code::INVALID_RANGE,
        ),
        (
            "after the joining location",
            none(),
            largest(7, 3),
            absolute(2, 0, 8),
            Code::INVALID_RANGE,
        ),
        (
            "unknown",
            none(),
            largest(7, 3),
            relative(2, 4, 1),
            Code::INVALID_JOINING_REQUEST_ID,
        ),
        (
            "our own parity",
            none(),
            largest(7, 3),
            relative(2, 1, 1),
            Code::INVALID_JOINING_REQUEST_ID,
        ),
        (
            "itself",
            none(),
            largest(7, 3),
            relative(2, 2, 1),
            Code::INVALID_JOINING_REQUEST_ID,
        ),
    ];
    for (why, asked, answer, message, code) in cases {
        let (mut solo, _) = serving(asked, answer);
        let key = solo.ask(&message);
        assert_eq!(solo.refused(key), Some(code), "{why}");
        assert_eq!(solo.events(), [], "{why}");
    }
}

#[test]
fn a_joining_fetch_waits_for_its_pending_subscription() {
    let mut solo = Solo::new(Side::Server);
    let subscription = solo.ask(&subscribe(0, none()));
    solo.ask(&relative(2, 0, 1));
    assert_eq!(solo.events().len(), 1, "only the SUBSCRIBE");
    solo.session
        .accept_subscribe(subscription, largest(4, 4), Properties::default())
        .unwrap();
    assert_eq!(range(&solo.events()), (at(3, 0), at(4, 5), Some(subscription)));
}

#[test]
fn a_joining_fetch_falls_with_its_pending_subscription() {
    let mut solo = Solo::new(Side::Server);
    let subscription = solo.ask(&subscribe(0, none()));
    let key = solo.ask(&relative(2, 0, 1));
    solo.session
        .reject(subscription, refusal(RequestErrorCode::DOES_NOT_EXIST))
        .unwrap();
    assert_eq!(
        solo.refused(key),
        Some(RequestErrorCode::INVALID_JOINING_REQUEST_ID)
    );
}

#[test]
fn a_joining_fetch_that_overtook_its_subscribe_waits_for_it() {
    let mut solo = Solo::new(Side::Server);
    solo.ask(&relative(2, 0, 1));
    assert_eq!(solo.events(), []);
    let subscription = solo.ask(&subscribe(0, none()));
    solo.session
        .accept_subscribe(subscription, largest(4, 4), Properties::default())
        .unwrap();
    let seen = solo.events();
    assert_eq!(range(&seen[1..]), (at(3, 0), at(4, 5), Some(subscription)));
}

#[test]
fn the_update_that_starts_forwarding_sets_the_joining_location() {
    let (mut solo, subscription) = serving(forward(false), largest(7, 3));
    let update = |request_id, forward| {
        let parameters = Parameters {
            forward: Some(forward),
            ..none()
        };
        Message::RequestUpdate(RequestUpdate {
            request_id,
            parameters,
        })
    };
    solo.say(subscription, &update(2, true));
    solo.ask(&relative(4, 0, 0));
    assert!(
        matches!(solo.events()[..], [Event::Updated { .. }]),
        "the fetch waits for the update's answer"
    );
    solo.session
        .answer_update(subscription, Ok(largest(9, 1)))
        .unwrap();
    assert_eq!(range(&solo.events()), (at(9, 0), at(9, 2), Some(subscription)));
    // An update that leaves forwarding on does not move it.
    solo.say(subscription, &update(6, true));
    solo.session
        .answer_update(subscription, Ok(largest(20, 0)))
        .unwrap();
    solo.events();
    solo.ask(&relative(8, 0, 0));
    assert_eq!(range(&solo.events()).1, at(9, 2));
}

#[test]
fn a_published_track_can_be_joined_once_it_was_accepted() {
    let mut solo = Solo::new(Side::Server);
    let (key, _) = solo
        .session
        .publish(video(), largest(4, 4), Properties::default(), false)
        .unwrap();
    solo.ask(&relative(0, 1, 1));
    assert_eq!(solo.events(), [], "PUBLISH_OK may have been overtaken");
    solo.say(key, &Message::RequestOk(RequestOk::default()));
    let seen = solo.events();
    assert_eq!(range(&seen[1..]), (at(3, 0), at(4, 5), Some(key)));
}

#[test]
fn we_join_only_subscriptions_of_ours() {
    let mut pair = Pair::established();
    let subscription = pair.ends[0].subscribe(video(), none()).unwrap();
    let target = |subscription| FetchTarget::RelativeJoining {
        subscription,
        groups: 1,
    };
    pair.ends[0].fetch(target(subscription), none()).unwrap();
    let other = pair.ends[0].track_status(video(), none()).unwrap();
    assert_eq!(
        pair.ends[0].fetch(target(other), none()),
        Err(RequestRefused::NotASubscription)
    );
    pair.run();
    assert_eq!(
        pair.events(1).len(),
        2,
        "SUBSCRIBE and TRACK_STATUS; the fetch waits"
    );
    pair.ends[0].cancel(subscription, StreamCode::CANCELLED);
    assert_eq!(
        pair.ends[0].fetch(target(subscription), none()),
        Err(RequestRefused::NotASubscription)
    );
    pair.run();
    assert!(
        pair.events(0)
            .iter()
            .any(|event| matches!(event, Event::Rejected { error, .. }
        if error.code == RequestErrorCode::INVALID_JOINING_REQUEST_ID))
    );
}

#[test]
fn a_bare_fin_of_the_fetcher_keeps_the_fetch() {
    let mut solo = Solo::new(Side::Server);
    let key = solo.ask(&fetch(
        0,
        FetchKind::Standalone {
            track: video(),
            start: at(0, 0),
            end: at(1, 0),
        },
    ));
    solo.session.recv_fin(Duration::ZERO, key);
    assert_eq!(solo.events().len(), 1);
    solo.session
        .accept_fetch(key, false, at(1, 0), none(), Properties::default())
        .unwrap();
    assert_eq!(
        solo.session
            .accept_fetch(key, false, at(1, 0), none(), Properties::default()),
        Err(IllegalMove::State {
            state: "a fetch under way"
        })
    );
}
