//! Namespaces as they come and go, and who owns them.

use super::*;

fn subscribe_namespace(world: &mut World, session: u64, key: u64, prefix: &str) -> Vec<Output> {
    let (session, key, prefix) = (SessionId(session), RequestKey(key), ns(prefix));
    world.feed(Input::SubscribeNamespace { session, key, prefix })
}

fn found(request: RequestRef, suffix: &str) -> Output {
    Output::Namespace {
        request,
        suffix: ns(suffix),
    }
}

fn gone(request: RequestRef, suffix: &str) -> Output {
    Output::NamespaceDone {
        request,
        suffix: ns(suffix),
    }
}

#[test]
fn the_current_set_comes_first_then_its_changes_the_own_ones_included() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "bob");
    world.announce(1, 0, "live/a");
    world.announce(1, 1, "livestock");
    let outputs = subscribe_namespace(&mut world, 2, 0, "live");
    assert_eq!(
        outputs,
        [Output::Accept { request: peer(2, 0) }, found(peer(2, 0), "a")]
    );
    let outputs = world.announce(2, 1, "live/b/c");
    assert_eq!(
        outputs,
        [Output::Accept { request: peer(2, 1) }, found(peer(2, 0), "b/c")]
    );
    assert_eq!(world.cancel(peer(1, 0)), [gone(peer(2, 0), "a")]);
    assert_eq!(world.cancel(peer(2, 0)), []);
    assert_eq!(world.cancel(peer(2, 1)), []);
}

#[test]
fn a_namespace_of_two_publishers_is_one_and_goes_with_the_last() {
    let mut world = World::new();
    for session in 1..=3 {
        world.up(session, "alice");
    }
    subscribe_namespace(&mut world, 3, 0, "");
    assert!(world.announce(1, 0, "live").contains(&found(peer(3, 0), "live")));
    assert_eq!(
        world.announce(2, 0, "live"),
        [Output::Accept { request: peer(2, 0) }]
    );
    assert_eq!(world.down(1), []);
    assert_eq!(world.down(2), [gone(peer(3, 0), "live")]);
}

#[test]
fn a_namespace_belongs_to_who_took_it_first_until_it_leaves() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "mallory");
    world.up(3, "alice");
    world.announce(1, 0, "live/cam");
    for (key, namespace) in [(0, "live/cam"), (1, "live/cam/video"), (2, "live"), (3, "")] {
        let outputs = world.announce(2, key, namespace);
        assert_eq!(
            rejected(&outputs),
            [(peer(2, key), RequestErrorCode::UNAUTHORIZED)],
            "{namespace}"
        );
    }
    let outputs = world.publish(2, 4, &track("live/cam/video"));
    assert_eq!(rejected(&outputs), [(peer(2, 4), RequestErrorCode::UNAUTHORIZED)]);
    assert_eq!(rejected(&world.announce(2, 5, "live/other")), []);
    assert_eq!(rejected(&world.announce(3, 0, "live/cam")), []);
    world.down(1);
    assert_eq!(rejected(&world.announce(2, 6, "live/cam")).len(), 1);
    world.down(3);
    assert_eq!(rejected(&world.announce(2, 7, "live/cam")), []);
}

#[test]
fn prefixes_of_one_kind_do_not_overlap_within_a_session() {
    let mut world = World::new();
    world.up(1, "alice");
    world.up(2, "bob");
    subscribe_namespace(&mut world, 1, 0, "live");
    for (key, prefix) in [(1, "live/a"), (2, ""), (3, "live")] {
        let outputs = subscribe_namespace(&mut world, 1, key, prefix);
        assert_eq!(
            rejected(&outputs),
            [(peer(1, key), RequestErrorCode::PREFIX_OVERLAP)]
        );
    }
    assert_eq!(rejected(&subscribe_namespace(&mut world, 1, 4, "other")), []);
    assert_eq!(rejected(&subscribe_namespace(&mut world, 2, 0, "live")), []);
    let (session, key, parameters) = (SessionId(1), RequestKey(5), Parameters::default());
    let outputs = world.feed(Input::SubscribeTracks {
        session,
        key,
        prefix: ns("live"),
        parameters,
    });
    assert_eq!(
        outputs,
        [Output::Accept { request: peer(1, 5) }],
        "the kinds are independent"
    );
}

#[test]
fn a_prefix_that_matches_too_much_is_refused() {
    let mut world = World::with(HubConfig {
        matches: 2,
        ..HubConfig::default()
    });
    world.up(1, "alice");
    for (key, namespace) in ["a/1", "a/2", "a/3"].into_iter().enumerate() {
        world.announce(1, key as u64, namespace);
    }
    let outputs = subscribe_namespace(&mut world, 1, 9, "a");
    assert_eq!(
        rejected(&outputs),
        [(peer(1, 9), RequestErrorCode::NAMESPACE_TOO_LARGE)]
    );
}

#[test]
fn a_changed_prefix_withdraws_the_old_suffixes_and_announces_the_new() {
    let mut world = World::new();
    world.up(1, "alice");
    world.announce(1, 0, "live/a");
    world.announce(1, 1, "old/b");
    subscribe_namespace(&mut world, 1, 2, "old");
    subscribe_namespace(&mut world, 1, 3, "else");
    let move_to = |prefix| Parameters {
        track_namespace_prefix: Some(ns(prefix)),
        ..Parameters::default()
    };
    let request = peer(1, 2);
    let outputs = world.update(request, move_to("live"));
    assert_eq!(
        outputs,
        [
            gone(request, "b"),
            Output::AcceptUpdate { request },
            found(request, "a")
        ]
    );
    let outputs = world.update(request, move_to("else/where"));
    assert!(
        matches!(&outputs[..], [Output::FailUpdate { error, .. }] if error.code == RequestErrorCode::PREFIX_OVERLAP)
    );
    assert_eq!(
        world.announce(1, 4, "live/c"),
        [Output::Accept { request: peer(1, 4) }],
        "it is over"
    );
}
