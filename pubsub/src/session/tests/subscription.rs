//! SUBSCRIBE, PUBLISH and PUBLISH_DONE, from both sides.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::harness::{Pair, Solo, config, refusal, track, transmits};
use crate::session::{
    Accepted, AliasState, Config, Event, IllegalMove, IncomingRequest, RequestKey, RequestRefused, Side,
    Transmit,
};
use crate::wire::control::{Publish, PublishDone, RequestOk, RequestUpdate, Subscribe, SubscribeOk};
use crate::wire::{
    FullTrackName, Location, Message, Parameters, Properties, PublishDoneCode, RequestErrorCode, SessionCode,
    StreamCode,
};

const VIOLATION: Option<SessionCode> = Some(SessionCode::PROTOCOL_VIOLATION);

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

fn publish(request_id: u64, name: &str, track_alias: u64) -> Message {
    let (track, parameters, properties) = (track(name), none(), Properties::default());
    Message::Publish(Publish {
        request_id,
        track,
        track_alias,
        parameters,
        properties,
    })
}

fn subscribe_ok(track_alias: u64) -> Message {
    Message::SubscribeOk(SubscribeOk {
        track_alias,
        parameters: none(),
        properties: Properties::default(),
    })
}

fn ok() -> Message {
    Message::RequestOk(RequestOk::default())
}

fn done() -> PublishDone {
    PublishDone {
        code: PublishDoneCode::TRACK_ENDED,
        stream_count: Some(3),
        reason: String::new(),
    }
}

/// A mandatory track property that nobody knows.
fn mandatory() -> Properties {
    Properties::builder().int(0x4000, 1).build().unwrap()
}

fn video() -> FullTrackName {
    track("live/video")
}

/// The key of the only event, a request.
fn only_request(events: &[Event]) -> RequestKey {
    match events {
        [Event::Request { key, .. }] => *key,
        _ => panic!("not one request: {events:?}"),
    }
}

/// A pair in which the client's SUBSCRIBE of [`video`] was accepted: the keys at client and server, and the alias.
fn subscribed() -> (Pair, RequestKey, RequestKey, u64) {
    let mut pair = Pair::established();
    let key = pair.ends[0].subscribe(video(), none()).unwrap();
    pair.run();
    let served = only_request(&pair.events(1));
    let alias = pair.ends[1]
        .accept_subscribe(served, none(), Properties::default())
        .unwrap();
    pair.run();
    assert!(matches!(pair.events(0)[..], [Event::Accepted { .. }]));
    (pair, key, served, alias)
}

#[test]
fn a_subscription_is_asked_for_accepted_and_ended_by_its_publisher() {
    let (mut pair, key, served, alias) = subscribed();
    assert_eq!(pair.ends[0].alias(alias), AliasState::Live(key));
    pair.ends[1].publish_done(served, done()).unwrap();
    pair.run();
    assert_eq!(pair.events(0), [Event::PublishDone { key, done: done() }]);
    assert_eq!(
        pair.ends[0].alias(alias),
        AliasState::Ending(key),
        "late streams can still be told apart"
    );
    assert_eq!(
        pair.ends.each_ref().map(crate::session::Session::open_requests),
        [0, 0]
    );
    assert_eq!(pair.ends[1].publish_done(served, done()), Err(IllegalMove::Ended));
}

#[test]
fn a_subscriber_leaves_by_stopping_the_stream() {
    let (mut pair, key, served, alias) = subscribed();
    pair.ends[0].cancel(key, StreamCode::CANCELLED);
    pair.run();
    assert_eq!(
        pair.events(1),
        [Event::Cancelled {
            key: served,
            code: Some(StreamCode::CANCELLED)
        }]
    );
    assert_eq!(pair.events(0), []);
    assert_eq!(pair.ends[0].alias(alias), AliasState::Retired);
    assert!(
        pair.ends[0].subscribe(video(), none()).is_ok(),
        "the track is free again"
    );
}

#[test]
fn a_rejected_subscription_is_over() {
    let mut pair = Pair::established();
    let key = pair.ends[0].subscribe(video(), none()).unwrap();
    pair.run();
    let asked = only_request(&pair.events(1));
    pair.ends[1]
        .reject(asked, refusal(RequestErrorCode::DOES_NOT_EXIST))
        .unwrap();
    pair.run();
    assert_eq!(
        pair.events(0),
        [Event::Rejected {
            key,
            error: refusal(RequestErrorCode::DOES_NOT_EXIST)
        }]
    );
    assert_eq!(
        pair.ends.each_ref().map(crate::session::Session::open_requests),
        [0, 0]
    );
}

