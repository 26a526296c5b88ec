//! Many faults at once: links that fail and return, nodes that die and come back under the same id with nothing in memory
//! (origins too), costs that change for each direction on its own. Is there ever a cycle (T1)?

use headwater_relay::overlay::routes::{Config, Timers};

use crate::headwater::Headwater;
use crate::network::{Dice, HOP, MS, Network, Time, topology};
use crate::protocol::Protocol;
use crate::rivals::Rival;
use crate::simulator::{Counts, Simulator, percentile};
use crate::{Plan, TOPOLOGIES, Verdicts, pick_origins};

const SIZES: [usize; 3] = [40, 100, 150];

/// Without damping, so that pointers move as often as they can.
fn restless() -> Config {
    let none = std::time::Duration::ZERO;
    Config {
        timers: Timers {
            switch_hold: none,
            dwell: none,
            dwell_max: none,
            ..Timers::default()
        },
        ..Config::default()
    }
}

struct Churned {
    counts: Counts,
    /// Pairs that are still cut off when everything has been healed.
    cut_off: usize,
}

pub fn report(plan: &Plan, verdicts: &mut Verdicts) {
    println!("\n## Churn (T1)\n");
    println!(
        "| topology | nodes | protocol | simulated s | cycles / snapshots | outage p50 / p95 / p99, ms | cut off after healing |"
    );
    println!("|---|---|---|---|---|---|---|");
    let share = plan.snapshots.div_ceil((TOPOLOGIES.len() * SIZES.len()) as u64);
    let (mut snapshots, mut cycles) = (0, 0);
    for kind in TOPOLOGIES {
        for nodes in SIZES {
            let mut dice = Dice(42 + nodes as u64);
            let network = topology(kind, nodes, &mut dice);
            let origins = pick_origins(&network, &mut dice);
            // Outages are looked for in a short run, cycles in a long one.
            let ours = || Headwater::new(nodes, &origins, Config::default());
            print(
                kind,
                nodes,
                "headwater",
                30,
                churn(&network, ours(), &origins, Bound::Seconds(30), dice.clone()),
                Some(verdicts),
            );
            if nodes == 100 {
                for (name, periodic) in [("hop-list", false), ("seed-1s", true)] {
                    let rival = Rival::new(nodes, &origins, periodic);
                    print(
                        kind,
                        nodes,
                        name,
                        30,
                        churn(&network, rival, &origins, Bound::Seconds(30), dice.clone()),
                        None,
                    );
                }
            }
            let mut dice = Dice(4_242 + nodes as u64);
            let restless = Headwater::new(nodes, &origins, restless());
            let long = churn(
                &network,
                restless,
                &origins,
                Bound::Snapshots(share),
                Dice(dice.below(1 << 30) as u64),
            );
            snapshots += long.counts.snapshots;
            cycles += long.counts.cycles;
            if long.cut_off > 0 {
                verdicts.judge(
                    &format!("T1 {kind} {nodes}"),
                    false,
                    format!("{} pairs cut off after healing", long.cut_off),
                );
            }
        }
    }
    let enough = cycles == 0 && snapshots >= plan.snapshots;
    println!(
        "\nCycles in long runs without damping: {}",
        verdicts.judge("T1", enough, format!("{cycles} in {snapshots} snapshots"))
    );
}

fn print(
    kind: &str,
    nodes: usize,
    name: &str,
    seconds: u64,
    mut churned: Churned,
    verdicts: Option<&mut Verdicts>,
) {
    let outages = &mut churned.counts.outages;
    let [half, most, nearly] = [0.5, 0.95, 0.99].map(|share| percentile(outages, share));
    let mut cycles = format!("{}/{}", churned.counts.cycles, churned.counts.snapshots);
    if let Some(verdicts) = verdicts {
        let good = churned.counts.cycles == 0 && churned.cut_off == 0;
        cycles = verdicts.judge(&format!("T1 {kind} {nodes}"), good, cycles);
    }
    println!(
        "| {kind} | {nodes} | {name} | {seconds} | {cycles} | {half:.0} / {most:.0} / {nearly:.0} | {} |",
        churned.cut_off
    );
}

#[derive(Clone, Copy)]
enum Bound {
    Seconds(u64),
    Snapshots(u64),
}

fn churn<P: Protocol>(
    network: &Network,
    protocol: P,
    origins: &[usize],
    bound: Bound,
    mut dice: Dice,
) -> Churned {
    let mut simulator = Simulator::new(network.clone(), protocol, origins);
    simulator.watch_outages = matches!(bound, Bound::Seconds(_));
    simulator.survey();
    simulator.run(20_000 * MS);
    simulator.take();
    let start = simulator.now;
    let (mut down, mut dead): (Vec<usize>, Vec<(usize, Time)>) = (Vec::new(), Vec::new());
    while match bound {
        Bound::Seconds(seconds) => simulator.now < start + seconds * 1_000 * MS,
        Bound::Snapshots(snapshots) => simulator.counts.snapshots < snapshots,
    } {
        strike(&mut simulator, &mut down, &mut dead, &mut dice);
        let due: Vec<usize> = dead
            .iter()
            .filter(|&&(_, at)| at <= simulator.now)
            .map(|&(node, _)| node)
            .collect();
        dead.retain(|&(node, _)| !due.contains(&node));
        for node in due {
            simulator.revive(node);
            for link in network.adjacent[node].values() {
                if dice.share() < 0.8 {
                    simulator.heal(*link);
                }
            }
        }
        simulator.survey();
        simulator.run(simulator.now + (dice.share() * 60.0) as Time * MS);
    }
    let counts = simulator.take();
    for (node, _) in dead {
        simulator.revive(node);
    }
    for link in 0..network.links.len() {
        simulator.heal(link);
    }
    simulator.survey();
    simulator.run(simulator.now + 60_000 * MS);
    Churned {
        counts,
        cut_off: simulator.stretch().2,
    }
}

fn strike<P: Protocol>(
    simulator: &mut Simulator<P>,
    down: &mut Vec<usize>,
    dead: &mut Vec<(usize, Time)>,
    dice: &mut Dice,
) {
    let (chance, link) = (dice.share(), dice.below(simulator.network.links.len()));
    if chance < 0.03 {
        let node = dice.below(simulator.network.nodes());
        if simulator.network.alive[node] {
            down.extend(simulator.kill(node, dice));
            dead.push((node, simulator.now + (dice.share() * 900.0) as Time * MS));
        }
    } else if chance < 0.25 {
        simulator.cut(link, dice);
        down.push(link);
    } else if chance < 0.5 && !down.is_empty() {
        simulator.heal(down.swap_remove(dice.below(down.len())));
    } else {
        let base = (simulator.network.links[link].latency + HOP) as f64;
        let cost = [0, 1].map(|_| (base * (0.5 + 3.0 * dice.share())) as u64);
        simulator.charge(link, cost);
    }
}
