//! Tracks of other nodes: pulled from where the overlay says, kept apart by origin, joined for clients.

use headwater_pubsub::wire::StreamCode;

use super::*;
use crate::overlay::id::NodeId;
use crate::overlay::message::Entry;

const NEAR: Origin = Origin::Node(NodeId([1; 32]));
const FAR: Origin = Origin::Node(NodeId([2; 32]));

fn name() -> FullTrackName {
    track("live/cam")
}

fn wanted(outputs: &[Output]) -> Option<TrackId> {
    outputs.iter().find_map(|output| match output {
        Output::Want { track, .. } => Some(*track),
        _ => None,
    })
}

/// The sessions that are asked for the track, with their tags.
fn asked(outputs: &[Output]) -> Vec<(u64, Tag)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Open {
                session,
                tag,
                request: Outgoing::Subscribe { .. },
            } => Some((session.0, *tag)),
            _ => None,
        })
        .collect()
}

fn served(outputs: &[Output]) -> usize {
    outputs
        .iter()
        .filter(|output| matches!(output, Output::ServeSubscribe { .. }))
        .count()
}

fn pin(world: &mut World, origin: Origin) -> Vec<Output> {
    let name = name();
    world.feed(Input::Pin { name, origin })
}

fn upstream(world: &mut World, track: TrackId, session: u64, wanted: bool) -> Vec<Output> {
    let session = SessionId(session);
    world.feed(Input::Upstream {
        track,
        session,
        wanted,
    })
}

/// A client (1) that is served a track of the origin `NEAR` by neighbour 7; neighbour 8 stands by.
fn watching() -> (World, TrackId, Tag) {
    let mut world = World::new();
    world.up(1, "client");
    world.up(7, "neighbour");
    world.up(8, "other neighbour");
    assert_eq!(pin(&mut world, NEAR), []);
    let outputs = world.subscribe(1, 0, &name());
    let id = wanted(&outputs).expect("the overlay is asked");
    let outputs = upstream(&mut world, id, 7, true);
    let [(7, tag)] = asked(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    let outputs = world.accept(tag);
    assert_eq!(served(&outputs), 1);
    assert!(outputs.contains(&Output::Upstream {
        track: id,
        session: SessionId(7),
        state: UpstreamState::Established
    }));
    (world, id, tag)
}

#[test]
fn a_client_is_served_through_the_neighbour_that_the_overlay_names() {
    let (mut world, id, _) = watching();
    let key = RequestKey(0);
    let request = RequestRef::Peer(SessionId(1), key);
    world.feed(Input::Cancelled { request });
    let outputs = world.pass(Duration::from_secs(3));
    assert!(outputs.contains(&Output::Unwant { track: id }));
    assert!(outputs.contains(&Output::TrackDropped { track: id }));
    // The pin went with the track.
    assert!(wanted(&world.subscribe(1, 1, &name())).is_none());
}

#[test]
fn the_next_neighbour_is_asked_before_the_first_is_left() {
    let (mut world, id, old) = watching();
    let outputs = upstream(&mut world, id, 8, true);
    let [(8, tag)] = asked(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(served(&world.accept(tag)), 0);
    let outputs = upstream(&mut world, id, 7, false);
    let closed = RequestRef::Hub(SessionId(7), old);
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Close { request, .. } if *request == closed))
    );
}

