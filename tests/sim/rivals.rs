//! Protocols that carry the path of each row: `hop-list` tells every change at once, as moq-dev's cluster does but with the
//! metric of ours; `seed-1s` tells its whole table each second.

use crate::network::{MS, Time};
use crate::protocol::{Effects, Protocol, Timer, packed};

type Path = Vec<u16>;
type Rows = Vec<(usize, Option<(u64, Path)>)>;

struct Neighbour {
    other: usize,
    cost: u64,
    heard: Vec<Option<(u64, Path)>>,
    sent: Vec<Option<(u64, Path)>>,
}

pub struct Rival {
    origins: Vec<usize>,
    neighbours: Vec<Vec<Neighbour>>,
    /// Of each node and origin: the upstream, or nothing.
    upstream: Vec<Vec<Vec<usize>>>,
    periodic: bool,
}

impl Rival {
    pub fn new(nodes: usize, origins: &[usize], periodic: bool) -> Self {
        let upstream = vec![vec![Vec::new(); origins.len()]; nodes];
        let neighbours = (0..nodes).map(|_| Vec::new()).collect();
        Self {
            origins: origins.to_vec(),
            neighbours,
            upstream,
            periodic,
        }
    }

    fn find(&self, node: usize, other: usize) -> Option<usize> {
        self.neighbours[node]
            .iter()
            .position(|neighbour| neighbour.other == other)
    }

    /// The best row, leaving out those that come from, or lead through, `except`.
    fn pick(&self, node: usize, origin: usize, except: Option<usize>) -> Option<(u64, usize)> {
        self.neighbours[node]
            .iter()
            .filter_map(|neighbour| {
                let (cost, path) = neighbour.heard[origin].as_ref()?;
                let barred =
                    except.is_some_and(|except| neighbour.other == except || path.contains(&(except as u16)));
                (!barred).then_some((cost + neighbour.cost, path.len(), neighbour.other))
            })
            .min()
            .map(|(cost, _, other)| (cost, other))
    }

    fn row(&self, node: usize, origin: usize, to: usize) -> Option<(u64, Path)> {
        if self.origins[origin] == node {
            return Some((0, vec![node as u16]));
        }
        let (cost, other) = self.pick(node, origin, Some(to))?;
        let (_, path) = self.neighbours[node][self.find(node, other)?].heard[origin].as_ref()?;
        Some((cost, path.iter().copied().chain([node as u16]).collect()))
    }

    fn point(&mut self, node: usize, origin: usize, effects: &mut Effects<Rows>) {
        let upstream: Vec<usize> = self
            .pick(node, origin, None)
            .map(|(_, other)| other)
            .into_iter()
            .collect();
        if self.upstream[node][origin] != upstream {
            self.upstream[node][origin] = upstream;
            effects.touched.push((node, origin));
        }
    }

    fn refresh(&mut self, node: usize, origins: &[usize], effects: &mut Effects<Rows>) {
        for &origin in origins {
            let gone = self.upstream[node][origin].iter().any(|&other| {
                self.find(node, other)
                    .is_none_or(|at| self.neighbours[node][at].heard[origin].is_none())
            });
            // The periodic one follows at its next round, unless its upstream is gone.
            if !self.periodic || gone || self.upstream[node][origin].is_empty() {
                self.point(node, origin, effects);
            }
        }
        if self.periodic {
            return;
        }
        for at in 0..self.neighbours[node].len() {
            let other = self.neighbours[node][at].other;
            let mut rows = Rows::new();
            for &origin in origins {
                let row = self.row(node, origin, other);
                if row != self.neighbours[node][at].sent[origin] {
                    self.neighbours[node][at].sent[origin].clone_from(&row);
                    rows.push((origin, row));
                }
            }
            if !rows.is_empty() {
                effects.sends.push((node, other, rows));
            }
        }
    }

    fn all(&self) -> Vec<usize> {
        (0..self.origins.len()).collect()
    }
}

impl Protocol for Rival {
    type Message = Rows;

    fn up(&mut self, now: Time, node: usize, other: usize, cost: u64, _: Time, effects: &mut Effects<Rows>) {
        self.down(now, node, other, effects);
        let none = vec![None; self.origins.len()];
        self.neighbours[node].push(Neighbour {
            other,
            cost,
            heard: none.clone(),
            sent: none,
        });
        self.refresh(node, &self.all(), effects);
    }

    fn down(&mut self, _: Time, node: usize, other: usize, effects: &mut Effects<Rows>) {
        if let Some(at) = self.find(node, other) {
            self.neighbours[node].swap_remove(at);
            self.refresh(node, &self.all(), effects);
        }
    }

    fn message(&mut self, _: Time, node: usize, from: usize, rows: Rows, effects: &mut Effects<Rows>) {
        let Some(at) = self.find(node, from) else { return };
        let mut changed: Vec<usize> = rows.iter().map(|&(origin, _)| origin).collect();
        let heard = &mut self.neighbours[node][at].heard;
        if self.periodic {
            // A full table replaces what was said before.
            heard.fill(None);
            changed = (0..heard.len()).collect();
        }
        for (origin, row) in rows {
            heard[origin] = row.filter(|(_, path)| !path.contains(&(node as u16)));
        }
        self.refresh(node, &changed, effects);
    }

    fn timer(&mut self, now: Time, node: usize, _: Timer, _: bool, effects: &mut Effects<Rows>) {
        effects.timers.push((now + 1_000 * MS, node, Timer::Wake));
        for at in 0..self.neighbours[node].len() {
            let other = self.neighbours[node][at].other;
            let rows = self.all().into_iter();
            let rows = rows
                .filter_map(|origin| Some((origin, Some(self.row(node, origin, other)?))))
                .collect();
            effects.sends.push((node, other, rows));
        }
        for origin in self.all() {
            self.point(node, origin, effects);
        }
    }

    fn cost(&mut self, _: Time, node: usize, other: usize, cost: u64, effects: &mut Effects<Rows>) {
        if let Some(at) = self.find(node, other) {
            self.neighbours[node][at].cost = cost;
            self.refresh(node, &self.all(), effects);
        }
    }

    fn start(&mut self, now: Time, node: usize, effects: &mut Effects<Rows>) {
        self.neighbours[node].clear();
        for origin in self.all() {
            self.upstream[node][origin].clear();
            effects.touched.push((node, origin));
        }
        if self.periodic && now == 0 {
            effects
                .timers
                .push((node as u64 * 7_919 % 1_000 * MS, node, Timer::Wake));
        }
    }

    fn upstreams(&self, node: usize, origin: usize) -> &[usize] {
        &self.upstream[node][origin]
    }

    fn feeds(&self, node: usize, origin: usize) -> Vec<usize> {
        self.upstream[node][origin].first().copied().into_iter().collect()
    }

    fn size(&self, rows: &Rows, namespaces: u64) -> (u64, u64) {
        // Periodic: 20 bytes and 5 per hop; hop list: a namespace of 24, 6 more, and 8 per hop.
        let row = |row: &Option<(u64, Path)>| match row {
            Some((_, path)) if self.periodic => 20 + 5 * path.len() as u64,
            Some((_, path)) => 30 + 8 * path.len() as u64,
            None => 28,
        };
        let bytes: u64 = rows.iter().map(|(_, each)| namespaces * row(each)).sum();
        (packed(bytes + 4), rows.len() as u64 * namespaces)
    }
}
