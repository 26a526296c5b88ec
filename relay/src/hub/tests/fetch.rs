//! FETCH, joining FETCH and TRACK_STATUS.

use headwater_pubsub::wire::Location;
use headwater_pubsub::wire::control::RequestOk;

use super::*;

const START: Location = Location::new(3, 0);
const END: Location = Location::new(5, 7);

fn fetch_with(world: &mut World, session: u64, key: u64, parameters: Parameters) -> Vec<Output> {
    let (session, key) = (SessionId(session), RequestKey(key));
    let range = FetchRange::Standalone {
        track: track("live/cam"),
        origin: None,
        start: START,
        end: END,
    };
    world.feed(Input::Fetch {
        session,
        key,
        range,
        parameters,
    })
}

fn fetch(world: &mut World, session: u64, key: u64) -> Vec<Output> {
    fetch_with(world, session, key, Parameters::default())
}

fn joining(world: &mut World, session: u64, key: u64, subscription: RequestRef) -> Vec<Output> {
    let (session, key) = (SessionId(session), RequestKey(key));
    let range = FetchRange::Joining {
        subscription: Some(subscription),
        start: JoiningStart::Relative(1),
    };
    world.feed(Input::Fetch {
        session,
        key,
        range,
        parameters: Parameters::default(),
    })
}

fn found(world: &mut World, tag: Tag) -> Vec<Output> {
    let answer = Answer::Fetch {
        end: Location::new(4, 2),
        end_of_track: true,
    };
    world.feed(Input::Accepted { tag, answer })
}

fn hole(world: &mut World, request: RequestRef) -> Vec<Output> {
    world.feed(Input::Hole {
        request,
        start: Location::new(4, 0),
        end: END,
    })
}

fn ranges(outputs: &[Output]) -> Vec<(RequestRef, ServedRange)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::ServeFetch { request, range, .. } => Some((*request, *range)),
            _ => None,
        })
        .collect()
}

/// Session 1 published `live`, session 2 watches a track there.
fn watched() -> World {
    let mut world = World::new();
    for session in 1..=3 {
        world.up(session, "alice");
    }
    world.announce(1, 0, "live");
    let asked = tag(&world.subscribe(2, 0, &track("live/cam")));
    world.accept(asked);
    world
}

#[test]
fn a_live_track_is_served_at_once_and_its_holes_are_filled_from_upstream() {
    let mut world = watched();
    let outputs = fetch(&mut world, 3, 0);
    let range = ServedRange::Live {
        start: START,
        end: END,
    };
    assert_eq!(
        (ranges(&outputs), opened(&outputs)),
        (vec![(peer(3, 0), range)], vec![])
    );

    let fill = tag(&hole(&mut world, peer(3, 0)));
    assert_eq!(found(&mut world, fill), []);
    let outputs = world.feed(Input::FillDone {
        tag: fill,
        outcome: FillOutcome::Complete,
    });
    assert_eq!(
        outputs,
        [Output::HoleFilled {
            request: peer(3, 0),
            start: Location::new(4, 0),
            end: END
        }]
    );

    let outputs = hole(&mut world, peer(3, 0));
    assert!(
        matches!(outputs[..], [Output::HoleGivenUp { .. }]),
        "its publisher could not: {outputs:?}"
    );
}

#[test]
fn a_hole_that_a_publisher_denies_is_empty() {
    let mut world = watched();
    fetch(&mut world, 3, 0);
    let fill = tag(&hole(&mut world, peer(3, 0)));
    let outputs = world.refuse(fill, RequestErrorCode::INVALID_RANGE);
    assert!(matches!(outputs[..], [Output::HoleEmpty { .. }]), "{outputs:?}");
}

