//! A mesh in which anything may happen: no cycle of pulls at any moment, and after quiet time everybody knows what there is to
//! know, has a route to it, and gets what it reads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::net::{Net, entry, ms};
use crate::overlay::core::{Input, Output};
use crate::overlay::id::NodeId;
use crate::overlay::message::Entry;
use crate::overlay::routes::Role;

/// Long enough for every retry.
const QUIET: Duration = Duration::from_secs(60);
/// Media that is older than this does not flow.
const FRESH: Duration = Duration::from_secs(2);

/// What can happen. Numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
enum Act {
    Announce {
        node: usize,
        entry: usize,
        present: bool,
    },
    Read {
        node: usize,
        origin: usize,
        wanted: bool,
    },
    Cut {
        link: usize,
    },
    Heal {
        link: usize,
    },
    /// Costs follow.
    Delay {
        link: usize,
        millis: u64,
    },
    Suspect {
        link: usize,
        end: usize,
        suspect: bool,
    },
    Kill {
        node: usize,
    },
    Start {
        node: usize,
    },
    Leave {
        node: usize,
    },
    Wait {
        millis: u64,
    },
}

impl Net {
    fn act(&mut self, act: Act) {
        let (nodes, links) = (self.nodes.len(), self.links.len());
        match act {
            Act::Announce {
                node,
                entry: number,
                present,
            } if self.nodes[node % nodes].alive => {
                self.announce(node % nodes, entry(number), present);
            }
            Act::Read { node, origin, wanted } if self.nodes[node % nodes].alive => {
                let origin = self.id(origin % nodes);
                self.read(node % nodes, origin, wanted);
            }
            Act::Cut { link } => self.cut(link % links),
            Act::Heal { link } => self.heal(link % links),
            Act::Delay { link, millis } => self.links[link % links].delay = ms(millis),
            Act::Suspect { link, end, suspect } => self.suspect(link % links, end, suspect),
            Act::Kill { node } => self.kill(node % nodes),
            // One that lives is restarted: its neighbours take a moment to notice.
            Act::Start { node } => {
                self.kill(node % nodes);
                self.start(node % nodes);
            }
            Act::Leave { node } if self.nodes[node % nodes].alive => self.leave(node % nodes),
            Act::Wait { millis } => self.run_with(ms(millis), Self::check_acyclic),
            Act::Announce { .. } | Act::Read { .. } | Act::Leave { .. } => {}
        }
        self.check_acyclic();
    }

    fn suspect(&mut self, link: usize, end: usize, suspect: bool) {
        let end = &self.links[link].ends[end];
        if let (node, Some(neighbour)) = (end.node, end.session) {
            self.feed(node, Input::Suspect { neighbour, suspect });
        }
    }

    fn ids(&self) -> BTreeSet<NodeId> {
        (0..self.nodes.len()).map(|node| self.id(node)).collect()
    }

    /// The specification's I2, of whole overlays.
    fn check_acyclic(&self) {
        for origin in self.ids() {
            let pointers: Vec<Vec<usize>> = (0..self.nodes.len())
                .map(|node| self.upstreams(node, origin))
                .collect();
            let mut open: BTreeSet<usize> = (0..self.nodes.len()).collect();
            while let Some(&done) = open
                .iter()
                .find(|&&node| !pointers[node].iter().any(|up| open.contains(up)))
            {
                open.remove(&done);
            }
            assert!(open.is_empty(), "{open:?} pull {origin} in a cycle: {pointers:?}");
        }
    }

    /// The nodes that a node counts on for an origin.
    fn upstreams(&self, node: usize, origin: NodeId) -> Vec<usize> {
        if !self.nodes[node].alive {
            return Vec::new();
        }
        let candidates = self.nodes[node].core.candidates(origin);
        let used = candidates
            .iter()
            .filter(|way| way.role.is_some_and(|role| role != Role::Tentative));
        used.filter_map(|way| self.peer(node, way.neighbour)).collect()
    }

