//! SUBSCRIBE_TRACKS and tracks that are published at other nodes.

use super::*;
use crate::overlay::id::NodeId;
use crate::overlay::message::Entry;

const NEAR: Origin = Origin::Node(NodeId([1; 32]));
const FAR: Origin = Origin::Node(NodeId([2; 32]));

fn name() -> FullTrackName {
    track("live/cam")
}

fn remote(world: &mut World, present: bool) -> Vec<Output> {
    let entry = Entry::Track(name());
    world.feed(Input::Remote { entry, present })
}

fn pin(world: &mut World, origin: Origin) -> Vec<Output> {
    let name = name();
    world.feed(Input::Pin { name, origin })
}

fn subscribe_tracks(world: &mut World, session: u64, parameters: Parameters) -> Vec<Output> {
    let (session, key, prefix) = (SessionId(session), RequestKey(0), ns("live"));
    world.feed(Input::SubscribeTracks {
        session,
        key,
        prefix,
        parameters,
    })
}

fn sought(outputs: &[Output]) -> bool {
    outputs.contains(&Output::Seek { name: name() })
}

fn wanted(outputs: &[Output]) -> Option<TrackId> {
    outputs.iter().find_map(|output| match output {
        Output::Want { track, .. } => Some(*track),
        _ => None,
    })
}

/// Has the track pulled from session 7; gives the upstream request and what follows its acceptance.
fn pull(world: &mut World, track: TrackId) -> (Tag, Vec<Output>) {
    let session = SessionId(7);
    let asked = tag(&world.feed(Input::Upstream {
        track,
        session,
        wanted: true,
    }));
    (asked, world.accept(asked))
}

/// A world in which session 1 asked for tracks, and was offered the far one by the hub with this tag.
fn offered(parameters: Parameters) -> (World, TrackId, Tag, Tag, Vec<Output>) {
    let mut world = World::new();
    world.up(1, "client");
    world.up(7, "neighbour");
    subscribe_tracks(&mut world, 1, parameters);
    assert!(sought(&remote(&mut world, true)));
    let id = wanted(&pin(&mut world, NEAR)).expect("the overlay is asked");
    let (asked, outputs) = pull(&mut world, id);
    let [(1, offer)] = opened(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    (world, id, asked, offer, outputs)
}

#[test]
fn a_far_track_is_offered_once_a_neighbour_serves_it() {
    let (mut world, id, _, offer, _) = offered(Parameters::default());
    let answer = Answer::Publish {
        parameters: Parameters::default(),
    };
    let outputs = world.feed(Input::Accepted { tag: offer, answer });
    assert_eq!(served(&outputs), [RequestRef::Hub(SessionId(1), offer)]);
    // Who asks later is offered it at once: it is here.
    world.up(2, "client");
    let outputs = subscribe_tracks(&mut world, 2, Parameters::default());
    assert!(matches!(opened(&outputs)[..], [(2, _)]), "{outputs:?}");
    world.down(1);
    world.down(2);
    assert!(
        world
            .pass(Duration::from_secs(3))
            .contains(&Output::TrackDropped { track: id })
    );
}

#[test]
fn tracks_that_are_published_already_are_sought_at_once() {
    let mut world = World::new();
    world.up(1, "client");
    assert_eq!(remote(&mut world, true), []);
    let outputs = subscribe_tracks(&mut world, 1, Parameters::default());
    assert!(sought(&outputs), "{outputs:?}");
    let names: Vec<_> = world.hub.client_tracks().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, [name()], "its pin follows the mesh");
    // Nobody wants it any more.
    world.cancel(peer(1, 0));
    assert_eq!(world.hub.client_tracks().count(), 0);
    assert_eq!(world.hub.tracks().count(), 0);
}

#[test]
fn an_offer_that_was_declined_is_made_again_when_the_track_is_published_anew() {
    let (mut world, id, _, offer, _) = offered(Parameters::default());
    world.refuse(offer, RequestErrorCode::UNINTERESTED);
    let outputs = world.pass(Duration::from_secs(3));
    assert!(outputs.contains(&Output::TrackDropped { track: id }));
    assert_eq!(remote(&mut world, true), [], "it is the same one");
    assert_eq!(remote(&mut world, false), []);
    assert!(sought(&remote(&mut world, true)));
}

#[test]
fn a_track_that_is_withdrawn_before_it_was_served_is_given_up() {
    let mut world = World::new();
    world.up(1, "client");
    subscribe_tracks(&mut world, 1, Parameters::default());
    remote(&mut world, true);
    let id = wanted(&pin(&mut world, NEAR)).expect("the overlay is asked");
    remote(&mut world, false);
    let outputs = world.pass(Duration::from_secs(3));
    assert!(outputs.contains(&Output::Unwant { track: id }), "{outputs:?}");
    assert_eq!(world.hub.tracks().count(), 0);
}

#[test]
fn a_track_published_anew_before_its_end_is_heard_is_offered_again() {
    let (mut world, _, asked, _, _) = offered(Parameters::default());
    remote(&mut world, false);
    assert_eq!(
        opened(&remote(&mut world, true)),
        [],
        "it has the first one still"
    );
    let outputs = world.finish(RequestRef::Hub(SessionId(7), asked));
    assert!(sought(&outputs), "{outputs:?}");
}

#[test]
fn who_lost_the_track_to_another_origin_is_offered_it_from_there() {
    let (mut world, id, _, _, _) = offered(Parameters::default());
    let outputs = pin(&mut world, FAR);
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::EndSubscription { .. })),
        "not answered yet: {outputs:?}"
    );
    let next = wanted(&outputs).expect("wanted from there");
    assert_ne!(next, id);
    let (_, outputs) = pull(&mut world, next);
    assert!(matches!(opened(&outputs)[..], [(1, _)]), "{outputs:?}");
}

#[test]
fn what_is_published_here_as_well_is_offered_once() {
    let (mut world, ..) = offered(Parameters::default());
    world.up(3, "publisher");
    let outputs = world.publish(3, 0, &name());
    assert_eq!(opened(&outputs), [], "the client has it");
    world.up(2, "client");
    let outputs = subscribe_tracks(&mut world, 2, Parameters::default());
    assert!(matches!(opened(&outputs)[..], [(2, _)]), "{outputs:?}");
}

#[test]
fn a_far_track_that_is_offered_without_objects_does_not_flow() {
    let (world, _, asked, _, outputs) = offered(forward(false));
    let upstream = RequestRef::Hub(SessionId(7), asked);
    assert_eq!(forwards(&outputs), [(upstream, Some(false))]);
    drop(world);
}
