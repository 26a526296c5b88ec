//! Whole overlays that talk to each other, without sockets and clocks: what people find out about the mesh.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use headwater_pubsub::wire::TrackNamespace;

use super::*;
use crate::overlay::message::{LinkHealth, Record, StatusReq, TraceReq};

/// Signs nothing and believes everything.
#[derive(Debug)]
struct Trusting;

impl Keys for Trusting {
    fn sign(&self, _: &[u8]) -> Signature {
        Signature([0; 64])
    }

    fn verify(&self, _: NodeId, _: &[u8], _: &Signature) -> bool {
        true
    }

    fn may_announce(&self, _: NodeId, _: &Entry) -> bool {
        true
    }

    fn is_member(&self, _: NodeId) -> bool {
        true
    }

    fn learn(&self, _: &Credential) -> Result<Option<NodeId>, Unsigned> {
        Ok(None)
    }

    fn credential(&self, _: NodeId) -> Option<Credential> {
        None
    }

    fn credentialed(&self) -> BTreeSet<NodeId> {
        BTreeSet::new()
    }
}

fn id(node: usize) -> NodeId {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&(node as u64 + 1).to_be_bytes());
    NodeId(bytes)
}

/// Nodes and the links between them; the number of a link is that of the session at both ends.
struct World {
    nodes: Vec<Overlay>,
    links: Vec<(usize, usize)>,
    /// What goes over these is lost.
    silent: BTreeSet<usize>,
    now: Duration,
    told: Vec<(usize, Output)>,
}

impl World {
    fn new(count: usize, links: &[(usize, usize)]) -> Self {
        let nodes = (0..count)
            .map(|node| {
                let identity = Identity {
                    node: id(node),
                    epoch: 1,
                    roles: Roles::RELAY,
                    price: 0,
                    keys: Arc::new(Trusting),
                    wall_ms: 0,
                };
                Overlay::new(identity, routes::Config::default())
            })
            .collect();
        let mut world = Self {
            nodes,
            links: links.to_vec(),
            silent: BTreeSet::new(),
            now: Duration::ZERO,
            told: Vec::new(),
        };
        for (number, &(a, b)) in links.iter().enumerate() {
            let neighbour = Neighbour(number as u64);
            world.feed(
                a,
                Input::NeighbourUp {
                    neighbour,
                    node: id(b),
                },
            );
            world.feed(
                b,
                Input::NeighbourUp {
                    neighbour,
                    node: id(a),
                },
            );
        }
        world.pass(Duration::from_secs(2));
        world
    }

    /// A line of nodes, each a neighbour of the next.
    fn line(count: usize) -> Self {
        let links: Vec<_> = (1..count).map(|node| (node - 1, node)).collect();
        Self::new(count, &links)
    }

    fn feed(&mut self, node: usize, input: Input) {
        self.nodes[node].handle(self.now, input);
        self.drain(node);
    }