    /// The nodes that a node is connected with, itself among them.
    fn reachable(&self, node: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            if !self.nodes[node].alive || !found.insert(node) {
                continue;
            }
            for link in self.links.iter().filter(|link| link.whole) {
                let ends = link.ends.each_ref().map(|end| end.node);
                if ends.contains(&node) {
                    open.extend(ends);
                }
            }
        }
        found
    }

    /// Nothing happens any more but what follows from what did.
    fn calm(&mut self) {
        for link in 0..self.links.len() {
            (0..2).for_each(|end| self.suspect(link, end, false));
        }
        self.run_with(QUIET, Self::check_acyclic);
        for node in (0..self.nodes.len()).filter(|&node| self.nodes[node].alive) {
            self.check_knowledge(node);
            self.check_media(node);
            self.check_bounds(node);
        }
        for (node, output) in &self.told {
            let harmless = matches!(
                output,
                Output::Epoch(_) | Output::KeepPeers { .. } | Output::Refused { .. }
            );
            assert!(harmless, "node {node}: {output:?}");
        }
    }

    /// I5, and a route to each origin that there is.
    fn check_knowledge(&self, node: usize) {
        let this = &self.nodes[node];
        let reachable = self.reachable(node);
        let published: BTreeMap<NodeId, BTreeSet<Entry>> = reachable
            .iter()
            .map(|&other| (self.id(other), self.nodes[other].hub.announced.clone()))
            .collect();
        for origin in self.ids() {
            let theirs = published.get(&origin).cloned().unwrap_or_default();
            let shown: BTreeSet<Entry> = this
                .core
                .logs
                .shown(origin)
                .map(|(entry, _)| entry.clone())
                .collect();
            assert_eq!(shown, theirs, "what node {node} shows of {origin}");
            let routed = this.core.route(origin).total_us.is_some();
            assert_eq!(routed, !theirs.is_empty(), "route of node {node} to {origin}");
        }
        let others = published
            .iter()
            .filter(|&(&origin, _)| origin != this.core.node());
        let others: BTreeSet<Entry> = others.flat_map(|(_, entries)| entries.clone()).collect();
        assert_eq!(this.hub.remote, others, "what node {node} was told");
    }

    /// Who reads gets, and nobody is sent what nobody reads.
    fn check_media(&self, node: usize) {
        let reachable = self.reachable(node);
        for &other in &reachable {
            let origin = self.id(other);
            let published = !self.nodes[other].hub.announced.is_empty();
            let this = &self.nodes[node];
            if this.hub.is_read(origin) && published && other != node {
                let newest = this.hub.newest(origin).map(ms);
                let fresh = newest.is_some_and(|at| at + FRESH >= self.now);
                assert!(
                    fresh,
                    "node {node} reads {origin} and got {newest:?} by {:?}: {:#?}",
                    self.now,
                    this.core.candidates(origin)
                );
            }
            let read = reachable
                .iter()
                .any(|&reader| self.nodes[reader].hub.is_read(origin));
            assert!(
                read || !this.core.is_wanted(origin),
                "node {node} pulls {origin} for nobody"
            );
        }
    }

    /// What a node keeps is of what there is.
    fn check_bounds(&self, node: usize) {
        let core = &self.nodes[node].core;
        let (ids, links) = (self.ids(), self.links.len());
        assert!(core.links.len() <= links);
        assert!(core.routes.origins().count() <= ids.len());
        assert!(core.beacons.len() <= ids.len());
        assert!(core.announcers.values().all(|origins| !origins.is_empty()));
        assert!(core.outputs.is_empty());
        for link in core.links.values() {
            assert_eq!(link.next_said(), None, "node {node} owes nothing");
        }
    }
}

#[test]
fn a_node_at_which_nobody_reads_finds_a_way_again_too() {
    // 4 hears of 1 through 0, and 3 is just as far from 1: when 0 goes, 4 cannot be sure of 3.
    let links = [(0, 1), (0, 2), (0, 4), (1, 2), (2, 3), (3, 4)];
    let mut net = Net::new(5, &links, ms(5));
    net.act(Act::Announce {
        node: 1,
        entry: 0,
        present: true,
    });
    net.run(FRESH);
    let origin = net.id(1);
    let primary = net.nodes[4].core.route(origin).primary.expect("a route");
    assert_eq!(net.peer(4, primary), Some(0));
    net.act(Act::Kill { node: 0 });
    net.calm();
}

fn act() -> impl Strategy<Value = Act> {
    let (link, node) = (0..16usize, 0..8usize);
    prop_oneof![
        4 => (node.clone(), 0..4usize, prop::bool::weighted(0.6))
            .prop_map(|(node, entry, present)| Act::Announce { node, entry, present }),
        4 => (node.clone(), node.clone(), prop::bool::weighted(0.7))
            .prop_map(|(node, origin, wanted)| Act::Read { node, origin, wanted }),
        2 => link.clone().prop_map(|link| Act::Cut { link }),
        3 => link.clone().prop_map(|link| Act::Heal { link }),
        2 => (link.clone(), 0..100u64).prop_map(|(link, millis)| Act::Delay { link, millis }),
        1 => (link, 0..2usize, any::<bool>())
            .prop_map(|(link, end, suspect)| Act::Suspect { link, end, suspect }),
        1 => node.clone().prop_map(|node| Act::Kill { node }),
        2 => node.clone().prop_map(|node| Act::Start { node }),
        1 => node.prop_map(|node| Act::Leave { node }),
        8 => prop_oneof![Just(0), 1..50u64, 200..600u64, Just(3_000), Just(20_000)]
            .prop_map(|millis| Act::Wait { millis }),
    ]
}

/// A ring, so that one fault parts nobody, and some chords.
fn network() -> impl Strategy<Value = (usize, Vec<(usize, usize)>)> {
    (3..7usize).prop_flat_map(|nodes| {
        prop::collection::vec((0..nodes, 0..nodes), 0..4).prop_map(move |chords| {
            let ring = (0..nodes).map(|node| (node, (node + 1) % nodes));
            let pairs: BTreeSet<_> = ring
                .chain(chords)
                .filter(|(a, b)| a != b)
                .map(|(a, b)| (a.min(b), a.max(b)))
                .collect();
            (nodes, pairs.into_iter().collect())
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_mesh_comes_to_rest_with_everything_known(
        (nodes, links) in network(),
        acts in prop::collection::vec(act(), 0..80),
    ) {
        let mut net = Net::new(nodes, &links, ms(5));
        for act in acts {
            net.act(act);
        }
        net.calm();
    }

    #[test]
    fn the_same_happenings_have_the_same_outcome(
        (nodes, links) in network(),
        acts in prop::collection::vec(act(), 0..40),
    ) {
        let run = || {
            let mut net = Net::new(nodes, &links, ms(5));
            net.trace = Some(Vec::new());
            acts.iter().for_each(|&act| net.act(act));
            net.trace
        };
        prop_assert_eq!(run(), run());
    }
}
