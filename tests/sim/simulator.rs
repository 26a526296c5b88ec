//! A discrete-event simulator: links keep order and lose nothing while they are up, faults are silent and noticed later.

use std::collections::BTreeMap;

use crate::network::{Dice, FAR, MS, Network, Time};
use crate::protocol::{Effects, Protocol, Timer};

/// What a node takes to handle a message.
const PROCESSING: Time = 300;
/// A silent fault is noticed after this, and up to 30 % more.
pub const DETECTION: Time = 300 * MS;

enum Event<M> {
    Deliver {
        link: usize,
        from: usize,
        session: u32,
        message: M,
    },
    Timer {
        node: usize,
        boot: u32,
        timer: Timer,
    },
    Down {
        node: usize,
        link: usize,
        session: u32,
    },
    Up {
        node: usize,
        link: usize,
        session: u32,
    },
}

/// What was counted since the last [`Simulator::take`].
#[derive(Clone, Default)]
pub struct Counts {
    pub packets: u64,
    pub rows: u64,
    /// With one namespace at each origin.
    pub bytes: u64,
    /// With a hundred.
    pub bytes_100: u64,
    /// How long pairs that are connected had no working chain of upstreams, in milliseconds.
    pub outages: Vec<f64>,
    /// Looks at the graph of upstreams, one after each change of a pointer, and how many found a cycle through it.
    pub snapshots: u64,
    pub cycles: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.bytes_100 += other.bytes_100;
        self.outages.extend(&other.outages);
        self.snapshots += other.snapshots;
        self.cycles += other.cycles;
    }
}

pub struct Simulator<P: Protocol> {
    pub now: Time,
    pub network: Network,
    pub protocol: P,
    pub counts: Counts,
    origins: Vec<usize>,
    events: BTreeMap<(Time, u64), Event<P::Message>>,
    next: u64,
    boots: Vec<u32>,
    /// Of each origin and node: whether a path exists, and since when no chain of upstreams works.
    reachable: Vec<Vec<bool>>,
    broken: Vec<Vec<Option<Time>>>,
    changed: Vec<bool>,
    /// Outages need a look at the whole graph, which is slow.
    pub watch_outages: bool,
    visited: Vec<u32>,
    visit: u32,
}

impl<P: Protocol> Simulator<P> {
    pub fn new(network: Network, protocol: P, origins: &[usize]) -> Self {
        let (nodes, count) = (network.nodes(), origins.len());
        let mut simulator = Self {
            now: 0,
            protocol,
            counts: Counts::default(),
            origins: origins.to_vec(),
            events: BTreeMap::new(),
            next: 0,
            boots: vec![0; nodes],
            reachable: vec![vec![false; nodes]; count],
            broken: vec![vec![None; nodes]; count],
            changed: vec![true; count],
            watch_outages: true,
            visited: vec![0; nodes],
            visit: 0,
            network,
        };
        for node in 0..nodes {
            simulator.with(|protocol, now, effects| protocol.start(now, node, effects));
        }
        for link in 0..simulator.network.links.len() {
            for node in simulator.network.links[link].ends {
                simulator.push(
                    0,
                    Event::Up {
                        node,
                        link,
                        session: 0,
                    },
                );
            }
        }
        simulator.survey();
        simulator
    }

    fn push(&mut self, at: Time, event: Event<P::Message>) {
        self.next += 1;
        self.events.insert((at, self.next), event);
    }

    fn with(&mut self, act: impl FnOnce(&mut P, Time, &mut Effects<P::Message>)) {
        let mut effects = Effects::default();
        act(&mut self.protocol, self.now, &mut effects);
        for (from, to, message) in effects.sends {
            self.send(from, to, message);
        }
        for (at, node, timer) in effects.timers {
            let boot = self.boots[node];
            self.push(at.max(self.now), Event::Timer { node, boot, timer });
        }
        for origin in effects.rerouted {
            self.changed[origin] = true;
        }
        effects.touched.sort_unstable();
        effects.touched.dedup();
        for (node, origin) in effects.touched {
            self.changed[origin] = true;
            self.counts.snapshots += 1;
            self.counts.cycles += u64::from(self.on_cycle(node, origin));
        }
    }

