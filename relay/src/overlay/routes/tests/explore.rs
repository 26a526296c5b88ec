//! All interleavings of very small networks: every order of deliveries, faults and timers up to a depth, each state once.
//!
//! States are told apart by what they hold, with times relative to the present and sessions by the nodes they join, as
//! the clock and the numbering never repeat. What can still go wrong counts too: only so many faults are let happen.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::super::neighbour::Adjacent;
use super::super::route::Route;
use super::super::{Config, Role, Routes};
use super::net::{Act, Net, node_id};
use crate::overlay::id::Neighbour;

/// How many of each may still happen on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Budget {
    cuts: u8,
    costs: u8,
    restarts: u8,
    tracks: u8,
}

/// Distance of a time to the present: those that have passed by more than any wait are all the same.
fn relative(now: Duration, at: Duration) -> i128 {
    let micros = |time: Duration| i128::try_from(time.as_micros()).unwrap();
    (micros(at) - micros(now)).max(-700_000_000)
}

fn write_route(
    text: &mut String,
    now: Duration,
    name: &dyn Fn(Neighbour) -> usize,
    route: &Route,
    neighbours: &[Adjacent],
) {
    let time = |at: Option<Duration>| at.map(|at| relative(now, at));
    let due = |at: Duration| relative(now, at).max(0);
    for (link, adjacent) in route.paths(neighbours) {
        write!(
            text,
            "{} {:?}{:?}{:?}{:?}",
            name(adjacent.neighbour),
            link.heard,
            link.low,
            link.sent,
            link.role
        )
        .unwrap();
        let flags = [
            link.child,
            link.tried,
            link.answer,
            link.told,
            link.reset_due,
            link.reset_unacked,
        ];
        write!(text, "{flags:?};").unwrap();
    }
    let named = |list: &[(Neighbour, Duration)]| -> Vec<(usize, i128)> {
        list.iter()
            .map(|&(neighbour, at)| (name(neighbour), relative(now, at)))
            .collect()
    };
    let recent: Vec<(Neighbour, Duration)> = route.unrest.recent.iter().copied().collect();
    // Whether one that has passed is still there makes no difference.
    let forwarded = route.unrest.forwarded.filter(|&(_, until)| until > now);
    let want: Vec<_> = route
        .unrest
        .want
        .iter()
        .map(|&(neighbour, seq)| (name(neighbour), seq))
        .collect();
    write!(
        text,
        "{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}",
        route.fd,
        route.primary.map(name),
        route.mine,
        time(route.pending_until),
        named(&route.unrest.draining),
        named(&recent),
        time(route.better_since),
        (due(route.dwell.at), route.dwell.wait),
        time(route.unrest.vacate_by),
        (due(route.ask.at), route.ask.wait),
        route.unrest.optimum.map(|retry| (due(retry.at), retry.wait)),
        route.proved,
        want,
        forwarded.map(|(seq, until)| (seq, due(until))),
        time(route.unrest.lost_since),
        route.resetting,
    )
    .unwrap();
}

fn write_node(text: &mut String, now: Duration, name: &dyn Fn(Neighbour) -> usize, routes: &Routes) {
    write!(text, "{:?}{:?}", routes.own.seq, routes.own.wish).unwrap();
    for adjacent in &routes.neighbours {
        let due = adjacent.due.map(|at| relative(now, at).max(0));
        write!(text, "{}{:?}{:?}", name(adjacent.neighbour), adjacent.cost, due).unwrap();
        write!(
            text,
            "{:?}{:?}{:?}",
            adjacent.dirty, adjacent.requests, adjacent.reset_acks
        )
        .unwrap();
    }
    for route in routes.origins.iter() {
        write_route(text, now, name, route, &routes.neighbours);
    }
}

fn fingerprint(net: &Net, budget: Budget) -> u64 {
    let name = |session: Neighbour| {
        let end = |link: &super::net::Link| link.ends.iter().position(|end| end.session == Some(session));
        net.links
            .iter()
            .enumerate()
            .find_map(|(at, link)| Some(2 * at + end(link)?))
            .unwrap_or(usize::MAX)
    };
    let mut text = String::new();
    for routes in &net.nodes {
        write_node(&mut text, net.now, &name, routes);
    }
    for link in &net.links {
        let ends = link
            .ends
            .each_ref()
            .map(|end| (end.session.is_some(), end.cost, &end.sent));
        write!(text, "{}{ends:?}", link.live).unwrap();
    }
    let mut hasher = DefaultHasher::new();
    (text, budget).hash(&mut hasher);
    hasher.finish()
}

