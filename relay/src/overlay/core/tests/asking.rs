//! What people find out about the mesh.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::keys::id;
use super::net::{Net, entry};
use crate::overlay::core::{Input, Misconduct, Output, Portrait, Vitals};
use crate::overlay::id::{Neighbour, NodeId};
use crate::overlay::message::{
    Last, LinkHealth, MAX_PULLS, NamespaceHash, NodePulls, Pull, Record, Roles, StatusPulls, StatusRep,
    StatusReq, Summary, TraceReq,
};

/// What happens without any time passing.
const AT_ONCE: Duration = Duration::ZERO;

impl Net {
    fn publish_at(&mut self, node: usize) {
        self.announce(node, entry(0), true);
        self.run(Duration::from_secs(2));
    }

    /// The nodes on the path, and whether its last hop pulls from somebody.
    fn trace(&mut self, from: usize, origin: usize) -> (Vec<NodeId>, bool) {
        let (request, origin) = (self.told.len() as u64, id(origin));
        self.feed(from, Input::Trace { request, origin });
        let asked = self.now;
        loop {
            self.run(Duration::from_millis(50));
            let answer = self.told.iter().find_map(|(node, output)| match output {
                Output::Traced { request: of, hops } if *node == from && *of == request => Some(hops.clone()),
                _ => None,
            });
            if let Some(hops) = answer {
                let open = hops.last().unwrap().upstream.is_some();
                return (hops.iter().map(|hop| hop.node).collect(), open);
            }
            assert!(self.now - asked < Duration::from_secs(10), "no answer");
        }
    }

    fn survey(&mut self, from: usize) -> Option<BTreeMap<NodeId, Portrait>> {
        self.told.clear();
        self.feed(from, Input::Survey);
        self.run(AT_ONCE);
        self.surveyed(from)
    }

    fn surveyed(&self, from: usize) -> Option<BTreeMap<NodeId, Portrait>> {
        self.told.iter().find_map(|(node, output)| match output {
            Output::Surveyed { nodes } if *node == from => {
                assert!(
                    nodes.is_sorted_by_key(|it| it.summary.node),
                    "in order, none twice"
                );
                Some(nodes.iter().map(|it| (it.summary.node, it.clone())).collect())
            }
            _ => None,
        })
    }

    /// What a neighbour says to the node at one end of a link, beside its gossip.
    fn say_over(&mut self, link: usize, end: usize, record: Record) {
        let (node, neighbour) = self.end(link, end);
        assert_eq!(self.nodes[node].core.record(neighbour, record), Ok(()));
        self.drain(node);
    }

    fn end(&self, link: usize, end: usize) -> (usize, Neighbour) {
        let end = &self.links[link].ends[end];
        (end.node, end.session.expect("a session"))
    }

    /// Nothing gets through any more, and nobody notices.
    fn mute(&mut self, link: usize) {
        self.links[link].joined = false;
    }
}

#[test]
fn a_trace_tells_each_hop_to_the_origin() {
    let mut net = Net::line(4);
    net.publish_at(3);
    assert_eq!(net.trace(0, 3), ((0..4).map(id).collect(), false));
    assert_eq!(net.trace(3, 3), (vec![id(3)], false), "at the origin itself");
    assert_eq!(
        net.trace(0, 9),
        (vec![id(0)], false),
        "of an origin that nobody knows"
    );
}

#[test]
fn a_trace_ends_at_who_does_not_answer() {
    let mut net = Net::line(4);
    net.publish_at(3);
    net.mute(2);
    let asked = net.now;
    assert_eq!(net.trace(0, 3), ((0..3).map(id).collect(), true));
    assert!(net.now - asked < Duration::from_secs(7), "{:?}", net.now - asked);
    net.mute(1);
    net.feed(
        0,
        Input::Trace {
            request: 99,
            origin: id(3),
        },
    );
    net.run(AT_ONCE);
    for end in [0, 1] {
        let (node, neighbour) = net.end(1, end);
        net.feed(node, Input::NeighbourDown { neighbour });
    }
    net.run(AT_ONCE);
    let last = net.told.last();
    assert!(
        matches!(last, Some((0, Output::Traced { request: 99, hops })) if hops.len() == 2),
        "a session that ends is no reason to wait: {last:?}"
    );
}

