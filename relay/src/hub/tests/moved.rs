//! GOAWAY on the stream of a request of the hub.

use headwater_pubsub::wire::Location;
use headwater_pubsub::wire::control::RequestOk;

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

/// Session 2 asked for tracks under `live`, and took `live/cam`, which session 1 publishes.
fn offered() -> (World, Tag) {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.publish(1, 0, &track("live/cam"));
    let outputs = world.feed(Input::SubscribeTracks {
        session: SessionId(2),
        key: RequestKey(0),
        prefix: ns("live"),
        parameters: Parameters::default(),
    });
    let mut outputs = outputs;
    outputs.extend(world.answer_update(peer(1, 0)));
    let offer = tag(&outputs);
    accept_offer(&mut world, offer);
    (world, offer)
}

fn accept_offer(world: &mut World, tag: Tag) {
    let parameters = Parameters::default();
    let answer = Answer::Publish { parameters };
    let outputs = world.feed(Input::Accepted { tag, answer });
    assert_eq!(served(&outputs), [RequestRef::Hub(SessionId(2), tag)]);
}

/// Its PUBLISH_DONE was sent.
fn over(world: &mut World, tag: Tag) -> Vec<Output> {
    let request = RequestRef::Hub(SessionId(2), tag);
    world.feed(Input::SubscriptionEnded { request })
}

fn withdrawn(outputs: &[Output]) -> Vec<(RequestRef, PublishDoneCode)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Withdraw { request, code, .. } => Some((*request, *code)),
            _ => None,
        })
        .collect()
}

#[test]
fn an_offer_that_is_sent_elsewhere_ends_with_its_reason_and_is_made_again() {
    let (mut world, first) = offered();
    let outputs = world.goaway(2, first);
    let request = RequestRef::Hub(SessionId(2), first);
    assert_eq!(withdrawn(&outputs), [(request, PublishDoneCode::GOING_AWAY)]);
    assert_eq!(opened(&outputs), [], "the old one first");
    let second = tag(&over(&mut world, first));
    accept_offer(&mut world, second);
    // The peer ends it for good.
    assert_eq!(opened(&world.cancel(RequestRef::Hub(SessionId(2), second))), []);
}

#[test]
fn an_offer_that_is_sent_elsewhere_and_reset_at_once_is_made_again() {
    let (mut world, first) = offered();
    world.goaway(2, first);
    // Before the data plane is done with it.
    let second = tag(&world.cancel(RequestRef::Hub(SessionId(2), first)));
    assert_eq!(opened(&over(&mut world, first)), [], "once");
    accept_offer(&mut world, second);
    world.goaway(2, second);
    assert_eq!(opened(&world.down(2)), []);
}

#[test]
fn an_offer_that_overtakes_the_end_of_the_old_one_is_made_once_more() {
    let (mut world, first) = offered();
    world.goaway(2, first);
    let mut offer = tag(&over(&mut world, first));
    for _ in 0..4 {
        offer = tag(&world.refuse(offer, RequestErrorCode::DUPLICATE_SUBSCRIPTION));
    }
    assert_eq!(
        opened(&world.refuse(offer, RequestErrorCode::DUPLICATE_SUBSCRIPTION)),
        [],
        "not for ever"
    );
}

#[test]
fn an_offer_without_an_answer_is_cancelled_and_made_again() {
    let (mut world, first) = offered();
    world.goaway(2, first);
    let second = tag(&over(&mut world, first));
    let outputs = world.goaway(2, second);
    assert_eq!(closed(&outputs), [RequestRef::Hub(SessionId(2), second)]);
    let third = tag(&outputs);
    assert_eq!(
        opened(&world.refuse(third, RequestErrorCode::UNINTERESTED)),
        [],
        "a refusal is final"
    );
}

#[test]
fn a_subscriber_that_sends_offers_in_circles_is_offered_the_track_no_more() {
    let (mut world, mut offer) = offered();
    for _ in 0..5 {
        world.goaway(2, offer);
        offer = tag(&over(&mut world, offer));
        accept_offer(&mut world, offer);
    }
    assert_eq!(withdrawn(&world.goaway(2, offer)).len(), 1);
    assert_eq!(opened(&over(&mut world, offer)), []);

    let (mut world, mut offer) = offered();
    for _ in 0..20 {
        world.pass(Duration::from_secs(10));
        world.goaway(2, offer);
        offer = tag(&over(&mut world, offer));
        accept_offer(&mut world, offer);
    }
}

