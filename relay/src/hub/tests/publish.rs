//! PUBLISH from publishers, and to those who asked for tracks.

use super::*;

fn subscribe_tracks(world: &mut World, session: u64, key: u64, prefix: &str) -> Vec<Output> {
    let (session, key, prefix) = (SessionId(session), RequestKey(key), ns(prefix));
    world.feed(Input::SubscribeTracks {
        session,
        key,
        prefix,
        parameters: Parameters::default(),
    })
}

fn accept_offer(world: &mut World, tag: Tag, parameters: Parameters) -> Vec<Output> {
    world.feed(Input::Accepted {
        tag,
        answer: Answer::Publish { parameters },
    })
}

fn accepted_with(outputs: &[Output]) -> Option<bool> {
    outputs.iter().find_map(|output| match output {
        Output::AcceptPublish { forward, .. } => Some(*forward),
        _ => None,
    })
}

#[test]
fn a_published_track_flows_only_while_somebody_listens() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    let outputs = world.publish(1, 0, &track("live/cam"));
    assert_eq!(accepted_with(&outputs), Some(false));

    let outputs = world.subscribe(2, 0, &track("live/cam"));
    assert_eq!(
        outputs,
        [Output::Update {
            request: peer(1, 0),
            parameters: forward(true)
        }]
    );
    assert_eq!(served(&world.answer_update(peer(1, 0))), [peer(2, 0)]);

    assert_eq!(world.cancel(peer(2, 0)), []);
    assert_eq!(
        forwards(&world.pass(Duration::from_secs(2))),
        [(peer(1, 0), Some(false))]
    );
    assert_eq!(world.pass(Duration::from_secs(60)), []);
    assert_eq!(world.hub.tracks().count(), 1);
}

#[test]
fn a_publisher_that_never_confirms_an_update_does_not_hold_its_subscribers_for_ever() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.publish(1, 0, &track("live/cam"));
    world.subscribe(2, 0, &track("live/cam"));
    assert_eq!(served(&world.pass(Duration::from_secs(10))), [peer(2, 0)]);
}

#[test]
fn a_waiting_subscriber_is_served_and_not_offered_the_track() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    subscribe_tracks(&mut world, 2, 0, "live");
    world.subscribe_with(2, 1, &track("live/cam"), rendezvous(5000));
    let outputs = world.publish(1, 0, &track("live/cam"));
    assert_eq!(accepted_with(&outputs), Some(true));
    assert_eq!((served(&outputs), opened(&outputs)), (vec![peer(2, 1)], vec![]));
}

