//! Links, topologies and shortest paths. Times and costs are in microseconds.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

pub type Time = u64;
pub const MS: Time = 1_000;
/// What a hop costs besides its latency.
pub const HOP: u64 = 1_000;
pub const FAR: u64 = u64::MAX / 4;

/// SplitMix64: every run is repeatable.
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In 0..1.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Of the normal distribution, after Box and Muller.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.share()).cos()
    }

    pub fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }
}

#[derive(Clone)]
pub struct Link {
    pub ends: [usize; 2],
    pub latency: Time,
    /// Charged by each end for what it pulls.
    pub cost: [u64; 2],
    pub up: bool,
    /// Counts sessions: what belongs to an earlier one is void.
    pub session: u32,
    /// When the last message of each direction arrives: links keep order.
    pub clear: [Time; 2],
}

impl Link {
    pub fn cost_at(&self, node: usize) -> u64 {
        self.cost[usize::from(self.ends[0] != node)]
    }
}

#[derive(Clone)]
pub struct Network {
    pub links: Vec<Link>,
    /// Of each node: the other ends, and by which link.
    pub adjacent: Vec<BTreeMap<usize, usize>>,
    pub alive: Vec<bool>,
}

impl Network {
    pub fn nodes(&self) -> usize {
        self.alive.len()
    }

    pub fn other(&self, link: usize, node: usize) -> usize {
        let [a, b] = self.links[link].ends;
        if a == node { b } else { a }
    }

    /// Whether `node` can pull from `upstream` right now.
    pub fn connected(&self, node: usize, upstream: usize) -> bool {
        self.alive[node]
            && self.alive[upstream]
            && self.adjacent[node]
                .get(&upstream)
                .is_some_and(|&link| self.links[link].up)
    }

    fn join(&mut self, a: usize, b: usize, latency: Time) {
        if a == b || self.adjacent[a].contains_key(&b) {
            return;
        }
        let cost = [latency + HOP; 2];
        self.adjacent[a].insert(b, self.links.len());
        self.adjacent[b].insert(a, self.links.len());
        self.links.push(Link {
            ends: [a, b],
            latency,
            cost,
            up: true,
            session: 0,
            clear: [0; 2],
        });
    }

    /// Least cost from each node to the origin over what works now.
    pub fn distances(&self, origin: usize) -> Vec<u64> {
        let mut distances = vec![FAR; self.nodes()];
        if !self.alive[origin] {
            return distances;
        }
        distances[origin] = 0;
        let mut open = BinaryHeap::from([Reverse((0, origin))]);
        while let Some(Reverse((distance, node))) = open.pop() {
            if distance > distances[node] {
                continue;
            }
            for (&next, &link) in &self.adjacent[node] {
                if !self.connected(next, node) {
                    continue;
                }
                let further = distance + self.links[link].cost_at(next);
                if further < distances[next] {
                    distances[next] = further;
                    open.push(Reverse((further, next)));
                }
            }
        }
        distances
    }

    pub fn mean_round_trip(&self) -> f64 {
        self.links
            .iter()
            .map(|link| 2.0 * link.latency as f64)
            .sum::<f64>()
            / self.links.len() as f64
            / MS as f64
    }
}

/// `geo`: four nearest and two random neighbours, which is how nodes choose theirs. `ba`: a power law, three links for each
/// newcomer. `fall`: a tree of four children by proximity and one spare link each, the worst case for alternatives.
pub fn topology(kind: &str, nodes: usize, dice: &mut Dice) -> Network {
    let places: Vec<(f64, f64, u64)> = (0..nodes)
        .map(|_| (dice.share(), dice.share(), 500 + (dice.share() * 3_000.0) as u64))
        .collect();
    // 90 ms one way across the side of the square, and what the access of both ends takes.
    let latency = |a: usize, b: usize| {
        let (x, y) = (places[a].0 - places[b].0, places[a].1 - places[b].1);
        ((x * x + y * y).sqrt() * 90_000.0) as u64 + places[a].2 + places[b].2
    };
    let nearest = |node: usize, others: &mut dyn Iterator<Item = usize>| {
        let mut near: Vec<usize> = others.filter(|&other| other != node).collect();
        near.sort_by_key(|&other| (latency(node, other), other));
        near
    };
    let mut network = Network {
        links: Vec::new(),
        adjacent: vec![BTreeMap::new(); nodes],
        alive: vec![true; nodes],
    };
    match kind {
        "geo" => {
            for node in 0..nodes {
                for other in nearest(node, &mut (0..nodes)).into_iter().take(4) {
                    network.join(node, other, latency(node, other));
                }
                for _ in 0..2 {
                    let other = dice.below(nodes);
                    network.join(node, other, latency(node, other));
                }
            }
        }
        "ba" => {
            let mut ends: Vec<usize> = Vec::new();
            for node in 1..nodes {
                let mut chosen: Vec<usize> = Vec::new();
                while chosen.len() < node.min(3) {
                    let other = if node <= 3 {
                        dice.below(node)
                    } else {
                        ends[dice.below(ends.len())]
                    };
                    if !chosen.contains(&other) {
                        chosen.push(other);
                    }
                }
                for other in chosen {
                    network.join(node, other, latency(node, other));
                    ends.extend([node, other]);
                }
            }
        }
        "fall" => {
            let mut children = vec![0; nodes];
            for node in 1..nodes {
                let parent = nearest(node, &mut (0..node).filter(|&other| children[other] < 4))[0];
                children[parent] += 1;
                network.join(node, parent, latency(node, parent));
                let spare = dice.below(node);
                network.join(node, spare, latency(node, spare));
            }
        }
        _ => panic!("no topology is called {kind}"),
    }
    network
}
