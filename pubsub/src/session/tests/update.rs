//! REQUEST_UPDATE: one answer each, and what a failed one ends.

use super::harness::{Solo, config, refusal, track, transmits};
use crate::session::{Event, IllegalMove, Limits, RequestKey, Side, Transmit};
use crate::wire::control::{
    Fetch, FetchKind, PublishDone, RequestOk, RequestUpdate, Subscribe, SubscribeOk, TrackStatus,
};
use crate::wire::{
    Location, Message, Parameters, Properties, PublishDoneCode, RequestErrorCode, SessionCode, StreamCode,
    Token,
};

const VIOLATION: Option<SessionCode> = Some(SessionCode::PROTOCOL_VIOLATION);

fn none() -> Parameters {
    Parameters::default()
}

fn priority(value: u8) -> Parameters {
    Parameters {
        subscriber_priority: Some(value),
        ..none()
    }
}

fn update(request_id: u64, parameters: Parameters) -> Message {
    Message::RequestUpdate(RequestUpdate {
        request_id,
        parameters,
    })
}

fn subscribe(request_id: u64) -> Message {
    Message::Subscribe(Subscribe {
        request_id,
        track: track("live/video"),
        parameters: none(),
    })
}

fn done(code: PublishDoneCode) -> PublishDone {
    PublishDone {
        code,
        stream_count: Some(0),
        reason: String::new(),
    }
}

/// A server with an accepted SUBSCRIBE (Request ID 0).
fn serving() -> (Solo, RequestKey) {
    let mut solo = Solo::new(Side::Server);
    let key = solo.ask(&subscribe(0));
    solo.session
        .accept_subscribe(key, none(), Properties::default())
        .unwrap();
    solo.events();
    transmits(&mut solo.session);
    (solo, key)
}

/// A client with an established subscription of its own.
fn subscribed() -> (Solo, RequestKey) {
    let mut solo = Solo::new(Side::Client);
    let key = solo.session.subscribe(track("live/video"), none()).unwrap();
    let ok = SubscribeOk {
        track_alias: 0,
        parameters: none(),
        properties: Properties::default(),
    };
    solo.say(key, &Message::SubscribeOk(ok));
    solo.events();
    (solo, key)
}

#[test]
fn each_update_is_answered_once_and_in_order() {
    let (mut solo, key) = serving();
    solo.say(key, &update(2, priority(1)));
    solo.say(key, &update(4, priority(2)));
    let updated = |value| Event::Updated {
        key,
        parameters: priority(value),
        tokens: vec![],
    };
    assert_eq!(solo.events(), [updated(1), updated(2)]);
    solo.session.answer_update(key, Ok(none())).unwrap();
    solo.session.answer_update(key, Ok(none())).unwrap();
    assert!(matches!(
        solo.session.answer_update(key, Ok(none())),
        Err(IllegalMove::State { .. })
    ));
    assert_eq!(
        solo.written(key),
        [
            Message::RequestOk(RequestOk::default()),
            Message::RequestOk(RequestOk::default())
        ]
    );
}

#[test]
fn updates_of_an_unanswered_request_wait_for_its_acceptance() {
    let mut solo = Solo::new(Side::Server);
    let key = solo.ask(&subscribe(0));
    solo.say(key, &update(2, priority(1)));
    assert!(matches!(solo.events()[..], [Event::Request { .. }]));
    solo.session
        .accept_subscribe(key, none(), Properties::default())
        .unwrap();
    assert!(matches!(solo.events()[..], [Event::Updated { .. }]));
}

#[test]
fn a_failed_update_of_a_subscription_leaves_only_publish_done_update_failed() {
    let (mut solo, key) = serving();
    solo.say(key, &update(2, priority(1)));
    solo.say(key, &update(4, priority(2)));
    solo.events();
    solo.session
        .answer_update(key, Err(refusal(RequestErrorCode::UNAUTHORIZED)))
        .unwrap();
    assert!(matches!(
        solo.session.answer_update(key, Ok(none())),
        Err(IllegalMove::State { .. })
    ));
    solo.say(key, &update(6, priority(3)));
    assert_eq!(solo.events(), [], "one error stands for all");
    solo.session
        .publish_done(key, done(PublishDoneCode::TRACK_ENDED))
        .unwrap();
    assert_eq!(
        solo.written(key),
        [
            Message::RequestError(refusal(RequestErrorCode::UNAUTHORIZED)),
            Message::PublishDone(done(PublishDoneCode::UPDATE_FAILED))
        ]
    );
}

