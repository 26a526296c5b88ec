//! Subscribers, publishers of namespaces, and the time between.

use headwater_pubsub::wire::Filter;

use super::*;

/// Session 1 published `live`, session 2 subscribes to a track there and is served.
fn watched() -> (World, Tag) {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.up(3, "viewer");
    world.announce(1, 0, "live");
    let asked = tag(&world.subscribe(2, 0, &track("live/cam")));
    assert_eq!(served(&world.accept(asked)), [peer(2, 0)]);
    (world, asked)
}

#[test]
fn a_subscription_goes_upstream_with_our_own_parameters() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.announce(1, 0, "live");
    let parameters = Parameters {
        subscriber_priority: Some(3),
        object_delivery_timeout_ms: Some(50),
        forward: Some(false),
        filter: Some(Filter::NextGroupStart),
        new_group_request: Some(7),
        rendezvous_timeout_ms: Some(1000),
        ..Parameters::default()
    };
    let outputs = world.subscribe_with(2, 0, &track("live/cam"), parameters.clone());
    let Some(Output::Open {
        session,
        tag,
        request: Outgoing::Subscribe {
            parameters: upstream, ..
        },
    }) = outputs.last()
    else {
        panic!("{outputs:?}");
    };
    assert_eq!(*session, SessionId(1));
    let expected = Parameters {
        forward: Some(true),
        new_group_request: Some(7),
        ..Parameters::default()
    };
    assert_eq!(*upstream, expected);
    let tag = *tag;
    let outputs = world.accept(tag);
    assert!(
        outputs.contains(&Output::ServeSubscribe {
            request: peer(2, 0),
            track: TrackId(0),
            parameters
        }),
        "{outputs:?}"
    );
}

#[test]
fn many_subscribers_share_one_upstream_subscription() {
    let (mut world, _) = watched();
    let outputs = world.subscribe(3, 0, &track("live/cam"));
    assert_eq!((opened(&outputs), served(&outputs)), (vec![], vec![peer(3, 0)]));
}

#[test]
fn every_publisher_of_a_matching_prefix_is_asked_and_the_first_to_accept_is_enough() {
    let mut world = World::new();
    for session in 1..=3 {
        world.up(session, "alice");
    }
    world.up(4, "viewer");
    world.announce(1, 0, "live");
    world.announce(2, 0, "live/cam");
    world.announce(3, 0, "livecam");
    let outputs = world.subscribe(4, 0, &track("live/cam/video"));
    let [(1, first), (2, second)] = opened(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(served(&world.accept(second)), [peer(4, 0)]);
    assert_eq!(world.refuse(first, RequestErrorCode::DOES_NOT_EXIST), []);
}

#[test]
fn without_a_publisher_the_answer_is_does_not_exist_at_once() {
    let mut world = World::new();
    world.up(1, "viewer");
    let outputs = world.subscribe(1, 0, &track("live/cam"));
    assert_eq!(
        rejected(&outputs),
        [(peer(1, 0), RequestErrorCode::DOES_NOT_EXIST)]
    );
    assert!(world.hub.tracks().next().is_none());
}

#[test]
fn when_all_refuse_the_most_useful_code_is_passed_down() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "alice");
    world.up(3, "viewer");
    world.announce(1, 0, "live");
    world.announce(2, 0, "live");
    let outputs = world.subscribe(3, 0, &track("live/cam"));
    let [(_, first), (_, second)] = opened(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(world.refuse(first, RequestErrorCode::UNAUTHORIZED), []);
    let outputs = world.refuse(second, RequestErrorCode::DOES_NOT_EXIST);
    assert_eq!(rejected(&outputs), [(peer(3, 0), RequestErrorCode::UNAUTHORIZED)]);
}

#[test]
fn a_publisher_that_refused_is_left_in_peace_for_a_second() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.announce(1, 0, "live");
    let asked = tag(&world.subscribe(2, 0, &track("live/cam")));
    world.refuse(asked, RequestErrorCode::DOES_NOT_EXIST);
    let outputs = world.subscribe(2, 1, &track("live/cam"));
    assert_eq!(
        rejected(&outputs),
        [(peer(2, 1), RequestErrorCode::DOES_NOT_EXIST)]
    );
    assert_eq!(opened(&outputs), []);
    world.pass(Duration::from_secs(1));
    assert_eq!(opened(&world.subscribe(2, 2, &track("live/cam"))).len(), 1);
}