#[test]
fn a_published_track_is_accepted_updated_and_left() {
    let mut pair = Pair::established();
    let (key, alias) = pair.ends[0]
        .publish(video(), none(), Properties::default(), false)
        .unwrap();
    pair.run();
    let offered = only_request(&pair.events(1));
    assert_eq!(
        pair.ends[1].alias(alias),
        AliasState::Live(offered),
        "objects may come before PUBLISH_OK"
    );
    pair.ends[1].accept_publish(offered, none()).unwrap();
    pair.run();
    let answer = Accepted::Publish { parameters: none() };
    assert_eq!(pair.events(0), [Event::Accepted { key, answer }]);
    let pause = Parameters {
        forward: Some(false),
        ..none()
    };
    pair.ends[1].update(offered, pause.clone()).unwrap();
    pair.run();
    assert_eq!(
        pair.events(0),
        [Event::Updated {
            key,
            parameters: pause,
            tokens: vec![]
        }]
    );
    pair.ends[0].answer_update(key, Ok(none())).unwrap();
    pair.run();
    assert_eq!(
        pair.events(1),
        [Event::UpdateAnswered {
            key: offered,
            result: Ok(none())
        }]
    );
    pair.ends[1].revoke(offered, StreamCode::CANCELLED);
    pair.run();
    assert_eq!(
        pair.events(0),
        [Event::Ended {
            key,
            code: Some(StreamCode::CANCELLED)
        }]
    );
}

#[test]
fn a_publish_without_credit_is_taken_back_with_its_request_id() {
    let mut pair = Pair::established();
    pair.credit[0] = 0;
    let (key, _) = pair.ends[0]
        .publish(video(), none(), Properties::default(), true)
        .unwrap();
    let id = pair.ends[0].request_id(key);
    pair.run();
    assert_eq!(pair.events(0), [Event::OpenRefused { key }]);
    let (again, _) = pair.ends[0]
        .publish(video(), none(), Properties::default(), false)
        .unwrap();
    assert_eq!(pair.ends[0].request_id(again), id);
}

#[test]
fn a_second_subscription_in_the_same_role_is_refused_by_both_ends() {
    let (mut pair, ..) = subscribed();
    assert_eq!(
        pair.ends[0].subscribe(video(), none()),
        Err(RequestRefused::Duplicate)
    );
    assert_eq!(
        pair.ends[1].publish(video(), none(), Properties::default(), false),
        Err(RequestRefused::Duplicate)
    );
    assert!(
        pair.ends[1].subscribe(video(), none()).is_ok(),
        "the other role is free"
    );

    let mut solo = Solo::new(Side::Server);
    solo.ask(&subscribe(0, "live/video"));
    let second = solo.ask(&subscribe(2, "live/video"));
    assert_eq!(
        solo.refused(second),
        Some(RequestErrorCode::DUPLICATE_SUBSCRIPTION)
    );
    solo.ask(&publish(4, "live/audio", 1));
    let second = solo.ask(&publish(6, "live/audio", 2));
    assert_eq!(
        solo.refused(second),
        Some(RequestErrorCode::DUPLICATE_SUBSCRIPTION)
    );
    assert_eq!(solo.session.alias(2), AliasState::Retired);
}

#[test]
fn subscribe_meets_our_unanswered_publish_and_is_a_duplicate() {
    let mut solo = Solo::new(Side::Server);
    solo.session
        .publish(video(), none(), Properties::default(), false)
        .unwrap();
    let crossing = solo.ask(&subscribe(0, "live/video"));
    assert_eq!(
        solo.refused(crossing),
        Some(RequestErrorCode::DUPLICATE_SUBSCRIPTION)
    );
}

#[test]
fn accepting_a_publish_gives_up_our_own_unanswered_subscribe_first() {
    let mut solo = Solo::new(Side::Server);
    let ours = solo.session.subscribe(video(), none()).unwrap();
    let offered = solo.ask(&publish(0, "live/video", 7));
    assert_eq!(only_request(&solo.events()), offered);
    transmits(&mut solo.session);
    solo.session.accept_publish(offered, none()).unwrap();
    assert!(matches!(&solo.events()[..], [Event::Rejected { key, error }]
            if *key == ours && error.code == RequestErrorCode::DUPLICATE_SUBSCRIPTION));
    let code = StreamCode::CANCELLED;
    let sent = transmits(&mut solo.session);
    assert_eq!(
        sent[..2],
        [
            Transmit::Reset { key: ours, code },
            Transmit::Stop { key: ours, code }
        ]
    );
    assert!(matches!(sent[2], Transmit::Write { key, .. } if key == offered));
}