#[test]
fn tracks_are_offered_to_who_asked_for_them_before_or_after_but_not_to_their_publisher() {
    let mut world = World::new();
    for session in 1..=4 {
        world.up(session, "alice");
    }
    subscribe_tracks(&mut world, 1, 0, "");
    subscribe_tracks(&mut world, 2, 0, "live");
    subscribe_tracks(&mut world, 3, 0, "liv");
    let outputs = world.publish(1, 1, &track("live/cam"));
    assert_eq!(
        accepted_with(&outputs),
        Some(true),
        "who was offered the track will want its objects"
    );
    let [(2, offer)] = opened(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    let request = RequestRef::Hub(SessionId(2), offer);
    assert_eq!(
        served(&accept_offer(&mut world, offer, Parameters::default())),
        [request]
    );
    let outputs = subscribe_tracks(&mut world, 4, 0, "live");
    assert_eq!(outputs[0], Output::Accept { request: peer(4, 0) });
    assert_eq!(
        opened(&outputs)
            .iter()
            .map(|(session, _)| *session)
            .collect::<Vec<_>>(),
        [4]
    );
}

#[test]
fn a_second_publisher_of_a_track_is_not_offered_again() {
    let mut world = World::new();
    for session in 1..=3 {
        world.up(session, "alice");
    }
    subscribe_tracks(&mut world, 3, 0, "live");
    let offer = tag(&world.publish(1, 0, &track("live/cam")));
    accept_offer(&mut world, offer, Parameters::default());
    assert_eq!(opened(&world.publish(2, 0, &track("live/cam"))), []);
    assert_eq!(ended(&world.down(1)), []);
    assert_eq!(ended(&world.down(2)), [PublishDoneCode::INTERNAL_ERROR]);
    assert_eq!(
        opened(&world.subscribe(3, 1, &track("live/cam"))),
        [],
        "its subscription is over"
    );
}

#[test]
fn the_end_that_a_publisher_tells_outlasts_its_own_dead_session() {
    let mut world = World::new();
    for session in 1..=3 {
        world.up(session, "alice");
    }
    world.publish(1, 0, &track("live/cam"));
    world.subscribe(3, 0, &track("live/cam"));
    // Session 1 is dead, which shows later; its publisher is back.
    world.publish(2, 0, &track("live/cam"));
    assert_eq!(ended(&world.finish(peer(2, 0))), []);
    assert_eq!(ended(&world.down(1)), [PublishDoneCode::TRACK_ENDED]);
}

#[test]
fn an_end_told_before_another_publisher_came_does_not_count() {
    let mut world = World::new();
    for session in 1..=4 {
        world.up(session, "alice");
    }
    world.publish(1, 0, &track("live/cam"));
    world.publish(2, 0, &track("live/cam"));
    world.subscribe(4, 0, &track("live/cam"));
    world.finish(peer(2, 0));
    world.publish(3, 0, &track("live/cam"));
    assert_eq!(ended(&world.down(1)), []);
    assert_eq!(ended(&world.down(3)), [PublishDoneCode::INTERNAL_ERROR]);
}

#[test]
fn publish_blocked_is_said_once_and_the_track_never_offered_again() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    subscribe_tracks(&mut world, 2, 0, "live");
    let offer = tag(&world.publish(1, 0, &track("live/a/cam")));
    let outputs = world.feed(Input::Blocked { tag: offer });
    let name = TrackName::new("cam").unwrap();
    assert_eq!(
        outputs,
        [Output::PublishBlocked {
            request: peer(2, 0),
            suffix: ns("a"),
            name
        }]
    );
    world.cancel(peer(1, 0));
    assert_eq!(opened(&world.publish(1, 1, &track("live/a/cam"))), []);
}

#[test]
fn an_offer_not_answered_when_the_track_ends_is_ended_too() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    subscribe_tracks(&mut world, 2, 0, "live");
    let offer = tag(&world.publish(1, 0, &track("live/cam")));
    let outputs = world.finish(peer(1, 0));
    let request = RequestRef::Hub(SessionId(2), offer);
    let (code, reason) = (PublishDoneCode::TRACK_ENDED, "bye".to_owned());
    assert_eq!(
        outputs[0],
        Output::EndSubscription {
            request,
            code,
            reason
        }
    );
    assert_eq!(accept_offer(&mut world, offer, Parameters::default()), []);
}

#[test]
fn a_paused_track_is_offered_once_its_largest_object_is_known_again() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.publish(1, 0, &track("live/cam"));
    let outputs = subscribe_tracks(&mut world, 2, 0, "live");
    assert_eq!(
        outputs,
        [
            Output::Accept { request: peer(2, 0) },
            Output::Update {
                request: peer(1, 0),
                parameters: forward(true)
            }
        ],
        "a PUBLISH now would state the largest object of before the pause"
    );
    assert_eq!(world.pass(Duration::from_secs(5)), [], "it is wanted");
    let offer = tag(&world.answer_update(peer(1, 0)));
    let request = RequestRef::Hub(SessionId(2), offer);
    assert_eq!(
        served(&accept_offer(&mut world, offer, Parameters::default())),
        [request]
    );
    assert_eq!(world.answer_update(peer(1, 0)), [], "it is offered once");
}

#[test]
fn a_paused_track_rests_again_when_whom_it_was_for_has_gone() {
    for moved in [false, true] {
        let mut world = World::new();
        world.up(1, "alice");
        world.up(2, "viewer");
        world.publish(1, 0, &track("live/cam"));
        subscribe_tracks(&mut world, 2, 0, "live");
        if moved {
            let parameters = Parameters {
                track_namespace_prefix: Some(ns("other")),
                ..Parameters::default()
            };
            world.update(peer(2, 0), parameters);
        } else {
            world.cancel(peer(2, 0));
        }
        assert_eq!(opened(&world.answer_update(peer(1, 0))), []);
        assert_eq!(
            forwards(&world.pass(Duration::from_secs(2))),
            [(peer(1, 0), Some(false))]
        );
    }
}