#[test]
fn a_publisher_that_never_answers_counts_as_timeout() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.announce(1, 0, "live");
    let asked = tag(&world.subscribe(2, 0, &track("live/cam")));
    let outputs = world.pass(Duration::from_secs(10));
    assert_eq!(rejected(&outputs), [(peer(2, 0), RequestErrorCode::TIMEOUT)]);
    let closed = RequestRef::Hub(SessionId(1), asked);
    assert!(
        outputs
            .iter()
            .any(|o| matches!(o, Output::Close { request, .. } if *request == closed))
    );
    assert_eq!(world.accept(asked), [], "the answer comes too late");
}

#[test]
fn a_waiting_subscriber_is_served_by_whoever_appears() {
    let mut world = World::new();
    world.up(1, "viewer");
    world.up(2, "alice");
    assert_eq!(
        world.subscribe_with(1, 0, &track("live/cam"), rendezvous(5000)),
        []
    );
    world.pass(Duration::from_secs(4));
    let asked = tag(&world.announce(2, 0, "live"));
    assert_eq!(served(&world.accept(asked)), [peer(1, 0)]);
    assert_eq!(rejected(&world.pass(Duration::from_secs(60))), []);
}

#[test]
fn a_waiting_subscriber_is_told_when_the_time_is_over() {
    let mut world = World::new();
    world.up(1, "viewer");
    world.subscribe_with(1, 0, &track("live/cam"), rendezvous(5000));
    assert_eq!(rejected(&world.pass(Duration::from_millis(4999))), []);
    assert_eq!(
        rejected(&world.pass(Duration::from_millis(1))),
        [(peer(1, 0), RequestErrorCode::TIMEOUT)]
    );
}

#[test]
fn a_publisher_that_has_the_track_only_later_is_asked_again_while_someone_waits() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.announce(1, 0, "live");
    let first = tag(&world.subscribe_with(2, 0, &track("live/cam"), rendezvous(60_000)));
    assert_eq!(
        rejected(&world.refuse(first, RequestErrorCode::DOES_NOT_EXIST)),
        []
    );
    let second = tag(&world.pass(Duration::from_secs(1)));
    world.refuse(second, RequestErrorCode::DOES_NOT_EXIST);
    assert_eq!(
        opened(&world.pass(Duration::from_millis(1999))),
        [],
        "the pause doubles"
    );
    let third = tag(&world.pass(Duration::from_millis(1)));
    assert_eq!(served(&world.accept(third)), [peer(2, 0)]);
}

#[test]
fn the_upstream_subscription_outlives_the_last_subscriber_by_two_seconds() {
    let (mut world, asked) = watched();
    assert_eq!(world.cancel(peer(2, 0)), []);
    assert_eq!(world.pass(Duration::from_millis(1999)), []);
    let outputs = world.pass(Duration::from_millis(1));
    let upstream = RequestRef::Hub(SessionId(1), asked);
    let [
        Output::Close { request, .. },
        Output::TrackDropped { track: TrackId(0) },
    ] = outputs[..]
    else {
        panic!("{outputs:?}");
    };
    assert_eq!(request, upstream);
}

#[test]
fn a_subscriber_who_returns_in_time_finds_the_track_warm() {
    let (mut world, _) = watched();
    world.cancel(peer(2, 0));
    world.pass(Duration::from_secs(1));
    assert_eq!(served(&world.subscribe(3, 0, &track("live/cam"))), [peer(3, 0)]);
    assert_eq!(world.pass(Duration::from_secs(10)), []);
}