    fn send(&mut self, from: usize, to: usize, message: P::Message) {
        let Some(&link) = self.network.adjacent[from].get(&to) else {
            return;
        };
        if !self.network.alive[from] {
            return;
        }
        let (bytes, rows) = self.protocol.size(&message, 1);
        self.counts.packets += bytes.div_ceil(1_260);
        self.counts.rows += rows;
        self.counts.bytes += bytes;
        self.counts.bytes_100 += self.protocol.size(&message, 100).0;
        let state = &mut self.network.links[link];
        if state.up {
            let clear = &mut state.clear[usize::from(state.ends[0] != from)];
            *clear = (self.now + state.latency + PROCESSING).max(*clear + 1);
            let (at, session) = (*clear, state.session);
            self.push(
                at,
                Event::Deliver {
                    link,
                    from,
                    session,
                    message,
                },
            );
        }
    }

    /// Whether the pointers of `node` lead back to it. Only pointers that changed can close a cycle, so this after each change
    /// is a look at the whole graph.
    fn on_cycle(&mut self, node: usize, origin: usize) -> bool {
        self.visit += 1;
        let mut open = vec![node];
        while let Some(at) = open.pop() {
            for &upstream in self.protocol.upstreams(at, origin) {
                if !self.network.connected(at, upstream) {
                    continue;
                }
                if upstream == node {
                    return true;
                }
                if self.visited[upstream] != self.visit {
                    self.visited[upstream] = self.visit;
                    open.push(upstream);
                }
            }
        }
        false
    }

    /// Whether media reaches the node now.
    fn fed(&mut self, node: usize, origin: usize) -> bool {
        self.visit += 1;
        self.visited[node] = self.visit;
        let mut open = vec![node];
        while let Some(at) = open.pop() {
            if at == self.origins[origin] {
                return self.network.alive[at];
            }
            for upstream in self.protocol.feeds(at, origin) {
                if self.network.connected(at, upstream) && self.visited[upstream] != self.visit {
                    self.visited[upstream] = self.visit;
                    open.push(upstream);
                }
            }
        }
        false
    }

    /// Finds out anew who is connected to whom.
    pub fn survey(&mut self) {
        if self.watch_outages {
            for (index, &origin) in self.origins.iter().enumerate() {
                let distances = self.network.distances(origin);
                self.reachable[index] = distances.iter().map(|&distance| distance < FAR).collect();
            }
        }
        self.changed.fill(true);
    }

    fn look(&mut self) {
        if !self.watch_outages {
            return;
        }
        for origin in 0..self.origins.len() {
            if std::mem::take(&mut self.changed[origin]) {
                let fed = self.all_fed(origin);
                for (node, fed) in fed.into_iter().enumerate() {
                    let broken = &mut self.broken[origin][node];
                    if !self.reachable[origin][node] {
                        *broken = None;
                    } else if !fed {
                        broken.get_or_insert(self.now);
                    } else if let Some(since) = broken.take() {
                        self.counts.outages.push((self.now - since) as f64 / MS as f64);
                    }
                }
            }
        }
    }

    /// Whether media reaches each node.
    fn all_fed(&self, origin: usize) -> Vec<bool> {
        let nodes = self.network.nodes();
        let mut downstream = vec![Vec::new(); nodes];
        for node in 0..nodes {
            for upstream in self.protocol.feeds(node, origin) {
                if self.network.connected(node, upstream) {
                    downstream[upstream].push(node);
                }
            }
        }
        let mut fed = vec![false; nodes];
        let start = self.origins[origin];
        let mut open = Vec::new();
        if self.network.alive[start] {
            fed[start] = true;
            open.push(start);
        }
        while let Some(at) = open.pop() {
            for &node in &downstream[at] {
                if !std::mem::replace(&mut fed[node], true) {
                    open.push(node);
                }
            }
        }
        fed
    }

    /// Until that time, and what happens at it.
    pub fn run(&mut self, until: Time) {
        while let Some((&(at, _), _)) = self.events.first_key_value() {
            if at > until {
                break;
            }
            if at > self.now {
                self.look();
                self.now = at;
            }
            if let Some((_, event)) = self.events.pop_first() {
                self.happen(event);
            }
        }
        self.look();
        self.now = until;
    }