#[test]
fn an_offered_publish_is_refused_when_our_subscribe_is_answered() {
    let mut solo = Solo::new(Side::Server);
    let ours = solo.session.subscribe(video(), none()).unwrap();
    let offered = solo.ask(&publish(0, "live/video", 7));
    solo.events();
    solo.say(ours, &subscribe_ok(7));
    let seen = solo.events();
    assert!(
        matches!(seen[..], [Event::Cancelled { key, code: None }, Event::Accepted { .. }] if key == offered)
    );
    assert_eq!(
        solo.refused(offered),
        Some(RequestErrorCode::DUPLICATE_SUBSCRIPTION)
    );
    assert_eq!(solo.session.alias(7), AliasState::Live(ours));
}

#[test]
fn an_alias_in_use_for_another_track_closes() {
    let mut solo = Solo::new(Side::Server);
    solo.ask(&publish(0, "live/video", 7));
    solo.ask(&publish(2, "live/audio", 7));
    assert_eq!(solo.closed(), Some(SessionCode::DUPLICATE_TRACK_ALIAS));

    let mut solo = Solo::new(Side::Server);
    let (first, second) = (
        solo.session.subscribe(video(), none()).unwrap(),
        solo.session.subscribe(track("live/audio"), none()).unwrap(),
    );
    solo.say(first, &subscribe_ok(7));
    solo.say(second, &subscribe_ok(7));
    assert_eq!(solo.closed(), Some(SessionCode::DUPLICATE_TRACK_ALIAS));
}

#[test]
fn a_track_with_an_unknown_mandatory_property_is_not_taken() {
    let mut solo = Solo::new(Side::Server);
    let Message::Publish(mut request) = publish(0, "live/video", 7) else {
        unreachable!()
    };
    request.properties = mandatory();
    let key = solo.ask(&Message::Publish(request));
    assert_eq!(solo.refused(key), Some(RequestErrorCode::UNSUPPORTED_EXTENSION));

    let key = solo.session.subscribe(video(), none()).unwrap();
    transmits(&mut solo.session);
    let answer = SubscribeOk {
        track_alias: 8,
        parameters: none(),
        properties: mandatory(),
    };
    solo.say(key, &Message::SubscribeOk(answer));
    assert!(matches!(&solo.events()[..], [Event::Rejected { error, .. }]
            if error.code == RequestErrorCode::UNSUPPORTED_EXTENSION));
    let code = StreamCode::CANCELLED;
    assert_eq!(
        transmits(&mut solo.session),
        [Transmit::Reset { key, code }, Transmit::Stop { key, code }]
    );
}

#[test]
fn answers_out_of_order_close() {
    // What the peer says on the stream of our SUBSCRIBE, and whether it closes.
    let cases: [(&[Message], Option<SessionCode>); 7] = [
        (&[ok()], VIOLATION),
        (&[Message::PublishDone(done())], VIOLATION),
        (&[subscribe_ok(1), subscribe_ok(1)], VIOLATION),
        (&[subscribe_ok(1), ok()], VIOLATION),
        (
            &[
                Message::RequestError(refusal(RequestErrorCode::TIMEOUT)),
                subscribe_ok(1),
            ],
            VIOLATION,
        ),
        (
            &[
                subscribe_ok(1),
                Message::PublishDone(done()),
                Message::PublishDone(done()),
            ],
            VIOLATION,
        ),
        (&[subscribe_ok(1), Message::PublishDone(done())], None),
    ];
    for (messages, code) in cases {
        let mut solo = Solo::new(Side::Client);
        let key = solo.session.subscribe(video(), none()).unwrap();
        for message in messages {
            solo.say(key, message);
        }
        assert_eq!(solo.closed(), code, "{messages:?}");
    }
}

#[test]
fn messages_of_the_wrong_role_close() {
    let update = |request_id| {
        Message::RequestUpdate(RequestUpdate {
            request_id,
            parameters: none(),
        })
    };
    let mut solo = Solo::new(Side::Client);
    let key = solo
        .session
        .publish(video(), none(), Properties::default(), false)
        .unwrap()
        .0;
    solo.say(key, &update(1));
    assert_eq!(solo.closed(), VIOLATION, "an update before PUBLISH_OK");

    let mut solo = Solo::new(Side::Client);
    let key = solo.session.subscribe(video(), none()).unwrap();
    solo.say(key, &update(1));
    assert_eq!(
        solo.closed(),
        VIOLATION,
        "the publisher of a SUBSCRIBE cannot update"
    );

    let mut solo = Solo::new(Side::Server);
    let key = solo.ask(&subscribe(0, "live/video"));
    solo.say(key, &Message::PublishDone(done()));
    assert_eq!(solo.closed(), VIOLATION, "PUBLISH_DONE from a subscriber");
}