#[test]
fn when_the_only_publisher_leaves_its_tracks_end_and_the_next_one_serves_who_waits() {
    let (mut world, _) = watched();
    let outputs = world.down(1);
    assert_eq!(ended(&outputs), [PublishDoneCode::INTERNAL_ERROR]);
    assert_eq!(outputs.last(), Some(&Output::TrackDropped { track: TrackId(0) }));
    assert_eq!(
        world.subscribe_with(2, 1, &track("live/cam"), rendezvous(9000)),
        []
    );
    world.up(4, "alice");
    let asked = tag(&world.announce(4, 0, "live"));
    let outputs = world.accept(asked);
    assert_eq!(served(&outputs), [peer(2, 1)]);
    assert_eq!(
        world.hub.track(&track("live/cam")),
        Some(TrackId(1)),
        "a new life"
    );
}

#[test]
fn a_newcomer_under_a_live_track_is_subscribed_to_and_carries_on_alone() {
    let (mut world, first) = watched();
    world.up(4, "alice");
    let outputs = world.announce(4, 0, "live");
    assert_eq!(opened(&outputs).len(), 1);
    world.accept(tag(&outputs));
    assert_eq!(ended(&world.finish(RequestRef::Hub(SessionId(1), first))), []);
    assert_eq!(ended(&world.down(4)), [PublishDoneCode::INTERNAL_ERROR]);
}

#[test]
fn only_a_publisher_that_says_so_ends_its_track() {
    for (said, told) in [
        (PublishDoneCode::TRACK_ENDED, PublishDoneCode::TRACK_ENDED),
        (PublishDoneCode::SUBSCRIPTION_ENDED, PublishDoneCode::TRACK_ENDED),
        (PublishDoneCode::INTERNAL_ERROR, PublishDoneCode::INTERNAL_ERROR),
        (PublishDoneCode::GOING_AWAY, PublishDoneCode::INTERNAL_ERROR),
        (PublishDoneCode::TOO_FAR_BEHIND, PublishDoneCode::INTERNAL_ERROR),
        (PublishDoneCode::MALFORMED_TRACK, PublishDoneCode::MALFORMED_TRACK),
    ] {
        let (mut world, asked) = watched();
        let outputs = world.finish_with(RequestRef::Hub(SessionId(1), asked), said);
        assert_eq!(ended(&outputs), [told], "{said}");
    }
}

#[test]
fn a_malformed_source_ends_the_track_for_all() {
    let (mut world, asked) = watched();
    let outputs = world.feed(Input::Malformed {
        request: RequestRef::Hub(SessionId(1), asked),
    });
    assert_eq!(ended(&outputs), [PublishDoneCode::MALFORMED_TRACK]);
    assert!(matches!(outputs[0], Output::Close { .. }), "{outputs:?}");
    let outputs = world.subscribe(2, 1, &track("live/cam"));
    assert_eq!(
        rejected(&outputs),
        [(peer(2, 1), RequestErrorCode::MALFORMED_TRACK)]
    );
}

#[test]
fn upstream_stops_only_when_nobody_wants_objects() {
    let (mut world, asked) = watched();
    let upstream = RequestRef::Hub(SessionId(1), asked);
    world.subscribe(3, 0, &track("live/cam"));
    assert_eq!(forwards(&world.update(peer(2, 0), forward(false))), []);
    assert_eq!(
        forwards(&world.update(peer(3, 0), forward(false))),
        [(upstream, Some(false))]
    );
    world.answer_update(upstream);
    let outputs = world.update(peer(2, 0), forward(true));
    assert_eq!(
        outputs,
        [Output::Update {
            request: upstream,
            parameters: forward(true)
        }]
    );
    assert_eq!(
        world.answer_update(upstream),
        [Output::ApplyUpdate {
            request: peer(2, 0),
            parameters: forward(true)
        }],
        "the joining location is known only now"
    );
}

#[test]
fn a_second_subscription_to_a_track_in_a_session_is_refused() {
    let (mut world, _) = watched();
    let outputs = world.subscribe(2, 1, &track("live/cam"));
    assert_eq!(
        rejected(&outputs),
        [(peer(2, 1), RequestErrorCode::DUPLICATE_SUBSCRIPTION)]
    );
}