    fn drain(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].poll() {
            if matches!(
                output,
                Output::Traced { .. }
                    | Output::Surveyed { .. }
                    | Output::Refused { .. }
                    | Output::Close { .. }
            ) {
                self.told.push((node, output));
            }
        }
    }

    /// Carries gossip until nothing is due.
    fn talk(&mut self) {
        loop {
            let mut moved = false;
            for number in 0..self.links.len() {
                let (a, b) = self.links[number];
                for (from, to) in [(a, b), (b, a)] {
                    let neighbour = Neighbour(number as u64);
                    while let Some(object) = self.nodes[from].gossip(neighbour) {
                        moved = true;
                        if !self.silent.contains(&number) {
                            self.feed(to, Input::Gossip { neighbour, object });
                        }
                    }
                    self.drain(from);
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += Duration::from_millis(50);
            for node in 0..self.nodes.len() {
                self.feed(node, Input::Tick);
            }
            self.talk();
        }
    }

    fn announce(&mut self, node: usize) {
        let namespace = TrackNamespace::new(["live"]).unwrap();
        let entry = Entry::Namespace(namespace);
        self.feed(node, Input::Announce { entry, present: true });
        self.pass(Duration::from_secs(2));
    }

    /// The nodes on the path, and whether its last hop pulls from somebody.
    fn trace(&mut self, from: usize, origin: usize) -> (Vec<NodeId>, bool) {
        let (request, origin) = (self.told.len() as u64, id(origin));
        self.feed(from, Input::Trace { request, origin });
        self.talk();
        let mut passed = 0;
        loop {
            let answer = self.told.iter().find_map(|(node, output)| match output {
                Output::Traced { request: of, hops } if *node == from && *of == request => Some(hops.clone()),
                _ => None,
            });
            if let Some(hops) = answer {
                let open = hops.last().unwrap().upstream.is_some();
                return (hops.iter().map(|hop| hop.node).collect(), open);
            }
            passed += 1;
            assert!(passed < 200, "no answer within ten seconds");
            self.pass(Duration::from_millis(50));
        }
    }

    fn survey(&mut self, from: usize) -> Option<BTreeMap<NodeId, Summary>> {
        self.told.clear();
        self.feed(from, Input::Survey);
        self.talk();
        self.surveyed(from)
    }

    fn surveyed(&self, from: usize) -> Option<BTreeMap<NodeId, Summary>> {
        self.told.iter().find_map(|(node, output)| match output {
            Output::Surveyed { nodes } if *node == from => {
                assert!(nodes.is_sorted_by_key(|node| node.node), "in order, none twice");
                Some(nodes.iter().map(|node| (node.node, node.clone())).collect())
            }
            _ => None,
        })
    }

    /// What a neighbour of a node says to it, beside its gossip.
    fn say(&mut self, node: usize, neighbour: u64, record: Record) {
        let neighbour = Neighbour(neighbour);
        assert_eq!(self.nodes[node].record(neighbour, record), Ok(()));
        self.drain(node);
    }
}

#[test]
fn a_trace_tells_each_hop_to_the_origin() {
    let mut world = World::line(4);
    world.announce(3);
    assert_eq!(world.trace(0, 3), ((0..4).map(id).collect(), false));
    assert_eq!(world.trace(3, 3), (vec![id(3)], false), "at the origin itself");
    assert_eq!(
        world.trace(0, 9),
        (vec![id(0)], false),
        "of an origin that nobody knows"
    );
}

#[test]
fn a_trace_ends_at_who_does_not_answer() {
    let mut world = World::line(4);
    world.announce(3);
    world.silent.insert(2);
    let asked = world.now;
    assert_eq!(world.trace(0, 3), ((0..3).map(id).collect(), true));
    assert!(
        world.now - asked < Duration::from_secs(7),
        "{:?}",
        world.now - asked
    );
    let neighbour = Neighbour(1);
    world.silent.insert(1);
    world.feed(
        0,
        Input::Trace {
            request: 99,
            origin: id(3),
        },
    );
    world.talk();
    for node in [1, 2] {
        world.feed(node, Input::NeighbourDown { neighbour });
    }
    world.talk();
    let last = world.told.last();
    assert!(
        matches!(last, Some((0, Output::Traced { request: 99, hops })) if hops.len() == 2),
        "a session that ends is no reason to wait: {last:?}"
    );
}

#[test]
fn who_asks_too_often_is_not_answered() {
    let mut world = World::line(3);
    world.announce(2);
    world.told.clear();
    for request in 0..100 {
        let (origin, ttl) = (id(2), u8::MAX);
        world.say(1, 0, Record::TraceReq(TraceReq { request, origin, ttl }));
        world.say(1, 0, Record::StatusReq(StatusReq { request, ttl }));
    }
    let refused = |what| {
        let reason = Misconduct::Flood(what);
        let same =
            |output: &Output| matches!(output, Output::Refused { reason: found, .. } if *found == reason);
        world.told.iter().filter(|(_, output)| same(output)).count()
    };
    assert_eq!((refused("TRACE_REQ"), refused("STATUS_REQ")), (90, 84));
}

#[test]
fn a_survey_finds_every_node_and_both_ends_of_every_link() {
    let mut world = World::line(3);
    let vitals = Vitals {
        load: 120,
        clients: 4,
        tracks: 2,
    };
    world.feed(2, Input::Vitals(vitals));
    world.feed(
        2,
        Input::Suspect {
            neighbour: Neighbour(1),
            suspect: true,
        },
    );
    let nodes = world.survey(0).expect("answered at once");
    assert_eq!(nodes.keys().copied().collect::<Vec<_>>(), [id(0), id(1), id(2)]);
    let far = &nodes[&id(2)];
    assert_eq!((far.load, far.clients, far.tracks, far.uptime_s), (120, 4, 2, 2));
    assert_eq!(
        (far.links[0].node, far.links[0].health),
        (id(1), LinkHealth::Suspect)
    );
    assert_eq!(nodes[&id(1)].links.len(), 2);
}

#[test]
fn a_survey_of_200_nodes_is_whole_and_repeated_ones_cost_nothing() {
    let links: Vec<_> = (0..200)
        .flat_map(|node| [1, 7, 31].map(|step| (node, (node + step) % 200)))
        .collect();
    let mut world = World::new(200, &links);
    let nodes = world.survey(17).expect("answered at once");
    assert_eq!(nodes.len(), 200);
    assert!(nodes.values().all(|node| node.links.len() == 6));
    let before: u64 = world.nodes[17].neighbours().map(|view| view.gossip.0).sum();
    assert_eq!(world.survey(17).expect("from memory").len(), 200);
    let after: u64 = world.nodes[17].neighbours().map(|view| view.gossip.0).sum();
    assert_eq!(before, after);
}

#[test]
fn many_who_look_at_once_all_see_the_whole_mesh() {
    let links: Vec<_> = (0..12).map(|node| (node, (node + 1) % 12)).collect();
    let mut world = World::new(12, &links);
    for (round, lookers) in [6, 12, 12, 12].into_iter().enumerate() {
        world.told.clear();
        for node in 0..lookers {
            world.feed(node, Input::Survey);
        }
        world.talk();
        world.pass(Duration::from_millis(3000));
        for node in 0..lookers {
            let seen = world.surveyed(node).map(|nodes| nodes.len());
            assert_eq!(seen, Some(12), "node {node} in round {round}");
        }
    }
}

#[test]
fn a_silent_part_of_the_mesh_delays_a_survey_and_does_not_stop_it() {
    let mut world = World::line(4);
    world.silent.insert(2);
    assert!(world.survey(0).is_none(), "somebody may still answer");
    world.pass(Duration::from_secs(4));
    let nodes = world.surveyed(0).expect("answered in time");
    assert_eq!(nodes.keys().copied().collect::<Vec<_>>(), [id(0), id(1), id(2)]);
}
