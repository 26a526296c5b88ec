//! EXPIRES: what is extended, when, and what a refusal means.

use std::time::Duration;

use super::harness::{Pair, refusal, track};
use crate::session::{Event, RequestKey, Time};
use crate::wire::{Parameters, Properties, RequestErrorCode};

const MS: Duration = Duration::from_millis(1);

fn expires(ms: u64) -> Parameters {
    Parameters {
        expires_ms: Some(ms),
        ..Parameters::default()
    }
}

/// The client subscribes and the server, which publishes, states `answer`. Their keys.
fn subscribed(answer: Parameters) -> (Pair, RequestKey, RequestKey) {
    let mut pair = Pair::established();
    let ours = pair.ends[0]
        .subscribe(track("live/video"), Parameters::default())
        .unwrap();
    pair.run();
    let [Event::Request { key: served, .. }] = pair.events(1)[..] else {
        panic!("no SUBSCRIBE")
    };
    pair.ends[1]
        .accept_subscribe(served, answer, Properties::default())
        .unwrap();
    pair.run();
    assert!(matches!(pair.events(0)[..], [Event::Accepted { .. }]));
    (pair, ours, served)
}

/// How many updates `end` was told of.
fn updates(pair: &mut Pair, end: usize) -> usize {
    let is_update = |event: &Event| matches!(event, Event::Updated { parameters, .. } if *parameters == Parameters::default());
    pair.events(end).iter().filter(|event| is_update(event)).count()
}

#[test]
fn a_subscription_is_extended_after_three_quarters_of_what_was_stated_last() {
    let (mut pair, _, served) = subscribed(expires(400));
    pair.advance(299 * MS);
    assert_eq!(updates(&mut pair, 1), 0);
    pair.advance(MS);
    assert_eq!(updates(&mut pair, 1), 1);
    pair.advance(1000 * MS);
    assert_eq!(updates(&mut pair, 1), 0, "one at a time");
    pair.ends[1].answer_update(served, Ok(expires(1000))).unwrap();
    pair.run();
    assert_eq!(pair.events(0), [], "the application need not know");
    pair.advance(749 * MS);
    assert_eq!(updates(&mut pair, 1), 0);
    pair.advance(MS);
    assert_eq!(updates(&mut pair, 1), 1);
    pair.ends[1]
        .answer_update(served, Ok(Parameters::default()))
        .unwrap();
    pair.run();
    assert_eq!(pair.ends[0].next_timeout(), None, "no end any more");
}

#[test]
fn what_never_expires_is_left_alone() {
    for answer in [Parameters::default(), expires(0)] {
        let (pair, ..) = subscribed(answer);
        assert_eq!(pair.ends[0].next_timeout(), None);
    }
    let (pair, ..) = subscribed(expires(u64::MAX));
    assert!(pair.ends[0].next_timeout() > Some(Time::from_secs(1 << 40)));
}

#[test]
fn a_publisher_that_states_next_to_nothing_is_not_flooded() {
    let (mut pair, _, served) = subscribed(expires(1));
    let mut asked = 0;
    for _ in 0..1000 {
        pair.advance(MS);
        for _ in 0..updates(&mut pair, 1) {
            asked += 1;
            pair.ends[1].answer_update(served, Ok(expires(1))).unwrap();
        }
        pair.run();
    }
    assert_eq!(asked, 10);
}

#[test]
fn a_refusal_is_told_and_ends_the_extensions() {
    let (mut pair, ours, served) = subscribed(expires(400));
    pair.advance(300 * MS);
    pair.events(1);
    let error = refusal(RequestErrorCode::EXPIRED_AUTH_TOKEN);
    pair.ends[1].answer_update(served, Err(error.clone())).unwrap();
    pair.run();
    assert_eq!(pair.events(0), [Event::NotExtended { key: ours, error }]);
    assert_eq!(pair.ends[0].next_timeout(), None);
}

#[test]
fn an_answer_to_an_update_of_the_application_moves_the_end_if_it_states_one() {
    for (stated, left) in [(None, 100), (Some(2000), 1500)] {
        let (mut pair, ours, served) = subscribed(expires(400));
        pair.advance(200 * MS);
        pair.ends[0].update(ours, Parameters::default()).unwrap();
        pair.run();
        pair.events(1);
        let answer = Parameters {
            expires_ms: stated,
            ..Parameters::default()
        };
        pair.ends[1].answer_update(served, Ok(answer.clone())).unwrap();
        pair.run();
        let result = Ok(answer);
        assert_eq!(pair.events(0), [Event::UpdateAnswered { key: ours, result }]);
        assert_eq!(pair.ends[0].next_timeout(), Some(pair.now + left * MS));
    }
}

#[test]
fn publications_are_extended_by_whichever_end_was_told() {
    for (offered, accepted, asks) in [(Some(400), None, 0), (None, Some(400), 1)] {
        let mut pair = Pair::established();
        let stating = |expires_ms| Parameters {
            expires_ms,
            ..Parameters::default()
        };
        pair.ends[1]
            .publish(
                track("live/video"),
                stating(offered),
                Properties::default(),
                false,
            )
            .unwrap();
        pair.run();
        let [Event::Request { key, .. }] = pair.events(0)[..] else {
            panic!("no PUBLISH")
        };
        assert_eq!(pair.ends[0].next_timeout(), None, "not accepted yet");
        pair.ends[0].accept_publish(key, stating(accepted)).unwrap();
        pair.run();
        pair.events(1);
        pair.advance(300 * MS);
        assert_eq!(updates(&mut pair, 1 - asks), 1);
        assert_eq!(updates(&mut pair, asks), 0);
    }
}

#[test]
fn the_end_of_a_subscription_is_the_end_of_its_timer() {
    let (mut pair, ours, _) = subscribed(expires(400));
    pair.ends[0].cancel(ours, crate::wire::StreamCode::CANCELLED);
    assert_eq!(pair.ends[0].next_timeout(), None);
}
