//! GOAWAY on the stream of an upstream subscription.

use super::*;

/// Session 1 published `live`, session 2 is served a track there.
fn watched() -> (World, Tag) {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.announce(1, 0, "live");
    let asked = tag(&world.subscribe(2, 0, &track("live/cam")));
    assert_eq!(served(&world.accept(asked)), [peer(2, 0)]);
    (world, asked)
}

impl World {
    fn goaway(&mut self, session: u64, tag: Tag) -> Vec<Output> {
        self.feed(Input::RequestGoaway {
            request: RequestRef::Hub(SessionId(session), tag),
        })
    }
}

fn closed(outputs: &[Output]) -> Vec<RequestRef> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Close { request, .. } => Some(*request),
            _ => None,
        })
        .collect()
}

#[test]
fn the_only_publisher_is_asked_again_and_what_was_missed_is_fetched() {
    let (mut world, first) = watched();
    let outputs = world.goaway(1, first);
    let [
        Output::Bridge { .. },
        Output::Close { request, .. },
        Output::Open {
            session, tag: second, ..
        },
    ] = outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(
        (request, session),
        (RequestRef::Hub(SessionId(1), first), SessionId(1))
    );
    let outputs = world.accept(second);
    let [
        Output::Open {
            tag: repair,
            request: Outgoing::Repair { .. },
            ..
        },
    ] = outputs[..]
    else {
        panic!("{outputs:?}")
    };
    let outcome = FillOutcome::Complete;
    let outputs = world.feed(Input::FillDone { tag: repair, outcome });
    assert_eq!(outputs, [Output::Bridged { track: TrackId(0) }]);
    assert_eq!(world.pass(Duration::from_secs(60)), []);
    assert_eq!(
        ended(&world.finish(RequestRef::Hub(SessionId(1), second))),
        [PublishDoneCode::TRACK_ENDED]
    );
}

#[test]
fn with_another_publisher_nothing_is_missed() {
    let (mut world, first) = watched();
    world.up(3, "alice");
    let other = tag(&world.announce(3, 0, "live"));
    world.accept(other);
    let outputs = world.goaway(1, first);
    assert_eq!(closed(&outputs), [RequestRef::Hub(SessionId(1), first)]);
    let second = tag(&outputs);
    assert!(!outputs.contains(&Output::Bridge { track: TrackId(0) }));
    assert_eq!(world.accept(second), []);
}

#[test]
fn a_publisher_that_has_not_heard_of_the_end_of_the_old_one_is_asked_until_it_has() {
    let (mut world, first) = watched();
    let mut asked = tag(&world.goaway(1, first));
    for pause in [50, 100, 200] {
        assert_eq!(world.refuse(asked, RequestErrorCode::DUPLICATE_SUBSCRIPTION), []);
        assert_eq!(opened(&world.pass(Duration::from_millis(pause - 1))), []);
        asked = tag(&world.pass(Duration::from_millis(1)));
    }
    assert_eq!(opened(&world.accept(asked)).len(), 1, "the repair");
}

#[test]
fn a_publisher_that_refuses_the_new_subscription_ends_the_track() {
    for code in [
        RequestErrorCode::DOES_NOT_EXIST,
        RequestErrorCode::DUPLICATE_SUBSCRIPTION,
    ] {
        let (mut world, first) = watched();
        let mut asked = tag(&world.goaway(1, first));
        let outputs = loop {
            let mut outputs = world.refuse(asked, code);
            outputs.extend(world.pass(Duration::from_millis(1600)));
            match opened(&outputs)[..] {
                [(_, next)] => asked = next,
                _ => break outputs,
            }
        };
        let reason = outputs.iter().find_map(|output| match output {
            Output::TrackEnded { reason, .. } => Some(reason.as_str()),
            _ => None,
        });
        assert!(
            reason.is_some_and(|reason| reason.contains("elsewhere and refuses it")),
            "{outputs:?}"
        );
        assert_eq!(ended(&outputs), [PublishDoneCode::INTERNAL_ERROR]);
    }
}

#[test]
fn a_publisher_that_sends_a_subscription_in_circles_loses_it() {
    let (mut world, mut asked) = watched();
    for _ in 0..5 {
        asked = tag(&world.goaway(1, asked));
    }
    let outputs = world.goaway(1, asked);
    assert_eq!(ended(&outputs), [PublishDoneCode::INTERNAL_ERROR]);
    assert!(outputs.iter().any(
        |output| matches!(output, Output::TrackEnded { reason, .. } if reason.contains("keeps sending"))
    ));

    let (mut world, mut asked) = watched();
    for _ in 0..20 {
        world.pass(Duration::from_secs(10));
        asked = tag(&world.goaway(1, asked));
        for (_, repair) in opened(&world.accept(asked)) {
            world.feed(Input::FillDone {
                tag: repair,
                outcome: FillOutcome::Complete,
            });
        }
    }
}

#[test]
fn a_publication_is_its_publishers_to_make_again() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.publish(1, 0, &track("live/cam"));
    world.subscribe(2, 0, &track("live/cam"));
    assert_eq!(world.feed(Input::RequestGoaway { request: peer(1, 0) }), []);
    assert_eq!(ended(&world.finish(peer(1, 0))), [PublishDoneCode::TRACK_ENDED]);
}

#[test]
fn a_publisher_that_refuses_an_update_ends_the_track_and_its_words_are_passed_on() {
    let (mut world, asked) = watched();
    let error = RequestError {
        code: RequestErrorCode::EXPIRED_AUTH_TOKEN,
        retry_after_ms: None,
        reason: "time is over".to_owned(),
        redirect: None,
    };
    let outputs = world.feed(Input::UpdateAnswered {
        request: RequestRef::Hub(SessionId(1), asked),
        result: Err(error),
    });
    assert!(outputs.iter().any(
        |output| matches!(output, Output::TrackEnded { reason, .. } if reason.contains("time is over"))
    ));
}
