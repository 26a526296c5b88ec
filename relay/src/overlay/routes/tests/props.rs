//! Random networks under random events: I1, I2 and I3 after each, I6 and a route for everybody at the end, I9 throughout.

use proptest::prelude::*;

use super::super::Config;
use super::net::{Act, Net, node_id};

fn act() -> impl Strategy<Value = Act> {
    let (link, end, node) = (0..16usize, 0..2usize, 0..8usize);
    prop_oneof![
        24 => (link.clone(), end.clone()).prop_map(|(link, end)| Act::Deliver { link, end }),
        2 => link.clone().prop_map(|link| Act::Cut { link }),
        3 => (link.clone(), end.clone()).prop_map(|(link, end)| Act::Notice { link, end }),
        2 => link.clone().prop_map(|link| Act::Heal { link }),
        3 => (link.clone(), end.clone(), 500..200_000u64).prop_map(|(link, end, cost)| Act::Cost { link, end, cost }),
        1 => (link.clone(), end.clone(), any::<bool>())
            .prop_map(|(link, end, suspect)| Act::Suspect { link, end, suspect }),
        1 => node.clone().prop_map(|node| Act::Restart { node }),
        8 => Just(Act::Tick),
        2 => prop_oneof![Just(1), Just(11), Just(400), Just(1_000), Just(200_000)]
            .prop_map(|millis| Act::Wait { millis }),
        4 => node.clone().prop_map(|node| Act::CaughtUp { node }),
        3 => (link.clone(), end.clone()).prop_map(|(link, end)| Act::TryUse { link, end }),
        1 => (link, end).prop_map(|(link, end)| Act::Release { link, end }),
        1 => node.clone().prop_map(|node| Act::TentativeFails { node }),
        1 => (node, any::<bool>()).prop_map(|(node, interest)| Act::Interest { node, interest }),
        1 => (0..2usize, any::<bool>()).prop_map(|(origin, announced)| Act::Announce { origin, announced }),
    ]
}

/// A ring, so that everybody is reachable, and some chords; each direction has a cost of its own.
fn network() -> impl Strategy<Value = (usize, Vec<(usize, usize, u64, u64)>)> {
    (3..6usize).prop_flat_map(|nodes| {
        let chords = prop::collection::vec((0..nodes, 0..nodes), 0..3);
        let costs = prop::collection::vec((500..50_000u64, 500..50_000u64), nodes + 3);
        (chords, costs).prop_map(move |(chords, costs)| {
            let ring = (0..nodes).map(|node| (node, (node + 1) % nodes));
            let chords = chords.into_iter().filter(|(a, b)| a != b);
            let pairs = ring.chain(chords).zip(costs);
            (
                nodes,
                pairs
                    .map(|((a, b), (cost_a, cost_b))| (a, b, cost_a, cost_b))
                    .collect(),
            )
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_events_close_no_cycle_and_end_quiet_with_routes_for_all(
        (nodes, edges) in network(),
        acts in prop::collection::vec(act(), 0..250),
    ) {
        let mut net = Net::new(nodes, &edges, 2, &Config::default());
        for act in acts {
            net.act(act);
        }
        net.calm();
        for origin in 0..2 {
            for node in 0..nodes {
                let routed = net.nodes[node].total(node_id(origin)).is_some();
                prop_assert_eq!(routed, net.announced[origin], "node {} to origin {}", node, origin);
            }
        }
    }

    #[test]
    fn the_same_events_have_the_same_outcome(
        (nodes, edges) in network(),
        acts in prop::collection::vec(act(), 0..150),
    ) {
        let run = || {
            let mut net = Net::new(nodes, &edges, 2, &Config::default());
            net.trace = Some(Vec::new());
            acts.iter().for_each(|&act| { net.act(act); });
            net.trace
        };
        prop_assert_eq!(run(), run());
    }
}
