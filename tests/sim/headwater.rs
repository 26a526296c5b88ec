//! The real routes, one for each node.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_relay::overlay::id::{Cost, Neighbour, NodeId};
use headwater_relay::overlay::routes::{Config, DropReason, Flush, Output, Role, Routes};

use crate::network::{MS, Time};
use crate::protocol::{Effects, Protocol, Timer, packed};

/// When media is there after the round trip of its subscription: two objects.
const PROOF: Time = 66 * MS;
/// How long an upstream is kept that has no route any more, if nothing else delivers.
const LEFTOVER: Time = 2_000 * MS;

struct Node {
    routes: Routes,
    /// Of each neighbour: its session and the round trip.
    sessions: BTreeMap<usize, (Neighbour, Time)>,
    wake: Option<Time>,
    /// Of each origin: who is used, and as what.
    roles: Vec<BTreeMap<usize, Role>>,
    /// The same without tentative ones, the primary first.
    firm: Vec<Vec<usize>>,
    /// Of each origin: who lost its own route, but is still pulled from until something else delivers; and until when.
    leftovers: Vec<BTreeMap<usize, Time>>,
}

pub struct Headwater {
    origins: Vec<usize>,
    nodes: Vec<Node>,
    owners: BTreeMap<Neighbour, (usize, usize)>,
    next: u64,
    epoch: u64,
    config: Config,
}

fn id(node: usize) -> NodeId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(node as u64).to_be_bytes());
    NodeId(id)
}

fn number(id: NodeId) -> usize {
    u64::from_be_bytes(id.0[..8].try_into().expect("eight bytes")) as usize
}

impl Headwater {
    pub fn new(nodes: usize, origins: &[usize], config: Config) -> Self {
        let blank = |node| Node {
            routes: Routes::new(id(node), 1, config.clone()),
            sessions: BTreeMap::new(),
            wake: None,
            roles: vec![BTreeMap::new(); origins.len()],
            firm: vec![Vec::new(); origins.len()],
            leftovers: vec![BTreeMap::new(); origins.len()],
        };
        let nodes = (0..nodes).map(blank).collect();
        Self {
            origins: origins.to_vec(),
            nodes,
            owners: BTreeMap::new(),
            next: 1,
            epoch: 1,
            config: config.clone(),
        }
    }

    fn act(
        &mut self,
        now: Time,
        node: usize,
        effects: &mut Effects<Flush>,
        act: impl FnOnce(&mut Routes, Duration),
    ) {
        act(&mut self.nodes[node].routes, Duration::from_micros(now));
        self.settle(now, node, effects);
    }

    fn settle(&mut self, now: Time, node: usize, effects: &mut Effects<Flush>) {
        while let Some(output) = self.nodes[node].routes.poll() {
            match output {
                Output::Ready(neighbour) => {
                    let (_, other) = self.owners[&neighbour];
                    let at = Duration::from_micros(now);
                    while let Some(flush) = self.nodes[node].routes.next_flush(at, neighbour, usize::MAX) {
                        effects.sends.push((node, other, flush));
                    }
                }
                Output::Use {
                    origin,
                    neighbour,
                    role,
                } => self.used(now, node, origin, neighbour, Some(role), effects),
                Output::Drop {
                    origin,
                    neighbour,
                    reason,
                } => {
                    self.used(now, node, origin, neighbour, None, effects);
                    if matches!(reason, DropReason::Retracted | DropReason::Superseded) {
                        self.linger(now, node, origin, neighbour, effects);
                    }
                }
                _ => {}
            }
        }
        let deadline = self.nodes[node]
            .routes
            .deadline()
            .map(|at| (at.as_nanos().div_ceil(1_000) as u64).max(now));
        if let Some(at) = deadline
            && self.nodes[node].wake.is_none_or(|wake| wake > at || wake < now)
        {
            self.nodes[node].wake = Some(at);
            effects.timers.push((at, node, Timer::Wake));
        }
    }

    fn index(&self, origin: NodeId) -> Option<usize> {
        let node = number(origin);
        self.origins.iter().position(|&origin| origin == node)
    }