#[test]
fn an_update_with_an_unknown_token_fails_without_asking() {
    let (mut solo, key) = serving();
    let tokens = Parameters {
        authorization_tokens: vec![Token::UseAlias { alias: 1 }],
        ..none()
    };
    solo.say(key, &update(2, tokens));
    assert_eq!(solo.events(), [Event::UpdateFailed { key }]);
    assert_eq!(solo.refused(key), Some(RequestErrorCode::MALFORMED_AUTH_TOKEN));
    assert!(
        solo.session
            .publish_done(key, done(PublishDoneCode::TRACK_ENDED))
            .is_ok()
    );
}

#[test]
fn a_failed_update_of_a_fetch_ends_it() {
    let mut solo = Solo::new(Side::Server);
    let (start, end) = (Location::new(0, 0), Location::new(1, 0));
    let kind = FetchKind::Standalone {
        track: track("live/video"),
        start,
        end,
    };
    let key = solo.ask(&Message::Fetch(Fetch {
        request_id: 0,
        kind,
        parameters: none(),
    }));
    solo.session
        .accept_fetch(key, false, end, none(), Properties::default())
        .unwrap();
    solo.say(key, &update(2, priority(1)));
    solo.session
        .answer_update(key, Err(refusal(RequestErrorCode::UNAUTHORIZED)))
        .unwrap();
    assert_eq!(solo.session.open_requests(), 0);
    assert_eq!(
        transmits(&mut solo.session).last(),
        Some(&Transmit::Finish { key })
    );
}

#[test]
fn our_updates_are_matched_with_their_answers() {
    let (mut solo, key) = subscribed();
    assert_eq!(solo.session.update(key, priority(1)), Ok(2));
    assert_eq!(solo.session.update(key, priority(2)), Ok(4));
    solo.say(key, &Message::RequestOk(RequestOk::default()));
    solo.say(
        key,
        &Message::RequestError(refusal(RequestErrorCode::UNAUTHORIZED)),
    );
    let failed = Err(refusal(RequestErrorCode::UNAUTHORIZED));
    assert_eq!(
        solo.events(),
        [
            Event::UpdateAnswered {
                key,
                result: Ok(none())
            },
            Event::UpdateAnswered { key, result: failed }
        ]
    );
    assert!(matches!(
        solo.session.update(key, priority(3)),
        Err(IllegalMove::State { .. })
    ));
    solo.say(key, &Message::PublishDone(done(PublishDoneCode::UPDATE_FAILED)));
    assert!(matches!(solo.events()[..], [Event::PublishDone { .. }]));
}

#[test]
fn an_answer_without_an_update_closes() {
    for answer in [
        Message::RequestOk(RequestOk::default()),
        Message::RequestError(refusal(RequestErrorCode::TIMEOUT)),
    ] {
        let (mut solo, key) = subscribed();
        solo.say(key, &answer);
        assert_eq!(solo.closed(), VIOLATION);
    }
}

#[test]
fn an_update_of_a_track_status_closes() {
    let mut solo = Solo::new(Side::Server);
    let status = TrackStatus {
        request_id: 0,
        track: track("live/video"),
        parameters: none(),
    };
    let key = solo.ask(&Message::TrackStatus(status));
    solo.say(key, &update(2, none()));
    assert_eq!(solo.closed(), VIOLATION);
}

#[test]
fn a_parameter_of_another_request_closes() {
    let (mut solo, key) = serving();
    let parameters = Parameters {
        track_namespace_prefix: Some(super::harness::namespace("a")),
        ..none()
    };
    solo.say(key, &update(2, parameters));
    assert_eq!(solo.closed(), VIOLATION);
}

#[test]
fn updates_use_request_ids_of_the_same_space() {
    let (mut solo, key) = serving();
    solo.say(key, &update(0, none()));
    assert_eq!(solo.closed(), Some(SessionCode::INVALID_REQUEST_ID));
}

#[test]
fn too_many_unanswered_updates_end_the_request_only() {
    let mut config = config(Side::Server);
    config.limits = Limits {
        pending_updates: 2,
        ..Limits::default()
    };
    let mut solo = Solo::with(config);
    let key = solo.ask(&subscribe(0));
    for request_id in [2, 4, 6] {
        solo.say(key, &update(request_id, none()));
    }
    let code = StreamCode::EXCESSIVE_LOAD;
    assert_eq!(
        transmits(&mut solo.session),
        [Transmit::Reset { key, code }, Transmit::Stop { key, code }]
    );
    assert!(matches!(
        solo.events()[..],
        [Event::Request { .. }, Event::Cancelled { .. }]
    ));
}