#[test]
fn who_asks_too_often_is_not_answered() {
    let mut net = Net::line(3);
    net.publish_at(2);
    net.told.clear();
    for request in 0..100 {
        let (origin, ttl) = (id(2), u8::MAX);
        net.say_over(0, 1, Record::TraceReq(TraceReq { request, origin, ttl }));
        net.say_over(0, 1, Record::StatusReq(StatusReq { request, ttl }));
    }
    let refused = |what| {
        let reason = Misconduct::Flood(what);
        let same =
            |output: &Output| matches!(output, Output::Refused { reason: found, .. } if *found == reason);
        net.told.iter().filter(|(_, output)| same(output)).count()
    };
    assert_eq!((refused("TRACE_REQ"), refused("STATUS_REQ")), (90, 84));
}

#[test]
fn a_survey_finds_every_node_and_both_ends_of_every_link() {
    let mut net = Net::line(3);
    let vitals = Vitals {
        name: "attic".to_owned(),
        load: 120,
        clients: 4,
        tracks: 2,
        pulls: Vec::new(),
    };
    net.feed(2, Input::Vitals(vitals));
    let (_, neighbour) = net.end(1, 1);
    net.feed(
        2,
        Input::Suspect {
            neighbour,
            suspect: true,
        },
    );
    let nodes = net.survey(0).expect("answered at once");
    assert_eq!(nodes.keys().copied().collect::<Vec<_>>(), [id(0), id(1), id(2)]);
    let far = &nodes[&id(2)].summary;
    assert_eq!((far.load, far.clients, far.tracks, far.uptime_s), (120, 4, 2, 2));
    assert_eq!(far.name, "attic");
    assert_eq!(
        (far.links[0].node, far.links[0].health),
        (id(1), LinkHealth::Suspect)
    );
    assert_eq!(nodes[&id(1)].summary.links.len(), 2);
}

fn pull(seed: usize, from: Option<usize>) -> Pull {
    let mut hash = [0; 8];
    hash[0] = u8::try_from(seed).unwrap();
    Pull {
        namespace: NamespaceHash(hash),
        from: from.map(id),
    }
}

fn pulling(pulls: Vec<Pull>) -> Input {
    Input::Vitals(Vitals {
        pulls,
        ..Vitals::default()
    })
}

#[test]
fn a_survey_tells_from_where_each_node_pulls_and_when_it_does_no_more() {
    // More nodes than one record has, and at the far end more pulls than one node tells of.
    let mut net = Net::line(20);
    let many: Vec<_> = (0..MAX_PULLS + 8).map(|seed| pull(seed, None)).collect();
    net.feed(19, pulling(many.clone()));
    for node in 0..19 {
        net.feed(node, pulling(vec![pull(0, Some(node + 1))]));
    }
    // Questions travel 16 hops.
    let nodes = net.survey(4).expect("answered at once");
    assert_eq!(nodes.len(), 20);
    assert_eq!(nodes[&id(19)].pulls, many[..MAX_PULLS], "of those the first");
    for node in 0..19 {
        assert_eq!(nodes[&id(node)].pulls, [pull(0, Some(node + 1))], "node {node}");
    }
    net.run(Duration::from_secs(2));
    net.feed(7, pulling(Vec::new()));
    net.feed(8, pulling(vec![pull(0, Some(7)), pull(0, Some(9))]));
    let nodes = net.survey(4).expect("answered at once");
    assert_eq!(nodes[&id(7)].pulls, []);
    assert_eq!(nodes[&id(8)].pulls.len(), 2, "while it changes over");
}

/// The number of a question that somebody at a node asks, after so many others.
fn question(node: usize, count: u64) -> u64 {
    let epoch = 1_u64;
    let asked = [&id(node).0[..], &epoch.to_be_bytes(), &count.to_be_bytes()].concat();
    u64::from_be_bytes(*Sha256::digest(asked).first_chunk().unwrap())
}