#[test]
fn a_publisher_may_subscribe_to_its_own_track() {
    let mut world = World::new();
    world.up(1, "alice");
    world.announce(1, 0, "live");
    let asked = tag(&world.subscribe(1, 1, &track("live/cam")));
    assert_eq!(served(&world.accept(asked)), [peer(1, 1)]);
}

#[test]
fn a_new_group_is_asked_for_once_until_it_comes() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.announce(1, 0, "live");
    let asked = tag(&world.subscribe(2, 0, &track("live/cam")));
    world.feed(Input::Accepted {
        tag: asked,
        answer: Answer::Subscribe { dynamic_groups: true },
    });
    let want = |value| Parameters {
        new_group_request: Some(value),
        ..Parameters::default()
    };
    let watch = |watch| Output::WatchLargestGroup {
        track: TrackId(0),
        watch,
    };
    assert!(world.update(peer(2, 0), want(5)).contains(&watch(true)));
    let report = |group| Input::LargestGroup {
        track: TrackId(0),
        group: Some(group),
    };
    let outputs = world.feed(report(4));
    let upstream = RequestRef::Hub(SessionId(1), asked);
    assert_eq!(
        outputs,
        [Output::Update {
            request: upstream,
            parameters: want(5)
        }]
    );
    assert_eq!(
        forwards(&world.update(peer(2, 0), want(0))),
        [],
        "one is outstanding"
    );
    assert_eq!(world.feed(report(5)), [watch(false)]);
    world.update(peer(2, 0), want(3));
    assert_eq!(
        world.feed(report(5)),
        [watch(false)],
        "the subscriber's view is old"
    );
}

#[test]
fn nothing_new_is_asked_of_a_peer_that_sent_goaway() {
    let (mut world, _) = watched();
    world.feed(Input::SessionGoaway {
        session: SessionId(1),
    });
    let outputs = world.subscribe(3, 0, &track("live/other"));
    assert_eq!(
        rejected(&outputs),
        [(peer(3, 0), RequestErrorCode::DOES_NOT_EXIST)]
    );
    assert_eq!(served(&world.subscribe(3, 1, &track("live/cam"))), [peer(3, 1)]);
}

#[test]
fn a_draining_node_refuses_what_is_new_and_goes_on_with_the_rest() {
    let (mut world, asked) = watched();
    world.subscribe_with(3, 0, &track("later/cam"), rendezvous(9000));
    let outputs = world.feed(Input::GoingAway);
    assert_eq!(rejected(&outputs), [(peer(3, 0), RequestErrorCode::GOING_AWAY)]);
    let outputs = world.subscribe(3, 1, &track("live/cam"));
    assert_eq!(rejected(&outputs), [(peer(3, 1), RequestErrorCode::GOING_AWAY)]);
    assert_eq!(
        ended(&world.finish(RequestRef::Hub(SessionId(1), asked))),
        [PublishDoneCode::TRACK_ENDED]
    );
}

#[test]
fn reserved_namespaces_do_not_exist() {
    let mut world = World::new();
    world.up(1, "alice");
    world.announce(1, 0, "");
    for (key, name) in [(1, "./x"), (2, ".session/x")] {
        let outputs = world.subscribe(1, key, &track(name));
        assert_eq!(
            rejected(&outputs),
            [(peer(1, key), RequestErrorCode::DOES_NOT_EXIST)]
        );
    }
}

#[test]
fn beyond_the_limits_a_session_is_told_when_to_come_again() {
    let mut world = World::with(HubConfig {
        rendezvous_waiting: 1,
        subscriptions: 2,
        ..HubConfig::default()
    });
    world.up(1, "viewer");
    assert_eq!(world.subscribe_with(1, 0, &track("a/1"), rendezvous(9000)), []);
    let outputs = world.subscribe_with(1, 1, &track("a/2"), rendezvous(9000));
    let [Output::Reject { error, .. }] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(
        (error.code, error.retry_after_ms),
        (RequestErrorCode::EXCESSIVE_LOAD, Some(1000))
    );
    world.cancel(peer(1, 0));
    assert_eq!(world.subscribe_with(1, 2, &track("a/2"), rendezvous(9000)), []);
}