#[test]
fn a_track_offered_without_objects_is_offered_at_once() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.publish(1, 0, &track("live/cam"));
    let outputs = world.feed(Input::SubscribeTracks {
        session: SessionId(2),
        key: RequestKey(0),
        prefix: ns("live"),
        parameters: forward(false),
    });
    assert_eq!((opened(&outputs).len(), forwards(&outputs)), (1, vec![]));
}

#[test]
fn a_publish_that_crosses_our_subscribe_takes_its_place() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.announce(1, 0, "live");
    let asked = tag(&world.subscribe(2, 0, &track("live/cam")));
    let outputs = world.publish(1, 1, &track("live/cam"));
    assert!(
        matches!(outputs[0], Output::Close { request: RequestRef::Hub(_, tag), .. } if tag == asked),
        "{outputs:?}"
    );
    assert_eq!(
        (accepted_with(&outputs), served(&outputs)),
        (Some(true), vec![peer(2, 0)])
    );
}

#[test]
fn a_subscribe_refused_because_of_a_crossing_publish_waits_for_it() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.announce(1, 0, "live");
    let asked = tag(&world.subscribe(2, 0, &track("live/cam")));
    assert_eq!(world.refuse(asked, RequestErrorCode::DUPLICATE_SUBSCRIPTION), []);
    assert_eq!(served(&world.publish(1, 1, &track("live/cam"))), [peer(2, 0)]);

    let asked = tag(&world.subscribe(2, 1, &track("live/other")));
    world.refuse(asked, RequestErrorCode::DUPLICATE_SUBSCRIPTION);
    let outputs = world.pass(Duration::from_secs(1));
    assert_eq!(
        rejected(&outputs),
        [(peer(2, 1), RequestErrorCode::DOES_NOT_EXIST)]
    );
}

#[test]
fn a_track_belongs_to_the_identity_that_feeds_it() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "mallory");
    world.publish(1, 0, &track("live/cam"));
    let outputs = world.publish(2, 0, &track("live/cam"));
    assert_eq!(rejected(&outputs), [(peer(2, 0), RequestErrorCode::UNAUTHORIZED)]);
    assert_eq!(
        rejected(&world.announce(2, 1, "live")),
        [(peer(2, 1), RequestErrorCode::UNAUTHORIZED)]
    );
    assert_eq!(rejected(&world.publish(2, 2, &track("live/mine"))), []);
    let outputs = world.publish(1, 1, &track("live/cam"));
    assert_eq!(
        rejected(&outputs),
        [(peer(1, 1), RequestErrorCode::DUPLICATE_SUBSCRIPTION)]
    );
}

#[test]
fn who_may_only_subscribe_cannot_publish() {
    let mut world = World::new();
    let identity = Identity(Bytes::new());
    world.feed(Input::SessionUp {
        session: SessionId(1),
        identity,
        rights: Rights::Subscribe,
    });
    let outputs = world.publish(1, 0, &track("live/cam"));
    assert_eq!(rejected(&outputs), [(peer(1, 0), RequestErrorCode::UNAUTHORIZED)]);
    assert_eq!(
        rejected(&world.announce(1, 1, "live")),
        [(peer(1, 1), RequestErrorCode::UNAUTHORIZED)]
    );
}

#[test]
fn a_refused_update_ends_the_upstream_subscription() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "viewer");
    world.publish(1, 0, &track("live/cam"));
    world.subscribe(2, 0, &track("live/cam"));
    let error = RequestError {
        code: RequestErrorCode::NOT_SUPPORTED,
        retry_after_ms: None,
        reason: String::new(),
        redirect: None,
    };
    let outputs = world.feed(Input::UpdateAnswered {
        request: peer(1, 0),
        result: Err(error),
    });
    assert_eq!(
        rejected(&outputs),
        [(peer(2, 0), RequestErrorCode::DOES_NOT_EXIST)]
    );
    assert!(outputs.contains(&Output::TrackDropped { track: TrackId(0) }));
}