#[test]
fn the_next_publisher_is_tried_when_one_fails() {
    let mut world = watched();
    world.announce(3, 9, "live");
    fetch(&mut world, 2, 1);
    let outputs = hole(&mut world, peer(2, 1));
    let [(1, first)] = opened(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    found(&mut world, first);
    let outputs = fill_failed(&mut world, first);
    assert!(matches!(outputs[..], [Output::HoleFilled { .. }]), "{outputs:?}");
    let outputs = hole(&mut world, peer(2, 1));
    let [(3, second)] = opened(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    let outputs = world.refuse(second, RequestErrorCode::INTERNAL_ERROR);
    assert_eq!(
        opened(&outputs)
            .iter()
            .map(|(session, _)| *session)
            .collect::<Vec<_>>(),
        [1],
        "whose stream was cut is asked once more, who refused is not"
    );
}

fn fill_failed(world: &mut World, tag: Tag) -> Vec<Output> {
    let outcome = FillOutcome::Failed;
    world.feed(Input::FillDone { tag, outcome })
}

#[test]
fn what_a_cut_fill_left_is_asked_for_again_and_not_for_ever() {
    let mut world = watched();
    fetch(&mut world, 3, 0);
    let request = peer(3, 0);
    let mut outputs = hole(&mut world, request);
    for group in 4..7 {
        let Output::Open {
            tag,
            request: Outgoing::Fetch { start, end, .. },
            ..
        } = outputs[0]
        else {
            panic!("{outputs:?}")
        };
        assert_eq!((start, end), (Location::new(group.min(5), 0), END), "the rest");
        found(&mut world, tag);
        assert!(matches!(
            fill_failed(&mut world, tag)[..],
            [Output::HoleFilled { .. }]
        ));
        let start = Location::new(5, 0);
        outputs = world.feed(Input::Hole {
            request,
            start,
            end: END,
        });
    }
    assert!(
        matches!(outputs[..], [Output::HoleGivenUp { start, .. }] if start == Location::new(5, 0)),
        "{outputs:?}"
    );
}

#[test]
fn a_fetch_whose_range_is_being_found_outlives_a_cut() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.announce(1, 0, "live");
    let mut asked = tag(&fetch(&mut world, 2, 0));
    for _ in 0..2 {
        asked = tag(&fill_failed(&mut world, asked));
    }
    let outputs = fill_failed(&mut world, asked);
    assert_eq!(rejected(&outputs), [(peer(2, 0), RequestErrorCode::TIMEOUT)]);
}

#[test]
fn fetches_that_miss_the_same_share_one_upstream_fetch() {
    let mut world = watched();
    fetch(&mut world, 2, 1);
    fetch(&mut world, 3, 0);
    let fill = tag(&hole(&mut world, peer(2, 1)));
    assert_eq!(hole(&mut world, peer(3, 0)), []);
    assert_eq!(world.cancel(peer(2, 1)), [], "the other still needs it");
    found(&mut world, fill);
    let outputs = world.feed(Input::FillDone {
        tag: fill,
        outcome: FillOutcome::Complete,
    });
    assert!(matches!(outputs[..], [Output::HoleFilled { .. }]), "{outputs:?}");
}

#[test]
fn without_a_subscription_the_publisher_says_where_the_range_ends() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.announce(1, 0, "live");
    let asked = tag(&fetch(&mut world, 2, 0));
    let outputs = found(&mut world, asked);
    let range = ServedRange::Known {
        start: START,
        end: Location::new(4, 2),
        end_of_track: true,
    };
    assert_eq!(ranges(&outputs), [(peer(2, 0), range)]);
    assert_eq!(hole(&mut world, peer(2, 0)), [], "it is being filled");
    assert_eq!(
        world
            .feed(Input::FillDone {
                tag: asked,
                outcome: FillOutcome::Complete
            })
            .len(),
        1
    );
    world.feed(Input::FetchEnded { request: peer(2, 0) });
    assert_eq!(
        world.pass(Duration::from_secs(2)),
        [Output::TrackDropped { track: TrackId(0) }]
    );
}

#[test]
fn a_fetch_of_what_nobody_has_or_of_nothing_is_refused() {
    let mut world = World::new();
    world.up(1, "alice");
    assert_eq!(
        rejected(&fetch(&mut world, 1, 0)),
        [(peer(1, 0), RequestErrorCode::DOES_NOT_EXIST)]
    );
    world.announce(1, 1, "live");
    let asked = tag(&fetch(&mut world, 1, 2));
    let outputs = world.refuse(asked, RequestErrorCode::INVALID_RANGE);
    assert_eq!(
        rejected(&outputs),
        [(peer(1, 2), RequestErrorCode::INVALID_RANGE)]
    );
    let range = FetchRange::Standalone {
        track: track("live/cam"),
        origin: None,
        start: END,
        end: START,
    };
    let (session, key, parameters) = (SessionId(1), RequestKey(3), Parameters::default());
    let outputs = world.feed(Input::Fetch {
        session,
        key,
        range,
        parameters,
    });
    assert_eq!(
        rejected(&outputs),
        [(peer(1, 3), RequestErrorCode::INVALID_RANGE)]
    );
}