    /// "Retracted" is not "unsubscribed": what such an upstream still gets, its downstream gets.
    fn linger(
        &mut self,
        now: Time,
        node: usize,
        origin: NodeId,
        neighbour: Neighbour,
        effects: &mut Effects<Flush>,
    ) {
        let upstream = self.owners.get(&neighbour).map(|&(_, upstream)| upstream);
        if let (Some(origin), Some(upstream)) = (self.index(origin), upstream)
            && self.nodes[node].sessions.contains_key(&upstream)
        {
            let until = now + LEFTOVER;
            self.nodes[node].leftovers[origin].insert(upstream, until);
            effects
                .timers
                .push((until, node, Timer::Leftover { origin, upstream }));
        }
    }

    /// Something else delivers from `at` on.
    fn end_leftovers(&mut self, at: Time, node: usize, origin: usize, effects: &mut Effects<Flush>) {
        for (&upstream, until) in &mut self.nodes[node].leftovers[origin] {
            *until = at.min(*until);
            effects
                .timers
                .push((*until, node, Timer::Leftover { origin, upstream }));
        }
    }

    fn used(
        &mut self,
        now: Time,
        node: usize,
        origin: NodeId,
        neighbour: Neighbour,
        role: Option<Role>,
        effects: &mut Effects<Flush>,
    ) {
        let Some(origin) = self.index(origin) else {
            return;
        };
        let Some(&(_, upstream)) = self.owners.get(&neighbour) else {
            return;
        };
        let state = &mut self.nodes[node];
        match role {
            Some(role) => state.roles[origin].insert(upstream, role),
            None => state.roles[origin].remove(&upstream),
        };
        state.leftovers[origin].remove(&upstream);
        let mut firm: Vec<(Role, usize)> = state.roles[origin]
            .iter()
            .filter(|&(_, &role)| role != Role::Tentative)
            .map(|(&upstream, &role)| (role, upstream))
            .collect();
        firm.sort();
        state.firm[origin] = firm.into_iter().map(|(_, upstream)| upstream).collect();
        effects.touched.push((node, origin));
        let round_trip = state.sessions.get(&upstream).map_or(0, |session| session.1);
        match role {
            Some(Role::Pending) => {
                effects.timers.push((
                    now + round_trip + 30 * MS,
                    node,
                    Timer::CaughtUp { origin, upstream },
                ));
            }
            Some(Role::Primary) => self.end_leftovers(now + round_trip + PROOF, node, origin, effects),
            Some(Role::Tentative) => {
                effects
                    .timers
                    .push((now + round_trip + PROOF, node, Timer::Proof { origin, upstream }));
            }
            _ => {}
        }
        // The subscription arrives, or ends.
        if let Some(&(session, _)) = self.nodes[upstream].sessions.get(&node) {
            let child = role.is_some_and(|role| role != Role::Tentative);
            let at = Duration::from_micros(now);
            let origin = id(self.origins[origin]);
            self.nodes[upstream].routes.child(at, session, origin, child);
            self.settle(now, upstream, effects);
        }
    }
}

impl Protocol for Headwater {
    type Message = Flush;

    fn up(
        &mut self,
        now: Time,
        node: usize,
        other: usize,
        cost: u64,
        round_trip: Time,
        effects: &mut Effects<Flush>,
    ) {
        self.down(now, node, other, effects);
        let session = Neighbour(self.next);
        self.next += 1;
        self.owners.insert(session, (node, other));
        self.nodes[node].sessions.insert(other, (session, round_trip));
        self.act(now, node, effects, |routes, at| {
            routes.neighbour_up(at, session, id(other), Cost::clamped(cost))
        });
    }

    fn down(&mut self, now: Time, node: usize, other: usize, effects: &mut Effects<Flush>) {
        if let Some((session, _)) = self.nodes[node].sessions.remove(&other) {
            self.act(now, node, effects, |routes, at| {
                routes.neighbour_down(at, session)
            });
            self.owners.remove(&session);
            for leftovers in &mut self.nodes[node].leftovers {
                leftovers.remove(&other);
            }
        }
    }

