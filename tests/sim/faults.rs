//! One relay dies at a time: how long are others cut off, and what does it cost (T2, T6, T10).

use headwater_relay::overlay::routes::Config;

use crate::headwater::Headwater;
use crate::network::{Dice, MS, Network, topology};
use crate::protocol::Protocol;
use crate::rivals::Rival;
use crate::simulator::{Counts, DETECTION, Simulator, percentile};
use crate::{Plan, TOPOLOGIES, Verdicts, pick_origins};

/// From start to rest: several rounds of the longest wait between voluntary switches.
const SETTLE: u64 = 120_000 * MS;
/// How long a fault, and the return of the relay, are watched.
const WATCH: u64 = 12_000 * MS;

struct Cell {
    kind: &'static str,
    nodes: usize,
    name: &'static str,
    round_trip: f64,
    faults: usize,
    stretch: (f64, f64, usize),
    later: (f64, f64, usize),
    start: Counts,
    counts: Counts,
}

pub fn report(plan: &Plan, verdicts: &mut Verdicts) {
    println!("\n## A relay dies silently (T2, T6, T10)\n");
    println!(
        "| topology | nodes | protocol | outage p50 / p95 / max, ms | packets | kB, 1 namespace per origin | kB, 100 | \
         stretch mean / p99 | the same after the faults | kB per node at start | cycles / snapshots |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for kind in TOPOLOGIES {
        for &nodes in plan.sizes {
            let mut dice = Dice(7 + nodes as u64);
            let network = topology(kind, nodes, &mut dice);
            let origins = pick_origins(&network, &mut dice);
            // Small networks differ much from fault to fault.
            let faults = if nodes > 200 { plan.faults / 4 } else { plan.faults };
            let ours = Headwater::new(nodes, &origins, Config::default());
            let run = Run {
                kind,
                nodes,
                faults,
                origins: &origins,
                network: &network,
                dice,
            };
            run.cell("headwater", ours).print(verdicts);
            run.cell("hop-list", Rival::new(nodes, &origins, false))
                .print(verdicts);
            if nodes <= plan.seed_most {
                run.cell("seed-1s", Rival::new(nodes, &origins, true))
                    .print(verdicts);
            }
        }
    }
}

struct Run<'a> {
    kind: &'static str,
    nodes: usize,
    faults: usize,
    origins: &'a [usize],
    network: &'a Network,
    dice: Dice,
}

impl Run<'_> {
    /// The same faults for every protocol: relays that carry a tree of shortest paths.
    fn cell<P: Protocol>(&self, name: &'static str, protocol: P) -> Cell {
        let mut dice = self.dice.clone();
        let trees: Vec<Vec<u64>> = self
            .origins
            .iter()
            .map(|&origin| self.network.distances(origin))
            .collect();
        let mut simulator = Simulator::new(self.network.clone(), protocol, self.origins);
        simulator.run(SETTLE);
        let start = simulator.take();
        let stretch = simulator.stretch();
        let mut counts = Counts::default();
        for _ in 0..self.faults {
            let relay = self.victim(&trees, &mut dice);
            let links = simulator.kill(relay, &mut dice);
            simulator.survey();
            simulator.run(simulator.now + WATCH);
            counts.add(&simulator.take());
            simulator.revive(relay);
            for link in links {
                simulator.heal(link);
            }
            simulator.survey();
            simulator.run(simulator.now + WATCH);
            simulator.take();
        }
        simulator.run(simulator.now + 5 * SETTLE);
        let later = simulator.stretch();
        let (kind, nodes, faults) = (self.kind, self.nodes, self.faults);
        Cell {
            kind,
            nodes,
            name,
            round_trip: self.network.mean_round_trip(),
            faults,
            stretch,
            later,
            start,
            counts,
        }
    }

    fn victim(&self, trees: &[Vec<u64>], dice: &mut Dice) -> usize {
        loop {
            let (node, tree) = (dice.below(self.nodes), &trees[dice.below(trees.len())]);
            let parent = self.network.adjacent[node]
                .iter()
                .find(|&(&other, &link)| tree[node] == tree[other] + self.network.links[link].cost_at(node));
            if let Some((&parent, _)) = parent
                && !self.origins.contains(&parent)
            {
                return parent;
            }
        }
    }
}

impl Cell {
    fn print(mut self, verdicts: &mut Verdicts) {
        let faults = self.faults as f64;
        let outages = &mut self.counts.outages;
        let [half, most, all] = [0.5, 0.95, 1.0].map(|share| percentile(outages, share));
        let kilobytes = |bytes: u64| bytes as f64 / faults / 1_000.0;
        let mut outage = format!("{half:.0} / {most:.0} / {all:.0}");
        let mut bytes = format!("{:.1}", kilobytes(self.counts.bytes));
        let show = |(mean, high, missing): (f64, f64, usize)| {
            let lost = if missing > 0 {
                format!(", {missing} without route")
            } else {
                String::new()
            };
            format!("{mean:.4} / {high:.3}{lost}")
        };
        let (mut stretch, mut later) = (show(self.stretch), show(self.later));
        let mut cycles = format!("{}/{}", self.counts.cycles, self.counts.snapshots);
        if self.name == "headwater" {
            let place = format!("{} {}", self.kind, self.nodes);
            let detection = DETECTION as f64 * 1.3 / MS as f64;
            let in_time =
                most <= detection + self.round_trip + 100.0 && (self.nodes > 500 || all <= detection + 500.0);
            outage = verdicts.judge(&format!("T2 {place}"), in_time, outage);
            if self.nodes == 200 && self.kind != "fall" {
                let target = if self.kind == "geo" { 60.0 } else { 200.0 };
                bytes = verdicts.judge(
                    &format!("T6 {place}"),
                    kilobytes(self.counts.bytes) <= target,
                    bytes,
                );
            }
            let close =
                |(mean, high, missing): (f64, f64, usize)| mean <= 1.03 && high <= 1.15 && missing == 0;
            stretch = verdicts.judge(&format!("T10 {place}"), close(self.stretch), stretch);
            later = verdicts.judge(
                &format!("T10 {place}, after the faults"),
                close(self.later),
                later,
            );
            cycles = verdicts.judge(&format!("T1 {place}"), self.counts.cycles == 0, cycles);
        }
        println!(
            "| {} | {} | {} | {outage} | {:.0} | {bytes} | {:.1} | {stretch} | {later} | {:.1} | {cycles} |",
            self.kind,
            self.nodes,
            self.name,
            self.counts.packets as f64 / faults,
            kilobytes(self.counts.bytes_100),
            self.start.bytes as f64 / self.nodes as f64 / 1_000.0,
        );
    }
}