fn fetch(world: &mut World, session: u64) -> Vec<Output> {
    world.feed(Input::Fetch {
        session: SessionId(session),
        key: RequestKey(7),
        range: FetchRange::Standalone {
            track: track("live/cam"),
            origin: None,
            start: Location::new(3, 0),
            end: Location::new(5, 7),
        },
        parameters: Parameters::default(),
    })
}

#[test]
fn a_fetch_that_is_sent_elsewhere_is_made_again_and_not_for_ever() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.announce(1, 0, "live");
    let mut asked = tag(&fetch(&mut world, 2));
    for _ in 0..2 {
        let outputs = world.goaway(1, asked);
        assert_eq!(closed(&outputs), [RequestRef::Hub(SessionId(1), asked)]);
        asked = tag(&outputs);
    }
    let outputs = world.goaway(1, asked);
    assert_eq!(rejected(&outputs), [(peer(2, 7), RequestErrorCode::TIMEOUT)]);
}

#[test]
fn what_a_fetch_left_that_is_sent_elsewhere_is_asked_of_another_publisher() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.up(3, "alice");
    world.announce(1, 0, "live");
    world.announce(3, 0, "live");
    let fill = tag(&fetch(&mut world, 2));
    let end = Location::new(5, 7);
    let end_of_track = false;
    world.feed(Input::Accepted {
        tag: fill,
        answer: Answer::Fetch { end, end_of_track },
    });
    let hole = |world: &mut World| {
        world.feed(Input::Hole {
            request: peer(2, 7),
            start: Location::new(4, 0),
            end,
        })
    };
    assert_eq!(opened(&hole(&mut world)), [], "it comes");
    let outputs = world.goaway(1, fill);
    assert_eq!(closed(&outputs), [RequestRef::Hub(SessionId(1), fill)]);
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::HoleFilled { .. })),
        "the data plane looks again: {outputs:?}"
    );
    assert!(matches!(opened(&hole(&mut world))[..], [(3, _)]));
}

#[test]
fn a_repair_that_is_sent_elsewhere_is_made_again() {
    let (mut world, first) = watched();
    let second = tag(&world.goaway(1, first));
    let mut repair = tag(&world.accept(second));
    for _ in 0..4 {
        let outputs = world.goaway(1, repair);
        assert_eq!(closed(&outputs), [RequestRef::Hub(SessionId(1), repair)]);
        repair = tag(&outputs);
    }
    let outputs = world.goaway(1, repair);
    assert_eq!(opened(&outputs), []);
    assert!(outputs.contains(&Output::Bridged { track: TrackId(0) }));
}

#[test]
fn a_track_status_that_is_sent_elsewhere_is_asked_of_others_and_then_once_more() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.up(3, "alice");
    world.announce(1, 0, "live");
    world.announce(3, 0, "live");
    let ask = |world: &mut World, key| {
        world.feed(Input::TrackStatus {
            session: SessionId(2),
            key: RequestKey(key),
            track: track("live/cam"),
            origin: None,
        })
    };
    let mut outputs = ask(&mut world, 7);
    for session in [1, 3, 1, 3] {
        let [(asked, tag)] = opened(&outputs)[..] else {
            panic!("{outputs:?}")
        };
        assert_eq!(asked, session);
        outputs = world.goaway(session, tag);
    }
    assert_eq!(rejected(&outputs), [(peer(2, 7), RequestErrorCode::TIMEOUT)]);

    let first = tag(&ask(&mut world, 8));
    let second = tag(&world.goaway(1, first));
    let ok = RequestOk::default();
    let answer = Answer::TrackStatus(ok.clone());
    let outputs = world.feed(Input::Accepted { tag: second, answer });
    let request = peer(2, 8);
    assert_eq!(outputs, [Output::AnswerTrackStatus { request, ok }]);
}