#[test]
fn a_neighbour_that_sends_the_subscription_elsewhere_serves_until_another_does() {
    let (mut world, id, old) = watching();
    let request = RequestRef::Hub(SessionId(7), old);
    let outputs = world.feed(Input::RequestGoaway { request });
    let left = Output::Upstream {
        track: id,
        session: SessionId(7),
        state: UpstreamState::Left,
    };
    assert_eq!(outputs, [left], "the overlay is to name another");
    let outputs = upstream(&mut world, id, 8, true);
    let [(8, tag)] = asked(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    let closes = |output: &Output| matches!(output, Output::Close { request: closed, code } if *closed == request && *code == StreamCode::GOING_AWAY);
    assert!(!outputs.iter().any(closes), "not before the new one is there");
    assert!(world.accept(tag).iter().any(closes));
    assert_eq!(world.pass(Duration::from_secs(20)), []);
}

#[test]
fn a_neighbour_that_sends_the_subscription_elsewhere_is_asked_again_if_there_is_no_other() {
    let (mut world, id, old) = watching();
    let request = RequestRef::Hub(SessionId(7), old);
    world.feed(Input::RequestGoaway { request });
    let outputs = upstream(&mut world, id, 7, true);
    let [(7, tag)] = asked(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert!(
        matches!(outputs[0], Output::Close { request: closed, code: StreamCode::GOING_AWAY } if closed == request),
        "a session has one of a track"
    );
    // It has not heard of the end of the old one yet.
    assert_eq!(world.refuse(tag, RequestErrorCode::DUPLICATE_SUBSCRIPTION), []);
    let again = world.pass(Duration::from_millis(50));
    let [(7, tag)] = asked(&again)[..] else {
        panic!("{again:?}")
    };
    let established = Output::Upstream {
        track: id,
        session: SessionId(7),
        state: UpstreamState::Established,
    };
    assert_eq!(world.accept(tag), [established]);
    assert_eq!(world.pass(Duration::from_secs(20)), []);
}

#[test]
fn a_neighbour_that_keeps_sending_the_subscription_elsewhere_serves_it_until_it_ends_it() {
    let (mut world, id, mut tag) = watching();
    for _ in 0..5 {
        tag = asked_again(&mut world, id, tag);
        world.accept(tag);
    }
    let request = RequestRef::Hub(SessionId(7), tag);
    assert_eq!(world.feed(Input::RequestGoaway { request }), []);
    let left = Output::Upstream {
        track: id,
        session: SessionId(7),
        state: UpstreamState::Left,
    };
    assert!(world.feed(Input::Cancelled { request }).contains(&left));
    // After a longer stay it is believed once more.
    world.pass(Duration::from_secs(5));
    let [(7, tag)] = asked(&upstream(&mut world, id, 7, true))[..] else {
        panic!("not asked")
    };
    world.accept(tag);
    world.pass(Duration::from_secs(5));
    let request = RequestRef::Hub(SessionId(7), tag);
    assert_eq!(world.feed(Input::RequestGoaway { request }), [left]);
}

#[test]
fn a_neighbour_is_not_asked_again_while_another_has_not_answered() {
    let (mut world, id, old) = watching();
    let request = RequestRef::Hub(SessionId(7), old);
    world.feed(Input::RequestGoaway { request });
    let [(8, other)] = asked(&upstream(&mut world, id, 8, true))[..] else {
        panic!("not asked")
    };
    assert_eq!(upstream(&mut world, id, 7, true), [], "it serves on");
    let outputs = world.refuse(other, RequestErrorCode::INTERNAL_ERROR);
    assert!(matches!(asked(&outputs)[..], [(7, _)]), "{outputs:?}");
}

#[test]
fn a_neighbour_that_sent_the_subscription_elsewhere_instead_of_an_answer_is_asked_again() {
    let (mut world, id, old) = watching();
    let again = asked_again(&mut world, id, old);
    asked_again(&mut world, id, again);
}

/// Neighbour 7 sent the subscription elsewhere and was asked again.
fn asked_again(world: &mut World, id: TrackId, old: Tag) -> Tag {
    let request = RequestRef::Hub(SessionId(7), old);
    world.feed(Input::RequestGoaway { request });
    let outputs = upstream(world, id, 7, true);
    let [(7, tag)] = asked(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    tag
}

fn track_ended(outputs: &[Output]) -> bool {
    outputs
        .iter()
        .any(|output| matches!(output, Output::TrackEnded { .. }))
}

#[test]
fn a_neighbour_that_refuses_to_be_asked_again_is_not_the_end_of_the_track() {
    let (mut world, id, old) = watching();
    let again = asked_again(&mut world, id, old);
    let refused = Output::Upstream {
        track: id,
        session: SessionId(7),
        state: UpstreamState::Refused,
    };
    assert_eq!(
        world.refuse(again, RequestErrorCode::INTERNAL_ERROR),
        [refused],
        "the overlay is to name another"
    );
    assert!(!track_ended(&world.pass(Duration::from_secs(9))));
    let outputs = upstream(&mut world, id, 8, true);
    let [(8, other)] = asked(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    world.accept(other);
    assert_eq!(world.pass(Duration::from_secs(20)), []);
}

#[test]
fn what_a_neighbour_refused_is_not_remembered_against_the_next_one() {
    let (mut world, id, old) = watching();
    let again = asked_again(&mut world, id, old);
    let outputs = upstream(&mut world, id, 8, true);
    let [(8, other)] = asked(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    world.accept(other);
    world.refuse(again, RequestErrorCode::INTERNAL_ERROR);
    assert!(!track_ended(&world.down(8)), "it may come back");
    assert!(!track_ended(&world.pass(Duration::from_secs(9))));
}

#[test]
fn a_lost_neighbour_is_told_and_the_client_kept_for_ten_seconds() {
    let (mut world, id, _) = watching();
    let outputs = world.down(7);
    assert!(outputs.contains(&Output::Upstream {
        track: id,
        session: SessionId(7),
        state: UpstreamState::Left
    }));
    let outputs = world.pass(Duration::from_secs(9));
    assert!(
        !outputs
            .iter()
            .any(|output| matches!(output, Output::TrackEnded { .. }))
    );
    let outputs = upstream(&mut world, id, 8, true);
    let [(8, tag)] = asked(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    world.accept(tag);
    assert!(
        !world
            .pass(Duration::from_secs(20))
            .iter()
            .any(|output| matches!(output, Output::TrackEnded { .. }))
    );
    world.down(8);
    let ended = world.pass(Duration::from_secs(11));
    assert!(ended.iter().any(
        |output| matches!(output, Output::TrackEnded { track, code, .. } if *track == id && *code == PublishDoneCode::INTERNAL_ERROR)
    ));
}

#[test]
fn the_origins_word_ends_the_track_at_once() {
    let (mut world, id, tag) = watching();
    let request = RequestRef::Hub(SessionId(7), tag);
    let done = PublishDone {
        code: PublishDoneCode::TRACK_ENDED,
        stream_count: Some(0),
        reason: String::new(),
    };
    let outputs = world.feed(Input::Done { request, done });
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::TrackEnded { track, .. } if *track == id))
    );
}

#[test]
fn a_neighbours_subscription_counts_as_a_child_of_its_origin_and_is_cut_first() {
    let (mut world, id, tag) = watching();
    world.up(9, "child");
    let outputs = world.feed(Input::Subscribe {
        session: SessionId(9),
        key: RequestKey(0),
        track: name(),
        origin: Some(NEAR),
        parameters: Parameters::default(),
    });
    let Origin::Node(origin) = NEAR else {
        unreachable!()
    };
    let child = |present| Output::Child {
        session: SessionId(9),
        origin,
        present,
    };
    assert!(outputs.contains(&child(true)));
    assert_eq!(served(&outputs), 1, "from the same track");
    let request = RequestRef::Hub(SessionId(7), tag);
    world.feed(Input::Cancelled { request });
    let outputs = world.pass(Duration::from_secs(3));
    assert!(outputs.contains(&child(false)));
    let ended = outputs
        .iter()
        .filter(|output| matches!(output, Output::EndServed { .. }))
        .count();
    assert_eq!(ended, 1, "the client stays: {outputs:?}");
    assert!(!outputs.contains(&Output::Unwant { track: id }));
}

#[test]
fn what_is_published_here_and_elsewhere_under_one_name_is_not_mixed() {
    let mut world = World::new();
    world.up(1, "publisher");
    world.up(9, "neighbour");
    world.announce(1, 0, "live");
    let ask = |world: &mut World, key, origin| {
        world.feed(Input::Subscribe {
            session: SessionId(9),
            key: RequestKey(key),
            track: name(),
            origin: Some(origin),
            parameters: Parameters::default(),
        })
    };
    let outputs = ask(&mut world, 0, Origin::Here);
    assert_eq!(asked(&outputs).len(), 1, "the publisher here is asked");
    let outputs = ask(&mut world, 1, FAR);
    assert_eq!(asked(&outputs), [], "and not for the other origin");
    assert!(wanted(&outputs).is_some());
}

#[test]
fn clients_go_on_with_another_origin() {
    let (mut world, id, tag) = watching();
    let outputs = pin(&mut world, FAR);
    assert!(outputs.contains(&Output::TrackMoved { track: id }));
    let closed = RequestRef::Hub(SessionId(7), tag);
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Close { request, .. } if *request == closed))
    );
    assert_eq!(wanted(&outputs), Some(id), "wanted anew, of the other origin");
    let [(8, _)] = asked(&upstream(&mut world, id, 8, true))[..] else {
        panic!("not asked")
    };
}