/// Everything that may happen next, each with what is left to go wrong after it.
fn moves(net: &Net, budget: Budget) -> Vec<(Act, Budget)> {
    let mut moves = vec![(Act::Tick, budget)];
    for (link, state) in net.links.iter().enumerate() {
        for end in 0..2 {
            if !state.ends[end].sent.is_empty() {
                moves.push((Act::Deliver { link, end }, budget));
            }
            if !state.live && state.ends[end].session.is_some() {
                moves.push((Act::Notice { link, end }, budget));
            }
            if budget.costs > 0 {
                let cost = if state.ends[end].cost == 30_000 {
                    1_000
                } else {
                    30_000
                };
                moves.push((
                    Act::Cost { link, end, cost },
                    Budget {
                        costs: budget.costs - 1,
                        ..budget
                    },
                ));
            }
            if budget.tracks > 0 {
                moves.push((
                    Act::TryUse { link, end },
                    Budget {
                        tracks: budget.tracks - 1,
                        ..budget
                    },
                ));
            }
        }
        if state.live && budget.cuts > 0 {
            moves.push((
                Act::Cut { link },
                Budget {
                    cuts: budget.cuts - 1,
                    ..budget
                },
            ));
        }
        if !state.live && state.ends.iter().all(|end| end.session.is_none()) {
            moves.push((Act::Heal { link }, budget));
        }
    }
    for node in 0..net.nodes.len() {
        if net.holder(node, node_id(0), Role::Pending).is_some() {
            moves.push((Act::CaughtUp { node }, budget));
        }
        if net.holder(node, node_id(0), Role::Tentative).is_some() {
            moves.push((Act::TentativeFails { node }, budget));
        }
        if budget.restarts > 0 {
            moves.push((
                Act::Restart { node },
                Budget {
                    restarts: budget.restarts - 1,
                    ..budget
                },
            ));
        }
    }
    moves
}

/// Breadth first from a settled network, so that each state is met with as many steps left as possible.
fn explore(nodes: usize, edges: &[(usize, usize, u64, u64)], budget: Budget, depth: usize) -> usize {
    let mut net = Net::new(nodes, edges, 1, &Config::default());
    net.run_quiet();
    let mut seen = HashSet::from([fingerprint(&net, budget)]);
    let mut layer = vec![(net, budget)];
    for _ in 0..depth {
        let mut next = Vec::new();
        for (net, budget) in &layer {
            for (act, budget) in moves(net, *budget) {
                let mut net = net.clone();
                if net.act(act) && seen.insert(fingerprint(&net, budget)) {
                    next.push((net, budget));
                }
            }
        }
        layer = next;
    }
    println!(
        "{nodes} nodes, {} links, {budget:?}: {} states within {depth} steps",
        edges.len(),
        seen.len()
    );
    seen.len()
}

/// Deeper by so many steps: `HEADWATER_EXPLORE=4`.
fn deeper() -> usize {
    std::env::var("HEADWATER_EXPLORE")
        .ok()
        .and_then(|steps| steps.parse().ok())
        .unwrap_or(0)
}

const LITTLE: Budget = Budget {
    cuts: 1,
    costs: 1,
    restarts: 0,
    tracks: 0,
};

#[test]
fn two_nodes_to_depth_twelve() {
    let budget = Budget {
        cuts: 2,
        costs: 1,
        restarts: 1,
        tracks: 0,
    };
    assert!(explore(2, &[(0, 1, 1_000, 1_000)], budget, 12 + deeper()) > 100);
}

#[test]
fn a_triangle_to_depth_twelve() {
    let edges = [(0, 1, 1_000, 1_000), (1, 2, 1_000, 2_000), (2, 0, 4_000, 1_000)];
    assert!(explore(3, &edges, LITTLE, 12 + deeper()) > 1_000);
}

#[test]
fn a_triangle_with_tracks_and_restarts() {
    let edges = [(0, 1, 1_000, 1_000), (1, 2, 1_000, 2_000), (2, 0, 4_000, 1_000)];
    let budget = Budget {
        cuts: 1,
        costs: 0,
        restarts: 1,
        tracks: 1,
    };
    assert!(explore(3, &edges, budget, 7 + deeper()) > 1_000);
}

#[test]
fn a_square_with_a_diagonal_to_depth_eight() {
    let edges = [
        (0, 1, 1_000, 1_000),
        (1, 2, 1_000, 2_000),
        (2, 3, 1_000, 1_000),
        (3, 0, 9_000, 1_000),
        (1, 3, 2_000, 1_000),
    ];
    assert!(explore(4, &edges, LITTLE, 8 + deeper()) > 1_000);
}
