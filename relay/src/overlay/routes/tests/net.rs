//! A small network of routes with every message in a queue of its own, and the invariants of the specification.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::super::{Candidate, Config, Flush, Output, Refusal, Role, Routes};
use crate::overlay::id::{Cost, Key, Neighbour, NodeId};

pub(super) fn node_id(node: usize) -> NodeId {
    NodeId([u8::try_from(node).unwrap() + 1; 32])
}

/// One end of a link: its session, while that end believes in it.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) node: usize,
    pub(super) session: Option<Neighbour>,
    pub(super) cost: u64,
    /// What it sent and the other end has not read.
    pub(super) sent: VecDeque<Flush>,
}

#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) ends: [End; 2],
    /// Messages get through. A link that is cut stays so until both ends have noticed.
    pub(super) live: bool,
}

/// What can happen. Numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Deliver {
        link: usize,
        end: usize,
    },
    Cut {
        link: usize,
    },
    Notice {
        link: usize,
        end: usize,
    },
    Heal {
        link: usize,
    },
    Cost {
        link: usize,
        end: usize,
        cost: u64,
    },
    Suspect {
        link: usize,
        end: usize,
        suspect: bool,
    },
    Restart {
        node: usize,
    },
    /// On to the next deadline of any node.
    Tick,
    Wait {
        millis: u64,
    },
    /// Every pending upstream of a node has caught up.
    CaughtUp {
        node: usize,
    },
    TryUse {
        link: usize,
        end: usize,
    },
    Release {
        link: usize,
        end: usize,
    },
    TentativeFails {
        node: usize,
    },
    Interest {
        node: usize,
        interest: bool,
    },
    Announce {
        origin: usize,
        announced: bool,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Net {
    pub(super) now: Duration,
    pub(super) nodes: Vec<Routes>,
    pub(super) links: Vec<Link>,
    /// Nodes that announce.
    pub(super) origins: Vec<usize>,
    pub(super) announced: Vec<bool>,
    config: Config,
    epoch: u64,
    next_session: u64,
    /// The feasibility distances as last seen, by node and origin.
    seen: BTreeMap<(usize, usize), Key>,
    /// Everything that came out, if asked for.
    pub(super) trace: Option<Vec<String>>,
    pub(super) rows_sent: u64,
}

impl Net {
    /// `edges`: two nodes and the cost charged by each. The first `origins` nodes announce, everybody is interested.
    pub(super) fn new(
        nodes: usize,
        edges: &[(usize, usize, u64, u64)],
        origins: usize,
        config: &Config,
    ) -> Self {
        let mut net = Self {
            now: Duration::from_secs(1),
            nodes: (0..nodes)
                .map(|node| Routes::new(node_id(node), 1, config.clone()))
                .collect(),
            links: Vec::new(),
            origins: (0..origins).collect(),
            announced: vec![true; origins],
            config: config.clone(),
            epoch: 1,
            next_session: 1,
            seen: BTreeMap::new(),
            trace: None,
            rows_sent: 0,
        };
        for node in 0..nodes {
            net.equip(node);
        }
        for &(a, b, cost_a, cost_b) in edges {
            let end = |node, cost| End {
                node,
                session: None,
                cost,
                sent: VecDeque::new(),
            };
            net.links.push(Link {
                ends: [end(a, cost_a), end(b, cost_b)],
                live: false,
            });
            net.heal(net.links.len() - 1);
        }
        net.settle_outputs();
        net
    }

    fn equip(&mut self, node: usize) {
        for &origin in &self.origins.clone() {
            self.nodes[node].interest(self.now, node_id(origin), origin != node);
            if origin == node {
                self.nodes[node].announce(self.now, self.announced[origin]);
            }
        }
    }

    fn heal(&mut self, link: usize) {
        let now = self.now;
        if self.links[link].live || self.links[link].ends.iter().any(|end| end.session.is_some()) {
            return;
        }
        self.links[link].live = true;
        for end in 0..2 {
            let session = Neighbour(self.next_session);
            self.next_session += 1;
            let other = node_id(self.links[link].ends[1 - end].node);
            let this = &mut self.links[link].ends[end];
            this.session = Some(session);
            this.sent.clear();
            self.nodes[this.node].neighbour_up(now, session, other, Cost::clamped(this.cost));
        }
    }

    fn cut(&mut self, link: usize) {
        self.links[link].live = false;
        self.links[link].ends.iter_mut().for_each(|end| end.sent.clear());
    }

    fn restart(&mut self, node: usize) {
        self.epoch += 1;
        self.nodes[node] = Routes::new(node_id(node), self.epoch, self.config.clone());
        self.seen.retain(|&(seen, _), _| seen != node);
        for link in 0..self.links.len() {
            for end in 0..2 {
                if self.links[link].ends[end].node == node {
                    self.cut(link);
                    self.links[link].ends[end].session = None;
                }
            }
        }
        self.equip(node);
    }

    fn deliver(&mut self, link: usize, end: usize) -> bool {
        let Some(flush) = self.links[link].ends[end].sent.pop_front() else {
            return false;
        };
        let other = &self.links[link].ends[1 - end];
        let (now, node, session) = (self.now, other.node, other.session.expect("the link is live"));
        let routes = &mut self.nodes[node];
        for origin in flush.reset_acks {
            routes.reset_ack(now, session, origin);
        }
        for (origin, row) in flush.rows {
            routes.row(now, session, origin, row).unwrap();
        }
        for request in flush.requests {
            let taken = routes.seq_request(now, session, request.origin, request.wanted, request.ttl);
            // Here messages may wait for minutes and then come in one instant; a refused request is repeated.
            assert!(
                matches!(taken, Ok(()) | Err(Refusal::RequestsOfOrigin)),
                "{taken:?}"
            );
        }
        true
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.nodes.iter().filter_map(Routes::deadline).min()
    }

    fn wait(&mut self, until: Duration) {
        self.now = self.now.max(until);
        for node in &mut self.nodes {
            if node.deadline().is_some_and(|at| at <= self.now) {
                node.tick(self.now);
            }
        }
    }

    fn end_of(&self, link: usize, end: usize) -> (usize, Option<Neighbour>) {
        let end = &self.links[link].ends[end];
        (end.node, end.session)
    }

    /// Does one thing, reads what comes out, and checks every invariant. Returns whether anything could happen at all.
    pub(super) fn act(&mut self, act: Act) -> bool {
        let now = self.now;
        let count = self.links.len();
        match act {
            Act::Deliver { link, end } => {
                if !self.deliver(link % count, end % 2) {
                    return false;
                }
            }
            Act::Cut { link } => {
                if !self.links[link % count].live {
                    return false;
                }
                self.cut(link % count);
            }
            Act::Notice { link, end } => {
                let (link, end) = (link % count, end % 2);
                let (node, session) = self.end_of(link, end);
                let Some(session) = session.filter(|_| !self.links[link].live) else {
                    return false;
                };
                self.links[link].ends[end].session = None;
                self.nodes[node].neighbour_down(now, session);
            }
            Act::Heal { link } => self.heal(link % count),
            Act::Cost { link, end, cost } => {
                let (link, end) = (link % count, end % 2);
                let (node, session) = self.end_of(link, end);
                self.links[link].ends[end].cost = cost;
                let Some(session) = session else { return false };
                self.nodes[node].cost_changed(now, session, Cost::clamped(cost));
            }
            Act::Suspect { link, end, suspect } => {
                let (node, Some(session)) = self.end_of(link % count, end % 2) else {
                    return false;
                };
                self.nodes[node].suspect(now, session, suspect);
            }
            Act::Restart { node } => self.restart(node % self.nodes.len()),
            Act::Tick => {
                let Some(at) = self.deadline() else { return false };
                self.wait(at);
            }
            Act::Wait { millis } => self.wait(now + Duration::from_millis(millis)),
            Act::TryUse { link, end } => {
                let (node, Some(session)) = self.end_of(link % count, end % 2) else {
                    return false;
                };
                for &origin in &self.origins {
                    self.nodes[node].try_use(now, session, node_id(origin));
                }
            }
            Act::Release { link, end } => {
                let (node, Some(session)) = self.end_of(link % count, end % 2) else {
                    return false;
                };
                for &origin in &self.origins {
                    self.nodes[node].release(now, session, node_id(origin));
                }
            }
            Act::CaughtUp { .. }
            | Act::TentativeFails { .. }
            | Act::Interest { .. }
            | Act::Announce { .. } => {
                self.act_on_node(act);
            }
        }
        self.settle_outputs();
        self.check();
        true
    }

    fn act_on_node(&mut self, act: Act) {
        let (now, count) = (self.now, self.nodes.len());
        for index in 0..self.origins.len() {
            let origin = node_id(self.origins[index]);
            match act {
                Act::CaughtUp { node } => {
                    if let Some(neighbour) = self.holder(node % count, origin, Role::Pending) {
                        self.nodes[node % count].media_caught_up(now, neighbour, origin);
                    }
                }
                Act::TentativeFails { node } => {
                    if let Some(neighbour) = self.holder(node % count, origin, Role::Tentative) {
                        self.nodes[node % count].tentative_failed(now, neighbour, origin);
                    }
                }
                Act::Interest { node, interest } if node % count != self.origins[index] => {
                    self.nodes[node % count].interest(now, origin, interest);
                }
                Act::Announce { origin, announced } if origin % self.origins.len() == index => {
                    self.announced[index] = announced;
                    self.nodes[self.origins[index]].announce(now, announced);
                }
                _ => {}
            }
        }
    }

    pub(super) fn holder(&self, node: usize, origin: NodeId, role: Role) -> Option<Neighbour> {
        self.nodes[node]
            .candidates(origin)
            .find(|way| way.role == Some(role))
            .map(|way| way.neighbour)
    }

    /// The link and the end that a session of a node belongs to.
    fn locate(&self, node: usize, session: Neighbour) -> Option<(usize, usize)> {
        self.links.iter().enumerate().find_map(|(link, state)| {
            let end = state
                .ends
                .iter()
                .position(|end| end.node == node && end.session == Some(session))?;
            Some((link, end))
        })
    }

    /// The node at the other end of a session, if the session is alive for both.
    pub(super) fn peer(&self, node: usize, session: Neighbour) -> Option<(usize, Neighbour)> {
        let (link, end) = self.locate(node, session)?;
        let other = &self.links[link].ends[1 - end];
        self.links[link].live.then_some(())?;
        Some((other.node, other.session?))
    }

    /// Reads every output: what is due goes into the queues, and an upstream hears of its child at once.
    fn settle_outputs(&mut self) {
        let mut again = true;
        while again {
            again = false;
            for node in 0..self.nodes.len() {
                while let Some(output) = self.nodes[node].poll() {
                    again = true;
                    self.obey(node, output);
                }
            }
        }
    }

    fn obey(&mut self, node: usize, output: Output) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:?} {node} {output:?}", self.now));
        }
        let (neighbour, origin, child) = match output {
            Output::Ready(neighbour) => {
                self.flush(node, neighbour);
                return;
            }
            Output::Use {
                neighbour,
                origin,
                role,
            } => (neighbour, origin, role != Role::Tentative),
            Output::Drop {
                neighbour, origin, ..
            } => (neighbour, origin, false),
            _ => return,
        };
        if let Some((upstream, session)) = self.peer(node, neighbour) {
            self.nodes[upstream].child(self.now, session, origin, child);
        }
    }

    fn flush(&mut self, node: usize, neighbour: Neighbour) {
        while let Some(flush) = self.nodes[node].next_flush(self.now, neighbour, 1) {
            self.rows_sent += u64::try_from(flush.rows.len()).unwrap();
            if let Some(trace) = &mut self.trace {
                trace.push(format!("{:?} {node} {flush:?}", self.now));
            }
            for (origin, row) in &flush.rows {
                let fd = self.nodes[node].feasibility_distance(*origin);
                let key = row.distance.map(|distance| Key {
                    seq: row.seq,
                    distance,
                });
                assert!(
                    key.is_none_or(|key| fd.is_some_and(|fd| !key.closer_than(fd))),
                    "I3: node {node} sends {row:?} while its feasibility distance is {fd:?}"
                );
            }
            let (link, end) = self
                .locate(node, neighbour)
                .expect("only sessions in place are flushed");
            if self.links[link].live {
                self.links[link].ends[end].sent.push_back(flush);
            }
        }
    }

    /// Upstreams in use over sessions that live on both ends.
    fn pointers(&self, node: usize, origin: NodeId) -> Vec<(usize, Candidate)> {
        self.nodes[node]
            .candidates(origin)
            .filter(|way| way.role.is_some_and(|role| role != Role::Tentative))
            .filter_map(|way| Some((self.peer(node, way.neighbour)?.0, way)))
            .collect()
    }

    fn check(&mut self) {
        for index in 0..self.origins.len() {
            let origin = node_id(self.origins[index]);
            let pointers: Vec<Vec<(usize, Candidate)>> = (0..self.nodes.len())
                .map(|node| self.pointers(node, origin))
                .collect();
            for (node, upstreams) in pointers.iter().enumerate() {
                let fd = self.nodes[node].feasibility_distance(origin);
                for way in self.nodes[node].candidates(origin) {
                    if way.role.is_some_and(|role| role != Role::Tentative) {
                        let kept = way.low.is_some_and(|low| fd.is_none_or(|fd| low.closer_than(fd)));
                        assert!(
                            kept,
                            "I1: node {node} uses {way:?} with feasibility distance {fd:?}"
                        );
                    }
                }
                for &(upstream, way) in upstreams {
                    let theirs = self.nodes[upstream].feasibility_distance(origin);
                    assert!(
                        theirs.is_some_and(|theirs| fd.is_none_or(|fd| theirs.closer_than(fd))),
                        "I1: node {node} at {fd:?} points to node {upstream} at {theirs:?}: {way:?}"
                    );
                }
                self.check_monotone(node, index, fd, &pointers);
            }
            assert!(acyclic(&pointers), "I2: a cycle among {pointers:?}");
        }
    }

    /// I3: the feasibility distance moves away only while nobody points here.
    fn check_monotone(
        &mut self,
        node: usize,
        index: usize,
        fd: Option<Key>,
        pointers: &[Vec<(usize, Candidate)>],
    ) {
        let slot = (node, self.origins[index]);
        let before = self.seen.get(&slot).copied();
        if before.is_some_and(|before| fd.is_none_or(|fd| before.closer_than(fd))) {
            let pointed = pointers.iter().flatten().any(|&(upstream, _)| upstream == node);
            assert!(
                !pointed,
                "I3: node {node} went from {before:?} to {fd:?} with children"
            );
        }
        match fd {
            Some(fd) => self.seen.insert(slot, fd),
            None => self.seen.remove(&slot),
        };
    }

    /// Heals everything, then lets the network run until it is quiet. I6: it becomes so.
    pub(super) fn calm(&mut self) {
        for link in 0..self.links.len() {
            for end in 0..2 {
                self.act(Act::Notice { link, end });
                self.act(Act::Suspect {
                    link,
                    end,
                    suspect: false,
                });
            }
            self.act(Act::Heal { link });
        }
        for node in 0..self.nodes.len() {
            self.act(Act::Interest { node, interest: true });
        }
        self.run_quiet();
    }

    pub(super) fn run_quiet(&mut self) {
        let ends: Vec<(usize, usize)> = (0..self.links.len())
            .flat_map(|link| [(link, 0), (link, 1)])
            .collect();
        for _ in 0..5_000 {
            let mut moved = ends.iter().fold(false, |moved, &(link, end)| {
                self.act(Act::Deliver { link, end }) | moved
            });
            for node in 0..self.nodes.len() {
                self.act(Act::CaughtUp { node });
            }
            moved |= !moved && self.act(Act::Tick);
            if !moved {
                return;
            }
        }
        panic!(
            "I6: no quiet by {:?}, next deadline {:?}",
            self.now,
            self.deadline()
        );
    }
}

fn acyclic(pointers: &[Vec<(usize, Candidate)>]) -> bool {
    let mut alive: Vec<bool> = vec![true; pointers.len()];
    for _ in 0..pointers.len() {
        for node in 0..pointers.len() {
            if alive[node] && !pointers[node].iter().any(|&(upstream, _)| alive[upstream]) {
                alive[node] = false;
            }
        }
    }
    !alive.contains(&true)
}