#[test]
fn a_subscriber_that_waits_is_served_when_the_name_appears_elsewhere() {
    let mut world = World::new();
    world.up(1, "client");
    let parameters = Parameters {
        rendezvous_timeout_ms: Some(60_000),
        ..Parameters::default()
    };
    assert!(wanted(&world.subscribe_with(1, 0, &name(), parameters)).is_none());
    let names: Vec<_> = world
        .hub
        .client_tracks()
        .map(|(name, origin)| (name.clone(), origin))
        .collect();
    assert_eq!(names, [(name(), Origin::Here)]);
    assert!(wanted(&pin(&mut world, NEAR)).is_some());
}

#[test]
fn who_asks_before_the_news_have_come_is_answered_when_they_do_or_a_moment_later() {
    let mut world = World::with(HubConfig {
        announces: true,
        ..HubConfig::default()
    });
    world.up(1, "client");
    assert_eq!(rejected(&world.subscribe(1, 0, &name())), []);
    let outputs = world.pass(Duration::from_millis(500));
    assert_eq!(
        rejected(&outputs),
        [(peer(1, 0), RequestErrorCode::DOES_NOT_EXIST)]
    );
    assert_eq!(rejected(&world.subscribe(1, 1, &name())), []);
    assert!(wanted(&pin(&mut world, NEAR)).is_some());
    // What somebody here publishes, or might, is his to refuse.
    world.up(2, "publisher");
    world.announce(2, 0, "room");
    let outputs = world.subscribe(1, 2, &track("room/cam"));
    let outputs = world.refuse(tag(&outputs), RequestErrorCode::DOES_NOT_EXIST);
    assert_eq!(
        rejected(&outputs),
        [(peer(1, 2), RequestErrorCode::DOES_NOT_EXIST)]
    );
}

#[test]
fn namespaces_here_and_elsewhere_are_one_list() {
    let mut world = World::with(HubConfig {
        announces: true,
        ..HubConfig::default()
    });
    world.up(1, "publisher");
    world.up(2, "reader");
    let (session, key) = (SessionId(2), RequestKey(0));
    let prefix = TrackNamespace::empty();
    world.feed(Input::SubscribeNamespace { session, key, prefix });
    let remote = |world: &mut World, present| {
        let entry = Entry::Namespace(ns("live"));
        world.feed(Input::Remote { entry, present })
    };
    assert!(matches!(remote(&mut world, true)[..], [Output::Namespace { .. }]));
    let outputs = world.announce(1, 0, "live");
    assert!(
        !outputs
            .iter()
            .any(|output| matches!(output, Output::Namespace { .. }))
    );
    assert!(outputs.contains(&Output::Announce {
        entry: Entry::Namespace(ns("live")),
        present: true
    }));
    assert_eq!(remote(&mut world, false), [], "still published here");
    let outputs = world.down(1);
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::NamespaceDone { .. }))
    );
}