    fn message(&mut self, now: Time, node: usize, from: usize, flush: Flush, effects: &mut Effects<Flush>) {
        let Some(&(session, _)) = self.nodes[node].sessions.get(&from) else {
            return;
        };
        self.act(now, node, effects, |routes, at| {
            for origin in flush.reset_acks {
                routes.reset_ack(at, session, origin);
            }
            for (origin, row) in flush.rows {
                routes.row(at, session, origin, row).expect("within the limits");
            }
            for request in flush.requests {
                // A refused request is repeated by who needs it.
                let _ = routes.seq_request(at, session, request.origin, request.wanted, request.ttl);
            }
        });
    }

    fn timer(&mut self, now: Time, node: usize, timer: Timer, works: bool, effects: &mut Effects<Flush>) {
        let (origin, upstream) = match timer {
            Timer::Wake => {
                self.nodes[node].wake = None;
                return self.act(now, node, effects, Routes::tick);
            }
            Timer::Leftover { origin, upstream } => {
                let leftovers = &mut self.nodes[node].leftovers[origin];
                if leftovers.get(&upstream).is_some_and(|&until| until <= now) {
                    leftovers.remove(&upstream);
                    effects.rerouted.push(origin);
                }
                return;
            }
            Timer::CaughtUp { origin, upstream } | Timer::Proof { origin, upstream } => (origin, upstream),
        };
        let Some(&(session, _)) = self.nodes[node].sessions.get(&upstream) else {
            return;
        };
        if works && matches!(timer, Timer::Proof { .. }) {
            self.end_leftovers(now, node, origin, effects);
        }
        let origin = id(self.origins[origin]);
        self.act(now, node, effects, |routes, at| match timer {
            Timer::Proof { .. } if works => routes.tentative_proved(at, session, origin),
            Timer::Proof { .. } => routes.tentative_failed(at, session, origin),
            _ => routes.media_caught_up(at, session, origin),
        });
    }

    fn cost(&mut self, now: Time, node: usize, other: usize, cost: u64, effects: &mut Effects<Flush>) {
        if let Some(&(session, _)) = self.nodes[node].sessions.get(&other) {
            self.act(now, node, effects, |routes, at| {
                routes.cost_changed(at, session, Cost::clamped(cost))
            });
        }
    }

    fn start(&mut self, now: Time, node: usize, effects: &mut Effects<Flush>) {
        self.epoch += 1;
        let state = &mut self.nodes[node];
        state.routes = Routes::new(id(node), self.epoch, self.config.clone());
        state.wake = None;
        for (session, _) in std::mem::take(&mut state.sessions).into_values() {
            self.owners.remove(&session);
        }
        for origin in 0..self.origins.len() {
            state.roles[origin].clear();
            state.firm[origin].clear();
            state.leftovers[origin].clear();
            effects.touched.push((node, origin));
        }
        for origin in self.origins.clone() {
            self.act(now, node, effects, |routes, at| {
                if origin == node {
                    routes.announce(at, true)
                } else {
                    routes.interest(at, id(origin), true)
                }
            });
        }
    }

    fn upstreams(&self, node: usize, origin: usize) -> &[usize] {
        &self.nodes[node].firm[origin]
    }

    fn feeds(&self, node: usize, origin: usize) -> Vec<usize> {
        let state = &self.nodes[node];
        state.roles[origin]
            .iter()
            .filter(|&(_, role)| matches!(role, Role::Primary | Role::Tentative))
            .map(|(&upstream, _)| upstream)
            .chain(state.leftovers[origin].keys().copied())
            .collect()
    }

    fn size(&self, flush: &Flush, _namespaces: u64) -> (u64, u64) {
        // Alias 2, flags and number 2, metric 3, log version 2; a request 8, an acknowledgement 3; framing 4.
        let rows = flush.rows.len() as u64;
        let bytes = 4 + 9 * rows + 8 * flush.requests.len() as u64 + 3 * flush.reset_acks.len() as u64;
        (packed(bytes), rows)
    }
}