#[test]
fn pulls_are_taken_of_nodes_that_the_next_record_of_the_same_answer_tells_of() {
    let mut net = Net::line(2);
    net.feed(0, pulling(vec![pull(1, None)]));
    net.mute(0);
    assert!(net.survey(0).is_none(), "the neighbour has not answered");
    let request = question(0, 0);
    let pulls = |request, seed| {
        let pulls = vec![pull(seed, None)];
        let nodes = (0..3).map(|node| NodePulls {
            node: id(node),
            pulls: pulls.clone(),
        });
        Record::StatusPulls(StatusPulls {
            request,
            nodes: nodes.collect(),
        })
    };
    let status = |last, nodes| Record::StatusRep(StatusRep { request, last, nodes });
    let neighbour = Summary {
        node: id(1),
        name: String::new(),
        roles: Roles::RELAY,
        uptime_s: 1,
        load: 0,
        clients: 0,
        tracks: 0,
        links: Vec::new(),
    };
    net.say_over(0, 0, pulls(request, 2));
    net.say_over(0, 0, status(Last::No, vec![neighbour.clone()]));
    net.say_over(0, 0, status(Last::Yes, Vec::new()));
    let nodes = net.surveyed(0).expect("answered");
    let found: Vec<_> = nodes
        .into_values()
        .map(|it| (it.summary.node, it.pulls))
        .collect();
    assert_eq!(
        found,
        [(id(0), vec![pull(1, None)]), (id(1), vec![pull(2, None)])]
    );

    net.run(Duration::from_secs(2));
    assert!(net.survey(0).is_none(), "asked again");
    let request = question(0, 1);
    let last = Record::StatusRep(StatusRep {
        request,
        last: Last::Yes,
        nodes: vec![neighbour],
    });
    net.say_over(0, 0, pulls(request + 1, 3));
    net.say_over(0, 0, last);
    let nodes = net.surveyed(0).expect("answered");
    assert_eq!(
        nodes[&id(1)].pulls,
        [],
        "what another answer told is not of this one"
    );
}

#[test]
fn a_survey_of_200_nodes_is_whole_and_repeated_ones_cost_nothing() {
    let links: Vec<_> = (0..200)
        .flat_map(|node| [1, 7, 31].map(|step| (node, (node + step) % 200)))
        .collect();
    let mut net = Net::new(200, &links, AT_ONCE);
    let nodes = net.survey(17).expect("answered at once");
    assert_eq!(nodes.len(), 200);
    assert!(nodes.values().all(|node| node.summary.links.len() == 6));
    let before: u64 = net.nodes[17].core.neighbours().map(|view| view.gossip.0).sum();
    assert_eq!(net.survey(17).expect("from memory").len(), 200);
    let after: u64 = net.nodes[17].core.neighbours().map(|view| view.gossip.0).sum();
    assert_eq!(before, after);
}

#[test]
fn many_who_look_at_once_all_see_the_whole_mesh() {
    let links: Vec<_> = (0..12).map(|node| (node, (node + 1) % 12)).collect();
    let mut net = Net::new(12, &links, AT_ONCE);
    for (round, lookers) in [6, 12, 12, 12].into_iter().enumerate() {
        net.told.clear();
        for node in 0..lookers {
            net.feed(node, Input::Survey);
        }
        net.run(AT_ONCE);
        net.run(Duration::from_millis(3000));
        for node in 0..lookers {
            let seen = net.surveyed(node).map(|nodes| nodes.len());
            assert_eq!(seen, Some(12), "node {node} in round {round}");
        }
    }
}

#[test]
fn a_silent_part_of_the_mesh_delays_a_survey_and_does_not_stop_it() {
    let mut net = Net::line(4);
    net.mute(2);
    assert!(net.survey(0).is_none(), "somebody may still answer");
    net.run(Duration::from_secs(4));
    let nodes = net.surveyed(0).expect("answered in time");
    assert_eq!(nodes.keys().copied().collect::<Vec<_>>(), [id(0), id(1), id(2)]);
}
