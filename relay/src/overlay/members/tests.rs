use proptest::prelude::*;

use super::*;
use crate::overlay::message::{Roles, Signature};

const ME: NodeId = NodeId([0; 32]);

fn record(seed: u8, time_ms: u64) -> PeerRecord {
    PeerRecord {
        node: NodeId([seed; 32]),
        addresses: vec![format!("moqt://node{seed}.example:4443")],
        roles: Roles::RELAY,
        time_ms,
        signature: Signature([seed; 64]),
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn useless(_: Neighbour) -> Worth {
    Worth {
        srtt: None,
        used: false,
    }
}

fn outputs(members: &mut Members) -> Vec<Output> {
    std::iter::from_fn(|| members.poll()).collect()
}

fn dialled(outputs: &[Output]) -> Vec<NodeId> {
    let dial = |output: &Output| match output {
        Output::Dial(record) => Some(record.node),
        _ => None,
    };
    outputs.iter().filter_map(dial).collect()
}

/// A node with six neighbours, 1 to 6, that knows eight others.
fn settled() -> Members {
    let mut members = Members::new(ME, 1);
    for seed in 1..=6 {
        members.up(seconds(0), Neighbour(u64::from(seed)), NodeId([seed; 32]));
    }
    let others = (11..=18).map(|seed| record(seed, 1)).collect();
    members.heard(seconds(1), Neighbour(1), others).unwrap();
    outputs(&mut members);
    members
}

#[test]
fn a_lost_neighbour_is_replaced_at_once_by_the_first_of_three_that_answers() {
    let mut members = settled();
    members.down(seconds(2), Neighbour(3));
    let probes = dialled(&outputs(&mut members));
    // Two slots of chance are wanted in any case, and one of these may be dialled beside.
    assert!(probes.len() == PROBES || probes.len() == 1, "{probes:?}");
    let first = probes[0];
    members.up(seconds(2), Neighbour(20), first);
    let said = outputs(&mut members);
    assert!(dialled(&said).is_empty(), "six again: {said:?}");
    for (session, &late) in (21..).zip(&probes[1..]) {
        members.up(seconds(2), Neighbour(session), late);
        assert_eq!(outputs(&mut members), [Output::Close(Neighbour(session))]);
        members.down(seconds(2), Neighbour(session));
    }
}

#[test]
fn who_is_not_reached_gives_way_to_others_and_is_forgotten() {
    let mut members = Members::new(ME, 1);
    members.remember(seconds(0), vec![record(1, 1)]);
    let mut tries = 0;
    for now in 0..60 {
        members.tick(seconds(now), useless);
        for node in dialled(&outputs(&mut members)) {
            tries += 1;
            members.failed(seconds(now), node);
        }
    }
    assert_eq!(tries, FAILURES);
    assert_eq!(members.passive().count(), 0);
}

#[test]
fn a_peer_is_tried_every_minute_and_kept_if_it_is_of_use() {
    for used in [false, true] {
        let mut members = settled();
        members.tick(seconds(60), useless);
        let tried = dialled(&outputs(&mut members));
        assert_eq!(tried.len(), 1);
        members.up(seconds(61), Neighbour(30), tried[0]);
        outputs(&mut members);
        members.tick(seconds(72), |neighbour| Worth {
            srtt: None,
            used: used && neighbour == Neighbour(30),
        });
        let closed = outputs(&mut members).contains(&Output::Close(Neighbour(30)));
        assert_eq!(closed, !used);
    }
}

#[test]
fn a_newcomer_is_told_to_the_others_and_learns_of_them() {
    let mut members = Members::new(ME, 1);
    for seed in [1, 2] {
        let neighbour = Neighbour(u64::from(seed));
        members.up(seconds(0), neighbour, NodeId([seed; 32]));
        members
            .heard(seconds(0), neighbour, vec![record(seed, 1)])
            .unwrap();
    }
    let said = outputs(&mut members);
    assert!(
        said.contains(&Output::Say(Neighbour(1), vec![record(2, 1)])),
        "{said:?}"
    );
    assert!(
        said.contains(&Output::Say(Neighbour(2), vec![record(1, 1)])),
        "{said:?}"
    );
}

#[test]
fn too_many_messages_are_dropped_and_far_too_many_are_misconduct() {
    let mut members = settled();
    let mut hear = |count, seed| members.heard(seconds(70), Neighbour(1), vec![record(seed, count)]);
    for count in 1..=2 * u64::from(MESSAGES) {
        assert_eq!(hear(count, 20 + u8::try_from(count).unwrap()), Ok(()));
    }
    assert_eq!(hear(99, 99), Err(Flood));
    assert!(members.known.contains_key(&NodeId([30; 32])));
    assert!(
        !members.known.contains_key(&NodeId([31; 32])),
        "beyond ten a minute"
    );
}

#[derive(Clone, Debug)]
enum Event {
    Up(u8),
    Down(u8),
    Failed(u8),
    Heard(u8, Vec<(u8, u64)>),
    Expelled(u8),
    Wait(u8),
}

fn event() -> impl Strategy<Value = Event> {
    let seed = 0..80_u8;
    prop_oneof![
        seed.clone().prop_map(Event::Up),
        (1..20_u8).prop_map(Event::Down),
        seed.clone().prop_map(Event::Failed),
        ((1..20_u8), proptest::collection::vec((0..80_u8, 0..9_u64), 0..20))
            .prop_map(|(from, records)| Event::Heard(from, records)),
        seed.prop_map(Event::Expelled),
        (0..130_u8).prop_map(Event::Wait),
    ]
}

proptest! {
    #[test]
    fn views_are_bounded_hold_the_newest_and_never_this_node(seed: u64, events in proptest::collection::vec(event(), 0..120)) {
        let (mut members, mut twin) = (Members::new(ME, seed), Members::new(ME, seed));
        let (mut now, mut sessions) = (Duration::ZERO, 0_u64);
        for event in events {
            let known_before: BTreeMap<_, _> = members.known.iter().map(|(node, peer)| (*node, peer.record.time_ms)).collect();
            for members in [&mut members, &mut twin] {
                match &event {
                    Event::Up(node) => members.up(now, Neighbour(sessions), NodeId([*node; 32])),
                    Event::Down(at) => members.down(now, Neighbour(u64::from(*at))),
                    Event::Failed(node) => members.failed(now, NodeId([*node; 32])),
                    Event::Heard(from, records) => {
                        let records = records.iter().map(|&(node, time)| record(node, time)).collect();
                        let _flood = members.heard(now, Neighbour(u64::from(*from)), records).is_err();
                    }
                    Event::Expelled(node) => members.expelled(NodeId([*node; 32])),
                    Event::Wait(_) => {}
                }
            }
            match event {
                Event::Up(_) => sessions += 1,
                Event::Wait(by) => {
                    now += seconds(u64::from(by));
                    members.tick(now, useless);
                    twin.tick(now, useless);
                }
                _ => {}
            }
            let done = outputs(&mut members);
            prop_assert_eq!(&done, &outputs(&mut twin), "the same seed gives the same choices");
            prop_assert!(members.passive().count() <= MAX_PASSIVE);
            prop_assert!(!members.known.contains_key(&ME));
            // Far from the bound nobody is forgotten and learnt anew within one event.
            if known_before.len() < 20 {
                for (node, time) in known_before {
                    prop_assert!(members.known.get(&node).is_none_or(|peer| peer.record.time_ms >= time));
                }
            }
            for output in done {
                match output {
                    Output::Dial(record) => {
                        prop_assert!(record.node != ME && !record.addresses.is_empty());
                        prop_assert!(members.active.values().all(|active| active.node != record.node));
                    }
                    Output::Say(_, records) => prop_assert!(records.len() < MAX_RECORDS),
                    Output::Keep(records) => prop_assert!(records.len() <= MAX_PASSIVE + members.active.len()),
                    Output::Close(neighbour) => prop_assert!(members.active.get(&neighbour).is_none_or(|active| active.ours)),
                }
            }
        }
    }
}