#[test]
fn the_budget_for_waiting_is_spent_once() {
    let mut world = watched();
    let parameters = Parameters {
        fill_timeout_ms: Some(1000),
        ..Parameters::default()
    };
    fetch_with(&mut world, 3, 0, parameters);
    let fill = tag(&hole(&mut world, peer(3, 0)));
    world.pass(Duration::from_millis(600));
    found(&mut world, fill);
    world.feed(Input::FillDone {
        tag: fill,
        outcome: FillOutcome::Complete,
    });
    world.pass(Duration::from_secs(60));
    let (request, start, end) = (peer(3, 0), Location::new(3, 0), Location::new(4, 0));
    tag(&world.feed(Input::Hole { request, start, end }));
    let outputs = world.pass(Duration::from_millis(399));
    assert_eq!(outputs, []);
    let outputs = world.pass(Duration::from_millis(1));
    assert!(
        matches!(outputs[..], [Output::Close { .. }, Output::HoleGivenUp { .. }]),
        "{outputs:?}"
    );
    assert!(matches!(
        hole(&mut world, request)[..],
        [Output::HoleGivenUp { .. }]
    ));
}

#[test]
fn a_budget_of_zero_asks_nobody() {
    let mut world = watched();
    let parameters = Parameters {
        fill_timeout_ms: Some(0),
        ..Parameters::default()
    };
    fetch_with(&mut world, 3, 0, parameters);
    assert!(matches!(
        hole(&mut world, peer(3, 0))[..],
        [Output::HoleGivenUp { .. }]
    ));
}

#[test]
fn a_joining_fetch_waits_for_the_subscription_it_joins() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.announce(1, 0, "live");
    let asked = tag(&world.subscribe(2, 0, &track("live/cam")));
    assert_eq!(joining(&mut world, 2, 1, peer(2, 0)), []);
    let outputs = world.accept(asked);
    let range = ServedRange::Joining {
        subscription: peer(2, 0),
        start: JoiningStart::Relative(1),
    };
    assert_eq!(
        (served(&outputs), ranges(&outputs)),
        (vec![peer(2, 0)], vec![(peer(2, 1), range)])
    );
    assert_eq!(
        ranges(&joining(&mut world, 2, 2, peer(2, 0))),
        [(peer(2, 2), range)]
    );
}

#[test]
fn a_joining_fetch_of_nothing_or_of_a_quiet_subscription_is_refused() {
    let mut world = watched();
    let outputs = joining(&mut world, 3, 0, peer(2, 0));
    assert_eq!(
        rejected(&outputs),
        [(peer(3, 0), RequestErrorCode::INVALID_JOINING_REQUEST_ID)]
    );
    world.update(peer(2, 0), forward(false));
    let outputs = joining(&mut world, 2, 1, peer(2, 0));
    assert_eq!(
        rejected(&outputs),
        [(peer(2, 1), RequestErrorCode::INVALID_RANGE)]
    );
}

#[test]
fn a_joining_fetch_falls_with_its_subscription() {
    let mut world = World::new();
    world.up(1, "viewer");
    world.subscribe_with(1, 0, &track("live/cam"), rendezvous(1000));
    joining(&mut world, 1, 1, peer(1, 0));
    let outputs = rejected(&world.pass(Duration::from_secs(1)));
    let joined = (peer(1, 1), RequestErrorCode::INVALID_JOINING_REQUEST_ID);
    assert_eq!(outputs, [joined, (peer(1, 0), RequestErrorCode::TIMEOUT)]);
}

#[test]
fn a_malformed_fill_resets_the_fetches_of_its_track() {
    let mut world = watched();
    fetch(&mut world, 3, 0);
    let fill = tag(&hole(&mut world, peer(3, 0)));
    let outputs = world.feed(Input::Malformed {
        request: RequestRef::Hub(SessionId(1), fill),
    });
    assert_eq!(ended(&outputs), [PublishDoneCode::MALFORMED_TRACK]);
    assert!(
        outputs
            .iter()
            .any(|o| matches!(o, Output::ResetFetch { request, .. } if *request == peer(3, 0)))
    );
}

#[test]
fn track_status_is_answered_here_or_passed_on() {
    let mut world = watched();
    let status = |session, key, name| Input::TrackStatus {
        session: SessionId(session),
        key: RequestKey(key),
        track: track(name),
        origin: None,
    };
    let outputs = world.feed(status(3, 0, "live/cam"));
    assert_eq!(
        outputs,
        [Output::ServeTrackStatus {
            request: peer(3, 0),
            track: TrackId(0)
        }]
    );
    let asked = tag(&world.feed(status(3, 1, "live/other")));
    let ok = RequestOk::default();
    let outputs = world.feed(Input::Accepted {
        tag: asked,
        answer: Answer::TrackStatus(ok.clone()),
    });
    assert_eq!(
        outputs,
        [Output::AnswerTrackStatus {
            request: peer(3, 1),
            ok
        }]
    );
    let asked = tag(&world.feed(status(3, 2, "live/other")));
    let outputs = world.refuse(asked, RequestErrorCode::DOES_NOT_EXIST);
    assert_eq!(
        rejected(&outputs),
        [(peer(3, 2), RequestErrorCode::DOES_NOT_EXIST)]
    );
}
