mod world;

use headwater_pubsub::wire::TrackName;
use proptest::collection::vec;
use proptest::prelude::*;
use world::{Keys, World, id, logs, ms, namespace};

use super::*;
use crate::overlay::message::{Have, LogPush};

/// Something that happens to a world.
#[derive(Clone, Debug)]
enum Event {
    Announce(usize, u8),
    Withdraw(usize, u8),
    Connect(usize, usize, u64),
    Cut(usize, usize),
    Restart(usize),
    Wait(u64),
}

const NODES: usize = 5;

fn event() -> impl Strategy<Value = Event> {
    let node = || 0..NODES;
    prop_oneof![
        4 => (node(), any::<u8>()).prop_map(|(n, e)| Event::Announce(n, e % 16)),
        3 => (node(), any::<u8>()).prop_map(|(n, e)| Event::Withdraw(n, e % 16)),
        4 => (node(), node(), 1..200_u64).prop_map(|(a, b, d)| Event::Connect(a, b, d)),
        2 => (node(), node()).prop_map(|(a, b)| Event::Cut(a, b)),
        1 => node().prop_map(Event::Restart),
        4 => prop_oneof![1..50_u64, 1..2000_u64].prop_map(Event::Wait),
    ]
}

fn small() -> Limits {
    Limits {
        compact_from: 6,
        ..Limits::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn after_quiet_every_log_is_its_origins(events in vec(event(), 1..80)) {
        let mut world = World::new(NODES, small());
        for node in 1..NODES {
            world.connect(node - 1, node, ms(20));
        }
        for event in events {
            match event {
                Event::Announce(node, entry) => world.announce(node, namespace(&format!("ns/{entry}"))),
                Event::Withdraw(node, entry) => world.withdraw(node, &namespace(&format!("ns/{entry}"))),
                Event::Connect(a, b, delay) => world.connect(a, b, ms(delay)),
                Event::Cut(a, b) => world.cut(a, b),
                Event::Restart(node) => world.restart(node),
                Event::Wait(millis) => world.run(ms(millis)),
            }
        }
        world.run(Duration::from_secs(120));
        world.check_quiet();
        prop_assert_eq!(&world.refused, &[]);
        // Nothing is said any more.
        let said = world.bytes_received;
        world.run(Duration::from_secs(60));
        prop_assert_eq!(world.bytes_received, said);
    }
}

/// Nodes in a ring with chords, delays of 5 to 40 ms.
fn mesh(count: usize) -> World {
    let mut world = World::new(count, Limits::default());
    for node in 0..count {
        for (step, factor) in [(1, 7), (5, 11), (17, 13)] {
            world.connect(node, (node + step) % count, ms(5 + (node * factor % 36) as u64));
        }
    }
    world
}

#[test]
fn in_calm_about_one_copy_reaches_each_node_in_time() {
    let count = 60;
    let mut world = mesh(count);
    for origin in 0..4 {
        world.announce(origin * 9, namespace(&format!("warm/{origin}")));
    }
    world.run(Duration::from_secs(5));
    for origin in 0..4 {
        world.announce(origin * 9, namespace(&format!("warmer/{origin}")));
        world.run(Duration::from_secs(1));
    }
    world.changes_received = 0;
    let announcements = 20;
    for number in 0..announcements {
        let origin = number % 4 * 9;
        let entry = namespace(&format!("calm/{number}"));
        let slowest = world
            .paths(origin)
            .values()
            .map(|(delay, _)| *delay)
            .max()
            .unwrap();
        world.nodes[origin]
            .announce(world.now, entry.clone(), Attributes::default(), Scope::World)
            .unwrap();
        world.run(slowest.mul_f64(1.5) + ms(250));
        for node in 0..count {
            assert!(
                world.nodes[node]
                    .shown(id(origin))
                    .any(|(shown, _)| *shown == entry),
                "{number} at {node}"
            );
        }
    }
    world.run(Duration::from_secs(5));
    world.check_quiet();
    let copies = world.changes_received as f64 / (announcements * (count - 1)) as f64;
    println!("{copies} copies per node");
    assert!(copies <= 1.2, "{copies} copies per node");
}

#[test]
fn who_joins_gets_many_namespaces_once_and_within_the_rate() {
    let mut world = World::new(4, Limits::default());
    for node in 0..3 {
        world.connect(node, (node + 1) % 3, ms(10));
    }
    for number in 0..20_000 {
        let entry = namespace(&format!("live/someone/{number}"));
        world.nodes[0]
            .announce(world.now, entry, Attributes::default(), Scope::World)
            .unwrap();
    }
    world.announce(0, namespace("last"));
    world.run(Duration::from_secs(10));
    world.check_quiet();
    (world.changes_received, world.bytes_received) = (0, 0);
    for node in 0..3 {
        world.connect(3, node, ms(10));
    }
    world.run(Duration::from_secs(5));
    world.check_quiet();
    assert!(
        world.changes_received <= 24_000,
        "{} changes",
        world.changes_received
    );
    assert!(
        world.bytes_received <= 20_000 * 50,
        "{} bytes",
        world.bytes_received
    );
    assert_eq!(world.refused, []);
}

#[test]
fn a_route_that_is_away_shortly_is_not_seen_and_an_expiry_shortens_that() {
    let mut world = World::new(2, Limits::default());
    world.connect(0, 1, ms(10));
    let soft = Attributes {
        expiry: Some(Duration::from_secs(1)),
        ..Attributes::default()
    };
    world.nodes[0]
        .announce(world.now, namespace("soft"), soft, Scope::World)
        .unwrap();
    world.announce(0, namespace("hard"));
    world.run(Duration::from_secs(1));
    let shown = |world: &World| world.told[1].get(&id(0)).map_or(0, BTreeMap::len);
    assert_eq!(shown(&world), 2);
    world.cut(0, 1);
    world.run(ms(900));
    assert_eq!(shown(&world), 2);
    world.run(ms(200));
    assert_eq!(shown(&world), 1);
    world.run(ms(3800));
    assert_eq!(shown(&world), 1);
    world.run(ms(200));
    assert_eq!(shown(&world), 0);
    world.connect(0, 1, ms(10));
    world.run(Duration::from_secs(1));
    assert_eq!(shown(&world), 2);
    world.cut(0, 1);
    world.run(Limits::default().drop_after);
    assert_eq!(world.nodes[1].head(id(0)), None);
    assert_eq!(world.nodes[1].bytes(), 0);
}

#[test]
fn a_removal_is_seen_at_once() {
    let mut world = World::new(3, Limits::default());
    world.connect(0, 1, ms(10));
    world.connect(1, 2, ms(10));
    world.announce(0, namespace("a"));
    world.run(Duration::from_secs(2));
    world.withdraw(0, &namespace("a"));
    world.run(ms(25));
    assert_eq!(world.told[2][&id(0)].len(), 0);
}

#[test]
fn what_a_node_may_not_announce_is_replicated_and_not_shown() {
    let mut world = World::new(2, Limits::default());
    world.connect(0, 1, ms(10));
    world.announce(0, namespace("forbidden"));
    world.announce(0, namespace("allowed"));
    world.run(Duration::from_secs(1));
    assert_eq!(world.nodes[1].head(id(0)), world.nodes[0].head(id(0)));
    assert_eq!(
        world.told[1][&id(0)].keys().collect::<Vec<_>>(),
        [&namespace("allowed")]
    );
}

#[test]
fn what_is_for_this_node_stays() {
    let mut world = World::new(2, Limits::default());
    world.connect(0, 1, ms(10));
    world.announce(0, namespace("a"));
    world.run(Duration::from_secs(1));
    world.nodes[0]
        .announce(world.now, namespace("a"), Attributes::default(), Scope::Node)
        .unwrap();
    world.announce(0, namespace("b"));
    world.run(Duration::from_secs(1));
    assert_eq!(
        world.told[1][&id(0)].keys().collect::<Vec<_>>(),
        [&namespace("b")]
    );
    assert_eq!(world.told[0][&id(0)].len(), 2);
}

#[test]
fn a_log_of_removals_is_compacted() {
    let mut world = World::new(3, small());
    world.connect(0, 1, ms(10));
    world.connect(1, 2, ms(10));
    world.announce(0, namespace("stays"));
    for number in 0..500 {
        world.announce(0, namespace(&format!("goes/{number}")));
        world.run(ms(5));
        world.withdraw(0, &namespace(&format!("goes/{number}")));
    }
    world.run(Duration::from_secs(5));
    world.check_quiet();
    assert!(world.nodes.iter().all(|node| node.bytes() < 10_000));
    let told = &world.told[2][&id(0)];
    assert_eq!(told.keys().collect::<Vec<_>>(), [&namespace("stays")]);
}

#[test]
fn a_later_epoch_replaces_what_was_there() {
    let mut world = World::new(2, Limits::default());
    world.connect(0, 1, ms(10));
    world.announce(0, namespace("a"));
    world.announce(0, namespace("b"));
    world.run(Duration::from_secs(1));
    world.nodes[0].set_epoch(world.now, 9).unwrap();
    world.withdraw(0, &namespace("a"));
    world.run(Duration::from_secs(1));
    world.check_quiet();
    assert_eq!(
        world.nodes[1]
            .head(id(0))
            .map(|(epoch, version, _)| (epoch, version)),
        Some((9, 3))
    );
}

#[test]
fn limits_refuse_and_keep_what_is_there() {
    let limits = Limits {
        bytes: 3000,
        origins: 3,
        ..Limits::default()
    };
    let mut node = logs(0, 1, limits);
    node.neighbour_up(ms(0), Neighbour(1));
    let push_of = |origin: usize, entries: usize| -> LogPush {
        let mut log = Log::new(id(origin), 1, 0, 0);
        for number in 0..entries {
            log.write(
                Change::Add(namespace(&format!("n/{number}")), Attributes::default()),
                &Keys(id(origin)),
            )
            .unwrap();
        }
        log.push_from(1, u64::MAX).unwrap()
    };
    let refusal = |node: &mut Logs| {
        std::iter::from_fn(|| node.poll()).find_map(|output| match output {
            Output::Refused { reason, .. } => Some(reason),
            _ => None,
        })
    };
    node.push(ms(0), Neighbour(1), push_of(1, 5));
    assert_eq!(refusal(&mut node), None);
    node.push(ms(0), Neighbour(1), push_of(2, 15));
    assert_eq!(refusal(&mut node), Some(Refusal::Memory));
    assert!(node.head(id(1)).is_some() && node.head(id(2)).is_none());
    node.push(ms(0), Neighbour(1), push_of(2, 1));
    node.push(ms(0), Neighbour(1), push_of(3, 1));
    assert_eq!(refusal(&mut node), Some(Refusal::Origins));
    let mut forged = push_of(1, 6);
    forged.signature.0[0] ^= 1;
    node.push(ms(0), Neighbour(1), forged);
    assert_eq!(refusal(&mut node), Some(Refusal::Forged));
    for origin in 4..40 {
        node.have(
            ms(0),
            Neighbour(1),
            Have {
                origin: id(origin),
                epoch: 1,
                version: 1,
            },
        );
    }
    assert_eq!(refusal(&mut node), Some(Refusal::Origins));
    let big = push_of(1, 400);
    let flood = std::iter::repeat_with(|| {
        node.push(ms(0), Neighbour(1), big.clone());
        refusal(&mut node)
    });
    assert!(flood.take(1000).any(|refusal| refusal == Some(Refusal::Rate)));
    for number in 0..20 {
        let result = node.announce(
            ms(0),
            namespace(&format!("own/{number}")),
            Attributes::default(),
            Scope::World,
        );
        assert!(result == Ok(()) || result == Err(AnnounceError::Full));
    }
    assert!(node.bytes() < 2 * limits.bytes);
}

#[test]
fn a_log_can_be_cut_anywhere() {
    let keys = Keys(id(0));
    let mut whole = Log::new(id(0), 1, 0, 0);
    for number in 0..3000 {
        whole
            .write(
                Change::Add(namespace(&format!("some/name/{number}")), Attributes::default()),
                &keys,
            )
            .unwrap();
    }
    for from in [1, 2, 999, 2999, 3000] {
        let push = whole.push_from(from, u64::MAX).unwrap();
        assert!(push.from == from && send::wire_len(&push) <= 16 << 10);
    }
    let mut replica = Log::new(id(0), 1, 0, 0);
    while replica.at() != whole.at() {
        replica
            .extend(whole.push_from(replica.at().1 + 1, 5000).unwrap(), &keys)
            .unwrap();
        // What overlaps is taken once.
        let again = whole
            .push_from(replica.at().1.saturating_sub(3), u64::MAX)
            .unwrap();
        assert!(matches!(
            replica.extend(again, &keys),
            Ok(_) | Err(log::Unfit::Known)
        ));
    }
    assert_eq!(replica.hash(), whole.hash());
    assert!(whole.push_from(3001, u64::MAX).is_none());
}

#[test]
fn names_are_found_by_prefix_and_tracks_by_the_nearest_announcement() {
    let mut node = logs(0, 1, Limits::default());
    let track = |space: &str, name: &str| {
        FullTrackName::new(
            TrackNamespace::new(space.split('/')).unwrap(),
            TrackName::new(name).unwrap(),
        )
        .unwrap()
    };
    for entry in ["live", "live/a", "live/b", "livestock", "other"].map(namespace) {
        node.announce(ms(0), entry, Attributes::default(), Scope::World)
            .unwrap();
    }
    node.announce(
        ms(0),
        Entry::Track(track("solo/x", "t")),
        Attributes::default(),
        Scope::World,
    )
    .unwrap();
    let prefix = |text: &str| TrackNamespace::new(text.split('/')).unwrap();
    let found: Vec<_> = node.matching(&prefix("live")).map(ToString::to_string).collect();
    assert_eq!(found, ["live", "live-a", "live-b"]);
    assert_eq!(node.matching(&TrackNamespace::empty()).count(), 5);
    assert_eq!(node.tracks_matching(&prefix("solo")).count(), 1);
    assert_eq!(node.tracks_matching(&prefix("live")).count(), 0);
    assert!(node.origins_of(&track("live/z", "t")).contains(&id(0)));
    assert!(node.origins_of(&track("solo/x", "t")).contains(&id(0)));
    assert!(node.origins_of(&track("solo/x", "u")).is_empty());
}
