//! Two nodes that run with one key.

use std::time::Duration;

use proptest::prelude::*;

use super::keys::id;
use super::net::{Net, entry, ms};
use crate::overlay::core::Output;

const SOON: Duration = Duration::from_secs(5);

impl Net {
    /// What each node was told of clones, and whether it knows of one now.
    fn alarms(&self) -> Vec<(Vec<bool>, bool)> {
        let told = |node: usize| {
            self.told.iter().filter_map(move |(at, output)| match output {
                Output::Cloned { present, .. } if *at == node => Some(*present),
                _ => None,
            })
        };
        let known = |node: usize| self.nodes[node].core.cloned().count() == 1;
        (0..self.nodes.len())
            .map(|node| (told(node).collect(), known(node)))
            .collect()
    }

    /// Bytes of gossip that nodes sent in this time.
    fn gossip_in(&mut self, time: Duration) -> u64 {
        let sent = |net: &Self| -> u64 {
            let views = net.nodes.iter().flat_map(|node| node.core.neighbours());
            views.map(|view| view.gossip.0).sum()
        };
        let before = sent(self);
        self.run(time);
        sent(self) - before
    }
}

/// Five in a line; the outer ones have one key.
fn outer_clones() -> Net {
    let ids = [0, 1, 2, 3, 0].map(id);
    Net::of(&ids, &[(0, 1), (1, 2), (2, 3), (3, 4)], ms(10))
}

#[test]
fn clones_that_do_nothing_are_told_of_once_at_every_node() {
    let net = outer_clones();
    assert_eq!(net.alarms(), vec![(vec![true], true); 5]);
}

#[test]
fn clones_that_publish_come_to_rest_and_disturb_nobody() {
    let mut net = outer_clones();
    let origin = net.id(1);
    net.announce(1, entry(1), true);
    net.read(3, origin, true);
    net.run(SOON);
    net.announce(0, entry(2), true);
    net.announce(4, entry(3), true);
    for _ in 0..40 {
        net.run(ms(500));
        let newest = net.nodes[3].hub.newest(origin).map(ms);
        assert!(
            newest.is_some_and(|at| at + ms(400) >= net.now),
            "{newest:?} at {:?}",
            net.now
        );
    }
    let closed = net
        .told
        .iter()
        .find(|(_, output)| matches!(output, Output::Close { .. }));
    assert!(closed.is_none(), "{closed:?}");
    // Eight ends say ECHO and its answer each five seconds, and a digest.
    let said = net.gossip_in(Duration::from_secs(30));
    assert!(said < 8 * 6 * 2 * 16 + 8 * 64, "{said} bytes in quiet");
    assert_eq!(net.alarms(), vec![(vec![true], true); 5]);
}

#[test]
fn a_node_that_starts_again_is_no_clone_whatever_its_clock_says() {
    for epoch in [0, 1, 2, 9] {
        let mut net = Net::line(3);
        for _ in 0..3 {
            net.kill(1);
            net.start_at(1, epoch);
            net.run(SOON);
        }
        assert_eq!(net.alarms(), vec![(vec![], false); 3], "epoch {epoch}");
    }
}

#[test]
fn the_word_is_taken_back_once_the_one_that_is_left_starts_again() {
    let mut net = outer_clones();
    net.kill(4);
    net.run(SOON);
    assert!(net.alarms()[..4].iter().all(|(_, known)| *known));
    net.kill(0);
    // As a clock goes: above all that were outbid.
    net.start_at(0, 1_000);
    net.run(SOON);
    assert_eq!(net.alarms()[1..4], vec![(vec![true, false], false); 3]);
    assert!(!net.alarms()[0].1);
}

#[test]
fn a_clone_that_starts_again_is_found_again() {
    let mut net = outer_clones();
    net.kill(4);
    net.start_at(4, 1_000);
    net.run(SOON);
    assert!(net.alarms().iter().all(|(_, known)| *known));
}

#[test]
fn three_with_one_key_find_out_and_fall_silent() {
    let ids = [0, 1, 0, 2, 0].map(id);
    let mut net = Net::of(&ids, &[(0, 1), (1, 2), (1, 3), (3, 4)], ms(10));
    net.run(SOON);
    assert!(net.alarms().iter().all(|(_, known)| *known));
    assert!(net.gossip_in(Duration::from_secs(30)) < 8 * 6 * 2 * 16 + 8 * 64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn wherever_clones_are_and_whenever_they_meet_all_are_told(
        (nodes, clone) in (4..8usize).prop_flat_map(|nodes| (Just(nodes), 2..nodes - 1)),
        faults in prop::collection::vec((0..8usize, any::<bool>(), 0..800u64), 0..12),
    ) {
        let ids: Vec<_> = (0..nodes).map(|node| id(if node == clone { 0 } else { node })).collect();
        let links: Vec<_> = (0..nodes).map(|node| (node, (node + 1) % nodes)).collect();
        let mut net = Net::of(&ids, &[], ms(5));
        net.add_links(&links, ms(7));
        for (link, cut, millis) in faults {
            if cut {
                net.cut(link % nodes);
            } else {
                net.heal(link % nodes);
            }
            net.run(ms(millis));
        }
        (0..nodes).for_each(|link| net.heal(link));
        net.run(SOON);
        let alarms = net.alarms();
        prop_assert!(alarms.iter().all(|(told, known)| *known && told == &[true]), "{alarms:?}");
    }
}