#[test]
fn operations_that_the_state_forbids_are_errors_and_send_nothing() {
    let (mut pair, key, served, _) = subscribed();
    let [client, server] = &mut pair.ends;
    assert!(matches!(
        server.accept_subscribe(served, none(), Properties::default()),
        Err(IllegalMove::State { .. })
    ));
    assert!(matches!(
        server.reject(served, refusal(RequestErrorCode::TIMEOUT)),
        Err(IllegalMove::State { .. })
    ));
    assert!(matches!(
        server.update(served, none()),
        Err(IllegalMove::State { .. })
    ));
    assert!(matches!(
        server.answer_update(served, Ok(none())),
        Err(IllegalMove::State { .. })
    ));
    assert!(matches!(
        client.publish_done(key, done()),
        Err(IllegalMove::State { .. })
    ));
    let largest = Parameters {
        largest_object: Some(Location::new(1, 1)),
        ..none()
    };
    assert!(matches!(
        client.update(key, largest),
        Err(IllegalMove::Parameter(_))
    ));
    assert_eq!(transmits(client).len() + transmits(server).len(), 0);
}

#[test]
fn a_bare_fin_of_the_subscriber_keeps_the_subscription() {
    let mut solo = Solo::new(Side::Server);
    let key = solo.ask(&subscribe(0, "live/video"));
    solo.session.recv_fin(Duration::ZERO, key);
    assert!(matches!(solo.events()[..], [Event::Request { .. }]));
    solo.session
        .accept_subscribe(key, none(), Properties::default())
        .unwrap();
    solo.session.publish_done(key, done()).unwrap();
    assert_eq!(solo.session.open_requests(), 0);
}

#[test]
fn an_unsubscribe_of_older_drafts_leaves_the_subscription_and_nothing_else() {
    const UNSUBSCRIBE: &[u8] = &[0x0A, 0x00, 0x00];
    let mut solo = Solo::new(Side::Server);
    let key = solo.ask(&subscribe(0, "live/video"));
    assert!(matches!(solo.events()[..], [Event::Request { .. }]));
    solo.session
        .accept_subscribe(key, none(), Properties::default())
        .unwrap();
    solo.session
        .recv(Duration::ZERO, key, Bytes::from_static(UNSUBSCRIBE));
    let code = Some(StreamCode::CANCELLED);
    assert_eq!(solo.events(), [Event::Cancelled { key, code }]);
    assert!(!solo.session.is_closed());
    let other = solo.session.accept();
    solo.session
        .recv(Duration::ZERO, other, Bytes::from_static(UNSUBSCRIBE));
    assert_eq!(solo.closed(), VIOLATION);
}

#[test]
fn a_stream_that_ends_inside_a_message_closes() {
    let mut solo = Solo::new(Side::Server);
    let key = solo.session.accept();
    solo.session
        .recv(Duration::ZERO, key, Bytes::from_static(&[0x03, 0x00]));
    solo.session.recv_fin(Duration::ZERO, key);
    assert_eq!(solo.closed(), VIOLATION);
}

proptest! {
    #[test]
    fn pieces_and_overtaking_do_not_change_what_the_server_sees(seed: u64) {
        let mut pair = Pair::new(config(Side::Client), Config { ..config(Side::Server) });
        pair.shuffle(seed);
        let names = ["live/video", "live/audio", "live/catalog"];
        for name in names {
            pair.ends[0].subscribe(track(name), none()).unwrap();
        }
        pair.ends[0].publish(track("mine/video"), none(), Properties::default(), false).unwrap();
        pair.run();
        let mut seen = Vec::new();
        for event in pair.events(1) {
            match event {
                Event::Established(_) => {}
                Event::Request { key, request: IncomingRequest::Subscribe { track, .. }, .. } => {
                    seen.push(track);
                    pair.ends[1].accept_subscribe(key, none(), Properties::default()).unwrap();
                }
                Event::Request { key, request: IncomingRequest::Publish { track, .. }, .. } => {
                    seen.push(track);
                    pair.ends[1].accept_publish(key, none()).unwrap();
                }
                other => prop_assert!(false, "unexpected {other:?}"),
            }
        }
        seen.sort();
        let mut wanted: Vec<_> = names.into_iter().chain(["mine/video"]).map(track).collect();
        wanted.sort();
        prop_assert_eq!(seen, wanted);
        pair.run();
        let accepted = pair.events(0).into_iter().filter(|event| matches!(event, Event::Accepted { .. })).count();
        prop_assert_eq!(accepted, 4);
        pair.advance(Duration::from_secs(60));
        prop_assert_eq!(pair.closes, [vec![], vec![]]);
    }
}