    fn happen(&mut self, event: Event<P::Message>) {
        match event {
            Event::Deliver {
                link,
                from,
                session,
                message,
            } => {
                let node = self.network.other(link, from);
                let state = &self.network.links[link];
                if state.up && state.session == session && self.network.alive[node] {
                    self.with(|protocol, now, effects| protocol.message(now, node, from, message, effects));
                }
            }
            Event::Timer { node, boot, timer } => {
                if self.network.alive[node] && self.boots[node] == boot {
                    let works = matches!(timer, Timer::Proof { origin, upstream }
                        if self.network.connected(node, upstream) && self.fed(upstream, origin));
                    self.with(|protocol, now, effects| protocol.timer(now, node, timer, works, effects));
                }
            }
            Event::Down { node, link, session } => {
                if self.network.alive[node] && self.network.links[link].session == session {
                    let other = self.network.other(link, node);
                    self.with(|protocol, now, effects| protocol.down(now, node, other, effects));
                }
            }
            Event::Up { node, link, session } => {
                let state = &self.network.links[link];
                if self.network.alive[node] && state.up && state.session == session {
                    let (cost, round_trip) = (state.cost_at(node), 2 * state.latency);
                    let other = self.network.other(link, node);
                    self.with(|protocol, now, effects| {
                        protocol.up(now, node, other, cost, round_trip, effects)
                    });
                }
            }
        }
    }

    /// The link fails silently.
    pub fn cut(&mut self, link: usize, dice: &mut Dice) {
        let state = &mut self.network.links[link];
        if state.up {
            state.up = false;
            state.session += 1;
            let (ends, session) = (state.ends, state.session);
            for node in ends {
                let at = self.now + DETECTION + (dice.share() * 0.3 * DETECTION as f64) as Time;
                self.push(at, Event::Down { node, link, session });
            }
        }
    }

    /// A new session, a round trip later. It closes the old one first: a late detection must not undo the new one.
    pub fn heal(&mut self, link: usize) {
        let state = &mut self.network.links[link];
        let [a, b] = state.ends;
        if state.up || !self.network.alive[a] || !self.network.alive[b] {
            return;
        }
        state.up = true;
        state.session += 1;
        let (at, session) = (self.now + 2 * state.latency, state.session);
        for (node, other) in [(a, b), (b, a)] {
            self.with(|protocol, now, effects| protocol.down(now, node, other, effects));
            self.push(at, Event::Up { node, link, session });
        }
    }

    /// The node dies silently, and forgets everything.
    pub fn kill(&mut self, node: usize, dice: &mut Dice) -> Vec<usize> {
        self.network.alive[node] = false;
        self.boots[node] += 1;
        let links: Vec<usize> = self.network.adjacent[node].values().copied().collect();
        for &link in &links {
            self.cut(link, dice);
        }
        links
    }

    pub fn revive(&mut self, node: usize) {
        self.network.alive[node] = true;
        self.with(|protocol, now, effects| protocol.start(now, node, effects));
    }

    /// Both ends of a link charge these from now on.
    pub fn charge(&mut self, link: usize, cost: [u64; 2]) {
        self.network.links[link].cost = cost;
        let [a, b] = self.network.links[link].ends;
        for (node, other, cost) in [(a, b, cost[0]), (b, a, cost[1])] {
            self.with(|protocol, now, effects| protocol.cost(now, node, other, cost, effects));
        }
    }

    pub fn take(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// Cost along the upstreams against the least possible: mean, 99th percentile, and pairs without any route.
    pub fn stretch(&self) -> (f64, f64, usize) {
        let (mut ratios, mut missing) = (Vec::new(), 0);
        for (index, &origin) in self.origins.iter().enumerate() {
            let best = self.network.distances(origin);
            for node in (0..self.network.nodes()).filter(|&node| node != origin && best[node] < FAR) {
                match self.length(node, index) {
                    Some(length) => ratios.push(length as f64 / best[node] as f64),
                    None => missing += 1,
                }
            }
        }
        let mean = ratios.iter().sum::<f64>() / ratios.len().max(1) as f64;
        (mean, percentile(&mut ratios, 0.99), missing)
    }

    fn length(&self, mut node: usize, origin: usize) -> Option<u64> {
        let mut length = 0;
        for _ in 0..self.network.nodes() {
            if node == self.origins[origin] {
                return Some(length);
            }
            let upstream = *self.protocol.upstreams(node, origin).first()?;
            let link = *self.network.adjacent[node].get(&upstream)?;
            length += self.network.links[link].cost_at(node);
            node = upstream;
        }
        None
    }
}

pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get((values.len().saturating_sub(1) as f64 * share) as usize)
        .copied()
        .unwrap_or(0.0)
}
